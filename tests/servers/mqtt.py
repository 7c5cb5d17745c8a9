"""A channel with some terminals in its register, and a raw MQTT client that says whatever a test wants."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from channels.ip_terminal import IpTerminal, Settings
from channels.ip_terminal.packets import (
    TERMINAL_READS,
    ConnAck,
    Connect,
    Decoder,
    Packet,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    Subscription,
    Version,
    encode,
)
from channels.ip_terminal.receipt import State, TerminalReceipt
from channels.ip_terminal.register import Registered, password_hash, write
from channels.ip_terminal.topics import Up, topic_of
from config.secret import Secret
from dispatcher.channel import Inbox
from dispatcher.clock import Clock
from dispatcher.model.mode import Drill
from drills.world.ports import free_port
from tests.contracts.channel_contract import Memory, surroundings
from tests.samples import SENT

WITHIN_S = 10.0
SEED = "5a" * 32
PASSWORD = b"correct horse"
MAC_KEY = bytes(range(32))


def registered(tid: str, quarter: str = "132040301") -> Registered:
    return Registered(
        tid, f"施設{tid}", "東京都三鷹市大沢1-1", quarter, ("school",), password_hash(tid, PASSWORD), MAC_KEY
    )


class Site:
    """The channel, open on a port of its own."""

    def __init__(self, channel: IpTerminal[Drill], inbox: Inbox, port: int, register: Path) -> None:
        self.channel = channel
        self.inbox = inbox
        self.port = port
        self.register = register

    @asynccontextmanager
    async def wire(self, version: Version = 4) -> AsyncIterator["Wire"]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        wire = Wire(reader, writer, version)
        try:
            yield wire
        finally:
            writer.transport.abort()

    @asynccontextmanager
    async def terminal(self, tid: str, version: Version = 4, qos: int = 1, **connect: object) -> AsyncIterator["Wire"]:
        """Connected and subscribed to its own topic."""
        async with self.wire(version) as wire:
            await wire.log_in(tid, **connect)
            await wire.subscribe(topic_of(tid), qos)
            yield wire


@asynccontextmanager
async def site(
    folder: Path,
    inbox: Inbox | None = None,
    *,
    terminals: Sequence[Registered] = (registered("T0001"), registered("T0002")),
    clock: Clock | None = None,
    **settings: object,
) -> AsyncIterator[Site]:
    register = folder / "terminals.csv"
    write(register, terminals)
    port = free_port()
    around = surroundings(folder / "state")
    channel: IpTerminal[Drill] = IpTerminal(
        Drill,
        Settings(
            **(
                {"listen": f"127.0.0.1:{port}", "register": register, "signing_key": Secret(SEED), "wait": 1.0}
                | settings
            )
        ),
        replace(around, clock=clock) if clock else around,
    )
    inbox = inbox or Memory()
    async with channel.open(inbox):
        yield Site(channel, inbox, port, register)


class Wire:
    """One connection, as a stranger or as a terminal."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, version: Version) -> None:
        self.version = version
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder(TERMINAL_READS, version, largest_bytes=1_000_000)
        self._packets: list[Packet] = []

    def send(self, *packets: Packet) -> Self:
        return self.raw(b"".join(encode(packet, self.version) for packet in packets))

    def raw(self, data: bytes) -> Self:
        self._writer.write(data)
        return self

    async def next(self) -> Packet | None:
        """The next packet; None when the node has closed the connection."""
        async with asyncio.timeout(WITHIN_S):
            while not self._packets:
                try:
                    data = await self._reader.read(65_536)
                except ConnectionError:
                    return None
                if not data:
                    return None
                self._packets += self._decoder.feed(data)
        return self._packets.pop(0)

    async def is_closed(self) -> bool:
        """Read to the end."""
        while await self.next() is not None:
            pass
        return True

    async def log_in(self, tid: str, password: bytes = PASSWORD, **more: object) -> Packet | None:
        self.send(
            Connect(**({"client_id": tid, "version": self.version, "username": tid, "password": password} | more))
        )
        answer = await self.next()
        assert answer is None or isinstance(answer, ConnAck)
        return answer

    async def subscribe(self, topic: str, qos: int = 1) -> tuple[int, ...]:
        self.send(Subscribe(1, (Subscription(topic, qos),)))
        answer = await self.next()
        assert isinstance(answer, SubAck)
        return answer.codes

    async def take(self) -> Publish:
        """A notice, and its PUBACK."""
        notice = await self.next()
        assert isinstance(notice, Publish), notice
        if notice.qos:
            self.send(PubAck(notice.packet_id))
        return notice

    def receipt(self, tid: str, mid: str = "m-1", state: State = State.DELIVERED, packet_id: int = 7) -> Self:
        payload = TerminalReceipt(mid, tid, state, SENT, packet_id).seal(MAC_KEY)
        return self.send(Publish(Up.RECEIPT.topic(tid), payload, 1, packet_id))
