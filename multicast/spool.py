"""What residents wrote at this station, sealed, kept until the node has it: a file each, durable before anybody reads "kept".

A form sent twice has the same name and is one file. Files are taken away when the node said that it has them, or when it is too
late for them to help anybody.

Source: design.md §8; facts.md §Wi-Fi multicast (the uplink may be dead); style.md (write, fsync, rename).
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

MAX_FILES: Final = 20_000
"""At 2 KiB each: 40 MB."""
KEEP_S: Final = 72 * 3600.0
_NAME: Final = re.compile(r"[0-9a-f]{64}")


class Full(OSError):  # noqa: N818 - says what was seen
    """There is room for no more."""


class Spool:
    """Blocks: call it in a thread."""

    def __init__(self, folder: Path, max_files: int = MAX_FILES) -> None:
        self._folder = folder
        self._max_files = max_files
        self._names: set[str] | None = None

    def put(self, name: str, sealed: bytes) -> None:
        """Whole or not at all, and durable on return. `name`: 64 hexadecimal digits, of the form that was sent.

        Raises:
            OSError: the disk took nothing, or there is room for no more (Full).
        """
        names = self._look()
        if name not in names and len(names) >= self._max_files:
            raise Full(f"{self._max_files} answers wait already")
        draft = self._folder / f".{name}.part"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123 - mode from the first byte on
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._folder / name)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        names.add(name)

    def oldest(self, limit_bytes: int, now_s: float) -> Sequence[tuple[str, bytes]]:
        """Names and contents, together at most so long; what is too old to help is taken away instead."""
        found = []
        for path in sorted((self._folder / name for name in self._look()), key=_written_s):
            if now_s - _written_s(path) > KEEP_S:
                self.drop(path.name)
                continue
            try:
                sealed = path.read_bytes()
            except FileNotFoundError:
                self.drop(path.name)
                continue
            limit_bytes -= len(sealed)
            if limit_bytes < 0:
                break
            found.append((path.name, sealed))
        return found

    def drop(self, name: str) -> None:
        self._look().discard(name)
        (self._folder / name).unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._look())

    def _look(self) -> set[str]:
        if self._names is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._names = {path.name for path in self._folder.iterdir() if _NAME.fullmatch(path.name)}
        return self._names


def _written_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
