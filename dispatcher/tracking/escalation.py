"""Facilities are told before the public, and from contact to contact until a person there has said 確認しました.

It is a room of the outbox (path.py): `identifier:<kind>:facility/…` are its deliveries, `identifier:clock:facility/<rung>` its
timers, one a rung and not one a facility, all written down in the transaction of the message itself. So a timer outlives the node,
goes to whichever node holds the lease, and ends with the message that it belongs to. What a rung came to is kept before anything of
it is written for the lanes: a node that dies in between repeats the same, and the keys make the repeat nothing.

Nobody is told again by the same contact, because a mail told twice is one; each rung goes to another person.

Source: issue "Facilities that must act first", "Escalation"; design.md §5 "Submit", §8.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic

from config.ladders import Ladder, Whom
from dispatcher.channel import Channel, Recipient, priority_of
from dispatcher.clock import Clock
from dispatcher.errors import StaleHash
from dispatcher.ledger import Attempted, Claim, Event, IssuedAlert, Ledger, NewDelivery
from dispatcher.model.alert import Alert
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import DeliveryEvent, Outcome, Priority
from dispatcher.model.draft import State, Verb, verb_of
from dispatcher.model.mode import M
from dispatcher.model.rendering import Rendering
from dispatcher.steps.dispatch import CLOCK, First
from dispatcher.steps.send import send, send_each
from dispatcher.tracking.acknowledgement import MAIL, Facilities
from dispatcher.tracking.reach import FACILITIES, ROOM, Climbed, FacilityReach, Reach, contact_key, rungs_kind
from dispatcher.tracking.tokens import Door, link

TERMINAL = "ip_terminal"
CALM = frozenset({Verb.LIFT})
"""What nobody is called at night for, when it was read by nobody."""
OUT = frozenset({State.DISPATCHING, State.LIVE})


@dataclass(frozen=True, slots=True)
class Escalation(Generic[M]):
    """The room of the facilities that must act first."""

    ledger: Ledger
    reach: Reach
    facilities: Facilities
    channels: Mapping[str, Channel[M, Any]]
    ladder: Ladder
    rendering: Callable[[str, str], Awaitable[Rendering[M]]]
    """Path.rendering: what was approved."""
    clock: Clock
    site_url: str

    # -- with the message --------------------------------------------------------------------------------------------

    def media(self, quarters: Collection[str]) -> Collection[str]:
        """As Foremost.media (steps/dispatch.py)."""
        there = [facility for facility in self.reach.known().values() if facility.quarter in quarters]
        reached = {TERMINAL: any(f.terminals for f in there), MAIL: any(f.mails for f in there)}
        return {kind for kind, is_reached in reached.items() if is_reached and kind in self._first_channels}

    def first(self, alert: Alert[M], renderings: Mapping[str, Rendering[M]], chain: Sequence[IssuedAlert]) -> First:
        """As Foremost.first: on two media at once; and the timers of the rungs. Whom an earlier message went to hears this one."""
        before = {id_ for earlier in chain for id_ in earlier.facts.get(FACILITIES, ())}
        there = [f for f in self.reach.known().values() if f.quarter in alert.quarters or f.id in before]
        if not there:
            return First()
        deliveries: list[NewDelivery] = []
        members = {
            TERMINAL: [Destination(tid, f.name) for f in there for tid in f.terminals],
            MAIL: [Destination(contact_key(f.id, 0), f.name) for f in there if f.mails],
        }
        for kind in self._first_channels & renderings.keys():
            channel = self.channels[kind]
            for start in range(0, len(members[kind]), channel.limits.batch):
                batch = members[kind][start : start + channel.limits.batch]
                cost = channel.cost(renderings[kind], len(batch))
                deliveries.append(_delivery(alert, f"{kind}:{ROOM}/{start}", kind, batch, cost))
        if verb_of(alert) not in CALM and priority_of(alert) <= Priority.URGENT:
            deliveries += [
                _timer(alert, rung.rung, alert.sent + timedelta(seconds=rung.after)) for rung in self.ladder.rungs[1:]
            ]
        return First(deliveries, {FACILITIES: [f.id for f in there]})

    @property
    def _first_channels(self) -> Collection[str]:
        return {kind for kind in self.ladder.rungs[0].channels if kind in self.channels}

    # -- attempts ----------------------------------------------------------------------------------------------------

    async def attempt(self, claim: Claim) -> Attempted:
        """As Room.attempt (path.py): a rung whose time has come, or a contact that is to be told."""
        rest = claim.key.rpartition(f":{ROOM}/")[2]
        if claim.channel == CLOCK:
            await self._climb(claim.identifier, int(rest))
            return Attempted(claim, DeliveryEvent.TAKEN)
        if "/" in rest and await self._is_acknowledged(claim.identifier, rest.partition("/")[0]):
            return Attempted(claim, DeliveryEvent.SUPERSEDED)
        rendering, channel = await self.rendering(claim.identifier, claim.channel), self.channels[claim.channel]
        if claim.channel == MAIL:
            recipients = list(self._recipients(claim))
            attempted = await send_each(claim, rendering, recipients, channel, self.ledger, self.clock)
        else:
            attempted = await send(claim, rendering, channel, self.ledger, self.clock)
        refused = {told.address for told in attempted.told if told.outcome is Outcome.PERMANENT}
        is_all_told_here = len(attempted.told) == len(claim.destinations) and not claim.is_reclaimed
        if refused or not is_all_told_here:
            await self._fall_back(claim.identifier, refused)
        return attempted

    def _recipients(self, claim: Claim) -> Iterable[Recipient]:
        """Whoever the register still has; made now and written down nowhere."""
        known = self.reach.known()
        for destination in claim.destinations:
            _, id_, contact = destination.address.split(":")
            facility, number = known.get(id_), int(contact)
            if facility is not None and number < len(facility.mails):
                token = self.facilities.token(claim.identifier, id_, number)
                page = link(self.site_url, Door.ACKNOWLEDGE, token)
                yield Recipient(destination.address, facility.mails[number], facility.language, page)

    async def _is_acknowledged(self, identifier: str, facility: str) -> bool:
        return all(line.facility.id != facility for line in await self.reach.unacknowledged(identifier))

    async def given_back(self, identifier: str) -> None:
        """As Foremost.given_back: a bounce is a refusal that comes late."""
        await self._fall_back(identifier, frozenset())

    async def _fall_back(self, identifier: str, refused: Collection[str]) -> None:
        """Whose contact refused for good is told by the next one at once. Looked up as well, in case the node died before this."""
        alert = await self.ledger.alert(identifier)
        if alert.state not in OUT:
            return
        contacts = {}
        for line in await self.reach.unacknowledged(identifier):
            number = self._after_refusal(line, refused)
            if number is not None:
                contacts[line.facility.id] = number
        await self._tell(alert, contacts)

    def _after_refusal(self, line: FacilityReach, refused: Collection[str]) -> int | None:
        """The contact to be told because one before it refused; None: none did, or none is left."""
        told = {int(on.contact) - 1: on for on in line.media if on.channel == MAIL}
        after = [
            number + 1
            for number, on in told.items()
            if on.is_refused or contact_key(line.facility.id, number) in refused
        ]
        after += [1 for on in line.media if on.channel == TERMINAL and (on.is_refused or on.contact in refused)]
        number = max(after, default=0)
        is_left = 0 < number < len(line.facility.mails) and number not in told
        rung = self.ladder.rungs[min(number, len(self.ladder.rungs)) - 1]
        return number if is_left and rung.fallback else None

    # -- rungs -------------------------------------------------------------------------------------------------------

    async def _climb(self, identifier: str, number: int) -> None:
        alert = await self.ledger.alert(identifier)
        if alert.state not in OUT or number >= len(self.ladder.rungs):
            return
        climbed = (await self.reach.climbed(identifier)).get(number) or await self._decide(identifier, number)
        await self._tell(alert, climbed.contacts)

    async def _decide(self, identifier: str, number: int) -> Climbed:
        """What this rung comes to, kept: whoever has not acknowledged is told by the next contact, or left to the telephone."""
        rung = self.ladder.rungs[number]
        silent = await self.reach.unacknowledged(identifier)
        contacts: dict[str, int] = {}
        if Whom.NEXT in rung.whom:
            # By the rung alone and not by who was told so far: after an outage two rungs come due together.
            contact = sum(Whom.NEXT in each.whom for each in self.ladder.rungs[: number + 1])
            contacts = {line.facility.id: contact for line in silent if contact < len(line.facility.mails)}
        to_call = tuple(line.facility.id for line in silent) if Whom.STAFF in rung.whom else ()
        climbed = Climbed(contacts, to_call)
        if silent:
            said = {"rung": number, "unacknowledged": len(silent), "told": len(contacts), "to_call": len(to_call)}
            body = {"contacts": contacts, "to_call": list(to_call)}
            try:
                event = Event("facilities.escalated", identifier, said)
                await self.ledger.save_record(rungs_kind(identifier), str(number), 0, body, event)
            except StaleHash:
                return (await self.reach.climbed(identifier))[number]
        return climbed

    async def _tell(self, alert: IssuedAlert, contacts: Mapping[str, int]) -> None:
        """Write down what is to be sent; what was written before stays as it was."""
        known = self.reach.known()
        if contacts and MAIL in self.channels:
            await self.ledger.add_deliveries(
                [
                    NewDelivery(
                        key=f"{alert.identifier}:{MAIL}:{ROOM}/{id_}/{number}",
                        identifier=alert.identifier,
                        channel=MAIL,
                        priority=alert.priority,
                        destinations=(Destination(contact_key(id_, number), known[id_].name if id_ in known else ""),),
                        expires_at=alert.expires_at,
                    )
                    for id_, number in contacts.items()
                ]
            )
            self.ledger.wake()


def _delivery(alert: Alert[Any], batch: str, kind: str, destinations: Sequence[Destination], cost: int) -> NewDelivery:
    return NewDelivery(
        key=f"{alert.identifier}:{batch}",
        identifier=alert.identifier,
        channel=kind,
        priority=priority_of(alert),
        destinations=tuple(destinations),
        expires_at=alert.expires,
        cost=cost,
    )


def _timer(alert: Alert[Any], rung: int, due: Any) -> NewDelivery:
    return NewDelivery(
        key=f"{alert.identifier}:{CLOCK}:{ROOM}/{rung}",
        identifier=alert.identifier,
        channel=CLOCK,
        priority=priority_of(alert),
        destinations=(),
        expires_at=alert.expires,
        not_before=due,
    )
