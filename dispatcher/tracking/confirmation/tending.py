"""Tending: what staff see of the people of a campaign, and do about them.

Source: design.md §8; tracking/caring.py.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

from config.city import City
from config.ladders import Ladder
from dispatcher.campaigns import Asked, Campaigns, Counted, Wanted
from dispatcher.errors import IllegalTransition, NotFound, Refused
from dispatcher.ledger import Event
from dispatcher.model.campaign import SILENT, Answer, CaseEvent, Progress, Reply, advance
from dispatcher.model.mode import M
from dispatcher.tracking.caring import Cell, Somebody, Wish
from dispatcher.tracking.confirmation.case import EVERYBODY, Case
from dispatcher.tracking.confirmation.hearing import Hearing
from dispatcher.tracking.confirmation.keys import KeyRing, Keys
from dispatcher.tracking.confirmation.round import Round

OVER = frozenset({Progress.RESOLVED, Progress.EXEMPT, Progress.CLOSED})
"""To whom nobody goes any more."""
STAFF = "staff:"
"""Before the name of a member of staff who has taken a case on; supporters are held as codes."""


@dataclass(frozen=True, slots=True)
class Tending(Generic[M]):
    """Everybody counted, somebody unsealed, a case taken on and resolved."""

    campaigns: Campaigns
    ladders: Mapping[str, Ladder]
    ring: KeyRing
    city: City
    hearing: Hearing[M]

    # -- seen --------------------------------------------------------------------------------------------------------

    async def cells(self, campaign: str) -> Sequence[Cell]:
        """As Caring.cells."""
        kept = await self.campaigns.get(campaign)
        if kept.is_destroyed:
            return ()
        keys = self.ring.of(kept)
        body: Round = Round.of(kept)
        quarters = {keys.code("quarter", quarter): quarter for quarter in self.city.quarters}
        cohorts = {keys.code("cohort", cohort): cohort for cohort in (EVERYBODY, *body.cohorts)}
        facilities = {keys.code("facility", facility): facility for facility in body.facilities}
        answers = {keys.standing(answer): answer for answer in (None, *Answer)}
        restricted = keys.code("restricted", "yes")
        return [
            Cell(
                quarter=quarters.get(counted.codes.quarter, ""),
                cohort=cohorts.get(counted.codes.cohort, ""),
                facility=facilities.get(counted.codes.facility, ""),
                is_restricted=counted.codes.restricted == restricted,
                answer=answers[counted.standing],
                progress=Progress(counted.progress),
                is_conflict=counted.is_conflict,
                is_visited=self._is_visited(body, answers[counted.standing], counted),
                count=counted.count,
            )
            for counted in await self.campaigns.totals(campaign)
        ]

    def _is_visited(self, body: Round, answer: Answer | None, counted: Counted) -> bool:
        """As Cell.is_visited."""
        if answer is Answer.OK or counted.progress in OVER:
            return False
        is_last = self._is_last(body, counted.codes.ladder, counted.rung, counted.progress)
        return answer is not None or counted.is_held or is_last

    def _is_last(self, body: Round, ladder: str, rung: int, progress: str) -> bool:
        """Somebody of the staff goes there, though nothing was heard; to nobody where it was a mistake to ask them."""
        is_on_last = progress == Progress.ESCALATED and rung == len(self.ladders[ladder].rungs) - 1
        return not body.because and (is_on_last or progress == Progress.UNREACHABLE)

    async def people(self, campaign: str, wish: Wish, *, after: str = "") -> AsyncIterator[Somebody]:
        """As Caring.people."""
        kept = await self.campaigns.get(campaign)
        keys, body = self.ring.of(kept), Round.of(kept)
        wanted = Wanted(
            progress=None if wish.progress is None else tuple(wish.progress),
            restricted=None
            if wish.is_restricted is None
            else keys.code("restricted", "yes" if wish.is_restricted else "no"),
            is_conflict=wish.is_conflict,
        )
        answers = None if wish.answers is None else {keys.standing(answer) for answer in wish.answers}
        quarters = None if wish.quarters is None else {keys.code("quarter", quarter) for quarter in wish.quarters}
        async for row in self.campaigns.each(campaign, wanted, after=after):
            if answers is not None and row.standing not in answers:
                continue
            if quarters is not None and row.codes.quarter not in quarters:
                continue
            if wish.is_visit is None or wish.is_visit == self._is_visit(body, keys, row):
                heard = await self.hearing.replies(keys, campaign, row)
                yield self._somebody(keys, row, heard[-1:])

    async def silent(self, campaign: str, at_most: int, *, after: str = "") -> Sequence[Somebody]:
        """As Caring.silent."""
        keys = self.ring.of(await self.campaigns.get(campaign))
        wanted = Wanted(progress=(*SILENT, Progress.UNREACHABLE), restricted=keys.code("restricted", "no"))
        rows = await self.campaigns.furthest(campaign, wanted, at_most, after=after)
        return [self._somebody(keys, row, (await self.hearing.replies(keys, campaign, row))[-1:]) for row in rows]

    def _is_visit(self, body: Round, keys: Keys, row: Asked) -> bool:
        if row.progress in OVER:
            return False
        in_need = row.standing in {keys.standing(Answer.HELP), keys.standing(Answer.HURT)}
        return in_need or self._is_last(body, row.codes.ladder, row.rung, row.progress)

    async def person(self, campaign: str, person: str) -> Somebody:
        """As Caring.person."""
        keys = self.ring.of(await self.campaigns.get(campaign))
        row = await self._row(campaign, person)
        return self._somebody(keys, row, await self.hearing.replies(keys, campaign, row))

    async def _row(self, campaign: str, person: str) -> Asked:
        rows = await self.campaigns.rows(campaign, [person])
        if not rows:
            raise NotFound("その人はいません (no such person)")
        return rows[0]

    def _somebody(self, keys: Keys, row: Asked, replies: Sequence[Reply]) -> Somebody:
        case = Case.read(keys.open(row.sealed, row.id))
        answers = {keys.standing(answer): answer for answer in (None, *Answer)}
        names = {keys.code("holder", c.who or c.address): c.name or c.who for c in case.contacts if c.who}
        return Somebody(
            id=row.id,
            version=row.version,
            name=case.name,
            kana=case.kana,
            quarter=case.quarter,
            address=case.address,
            phones=case.phones,
            relative_phones=case.relative_phones,
            language=case.language,
            cohorts=case.cohorts,
            facility=case.facility,
            note=case.note,
            has_consented=case.has_consented,
            is_restricted=case.is_restricted,
            answer=answers[row.standing],
            progress=Progress(row.progress),
            round=row.round,
            rung=row.rung,
            is_conflict=row.is_conflict,
            holder=names.get(row.holder, row.holder.removeprefix(STAFF)),
            moved_at=row.moved_at,
            replies=replies,
        )

    # -- done --------------------------------------------------------------------------------------------------------

    async def take_on(self, by: str, campaign: str, person: str) -> None:
        """As Caring.take_on."""
        row = await self._row(campaign, person)
        if row.holder.startswith(STAFF) and row.holder != STAFF + by:
            raise Refused("ほかの職員が引き受けています (somebody has taken it on already)")
        event = Event("safety.taken-on", campaign, {"by": by, "person": person})
        await self.campaigns.mark(campaign, person, row.version, event, holder=STAFF + by)

    async def move(self, by: str, campaign: str, person: str, happened: CaseEvent) -> None:
        """Staff have seen to them, or they need not be asked. Raises Refused: done already."""
        row = await self._row(campaign, person)
        try:
            progress = advance(Progress(row.progress), happened)
        except IllegalTransition:
            raise Refused("この人については、もう済んでいます (done already)") from None
        event = Event(f"safety.{happened}", campaign, {"by": by, "person": person})
        await self.campaigns.mark(campaign, person, row.version, event, progress=progress, is_conflict=False)
