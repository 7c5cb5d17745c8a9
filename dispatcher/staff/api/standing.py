"""What two people agree to once and what then stands: the daily touch (見守り), a release without consent.

Source: design.md §8; dispatcher/staff/asking.py.
"""

from dataclasses import dataclass
from typing import Annotated

from dispatcher.staff.accounts.roles import Scope
from dispatcher.staff.api import shown
from dispatcher.staff.api.alerts import Done
from dispatcher.staff.api.drafts import InMode
from dispatcher.staff.api.route import Call, Nothing, changes, looks
from dispatcher.staff.api.safety import Began, Names
from dispatcher.staff.api.shapes import Facets
from dispatcher.staff.asking import LONGEST_RELEASE_H
from dispatcher.tracking.watching import Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class ToWatch:
    mode: shown.ModeName
    areas: Names = ()
    """Quarters, groups or the city by name."""
    time: Annotated[
        str, Facets(maxLength=20, description="毎日の時刻 06:00〜11:00、日本時間 (HH:MM in Japan, 06:00 to 11:00)")
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToRelease:
    reason: Annotated[str, Facets(maxLength=300)]
    hours: Annotated[int, Facets(minimum=1, maximum=LONGEST_RELEASE_H)]


@dataclass(frozen=True, slots=True)
class DailyTouch:
    """`watch` is null while it is off; what waits for a second person stands in /safety."""

    mode: shown.ModeName
    watch: Watch | None
    place: str


async def read_watch(call: Call[Nothing, Nothing]) -> DailyTouch:
    """毎日の見守り: 動いているか、何時に、どこで (the daily touch: is it on, when, where)"""
    desk, city = call.rooms.desk, call.rooms.city
    watch = await desk.standing_watch(call.who)
    return DailyTouch(shown.mode_name(desk.mode), watch, city.say(watch.quarters, "ja") if watch else "")


async def propose_watch(call: Call[ToWatch, Nothing]) -> Began:
    """毎日の見守りを申請する。二人目が承認すると動く (ask for the daily touch; a second person switches it on)"""
    body = call.body
    quarters = call.rooms.quarters(body.areas, "areas")
    key = await call.rooms.desk.propose_watch(call.who, quarters=quarters, time=body.time, mode=body.mode)
    return Began("", key)


async def end_watch(call: Call[InMode, Nothing]) -> Done:
    """毎日の見守りを止める (switch the daily touch off, at once)"""
    await call.rooms.desk.end_watch(call.who, mode=call.body.mode)
    return Done("ended")


async def propose_release(call: Call[ToRelease, Nothing]) -> Began:
    """災対法49条の11第3項の提供を申請する (ask for a release of the roster without consent)"""
    body = call.body
    return Began("", await call.rooms.desk.propose_release(call.who, reason=body.reason, hours=body.hours))


async def end_release(call: Call[Nothing, Nothing]) -> Done:
    """提供を終える (end the release)"""
    await call.rooms.desk.end_release(call.who)
    return Done("ended")


ROUTES = (
    looks("/daily", Scope.READ, read_watch),
    changes("/daily", Scope.WRITE, propose_watch, status=201),
    changes("/daily/end", Scope.WRITE, end_watch),
    changes("/release", Scope.WRITE, propose_release, status=201),
    changes("/release", Scope.WRITE, end_release, method="DELETE"),
)
