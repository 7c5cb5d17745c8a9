"""P2 and P8: from the key press to the media, on the demo's own stage: a node, a world behind each channel, the staff's door.

* first_byte: from the approver's key press to the first byte at the receiver, the 95th percentile over every medium of several
  fresh nodes; baseline: the least that any such system does, a durable commit and a byte each way over loopback;
* first_byte.multicast: the same for the first multicast packet alone;
* isolation: two nodes side by side, one with X behind a black hole (it accepts and never answers). Orders go to each in turn;
  ours is the key press until the last of the *other* media has taken it on that node, the baseline is the healthy node;
* retraction: from the key press to the slowest medium that carries the 取消; baseline: the order itself on the slowest medium.

Source: design.md §11.
"""

import asyncio
import logging
import socket
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import uvloop

from dispatcher.log import to_stderr
from drills.demo import ORDER, WRONG
from drills.staff import Board, is_settled, since_ms
from drills.stage import Stage, stage
from tests.bench.row import Row, at_most, within

NAMES = ("first_byte", "first_byte.multicast", "isolation", "retraction")
FRESH_NODES = 6
ORDERS_EACH = 12
FLOOR_ROUNDS = 50
BLACK_HOLED = "social"


def rows(wanted: set[str]) -> Iterator[Row]:
    to_stderr(logging.ERROR)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found: list[Row] = []
        if wanted & {"first_byte", "first_byte.multicast", "retraction"}:
            found += runner.run(_one_order_each())
        if "isolation" in wanted:
            found.append(runner.run(_isolation()))
    yield from found


async def _one_order_each() -> list[Row]:
    first_s: list[float] = []
    multicast_s: list[float] = []
    orders_s: list[float] = []
    retractions_s: list[float] = []
    floor_s: list[float] = []
    for seed in range(FRESH_NODES):
        with tempfile.TemporaryDirectory(prefix="todoke-bench-") as folder:
            async with stage(Path(folder), seed) as city:
                order = await city.staff.order(ORDER)
                board, _ = await city.staff.watch(order.identifier, is_settled)
                orders_s.append(max(_taken_s(board, order.pressed_at).values()))
                for kind, world in city.worlds.items():
                    first_byte_ms = since_ms(order.pressed_at, world.report()["first_byte_at"])
                    assert first_byte_ms is not None, f"{kind} saw nothing"
                    first_s.append(first_byte_ms / 1000)
                    if kind == "wifi_multicast":
                        multicast_s.append(first_byte_ms / 1000)
                taken_back = await city.staff.retract(order.identifier, WRONG)
                board, _ = await city.staff.watch(taken_back.identifier, is_settled)
                retractions_s.append(max(_taken_s(board, taken_back.pressed_at).values()))
            floor_s += await asyncio.to_thread(_floor, Path(folder))
    return [
        within("first_byte", _p95(first_s), _p95(floor_s), 1.0, "s, p95"),
        within("first_byte.multicast", _p95(multicast_s), _p95(floor_s), 0.5, "s, p95"),
        within("retraction", max(retractions_s), max(orders_s), 30.0, "s, slowest medium"),
    ]


async def _isolation() -> Row:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="todoke-bench-")))
        hole = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
        url = f"http://127.0.0.1:{hole.getsockname()[1]}"
        healthy = await stack.enter_async_context(stage(folder / "healthy"))
        holed = await stack.enter_async_context(stage(folder / "holed", changes={BLACK_HOLED: {"api_url": url}}))
        spent_s: dict[str, list[float]] = {"healthy": [], "holed": []}
        for _ in range(ORDERS_EACH):
            for name, city in (("healthy", healthy), ("holed", holed)):
                spent_s[name].append(await _others_taken_s(city))
        ours, baseline = (statistics.median(spent_s[name]) for name in ("holed", "healthy"))
        return at_most("isolation", ours, baseline, f"s, {ORDERS_EACH} orders each", 1.10)


async def _others_taken_s(city: Stage) -> float:
    """Seconds from the key press until every medium but the black-holed one has taken an order."""
    order = await city.staff.order(ORDER)

    def others_are_settled(board: Board) -> bool:
        return is_settled({"channels": [line for line in board["channels"] if line["channel"] != BLACK_HOLED]})

    board, _ = await city.staff.watch(order.identifier, others_are_settled)
    return max(s for kind, s in _taken_s(board, order.pressed_at).items() if kind != BLACK_HOLED)


def _taken_s(board: Board, pressed_at: Any) -> Mapping[str, float]:
    found = {line["channel"]: since_ms(pressed_at, line["last_taken_at"]) for line in board["channels"]}
    return {kind: ms / 1000 for kind, ms in found.items() if ms is not None}


def _floor(folder: Path) -> list[float]:
    """One durable row and one byte each way over loopback, in seconds, again and again."""
    with closing(sqlite3.connect(folder / "floor.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE message (words TEXT)")
        found = []
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as here:
            there, _ = server.accept()
            with there:
                for number in range(FLOOR_ROUNDS):
                    started_s = time.perf_counter()
                    database.execute("INSERT INTO message VALUES (?)", (f"order {number}",))
                    here.sendall(b"!")
                    there.sendall(there.recv(1))
                    here.recv(1)
                    found.append(time.perf_counter() - started_s)
    return found


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]
