"""One line of the bench's table: what we measured, the baseline of the same run, and whether the promise holds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """`ratio` is ours ÷ baseline; `promise` is written as people read it (`≥ 1.0`), `holds` is decided by the group."""

    name: str
    ours: float
    baseline: float
    unit: str
    ratio: float
    promise: str
    holds: bool


def at_least(name: str, ours: float, baseline: float, unit: str, bound: float) -> Row:
    """A promise of the form ours ÷ baseline ≥ bound."""
    ratio = ours / baseline if baseline else float("inf")
    return Row(name, ours, baseline, unit, ratio, f"≥ {bound:g}", ratio >= bound)


def at_most(name: str, ours: float, baseline: float, unit: str, bound: float) -> Row:
    """A promise of the form ours ÷ baseline ≤ bound."""
    ratio = ours / baseline if baseline else float("inf")
    return Row(name, ours, baseline, unit, ratio, f"≤ {bound:g}", ratio <= bound)


def absolute_at_most(name: str, ours: float, bound: float, unit: str) -> Row:
    """A promise in absolute terms (seconds to a retraction, notices lost): the bound itself stands as the baseline."""
    return Row(name, ours, bound, unit, ours / bound if bound else 0.0, f"≤ {bound:g} {unit}", ours <= bound)


def within(name: str, ours: float, baseline: float, bound: float, unit: str) -> Row:
    """A promise in absolute terms whose baseline was measured all the same: `ratio` says how far ours is from it."""
    ratio = ours / baseline if baseline else float("inf")
    return Row(name, ours, baseline, unit, ratio, f"≤ {bound:g} s", ours <= bound)
