"""A whole receiver: a group joined, its notices verified, each event handed over as it happens.

    async with open_receiver(endpoint, Reassembly(tsi=1, trust=load_trust(path), …)) as events:
        async for event in events:
            match event:
                case Announced(manifest): …
                case Delivered(name=name, content=content, notice=notice): …
                case Cancelled(identifier): …

While events wait to be taken the socket is not read: the kernel drops packets, and the carousel comes round again.

Source: facts.md §Wi-Fi multicast; RFC 6726 §7.
"""

import asyncio
import hashlib
import os
import socket
import unicodedata
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Final

from multicast import udp
from multicast.reassembly import Delivered, Event, Reassembly

_MAX_EVENTS: Final = 4  # each may hold 10 MB
_DATAGRAMS_A_TURN: Final = 64  # then others on the loop have their turn
_MAX_NAME_BYTES: Final = 120


class Receiver:
    """An asynchronous iterator of events. Made by `open_receiver`; closing that ends it."""

    def __init__(self, sock: socket.socket, reassembly: Reassembly) -> None:
        self.reassembly = reassembly
        self._socket = sock
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._is_listening = False

    def __aiter__(self) -> "Receiver":
        return self

    async def __anext__(self) -> Event:
        event = await self._events.get()
        if self._events.qsize() < _MAX_EVENTS:
            self.listen()
        return event

    @property
    def is_drained(self) -> bool:
        """No event waits to be taken."""
        return self._events.empty()

    def listen(self) -> None:
        """Read the socket from now on."""
        if not self._is_listening:
            self._loop.add_reader(self._socket.fileno(), self._readable)
            self._is_listening = True

    def close(self) -> None:
        """Read the socket no more."""
        if self._is_listening:
            self._loop.remove_reader(self._socket.fileno())
            self._is_listening = False

    def _readable(self) -> None:
        for _ in range(_DATAGRAMS_A_TURN):
            received = udp.receive(self._socket)
            if received is None:
                return
            for event in self.reassembly.push(*received):
                self._events.put_nowait(event)
            if self._events.qsize() >= _MAX_EVENTS:
                self.close()
                return


@asynccontextmanager
async def open_receiver(endpoint: udp.Endpoint, reassembly: Reassembly) -> AsyncIterator[Receiver]:
    """Listen until the block ends.

    Raises:
        udp.BadEndpoint: the group cannot be joined on this interface.
    """
    with udp.open_for_receiving(endpoint) as sock:
        receiver = Receiver(sock, reassembly)
        receiver.listen()
        try:
            yield receiver
        finally:
            receiver.close()


def save(folder: Path, file: Delivered, taken: Collection[Path] = ()) -> Path:
    """Write a delivered file into `folder`, whole or not at all, and say where.

    Its name is the sender's if that is a plain file name, else its hash. Paths in `taken` belong to other files and are
    not replaced; without proof (a plain session) nothing that stands there is.

    Raises:
        OSError: the disk took nothing.
    """
    digest = hashlib.sha256(file.content).hexdigest()
    path = folder / (safe_name(file.name) or f"{digest[:16]}.bin")
    is_taken = path in taken or (file.notice is None and os.path.lexists(path))
    if is_taken and not _holds(path, file.content):
        path = folder / f"{digest[:16]}-{path.name}"
    draft = folder / f".{digest[:16]}.{os.getpid()}.part"
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as out:  # noqa: PTH123 - never through a link
            out.write(file.content)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return path


def safe_name(location: str) -> str | None:
    """The last part of what the sender calls a file if it is harmless as a file name, else None.

    Letters and digits of any script, and `.`, `-`, `_` and spaces inside; never hidden, never a path.
    """
    name = unicodedata.normalize("NFC", PurePosixPath(location).name)
    harmless = all(letter.isalnum() or letter in "._- " for letter in name)
    if not name or not harmless or name[0] in ". -" or name[-1] in ". " or len(name.encode()) > _MAX_NAME_BYTES:
        return None
    return name


def _holds(path: Path, content: bytes) -> bool:
    try:
        return not path.is_symlink() and path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False
