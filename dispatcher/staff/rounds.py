"""The rounds of asking as counts: how many were asked, answered, need help; by quarter, for welfare by group and facility too.

Everybody at the desk sees them, and nobody sees the people under 閲覧制限 in them. Who is not of the role welfare sees counts
under five hidden (counting.py), and one table alone; the order of its rows is made of what is shown.

Source: design.md §8 "Counts under 5 are hidden outside the welfare role".
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from config.ladders import cohorts
from dispatcher.campaigns import Campaign
from dispatcher.clock import JST
from dispatcher.model.campaign import Answer, Progress
from dispatcher.model.mode import M
from dispatcher.model.question import Kind
from dispatcher.staff.asking import Asking, is_welfare
from dispatcher.staff.cases import OPEN
from dispatcher.staff.counting import Figure, exact, hidden, summed
from dispatcher.staff.reaching import Reaching
from dispatcher.staff.rules import Act
from dispatcher.staff.sessions import Person
from dispatcher.tracking.caring import Cell, Lot
from dispatcher.tracking.confirmation.case import EVERYBODY


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table of counts."""

    code: str
    name: str
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Overview:
    """One round of asking, as this person may see it. `cohorts` and `facilities` are the role welfare's."""

    id: str
    kind: str
    about: str
    place: str
    quarters_asked: tuple[str, ...]
    opened_at: datetime
    closed_at: datetime | None
    round: int
    is_destroyed: bool
    because: str = ""
    """The message that took back what it asks about, and so ended it; "" where staff did, or time."""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    quarters: Sequence[Row] = ()
    cohorts: Sequence[Row] = ()
    facilities: Sequence[Row] = ()
    sealed: int = 0
    """People under 閲覧制限, who are in none of the figures; 0 for everybody outside the role welfare."""
    sealed_urgent: int = 0
    """Those of them who need somebody now."""

    @property
    def is_open(self) -> bool:
        return self.closed_at is None


class Rounds(Asking[M], Reaching[M]):
    """The part of the desk that counts residents."""

    async def campaigns(self, by: Person, language: str = "ja") -> Sequence[Overview]:
        """Every round, newest first; none where there is no roster."""
        async with self._acting(by, Act.LOOK):
            if self.caring is None:
                return ()
            return [await self._overview(by, found, language) for found in await self.caring.campaigns()]

    async def round_names(self, by: Person, language: str = "ja") -> Mapping[str, tuple[Kind, str]]:
        """Kind and place of every round by its id, without anybody counted: what a log calls it."""
        async with self._acting(by, Act.LOOK):
            kept = await self.caring.campaigns() if self.caring is not None else ()
            quarters = {
                found.id: [q for q in found.body.get("quarters", ()) if q in self._path.city.quarters] for found in kept
            }
            return {
                found.id: (Kind(found.body.get("kind", Kind.SAFETY)), self._path.city.say(quarters[found.id], language))
                for found in kept
            }

    async def campaign(self, by: Person, campaign: str, language: str = "ja") -> Overview:
        """One of them. Raises NotFound."""
        async with self._acting(by, Act.LOOK):
            return await self._overview(by, await self._one(campaign), language)

    async def _overview(self, by: Person, found: Campaign, language: str) -> Overview:
        body, city = found.body, self._path.city
        names = {code: q.names.get(language) or q.names["ja"] for code, q in city.quarters.items()}
        quarters = tuple(body.get("quarters", ()))
        overview = Overview(
            id=found.id,
            kind=body.get("kind", Kind.SAFETY),
            about=body.get("about", ""),
            place=city.say([q for q in quarters if q in names], language),
            quarters_asked=quarters,
            opened_at=found.opened_at.astimezone(JST),
            closed_at=datetime.fromisoformat(body["closed_at"]).astimezone(JST) if body.get("closed_at") else None,
            round=max(1, len(body.get("rounds", ()))),
            is_destroyed=found.is_destroyed,
            because=body.get("because", ""),
        )
        if found.is_destroyed:
            return replace(overview, figures=_remembered(body.get("counts") or {}))
        cells = await self._loop.cells(found.id)
        # Who is under 閲覧制限 is in no count but the sealed list's: a row of one would say where they are, or how they are.
        sealed, cells = [c for c in cells if c.is_restricted], [c for c in cells if not c.is_restricted]
        if not is_welfare(by):
            seen = _rows(cells, lambda cell: cell.quarter, names, hidden)
            return replace(overview, figures=_sums(seen), quarters=seen)
        groups = cohorts("ja" if language == "ja" else "en")
        seen = _rows(cells, lambda cell: cell.quarter, names, exact)
        return replace(
            overview,
            figures=_sums(seen),
            quarters=seen,
            cohorts=_rows(cells, lambda cell: cell.cohort, {**groups, EVERYBODY: groups[""]}, exact),
            facilities=_rows(
                [c for c in cells if c.facility], lambda cell: cell.facility, self.facility_names(), exact
            ),
            sealed=sum(c.count for c in sealed),
            sealed_urgent=sum(c.count for c in sealed if _is_urgent(c)),
        )


def _sums(rows: Sequence[Row]) -> Mapping[str, Figure]:
    return {name: summed(row.figures[name] for row in rows) for name in FIGURES}


def _remembered(counts: Mapping[str, tuple[int, int]]) -> Mapping[str, Figure]:
    """What is left of a round whose key is destroyed."""
    parts = {name: Figure(*counts.get(name, (0, 0))) for name in SAID}
    return {**dict.fromkeys(FIGURES, exact(0)), **parts, "asked": summed(parts.values())}


def _is_urgent(cell: Cell) -> bool:
    return cell.progress in OPEN and (cell.is_conflict or cell.answer in {Answer.HELP, Answer.HURT})


SAID = ("help", "hurt", "silent", "ok")
"""Whoever is asked stands under one of these."""


FIGURES: Mapping[str, Callable[[Lot], bool]] = {
    "asked": lambda _: True,
    "help": lambda lot: lot.said == "help",
    "hurt": lambda lot: lot.said == "hurt",
    "silent": lambda lot: lot.said == "silent",
    "visiting": lambda lot: lot.is_visited,
    "conflict": lambda lot: lot.is_conflict,
    "escalated": lambda lot: lot.progress == Progress.ESCALATED,
    "unreachable": lambda lot: lot.progress == Progress.UNREACHABLE,
    "ok": lambda lot: lot.said == "ok",
}
"""Whom each of them counts."""


def _figures(lots: Mapping[Lot, int], see: Callable[[int], Figure]) -> Mapping[str, Figure]:
    """Each a sum of lots as they are seen: of true sums, a hidden lot would be the rest of two (the silent less the escalated)."""
    return {name: summed(see(n) for lot, n in lots.items() if counts(lot)) for name, counts in FIGURES.items()}


def _rows(
    cells: Sequence[Cell], of: Callable[[Cell], str], names: Mapping[str, str], see: Callable[[int], Figure]
) -> Sequence[Row]:
    """Cells added up by one of their properties, the rows with the most need first. Each code is named, or stands for itself."""
    added: dict[str, Counter[Lot]] = defaultdict(Counter)
    for cell in cells:
        added[of(cell)][cell.lot] += cell.count
    rows = [Row(code, names.get(code, code), _figures(lots, see)) for code, lots in added.items()]
    order = {code: place for place, code in enumerate(names)}
    # Sorted by what is shown and nothing else: an order by true counts would tell them.
    return sorted(
        rows,
        key=lambda row: (
            -row.figures["help"].most,
            -row.figures["hurt"].most,
            order.get(row.code, len(order)),
            row.code,
        ),
    )
