"""Two cable-TV operators on loopback: machines that watch their drop, check every byte, put it on the air and answer.

One answers with a receipt, one by removing the manifest, as FORMAT.md lets them. They are written against that page, not against
the channel: nothing of the channel is imported. Each keeps what it took under received/<operator>/ and, in on_air.json, what its
viewers would see now.

Source: channels/cable_tv/FORMAT.md.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from config.city import City
from dispatcher.clock import SystemClock

LOOK_EVERY_S = 0.05
FORMAT = "todoke-cable-tv/1"


class Manner(StrEnum):
    """How an operator's side behaves; the faults are real ones."""

    PROMPT = "prompt"
    ASLEEP = "asleep"
    """Takes nothing."""
    REFUSING = "refusing"
    """Writes <name>.ng."""
    MISTAKEN = "mistaken"
    """Answers with the digest of something else."""


def _answer(path: Path, text: str, encoding: str = "utf-8") -> None:
    """Whole or not at all: an empty .ok is an answer too."""
    hidden = path.with_name(f".{path.name}.new")
    hidden.write_text(text, encoding)
    hidden.replace(path)


class Machine:
    """One operator's pick-up: `drop` is watched, `received` is where it copies to."""

    def __init__(self, name: str, confirm: str, folder: Path) -> None:
        self.name = name
        self.confirm = confirm
        self.drop = folder / "drop" / name
        self.received = folder / "received" / name
        self.manner = Manner.PROMPT
        self.taken: list[dict[str, Any]] = []
        """Every manifest taken, in order; the same one twice stands twice."""
        self.on_air: dict[str, dict[str, Any]] = {}
        self.complaints: list[str] = []
        self.first_byte_at: str | None = None

    async def watch(self, clock: SystemClock) -> None:
        """Take what comes, until cancelled."""
        while True:
            with suppress(FileNotFoundError):  # the share went away under our hands; it comes back
                await asyncio.to_thread(self._round)
            await clock.sleep(LOOK_EVERY_S)

    def _round(self) -> None:
        if self.manner is Manner.ASLEEP or not self.drop.is_dir():
            return
        for path in sorted(self.drop.glob("*.manifest.json")):
            name = path.name.removesuffix(".manifest.json")
            if name.startswith(".") or any((self.drop / f"{name}{end}").exists() for end in (".ok", ".ng")):
                continue
            if self.manner is Manner.REFUSING:
                _answer(self.drop / f"{name}.ng", "送出設備が停止しています", "utf-8")
            elif self.manner is Manner.MISTAKEN:
                _answer(self.drop / f"{name}.ok", "0" * 64)
            else:
                self._take(path, name)

    def _take(self, path: Path, name: str) -> None:
        """Copy everything away, check it, air it, answer. What is not whole is left and complained of."""
        raw = path.read_bytes()
        if (manifest := _ours(raw)) is None:
            return
        self.first_byte_at = self.first_byte_at or SystemClock().now().isoformat()
        copies = {file["name"]: (self.drop / name / file["name"]).read_bytes() for file in manifest["files"]}
        for file in manifest["files"]:
            data = copies[file["name"]]
            if len(data) != file["bytes"] or sha256(data).hexdigest() != file["sha256"]:
                self.complaints.append(f"{name}/{file['name']}: not what the manifest says")
                return
        folder = self.received / name
        folder.mkdir(parents=True, exist_ok=True)
        for file_name, data in copies.items():
            (folder / file_name).write_bytes(data)
        (folder / "manifest.json").write_bytes(raw)
        self.taken.append(manifest)
        for identifier in manifest["replaces"]:
            self.on_air.pop(identifier, None)
        self.on_air[manifest["identifier"]] = manifest
        shown = {identifier: aired["name"] for identifier, aired in self.on_air.items()}
        (self.received / "on_air.json").write_text(json.dumps(shown, ensure_ascii=False, indent=1), "utf-8")
        if self.confirm == "removed":
            path.unlink()
        else:
            _answer(self.drop / f"{name}.ok", sha256(raw).hexdigest())


def _ours(raw: bytes) -> dict[str, Any] | None:
    """The manifest, or None: whatever else lies in a shared folder is somebody else's."""
    try:
        manifest = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("format") == FORMAT else None


class World:
    """Two operators, watching while the world is open."""

    def __init__(self, state_dir: Path, city: City, seed: int) -> None:
        del city, seed
        self._dir = state_dir
        self.machines = [Machine("catv-1", "receipt", state_dir), Machine("catv-2", "removed", state_dir)]
        self._tasks = asyncio.TaskGroup()
        self._watching: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for machine in self.machines:
            machine.drop.mkdir(parents=True, exist_ok=True)
            machine.received.mkdir(parents=True, exist_ok=True)
        await self._tasks.__aenter__()
        self._watching = [self._tasks.create_task(machine.watch(SystemClock())) for machine in self.machines]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._watching:
            task.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    def settings(self) -> Mapping[str, Any]:
        return {
            "operators": [
                {
                    "name": machine.name,
                    "title": f"ケーブルテレビ {number}（訓練の受け手）",
                    "drop": str(machine.drop),
                    "confirm": machine.confirm,
                }
                for number, machine in enumerate(self.machines, 1)
            ],
            "look_every": "50 ms",
        }

    async def keep(self, folder: Path) -> None:
        await asyncio.to_thread(shutil.copytree, self._dir / "received", folder, dirs_exist_ok=True)

    def report(self) -> Mapping[str, Any]:
        return {
            "frames": sum(file["name"].endswith(".png") for m in self.machines for t in m.taken for file in t["files"]),
            "complaints": sum(len(machine.complaints) for machine in self.machines),
            "first_byte_at": min((m.first_byte_at for m in self.machines if m.first_byte_at), default=None),
        }

    @asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        """The shares are not mounted inside."""
        for machine in self.machines:
            machine.drop.rename(machine.drop.with_suffix(".away"))
        try:
            yield
        finally:
            for machine in self.machines:
                machine.drop.with_suffix(".away").rename(machine.drop)
