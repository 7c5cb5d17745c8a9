"""Residents by name: every rule of who may see whom, and what is written down of it.

    people          the role welfare alone, each look written down before anything is shown
    閲覧制限          on the sealed list and in no other, found by no search, in nobody else's counts; yet asked and visited
    what is heard   answers for somebody, taking a case on, matching a report

The safety loop (tracking/confirmation/) is asked from here, rounds.py and asking.py, and from nowhere else of the desk.

Source: design.md §8 "Privacy", §9; dispatcher/staff/rules.py and RULES.md.
"""

from bisect import insort
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from dispatcher.errors import Finding, InvalidInput
from dispatcher.ledger import Event
from dispatcher.model.campaign import GRAVITY, Answer, Reply, Source
from dispatcher.model.mode import M
from dispatcher.staff.asking import is_welfare
from dispatcher.staff.cases import (
    HEARD_BY,
    OPEN,
    Case,
    Said,
    UnmatchedReport,
    VisitSheet,
    case_of,
    may_be_about,
    place_of,
    plain,
    report_of,
    searched,
    worst_first,
)
from dispatcher.staff.lookups import LookUps, Why, require_why
from dispatcher.staff.rounds import Overview, Rounds, Row
from dispatcher.staff.rules import Act
from dispatcher.staff.sessions import Person
from dispatcher.tracking.caring import Somebody, Wish

__all__ = ["Case", "Overview", "Row", "Said", "UnmatchedReport", "VisitSheet", "Welfare", "is_welfare"]

SHORTEST_WORDS, LONGEST_WORDS = 2, 60
LONGEST_TEXT = 300
MATCHES_AT_MOST = 5


class Welfare(Rounds[M]):
    """The part of the desk that knows residents."""

    # -- people ------------------------------------------------------------------------------------------------------

    async def urgent(self, by: Person, campaign: str, at_most: int) -> Sequence[Case]:
        """すぐ動く: help, hurt and contradicting reports, the gravest and longest waiting first."""
        async with self._showing(by, campaign, "urgent"):
            least = _Least(at_most, lambda x: (-GRAVITY[x.answer], bool(x.holder), x.moved_at, x.id))
            async for each in self._loop.people(campaign, Wish(progress=OPEN, is_restricted=False)):
                if each.is_conflict or each.answer in {Answer.HELP, Answer.HURT}:
                    least.add(each)
            return [self._case(each) for each in least.kept]

    async def silent(self, by: Person, campaign: str, at_most: int, *, after: str = "") -> Sequence[Case]:
        """Who has not answered, those nearest to the end of the ladder first; `after` is the last one shown before."""
        async with self._showing(by, campaign, "silent"):
            return [self._case(each) for each in await self._loop.silent(campaign, at_most, after=after)]

    async def case(self, by: Person, campaign: str, person: str) -> Case:
        """One person with everything that was heard; written down, and counted against the hour.

        Raises:
            NotFound: nobody of that campaign.
            Throttled: too many this hour.
        """
        async with self._acting(by, Act.PEOPLE):
            await self._one(campaign)
            found = await self._loop.person(campaign, person)
            await self._lookups.count(by, "resident.opened", campaign, {"person": found.id})
            return self._case(found)

    async def look_up(self, by: Person, campaign: str, words: str, *, reason: str, at_most: int) -> Sequence[Case]:
        """人をさがす: by part of a name, an address or a telephone number. People under 閲覧制限 are never found.

        Raises:
            InvalidInput: no reason, or too little to search with.
            Throttled: too many this hour.
        """
        async with self._acting(by, Act.LOOK_UP):
            why, wanted = _looked_for(words, reason)
            await self._one(campaign)
            await self._lookups.count(by, "resident.searched", campaign, {"reason": why})
            found: list[Case] = []
            async for each in self._loop.people(campaign, Wish(is_restricted=False)):
                if any(wanted in text for text in searched(each)):
                    found.append(self._case(each))
                if len(found) == at_most:
                    break
            return found

    async def visits(
        self, by: Person, campaign: str, *, is_sealed: bool = False, for_supporters: bool = False
    ) -> Sequence[VisitSheet]:
        """The visit list, a sheet a quarter in the gazetteer's order; `is_sealed`: of the people under 閲覧制限 alone.

        `for_supporters`: those alone who agreed that supporters are told of them, unless a release is in force.
        """
        what = "sealed" if is_sealed else "supporters" if for_supporters else "visits"
        async with self._showing(by, campaign, what):
            tells_all = not for_supporters or await self._releases.current() is not None
            sheets: dict[str, list[Somebody]] = {}
            # The sealed list has whoever is not known to be safe: those people stand on no other one.
            wish = Wish(is_restricted=is_sealed, is_visit=None if is_sealed else True)
            async for each in self._loop.people(campaign, wish):
                if each.answer is not Answer.OK and each.progress in OPEN and (tells_all or each.has_consented):
                    sheets.setdefault(each.quarter, []).append(each)
            order = list(self._path.city.quarters)
            return [
                VisitSheet(
                    place_of(self._path.city, code), [self._case(x) for x in sorted(sheets[code], key=worst_first)]
                )
                for code in sorted(sheets, key=lambda code: order.index(code) if code in order else len(order))
            ]

    # -- what is heard -----------------------------------------------------------------------------------------------

    async def answer_for(self, by: Person, campaign: str, person: str, said: Said) -> None:
        """Write down what somebody said of a person; durable on return.

        Raises:
            InvalidInput: no such answer or source; words too long or with control characters.
        """
        async with self._acting(by, Act.ANSWER):
            reply = self._reply(by, said)
            await self._require_open(campaign)
            await self._loop.report(by.name, campaign, person, reply)

    async def take_on(self, by: Person, campaign: str, person: str) -> None:
        """引き受ける: this person goes, or sends somebody."""
        async with self._acting(by, Act.CARE):
            await self._one(campaign)
            await self._loop.take_on(by.name, campaign, person)

    async def resolve(self, by: Person, campaign: str, person: str) -> None:
        """Nothing more is to be done for them."""
        async with self._acting(by, Act.CARE):
            await self._one(campaign)
            await self._loop.resolve(by.name, campaign, person)

    async def exempt(self, by: Person, campaign: str, person: str) -> None:
        """They need not be asked (in hospital, away, do not want it), now or when all are asked again."""
        async with self._acting(by, Act.CARE):
            await self._require_open(campaign)
            await self._loop.exempt(by.name, campaign, person)

    async def unmatched(self, by: Person, campaign: str, *, is_sealed: bool = False) -> Sequence[UnmatchedReport]:
        """Reports of people whom nothing but their sender's words tell, oldest first, each with whom it may be about.

        One that may be about somebody under 閲覧制限 is told with the sealed list (`is_sealed`), and there alone.
        """
        async with self._showing(by, campaign, "sealed reports" if is_sealed else "reports"):
            open_ = await self._loop.unmatched(campaign)
            may_be: dict[str, list[Somebody]] = {report.id: [] for report in open_}
            if open_:
                async for each in self._loop.people(campaign, Wish()):
                    for report in open_:
                        if may_be_about(report, each):
                            may_be[report.id].append(each)
            return [
                report_of(report, self._path.city, [self._case(each) for each in may_be[report.id][:MATCHES_AT_MOST]])
                for report in open_
                if any(each.is_restricted for each in may_be[report.id]) == is_sealed
            ]

    async def match(self, by: Person, campaign: str, report: str, person: str) -> None:
        """It is about this person, or with "dismissed" about nobody of ours.

        Raises:
            InvalidInput: nobody was chosen.
        """
        async with self._acting(by, Act.ANSWER):
            if not person:
                raise InvalidInput([Finding("person", "だれのことかを選んでください (choose whom it is about)")])
            await self._require_open(campaign)
            await self._loop.match(by.name, campaign, report, "" if person == "dismissed" else person)

    # -- within ------------------------------------------------------------------------------------------------------

    @property
    def _lookups(self) -> LookUps:
        return LookUps(self._path.ledger, self._path.clock)

    @asynccontextmanager
    async def _showing(self, by: Person, campaign: str, what: str) -> AsyncIterator[None]:
        """Inside, a list of people is shown; that it was is written down first."""
        async with self._acting(by, Act.PEOPLE):
            await self._one(campaign)
            await self._path.ledger.append(Event("residents.listed", campaign, {"by": by.name, "list": what}))
            yield

    def _case(self, found: Somebody) -> Case:
        return case_of(found, self._path.city)

    def _reply(self, by: Person, said: Said) -> Reply:
        findings = []
        if said.by not in HEARD_BY:
            findings.append(Finding("by", f"電話か訪問かを選んでください ({' or '.join(HEARD_BY)})"))
        if said.answer not in set(Answer):
            findings.append(Finding("answer", "無事・けが・助けて のどれかです (ok, hurt or help)"))
        if said.source not in set(Source):
            findings.append(Finding("source", f"だれから聞いたかを選んでください ({', '.join(Source)})"))
        if len(said.text) > LONGEST_TEXT or any(not (c.isprintable() or c in "\r\n") for c in said.text):
            findings.append(Finding("text", f"{LONGEST_TEXT} 字まで、制御文字なしです (so many characters)"))
        if findings:
            raise InvalidInput(findings)
        words = " ".join(said.text.split())
        details = {"by": by.name, **({"note": words} if words else {})}
        saw = said.saw or said.source == Source.STAFF
        return Reply(Answer(said.answer), Source(said.source), saw, said.by, self._path.clock.now(), details)


class _Least:
    """The first so many of a stream in an order, however long it is."""

    def __init__(self, at_most: int, order: Callable[[Somebody], Any]) -> None:
        self.kept: list[Somebody] = []
        self._at_most, self._order = at_most, order

    def add(self, each: Somebody) -> None:
        insort(self.kept, each, key=self._order)
        del self.kept[self._at_most :]


def _looked_for(words: str, reason: str) -> tuple[Why, str]:
    """The reason and what to look for, or everything that is wrong with both."""
    findings: list[Finding] = []
    why = Why.INQUIRY
    try:
        why = require_why(reason)
    except InvalidInput as refused:
        findings += refused.findings
    wanted = plain(words)
    if not SHORTEST_WORDS <= len(wanted) <= LONGEST_WORDS:
        said = f"{SHORTEST_WORDS}〜{LONGEST_WORDS}字でさがしてください (so many characters)"
        findings.append(Finding("words", said))
    if findings:
        raise InvalidInput(findings)
    return why, wanted
