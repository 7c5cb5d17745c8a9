"""Enrolling: everybody of the roster is written down and asked in the same transaction; in a later round, asked again.

Whoever was interrupted goes on where it stopped: who is written down already is passed over, who has begun a round does not begin
it twice. When all are, the round's timers are parked, one for each rung of each ladder that somebody stands on.

Source: design.md §5 "Submit", §8.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Generic

from config.ladders import Ladder, Whom
from dispatcher.campaigns import ROSTER, Campaign, Climbing, Codes, NewAsked
from dispatcher.channel import Channel
from dispatcher.errors import NotFound, StaleHash, StorageFull
from dispatcher.ledger import Event, Ledger
from dispatcher.model.campaign import Answer, Progress
from dispatcher.model.mode import M
from dispatcher.model.policy import Contact, first_on, ladder_of, on_rung
from dispatcher.tracking.confirmation.case import SOURCES, Case, cohort_of
from dispatcher.tracking.confirmation.keys import Keys
from dispatcher.tracking.confirmation.outbox import Place, link_name, questions, timer
from dispatcher.tracking.confirmation.round import OWN, Round
from dispatcher.tracking.confirmation.rungs import TERMINAL, parts
from dispatcher.tracking.tokens import hashed

People = Callable[[Sequence[str]], AsyncIterator[tuple[str, Case]]]
"""The roster's people of these quarters, each with their common id."""
EVERY = "every"
"""Stands for the ladder on rung 0, which is the same moment for all of them."""


@dataclass(frozen=True, slots=True)
class _Beginning:
    """Where somebody begins whose contacts are of these sorts: the rung, the contacts asked on it, and those that may be."""

    rung: int
    asked: Sequence[int]
    may_be: Sequence[int]


@dataclass(frozen=True, slots=True)
class Enrolling(Generic[M]):
    """Begins a round for everybody whom it asks."""

    ledger: Ledger
    channels: Mapping[str, Channel[M, Any]]
    ladders: Mapping[str, Ladder]
    people: People

    async def enrol(self, campaign: Campaign, keys: Keys, number: int) -> None:
        """Write down everybody of the roster and ask them; or, in a later round, ask those again who are there."""
        body = Round.of(campaign)
        seen: dict[str, set[str]] = {"cohort": set(body.cohorts), "facility": set(body.facilities), "ladder": set()}
        if number == 1:
            roster = -1
            # Who comes into the roster behind where it is being read is there when it is read again.
            while roster != (roster := await self._roster()):
                try:
                    await self._write_down(campaign, body, keys, seen)
                except* StorageFull as full:
                    raise full.exceptions[0] from None
            # The roster may have become another one half way; a ladder without timers would leave its people to silence.
            seen["ladder"].update(counted.codes.ladder for counted in await self.ledger.campaigns.totals(campaign.id))
        else:
            await self._ask_again(campaign, body, keys, number, seen["ladder"])
        while True:
            campaign = await self.ledger.campaigns.get(campaign.id)
            body = Round.of(campaign)
            if not body.is_open:
                return
            new = replace(
                body,
                is_enrolled=number == len(body.rounds),
                cohorts=tuple(sorted(seen["cohort"])),
                facilities=tuple(sorted(seen["facility"])),
            )
            timers = [
                timer(
                    campaign.id,
                    body,
                    f"rung/{number}/{name}/{rung.rung}",
                    body.due(number, self.ladders[name], rung.rung),
                )
                for name in sorted(seen["ladder"])
                for rung in self.ladders[name].rungs[1:]
            ]
            event = Event("safety.asked", campaign.id, {"round": number, "ladders": sorted(seen["ladder"])})
            try:
                await self.ledger.campaigns.move(campaign.id, campaign.version, new.body(), event, timers)
            except StaleHash:
                continue
            self.ledger.wake()
            return

    async def _roster(self) -> int:
        """Which one holds, as a number that every import moves."""
        try:
            return (await self.ledger.read_record(*ROSTER))[0]
        except NotFound:
            return 0

    async def _write_down(self, campaign: Campaign, body: Round, keys: Keys, seen: Mapping[str, set[str]]) -> None:
        at_terminal: Counter[str] = Counter()
        before: asyncio.Task[None] | None = None
        is_begun = bool(await self.ledger.campaigns.totals(campaign.id))

        @lru_cache  # a few sorts of people, and 100,000 of them
        def ladder(cohorts: tuple[str, ...]) -> str:
            return ladder_of(self.ladders, body.ladder_kind, cohorts)

        @lru_cache
        def beginning(name: str, sorts: tuple[tuple[Whom, str], ...]) -> _Beginning:
            contacts = [Contact(whom, channel, "") for whom, channel in sorts]
            rung, asked = first_on(self.ladders[name], contacts)
            return _Beginning(rung, asked, on_rung(self.ladders[name], rung, contacts))

        async with asyncio.TaskGroup() as writers:
            async for some in parts(self.people(body.quarters)):
                ids = [keys.person(pid) for pid, _ in some]
                there = {row.id for row in await self.ledger.campaigns.rows(campaign.id, ids)}
                new: list[NewAsked] = []
                asked: list[tuple[Place, Contact]] = []
                for id_, (_, case) in zip(ids, some, strict=True):
                    try:
                        name = ladder(case.cohorts)
                    except LookupError:
                        continue
                    seen["ladder"].add(name)
                    seen["cohort"].add(cohort_of(self.ladders[name], case))
                    seen["facility"].update(filter(None, [case.facility]))
                    if id_ in there:
                        continue
                    if is_begun:
                        await self._count_buttons(keys, case, at_terminal)
                    begin = beginning(name, tuple([(c.whom, c.channel) for c in case.contacts]))
                    one, theirs = self._new(keys, id_, case, name, begin, at_terminal)
                    new.append(one)
                    asked += theirs
                # One lot is written while the next one is sealed, and no more than one.
                if before is not None:
                    await before
                if not Round.of(await self.ledger.campaigns.get(campaign.id)).is_open:
                    return
                before = writers.create_task(self._add(campaign.id, body, new, asked))

    async def _add(
        self, campaign: str, body: Round, new: Sequence[NewAsked], asked: Sequence[tuple[Place, Contact]]
    ) -> None:
        if new:
            deliveries = questions(campaign, body, f"1/{EVERY}/0", asked, self.channels)
            added = Event("safety.added", campaign, {"count": len(new)})
            await self.ledger.campaigns.add(campaign, new, deliveries, added)
            self.ledger.wake()

    async def _count_buttons(self, keys: Keys, case: Case, at_terminal: Counter[str]) -> None:
        """How many stand at this person's terminals already: they have the first places, and nobody after a gap is found."""
        for contact in case.contacts:
            if contact.channel == TERMINAL and contact.address not in at_terminal:
                number = 0
                while await self.ledger.campaigns.by_token(hashed(keys.button(contact.address, number))):
                    number += 1
                at_terminal[contact.address] = number

    def _new(
        self, keys: Keys, id_: str, case: Case, name: str, begin: _Beginning, at_terminal: Counter[str]
    ) -> tuple[NewAsked, list[tuple[Place, Contact]]]:
        ladder = self.ladders[name]
        theirs = [(Place(id_, 1, begin.rung, i), case.contacts[i]) for i in begin.asked]
        may_be = [(i, case.contacts[i]) for i in begin.may_be]
        tokens = {
            hashed(keys.token(id_, name)): SOURCES[contact.whom].value
            for name, contact in {link_name(contact, i): contact for i, contact in may_be}.items()
        }
        buttons = {c.address: SOURCES[Whom.SELF] for c in case.contacts if c.channel == TERMINAL and c.whom in OWN}
        for _, contact in may_be:
            if contact.channel == TERMINAL:
                buttons.setdefault(contact.address, SOURCES[contact.whom])
        for tid, source in buttons.items():
            tokens[hashed(keys.button(tid, at_terminal[tid]))] = source.value
            at_terminal[tid] += 1
        codes = Codes(
            cohort=keys.code("cohort", cohort_of(ladder, case)),
            quarter=keys.code("quarter", case.quarter),
            facility=keys.code("facility", case.facility),
            restricted=keys.code("restricted", "yes" if case.is_restricted else "no"),
            ladder=name,
        )
        return (
            NewAsked(
                id=id_,
                codes=codes,
                standing=keys.standing(None),
                sealed=keys.close(case.written(), id_),
                tokens=tokens,
                progress=_progress(begin.rung, begin.asked, Progress.ASKED),
                rung=begin.rung,
            ),
            theirs,
        )

    async def _ask_again(self, campaign: Campaign, body: Round, keys: Keys, number: int, ladders: set[str]) -> None:
        """Whatever was heard before says nothing of now; but the exempt stay exempt, and who needs somebody stays on their list."""
        quarters = {keys.code("quarter", quarter) for quarter in body.rounds[number - 1].quarters}
        needs = [keys.standing(answer) for answer in (Answer.HURT, Answer.HELP)]
        async for rows in parts(self.ledger.campaigns.each(campaign.id)):
            some = [row for row in rows if not quarters or row.codes.quarter in quarters]
            ladders.update(row.codes.ladder for row in some)
            begun: dict[tuple[int, Progress], list[tuple[Place, Contact]]] = defaultdict(list)
            ids: dict[tuple[int, Progress], list[str]] = defaultdict(list)
            for row in some:
                case = Case.read(keys.open(row.sealed, row.id))
                rung, found = first_on(self.ladders[row.codes.ladder], case.contacts)
                progress = _progress(rung, found, Progress.REASKED)
                ids[rung, progress].append(row.id)
                begun[rung, progress] += [(Place(row.id, number, rung, i), case.contacts[i]) for i in found]
            for (rung, progress), who in ids.items():
                event = Event("safety.reasked", campaign.id, {"round": number})
                climbing = Climbing(number, rung, progress, who, standing=keys.standing(None), needs=needs)
                what = f"{number}/{EVERY}/0"
                deliveries = questions(campaign.id, body, what, begun[rung, progress], self.channels)
                await self.ledger.campaigns.climb(campaign.id, climbing, deliveries, event)
            self.ledger.wake()


def _progress(rung: int, found: Sequence[int], own: Progress) -> Progress:
    """Of whoever begins on this rung; `own`: if it is their own."""
    if not found:
        return Progress.UNREACHABLE
    return Progress.ESCALATED if rung else own
