"""Many who look at the same time look together: what waits while one look is under way goes as one into the next.

A look costs a hand-over between threads each way, and with thousands of people answering that is most of what it costs. Nobody
is given what was read before they asked.

Source: dispatcher/ledgers/store.py (group commit, of which this is the reading half); facts.md §Engine.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

V = TypeVar("V")

MOST = 500
"""Keys in one look: PostgreSQL and SQLite both take many more."""


class _Look(Generic[V]):
    """One look: the keys that it is for, and what was found."""

    __slots__ = ("found", "keys")

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.found: Mapping[str, V] | None = None


class Together(Generic[V]):
    """`look` is given keys, each once, and returns what there is of them."""

    def __init__(self, look: Callable[[Sequence[str]], Awaitable[Mapping[str, V]]]) -> None:
        self._look = look
        self._turn = asyncio.Lock()
        self._next = _Look[V]()

    async def one(self, key: str) -> V | None:
        """What there is of this key; None for nothing. Raises whatever the look raises."""
        if len(self._next.keys) >= MOST:
            self._next = _Look()
        mine = self._next
        mine.keys.add(key)
        async with self._turn:
            # Whoever has the turn first looks for all; should they be cancelled or fail, the next of them does.
            if mine.found is None:
                if self._next is mine:
                    self._next = _Look()
                mine.found = await self._look(sorted(mine.keys))
        return mine.found.get(key)
