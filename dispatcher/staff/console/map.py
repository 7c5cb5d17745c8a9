"""The whole city as an inline SVG: one shape for each quarter, which a checkbox of the same quarter fills without any script.

A shape is `m` and its quarter's code, a checkbox `c` and the code, and `ties` is the style sheet between the two. The cells are
approximate, and the page says so. Whole units of about six metres and relative moves keep the map of 62 quarters under 25 KB.

Source: mockups `area.html`; CSS Selectors 4 §4.5 (`:has`); data: the city's credits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from config.city import City, Quarter
from config.plane import Plane, path

MARGIN = 12
SHELTER = "designated_shelter"


@dataclass(frozen=True, slots=True)
class Shape:
    code: str
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Label:
    """A 大字's name, at the middle of its quarters; or a 丁目's number, at its own point."""

    x: int
    y: int
    words: str
    code: str
    """The quarter's in which it stands."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A designated shelter."""

    x: int
    y: int
    name: str


@dataclass(frozen=True, slots=True)
class CityMap:
    view_box: str
    shapes: tuple[Shape, ...]
    groups: tuple[Label, ...]
    numbers: tuple[Label, ...]
    shelters: tuple[Mark, ...]


def draw(city: City, language: str = "ja") -> CityMap:
    """The map of this city with its names in that language.

    Raises:
        LookupError: no outline of any quarter is known.
    """
    known = [q for q in city.quarters.values() if q.outline]
    if not known:
        raise LookupError(f"{city.names['ja']}: no outline of any quarter is known")
    plane = Plane.of(known)
    points = {q.code: [plane.at(*p) for p in q.outline] for q in known}
    xs = [x for drawn in points.values() for x, _ in drawn]
    ys = [y for drawn in points.values() for _, y in drawn]
    left, top = min(xs) - MARGIN, min(ys) - MARGIN
    return CityMap(
        view_box=f"{left} {top} {max(xs) - left + MARGIN} {max(ys) - top + MARGIN}",
        shapes=tuple(Shape(q.code, _name(q, language), path(points[q.code])) for q in known),
        groups=tuple(_groups(city, known, plane, language)),
        numbers=tuple(Label(*plane.at(q.latitude, q.longitude), str(int(q.code[-2:])), q.code) for q in known),
        shelters=tuple(
            Mark(*plane.at(f.latitude, f.longitude), f.name) for f in city.facilities if f.kind == SHELTER and f.quarter
        ),
    )


def ties(city: City) -> str:
    """The style sheet by which a checked box fills its quarter, and what is written in it stands out of the fill."""
    codes = [q.code for q in city.quarters.values() if q.outline]
    fill = ",".join(f"form:has(#c{code}:checked) #m{code}" for code in codes)
    words = ",".join(f"form:has(#c{code}:checked) :is(#n{code},#g{code})" for code in codes)
    return (
        f"{fill}{{fill:var(--ink);stroke:var(--bg);stroke-width:2}}\n"
        f"{words}{{fill:var(--bg);stroke:none;font-weight:700}}\n"
    )


def as_geojson(city: City) -> dict[str, object]:
    """The same cells as RFC 7946 GeoJSON (longitude first), for the larger map."""
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": q.code,
                "properties": {"name": q.names["ja"], "group": q.group},
                "geometry": {"type": "Polygon", "coordinates": [[[p[1], p[0]] for p in q.outline]]},
            }
            for q in city.quarters.values()
            if q.outline
        ],
    }


def _name(quarter: Quarter, language: str) -> str:
    return quarter.names.get(language) or quarter.names["ja"]


def _groups(city: City, known: Sequence[Quarter], plane: Plane, language: str) -> Iterator[Label]:
    """Each 大字 once, by the quarter nearest to the middle of all of its own, so that a name stands within its place."""
    for group in dict.fromkeys(q.group for q in known):
        members = [(*plane.at(q.latitude, q.longitude), q.code) for q in known if q.group == group]
        x = sum(m[0] for m in members) / len(members)
        y = sum(m[1] for m in members) / len(members)
        near_x, near_y, code = min(members, key=lambda m: (m[0] - x) ** 2 + (m[1] - y) ** 2)
        yield Label(near_x, near_y, city.group_name(group, language).split("（")[0], code)
