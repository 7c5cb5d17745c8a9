"""A medium that remembers: a TCP server that keeps each line it gets and says yes. It lives in the tests' own process, so what
it has heard survives whatever is done to the sender."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Recorder:
    def __init__(self) -> None:
        self.heard: Counter[str] = Counter()
        self.port = 0
        self.grown = asyncio.Condition()

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                if not line.endswith(b"\n"):
                    break  # the sender died in the middle of a word: that is not hearing it
                self.heard[line.decode().strip()] += 1
                writer.write(b"yes\n")
                await writer.drain()
                async with self.grown:
                    self.grown.notify_all()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def until(self, count: int, within_s: float = 60.0) -> None:
        """Wait until that many different lines were heard."""
        async with asyncio.timeout(within_s), self.grown:
            await self.grown.wait_for(lambda: len(self.heard) >= count)


@asynccontextmanager
async def recording() -> AsyncIterator[Recorder]:
    recorder = Recorder()
    server = await asyncio.start_server(recorder._hear, "127.0.0.1", 0)
    recorder.port = server.sockets[0].getsockname()[1]
    try:
        yield recorder
    finally:
        server.close()
        await server.wait_closed()
