"""Safety replies over HTTP (P3, P7): a tap of each of many people, answered when it is durable, against W.

The node's own doors, safety loop and ledger run in one process, the people in another; each sends one answer by their own link,
so every reply is a row, a person moved and an event, sealed and vouched for. W: one-row durable commits a second of the
standard library's sqlite3 on the same disk. The 99th percentile of the waits stands beside it.

Source: design.md §11 P3, P7; facts.md §Engine.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvloop

from tests.bench.engine import one_row_commits
from tests.bench.row import Row, at_least

NAMES = ("replies.http",)
PEOPLE = 12_000
ROUNDS = 3
PHONES = 256
"""Connections at the same time."""
BODY = b"a=ok"


def rows(wanted: set[str]) -> Iterator[Row]:
    del wanted
    with tempfile.TemporaryDirectory(prefix="todoke-bench-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench._replies_node", f"{folder}/ledger.db", str(PEOPLE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            node = json.loads(process.stdout.readline())
            ours, baseline, waits_s = 0.0, 0.0, [0.0]
            for number in range(ROUNDS):
                baseline = max(baseline, one_row_commits(Path(folder)))
                some = node["tokens"][number::ROUNDS]
                rate, waited_s = uvloop.run(_answers_a_second(node["port"], some))
                if rate > ours:
                    ours, waits_s = rate, sorted(waited_s)
                baseline = max(baseline, one_row_commits(Path(folder)))
        finally:
            process.communicate("\n")
    p99_ms = waits_s[int(len(waits_s) * 0.99)] * 1000
    yield at_least("replies.http", ours, baseline, f"replies/s, p99 {p99_ms:.0f} ms", 3.0)


async def _answers_a_second(port: int, tokens: Sequence[str]) -> tuple[float, list[float]]:
    waiting = iter(tokens)
    waits_s: list[float] = []

    async def phone() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for token in waiting:
            began = time.perf_counter()
            writer.write(
                b"POST /a/%b HTTP/1.1\r\nHost: here\r\nAccept-Encoding: gzip\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (token.encode(), len(BODY), BODY)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            size = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(size.partition(b":")[2]))
            waits_s.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(PHONES):
            tasks.create_task(phone())
    return len(tokens) / (time.perf_counter() - began), waits_s
