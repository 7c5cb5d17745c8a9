"""What staff keep beside the messages: declarations, saved areas, what was done by hand, field reports; and whom an area reaches.

Source: design.md §9; dispatcher/staff/notebook.py.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from dispatcher.errors import Finding, InvalidInput
from dispatcher.staff import declared
from dispatcher.staff.accounts.roles import Scope
from dispatcher.staff.api import shown
from dispatcher.staff.api.alerts import Done
from dispatcher.staff.api.route import Call, Nothing, asks, changes, looks
from dispatcher.staff.api.shapes import Facets
from dispatcher.staff.areas import SavedArea
from dispatcher.staff.by_hand import Script, Sheet
from dispatcher.staff.reports import Report
from dispatcher.staff.ticks import Tick
from dispatcher.steps.accept import Typed

PHOTO_CHARACTERS = 14_000_000
"""10 MB in base64."""
QUARTERS_AT_MOST = 500

Line = Annotated[str, Facets(maxLength=200)]
Names = Annotated[tuple[Annotated[str, Facets(maxLength=60)], ...], Facets(maxItems=QUARTERS_AT_MOST)]
Version = Annotated[int, Facets(minimum=0, maximum=1_000_000_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToDeclare:
    mode: shown.ModeName
    typed: Typed


@dataclass(frozen=True, slots=True, kw_only=True)
class ToKeepArea:
    quarters: Names
    """Quarters, groups or the city, by name."""
    version: Version | None = None
    """The one that was read, 0 for a new one; without it whatever stands there is replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtVersion:
    version: Annotated[str, Facets(pattern="^[0-9]{1,9}$", description="版 (a version)")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToReach:
    areas: Names


@dataclass(frozen=True, slots=True, kw_only=True)
class ToTick:
    who: Line = ""
    """Who did it; the one who says so, if it is left out."""
    at: Line = ""
    """HH:MM; now, if it is left out."""
    version: Version = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToReport:
    text: Annotated[str, Facets(maxLength=4000)]
    place: Line
    source: Line = ""
    at: Line = ""
    photo: Annotated[str, Facets(maxLength=PHOTO_CHARACTERS, contentEncoding="base64")] | None = None


@dataclass(frozen=True, slots=True)
class SavedAreas:
    areas: tuple[SavedArea, ...]


@dataclass(frozen=True, slots=True)
class KeptArea:
    area: SavedArea
    change: Annotated[str, Facets(enum=["created", "changed", "unchanged"])]
    before: tuple[str, ...]
    """Codes of the quarters that stood there."""


@dataclass(frozen=True, slots=True)
class ChannelReach:
    head_count: int | None
    words: str
    by_quarter: Mapping[str, int | None]
    """By quarter's code; null where the medium counts nobody."""


@dataclass(frozen=True, slots=True)
class Reached:
    channels: Mapping[str, ChannelReach]


@dataclass(frozen=True, slots=True)
class ByHandShown:
    script: Script
    sheets: tuple[Sheet, ...]
    ticks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Ticked:
    tick: Tick


@dataclass(frozen=True, slots=True)
class ReportsShown:
    reports: tuple[Report, ...]


@dataclass(frozen=True, slots=True)
class Reported:
    report: Report


async def declare_message(call: Call[ToDeclare, Nothing]) -> declared.Declared:
    """宣言した文を下書きにする。何度でも同じ結果 (bring a draft to what is declared; nothing goes out)"""
    rooms, body = call.rooms, call.body
    return await declared.declare(rooms.desk, rooms.ledger, call.who, call.path["name"], body.typed, mode=body.mode)


async def list_areas(call: Call[Nothing, Nothing]) -> SavedAreas:
    """保存した区域 (saved areas)"""
    return SavedAreas(tuple(await call.rooms.desk.areas(call.who)))


async def save_area(call: Call[ToKeepArea, Nothing]) -> KeptArea:
    """区域を名前で保存する (keep an area under a name)"""
    desk, name = call.rooms.desk, call.path["name"]
    quarters = call.rooms.quarters(call.body.quarters, "quarters")
    there = next((area for area in await desk.areas(call.who) if area.name == name), None)
    if there is not None and call.body.version is None and set(there.quarters) == set(quarters):
        return KeptArea(there, "unchanged", there.quarters)
    version = call.body.version if call.body.version is not None else there.version if there else 0
    kept = await desk.save_area(call.who, name, quarters, version)
    return KeptArea(kept, "changed" if there else "created", there.quarters if there else ())


async def remove_area(call: Call[Nothing, AtVersion]) -> Done:
    """保存した区域を消す (forget a saved area)"""
    await call.rooms.desk.remove_area(call.who, call.path["name"], int(call.query.version))
    return Done("removed")


async def reach(call: Call[ToReach, Nothing]) -> Reached:
    """対象見込み: 媒体ごとに誰に届くか (whom each medium reaches there)"""
    quarters = call.rooms.quarters(call.body.areas, "areas")
    found = await call.rooms.desk.reach(call.who, quarters)
    return Reached({r.channel: ChannelReach(r.audience.head_count, r.audience.words, r.by_quarter) for r in found})


async def read_by_hand(call: Call[Nothing, Nothing]) -> ByHandShown:
    """連携のない系統の原稿・転記欄・済みの印 (what is read or pasted by hand, and whether it was)"""
    desk = call.rooms.desk
    prepared = await desk.by_hand(call.who, call.id)
    return ByHandShown(prepared.script, prepared.sheets, tuple(await desk.ticks(call.who, call.id)))


async def tick(call: Call[ToTick, Nothing]) -> Ticked:
    """手で行ったことを記す (it was done by hand)"""
    body, system = call.body, call.path["system"]
    return Ticked(await call.rooms.desk.tick(call.who, call.id, system, who=body.who, at=body.at, version=body.version))


async def untick(call: Call[Nothing, AtVersion]) -> Ticked:
    """行っていなかった (it was not done after all)"""
    version = int(call.query.version)
    return Ticked(await call.rooms.desk.untick(call.who, call.id, call.path["system"], version=version))


async def list_reports(call: Call[Nothing, Nothing]) -> ReportsShown:
    """現場の報告 (field reports)"""
    return ReportsShown(tuple(await call.rooms.desk.reports(call.who)))


async def write_report(call: Call[ToReport, Nothing]) -> Reported:
    """見聞きしたことを記す (write a field report)"""
    body = call.body
    photo = None
    if body.photo is not None:
        try:
            photo = base64.b64decode(body.photo, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInput([Finding("/photo", "base64 で書いてください (base64 is needed)")]) from None
    return Reported(
        await call.rooms.desk.write_report(
            call.who, text=body.text, place=body.place, source=body.source, at=body.at, photo=photo
        )
    )


async def read_picture(call: Call[Nothing, Nothing]) -> shown.Handed:
    """報告の写真 (a report's picture, by its hash)"""
    picture = await call.rooms.desk.picture(call.who, call.path["digest"])
    return shown.Handed(f"{call.path['digest']}.jpg", "image/jpeg", picture.jpeg)


ROUTES = (
    changes("/messages/{name}", Scope.WRITE, declare_message, method="PUT"),
    looks("/areas", Scope.READ, list_areas),
    changes("/areas/{name}", Scope.WRITE, save_area, method="PUT"),
    changes("/areas/{name}", Scope.WRITE, remove_area, method="DELETE"),
    asks("/reach", Scope.READ, reach),
    looks("/alerts/{id}/by-hand", Scope.READ, read_by_hand),
    changes("/alerts/{id}/by-hand/{system}", Scope.WRITE, tick),
    changes("/alerts/{id}/by-hand/{system}", Scope.WRITE, untick, method="DELETE"),
    looks("/reports", Scope.READ, list_reports),
    changes("/reports", Scope.WRITE, write_report, status=201, max_bytes=PHOTO_CHARACTERS + 20_000),
    looks("/pictures/{digest}", Scope.READ, read_picture),
)
