"""Looking: what waits, how far each alert has come, what has happened, and the board as it stood at any past moment.

Source: design.md §4 "時点遡及", §9.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from dispatcher.channel import Probe
from dispatcher.clock import JST
from dispatcher.errors import Refused
from dispatcher.ledger import ChannelTally, DestinationStatus, Event, HeldBack, IssuedAlert, Recorded
from dispatcher.model.draft import Draft, State
from dispatcher.model.mode import M
from dispatcher.staff.gates import Closed
from dispatcher.staff.masking import without_address
from dispatcher.staff.rules import Act, Role
from dispatcher.staff.seat import Seat
from dispatcher.staff.sessions import Person

_EARLIEST = datetime(1970, 1, 1, tzinfo=JST)
WAITING = frozenset({State.DRAFT, State.PENDING, State.RETURNED, State.STALE})


@dataclass(frozen=True, slots=True)
class Board:
    """How far an alert has come. `spread`: channel → seconds until half, and 95 %, of those taken were taken."""

    mode: str
    alert: IssuedAlert
    lines: Sequence[ChannelTally]
    spread: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    closed: Mapping[str, Closed] = field(default_factory=dict)
    """Channels that are closed now, "*" for the whole node."""
    held: Mapping[str, HeldBack] = field(default_factory=dict)
    """Channels whose ready deliveries may not start yet."""


_OF_RESIDENTS = ("safety.", "resident.", "residents.", "reply.", "replies.", "roster.")
_OF_STAFF = frozenset({"by", "agreed_by", "about", "kind", "round", "reason", "list", "until", "because"})


def _discreet(one: Recorded) -> Recorded:
    """What an event says to somebody outside the role welfare: what staff did, nobody's pseudonym, no count of residents."""
    if not one.event.name.startswith(_OF_RESIDENTS):
        return one
    facts = {name: value for name, value in one.event.facts.items() if name in _OF_STAFF}
    return replace(one, event=replace(one.event, facts=facts))


class Boards(Seat[M]):
    """The part of the desk that looks; it changes nothing but the last link test."""

    async def status(self, by: Person, *, only_live: bool = False) -> tuple[Sequence[Draft], Sequence[Board]]:
        """What waits, and what is out there; `only_live` leaves out what is over."""
        async with self._acting(by, Act.LOOK):
            drafts = [Draft.from_body(version, body) for _, version, body in await self._path.ledger.drafts()]
            waiting = [d for d in drafts if d.state in WAITING]
            return waiting, [await self._board(a) for a in await self._path.ledger.alerts(only_live=only_live)]

    async def unconfirmed(self, by: Person) -> Sequence[Draft]:
        """事後承認待ち: sent by one person alone and not yet confirmed."""
        async with self._acting(by, Act.LOOK):
            drafts = [Draft.from_body(version, body) for _, version, body in await self._path.ledger.drafts()]
            return [d for d in drafts if d.broken_glass_by and not d.confirmed_by and d.state not in WAITING]

    async def board(self, by: Person, identifier: str) -> Board:
        """One alert, with how long its deliveries took."""
        async with self._acting(by, Act.LOOK):
            alert = await self._path.ledger.alert(identifier)
            spread = await self._path.ledger.spread(identifier)
            lines = await self._path.ledger.tally(identifier)
            return Board(self.mode, alert, lines, spread, self._gates.closed, await self._held(lines))

    async def board_at(self, by: Person, identifier: str, at: datetime) -> Board:
        """時点遡及: the same as it stood then.

        Raises:
            Refused: it had not been issued then.
        """
        async with self._acting(by, Act.LOOK):
            alert = await self._path.ledger.alert(identifier)
            if at < alert.issued_at:
                raise Refused(f"{identifier} は {at:%m月%d日 %H:%M} にはまだ出ていません (not issued at that time)")
            return Board(self.mode, alert, await self._path.ledger.tally_at(identifier, self._past(at)))

    async def timeline(
        self, by: Person, identifier: str | None = None, until: datetime | None = None, limit: int = 500
    ) -> Sequence[Recorded]:
        """経過: what happened, newest first, of one message or of everything."""
        async with self._acting(by, Act.LOOK):
            until = self._past(until) if until is not None else None
            story = await self._path.ledger.story(identifier, until=until, limit=limit)
            return story if Role.WELFARE in by.roles else [_discreet(one) for one in story]

    async def destinations(self, by: Person, identifier: str) -> Sequence[DestinationStatus]:
        """Who has it and who does not, one by one; mail addresses masked."""
        async with self._acting(by, Act.LOOK):
            return [without_address(d) async for d in self._path.ledger.destinations(identifier)]

    async def probe(self, by: Person, kinds: Sequence[str]) -> Mapping[str, Probe]:
        """A link test of these channels (all, when none is named); nothing is sent to residents."""
        async with self._acting(by, Act.LOOK):
            unknown = [k for k in kinds if k not in self._path.channels]
            if unknown:
                there = ", ".join(self._path.channels)
                raise Refused(f"{', '.join(unknown)}: ありません。あるのは {there} (no such channel)")
            probes = {k: await self._path.channels[k].probe() for k in kinds or self._path.channels}
            event = Event("channels.probed", "", {k: p.is_up for k, p in probes.items()})
            await self._path.ledger.append(event)
            self._probed |= {k: (self._path.clock.now(), p) for k, p in probes.items()}
            return probes

    async def lamps(self, by: Person) -> Mapping[str, tuple[datetime, Probe] | None]:
        """Every channel's last link test since this node came up."""
        async with self._acting(by, Act.LOOK):
            return {kind: self._probed.get(kind) for kind in self._path.channels}

    async def verify(self, by: Person) -> Sequence[str]:
        """What is wrong with the ledger; nothing, if not a byte was altered."""
        async with self._acting(by, Act.LOOK):
            return await self._path.ledger.verify()

    def _past(self, at: datetime) -> datetime:
        """The moment that is asked for, within the time of which a ledger can tell."""
        return max(_EARLIEST, min(at, self._path.clock.now()))

    async def _board(self, alert: IssuedAlert) -> Board:
        lines = await self._path.ledger.tally(alert.identifier)
        return Board(self.mode, alert, lines, closed=self._gates.closed, held=await self._held(lines))

    async def _held(self, lines: Sequence[ChannelTally]) -> Mapping[str, HeldBack]:
        queued = {line.channel for line in lines if line.queued or line.retrying} & self._path.channels.keys()
        limits = {kind: self._path.channels[kind].limits for kind in sorted(queued)}
        return await self._path.ledger.held_back(limits, self._path.clock.now()) if limits else {}
