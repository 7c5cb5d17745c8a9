"""What changes on an open page, pushed to it: one piece made once for all its readers, sent when it differs from what they have.

A reader is told the newest state and never a backlog: nothing is queued for anybody, and what somebody was too slow for is
simply newer the next time. The event's id is the digest of the piece, so a browser that comes back with `Last-Event-ID` gets
it if, and only if, it has changed. Whoever does not read for some seconds is dropped, and comes back.

A hint and no more: every page is complete without it and says how old it is.

Source: HTML Standard §9.2 (server-sent events); facts.md §Website "SSE".
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from dispatcher.errors import Refused, Unauthenticated
from dispatcher.staff.console.guard import HEADERS
from dispatcher.staff.console.room import CONSOLE, Console, sitting
from dispatcher.staff.console.visitor import token_of

LOOK_S = 2.0
"""At the latest: another node of the same ledger, or time itself, may have changed something."""
REST_S = 0.2
"""Between two pieces, however fast the ledger grows."""
KEEP_ALIVE_S = 15.0
SLOW_S = 5.0
SESSION_S = 5.0
"""A session that was ended is cut off that soon."""
RETRY_MS = 2000
MAX_READERS = 512
MAX_OF_A_SESSION = 16
"""Pages that one browser listens with at once; one that opens more and more must not leave the others without."""

Make = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Piece:
    """One event, ready to be written to any number of readers."""

    id: str
    data: bytes


@dataclass(slots=True)
class _Topic:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    made: tuple[int, Piece] | None = None
    readers: int = 0


class Live:
    """Everybody who has a page open."""

    def __init__(self, console: Console, *, slow_s: float = SLOW_S, session_s: float = SESSION_S) -> None:
        self._console = console
        self._slow_s = slow_s
        self._session_s = session_s
        self._generation = 0
        self._moved = asyncio.Condition()
        self._topics: dict[tuple[str, ...], _Topic] = {}
        self._of: Counter[str] = Counter()
        """Readers of each session."""
        self._is_closing = False

    @property
    def readers(self) -> int:
        """How many pages are open and listening."""
        return sum(topic.readers for topic in self._topics.values())

    async def run(self, _app: web.Application) -> AsyncIterator[None]:
        """For as long as the application is up (`cleanup_ctx`)."""
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follow())
            yield
            following.cancel()

    async def close(self, _app: web.Application) -> None:
        """Let every reader go, so that the listener can close at once (`on_shutdown`)."""
        self._is_closing = True
        async with self._moved:
            self._moved.notify_all()

    async def _follow(self) -> None:
        length = 0
        while True:
            length = await self._console.path.ledger.changed(length, LOOK_S)
            async with self._moved:
                self._generation += 1
                self._moved.notify_all()
            await self._console.clock.sleep(REST_S)

    async def stream(self, request: web.Request, topic: tuple[str, ...], make: Make) -> web.StreamResponse:
        """Answer with the pieces of a topic until the reader, its session or the node is gone.

        `make` gives the piece as it stands; it is called once for all readers of the topic.
        """
        whose = sitting(request).session.id
        if self.readers >= MAX_READERS or self._of[whose] >= MAX_OF_A_SESSION:
            raise web.HTTPServiceUnavailable
        response = web.StreamResponse(
            headers={**HEADERS, "Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
        )
        place = self._topics.setdefault(topic, _Topic())
        place.readers += 1
        self._of[whose] += 1
        try:
            await response.prepare(request)
            await response.write(f"retry: {RETRY_MS}\n\n".encode())
            await self._tell(request, response, place, make)
        except (TimeoutError, ConnectionError, RuntimeError):
            # Too slow, or gone in the middle of a write (uvloop says so with RuntimeError): it comes back by itself.
            if request.transport is not None:
                request.transport.abort()
        finally:
            place.readers -= 1
            self._of[whose] -= 1
            if not self._of[whose]:
                del self._of[whose]
            if not place.readers:
                self._topics.pop(topic, None)
        return response

    async def _tell(self, request: web.Request, response: web.StreamResponse, place: _Topic, make: Make) -> None:
        seen = request.headers.get("Last-Event-ID", "")
        clock, looked_s = self._console.clock, 0.0
        while not self._is_closing:
            if clock.monotonic() - looked_s > self._session_s or not looked_s:
                if not await self._is_signed_in(request):
                    return
                looked_s = clock.monotonic()
            generation = self._generation
            piece = await self._piece(place, make)
            async with asyncio.timeout(self._slow_s):
                await response.write(b":\n\n" if piece.id == seen else piece.data)
            seen = piece.id
            await self._next(generation)

    async def _next(self, generation: int) -> None:
        """Wait for another generation, or until it is time for a sign of life."""
        try:
            async with asyncio.timeout(KEEP_ALIVE_S), self._moved:
                await self._moved.wait_for(lambda: self._is_closing or self._generation > generation)
        except TimeoutError:
            return

    async def _is_signed_in(self, request: web.Request) -> bool:
        try:
            await request.app[CONSOLE].accounts.session(token_of(request), is_person=False)
        except (Unauthenticated, Refused):
            return False
        return True

    async def _piece(self, place: _Topic, make: Make) -> Piece:
        async with place.lock:
            if place.made is None or place.made[0] != self._generation:
                generation, html = self._generation, await make()
                identifier = hashlib.sha256(html.encode()).hexdigest()[:16]
                data = f"id: {identifier}\nevent: piece\ndata: {json.dumps(html, ensure_ascii=False)}\n\n"
                place.made = generation, Piece(identifier, data.encode())
            return place.made[1]


LIVE = web.AppKey("live", Live)
