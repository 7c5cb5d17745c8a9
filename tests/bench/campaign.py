"""A campaign under kill -9 at random moments: no answer that was thanked for and no rung of the ladder is lost, few are asked twice.

* campaign.answers_lost, campaign.timers_lost: people whose answer, or whose next rung, is gone; the baseline is how many there were;
* campaign.twice: mails sent a second time (with the same Message-ID) ÷ those that may have been under way at the kills.

Source: issue "Show 4"; design.md §11 P1.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

from config.cities import load
from drills.world.email_list import World
from tests.bench.row import Row, at_most
from tests.servers.killed_campaign import Survived, survive

NAMES = ("campaign.answers_lost", "campaign.timers_lost", "campaign.twice")
PEOPLE, KILLS = 2_000, 12


def rows(wanted: set[str]) -> Iterator[Row]:
    survived = asyncio.run(_survive())
    if survived.complaints:
        raise ValueError(f"the audit has {survived.complaints} complaints")
    unit = f"of {survived.people:,}, {KILLS} kills"
    made = (
        at_most("campaign.answers_lost", survived.answers_lost, survived.kept, "of those thanked for", 0.0),
        at_most("campaign.timers_lost", survived.timers_lost, survived.people, unit, 0.0),
        at_most("campaign.twice", survived.repeats, survived.window, "mails ÷ under way", 1.0),
    )
    yield from (row for row in made if row.name in wanted)


async def _survive() -> Survived:
    with tempfile.TemporaryDirectory(prefix="todoke-campaign-") as folder:
        async with World(Path(folder) / "world", load("mitaka"), 1) as world:
            return await survive(Path(folder), world, people=PEOPLE, kills=KILLS, seed=20261121)
