"""The rounds of asking as counts: how many were asked, answered, need help; by quarter, for welfare by group and facility too.

Everybody at the desk sees them, and nobody sees the people under 閲覧制限 in them. Who is not of the role welfare sees counts
under five hidden (counting.py), and one table alone; the order of its rows is made of what is shown.

Source: design.md §8 "Counts under 5 are hidden outside the welfare role".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from dispatcher.campaigns import Campaign
from dispatcher.clock import JST
from dispatcher.model.campaign import Answer, Progress
from dispatcher.model.mode import M
from dispatcher.model.question import Kind
from dispatcher.staff.asking import Asking, is_welfare
from dispatcher.staff.cases import COHORTS, OPEN
from dispatcher.staff.counting import HIDDEN_BELOW, Figure, exact, hidden, summed
from dispatcher.staff.reaching import Reaching
from dispatcher.staff.rules import Act
from dispatcher.staff.sessions import Person
from dispatcher.tracking.caring import Cell

FIGURES = ("asked", "help", "hurt", "silent", "visiting", "conflict", "escalated", "unreachable", "ok")


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
        )
        if found.is_destroyed:
            return replace(overview, figures=_remembered(body.get("counts") or {}))
        cells = await self._loop.cells(found.id)
        # Who is under 閲覧制限 is in no count but the sealed list's: a row of one would say where they are, or how they are.
        sealed, cells = [c for c in cells if c.is_restricted], [c for c in cells if not c.is_restricted]
        if not is_welfare(by):
            seen = _rows(cells, lambda cell: cell.quarter, names, hidden)
            return replace(overview, figures=_sums(seen), quarters=seen)
        seen = _rows(cells, lambda cell: cell.quarter, names, exact)
        return replace(
            overview,
            figures=_sums(seen),
            quarters=seen,
            cohorts=_rows(cells, lambda cell: cell.cohort, COHORTS, exact),
            facilities=_rows(
                [c for c in cells if c.facility], lambda cell: cell.facility, self._facility_names(), exact
            ),
            sealed=sum(c.count for c in sealed),
            sealed_urgent=sum(c.count for c in sealed if _is_urgent(c)),
        )

    def _facility_names(self) -> Mapping[str, str]:
        return {facility.id: facility.name for facility in self._reached.known().values()}


def _sums(rows: Sequence[Row]) -> Mapping[str, Figure]:
    return {name: summed(row.figures[name] for row in rows) for name in FIGURES}


def _remembered(counts: Mapping[str, int]) -> Mapping[str, Figure]:
    """What is left of a round whose key is destroyed: a count that is not there was under five, or nobody."""
    parts = {
        n: exact(counts[n]) if n in counts else Figure(0, HIDDEN_BELOW - 1) for n in ("help", "hurt", "silent", "ok")
    }
    return {**dict.fromkeys(FIGURES, exact(0)), **parts, "asked": summed(parts.values())}


def _is_urgent(cell: Cell) -> bool:
    return cell.progress in OPEN and (cell.is_conflict or cell.answer in {Answer.HELP, Answer.HURT})


def _counts(cell: Cell) -> Mapping[str, int]:
    """Under which figures a cell's people are counted. help, hurt, ok and silent are everybody who is asked."""
    is_heard = cell.answer is not None
    return {
        "asked": cell.count,
        "help": cell.count * (cell.answer is Answer.HELP),
        "hurt": cell.count * (cell.answer is Answer.HURT),
        "ok": cell.count * (cell.answer is Answer.OK),
        "silent": cell.count * (not is_heard),
        "visiting": cell.count * cell.is_visited,
        "conflict": cell.count * cell.is_conflict,
        "escalated": cell.count * (cell.progress is Progress.ESCALATED),
        "unreachable": cell.count * (cell.progress is Progress.UNREACHABLE),
    }


def _rows(
    cells: Sequence[Cell], of: Callable[[Cell], str], names: Mapping[str, str], see: Callable[[int], Figure]
) -> Sequence[Row]:
    """Cells added up by one of their properties, the rows with the most need first. Each code is named, or stands for itself."""
    added: dict[str, dict[str, int]] = {}
    for cell in cells:
        row = added.setdefault(of(cell), dict.fromkeys(FIGURES, 0))
        for name, count in _counts(cell).items():
            row[name] += count
    rows = [
        Row(code, names.get(code, code), {name: see(n) for name, n in figures.items()})
        for code, figures in added.items()
    ]
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
