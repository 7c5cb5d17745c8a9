"""The quarters meant, drawn as an inline SVG that is cut to them and their neighbours.

The outlines are approximate cells; the page says so beside the map. Latitude and longitude are laid on a plane at the city's
latitude, whole units of about six metres, which keeps the page small.

Source: mockups `alert.html`; data: the city's credits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from config.city import City, Quarter
from config.plane import Plane, path

MARGIN = 40.0


@dataclass(frozen=True, slots=True)
class Shape:
    path: str
    is_meant: bool


@dataclass(frozen=True, slots=True)
class Label:
    x: int
    y: int
    words: str
    is_meant: bool


@dataclass(frozen=True, slots=True)
class CityMap:
    view_box: str
    shapes: tuple[Shape, ...]
    labels: tuple[Label, ...]


@lru_cache(maxsize=64)  # while somebody types, the area is the same
def draw(city: City, quarters: tuple[str, ...], language: str) -> CityMap | None:
    """None where no outline of these quarters is known."""
    meant = [q for q in city.quarters.values() if q.code in set(quarters) and q.outline]
    if not meant:
        return None
    plane = Plane.of(meant)
    box = _Box.around([plane.at(*p) for q in meant for p in q.outline], MARGIN)
    near = [(q, [plane.at(*p) for p in q.outline]) for q in city.quarters.values() if q.outline]
    near = [(q, points) for q, points in near if box.overlaps(_Box.around(points, 0))]
    chosen = {q.code for q in meant}
    # What is meant is drawn last, so that its edge lies over its neighbours'.
    near.sort(key=lambda drawn: drawn[0].code in chosen)
    return CityMap(
        view_box=f"{box.left:.0f} {box.top:.0f} {box.right - box.left:.0f} {box.bottom - box.top:.0f}",
        shapes=tuple(Shape(path(points), q.code in chosen) for q, points in near),
        labels=tuple(_labels(city, [q for q, _ in near], chosen, plane, box, language)),
    )


@dataclass(frozen=True, slots=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around(cls, points: Sequence[tuple[int, int]], margin: float) -> "_Box":
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        return cls(min(xs) - margin, min(ys) - margin, max(xs) + margin, max(ys) + margin)

    def overlaps(self, other: "_Box") -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def holds(self, x: float, y: float, inset: float) -> bool:
        return self.left + inset < x < self.right - inset and self.top + inset / 3 < y < self.bottom - inset / 3


def _labels(
    city: City, near: Sequence[Quarter], chosen: set[str], plane: Plane, box: _Box, language: str
) -> Iterable[Label]:
    """One name for each 大字 that is in view, in the middle of its quarters."""
    for group in dict.fromkeys(q.group for q in near):
        members = [q for q in near if q.group == group]
        is_meant = any(q.code in chosen for q in members)
        if is_meant:
            members = [q for q in members if q.code in chosen]
        x = sum(plane.at(q.latitude, q.longitude)[0] for q in members) / len(members)
        y = sum(plane.at(q.latitude, q.longitude)[1] for q in members) / len(members)
        # A name that is cut by the edge says less than none.
        if is_meant or box.holds(x, y, 45):
            words = city.group_name(group, language).split("（")[0]
            yield Label(round(x), round(y), words, is_meant)
