"""P4: from handing a notice in until the last terminal's receipt is committed, against the least that could answer the same crowd.

* terminals.5000, terminals.19500: seconds, through the real outbox, channel and SQLite ledger ÷ a bare endpoint without JSON, seals
  or a database; the same crowd (_terminals.py) in both, rounds in turns, the best of each;
* terminals.memory: KB that the node holds for each of 19,500 connected terminals; baseline: the bare endpoint's;
* terminals.crash: 400 real terminals, a fifth of them without power, the node killed and started again, once while the notice goes out
  and once while receipts are being confirmed: notices that a terminal has not got once, and receipts that are not in the ledger in the
  end; baseline: notices not yet out and receipts already confirmed at the kill, which a queue in memory would have lost.

Source: design.md §11 P4.
"""

import asyncio
import contextlib
import random
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path

from channels.ip_terminal.notice import Signer
from channels.ip_terminal.receipt import State
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
        chance = random.Random(20261121)
        killed = [asyncio.run(_crash(chance, progress)) for progress in (_shown, _confirmed)]
        lost, at_stake = map(sum, zip(*killed, strict=True))
        yield at_most("terminals.crash", lost, at_stake, f"lost, 2 kills of {CRASHING}", 0.0)


async def _crowd(count: int) -> tuple[dict[str, float], dict[str, float]]:
    """The best seconds, and KB a terminal, of ours and bare."""
    kilobytes: dict[str, float] = {}
    nodes: dict[str, asyncio.subprocess.Process] = {}
    found: dict[str, list[float]] = {"bare": [], "ours": []}
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="todoke-bench-"))
        register(Path(folder) / "terminals.csv", count)
        for kind, seconds in found.items():
            port = free_port()
            node = await stack.enter_async_context(_process("_terminal_node", kind, port, count, folder))
            before = int((await _line(node)).split()[1])
            crowd = await stack.enter_async_context(_process("_terminals", port, count, ROUNDS))
            assert await _line(crowd) == "ready"
            seconds.append(float(await _ask(node, "0")))
            kilobytes[kind] = (_rss(node) - before) / count
            nodes[kind] = node
        for number in range(1, ROUNDS):
            for kind, node in nodes.items():
                found[kind].append(float(await _ask(node, str(number))))
    return {kind: min(rounds) for kind, rounds in found.items()}, kilobytes


async def _crash(chance: random.Random, progress: Callable[[Iterable[Terminal]], int]) -> tuple[int, int]:
    """Killed when `progress` has come some way: how much was lost, and how much lay with the node alone."""
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
        some = chance.randrange(1, CRASHING // 2)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(t.run()) for n, t in enumerate(terminals) if n not in away]
            async with _process("_terminal_node", "ours", port, CRASHING, folder) as node:
                await _line(node)
                await _until(lambda: sum(t.connected.is_set() for t in terminals) == CRASHING - len(away))
                assert node.stdin is not None
                node.stdin.write(b"0\n")
                await _until(lambda: progress(terminals) >= some)
            await _until(lambda: not any(t.connected.is_set() for t in terminals))  # what was on the wire has been read
            at_stake = CRASHING - _shown(terminals) + _confirmed(terminals)
            running += [tasks.create_task(terminals[n].run()) for n in away]
            async with _process("_terminal_node", "ours", port, CRASHING, folder) as node:
                await _line(node)
                with contextlib.suppress(TimeoutError):  # what has not come by then counts as lost
                    await _until(lambda: _confirmed(terminals) == len(State) * CRASHING)
            for task in running:
                task.cancel()
        with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as ledger:
            kept = set(ledger.execute("SELECT address, receipt FROM receipts WHERE identifier = ?", (mid_of(0),)))
        notices = sum(len(t.shown) != 1 for t in terminals)
        # A terminal sends a confirmed receipt never again: one that the ledger has not in the end was lost at the kill.
        receipts = sum((t.tid, state.value) not in kept for t in terminals for state in State)
        return notices + receipts, at_stake


def _shown(terminals: Iterable[Terminal]) -> int:
    """Terminals that have the notice."""
    return sum(bool(t.shown) for t in terminals)


def _confirmed(terminals: Iterable[Terminal]) -> int:
    """Receipts that have their PUBACK."""
    return sum(len(t.answered) - len(t._unacknowledged) for t in terminals)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await CLOCK.sleep(0.001)


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
