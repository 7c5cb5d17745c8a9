"""Rungs: whoever is silent when one is due goes up to it, with the questions that it asks.

One timer for each rung of each ladder of a round stands in the outbox, not one for each person. When it is due, those who are
still silent climb, ROWS of them in one transaction with the deliveries that ask for them: whoever was interrupted goes on where it
stopped, because nobody who has climbed is below the rung any more. After an outage several rungs are due at once, and nobody has
had time to answer between them: each of the silent then waits a part of the ladder's own time before they climb again.

Source: design.md §5 "Submit", §8.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from config.ladders import Kind, Ladder, Whom
from dispatcher.campaigns import ROWS, SILENT, Asked, Campaign, Climbing, Wanted
from dispatcher.channel import Channel
from dispatcher.clock import Clock
from dispatcher.errors import StaleHash
from dispatcher.ledger import Event, Ledger
from dispatcher.model.campaign import Progress
from dispatcher.model.mode import M
from dispatcher.model.policy import Contact, asked_on, on_rung
from dispatcher.tracking.confirmation.case import SOURCES, Case
from dispatcher.tracking.confirmation.keys import Keys
from dispatcher.tracking.confirmation.outbox import Place, link_name, questions
from dispatcher.tracking.confirmation.round import OWN, Round
from dispatcher.tracking.tokens import hashed

T = TypeVar("T")
TERMINAL = "ip_terminal"
TIME_TO_ANSWER = 0.5
"""Of the ladder's time between two rungs, at least, for each person; the rest is room for the slow climb of a whole city."""


@dataclass(frozen=True, slots=True)
class Rungs(Generic[M]):
    """Moves people up their ladders."""

    ledger: Ledger
    channels: Mapping[str, Channel[M, Any]]
    ladders: Mapping[str, Ladder]
    clock: Clock

    async def climb(
        self, campaign: Campaign, body: Round, keys: Keys, number: int, name: str, rung: int
    ) -> datetime | None:
        """All who are silent in this round and below this rung of this ladder, and have had time to answer where they stand.

        By way of every rung before it: after an outage several timers are due, and the last of them may come first.
        Returns when the first of those whose time is not over is to climb; None: this rung has nobody left to wait for.
        """
        again: list[datetime] = []
        wanted = Wanted(progress=SILENT, ladder=name, round=number, below_rung=rung)
        async for some in parts(self.ledger.campaigns.each(campaign.id, wanted)):
            busy = await self.busy(body, keys)
            still = {row.id: row for row in some if row.codes.quarter not in busy}
            cases = {row.id: Case.read(keys.open(row.sealed, row.id)) for row in still.values()}
            now = self.clock.now()
            for step in range(1, rung + 1):
                due = {id_: row for id_, row in still.items() if row.rung < step and self._due(row, step) <= now}
                below, seen = {id_: cases[id_] for id_ in due}, {id_: row.rung for id_, row in due.items()}
                going, gone = await self.up(campaign, body, keys, name, number, step, below, seen=seen)
                # Whoever was going and has not gone was moved by another timer meanwhile, and has to be looked at again.
                still |= {i: replace(due[i], rung=step if i in gone else seen[i], moved_at=now) for i in going}
            ahead = (self._due(row, step) for row in still.values() for step in range(row.rung + 1, rung + 1))
            again += sorted(at for at in ahead if at > now)[:1]
        return min(again, default=None)

    def _due(self, row: Asked, rung: int) -> datetime:
        """When this person has had time to answer before they go up to this rung."""
        rungs = self.ladders[row.codes.ladder].rungs
        return row.moved_at + TIME_TO_ANSWER * timedelta(seconds=rungs[rung].after - rungs[row.rung].after)

    async def busy(self, body: Round, keys: Keys) -> set[str]:
        """Codes of quarters where the daily touch pauses, because people there are asked whether they are safe."""
        if body.kind != Kind.WATCH:
            return set()
        others = [Round.of(one) for one in await self.ledger.campaigns.all()]
        open_ = [other for other in others if other.is_open and other.kind == Kind.SAFETY]
        return {keys.code("quarter", quarter) for other in open_ for quarter in other.quarters}

    async def up(
        self,
        campaign: Campaign,
        body: Round,
        keys: Keys,
        name: str,
        number: int,
        rung: int,
        cases: Mapping[str, Case],
        *,
        seen: Mapping[str, int] = MappingProxyType({}),
        is_lost: bool = False,
    ) -> tuple[Sequence[str], AbstractSet[str]]:
        """These people go up to this rung, with what asks for them there; whoever has nobody on it waits for the next one.

        `seen`: as Climbing. Returns who was going, and who went.
        """
        ladder = self.ladders[name]
        step = ladder.rungs[rung]
        is_last = rung == len(ladder.rungs) - 1
        places = {
            id_: [Place(id_, number, rung, i) for i in asked_on(ladder, rung, case.contacts)]
            for id_, case in cases.items()
        }
        holders: dict[str, str] = {}
        if Whom.SUPPORTER in step.whom:
            places, holders = await self._supported(campaign.id, keys, cases, places, rung, ladder)
        going = [id_ for id_, found in places.items() if found or is_last]
        own = set(step.whom) <= OWN
        progress = Progress.REMINDED if own else Progress.ESCALATED
        if is_last and is_lost:
            progress = Progress.UNREACHABLE
        # Who may be asked in the place of another has a link from now on: a refusal comes when nobody climbs.
        may_be = {
            id_: [Place(id_, number, rung, i) for i in on_rung(ladder, rung, cases[id_].contacts)] for id_ in going
        }
        tokens = {
            hashed(keys.token(place.person, link_name(contact, place.contact))): (
                place.person,
                SOURCES[contact.whom].value,
            )
            for place, contact in _asked(cases, may_be)
        }
        tokens |= await self._buttons(keys, _asked(cases, may_be) if not own else ())
        if not going:
            return (), frozenset()
        climbing = Climbing(number, rung, progress, going, holders, tokens, seen=seen)
        what = f"{number}/{name}/{rung}"
        deliveries = questions(campaign.id, body, what, _asked(cases, places), self.channels)
        event = Event("safety.climbed", campaign.id, {"round": number, "ladder": name, "rung": rung})
        gone = await self.ledger.campaigns.climb(campaign.id, climbing, deliveries, event)
        self.ledger.wake()
        return going, frozenset(gone)

    async def _supported(
        self,
        campaign: str,
        keys: Keys,
        cases: Mapping[str, Case],
        places: Mapping[str, Sequence[Place]],
        rung: int,
        ladder: Ladder,
    ) -> tuple[dict[str, list[Place]], dict[str, str]]:
        """To each the first of their supporters who has room for one case more, and who that is."""
        held = Counter(await self.ledger.campaigns.open_cases(campaign))
        chosen: dict[str, list[Place]] = {}
        holders: dict[str, str] = {}
        for id_, found in places.items():
            chosen[id_] = []
            for i in on_rung(ladder, rung, cases[id_].contacts) if found else ():
                holder = holder_code(keys, cases[id_].contacts[i])
                if held[holder] < ladder.most_cases:
                    held[holder] += 1
                    holders[id_] = holder
                    chosen[id_] = [replace(found[0], contact=i)]
                    break
        return chosen, holders

    async def next_supporter(self, campaign: str, keys: Keys, place: Place, row: Asked, case: Case) -> int | None:
        """The contact of the next supporter who has room, and the case is theirs; None: there is none left."""
        ladder = self.ladders[row.codes.ladder]
        places: dict[int, str] = {i: str(replace(place, contact=i)) for i in on_rung(ladder, place.rung, case.contacts)}
        refused = {str(place), *await self.ledger.refused(campaign, sorted(places.values()))}
        held = await self.ledger.campaigns.open_cases(campaign)
        for i, address in places.items():
            holder = holder_code(keys, case.contacts[i])
            # Whoever has the case may have a second address.
            if address not in refused and (holder == row.holder or held.get(holder, 0) < ladder.most_cases):
                facts = {"round": place.round, "ladder": row.codes.ladder, "rung": place.rung}
                with suppress(StaleHash):  # an answer came in, or staff have taken it on
                    await self.ledger.campaigns.mark(
                        campaign, row.id, row.version, Event("safety.climbed", campaign, facts), holder=holder
                    )
                return i
        return None

    async def _buttons(self, keys: Keys, asked: Iterable[tuple[Place, Contact]]) -> dict[str, tuple[str, str]]:
        """By which a terminal's button finds these people, each on the first place of the terminal that nobody has."""
        tokens: dict[str, tuple[str, str]] = {}
        for place, contact in asked:
            if contact.channel == TERMINAL:
                number = 0
                while (at := await self._at(button := hashed(keys.button(contact.address, number)), tokens)) not in {
                    None,
                    place.person,
                }:
                    number += 1
                if at is None:
                    tokens[button] = (place.person, SOURCES[contact.whom].value)
        return tokens

    async def _at(self, button: str, new: Mapping[str, tuple[str, str]]) -> str | None:
        """Who stands at this place of a terminal; None: nobody does yet."""
        if button in new:
            return new[button][0]
        kept = await self.ledger.campaigns.by_token(button)
        return kept[0].id if kept else None


def holder_code(keys: Keys, contact: Contact) -> str:
    """Of the supporter whom a contact reaches: by their common ID where the roster knows them."""
    return keys.code("holder", contact.who or contact.address)


def _asked(cases: Mapping[str, Case], places: Mapping[str, Sequence[Place]]) -> list[tuple[Place, Contact]]:
    return [(place, cases[id_].contacts[place.contact]) for id_, found in places.items() for place in found]


async def parts(source: AsyncIterator[T]) -> AsyncIterator[list[T]]:
    """So many at once as go into one transaction."""
    part: list[T] = []
    async for one in source:
        part.append(one)
        if len(part) == ROWS:
            yield part
            part = []
    if part:
        yield part
