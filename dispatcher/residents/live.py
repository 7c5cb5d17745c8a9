"""Tells every open page of the residents' site that something changed: server-sent events, a hint and no more.

The site's folder says what the site is now (`live.json`); when that changes, one chunk is made and written straight to each
reader's transport. There is no queue and no task a reader that wakes: 19,000 of them cost one pass over a list. Whoever does not
read is dropped and comes back. A page then fetches itself, at a moment that is spread over as long as the crowd is large.

Source: HTML Standard §9.2 (server-sent events); RFC 9112 §7.1 (chunks); facts.md §Website "SSE".
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

from aiohttp import HttpVersion11, web

from dispatcher.clock import Clock
from dispatcher.listening import block, is_loopback, remote_of

LOOK_S = 0.05
"""How late a page may hear of a change; all that changes meanwhile is one hint."""
KEEP_ALIVE_S = 20.0
BEHIND_BYTES = 32_768
"""Unread by a reader: it is dropped."""
MAX_READERS = 20_000
MAX_OF_ADDRESS = 2_000
"""A tenth of all, from one address: a shelter or a telephone company has many people behind one. Our own proxy is none."""
AT_ONCE = 500
"""Readers written to before others get a turn."""
SPREAD_MS = 0.25
"""A reader: how long all of them together may take to fetch what is new."""
RETRY_MS = (1000, 6000)
FULL_RETRY_S = 60

HEADERS = MappingProxyType(
    {
        "Content-Type": "text/event-stream; charset=utf-8",
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
        "X-Content-Type-Options": "nosniff",
        "Access-Control-Allow-Origin": "*",
    }
)
_QUIET = b":\n\n"


class _Reader:
    """One open page: where to write, how, and the future that ends its request."""

    __slots__ = ("gone", "is_chunked", "transport")

    def __init__(self, transport: asyncio.Transport, *, is_chunked: bool) -> None:
        self.transport = transport
        self.is_chunked = is_chunked
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)


class Following:
    """Everybody who has a page open."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._mark = folder / "live.json"
        self._clock = clock
        self._readers: set[_Reader] = set()
        self._by_address: Counter[str] = Counter()
        self.refused = 0
        """How many were told to come again, since the node started."""
        self._version = ""

    @property
    def readers(self) -> int:
        """How many pages are open and listening."""
        return len(self._readers)

    @property
    def routes(self) -> list[web.AbstractRouteDef]:
        return [web.get("/live", self.stream)]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Inside, changes are told; on leaving every reader is let go, so that the listener can close at once."""
        self._version = self._read()
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follow())
            try:
                yield
            finally:
                following.cancel()
                for reader in self._readers:
                    reader.end()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Answer with hints until the reader or the node is gone."""
        address = block(remote_of(request))
        if len(self._readers) >= MAX_READERS:
            return self._full(503)
        if self._by_address[address] >= MAX_OF_ADDRESS and not is_loopback(remote_of(request)):
            return self._full(429)
        self._by_address[address] += 1
        # One coroutine to a reader and no more: it stays for hours, 19,000 times.
        try:
            response = web.StreamResponse(headers=HEADERS)
            if request.version >= HttpVersion11:
                response.enable_chunked_encoding()
            await response.prepare(request)
            # Every reader comes back at a moment of its own, after a node that went away.
            retry_ms = random.randint(*RETRY_MS)  # noqa: S311 - spreads a crowd, guards nothing
            await response.write(f"retry: {retry_ms}\n".encode() + self._hint())
            response.headers.clear()  # they are out
            if request.transport is None:
                return response
            reader = _Reader(request.transport, is_chunked=response.chunked)
            self._readers.add(reader)
            try:
                await reader.gone
            finally:
                self._readers.discard(reader)
                if request.transport is not None:
                    request.transport.abort()
            return response
        finally:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def _full(self, status: int) -> web.Response:
        """The page looks by itself now and then, and tries again."""
        self.refused += 1
        return web.Response(
            status=status,
            headers={"Retry-After": str(FULL_RETRY_S), "Access-Control-Allow-Origin": "*"},
            text="混み合っています。ページは自分で見に行きます (too many readers; the page looks by itself every minute)\n",
        )

    async def _follow(self) -> None:
        told_s = self._clock.monotonic()
        while True:
            await self._clock.sleep(LOOK_S)
            version = self._read()
            if version != self._version:
                self._version = version
                await self.tell(self._hint())
                told_s = self._clock.monotonic()
            elif self._clock.monotonic() - told_s >= KEEP_ALIVE_S:
                await self.tell(_QUIET)
                told_s = self._clock.monotonic()

    def _read(self) -> str:
        """A name of a few bytes is read faster than it is asked whether it changed."""
        try:
            return str(json.loads(self._mark.read_bytes())["version"])
        except (OSError, ValueError, KeyError, TypeError):
            # No site yet, or a disk that says no: the pages stay what they are.
            return self._version

    def _hint(self) -> bytes:
        said = json.dumps({"version": self._version, "spread_ms": round(len(self._readers) * SPREAD_MS)})
        return f"event: changed\ndata: {said}\n\n".encode()

    async def tell(self, event: bytes) -> None:
        """Write this to every reader."""
        chunk = b"%x\r\n%b\r\n" % (len(event), event)
        for number, reader in enumerate(tuple(self._readers), 1):
            transport = reader.transport
            if transport.is_closing():
                reader.end()
            elif transport.get_write_buffer_size() > BEHIND_BYTES:
                transport.abort()
                reader.end()
            else:
                try:
                    transport.write(chunk if reader.is_chunked else event)
                except RuntimeError:  # uvloop says so of a handle that was closed meanwhile
                    reader.end()
            if number % AT_ONCE == 0:
                await self._clock.sleep(0)
