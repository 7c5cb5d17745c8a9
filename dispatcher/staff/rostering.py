"""The roster at the desk: a file is tried, then imported by the same person, bound to what the trial said.

The file is full of names, so it stands in no folder: it is unpacked into a file without a name, which is gone with the request.

Source: design.md §8, §9; dispatcher/tracking/roster.
"""

import asyncio
import gzip
import tempfile
import zlib
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import BinaryIO

from dispatcher.errors import Finding, InvalidInput, Refused, StorageFull
from dispatcher.model.mode import M
from dispatcher.staff.rules import Act
from dispatcher.staff.seat import Seat
from dispatcher.staff.sessions import Person
from dispatcher.tracking.roster import Changes, Roster

MOST_BYTES = 256 * 1024 * 1024
"""Of a file, once it is unpacked: a million people."""
FILE = "csv"
"""What a file without a name is called in findings."""
_GZIP = b"\x1f\x8b"
_AT_ONCE = 1024 * 1024


class Rostering(Seat[M]):
    """The part of the desk that keeps the roster."""

    roster: Roster | None = None
    """None where this site keeps none."""

    async def check_roster(self, by: Person, data: bytes, name: str = FILE) -> Changes:
        """What this file (as it is, or packed with gzip) would change. Nothing is written. `name` stands in the findings.

        Raises:
            InvalidInput: everything that is wrong with it, row by row.
        """
        async with self._acting(by, Act.ROSTER), _unpacked(data, name) as file:
            return await self._roster.check(file, name)

    async def import_roster(self, by: Person, data: bytes, fingerprint: str, *, mode: str | None = None) -> Changes:
        """Import it: all of it or nothing.

        Raises:
            InvalidInput: as `check_roster`.
            StaleHash: it is not what was checked.
        """
        async with self._acting(by, Act.ROSTER, mode=mode), _unpacked(data, FILE) as file:
            return await self._roster.replace(by.name, file, FILE, fingerprint)

    @property
    def _roster(self) -> Roster:
        if self.roster is None:
            raise Refused(
                "この節点には住民の名簿がありません。サイトの設定 safety を書いてください (no roster: safety)"
            )
        return self.roster


def packed(data: bytes) -> bytes:
    """A file as it is kept for a while: with gzip, once."""
    return data if data.startswith(_GZIP) else gzip.compress(data, 6)


@asynccontextmanager
async def _unpacked(data: bytes, name: str) -> AsyncIterator[BinaryIO]:
    with ExitStack() as opened:
        try:
            file = opened.enter_context(tempfile.TemporaryFile())
            await asyncio.to_thread(_unpack, data, file, name)
            file.flush()
        except OSError as full:
            reason = "名簿を広げる場所がありません。何も書いていません (no room to unpack it: nothing was written)"
            raise StorageFull(reason) from full
        yield file


def _unpack(data: bytes, file: BinaryIO, name: str) -> None:
    if not data.startswith(_GZIP):
        file.write(data)
        return
    unpacking = zlib.decompressobj(wbits=31)
    try:
        while data and not unpacking.eof:
            file.write(unpacking.decompress(data, _AT_ONCE))
            data = unpacking.unconsumed_tail
            if file.tell() > MOST_BYTES:
                raise InvalidInput([Finding(name, f"{MOST_BYTES:,} バイトまで (so many bytes at most)")])
    except zlib.error:
        raise InvalidInput([Finding(name, "gzip が壊れています (the gzip is broken)")]) from None
    if not unpacking.eof:
        raise InvalidInput([Finding(name, "gzip が途中で終わっています (the gzip ends too soon)")])
