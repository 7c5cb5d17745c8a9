"""A server for the bench, in a process of its own: the residents' listener over a folder, or a bare protocol that does the least.

python -m tests.bench._web_server ours|bare FOLDER     prints its port, ends at the first line it reads

The bare one answers whoever connects with the head of an event stream and writes one prebuilt chunk to each when the folder's
`live.json` changes, as ours does; it looks as often.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import cast

import uvloop

from dispatcher import residents
from dispatcher.clock import SystemClock
from dispatcher.listening import listening
from dispatcher.residents.live import LOOK_S, Following


class Bare(asyncio.Protocol):
    open: set["Bare"] = set()  # noqa: RUF012 - the bench's own process has one
    HEAD = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nevent: changed\ndata: {}\n\n"
    )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's own is no subclass of asyncio's.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self.transport.write(self.HEAD)
            self.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.open.discard(self)


async def _bare(mark: Path, clock: SystemClock) -> None:
    last = mark.read_bytes()
    while True:
        await clock.sleep(LOOK_S)
        now = mark.read_bytes()
        if now != last:
            last = now
            event = b"event: changed\ndata: %b\n\n" % now
            for reader in tuple(Bare.open):
                reader.transport.write(event)


async def main(kind: str, folder: Path) -> None:
    clock = SystemClock()
    ended = asyncio.to_thread(sys.stdin.readline)
    if kind == "bare":
        server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", 0, backlog=4096)
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(_bare(folder / "live.json", clock))
            await ended
            following.cancel()
        return
    live = Following(folder, clock)
    async with listening(residents.application(live.routes, folder), "127.0.0.1", 0) as (_, port), live.open():
        print(json.dumps({"port": port}), flush=True)
        await ended


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Path(sys.argv[2])))
