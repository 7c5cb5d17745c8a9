"""An answer that was made once, for everybody who asks: written to the connection as it stands, with the date of now.

aiohttp makes the head of an answer anew each time, which is a good part of what a page from memory costs.

Source: RFC 9112 §2.1, §6.2; RFC 9110 §6.6.1 (Date).
"""

import asyncio
from collections.abc import Mapping

from aiohttp import HttpVersion11, web
from aiohttp.helpers import rfc822_formatted_time

WRITE_BYTES = 65_536
"""What a connection takes in one write; a larger answer is written piece by piece, as the reader reads."""
UNREAD_S = 30.0
"""Who takes nothing for so long is let go."""


class Prerendered(web.Response):
    """200, with exactly these headers; for whom `may_be_given` says so."""

    def __init__(self, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(headers=headers)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._head = f"HTTP/1.1 200 OK\r\n{lines}Content-Length: {len(body)}\r\nDate: ".encode()
        self._rest = b"\r\n\r\n" + body
        self._keep_alive = True

    @property
    def prepared(self) -> bool:
        """Its head is written already: nobody adds to it."""
        return True

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write it, if the connection still stands."""
        transport = request.transport
        if transport is not None and not transport.is_closing():
            transport.write(self._head + rfc822_formatted_time().encode() + self._rest)
            if transport.get_write_buffer_size() > WRITE_BYTES:
                await _read_by(request, transport)

    async def write_eof(self, data: bytes = b"") -> None:
        """There is no more of it."""


async def _read_by(request: web.BaseRequest, transport: asyncio.Transport) -> None:
    """Wait until the client has read: who asks on and on and reads nothing would fill the memory otherwise."""
    try:
        async with asyncio.timeout(UNREAD_S):
            await request.writer.drain()
    except TimeoutError:
        transport.abort()
    except ConnectionResetError:
        # It went away; aiohttp sees so by itself.
        return


def may_be_given(request: web.BaseRequest) -> bool:
    """Whether a whole answer with a body fits: HTTP/1.1, on a connection that stays open."""
    return request.method != "HEAD" and request.version == HttpVersion11 and request.keep_alive
