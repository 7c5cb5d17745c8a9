"""A whole sender: notices in, packets out at the session's rate, until it is closed.

    async with open_sender(endpoint, tsi=1, rate_bit_s=5_000_000, key=load_sender(path)) as sender:
        await sender.show(Notice("jp.mitaka.1", "Severe", ("132040301",), expires), [Content("notice.json", …)])
        …
        sender.withdraw("jp.mitaka.1", cancelled_until=expires)

Source: facts.md §Wi-Fi multicast.
"""

import asyncio
import multiprocessing
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from types import MappingProxyType
from typing import Final

from multicast import udp
from multicast.carousel import Carousel, Content, Encoded, encode
from multicast.keys import SenderKey
from multicast.manifest import Manifest, Notice
from multicast.pacing import Pacer

DEFAULT_RATE_BIT_S: Final = 5_000_000

_LARGE_BYTES: Final = 1_000_000
_PACKETS_A_TURN: Final = 32  # then others on the loop have their turn


class Sender:
    """One session on the air. Made by `open_sender`."""

    def __init__(self, sock: socket.socket, carousel: Carousel, pacer: Pacer, slot_bytes: int) -> None:
        self.packets = 0
        self.bytes = 0
        """UDP payload; the wire adds `Endpoint.header_bytes` to each packet."""
        self.fault: str | None = None
        """Why the last packet did not leave, in the system's words; None while they leave."""
        self._socket = sock
        self._carousel = carousel
        self._pacer = pacer
        self._slot_bytes = slot_bytes
        self._changed = asyncio.Event()
        self._progress = asyncio.Condition()

    @property
    def carousel(self) -> Carousel:
        """What is being said. Change it through `show` and `withdraw`."""
        return self._carousel

    async def show(
        self, notice: Notice, contents: Sequence[Content], replaces: Mapping[str, datetime] = MappingProxyType({})
    ) -> Manifest | None:
        """Carry the notice from now on, in place of one with the same identifier and of those that it replaces.

        Returns what announces it, not yet sent. See `Carousel.show`.

        Raises:
            code.Unencodable: a file is empty or longer than 10,000,000 bytes.
            manifest.Full: no room for its objects.
            ValueError: expired, or a text that a manifest does not take.
        """
        encoded = [await _encode(content.content, self._carousel.symbol_bytes) for content in contents]
        manifest = self._carousel.show(notice, list(zip(contents, encoded, strict=True)), replaces)
        self._changed.set()
        return manifest

    def withdraw(self, identifier: str, *, cancelled_until: datetime | None = None) -> Manifest | None:
        """Carry it no more; with `cancelled_until`, tell those who have it to hide it, until then."""
        manifest = self._carousel.withdraw(identifier, cancelled_until=cancelled_until)
        self._changed.set()
        return manifest

    async def sent(self, packets: int) -> None:
        """Return when so many more packets have left: after a `show`, 1 is the first byte on the air."""
        target = self.packets + packets
        async with self._progress:
            await self._progress.wait_for(lambda: self.packets >= target)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            for _ in range(_PACKETS_A_TURN):
                delay_s = self._pacer.delay_s()
                if delay_s > 0:
                    break
                self._send_slot()
            else:
                delay_s = 0.0
            async with self._progress:
                self._progress.notify_all()
            await self._pause(None if self._carousel.is_idle else delay_s)

    def _send_slot(self) -> None:
        datagram = self._carousel.next(time.monotonic())
        # An empty slot lasts as long as a full one, so that spacing in packets is spacing in time.
        self._pacer.took(len(datagram) if datagram else self._slot_bytes)
        if datagram is None:
            return
        try:
            self._socket.send(datagram)
        except OSError as error:
            self.fault = error.strerror or str(error)
            return
        self.fault = None
        self.packets += 1
        self.bytes += len(datagram)

    async def _pause(self, delay_s: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._changed.wait()
        self._changed.clear()


@asynccontextmanager
async def open_sender(
    endpoint: udp.Endpoint,
    *,
    tsi: int,
    rate_bit_s: float = DEFAULT_RATE_BIT_S,
    key: SenderKey | None = None,
    wall: Callable[[], float] = time.time,
) -> AsyncIterator[Sender]:
    """A session on the air until the block ends. Without `key` it is plain FLUTE, which proves nothing to anybody.

    Raises:
        udp.BadEndpoint: the group cannot be reached on this interface.
        ValueError: a rate of nothing.
    """
    pacer = Pacer(rate_bit_s, endpoint.header_bytes, time.monotonic)
    carousel = Carousel(tsi=tsi, wall=wall, key=key, datagram_bytes=endpoint.datagram_bytes)
    with udp.open_for_sending(endpoint) as sock:
        sender = Sender(sock, carousel, pacer, endpoint.datagram_bytes)
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(sender.run())
            try:
                yield sender
            except Exception as error:  # noqa: BLE001 - kept, so that it leaves as itself and not in a group
                failure = error
            finally:
                running.cancel()
        if failure:
            raise failure


async def _encode(content: bytes, symbol_bytes: int) -> Encoded:
    if len(content) <= _LARGE_BYTES:
        return encode(content, symbol_bytes)
    # The code holds the interpreter lock for 20 ms a megabyte: long enough to stall every other channel of a node.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as worker:
        return await asyncio.get_running_loop().run_in_executor(worker, encode, content, symbol_bytes)
