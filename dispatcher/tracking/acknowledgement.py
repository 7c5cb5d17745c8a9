"""Receipts and acknowledgements come in and become durable before anybody hears that we have them.

A receipt says that a machine has it, an acknowledgement that a person has read it; neither ever replaces the other. A facility
acknowledges by its terminal's button, by the link of its mail, or on the telephone; the first of them counts. Each is of one
message: who acknowledged the first report is asked again about the second.

Source: design.md §3, §5.6, §8 "Acknowledgement".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from config.facilities import Facility
from config.secret import Secret
from dispatcher.clock import Clock
from dispatcher.errors import Finding, InvalidInput, NotFound, StaleHash, StorageFull
from dispatcher.ledger import Event, IssuedAlert, Ledger
from dispatcher.model.audience import FACILITY
from dispatcher.model.delivery import Receipt, Received
from dispatcher.model.question import Heard
from dispatcher.model.report import Reported
from dispatcher.tracking.reach import FACILITIES, FacilityReach, Reach, calls_kind, contact_key
from dispatcher.tracking.tokens import Tokens, hashed

MAIL = "email_list"
LONGEST_WORDS = 200
MOST_CALLS = 50
"""Kept of one facility about one message."""


class Acknowledgements:
    """The inbox (dispatcher/channel.py) of one channel, on the ledger."""

    def __init__(self, ledger: Ledger, channel: str, returned: "Returned", answers: "Answers") -> None:
        self._ledger = ledger
        self._channel = channel
        self._returned = returned
        self._answers = answers

    async def record(self, received: Sequence[Received]) -> None:
        await self._ledger.record(self._channel, received)
        for each in received:
            if each.receipt is Receipt.BOUNCED and each.address.startswith(f"{FACILITY}:"):
                self._returned.give_back(each.identifier)

    async def hear(self, heard: Sequence[Heard]) -> None:
        await self._answers.hear(heard)

    async def report(self, reported: Sequence[Reported]) -> bool:
        return await self._answers.report(reported)

    def reachable(self) -> None:
        self._returned.add(self._channel)


class Listening(Protocol):
    """Who takes answers that come back over a medium (tracking/confirmation)."""

    async def hear(self, heard: Sequence[Heard]) -> None: ...

    async def report(self, reported: Reported) -> bool: ...


class Answers:
    """Answers on their way from every medium to the safety loop, which is up a moment after the media are."""

    def __init__(self) -> None:
        self._loop: Listening | None = None
        self._is_up = False

    def begin(self, loop: Listening | None) -> None:
        """From now on they are taken; None: the site asks nobody, so they answer nothing."""
        self._loop, self._is_up = loop, True

    async def hear(self, heard: Sequence[Heard]) -> None:
        """As Inbox.hear (channel.py)."""
        self._require_up()
        if self._loop is not None:
            await self._loop.hear(heard)

    async def report(self, reported: Sequence[Reported]) -> bool:
        """As Inbox.report (channel.py)."""
        self._require_up()
        if self._loop is None:
            return False
        return all([await self._loop.report(one) for one in reported])

    def _require_up(self) -> None:
        if not self._is_up:
            raise StorageFull("the node is starting: come again")


class Returned:
    """What came back. A whole quarter whose power returns is one look at what waits, not a thousand; so is a storm of bounces."""

    def __init__(self) -> None:
        self._channels: set[str] = set()
        self._bounced: set[str] = set()

    def add(self, channel: str) -> None:
        """Somebody on this channel can be reached again."""
        self._channels.add(channel)

    def take(self) -> set[str]:
        """The channels since the last look."""
        taken, self._channels = self._channels, set()
        return taken

    def give_back(self, identifier: str) -> None:
        """A facility's mail of this alert bounced."""
        self._bounced.add(identifier)

    def take_bounced(self) -> set[str]:
        """Alerts whose facilities' mails bounced since the last look."""
        taken, self._bounced = self._bounced, set()
        return taken


@dataclass(frozen=True, slots=True)
class Asked:
    """What stands behind a link: one message, one facility, one of its mail contacts."""

    alert: IssuedAlert
    facility: Facility
    contact: int
    acknowledged_at: datetime | None
    """When this facility first did, by whichever medium."""


class Facilities:
    """How a facility says that a person there has read a message."""

    def __init__(self, ledger: Ledger, reach: Reach, secret: Secret, clock: Clock) -> None:
        self._ledger = ledger
        self._reach = reach
        self._secret = secret
        self._clock = clock
        self._links: dict[str, Mapping[str, tuple[str, int]]] = {}
        """By alert: hash of a token → facility, contact. Made anew from the key, kept nowhere else."""
        self._linked: Mapping[str, Facility] = {}
        """The register that they were made of."""

    def over(self, ledger: Ledger) -> "Facilities":
        """The same over another ledger: what `--dry-run` asks."""
        return Facilities(ledger, self._reach.over(ledger), self._secret, self._clock)

    def token(self, identifier: str, facility: str, contact: int) -> str:
        """The word in the link of this contact's mail about this message."""
        return _token(self._secret.reveal(), identifier, facility, contact)

    async def look(self, token: str) -> Asked | None:
        """What stands behind this token; None for one that is wrong, old or of a message that is over. Nothing is written."""
        wanted = hashed(token)
        live = await self._ledger.alerts(only_live=True)
        if (known := self._reach.known()) is not self._linked:
            self._linked, self._links = known, {}
        self._links = {a.identifier: self._links.get(a.identifier) or self._links_of(a) for a in live}
        # All are asked, whichever has it, so that a wrong token costs what a right one does.
        found = [(alert, self._links[alert.identifier].get(wanted)) for alert in live]
        for alert, contact in found:
            if contact is not None:
                return await self._asked(alert, *contact)
        return None

    async def acknowledge(self, token: str) -> Asked | None:
        """確認しました, by the link of a mail; durable on return. As `look`, with what stands afterwards. Twice is once."""
        asked = await self.look(token)
        if asked is None:
            return None
        key = contact_key(asked.facility.id, asked.contact)
        identifier = asked.alert.identifier
        said = Received(identifier, MAIL, key, Receipt.ACKNOWLEDGED, self._clock.now())
        await self._ledger.record(MAIL, [said])
        return await self._asked(asked.alert, asked.facility.id, asked.contact)

    async def telephoned(
        self, by: str, identifier: str, facility: str, *, spoke_with: str, note: str = ""
    ) -> FacilityReach:
        """電話済: a member of staff has called. `spoke_with` "" means that nobody answered, which acknowledges nothing.

        Raises:
            NotFound: no such alert, or it was not addressed to this facility.
            InvalidInput: words that are too long or hold control characters.
        """
        alert = await self._ledger.alert(identifier)
        if facility not in alert.facts.get(FACILITIES, ()):
            raise NotFound(f"{identifier} は施設 {facility} あてではありません (not addressed to this facility)")
        if findings := [*_words("spoke_with", spoke_with), *_words("note", note)]:
            raise InvalidInput(findings)
        call = {"at": self._clock.now().isoformat(), "by": by, "spoke_with": spoke_with.strip(), "note": note.strip()}
        said = Event(
            "facility.telephoned", identifier, {"facility": facility, "by": by, "answered": bool(call["spoke_with"])}
        )
        await self._add_call(calls_kind(identifier), facility, call, said)
        return next(line for line in await self._reach.facilities(identifier) if line.facility.id == facility)

    async def _add_call(self, kind: str, facility: str, call: Mapping[str, Any], said: Event) -> None:
        """Two at headquarters may call at once; both calls stay."""
        while True:
            try:
                version, body = await self._ledger.read_record(kind, facility)
            except NotFound:
                version, body = 0, {"calls": []}
            if len(body["calls"]) >= MOST_CALLS:
                raise InvalidInput([Finding("facility", f"電話の記録は {MOST_CALLS} 件までです (no more calls)")])
            try:
                await self._ledger.save_record(kind, facility, version, {"calls": [*body["calls"], call]}, said)
            except StaleHash:
                continue
            return

    def _links_of(self, alert: IssuedAlert) -> Mapping[str, tuple[str, int]]:
        there = [self._linked[id_] for id_ in alert.facts.get(FACILITIES, ()) if id_ in self._linked]
        return {
            hashed(_token(key, alert.identifier, facility.id, contact)): (facility.id, contact)
            for key in self._secret.believed(self._clock.now())
            for facility in there
            for contact in range(len(facility.mails))
        }

    async def _asked(self, alert: IssuedAlert, facility: str, contact: int) -> Asked:
        line = next(each for each in await self._reach.facilities(alert.identifier) if each.facility.id == facility)
        return Asked(alert, line.facility, contact, line.acknowledged.at if line.acknowledged else None)


def _token(key: str, identifier: str, facility: str, contact: int) -> str:
    return Tokens(key.encode()).derive("facility", identifier, contact_key(facility, contact))


def _words(where: str, text: str) -> list[Finding]:
    found = []
    if len(text) > LONGEST_WORDS:
        found.append(Finding(where, f"{LONGEST_WORDS} 字までです (at most {LONGEST_WORDS} characters)"))
    if any(not c.isprintable() for c in text):
        found.append(Finding(where, "制御文字や改行は使えません (no control characters)"))
    return found
