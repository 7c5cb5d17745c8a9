"""What people outside the role welfare see of a count: under five it is hidden, and no sum gives it away.

A figure is shown as a function of its own cell alone (0, "under 5", or the count), and every sum is made of what is shown and of
nothing else. Two cities that differ only within their hidden cells therefore look the same to the last byte: there is nothing to
subtract. The price is a range ("3–12") where an exact sum would stand; the role welfare has the exact one.

Only one way of cutting the same people up is shown, by quarter: two ways would be two equations for one hidden figure.

Source: design.md §8 "Counts under 5 are hidden outside the welfare role".
"""

from collections.abc import Iterable
from dataclasses import dataclass

HIDDEN_BELOW = 5


@dataclass(frozen=True, slots=True)
class Figure:
    """A count as somebody may know it: it lies within `least` and `most`."""

    least: int
    most: int

    @property
    def is_exact(self) -> bool:
        return self.least == self.most

    @property
    def is_hidden(self) -> bool:
        """Somebody, and fewer than five."""
        return not self.is_exact and self.most < HIDDEN_BELOW

    def __str__(self) -> str:
        if self.is_exact:
            return f"{self.least:,}"
        return f"<{HIDDEN_BELOW}" if self.is_hidden else f"{self.least:,}–{self.most:,}"


def exact(count: int) -> Figure:
    """As the role welfare sees it."""
    return Figure(count, count)


def hidden(count: int) -> Figure:
    """As everybody else does. Nobody is no person's secret: 0 stays 0."""
    return Figure(1, HIDDEN_BELOW - 1) if 0 < count < HIDDEN_BELOW else Figure(count, count)


def summed(figures: Iterable[Figure]) -> Figure:
    """What is known of a sum by whoever knows these figures."""
    each = list(figures)
    return Figure(sum(f.least for f in each), sum(f.most for f in each))
