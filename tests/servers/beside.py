"""A loop in a thread of its own, for a server beside a test that is not asynchronous: Playwright's browser has its own loop."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

WAIT_S = 30


@contextmanager
def beside(name: str) -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Inside, what is given is run there, and its result waited for."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=name)
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(WAIT_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_S)
        loop.close()
