"""The city laid flat: from degrees to whole units of an SVG, and a quarter's outline as a short path.

One degree of longitude is shrunk by the cosine of the city's latitude; over a city's few kilometres nothing more is needed to look
right. Whole units keep the map of a page small.

Source: SVG 2 §9.3 (path data).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from config.city import Quarter

UNITS_PER_DEGREE = 18_000.0
"""Of latitude: 111 km / 18,000 is 6 m."""


@dataclass(frozen=True, slots=True)
class Plane:
    """Its origin is the north-west corner of the quarters that it was made for; y grows to the south."""

    north: float
    west: float
    shrink: float

    @classmethod
    def of(cls, quarters: Iterable[Quarter]) -> "Plane":
        points = [p for q in quarters for p in q.outline]
        north, west = max(p[0] for p in points), min(p[1] for p in points)
        return cls(north, west, math.cos(math.radians(north)))

    def at(self, latitude: float, longitude: float) -> tuple[int, int]:
        """X and y in units."""
        x = (longitude - self.west) * self.shrink * UNITS_PER_DEGREE
        return round(x), round((self.north - latitude) * UNITS_PER_DEGREE)


def path(points: Sequence[tuple[int, int]]) -> str:
    """A closed outline in relative moves, which are shorter; a point that rounds to the one before is left out."""
    x, y = points[0]
    words = [f"M{x} {y}l"]
    for to_x, to_y in points[1:-1]:
        if (to_x, to_y) != (x, y):
            dy = to_y - y
            words.append(f"{to_x - x}{'' if dy < 0 else ' '}{dy} ")
            x, y = to_x, to_y
    return "".join(words).rstrip() + "z"
