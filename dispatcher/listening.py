"""How this node listens to HTTP, for whichever application: short lines, few headers, idle connections closed.

Source: RFC 9112 §2.2, §9.8; RFC 7239 §7.1 (who added the last address);
RFC 6177 §2 (a site has an IPv6 /64); aiohttp "Server reference".
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from dispatcher.clock import SystemClock

IDLE_S = 15.0
LINE_BYTES = 4096
HEADERS = 64
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
First = Callable[[web.BaseRequest], web.StreamResponse | None]
FIRST: web.AppKey[First] = web.AppKey("FIRST")
"""What an application would rather be asked before router and middlewares are: an answer that is ready, or None."""
_TURNS_TO_ACCEPT = 2
"""From accept() until a connection's protocol knows of it."""


def _is_ours(record: logging.LogRecord) -> bool:
    """Not of a request that is no HTTP: it was answered, and the error quotes the line that it stumbled over, token and all."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_server = logging.getLogger(f"{__name__}.server")
_server.addFilter(_is_ours)


@asynccontextmanager
async def listening(application: web.Application, host: str, port: int) -> AsyncIterator[tuple[str, int]]:
    """Serve the application while inside; gives the address, with the port that was found where 0 was asked for.

    Raises:
        OSError: the address is taken or not this machine's.
    """
    runner = web.AppRunner(
        application,
        access_log=None,
        logger=_server,
        handle_signals=False,
        keepalive_timeout=IDLE_S,
        lingering_time=1.0,
        shutdown_timeout=2.0,
        max_line_size=LINE_BYTES,
        max_field_size=LINE_BYTES,
        max_headers=HEADERS,
        # A packed body may unfold to any size; none of our clients sends one.
        auto_decompress=False,
    )
    await runner.setup()
    loop = asyncio.get_running_loop()
    try:
        assert runner.server is not None  # it is set up
        if (first := application.get(FIRST)) is not None:
            runner.server.request_handler = _asked_first(first, runner.server.request_handler)
        server = await loop.create_server(runner.server, host, port, backlog=1024)
        try:
            address = server.sockets[0].getsockname()
            yield address[0], address[1]
        finally:
            # A server that closes while a connection is between accept() and its protocol forgets it, open and unanswered
            # (CPython before 3.12 even fails in Server._attach): first nothing more is accepted, then it closes.
            for listener in server.sockets:
                loop.remove_reader(listener.fileno())
            for _ in range(_TURNS_TO_ACCEPT):
                await SystemClock().sleep(0)
            server.close()
    finally:
        await runner.cleanup()


def _asked_first(first: First, then: Handler) -> Handler:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        answer = first(request)
        return await then(request) if answer is None else answer

    return handle


def host_and_port(listen: str) -> tuple[str, int]:
    """Host and port of what a site file says: `127.0.0.1:8980`, `[::1]:8980`."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def remote_of(request: web.Request) -> str:
    """Whose address it is: behind our own proxy on loopback, the one that the proxy added last."""
    peer = request.remote or ""
    forwarded = request.headers.get("X-Forwarded-For", "").rsplit(",", 1)[-1].strip()
    return forwarded if forwarded and is_loopback(peer) else peer


def block(remote: str) -> str:
    """An address as it is counted: IPv4 whole, IPv6 by its /64, which is one site's; what is no address as it came, cut."""
    try:
        ip = ip_address(remote.partition("%")[0])
    except ValueError:
        return remote[:64]
    return str(ip_network((ip, 64 if ip.version == 6 else 32), strict=False))


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
