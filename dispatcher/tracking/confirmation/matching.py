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
from datetime import datetime, timedelta

from dispatcher.campaigns import Campaigns, Wanted
from dispatcher.model.typed import phone
from dispatcher.tracking.caring import Unmatched
from dispatcher.tracking.confirmation.case import Case
from dispatcher.tracking.confirmation.keys import Keys

WHAT = "match"
EVERY_S = 60


def due_after(at: datetime) -> tuple[str, datetime]:
    """Name and time of the look that takes in a report of this moment: one for all of a minute."""
    number = int(at.timestamp()) // EVERY_S + 1
    return f"{WHAT}/{number}", at + timedelta(seconds=number * EVERY_S - at.timestamp())


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
