"""P4: from handing a notice in until the last terminal's receipt is committed, against the least that could answer the same crowd.

* terminals.5000, terminals.19500: seconds, through the real outbox, channel and SQLite ledger ÷ a bare endpoint without JSON, seals
  or a database; the same crowd (_terminals.py) in both, rounds in turns, the best of each;
* terminals.memory: KB that the node holds for each of 19,500 connected terminals; baseline: the bare endpoint's;
* terminals.crash: 400 real terminals, a fifth of them without power, the node killed in the burst and started again: notices that a
  terminal never got, and receipts that it was told are kept and are not; baseline: notices not yet out at the kill, which a queue in
  memory would have lost.

Source: design.md §11 P4.
"""

import asyncio
import contextlib
import random
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from channels.ip_terminal.notice import Signer
from dispatcher.clock import SystemClock
from drills.world.ports import free_port
from drills.world.terminal import Terminal
from tests.bench._terminal_node import MAC_KEY, PASSWORD, SEED, mid_of, register, tid_of
from tests.bench.row import Row, at_most

NAMES = ("terminals.5000", "terminals.19500", "terminals.memory", "terminals.crash")
ROUNDS = 4
BOUNDS = {5_000: 1.5, 19_500: 2.0}
MEMORY_KB = 8.0
CRASHING = 400
CLOCK = SystemClock()


def rows(wanted: set[str]) -> Iterator[Row]:
    for count, bound in BOUNDS.items():
        name = f"terminals.{count}"
        if name in wanted or (count == max(BOUNDS) and "terminals.memory" in wanted):
            seconds, kilobytes = asyncio.run(_crowd(count))
            if name in wanted:
                yield at_most(name, seconds["ours"], seconds["bare"], "s to the last receipt", bound)
            if "terminals.memory" in wanted and count == max(BOUNDS):
                ratio = kilobytes["ours"] / kilobytes["bare"]
                holds = kilobytes["ours"] <= MEMORY_KB
                yield Row(
                    "terminals.memory",
                    kilobytes["ours"],
                    kilobytes["bare"],
                    "KB a terminal",
                    ratio,
                    f"≤ {MEMORY_KB:g} KB",
                    holds,
                )
    if "terminals.crash" in wanted:
        lost, unsent = asyncio.run(_crash(random.Random(20261121)))
        yield at_most("terminals.crash", lost, unsent, f"lost of {CRASHING}", 0.0)


async def _crowd(count: int) -> tuple[dict[str, float], dict[str, float]]:
    """The best seconds, and KB a terminal, of ours and bare."""
    seconds: dict[str, float] = {}
    kilobytes: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="todoke-bench-") as folder:
        register(Path(folder) / "terminals.csv", count)
        for kind in ("bare", "ours"):
            port = free_port()
            async with _process("_terminal_node", kind, port, count, folder) as node:
                before = int((await _line(node)).split()[1])
                async with _process("_terminals", port, count, ROUNDS) as crowd:
                    assert await _line(crowd) == "ready"
                    found = []
                    for number in range(ROUNDS):
                        if number == 1:
                            kilobytes[kind] = (_rss(node) - before) / count
                        found.append(float(await _ask(node, str(number))))
                    seconds[kind] = min(found)
    return seconds, kilobytes


async def _crash(chance: random.Random) -> tuple[int, int]:
    """How much was lost, and how many notices were not out at the kill."""
    with tempfile.TemporaryDirectory(prefix="todoke-bench-") as name:
        folder, port = Path(name), free_port()
        register(folder / "terminals.csv", CRASHING)
        trust = Signer(bytes.fromhex(SEED)).public
        terminals = [
            Terminal(
                "127.0.0.1",
                port,
                tid=tid_of(n),
                password=PASSWORD.decode(),
                mac_key=MAC_KEY,
                trust=trust,
                auto_acknowledge_s=0.05,
            )
            for n in range(CRASHING)
        ]
        away = set(chance.sample(range(CRASHING), CRASHING // 5))
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(t.run()) for n, t in enumerate(terminals) if n not in away]
            async with _process("_terminal_node", "ours", port, CRASHING, folder) as node:
                await _line(node)
                async with asyncio.timeout(60):
                    while sum(t.connected.is_set() for t in terminals) < CRASHING - len(away):
                        await CLOCK.sleep(0.02)
                assert node.stdin is not None
                node.stdin.write(b"0\n")
                async with asyncio.timeout(60):
                    while sum(bool(t.shown) for t in terminals) < chance.randrange(20, CRASHING // 2):
                        await CLOCK.sleep(0)
                node.kill()
                unsent = sum(not t.shown for t in terminals)
            running += [tasks.create_task(terminals[n].run()) for n in away]
            async with _process("_terminal_node", "ours", port, CRASHING, folder) as node:
                await _line(node)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(90):
                        while not all(len(t.answered) == 3 and not t._unacknowledged for t in terminals):
                            await CLOCK.sleep(0.05)
            for task in running:
                task.cancel()
        with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as ledger:
            kept = set(ledger.execute("SELECT address, receipt FROM receipts WHERE identifier = ?", (mid_of(0),)))
        notices = sum(len(t.shown) != 1 for t in terminals)
        receipts = sum((t.tid, a["state"]) not in kept for t in terminals for a in t.answered if not t._unacknowledged)
        return notices + receipts, unsent


@contextlib.asynccontextmanager
async def _process(module: str, *words: object) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.bench.{module}"),
        *map(str, words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(120):
        return (await process.stdout.readline()).decode().strip()


async def _ask(process: asyncio.subprocess.Process, words: str) -> str:
    assert process.stdin is not None
    process.stdin.write(f"{words}\n".encode())
    return await _line(process)


def _rss(process: asyncio.subprocess.Process) -> int:
    """KB, as the system sees it."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * 4
