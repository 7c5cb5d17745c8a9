"""One notice on its way to some terminals, each of which may have it on the wire of several connections.

An attempt waits for the PUBACKs of those who have it; the others it knows as open, and why one could not be given it.

Source: design.md §6 "Outcomes are closed"; MQTT 3.1.1 §4.4; MQTT 5.0 §4.4.
"""

import asyncio
from collections.abc import Callable, Sequence

from channels.ip_terminal.writing import ToMany
from dispatcher.model.delivery import Outcome, Told


class Attempt:
    """One notice to some terminals: who is still open, and how many of them have it on the wire."""

    __slots__ = ("_changed", "_flights", "_flying", "_tell", "identifier", "notice", "words")

    def __init__(self, identifier: str, payload: bytes, tids: Sequence[str], tell: Callable[[Told], None]) -> None:
        self.identifier = identifier
        self.notice = ToMany(payload)
        self.words: dict[str, str] = {}
        """Why one who listens could not be given it."""
        self._flights = dict.fromkeys(tids, 0)
        self._flying = 0
        self._tell = tell
        self._changed = asyncio.Event()

    def __contains__(self, tid: str) -> bool:
        return tid in self._flights

    def open(self) -> list[tuple[str, bool]]:
        """Who is not settled, and whether it has the notice on the wire."""
        return [(tid, flights > 0) for tid, flights in self._flights.items()]

    def departed(self, tid: str) -> None:
        """On its way on one connection."""
        if tid in self._flights:
            self._flying += not self._flights[tid]
            self._flights[tid] += 1

    def lost(self, tid: str) -> None:
        """The connection that it was on its way on is gone."""
        if self._flights.get(tid):
            self._flights[tid] -= 1
            self._flying -= not self._flights[tid]
            self._look()

    def failed(self, tid: str, words: str) -> None:
        """The terminal said no."""
        self.words[tid] = words
        self.lost(tid)

    def taken(self, tid: str) -> None:
        """The terminal's machine said yes."""
        flights = self._flights.pop(tid, None)
        if flights is not None:
            self._flying -= flights > 0
            self._tell(Told(tid, Outcome.TAKEN, "PUBACK"))
            self._look()

    async def settled(self) -> None:
        """Nobody has it on the wire any more."""
        while self._flying:
            self._changed.clear()
            await self._changed.wait()

    def _look(self) -> None:
        if not self._flying:
            self._changed.set()
