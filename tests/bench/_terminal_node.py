"""The node's end for the terminals' bench, in a process of its own.

python -m tests.bench._terminal_node ours|bare PORT COUNT FOLDER

Says "listening" with its memory in KB; then for each line on its stdin: a number sends that notice to everybody and answers with
the seconds until the last receipt was committed (ours) or had come (bare); "memory" answers with KB; the end of stdin ends it.

`ours` is the real channel with the real SQLite ledger, its outbox and the send step. `bare` is the least that can answer: the same
packets, no JSON, no seal checked, no database.
"""

import asyncio
import logging
import resource
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import psutil
import uvloop

from channels.ip_terminal import NOTICE, IpTerminal, Settings
from channels.ip_terminal.notice import Notice, Signer, Words
from channels.ip_terminal.packets import ConnAck, Publish, SubAck, encode, publish_head
from channels.ip_terminal.register import Registered, password_hash, write
from channels.ip_terminal.topics import topic_of
from config.cities import load
from config.secret import Secret
from dispatcher.channel import Surroundings
from dispatcher.clock import SystemClock
from dispatcher.ledger import Attempted, Claim, Event, IssuedAlert, Ledger, NewDelivery
from dispatcher.ledgers import open_ledger
from dispatcher.log import to_stderr
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Priority, Received
from dispatcher.model.mode import Drill
from dispatcher.model.rendering import Part, Rendering
from dispatcher.steps.send import send
from dispatcher.tracking.acknowledgement import Acknowledgements, Returned

KIND = "ip_terminal"
SEED = "5a" * 32
PASSWORD = b"bench"
MAC_KEY = bytes(range(32))
CLOCK = SystemClock()


def tid_of(number: int) -> str:
    return f"T{number:05d}"


def mid_of(number: int) -> str:
    return f"13204-20261121T000000-{number:08x}"


def payload_of(number: int) -> bytes:
    """A real notice in three languages, some 2 KB."""
    now = CLOCK.now()
    words = tuple(
        Words(
            language,
            "避難指示",
            f"【訓練】大沢の人は いますぐ避難 {number}",
            "大沢",
            "川の水位が上がり、氾濫のおそれがあります。" * 4,
        )
        for language in ("ja", "ja-x-easy", "en-US")
    )
    mid = mid_of(number)
    notice = Notice(mid, mid, number, "issue", "Exercise", 2, 4, now, now + timedelta(hours=6), words)
    return Signer(bytes.fromhex(SEED)).sign(notice)


def kilobytes() -> int:
    return psutil.Process().memory_info().rss // 1024


# -- bare -----------------------------------------------------------------------------------------------------------


class Bare(asyncio.Protocol):
    """Counts PUBLISH packets from terminals and answers each with its PUBACK."""

    everybody: ClassVar[dict[str, "Bare"]] = {}
    receipts = 0
    wanted = 0
    done = asyncio.Event()

    def __init__(self) -> None:
        self.half = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        data = self.half + data
        at, out = 0, b""
        while len(data) - at >= 2:
            length, head = data[at + 1], 2
            if length & 0x80:
                if len(data) - at < 3:
                    break
                length, head = length & 0x7F | data[at + 2] << 7, 3
            start = at + head
            if start + length > len(data):
                break
            kind = data[at] >> 4
            if kind == 3:
                topic = data[start] << 8 | data[start + 1]
                out += b"\x40\x02" + data[start + 2 + topic : start + 4 + topic]
                Bare.receipts += 1
                if Bare.receipts == Bare.wanted:
                    Bare.done.set()
            elif kind == 1:
                name = data[start + 12 : start + 12 + data[start + 11]]
                Bare.everybody[name.decode()] = self
                out += encode(ConnAck(), 4)
            elif kind == 8:
                out += encode(SubAck(data[start] << 8 | data[start + 1], (1,)), 4)
            at = start + length
        self.half = data[at:]
        if out:
            self.transport.write(out)


async def bare(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", port, backlog=4096)
    print("listening", kilobytes(), flush=True)
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        payload = payload_of(int(line))
        Bare.receipts, Bare.wanted = 0, len(Bare.everybody)
        Bare.done.clear()
        began_s = time.perf_counter()
        for number, (tid, terminal) in enumerate(Bare.everybody.items(), 1):
            terminal.transport.write(publish_head(Publish(topic_of(tid), b"", 1, 1), len(payload), 4) + payload)
            if number % 100 == 0:
                await CLOCK.sleep(0)
        await Bare.done.wait()
        print(time.perf_counter() - began_s, flush=True)
    server.close()


# -- ours -----------------------------------------------------------------------------------------------------------


class Counting(Acknowledgements):
    """The node's own inbox, which also says when the last receipt has been committed."""

    committed = 0
    wanted = 0

    def expect(self, count: int) -> asyncio.Event:
        self.committed, self.wanted, self.done = 0, count, asyncio.Event()
        return self.done

    async def record(self, received: Sequence[Received]) -> None:
        await super().record(received)
        self.committed += len(received)
        if self.wanted and self.committed >= self.wanted:
            self.done.set()


def register(path: Path, count: int) -> None:
    write(
        path,
        (
            Registered(tid_of(n), "", "", "132040301", (), password_hash(tid_of(n), PASSWORD), MAC_KEY)
            for n in range(count)
        ),
    )


async def ours(port: int, count: int, folder: Path) -> None:
    to_stderr(logging.ERROR)
    settings = Settings(
        listen=f"127.0.0.1:{port}", register=folder / "terminals.csv", signing_key=Secret(SEED), wait=10.0
    )
    channel: IpTerminal[Drill] = IpTerminal(Drill, settings, Surroundings(CLOCK, load("mitaka"), folder, "http://x"))
    payloads: dict[str, bytes] = {}
    everybody = [Destination(tid_of(n)) for n in range(count)]

    async def attempt(claim: Claim) -> Attempted:
        payload = payloads.get(claim.identifier) or payload_of(int(claim.identifier.rpartition("-")[2], 16))
        part = Part(NOTICE, "application/json", payload)
        rendering: Rendering[Drill] = Rendering(
            channel=KIND, identifier=claim.identifier, status="Exercise", texts=(), parts=(part,)
        )
        return await send(claim, rendering, channel, ledger, CLOCK)

    async with AsyncExitStack() as stack:
        dsn = f"sqlite:///{folder}/ledger.db"
        ledger = await stack.enter_async_context(open_ledger(dsn, mode=Drill, node="terminals", clock=CLOCK))
        returned = Returned()
        inbox = Counting(ledger, KIND, returned)
        await stack.enter_async_context(channel.open(inbox))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        running = [
            tasks.create_task(ledger.run({KIND: channel.limits}, attempt)),
            tasks.create_task(_hasten(ledger, returned)),
        ]
        print("listening", kilobytes(), flush=True)
        while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
            if line == "memory":
                print(kilobytes(), flush=True)
                continue
            payloads[mid_of(int(line))] = payload_of(int(line))
            print(await _notice(ledger, channel, inbox, mid_of(int(line)), everybody), flush=True)
        for task in running:
            task.cancel()


async def _notice(
    ledger: Ledger, channel: IpTerminal[Drill], inbox: Counting, mid: str, everybody: list[Destination]
) -> float:
    """Seconds from handing the message in until the last receipt is committed."""
    now = CLOCK.now()
    expires_at = now + timedelta(hours=6)
    batch = channel.limits.batch
    deliveries = [
        NewDelivery(f"{mid}:{at}", mid, KIND, Priority.LEVEL_4, tuple(everybody[at : at + batch]), expires_at)
        for at in range(0, len(everybody), batch)
    ]
    issued = IssuedAlert(mid, "live", "issue", Priority.LEVEL_4, now, expires_at, b"<alert/>", {}, mid)
    done = inbox.expect(len(everybody))
    began_s = time.perf_counter()
    await ledger.issue(issued, deliveries, Event("alert.issued", mid))
    ledger.wake()
    await done.wait()
    return time.perf_counter() - began_s


async def _hasten(ledger: Ledger, returned: Returned) -> None:
    while True:
        for kind in returned.take():
            await ledger.hasten(kind)
        await CLOCK.sleep(0.25)


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    work = (
        bare(int(sys.argv[2])) if sys.argv[1] == "bare" else ours(int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
    )
    uvloop.run(work)
