"""A folder that somebody's receiver writes telegrams into, one a file, each moved there when it is whole.

Nothing is moved or deleted here: the folder is the receiver's. A file is known by its name, time and size; after a restart the
recent ones are read again, and the order of their events says that they are known.

Source: design.md §7; POSIX rename(2) (a file is whole or not there).
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from config.intake.settings import Folder
from dispatcher.clock import Clock
from dispatcher.errors import Refused
from dispatcher.intake.jma import MAX_BYTES
from dispatcher.intake.signature import Trust
from dispatcher.intake.taking import Intake

MOST_AT_ONCE = 200
MOST_FILES = 100_000
"""Names that one look goes through; a folder with more is not cleaned up by anybody."""
Seen = tuple[int, int]
"""Nanoseconds of the last change, bytes."""


class FolderSource:
    """Of one folder."""

    def __init__(self, intake: Intake[Any], settings: Folder, clock: Clock, *, oldest_s: float) -> None:
        self._intake = intake
        self._settings = settings
        self._clock = clock
        self._oldest_s = oldest_s
        self._trust = Trust(settings.signers)
        self._seen: dict[str, Seen] = {}

    @property
    def name(self) -> str:
        return f"folder {self._settings.path.name}"

    @property
    def every_s(self) -> float:
        return self._settings.every

    async def look(self) -> None:
        """Give what is new, in the order in which it was written."""
        since_ns = int((self._clock.now().timestamp() - self._oldest_s) * 1e9)
        listed = await asyncio.to_thread(_listed, self._settings.path, since_ns)
        self._seen = {name: seen for name, seen in self._seen.items() if name in listed}
        new = sorted((seen, name) for name, seen in listed.items() if self._seen.get(name) != seen)
        for seen, name in new[:MOST_AT_ONCE]:
            data = await asyncio.to_thread(_read, self._settings.path / name)
            if data is not None:
                # What is refused is written down with its reasons, and the same bytes would be refused again.
                with suppress(Refused):
                    await self._intake.take(data, f"{self.name}: {name[:100]}", self._trust)
            self._seen[name] = seen


def _listed(folder: Path, since_ns: int) -> dict[str, Seen]:
    """Names of plain `*.xml` files that were changed since then.

    Raises:
        OSError: there is no such folder now (a share that is not mounted).
    """
    listed: dict[str, Seen] = {}
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries):
            if count >= MOST_FILES:
                break
            if not entry.name.endswith(".xml") or not entry.is_file(follow_symlinks=False):
                continue
            about = entry.stat(follow_symlinks=False)
            if about.st_mtime_ns >= since_ns:
                listed[entry.name] = (about.st_mtime_ns, about.st_size)
    return listed


def _read(path: Path) -> bytes | None:
    """None where it has gone meanwhile."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
