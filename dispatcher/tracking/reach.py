"""The reach ledger: over all channels, who has been reached by what and when, who has acknowledged, and who by nothing.

A receipt is a machine's word and an acknowledgement a person's; neither stands for the other. What a site, X or TV did is not
added up here, because they reach nobody by name: 数えない, never 0.

A facility is reached over several media and by several contacts; they are brought together under its id. Of the public nobody
knows which mail address and which terminal are one person, so each address is its own line.

Source: issue "Reach ledger"; design.md §3 "A state says what was *seen*", §8.
"""

import math
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from config.city import City
from config.facilities import BadFacilities, Facility, Kind, Register
from dispatcher.channel import Channel
from dispatcher.clock import JST
from dispatcher.ledger import ChannelTally, DestinationStatus, IssuedAlert, Ledger
from dispatcher.log import logger
from dispatcher.model.audience import FACILITY
from dispatcher.model.delivery import Outcome, Receipt

ROOM = FACILITY
"""Deliveries to facilities bear it in their keys: `identifier:email_list:facility/…`."""
FACILITIES = "facilities"
"""Under this fact an alert keeps the ids of the facilities that it was first addressed to."""
PHONE = "phone"
METRES_PER_DEGREE = 111_195.0

log = logger(__name__)


class Claimed(StrEnum):
    """The strongest thing that was seen of a message on its way to somebody, weakest first."""

    NOTHING = "nothing"
    SENT = "sent"
    """Handed over, and the medium said neither yes nor no."""
    TAKEN = "taken"
    DELIVERED = "delivered"
    DISPLAYED = "displayed"
    ACKNOWLEDGED = "acknowledged"

    @property
    def strength(self) -> int:
        return list(Claimed).index(self)


@dataclass(frozen=True, slots=True)
class OnMedium:
    """How far a message came by one contact of one medium."""

    channel: str
    contact: str
    """A terminal's id; for mail `1`, `2`: which of the addresses, never the address."""
    claimed: Claimed
    at: datetime | None
    """When that was seen; None for nothing."""
    words: str = ""
    """The medium's own, where it refused or gave no answer."""
    is_refused: bool = False
    """For good: refused, or given back later."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A person there has said so."""

    medium: str
    """A channel's kind, or `phone`."""
    at: datetime
    by: str = ""
    """Who of the staff heard it on the telephone."""


@dataclass(frozen=True, slots=True)
class Call:
    """電話: somebody at headquarters has called. `spoke_with` "": nobody answered."""

    at: datetime
    by: str
    spoke_with: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class FacilityReach:
    """One facility, and one message."""

    facility: Facility
    distance_m: int
    """From the middle of the message's area."""
    media: tuple[OnMedium, ...]
    acknowledged: Acknowledged | None
    calls: tuple[Call, ...]
    rung: int = 0
    """How far up the ladder it has come."""
    is_to_call: bool = False
    """Somebody has to call: the ladder has come to staff, or has no contact left."""

    @property
    def claimed(self) -> Claimed:
        strongest = max((m.claimed for m in self.media), key=lambda c: c.strength, default=Claimed.NOTHING)
        return Claimed.ACKNOWLEDGED if self.acknowledged else strongest

    @property
    def is_reached_by_nothing(self) -> bool:
        return self.claimed is Claimed.NOTHING


@dataclass(frozen=True, slots=True)
class Climbed:
    """What one rung came to when its time was there."""

    contacts: Mapping[str, int]
    """Facility → which of its mail contacts was addressed, from 0."""
    to_call: tuple[str, ...]
    """Facilities that were left to the telephone."""


@dataclass(frozen=True, slots=True)
class PersonReach:
    """One address of the public, and one message."""

    channel: str
    address: str
    name: str
    on: OnMedium


@dataclass(frozen=True, slots=True)
class MediumReach:
    """A medium's line, facilities' contacts among its people. `is_counted` False: it reaches nobody by name, no figure is given."""

    channel: str
    title: str
    is_counted: bool
    people: int | None = None
    """Addresses."""
    taken: int | None = None
    delivered: int | None = None
    displayed: int | None = None
    acknowledged: int | None = None
    by_nothing: int | None = None
    """Of whom the medium has not even said that it took the message."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What stands at the top of the page."""

    facilities: int
    acknowledged: int
    unacknowledged: int
    by_nothing: int
    """Facilities."""
    people_in_unacknowledged: int
    """Who are in the facilities that have not acknowledged."""
    media: tuple[MediumReach, ...]


class Reach:
    """Looks alone; it changes nothing. `register` None: the site has no facilities."""

    def __init__(
        self, ledger: Ledger, register: Register | None, city: City, channels: Mapping[str, Channel[Any, Any]]
    ) -> None:
        self._ledger = ledger
        self._register = register
        self._city = city
        self._channels = channels

    def over(self, ledger: Ledger) -> "Reach":
        """The same over another ledger: what `--dry-run` asks."""
        return Reach(ledger, self._register, self._city, self._channels)

    async def facilities(self, identifier: str) -> Sequence[FacilityReach]:
        """Every facility that the message was first addressed to: who has not acknowledged, nearest first, then who has.

        Raises:
            NotFound: no such alert.
        """
        alert = await self._ledger.alert(identifier)
        media, names = await self._media(identifier)
        calls = await self.calls(identifier)
        climbed = await self.climbed(identifier)
        middle = self._middle(alert)
        lines = []
        for id_ in alert.facts.get(FACILITIES, ()):
            facility = self._known(id_, names)
            reached = tuple(media.get(id_, ()))
            acknowledged = _acknowledged(reached, calls.get(id_, ()))
            is_left_to_staff = any(id_ in rung.to_call for rung in climbed.values()) or _is_run_out(facility, reached)
            lines.append(
                FacilityReach(
                    facility=facility,
                    distance_m=self._distance_m(facility, middle),
                    media=reached,
                    acknowledged=acknowledged,
                    calls=tuple(calls.get(id_, ())),
                    rung=max(
                        (n for n, rung in climbed.items() if id_ in rung.contacts or id_ in rung.to_call), default=0
                    ),
                    is_to_call=acknowledged is None and is_left_to_staff,
                )
            )
        return sorted(lines, key=lambda r: (r.acknowledged is not None, r.distance_m, r.facility.id))

    async def unacknowledged(self, identifier: str) -> Sequence[FacilityReach]:
        """Those alone who have not acknowledged, nearest first."""
        return [line for line in await self.facilities(identifier) if line.acknowledged is None]

    async def people(self, identifier: str, *, only_by_nothing: bool = False) -> AsyncIterator[PersonReach]:
        """Every address of the public, streamed; facilities' terminals are among them, their mail contacts are not.

        Raises:
            NotFound: no such alert.
        """
        await self._ledger.alert(identifier)
        for kind, channel in self._channels.items():
            if not channel.counts_people:
                continue
            async for status in self._ledger.destinations(identifier, kind):
                if is_facility(status):
                    continue
                on = on_medium(status, status.address)
                if not only_by_nothing or on.claimed is Claimed.NOTHING:
                    yield PersonReach(kind, status.address, status.name, on)

    async def summary(self, identifier: str) -> Summary:
        """Facilities as they stand and each medium's counts.

        Raises:
            NotFound: no such alert.
        """
        lines = await self.facilities(identifier)
        waiting = [line for line in lines if line.acknowledged is None]
        tallies = {tally.channel: tally for tally in await self._ledger.tally(identifier)}
        return Summary(
            facilities=len(lines),
            acknowledged=len(lines) - len(waiting),
            unacknowledged=len(waiting),
            by_nothing=sum(line.is_reached_by_nothing for line in lines),
            people_in_unacknowledged=sum(line.facility.people for line in waiting),
            media=tuple(
                _medium(kind, channel, tallies[kind])
                for kind, channel in self._channels.items()
                if kind in tallies and tallies[kind].destinations
            ),
        )

    async def calls(self, identifier: str) -> Mapping[str, Sequence[Call]]:
        """The telephone calls by facility, oldest first."""
        kept = await self._ledger.records(calls_kind(identifier))
        return {key: [_call(each) for each in body["calls"]] for key, _, body in kept}

    async def climbed(self, identifier: str) -> Mapping[int, "Climbed"]:
        """What each rung of the ladder came to so far."""
        kept = await self._ledger.records(rungs_kind(identifier))
        return {int(key): Climbed(body["contacts"], tuple(body["to_call"])) for key, _, body in kept}

    def known(self) -> Mapping[str, Facility]:
        """The register as it is now; a change of it that cannot be used leaves it as it was."""
        if self._register is None:
            return {}
        try:
            self._register.refresh()
        except BadFacilities as wrong:
            log.warning("facilities.register_kept", reason=wrong.problems[0].rpartition("/")[2])
        return self._register.facilities

    async def _media(self, identifier: str) -> tuple[Mapping[str, list[OnMedium]], Mapping[str, str]]:
        """By facility, what became of each contact; and their names as they were written down."""
        owners = {tid: facility.id for facility in self.known().values() for tid in facility.terminals}
        media: dict[str, list[OnMedium]] = {}
        names: dict[str, str] = {}
        async for status in self._ledger.destinations(identifier, room=ROOM):
            if is_facility(status):
                _, id_, contact = status.address.split(":")
                names[id_] = status.name
                media.setdefault(id_, []).append(on_medium(status, str(int(contact) + 1)))
            elif status.address in owners:
                media.setdefault(owners[status.address], []).append(on_medium(status, status.address))
        return media, names

    def _known(self, id_: str, names: Mapping[str, str]) -> Facility:
        """A facility that has left the register since is still on the list, by the name that it had."""
        known = self._register.facilities if self._register is not None else {}
        return known.get(id_) or Facility(id_, names.get(id_, id_), Kind.OTHER, "", "", 0)

    def _middle(self, alert: IssuedAlert) -> tuple[float, float] | None:
        """The middle of the quarters that it holds for."""
        quarters = [self._city.quarters[q] for q in alert.facts.get("quarters", ()) if q in self._city.quarters]
        if not quarters:
            return None
        count = len(quarters)
        return sum(q.latitude for q in quarters) / count, sum(q.longitude for q in quarters) / count

    def _distance_m(self, facility: Facility, middle: tuple[float, float] | None) -> int:
        quarter = self._city.quarters.get(facility.quarter)
        at = facility.place or ((quarter.latitude, quarter.longitude) if quarter is not None else None)
        return 0 if at is None or middle is None else round(distance_m(at, middle))


def distance_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Between two places (latitude, longitude) of one city, where the earth is flat enough."""
    north = a[0] - b[0]
    east = (a[1] - b[1]) * math.cos(math.radians((a[0] + b[0]) / 2))
    return METRES_PER_DEGREE * math.hypot(north, east)


def calls_kind(identifier: str) -> str:
    """Under which kind of record the calls about an alert are kept, each facility's by its id."""
    return f"facility-calls:{identifier}"


def rungs_kind(identifier: str) -> str:
    """Under which kind of record it is kept what each rung came to."""
    return f"facility-rungs:{identifier}"


def contact_key(facility: str, contact: int) -> str:
    """What the outbox knows one mail contact of a facility by."""
    return f"{ROOM}:{facility}:{contact}"


def is_facility(status: DestinationStatus) -> bool:
    return status.address.startswith(f"{ROOM}:")


_BY_RECEIPT = {
    Receipt.DELIVERED: Claimed.DELIVERED,
    Receipt.DISPLAYED: Claimed.DISPLAYED,
    Receipt.ACKNOWLEDGED: Claimed.ACKNOWLEDGED,
}
_BY_OUTCOME = {Outcome.TAKEN: Claimed.TAKEN, Outcome.DUPLICATE: Claimed.TAKEN, Outcome.UNKNOWN: Claimed.SENT}


def on_medium(status: DestinationStatus, contact: str) -> OnMedium:
    """The strongest claim that the ledger has of this destination."""
    seen = {claim: status.receipts[receipt] for receipt, claim in _BY_RECEIPT.items() if receipt in status.receipts}
    if not seen and Receipt.BOUNCED in status.receipts:
        return OnMedium(status.channel, contact, Claimed.NOTHING, None, "戻ってきました (bounced)", is_refused=True)
    if not seen and status.outcome in _BY_OUTCOME and status.at is not None:
        seen = {_BY_OUTCOME[status.outcome]: status.at}
    if not seen:
        is_refused = status.outcome is Outcome.PERMANENT
        return OnMedium(status.channel, contact, Claimed.NOTHING, None, status.words, is_refused=is_refused)
    strongest = max(seen, key=lambda c: c.strength)
    return OnMedium(status.channel, contact, strongest, seen[strongest])


def _acknowledged(media: Iterable[OnMedium], calls: Iterable[Call]) -> Acknowledged | None:
    """The first who did, by whichever medium."""
    said = [Acknowledged(m.channel, m.at, "") for m in media if m.claimed is Claimed.ACKNOWLEDGED and m.at is not None]
    said += [Acknowledged(PHONE, call.at, call.by) for call in calls if call.spoke_with]
    return min(said, key=lambda a: a.at, default=None)


def _is_run_out(facility: Facility, media: Sequence[OnMedium]) -> bool:
    """Every mail contact has been addressed, so no rung is left but the telephone."""
    return sum(m.channel == "email_list" for m in media) >= len(facility.mails)


def _call(body: Mapping[str, Any]) -> Call:
    at = datetime.fromisoformat(body["at"]).astimezone(JST)
    return Call(at, body["by"], body["spoke_with"], body.get("note", ""))


def _medium(kind: str, channel: Channel[Any, Any], tally: ChannelTally) -> MediumReach:
    if not channel.counts_people:
        return MediumReach(kind, channel.title, is_counted=False)
    return MediumReach(
        kind,
        channel.title,
        is_counted=True,
        people=tally.destinations,
        taken=tally.taken,
        delivered=tally.delivered,
        displayed=tally.displayed,
        acknowledged=tally.acknowledged,
        by_nothing=tally.destinations - tally.taken,
    )
