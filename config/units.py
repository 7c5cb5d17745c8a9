"""Quantities as a site file writes them: always with their unit, so that 30 is never read as the wrong thing.

A field's type carries the unit: `timeout: Seconds` is a float of seconds in the program and `30 s` or `5 min` in the file.

Source: RFC 2119 is not enough for numbers; ISO 80000 unit symbols.
"""

from collections.abc import Mapping
from dataclasses import dataclass
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
SIZE = Unit("a size", MappingProxyType({"B": 1, "kB": 1e3, "MB": 1e6, "KiB": 1024, "MiB": 1024**2}))
FREQUENCY = Unit("a rate", MappingProxyType({"/s": 1, "/min": 1 / 60, "/h": 1 / 3600}))

Seconds = Annotated[float, DURATION]
BitsPerSecond = Annotated[int, BIT_RATE]
Bytes = Annotated[int, SIZE]
PerSecond = Annotated[float, FREQUENCY]
