"""Who opens links that lead nowhere is slowed down, address by address; who opens a right one never is.

A token has 128 bits: nobody finds one, and what has to be kept off is the load of trying. So only wrong links count. A shelter
may stand behind one address with hundreds of phones, one of which is a pest: past the bound, links from that address are
looked at one after the other, a right one opens, and a wrong one is told to wait.

Counters are in memory, of a bounded number, and empty themselves: nobody is remembered for long.

Source: OWASP "Credential Stuffing Prevention"; RFC 6585 §4.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from dispatcher.clock import Clock
from dispatcher.errors import Throttled
from dispatcher.listening import block

FREE = 60
"""So many wrong links cost an address nothing: old mails are opened again."""
FORGIVEN_PER_S = 1.0
PLACES = 65_536


@dataclass(slots=True)
class _Place:
    wrong: float = 0.0
    at_s: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Guesses:
    """Wrong links by address. `turn` is around a look at a link; `wrong` inside it, where the link leads nowhere."""

    def __init__(self, clock: Clock, *, free: float = FREE, forgiven_per_s: float = FORGIVEN_PER_S) -> None:
        self._clock = clock
        self._free, self._forgiven_per_s = free, forgiven_per_s
        self._places: OrderedDict[str, _Place] = OrderedDict()

    @asynccontextmanager
    async def turn(self, remote: str) -> AsyncIterator[None]:
        """At once, or after the others of an address that guesses."""
        # While nobody guesses, and that is nearly always, an address need not even be read.
        place = self._places.get(block(remote)) if self._places else None
        if place is None or self._left(place) < self._free:
            yield
            return
        async with place.turn:
            yield

    def wrong(self, remote: str) -> None:
        """Count one.

        Raises:
            Throttled: there were too many; this one is not counted, so waiting ends.
        """
        name = block(remote)
        place = self._places.setdefault(name, _Place(at_s=self._clock.monotonic()))
        self._places.move_to_end(name)
        if len(self._places) > PLACES:
            self._places.popitem(last=False)
        place.wrong, place.at_s = self._left(place), self._clock.monotonic()
        if place.wrong >= self._free:
            raise Throttled(1 / self._forgiven_per_s)
        place.wrong += 1

    def _left(self, place: _Place) -> float:
        return max(0.0, place.wrong - (self._clock.monotonic() - place.at_s) * self._forgiven_per_s)
