"""Shelters: what each is now, saying so, and the link of its own page.

Source: design.md §9; dispatcher/staff/shelters.py.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from dispatcher.model.shelter import STATE_WORDS, ShelterState
from dispatcher.staff.accounts.roles import Scope
from dispatcher.staff.api import shown
from dispatcher.staff.api.drafts import InMode
from dispatcher.staff.api.route import Call, Nothing, changes, looks
from dispatcher.staff.api.shapes import Facets
from dispatcher.staff.shelters import ShelterSeen

StateName = Annotated[str, Facets(enum=list(ShelterState), description="開設前 開設 混雑 満員 閉鎖")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSayShelter:
    mode: shown.ModeName
    state: StateName
    version: Annotated[int, Facets(minimum=0, maximum=1_000_000_000)] | None = None
    """The one that was read, 0 where nobody had said anything; without it what is said now counts."""


@dataclass(frozen=True, slots=True)
class ShelterShown:
    code: str
    name: str
    address: str
    quarter: str
    kind: str
    hazards: tuple[str, ...] | None
    """null where the data has no flags: that is not "safe"."""
    state: str | None
    word: str
    at: datetime | None
    version: int


@dataclass(frozen=True, slots=True)
class SheltersShown:
    shelters: tuple[ShelterShown, ...]


@dataclass(frozen=True, slots=True)
class ShelterSaid:
    shelter: ShelterShown


@dataclass(frozen=True, slots=True)
class ShelterDoor:
    link: str
    """Said once: hand it to the people at the shelter and to nobody else."""


def _shown(seen: ShelterSeen) -> ShelterShown:
    place, standing = seen.facility, seen.standing
    return ShelterShown(
        place.code,
        place.name,
        place.address,
        place.quarter,
        place.kind,
        tuple(sorted(place.hazards)) if place.kind == "emergency_site" else None,
        standing.state if standing else None,
        STATE_WORDS[standing.state] if standing else "",
        standing.at if standing else None,
        standing.version if standing else 0,
    )


async def list_shelters(call: Call[Nothing, Nothing]) -> SheltersShown:
    """避難所の状態 (shelters and what each is now)"""
    return SheltersShown(tuple(map(_shown, await call.rooms.desk.shelters(call.who))))


async def say_shelter(call: Call[ToSayShelter, Nothing]) -> ShelterSaid:
    """避難所の状態を知らせる。1秒以内に住民のサイトに出る (say what a shelter is now)"""
    body = call.body
    return ShelterSaid(
        _shown(
            await call.rooms.desk.say_shelter(
                call.who, call.path["code"], body.state, version=body.version, mode=body.mode
            )
        )
    )


async def open_shelter_door(call: Call[InMode, Nothing]) -> ShelterDoor:
    """避難所のページのリンクを作る。前のリンクは使えなくなる (a new link for the people at the shelter)"""
    return ShelterDoor(await call.rooms.desk.open_shelter_door(call.who, call.path["code"], mode=call.body.mode))


ROUTES = (
    looks("/shelters", Scope.READ, list_shelters),
    changes("/shelters/{code}", Scope.WRITE, say_shelter),
    changes("/shelters/{code}/door", Scope.WRITE, open_shelter_door, hands_over=True),
)
