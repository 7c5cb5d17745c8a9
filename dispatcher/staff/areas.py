"""Areas that staff keep and draw: a name for quarters that belong together (野川沿い), and the quarters that a drawn shape meets.

A shape takes in every quarter that it touches: whoever draws a line around a danger means the people on both of its sides, and
the cells are approximate. An empty choice stays empty; it is never the whole city.

Source: design.md §7 gazetteer; issue "区域"; the crossing number test, J. O'Rourke, Computational Geometry in C, §7.4.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from config.city import City, Facility
from dispatcher.clock import Clock
from dispatcher.errors import Finding, InvalidInput, NotFound
from dispatcher.ledger import Event, Ledger
from dispatcher.staff.sessions import Person

KIND = "area"
LONGEST_NAME = 40
MOST_POINTS = 200
LARGEST_RADIUS_M = 20_000
M_PER_DEGREE = 111_320.0
"""Of latitude; the error over a city is below a metre in a hundred."""
SAVED_AT_MOST = 200

Point = tuple[float, float]
"""Latitude, longitude; degrees."""


@dataclass(frozen=True, slots=True)
class SavedArea:
    name: str
    quarters: tuple[str, ...]
    by: str
    at: str
    """RFC 3339."""
    version: int


class Areas:
    """The areas that this node's staff keep under a name."""

    def __init__(self, ledger: Ledger, city: City, clock: Clock) -> None:
        self._ledger = ledger
        self._city = city
        self._clock = clock

    async def all(self) -> Sequence[SavedArea]:
        """In the order of their names; quarters that the gazetteer has lost are left out."""
        return [
            SavedArea(
                name,
                tuple(q for q in body["quarters"] if q in self._city.quarters),
                body["by"],
                body["at"],
                version,
            )
            for name, version, body in await self._ledger.records(KIND)
        ]

    async def save(self, by: Person, name: str, quarters: Sequence[str], version: int = 0) -> SavedArea:
        """Keep these quarters under that name; `version` is 0 for a new one.

        Raises:
            InvalidInput: the name or the quarters are not acceptable.
            StaleHash: somebody else changed or saved it meanwhile.
        """
        name = unicodedata.normalize("NFKC", name).strip()
        findings = [*_named(name), *self._known(quarters)]
        if version == 0 and len(await self._ledger.records(KIND)) >= SAVED_AT_MOST:
            findings.append(Finding("name", f"保存できるのは {SAVED_AT_MOST} 件までです (too many saved areas)"))
        if findings:
            raise InvalidInput(findings)
        ordered = [code for code in self._city.quarters if code in set(quarters)]
        at = self._clock.now().isoformat()
        event = Event("area.saved", "", {"by": by.name, "name": name, "quarters": len(ordered)})
        saved = await self._ledger.save_record(
            KIND, name, version, {"quarters": ordered, "by": by.name, "at": at}, event
        )
        return SavedArea(name, tuple(ordered), by.name, at, saved)

    async def remove(self, by: Person, name: str, version: int) -> None:
        """Raises StaleHash if it was changed meanwhile, NotFound if there is none."""
        if not any(area.name == name for area in await self.all()):
            raise NotFound(f"{name}: 保存した区域にありません (no such saved area)")
        await self._ledger.save_record(
            KIND, name, version, None, Event("area.removed", "", {"by": by.name, "name": name})
        )

    def _known(self, quarters: Sequence[str]) -> list[Finding]:
        unknown = [q for q in quarters if q not in self._city.quarters]
        if unknown:
            return [Finding("area", f"{', '.join(unknown[:5])}: ない町丁目です (no such quarter)")]
        return [] if quarters else [Finding("area", "町丁目を1つ以上選んでください (choose at least one quarter)")]


def _named(name: str) -> list[Finding]:
    if not name or len(name) > LONGEST_NAME:
        return [
            Finding("name", f"1〜{LONGEST_NAME} 字の名前を付けてください (a name of 1 to {LONGEST_NAME} characters)")
        ]
    if strange := sorted({c for c in name if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co"}}):
        codes = ", ".join(f"U+{ord(c):04X}" for c in strange)
        return [Finding("name", f"使えない文字 {codes} があります (control or direction character)")]
    return []


def facilities(city: City, quarters: Sequence[str]) -> tuple[Facility, ...]:
    """What stands in these quarters, by address, in the order of the quarters."""
    order = {code: number for number, code in enumerate(quarters)}
    return tuple(sorted((f for f in city.facilities if f.quarter in order), key=lambda f: order[f.quarter]))


# -- shapes ----------------------------------------------------------------------------------------------------------


def points_of(text: str, where: str = "polygon") -> tuple[Point, ...]:
    """Corners as `35.6789,139.5432`, one a line or separated by spaces or semicolons.

    Raises:
        InvalidInput: what is not a pair of degrees; fewer than three corners, or too many.
    """
    findings: list[Finding] = []
    points: list[Point] = []
    words = [w for w in re.split(r"[;\s]+", unicodedata.normalize("NFKC", text).strip()) if w]
    for word in words[: MOST_POINTS + 1]:
        pair = re.fullmatch(r"(-?\d{1,3}(?:\.\d{1,18})?),(-?\d{1,3}(?:\.\d{1,18})?)", word)
        if pair is None or abs(float(pair[1])) > 90 or abs(float(pair[2])) > 180:
            findings.append(
                Finding(where, f"{word[:40]}: 35.6789,139.5432 のように書いてください (latitude,longitude)")
            )
        else:
            points.append((float(pair[1]), float(pair[2])))
    if not findings and not 3 <= len(words) <= MOST_POINTS:
        findings.append(
            Finding(where, f"角は 3〜{MOST_POINTS} 点です。いまは {len(words)} 点 (3 to {MOST_POINTS} corners)")
        )
    if findings:
        raise InvalidInput(findings)
    return tuple(points)


def in_polygon(city: City, corners: Sequence[Point]) -> tuple[str, ...]:
    """Codes of the quarters that this polygon touches, in the gazetteer's order."""
    ring = [*corners, corners[0]]
    return tuple(
        q.code
        for q in city.quarters.values()
        if _holds(ring, (q.latitude, q.longitude)) or (q.outline and _touch(ring, q.outline))
    )


def in_circle(city: City, centre: Point, radius_m: float) -> tuple[str, ...]:
    """Codes of the quarters that this circle touches, in the gazetteer's order.

    Raises:
        InvalidInput: the radius is not accepted.
    """
    if not 0 < radius_m <= LARGEST_RADIUS_M:
        raise InvalidInput(
            [Finding("radius_m", f"1〜{LARGEST_RADIUS_M} m で書いてください (a radius of 1 to {LARGEST_RADIUS_M} m)")]
        )
    shrink = math.cos(math.radians(centre[0]))

    def plane(point: Point) -> Point:
        return (point[0] - centre[0]) * M_PER_DEGREE, (point[1] - centre[1]) * M_PER_DEGREE * shrink

    def is_touched(outline: Sequence[Point]) -> bool:
        flat = [plane(p) for p in outline]
        near = min((_distance_m(a, b) for a, b in pairwise(flat)), default=math.inf)
        return near <= radius_m or _holds(flat, (0.0, 0.0))

    return tuple(
        q.code
        for q in city.quarters.values()
        if math.hypot(*plane((q.latitude, q.longitude))) <= radius_m or (q.outline and is_touched(q.outline))
    )


def _distance_m(a: Point, b: Point) -> float:
    """From the origin to the segment a–b, on a plane of metres."""
    dy, dx = b[0] - a[0], b[1] - a[1]
    length = dy * dy + dx * dx
    along = 0.0 if length == 0 else max(0.0, min(1.0, -(a[0] * dy + a[1] * dx) / length))
    return math.hypot(a[0] + along * dy, a[1] + along * dx)


def _holds(ring: Sequence[Point], point: Point) -> bool:
    """Is the point inside the closed ring? A ray to the east crosses an odd number of its edges."""
    y, x = point
    is_inside = False
    for (y1, x1), (y2, x2) in pairwise(ring):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            is_inside = not is_inside
    return is_inside


def _touch(ring: Sequence[Point], other: Sequence[Point]) -> bool:
    """Do two closed rings share any ground?"""
    if any(_holds(ring, p) for p in other) or any(_holds(other, p) for p in ring):
        return True
    return any(_cross(a, b, c, d) for a, b in pairwise(ring) for c, d in pairwise(other))


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    def side(p: Point, q: Point, r: Point) -> float:
        return (q[1] - p[1]) * (r[0] - p[0]) - (q[0] - p[0]) * (r[1] - p[1])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
