"""The 72 designated shelters of the city, each with a notification terminal and somebody who presses 確認.

Each is a real client (terminal.py) with a password and a key of its own; they know the node by its public key alone. Who presses,
and after how many seconds, comes from the seed.

Source: facts.md §IP notification terminals; config/cities/<name>/CREDITS.md (shelters).
"""

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from channels.ip_terminal.notice import KEY_BYTES, Signer, Words
from channels.ip_terminal.register import Registered, password_hash, write
from config.city import City
from dispatcher.clock import Clock
from drills.world.ports import free_port
from drills.world.terminal import Terminal

SHELTER = "designated_shelter"
QUICKEST_S, SLOWEST_S = 1.0, 4.0
"""Until somebody at the shelter has read it and presses."""


class World:
    """Terminals that look for the node while the world is open."""

    def __init__(self, state_dir: Path, city: City, seed: int, clock: Clock | None = None) -> None:
        chance = random.Random(seed)  # noqa: S311 - simulated people and demo keys, the same again for the same seed
        self._dir = state_dir
        self._port = free_port()
        self._key_file = state_dir / "signing.key"
        self._register_file = state_dir / "terminals.csv"
        self.first_byte_at: str | None = None
        self.places: dict[str, str] = {}
        """Names of the shelters, by tid."""
        self.terminals: dict[str, Terminal] = {}
        self._registered: list[Registered] = []
        self._seed = chance.randbytes(KEY_BYTES)
        trust = Signer(self._seed).public
        shelters = [facility for facility in city.facilities if facility.kind == SHELTER]
        self._trust, self._chance, self._clock = trust, chance, clock
        for number, shelter in enumerate(shelters, 1):
            groups = ("welfare",) if shelter.is_welfare else ()
            self.install(f"T{number:04d}", shelter.name, shelter.address, shelter.quarter, groups)
        self._group = asyncio.TaskGroup()
        self._running: list[asyncio.Task[None]] = []

    def install(self, tid: str, name: str, address: str, quarter: str, groups: tuple[str, ...] = ()) -> None:
        """One terminal more; before the world is opened."""
        password, mac_key = self._chance.randbytes(16).hex(), self._chance.randbytes(KEY_BYTES)
        self.places[tid] = name
        self._registered.append(
            Registered(tid, name, address, quarter, groups, password_hash(tid, password.encode()), mac_key)
        )
        self.terminals[tid] = Terminal(
            "127.0.0.1",
            self._port,
            tid=tid,
            password=password,
            mac_key=mac_key,
            trust=self._trust,
            version=5 if len(self._registered) % 2 else 4,
            clock=self._clock,
            on_change=self._note,
            auto_acknowledge_s=self._chance.uniform(QUICKEST_S, SLOWEST_S),
        )

    async def __aenter__(self) -> Self:
        write(self._register_file, self._registered)
        with open(os.open(self._key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123, ASYNC230 - mode from the first byte on; 64 bytes
            file.write(self._seed.hex())
        await self._group.__aenter__()
        self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        await self._group.__aexit__(kind, error, trace)

    def settings(self) -> Mapping[str, Any]:
        return {
            "listen": f"127.0.0.1:{self._port}",
            "register": str(self._register_file),
            "signing_key": {"file": str(self._key_file)},
            "wait": "5 s",
        }

    async def keep(self, folder: Path) -> None:
        """A file for each terminal that got something: a line for each notice and language, with what was answered."""
        for tid, terminal in self.terminals.items():
            lines = [
                {
                    "tid": tid,
                    "name": self.places[tid],
                    **{name: value for name, value in shown.items() if name != "words"},
                    "language": words["language"],
                    "text": Words(**words).whole,
                    "answered": {a["state"]: a["at"] for a in terminal.answered if a["mid"] == shown["mid"]},
                }
                for shown in terminal.shown
                for words in shown["words"]
            ]
            if lines:
                text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
                await asyncio.to_thread((folder / f"{tid}.jsonl").write_text, text, "utf-8")

    def report(self) -> Mapping[str, Any]:
        return {
            "silent": sum(t.connected.is_set() and not t.sounded for t in self.terminals.values()),
            "first_byte_at": self.first_byte_at,
        }

    @asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        """The power is out in every shelter inside."""
        self._stop()
        await asyncio.wait(self._running)
        try:
            yield
        finally:
            self._start()

    def _start(self) -> None:
        self._running = [self._group.create_task(terminal.run()) for terminal in self.terminals.values()]

    def _stop(self) -> None:
        for task in self._running:
            task.cancel()

    def _note(self, terminal: Terminal) -> None:
        if self.first_byte_at is None and terminal.shown:
            self.first_byte_at = terminal.shown[0]["at"]
