"""What of a telegram is about this city: the statements that hold here, and the quarters that they hold for.

The most exact table of a telegram decides. Where JMA says by municipality who is warned, 東京地方 in its headline is no reason to
warn Mitaka: the warned one is another municipality of the same area. Intensities are the exception: a municipality whose
seismometers are silent is missing from that table, so the next wider one stands in for it.

Source: 気象庁防災情報XMLフォーマット 個別コード表; OASIS CAP 1.2 §3.2.4; I. Sutherland, G. Hodgman, CACM 17 (1974), for clipping.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from config.cities import check_code
from config.city import City
from config.intake import Places, folded
from dispatcher.intake.telegram import Phase, Rank, Statement, Telegram
from dispatcher.model.alert import QUARTER, Area, Circle
from dispatcher.staff.areas import M_PER_DEGREE, in_polygon

_EXACT: Final = (Rank.MUNICIPALITY, Rank.CLUSTER, Rank.PREFECTURE, Rank.REGION)
_INTENSITY = "震度"
_MARGIN = 0.05
"""Degrees around the city within which a foreign outline is looked at."""
MOST_CORNERS = 1_000
"""Of all shapes around the city that are compared corner by corner; no warning of a city comes near it."""
_SIDES = 64
"""Corners of a circle."""
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Concern:
    """`statements` are those of the city alone; empty with no quarters where nothing is about it."""

    quarters: tuple[str, ...]
    statements: tuple[Statement, ...]
    has_places: bool
    """Does the telegram name any place at all? A retraction often does not."""

    @property
    def rank(self) -> Rank | None:
        return self.statements[0].place.rank if self.statements else None

    @property
    def where(self) -> str:
        """The sender's own names of the places: 三鷹市, 東京都多摩東部."""
        return "、".join(dict.fromkeys(s.place.name for s in self.statements if s.phase is not Phase.NONE))


def concern(telegram: Telegram, city: City, places: Places) -> Concern:
    """What of it is about this city."""
    if telegram.quarters is not None:
        return Concern(telegram.quarters, telegram.statements if telegram.quarters else (), has_places=True)
    found = list(_by_land(telegram, places)) + [s for s in telegram.statements if _is(s, places.sea, Rank.SEA)]
    everywhere = tuple(city.quarters) if found else ()
    rivers = [(s, area) for s in telegram.statements for area in _along(s, places)]
    along = {q.code for _, area in rivers for q in city.find(area)}
    return Concern(
        everywhere or tuple(code for code in city.quarters if code in along),
        (*found, *dict.fromkeys(s for s, _ in rivers)),
        has_places=bool(telegram.statements),
    )


def _by_land(telegram: Telegram, places: Places) -> Iterator[Statement]:
    ours: Mapping[Rank, Mapping[str, str]] = {
        Rank.MUNICIPALITY: places.municipality,
        Rank.CLUSTER: places.cluster,
        Rank.PREFECTURE: places.prefecture,
        Rank.REGION: places.region,
    }
    for rank in _EXACT:
        here = [s for s in telegram.statements if _is(s, ours[rank], rank)]
        if here:
            best = min(_order(s, ours[rank]) for s in here)
            yield from (s for s in here if _order(s, ours[rank]) == best)
            return
        others = [s for s in telegram.statements if s.place.rank is rank]
        if others and not all(s.kind.name.startswith(_INTENSITY) for s in others):
            return


def _is(statement: Statement, ours: Mapping[str, str], rank: Rank) -> bool:
    place = statement.place
    return place.rank is rank and (place.code in ours or (place.name in ours and rank is Rank.REGION))


def _order(statement: Statement, ours: Mapping[str, str]) -> int:
    """How exact a place is among those of its rank: the file lists the most exact first."""
    place = statement.place
    return next(n for n, code in enumerate(ours) if code in {place.code, place.name})


def _along(statement: Statement, places: Places) -> Iterator[str]:
    if statement.place.rank is Rank.RIVER:
        name = folded(statement.place.name)
        yield from (area for river, areas in places.river.items() if folded(river) in name for area in areas)


# -- CAP's shapes ----------------------------------------------------------------------------------------------------


def quarters_of(areas: Sequence[Area], city: City) -> tuple[str, ...]:
    """Codes of the quarters that CAP areas meet: by code, else by shape, else by name, in the gazetteer's order."""
    met: set[str] = set()
    compared = 0
    for area in dict.fromkeys(areas):
        found = set(_by_code(area, city))
        for ring in [] if found else _rings(area, city):
            compared += len(ring)
            found |= set(_in_ring(ring, city, is_exact=compared <= MOST_CORNERS))
        met |= found or set(_by_name(area, city))
        if len(met) == len(city.quarters):
            break
    return tuple(code for code in city.quarters if code in met)


def _by_code(area: Area, city: City) -> Iterator[str]:
    whole = {city.code, check_code(city.code), f"{city.code}00", f"JP{city.code}", f"JP-{city.code}"}
    for code in area.geocodes:
        if code.value in city.quarters and code.value_name == QUARTER:
            yield code.value
        elif code.value.strip() in whole:
            yield from city.quarters


def _rings(area: Area, city: City) -> Iterator[list[Point]]:
    """What of the area's shapes lies around the city. A foreign outline may have 40,000 corners; of most of them none is left."""
    south, west, north, east = _box([p for outline in city.outline for p in outline])
    around = south - _MARGIN, west - _MARGIN, north + _MARGIN, east + _MARGIN
    for polygon in area.polygons:
        yield clipped([(float(latitude), float(longitude)) for latitude, longitude in polygon], around)
    for circle in area.circles:
        yield clipped(_round(circle), around)


def _in_ring(ring: Sequence[Point], city: City, *, is_exact: bool) -> tuple[str, ...]:
    """Quarters that the ring touches; those that its box touches where comparing more corners would take too long."""
    if len(ring) < 3:
        return ()
    south, west, north, east = _box(ring)
    near = {}
    for code, quarter in city.quarters.items():
        low, left, high, right = _box(quarter.outline or [(quarter.latitude, quarter.longitude)])
        if low <= north and high >= south and left <= east and right >= west:
            near[code] = quarter
    return in_polygon(replace(city, quarters=near), ring) if is_exact else tuple(near)


def _box(points: Sequence[Point]) -> tuple[float, float, float, float]:
    """South, west, north, east."""
    latitudes, longitudes = [p[0] for p in points], [p[1] for p in points]
    return min(latitudes), min(longitudes), max(latitudes), max(longitudes)


def clipped(ring: Sequence[Point], box: tuple[float, float, float, float]) -> list[Point]:
    """The part of a ring that lies within south, west, north, east; empty where none does."""
    south, west, north, east = box
    corners = [*ring]
    for axis, limit, sign in ((0, south, 1), (1, west, 1), (0, north, -1), (1, east, -1)):
        kept: list[Point] = []
        for before, here in zip([*corners[-1:], *corners[:-1]], corners, strict=True):
            inside, was_inside = ((p[axis] - limit) * sign >= 0 for p in (here, before))
            if inside != was_inside:
                share = (limit - before[axis]) / (here[axis] - before[axis])
                kept.append((before[0] + share * (here[0] - before[0]), before[1] + share * (here[1] - before[1])))
            if inside:
                kept.append(here)
        corners = kept
    return corners


def _round(circle: Circle) -> list[Point]:
    """A circle as a ring; one without a radius is as wide as a street."""
    latitude, longitude = float(circle.centre[0]), float(circle.centre[1])
    radius = max(float(circle.radius_km) * 1000, 10.0) / M_PER_DEGREE
    shrink = max(math.cos(math.radians(latitude)), 0.01)
    turns = (2 * math.pi * n / _SIDES for n in range(_SIDES))
    return [(latitude + radius * math.sin(a), longitude + radius * math.cos(a) / shrink) for a in turns]


def _by_name(area: Area, city: City) -> Iterator[str]:
    """An area that has neither code nor shape, and names the city or quarters of it."""
    if area.polygons or area.circles:
        return
    for word in area.area_desc.replace("、", ",").split(","):
        try:
            yield from (q.code for q in city.find(word.strip()))
        except LookupError:
            continue
