"""A crowd of terminals for the bench, in a process of its own, as light as it can be: bytes made beforehand, nothing read but lengths.

python -m tests.bench._terminals PORT COUNT ROUNDS      says "ready" when all have subscribed, then answers until its stdin ends

Each answers its n-th notice with PUBACK and with the n-th receipt (`delivered`, sealed), in one write.
"""

import asyncio
import resource
import sys
from datetime import UTC, datetime
from typing import Any

import uvloop

from channels.ip_terminal.packets import Connect, PubAck, Publish, Subscribe, Subscription, encode
from channels.ip_terminal.receipt import State, TerminalReceipt
from channels.ip_terminal.topics import Up, topic_of
from tests.bench._terminal_node import MAC_KEY, PASSWORD, mid_of, tid_of

WAVE = 200
"""Connections that are made at the same time."""
PUBLISH, SUBACK = 3, 9


class Crowd:
    def __init__(self, count: int) -> None:
        self.missing = count
        self.ready = asyncio.Event()


class Client(asyncio.Protocol):
    __slots__ = ("_answers", "_crowd", "_half", "_heard", "_hello", "_transport")

    def __init__(self, crowd: Crowd, number: int, rounds: int) -> None:
        tid = tid_of(number)
        self._crowd = crowd
        self._half = b""
        self._heard = 0
        connect = Connect(tid, username=tid, password=PASSWORD, keepalive_s=0)
        self._hello = encode(connect, 4) + encode(Subscribe(1, (Subscription(topic_of(tid), 1),)), 4)
        at = datetime.now(UTC)  # noqa: TID251 - before anything is measured
        self._answers = [
            encode(
                Publish(
                    Up.RECEIPT.topic(tid),
                    TerminalReceipt(mid_of(n), tid, State.DELIVERED, at, n + 1).seal(MAC_KEY),
                    qos=1,
                    packet_id=n + 1,
                ),
                4,
            )
            for n in range(rounds)
        ]

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        if self._half:
            data = self._half + data
        at = 0
        while len(data) - at >= 2:
            length, place, shift = 0, at + 1, 0
            while place < len(data):
                octet = data[place]
                place += 1
                length |= (octet & 0x7F) << shift
                shift += 7
                if not octet & 0x80:
                    break
            else:
                break
            if place + length > len(data):
                break
            self._take(data[at] >> 4, data, place)
            at = place + length
        self._half = data[at:]

    def _take(self, kind: int, data: bytes, place: int) -> None:
        if kind == PUBLISH:
            topic = data[place] << 8 | data[place + 1]
            packet_id = data[place + 2 + topic] << 8 | data[place + 3 + topic]
            self._transport.write(encode(PubAck(packet_id), 4) + self._answers[self._heard])
            self._heard += 1
        elif kind == SUBACK:
            self._crowd.missing -= 1
            if not self._crowd.missing:
                self._crowd.ready.set()


async def main(port: int, count: int, rounds: int) -> None:
    loop = asyncio.get_running_loop()
    crowd = Crowd(count)
    room = asyncio.Semaphore(WAVE)

    async def connect(number: int) -> None:
        async with room:
            await loop.create_connection(lambda: Client(crowd, number, rounds), "127.0.0.1", port)

    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(connect(number))
    await crowd.ready.wait()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
