"""The mail channel for the bench, in a process of its own.

python -m tests.bench._mailer send PORT COUNT CONNECTIONS FOLDER      prints mails a second; with COUNT ≥ 100,000 also the growth
                                                                      of its memory in MB from the first tenth on
python -m tests.bench._mailer durable PORT FOLDER                     the ledger's own loop, until it is killed
"""

import asyncio
import logging
import sys
import time
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import psutil
import uvloop

from channels.email_list import EmailList, RelaySettings, Settings
from channels.email_list.relay import Tls
from config.cities import load
from config.secret import Secret
from dispatcher.channel import Surroundings
from dispatcher.clock import SystemClock
from dispatcher.ledger import Attempted, Claim
from dispatcher.ledgers import open_ledger
from dispatcher.log import to_stderr
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Outcome, Told
from dispatcher.model.mode import Drill
from dispatcher.steps.send import send
from tests.samples import OSAWA, evacuation_order

KIND = "email_list"
BATCH = 500
CLOCK = SystemClock()
SENT = datetime.fromisoformat("2026-11-21T14:00:00+09:00")


def subscribers(path: Path, count: int) -> None:
    """So many people in 大沢."""
    with path.open("w") as file:
        file.write("address,quarters,language\n")
        file.writelines(f"user{n:06d}@example.com,13204030{n % 6 + 1},ja\n" for n in range(count))


def channel_of(port: int, folder: Path, connections: int) -> EmailList[Drill]:
    settings = Settings(
        subscribers=folder / "subscribers.csv",
        sender="kunren@bousai.example.jp",
        sender_name="三鷹市（訓練）",
        list_id="kunren.bousai.example.jp",
        secret=Secret("0123456789abcdef"),
        unsubscribe_url="https://bousai.example.jp/unsubscribe",
        listen="127.0.0.1:0",
        relay=RelaySettings(host="127.0.0.1", port=port, tls=Tls.NONE),
        connections=connections,
        mails_per_connection=1_000_000,
    )
    return EmailList(Drill, settings, Surroundings(CLOCK, load("mitaka"), folder, "http://127.0.0.1"))


def megabytes() -> float:
    return psutil.Process().memory_info().rss / 1e6


async def sending(port: int, count: int, connections: int, folder: Path) -> None:
    channel = channel_of(port, folder, connections)
    rendering = channel.render(evacuation_order(Drill, sent=SENT), await channel.audience(OSAWA))
    taken, early_mb = 0, 0.0

    def tell(told: Told) -> None:
        nonlocal taken
        taken += told.outcome is Outcome.TAKEN

    queue: asyncio.Queue[list[Destination] | None] = asyncio.Queue(connections)

    async def worker() -> None:
        nonlocal early_mb
        while (batch := await queue.get()) is not None:
            await channel.send(rendering, batch, tell)
            if not early_mb and taken >= count / 10:
                early_mb = megabytes()

    began_s = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            tasks.create_task(worker())
        batch: list[Destination] = []
        async for destination in channel.destinations(await channel.audience(OSAWA)):
            batch.append(destination)
            if len(batch) == BATCH:
                await queue.put(batch)
                batch = []
        if batch:
            await queue.put(batch)
        for _ in range(connections):
            await queue.put(None)
    took_s = time.perf_counter() - began_s
    assert taken == count, f"{taken} of {count}"
    print(taken / took_s, megabytes() - early_mb, flush=True)


async def durable(port: int, folder: Path) -> None:
    channel = channel_of(port, folder, 4)
    rendering = channel.render(evacuation_order(Drill, sent=SENT), await channel.audience(OSAWA))

    async def attempt(claim: Claim) -> Attempted:
        return await send(claim, rendering, channel, ledger, CLOCK)

    async with AsyncExitStack() as stack:
        dsn = f"sqlite:///{folder}/ledger.db"
        ledger = await stack.enter_async_context(open_ledger(dsn, mode=Drill, node="mailer", clock=CLOCK))
        print("ready", flush=True)
        await ledger.run({KIND: channel.limits}, attempt)


if __name__ == "__main__":
    to_stderr(logging.ERROR)
    words = sys.argv[2:]
    if sys.argv[1] == "send":
        uvloop.run(sending(int(words[0]), int(words[1]), int(words[2]), Path(words[3])))
    else:
        uvloop.run(durable(int(words[0]), Path(words[1])))
