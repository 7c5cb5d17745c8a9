"""Reports of people known by name alone: each finds whom it is about where that is exactly one person; staff match the rest.

It is done behind everything, some time after the report: how long an answer takes must not say whether there is such a person.
Whoever types a name, a birth date and a quarter is nobody that we know, so what they say counts as an anonymous report: "help" is
believed, "ok" alone stops nothing (model/campaign.py).

Source: design.md §8; PFIF 1.4 §"note"; tracking/answering.py `report`.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic

from dispatcher.campaigns import Campaign, Campaigns, Wanted
from dispatcher.clock import Clock
from dispatcher.errors import NotFound, StaleHash
from dispatcher.ledger import Event, Ledger
from dispatcher.model.campaign import Answer, Reply, Source
from dispatcher.model.mode import M
from dispatcher.model.typed import phone
from dispatcher.tracking.caring import Unmatched
from dispatcher.tracking.confirmation.case import Case
from dispatcher.tracking.confirmation.hearing import Hearing, read_reported
from dispatcher.tracking.confirmation.keys import KeyRing, Keys
from dispatcher.tracking.confirmation.outbox import timer
from dispatcher.tracking.confirmation.round import Round
from dispatcher.tracking.confirmation.tending import Tending

WHAT = "match"
EVERY_S = 60


def due_after(at: datetime) -> tuple[str, datetime]:
    """Name and time of the look that takes in a report of this moment: one for all of a minute."""
    number = int(at.timestamp()) // EVERY_S + 1
    return f"{WHAT}/{number}", at + timedelta(seconds=number * EVERY_S - at.timestamp())


async def look_later(ledger: Ledger, clock: Clock, campaign: Campaign) -> None:
    """A report came in that might find its person by itself."""
    what, due = due_after(clock.now())
    await ledger.add_deliveries([timer(campaign.id, Round.of(campaign), what, due)])


@dataclass(frozen=True, slots=True)
class Matching(Generic[M]):
    """Reports that wait for their person."""

    campaigns: Campaigns
    ring: KeyRing
    hearing: Hearing[M]
    tending: Tending[M]

    async def unmatched(self, campaign: str) -> Sequence[Unmatched]:
        """As Caring.unmatched."""
        keys = self.ring.of(await self.campaigns.get(campaign))
        found = []
        for kept in await self.campaigns.replies(campaign, ""):
            if not kept.settled:
                said = read_reported(keys.open(kept.sealed, f"reply:{kept.id}"))
                found.append(
                    Unmatched(
                        kept.id,
                        kept.at,
                        said.answer,
                        said.saw,
                        said.medium,
                        said.name,
                        said.birth_date,
                        said.phone,
                        said.quarter,
                        said.details,
                    )
                )
        return found

    async def match_by_itself(self, campaign: str) -> None:
        """Reports that are about exactly one person join theirs."""
        kept = await self.campaigns.get(campaign)
        if kept.is_destroyed or not Round.of(kept).is_open:
            return
        reports = {one.id: one for one in await self.unmatched(campaign)}
        found = await matches(self.campaigns, campaign, self.ring.of(kept), list(reports.values()))
        for report, person in found.items():
            said = reports[report]
            reply = Reply(said.answer, Source.ANONYMOUS, said.saw, said.medium, said.at, said.details)
            await self.hearing.told("", campaign, person, reply)
            event = Event("safety.matched", campaign, {"by": "", "report": report, "person": person})
            with suppress(StaleHash):  # staff were faster
                await self.campaigns.settle(campaign, report, person, event)

    async def match(self, by: str, campaign: str, report: str, person: str) -> None:
        """As Caring.match."""
        event = Event("safety.matched", campaign, {"by": by, "report": report, "person": person})
        if person:
            said = next((one for one in await self.unmatched(campaign) if one.id == report), None)
            if said is None:
                raise NotFound("その知らせはありません (no such open report)")
            now = await self.tending.person(campaign, person)
            # Whoever typed a name says that it is theirs: not enough to call back who is on the way to somebody in need.
            is_self = said.details.get("about") == "self" and now.answer not in {Answer.HURT, Answer.HELP}
            source = Source.SELF if is_self else Source.ANONYMOUS
            reply = Reply(said.answer, source, said.saw, said.medium, said.at, said.details)
            await self.hearing.told(by, campaign, person, reply)
        await self.campaigns.settle(campaign, report, person or "dismissed", event)


async def matches(campaigns: Campaigns, campaign: str, keys: Keys, reports: Sequence[Unmatched]) -> Mapping[str, str]:
    """Report → the one person of the campaign whom it is about. Each quarter that is named is read through once."""
    of_quarter: dict[str, list[Unmatched]] = defaultdict(list)
    for report in reports:
        # Without a quarter everybody would have to be opened; without more than a name nobody can be sure.
        if report.quarter and (report.birth_date or report.phone):
            of_quarter[report.quarter].append(report)
    found: dict[str, list[str]] = defaultdict(list)
    for quarter, some in of_quarter.items():
        async for row in campaigns.each(campaign, Wanted(quarter=keys.code("quarter", quarter))):
            case = Case.read(keys.open(row.sealed, row.id))
            for report in some:
                if _is_about(report, case):
                    found[report.id].append(row.id)
    return {report: people[0] for report, people in found.items() if len(people) == 1}


def _is_about(report: Unmatched, case: Case) -> bool:
    if _name(report.name) not in {_name(case.name), _name(case.kana)}:
        return False
    if report.birth_date and case.birth_date:
        return report.birth_date == case.birth_date
    return bool(report.phone) and report.phone in {phone(number) for number in case.phones}


def _name(text: str) -> str:
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text)).casefold()
