"""The city's shelters as residents see them: a page in each language with a map, JSON, and a state beside each name on an alert.

Where people can go in stands first. Which hazard a place is for is said only where the data says it: 指定避難所 carry no such
flags, so none of them is ever shown as safe from anything.

Source: facts.md "Municipal data"; mockups `alert.html`; 災害対策基本法 49条の4, 49条の7.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from config.city import City, Facility
from config.plane import Plane, path
from dispatcher.model.shelter import OLD_AFTER, STATE_WORDS, ShelterStanding, ShelterState

SHELTERS_JSON = "shelters.json"
FOLDER = "shelters"
HAZARDS = ("earthquake", "flood", "inland_flood", "landslide", "large_fire", "storm_surge", "tsunami")
MARGIN = 12

States = Mapping[str, ShelterStanding]
_MARK = re.compile(rb"<!--shelter ([A-Za-z0-9 ]*)-->")


@dataclass(frozen=True, slots=True)
class Place:
    """One shelter as a page lists it. `standing` is None where nobody has said anything."""

    facility: Facility
    address: str
    hazards: tuple[str, ...]
    standing: ShelterStanding | None
    is_old: bool


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int
    state: str
    name: str


@dataclass(frozen=True, slots=True)
class ShelterMap:
    view_box: str
    outlines: tuple[str, ...]
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """Everything that a page of shelters shows: those spoken of, enterable first; then the rest by kind."""

    spoken: tuple[Place, ...]
    silent: tuple[tuple[str, tuple[Place, ...]], ...]

    @property
    def enterable(self) -> tuple[Place, ...]:
        return tuple(p for p in self.spoken if p.standing and p.standing.state.takes_people)


def listed(city: City, states: States, now: datetime) -> Listed:
    order = list(ShelterState)
    places = [_place(f, city, states.get(f.code), now) for f in city.facilities]
    spoken = [p for p in places if p.standing is not None]
    spoken.sort(key=lambda p: (order.index(p.standing.state) if p.standing else 0, p.is_old, p.facility.name))
    kinds = tuple(dict.fromkeys(f.kind for f in city.facilities))
    return Listed(
        tuple(spoken),
        tuple((kind, tuple(p for p in places if p.standing is None and p.facility.kind == kind)) for kind in kinds),
    )


def _place(facility: Facility, city: City, standing: ShelterStanding | None, now: datetime) -> Place:
    return Place(
        facility,
        facility.address.split(city.names["ja"])[-1],
        tuple(h for h in HAZARDS if h in facility.hazards),
        standing,
        standing is not None and standing.is_old(now),
    )


def next_old(states: States, now: datetime) -> datetime | None:
    """When the next of these states will have grown old."""
    return min((s.at + OLD_AFTER for s in states.values() if not s.is_old(now)), default=None)


def draw(city: City, states: States) -> ShelterMap | None:
    """The whole city with a mark for each shelter; None where no outline is known."""
    outlined = [q for q in city.quarters.values() if q.outline]
    if not outlined:
        return None
    plane = Plane.of(outlined)
    at = [plane.at(*p) for q in outlined for p in q.outline]
    points = [Point(*plane.at(f.latitude, f.longitude), _state(states.get(f.code)), f.name) for f in city.facilities]
    xs, ys = [*(p[0] for p in at), *(p.x for p in points)], [*(p[1] for p in at), *(p.y for p in points)]
    left, top = min(xs) - MARGIN, min(ys) - MARGIN
    return ShelterMap(
        f"{left} {top} {max(xs) + MARGIN - left} {max(ys) + MARGIN - top}",
        tuple(path([plane.at(*p) for p in q.outline]) for q in outlined),
        # What was spoken of is drawn last, so that nothing lies over it.
        tuple(sorted(points, key=lambda p: p.state != "unknown")),
    )


def _state(standing: ShelterStanding | None) -> str:
    return standing.state if standing else "unknown"


def as_json(city: City, states: States) -> bytes:
    """Every shelter of the city; `state` is null where nobody has said anything. `hazards` is null where the data has no flags."""
    return json.dumps(
        {
            "site": city.names["ja"],
            "states": {str(state): word for state, word in STATE_WORDS.items()},
            "shelters": [_as_json(f, states.get(f.code)) for f in city.facilities],
            "credits": list(city.credits),
        },
        ensure_ascii=False,
        indent=1,
    ).encode()


def _as_json(facility: Facility, standing: ShelterStanding | None) -> dict[str, Any]:
    return {
        "code": facility.code,
        "name": facility.name,
        "kind": facility.kind,
        "address": facility.address,
        "latitude": facility.latitude,
        "longitude": facility.longitude,
        "hazards": sorted(facility.hazards) if facility.kind == "emergency_site" else None,
        "is_welfare": facility.is_welfare,
        "state": str(standing.state) if standing else None,
        "state_since": standing.at.isoformat() if standing else None,
    }


def codes_of(name: str, city: City) -> tuple[str, ...]:
    """The shelters that a message means by this name. The gazetteer may add which buildings: 第七中学校（校舎・体育館）."""
    return tuple(f.code for f in city.facilities if name in {f.name, f.name.split("（")[0]})


def newest(codes: Iterable[str], states: States) -> ShelterStanding | None:
    """What was said last of a place that stands in the data more than once, as 指定避難所 and as 指定緊急避難場所."""
    return max((states[c] for c in codes if c in states), key=lambda s: s.at, default=None)


def with_states(
    page: bytes, states: States, now: datetime, draw_state: Callable[[ShelterStanding, bool], str]
) -> bytes:
    """An alert's page with the state of each place that it names. `draw_state` makes one of them HTML; the flag: is it old."""

    def drawn(found: re.Match[bytes]) -> bytes:
        standing = newest(found[1].decode().split(), states)
        return draw_state(standing, standing.is_old(now)).encode() if standing else b""

    return _MARK.sub(drawn, page)
