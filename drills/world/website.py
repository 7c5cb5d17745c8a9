"""The residents who read the site: they fetch what a browser, a feed reader and a CAP client would, over HTTP.

The node's own residents' listener serves the folder here, on a port that this world picked: `listen` of its report. Readers
start at the index and at the feeds and go where the links lead.

Source: design.md §6 website; issue "Shows" (out/received/website).
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from config.city import City
from dispatcher.clock import SystemClock
from drills.world.ports import free_port

LOOK_EVERY_S = 0.05
_START = ("index.html", "easy.html", "en.html", "feed.atom", "feed.rss", "alerts.json")


class World:
    def __init__(self, state_dir: Path, city: City, seed: int) -> None:
        del city, seed
        self._folder = state_dir / "site"
        self._port = 0
        self._kept = 0
        self._first_byte_at: str | None = None
        self._tasks = asyncio.TaskGroup()
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        # Free now and very likely still free when the node listens: the node says so clearly if it is not.
        self._port = free_port()
        await self._tasks.__aenter__()
        self._reading = self._tasks.create_task(self._read_until_there_is_something())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reading is not None:
            self._reading.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    async def _read_until_there_is_something(self) -> None:
        """As a resident does who looks again and again, until the first alert stands on the site."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as session:
            while self._first_byte_at is None:
                with suppress(aiohttp.ClientError, TimeoutError, ValueError):  # the node is not up yet
                    async with session.get(f"{self.url}/alerts.json") as response:
                        seen_at = SystemClock().now().isoformat()
                        if response.status == HTTPStatus.OK and json.loads(await response.read())["alerts"]:
                            self._first_byte_at = seen_at
                await SystemClock().sleep(LOOK_EVERY_S)

    @property
    def listen(self) -> tuple[str, int]:
        """Where the node's residents' listener is to serve the folder."""
        return "127.0.0.1", self._port

    @property
    def url(self) -> str:
        return f"http://{self.listen[0]}:{self.listen[1]}"

    def settings(self) -> Mapping[str, Any]:
        return {"folder": str(self._folder), "url": self.url}

    async def keep(self, folder: Path) -> None:
        """Write every page, feed and CAP message that can be reached, as it was served, under its own path."""
        self._kept = 0
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            for name in _START:
                await self._keep(session, name, folder)
            listed = json.loads((folder / "alerts.json").read_bytes())
            for alert in listed["alerts"]:
                pages = alert["page"].rsplit("/", 1)[0]
                for said in alert["said"]:
                    await self._keep(session, f"{pages}/{said['page']}", folder)
                for message in alert["messages"]:
                    await self._keep(session, message["cap"], folder)

    def report(self) -> Mapping[str, Any]:
        return {"url": f"{self.url}/", "files_read": self._kept, "first_byte_at": self._first_byte_at}

    async def _keep(self, session: aiohttp.ClientSession, name: str, folder: Path) -> None:
        async with session.get(f"{self.url}/{name}") as response:
            response.raise_for_status()
            data = await response.read()
        _write(folder, name, data)
        self._kept += 1


def _write(folder: Path, name: str, data: bytes) -> None:
    """The names come from the site: they stay inside the folder all the same."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"{name} leads out of {folder}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
