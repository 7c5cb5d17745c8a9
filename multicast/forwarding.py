"""Hands what residents wrote at this station to the node, as soon as there is a line to it, and keeps it until the node has it.

The node says 204 when it is durable there; whatever else it says, or nothing, and the next attempt brings the same again.

Source: design.md §8; RFC 9110 §15.3.5; multicast/report.py.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from multicast import report
from multicast.spool import Spool

LOT_BYTES: Final = 40_000
"""In one request; in base64 it is a third longer, and the node takes report.MAX_BYTES."""


@dataclass(kw_only=True)
class Forwarder:
    """`url`: where the station reports, with `/answers` behind it."""

    spool: Spool
    url: str
    secret: str = field(repr=False)
    every_s: float
    wall: Callable[[], float] = time.time
    say: Callable[[str], None] = lambda _words: None
    trouble: str = ""
    """Why the last attempt failed; empty when it did not."""

    def __post_init__(self) -> None:
        self._kept = asyncio.Event()
        self._disk = asyncio.Lock()

    async def keep(self, name: str, sealed: bytes) -> None:
        """Durable on return; handed over soon.

        Raises:
            OSError: as Spool.put.
        """
        async with self._disk:
            await asyncio.to_thread(self.spool.put, name, sealed)
        self._kept.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                while await self._hand_over():
                    pass
                trouble = ""
            except OSError as error:  # no line, or the node has no room: later
                trouble = str(error)
            if trouble != self.trouble:
                self.say(f"answers to {self.url}: {trouble or 'again'}")
            self.trouble = trouble
            with suppress(TimeoutError):
                async with asyncio.timeout(self.every_s):
                    await self._kept.wait()
            self._kept.clear()

    async def _hand_over(self) -> bool:
        """One lot; False where nothing waits."""
        async with self._disk:
            lot = await asyncio.to_thread(self.spool.oldest, LOT_BYTES, self.wall())
        if not lot:
            return False
        headers, body = report.write_answers([sealed for _, sealed in lot], self.secret, self.wall())
        await asyncio.to_thread(report.post, self.url, headers, body)
        async with self._disk:
            for name, _ in lot:
                await asyncio.to_thread(self.spool.drop, name)
        return True
