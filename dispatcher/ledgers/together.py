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

    __slots__ = ("done", "found", "keys")

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.done = asyncio.Event()
        self.found: Mapping[str, V] | None = None
        """None, and it is done: nobody looked after all."""


class Together(Generic[V]):
    """`look` is given keys, each once, and returns what there is of them."""

    def __init__(self, look: Callable[[Sequence[str]], Awaitable[Mapping[str, V]]]) -> None:
        self._look = look
        self._turn = asyncio.Lock()
        self._next: _Look[V] | None = None

    async def one(self, key: str) -> V | None:
        """What there is of this key; None for nothing. Raises whatever the look raises."""
        while True:
            look = self._next
            if look is None or len(look.keys) >= MOST:
                look = self._next = _Look()
                look.keys.add(key)
                await self._lead(look)
            else:
                look.keys.add(key)
                await look.done.wait()
            if look.found is not None:
                return look.found.get(key)
            # Whoever was to look for all was cancelled or failed: one of those who are left does.

    async def _lead(self, look: _Look[V]) -> None:
        """Look for all who have come by the time that it is this look's turn."""
        try:
            async with self._turn:
                self._shut(look)
                look.found = await self._look(sorted(look.keys))
        finally:
            self._shut(look)
            look.done.set()

    def _shut(self, look: _Look[V]) -> None:
        if self._next is look:
            self._next = None
