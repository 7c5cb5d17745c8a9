"""A line between a browser and a node that passes on everything, or, once it is held, nothing: a phone at the edge of a cell.

Source: RFC 9293 §3.8 (bytes wait, the connection stands).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Line:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._there = parts.hostname, parts.port
        self.url = ""
        self.is_passing = asyncio.Event()
        self.is_passing.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                their_reader, their_writer = await asyncio.open_connection(*self._there)
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pass(reader, their_writer))
                    both.create_task(self._pass(their_reader, writer))
        finally:
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                await self.is_passing.wait()
                writer.write(piece)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def slow_line(url: str) -> AsyncIterator[Line]:
    """A line to this address; at `line.url`."""
    line = Line(url)
    server = await asyncio.start_server(line.carry, "127.0.0.1", 0)
    line.url = "http://{}:{}".format(*server.sockets[0].getsockname())
    try:
        yield line
    finally:
        line.is_passing.set()
        server.close()
