"""Three stations on loopback: each verifies what is on the air, reports it, shows it to phones and takes what residents write.

Source: design.md §6; facts.md §Wi-Fi multicast.
"""

import asyncio
import random
import secrets
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from config.city import City
from drills.world.ports import free_port
from multicast.forwarding import Forwarder
from multicast.keys import SenderKey, load_trust
from multicast.monitor import Monitor
from multicast.phones import Phones, Post, serving
from multicast.reassembly import Reassembly
from multicast.sealing import AnswerKey, load_sealer
from multicast.spool import Spool
from multicast.udp import Endpoint

STATIONS = {"mitaka": "三鷹駅", "mitakadai": "三鷹台駅", "inokashira-koen": "井の頭公園駅"}
REPORT_EVERY_S = 0.5
LOOPBACK = "127.0.0.1"


class World:
    """The receivers listen while the world is open."""

    def __init__(self, state_dir: Path, city: City, seed: int) -> None:
        del city
        self._dir = state_dir
        # Groups of their own, so that two demos on one machine do not hear each other.
        self._group = f"239.255.{random.Random(f'{seed} {secrets.token_hex(4)}').randrange(1, 255)}"  # noqa: S311 - names a group, guards nothing
        self._secrets = {name: secrets.token_hex(16) for name in STATIONS}
        self._port = 0
        self._reports = ""
        self._tasks = asyncio.TaskGroup()
        self._listening: list[asyncio.Task[None]] = []
        self.monitors: list[Monitor] = []
        self._phones = AsyncExitStack()
        self.pages: dict[str, str] = {}
        """By station: where a phone there finds its page."""
        self.wall: Callable[[], float] = time.time

    async def __aenter__(self) -> Self:
        self._dir.mkdir(parents=True, exist_ok=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
            found.bind((LOOPBACK, 0))
            self._port = found.getsockname()[1]
        self._reports = f"{LOOPBACK}:{free_port()}"
        SenderKey.generate("Exercise", now_s=self.wall()).save(self.key)
        for name, secret in self._secrets.items():
            path = self._dir / f"secret-{name}"
            path.touch(mode=0o600)
            path.write_text(secret)
        AnswerKey.generate().save(self.answers)
        await self._tasks.__aenter__()
        self.start()
        await self._serve()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._phones.aclose()
        for task in self._listening:
            task.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    @property
    def key(self) -> Path:
        return self._dir / "multicast-drill.key"

    @property
    def answers(self) -> Path:
        return self._dir / "answers.key"

    async def _serve(self) -> None:
        """Each station's page, and its way to the node for what is written there."""
        sealer = load_sealer(self.answers.with_name(f"{self.answers.name}.pub"))
        for number, name in enumerate(STATIONS):
            forwarder = Forwarder(
                spool=Spool(self._dir / "received" / name / "answers"),
                url=f"http://{self._reports}/stations/{name}/answers",
                secret=self._secrets[name],
                every_s=REPORT_EVERY_S,
                wall=self.wall,
            )
            phones = Phones(partial(self._shown, number), is_drill=True).application(Post(sealer, forwarder, self.wall))
            host, port = await self._phones.enter_async_context(serving(phones, LOOPBACK, 0))
            self.pages[name] = f"http://{host}:{port}"
            handing_over = self._tasks.create_task(forwarder.run())
            self._phones.callback(handing_over.cancel)

    def _shown(self, number: int) -> Sequence[Path]:
        return self.monitors[number].whole()

    def endpoint(self, number: int) -> Endpoint:
        return Endpoint(f"{self._group}.{number + 1}", self._port, LOOPBACK)

    def start(self) -> None:
        """Each station's receiver, from nothing but what it trusts."""
        self.monitors = [
            Monitor(
                endpoint=self.endpoint(number),
                reassembly=Reassembly(
                    tsi=1,
                    trust=load_trust(self.key.with_name(f"{self.key.name}.pub"), "Exercise"),
                    wall=self.wall,
                    clock=time.monotonic,
                ),
                url=f"http://{self._reports}/stations/{name}",
                secret=self._secrets[name],
                folder=self._dir / "received" / name,
                report_every_s=REPORT_EVERY_S,
                wall=self.wall,
            )
            for number, name in enumerate(STATIONS)
        ]
        self._listening = [self._tasks.create_task(monitor.run()) for monitor in self.monitors]

    @asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        """The receivers hear nothing and say nothing inside."""
        for task in self._listening:
            task.cancel()
        await asyncio.wait(self._listening)
        try:
            yield
        finally:
            self.start()

    def settings(self) -> Mapping[str, Any]:
        return {
            "key": str(self.key),
            "reports": self._reports,
            "answers": str(self.answers),
            "stations": [
                {
                    "name": name,
                    "title": title,
                    "group": self.endpoint(number).group,
                    "port": self._port,
                    "interface": LOOPBACK,
                    "secret": {"file": str(self._dir / f"secret-{name}")},
                }
                for number, (name, title) in enumerate(STATIONS.items())
            ],
            "report_every": f"{REPORT_EVERY_S * 1000:.0f} ms",
        }

    async def keep(self, folder: Path) -> None:
        await asyncio.to_thread(shutil.copytree, self._dir / "received", folder, dirs_exist_ok=True)

    def report(self) -> Mapping[str, Any]:
        seen = [event for monitor in self.monitors for event in monitor.seen]
        return {
            "files": sum(len(event.files) for event in seen if event.what == "shown"),
            "first_byte_at": min((event.at for event in seen if event.what == "announced"), default=None),
        }
