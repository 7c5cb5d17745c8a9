"""The demo's residents are asked whether they are safe: from the roster's import to the list of those whom somebody visits.

An hour of the ladder passes in half a minute; what the media do takes as long as it takes.

Source: issue "Show 1"; design.md §8.
"""

from collections import Counter
from datetime import timedelta
from typing import Any

from dispatcher.clock import HurriedClock
from dispatcher.model.campaign import Answer, Progress
from dispatcher.tracking.caring import Wish
from dispatcher.tracking.confirmation import Confirmation
from drills.stage import Stage
from drills.world.residents import Residents

RATE = 150.0
"""So many seconds of the ladder in one."""
LAST_RUNG = timedelta(minutes=62)
LONGEST = timedelta(minutes=150)
LOOK_EVERY_S = 0.25
HANDED_ON = 3
"""From this rung on somebody else is asked, in every ladder of the kind."""
BY = "職員0002"


async def ask(city: Stage, residents: Residents, clock: HurriedClock, about: str) -> dict[str, int]:
    """Import, ask, wait until everybody has answered or is on the visit list; the summary's `safety`."""
    roster, confirmation = city.node.roster, city.node.confirmation
    assert roster is not None
    assert confirmation is not None
    changes = await roster.check(residents.roster(), "demo-roster.csv")
    await roster.replace(BY, residents.roster(), "demo-roster.csv", changes.fingerprint)
    async with residents.living():
        clock.hurry(RATE)
        began = clock.now()
        campaign = await confirmation.start(BY, about=about, quarters=(), kind="safety")
        while clock.now() - began < LONGEST:
            await clock.sleep(LOOK_EVERY_S)
            figures = await _figures(confirmation, campaign)
            is_over = clock.now() - began > LAST_RUNG and residents.is_quiet
            if is_over and figures["asked"] and not figures["lost"]:
                break
        clock.hurry(1)
    return await _figures(confirmation, campaign)


async def _figures(confirmation: Confirmation[Any], campaign: str) -> dict[str, int]:
    counts = Counter[str]()
    async for one in confirmation.people(campaign, Wish()):
        counts["asked"] += 1
        counts["conflict"] += one.is_conflict
        counts["escalated"] += one.rung >= HANDED_ON or one.progress is Progress.UNREACHABLE
        if one.answer is not None:
            counts[one.answer] += 1
        else:
            counts["silent"] += 1
    async for one in confirmation.people(campaign, Wish(is_visit=True)):
        counts["visit_list"] += 1
        counts["silent_to_visit"] += one.answer is None
    return {
        "asked": counts["asked"],
        "answered": sum(counts[answer] for answer in Answer),
        **{answer.value: counts[answer] for answer in Answer},
        **{name: counts[name] for name in ("escalated", "visit_list", "conflict")},
        "lost": counts["silent"] - counts["silent_to_visit"],
    }
