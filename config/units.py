"""Quantities as a site file writes them: always with their unit, so that 30 is never read as the wrong thing.

A field's type carries the unit: `timeout: Seconds` is a float of seconds in the program and `30 s` or `5 min` in the file.

Source: RFC 2119 is not enough for numbers; ISO 80000 unit symbols.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated


@dataclass(frozen=True, slots=True)
class Unit:
    """What a quantity may be written in: symbol → factor to the program's own unit."""

    what: str
    factors: Mapping[str, float]

    def accepted(self) -> str:
        return ", ".join(self.factors)


DURATION = Unit("a duration", MappingProxyType({"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}))
BIT_RATE = Unit("a bit rate", MappingProxyType({"bit/s": 1, "kbit/s": 1e3, "Mbit/s": 1e6, "Gbit/s": 1e9}))
SIZE = Unit("a size", MappingProxyType({"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1024, "MiB": 1024**2}))
FREQUENCY = Unit("a rate", MappingProxyType({"/s": 1, "/min": 1 / 60, "/h": 1 / 3600}))

LARGEST = 1e15
"""In the program's own unit: whole numbers up to here stay exact."""

Seconds = Annotated[float, DURATION]
BitsPerSecond = Annotated[int, BIT_RATE]
Bytes = Annotated[int, SIZE]
PerSecond = Annotated[float, FREQUENCY]


def parse(unit: Unit, text: str) -> float:
    """The quantity in the program's own unit: `30 s` → 30.0.

    Raises:
        ValueError: no number, no unit, or a unit of something else; the message says what is accepted.
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(\S*)\s*", text)
    if found is None or found[2] not in unit.factors:
        raise ValueError(f"{text[:40]!r} is not {unit.what}; a number and one of {unit.accepted()} is accepted")
    quantity = float(found[1]) * unit.factors[found[2]]
    if not quantity < LARGEST:
        raise ValueError(f"{text[:40]!r} is more than {unit.what} can be")
    return quantity


def write(unit: Unit, quantity: float) -> str:
    """As a site file has it, in the largest unit that leaves a whole number."""
    best = max(
        (symbol for symbol, factor in unit.factors.items() if quantity and (quantity / factor) % 1 == 0),
        key=lambda symbol: unit.factors[symbol],
        default=next(symbol for symbol, factor in unit.factors.items() if factor == 1),
    )
    return f"{Decimal(repr(quantity / unit.factors[best])).normalize():f} {best}"
