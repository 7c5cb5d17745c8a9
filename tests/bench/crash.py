"""P1: thirty kill -9 of a sending node at random moments; whatever was accepted arrives, and little of it twice.

The node is a process of its own with the real ledger and the real send step (_sender.py); what it sends to is a receiver in this
process, which works on each line for a while, writes it down as finished and answers; what was half done when the connection went is
dropped, as a relay drops a mail without its end.

* crash.lost: addresses that were never finished; baseline: what a queue in memory would have lost, counted at the first kill;
* crash.twice: how often an address was finished again, for each kill; baseline: the node's slots, all of which may be under way.

Source: design.md §11 P1.
"""

import asyncio
import random
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from datetime import timedelta

from dispatcher.clock import SystemClock
from dispatcher.ledger import Event, IssuedAlert, NewDelivery
from dispatcher.ledgers import open_ledger
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Priority
from dispatcher.model.mode import Drill
from tests.bench._sender import KIND
from tests.bench.row import Row, at_most

NAMES = ("crash.lost", "crash.twice")
KILLS = 30
SLOTS = 64
DELIVERIES = 40_000
WORK_S = 0.05
SOONEST_S, LATEST_S = 0.02, 0.35
WITHIN_S = 200.0
CLOCK = SystemClock()


def rows(wanted: set[str]) -> Iterator[Row]:
    finished, queued, kills = asyncio.run(_crashes(random.Random(20261121)))
    lost = DELIVERIES - len(finished)
    twice = (sum(finished.values()) - len(finished)) / kills
    if "crash.lost" in wanted:
        yield at_most("crash.lost", lost, queued, f"of {DELIVERIES:,}, {kills} kills", 0.0)
    if "crash.twice" in wanted:
        yield at_most("crash.twice", twice, SLOTS, "a kill ÷ slots", 0.6)


async def _crashes(chance: random.Random) -> tuple[Counter[str], int, int]:
    """How often each address was finished, how many were not at the first kill, and how often the node was killed while it had work."""
    finished: Counter[str] = Counter()
    queued = kills = 0
    with tempfile.TemporaryDirectory(prefix="todoke-crash-") as folder:
        dsn = f"sqlite:///{folder}/ledger.db"
        await _accept(dsn)
        async with asyncio.timeout(WITHIN_S), _receiver(finished) as port:
            while kills < KILLS:
                async with _node(dsn, port) as node:
                    await CLOCK.sleep(chance.uniform(SOONEST_S, LATEST_S))
                    if len(finished) == DELIVERIES:
                        break
                    node.kill()
                    kills += 1
                    queued = queued or DELIVERIES - len(finished)
            async with _node(dsn, port):
                await _until_taken(dsn)
    return finished, queued, kills


async def _accept(dsn: str) -> None:
    now = CLOCK.now()
    expires_at = now + timedelta(hours=6)
    alert = IssuedAlert("A", "live", "issue", Priority.LEVEL_4, now, expires_at, b"<alert/>", {}, "A")
    deliveries = [
        NewDelivery(f"A:{KIND}:{n}", "A", KIND, Priority.LEVEL_4, (Destination(f"a{n:06d}"),), expires_at)
        for n in range(DELIVERIES)
    ]
    async with open_ledger(dsn, mode=Drill, node="crashing", clock=CLOCK) as ledger:
        await ledger.issue(alert, deliveries[:500], Event("alert.issued", "A"))
        await ledger.add_deliveries(deliveries[500:])


@asynccontextmanager
async def _receiver(finished: Counter[str]) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):  # killed in the middle
            while line := await reader.readline():
                with suppress(TimeoutError):
                    async with asyncio.timeout(WORK_S):
                        await reader.read(1)
                    return  # whoever sent it has gone before it was finished
                finished[line.decode().strip()] += 1
                writer.write(b"ok\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def _node(dsn: str, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    node = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench._sender", dsn, str(port), str(SLOTS)), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert node.stdout is not None
        assert await node.stdout.readline() == b"ready\n"
        yield node
    finally:
        if node.returncode is None:
            node.kill()
        await node.wait()


async def _until_taken(dsn: str) -> None:
    """As the ledger says it, looked at from outside."""
    with closing(sqlite3.connect(dsn.removeprefix("sqlite:///"))) as outside:
        while outside.execute("SELECT coalesce(sum(taken), 0) FROM tallies").fetchone()[0] < DELIVERIES:
            await CLOCK.sleep(0.05)
