"""The engine (P3): deliveries, bulk, urgency and replies, against what the same disk and the same PostgreSQL do for the simplest
of clients: W, one-row durable commits a second of the standard library's sqlite3 (WAL, FULL); P, INSERTs a second of one client.

Baseline and ours take turns, and the best round of each counts: on a shared machine the best is the least disturbed.

Source: design.md §11 P3; facts.md §Engine.
"""

import asyncio
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import asyncpg

from dispatcher.channel import Limits
from dispatcher.clock import SystemClock
from dispatcher.ledger import Attempted, Claim, Event, IssuedAlert, Ledger, NewDelivery
from dispatcher.ledgers import open_ledger
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Priority, Receipt, Received
from dispatcher.model.mode import Drill
from tests.bench._node import CHANNEL, nothing
from tests.bench.row import Row, at_least, at_most
from tests.servers.postgres import Postgres, running

NAMES = (
    "deliveries.sqlite",
    "deliveries.postgres",
    "deliveries.postgres.two_nodes",
    "bulk.sqlite",
    "bulk.postgres",
    "urgent.sqlite",
    "urgent.postgres",
    "replies.sqlite",
    "replies.postgres",
)
ROUNDS = 4
BASELINE_S = 0.5
DELIVERIES = 6_000
BULK = 10_000
BACKLOG = 10_000
REPLIES = 20_000
CALLERS = 512
SLOTS = 256
CLOCK = SystemClock()

Baseline = Callable[[], float]
"""Commits a second."""
Place = Callable[[], str]
"""The DSN of a new, empty ledger."""


def rows(wanted: set[str]) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="todoke-bench-") as folder:
        if any("sqlite" in name for name in wanted):
            yield from _rows("sqlite", wanted, _sqlite_place(Path(folder)), lambda: one_row_commits(Path(folder)))
        if any("postgres" in name for name in wanted):
            with running() as server:
                yield from _rows("postgres", wanted, server.database, lambda: one_client_inserts(server))
                name = "deliveries.postgres.two_nodes"
                if name in wanted:
                    ours, p = in_turns(
                        lambda: deliveries_a_second(server.database(), 2), lambda: one_client_inserts(server)
                    )
                    yield at_least(name, ours, p, "deliveries/s", 1.2)


def _rows(engine: str, wanted: set[str], place: Place, baseline: Baseline) -> Iterator[Row]:
    bounds = {"sqlite": (1.0, 10.0, 2.0), "postgres": (0.6, 8.0, 2.0)}[engine]
    measures: tuple[Callable[[], float], ...] = (
        lambda: deliveries_a_second(place(), 1),
        lambda: asyncio.run(bulk_a_second(place())),
        lambda: asyncio.run(replies_a_second(place())),
    )
    for kind, bound, measure in zip(("deliveries", "bulk", "replies"), bounds, measures, strict=True):
        if f"{kind}.{engine}" in wanted:
            ours, base = in_turns(measure, baseline)
            yield at_least(f"{kind}.{engine}", ours, base, f"{kind}/s", bound)
    if f"urgent.{engine}" in wanted:
        busy_ms, idle_ms = asyncio.run(urgent_p99_ms(place()))
        yield at_most(f"urgent.{engine}", busy_ms, idle_ms, "ms p99 ÷ idle p99", 4.0)


def in_turns(ours: Callable[[], float], baseline: Baseline) -> tuple[float, float]:
    """The best of a few rounds of each, one after the other."""
    rounds = [(baseline(), ours(), baseline()) for _ in range(ROUNDS)]
    return max(one for _, one, _ in rounds), max(max(first, last) for first, _, last in rounds)


# -- baselines -------------------------------------------------------------------------------------------------------


def one_row_commits(folder: Path) -> float:
    """W."""
    with closing(sqlite3.connect(folder / "baseline.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS row (id INTEGER PRIMARY KEY, key TEXT, body TEXT)")
        began, count = time.perf_counter(), 0
        while (took := time.perf_counter() - began) < BASELINE_S:
            connection.execute("INSERT INTO row (key, body) VALUES (?, ?)", (f"key {count}", "x" * 100))
            count += 1
        return count / took


def one_client_inserts(server: Postgres) -> float:
    """P."""
    return asyncio.run(_one_client_inserts(server.dsn()))


async def _one_client_inserts(dsn: str) -> float:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS row (id bigserial PRIMARY KEY, key text, body text)")
        insert = await connection.prepare("INSERT INTO row (key, body) VALUES ($1, $2)")
        began, count = time.perf_counter(), 0
        while (took := time.perf_counter() - began) < BASELINE_S:
            await insert.fetch(f"key {count}", "x" * 100)
            count += 1
        return count / took
    finally:
        await connection.close()


# -- ours ------------------------------------------------------------------------------------------------------------


def _sqlite_place(folder: Path) -> Place:
    def place() -> str:
        return f"sqlite:///{tempfile.mkdtemp(dir=folder)}/ledger.db"

    return place


def alert(identifier: str) -> IssuedAlert:
    now = CLOCK.now()
    return IssuedAlert(
        identifier, "live", "issue", Priority.LEVEL_4, now, now + timedelta(hours=6), b"<alert/>", {}, identifier
    )


def some(identifier: str, count: int, priority: Priority = Priority.ROUTINE) -> list[NewDelivery]:
    expires_at = CLOCK.now() + timedelta(hours=6)
    return [
        NewDelivery(
            f"{identifier}:{CHANNEL}:{n}", identifier, CHANNEL, priority, (Destination(f"a{n:06d}"),), expires_at
        )
        for n in range(count)
    ]


def opened(dsn: str, node: str = "bench"):
    return open_ledger(dsn, mode=Drill, node=node, clock=CLOCK)


async def _load(dsn: str, count: int) -> None:
    async with opened(dsn, "loader") as ledger:
        await ledger.issue(alert("A"), [], Event("alert.issued", "A"))
        await ledger.add_deliveries(some("A", count))


def deliveries_a_second(dsn: str, nodes: int) -> float:
    """No-op deliveries by that many processes, from their start until the last one is taken in the ledger."""
    asyncio.run(_load(dsn, DELIVERIES * nodes))
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.bench._node", dsn, f"node-{n}", str(SLOTS)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for n in range(nodes)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        took_s = asyncio.run(_until_taken(dsn, DELIVERIES * nodes, lambda: _say(processes)))
        _say(processes)
    return DELIVERIES * nodes / took_s


def _say(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


async def _until_taken(dsn: str, count: int, start: Callable[[], None]) -> float:
    """Looks from outside, as a stranger to the nodes would."""
    statement = "SELECT coalesce(sum(taken), 0) FROM tallies"
    if dsn.startswith("sqlite"):
        connection = sqlite3.connect(dsn.removeprefix("sqlite:///"))

        async def taken() -> int:
            return int(connection.execute(statement).fetchone()[0])

        close: Callable[[], Awaitable[None]] | None = None
    else:
        client = await asyncpg.connect(dsn)

        async def taken() -> int:
            return int(await client.fetchval(statement))

        close = client.close
    try:
        start()
        began = time.perf_counter()
        while await taken() < count:
            await CLOCK.sleep(0.01)
        return time.perf_counter() - began
    finally:
        if close is None:
            connection.close()
        else:
            await close()


async def bulk_a_second(dsn: str) -> float:
    """Deliveries of one destination each, written down in transactions of 500."""
    async with opened(dsn) as ledger:
        await ledger.issue(alert("A"), some("A", 1), Event("alert.issued", "A"))
        many = some("A", BULK)
        began = time.perf_counter()
        await ledger.add_deliveries(many)
        return BULK / (time.perf_counter() - began)


async def replies_a_second(dsn: str) -> float:
    """Receipts from that many callers at the same time, each with one and waiting until it is durable."""
    now = CLOCK.now()
    waiting = iter(Received("A", CHANNEL, f"a{n:06d}", Receipt.DELIVERED, now) for n in range(REPLIES))

    async def caller(ledger: Ledger) -> None:
        for received in waiting:
            await ledger.record(CHANNEL, [received])

    async with opened(dsn) as ledger:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CALLERS):
                tasks.create_task(caller(ledger))
        return REPLIES / (time.perf_counter() - began)


async def urgent_p99_ms(dsn: str) -> tuple[float, float]:
    """From the call of `issue` to the start of the attempt: with a backlog of routine deliveries being worked off, and idle."""
    began: dict[str, float] = {}
    waits: dict[str, float] = {}
    started = asyncio.Event()

    async def attempt(claim: Claim) -> Attempted:
        if claim.identifier in began:
            waits[claim.identifier] = time.perf_counter() - began[claim.identifier]
            started.set()
        return await nothing(claim)

    async def one(ledger: Ledger, identifier: str) -> float:
        new, urgent = alert(identifier), some(identifier, 1, Priority.LEVEL_5)
        started.clear()
        began[identifier] = time.perf_counter()
        await ledger.issue(new, urgent, Event("alert.issued", identifier))
        await started.wait()
        await CLOCK.sleep(0.02)
        return waits[identifier] * 1000

    lanes = {CHANNEL: Limits(concurrency=SLOTS)}
    busy: list[float] = []
    async with opened(dsn) as ledger:
        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(ledger.run(lanes, attempt, concurrency=SLOTS))
            await ledger.issue(alert("warm"), some("warm", 200), Event("alert.issued", "warm"))
            idle = [await one(ledger, f"idle{n}") for n in range(150)]
            run.cancel()
        for n in range(4):
            await ledger.issue(alert(f"B{n}"), [], Event("alert.issued", f"B{n}"))
            await ledger.add_deliveries(some(f"B{n}", BACKLOG))  # all of it, before any of it is worked off
            async with asyncio.TaskGroup() as tasks:
                run = tasks.create_task(ledger.run(lanes, attempt, concurrency=SLOTS))
                while (await ledger.tally(f"B{n}"))[0].taken < BACKLOG * 0.9:
                    busy.append(await one(ledger, f"busy{len(busy)}"))
                run.cancel()
    return _p99(busy), _p99(idle)


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99) - 1]
