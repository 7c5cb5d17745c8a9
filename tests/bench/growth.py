"""P12: what ten times as many recipients cost, to a million: a whole node, one order, registered mail into Postfix's own receiver.

* growth.time: milliseconds for a recipient when there are a million, from the approval to the last mail taken; baseline: the same with
  a tenth of them. 1 is linear;
* growth.memory: the most memory that the node ever had with a million, in MB; baseline: with a tenth of them.

Source: design.md §11 P12.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench._mailer import subscribers
from tests.bench.row import Row, at_most
from tests.servers.postfix import sink

NAMES = ("growth.time", "growth.memory")
MOST = 1_000_000
LINEAR = 1.25
"""What a doubling of the logarithm of a table's size may cost in its indexes; beyond it something grows faster than the city."""
MEMORY_MB = 300.0
TIMEOUT_S = 2_400


def rows(wanted: set[str]) -> Iterator[Row]:
    tenth_s, tenth_mb = _order(MOST // 10)
    whole_s, whole_mb = _order(MOST)
    if "growth.time" in wanted:
        yield at_most("growth.time", whole_s / MOST * 1e3, tenth_s / MOST * 1e4, "ms a recipient", LINEAR)
    if "growth.memory" in wanted:
        holds = whole_mb <= MEMORY_MB
        yield Row("growth.memory", whole_mb, tenth_mb, "MB", whole_mb / tenth_mb, f"≤ {MEMORY_MB:g} MB", holds)


def _order(recipients: int) -> tuple[float, float]:
    """Seconds and MB."""
    with tempfile.TemporaryDirectory(prefix="todoke-bench-") as name, sink() as port:
        subscribers(Path(name) / "subscribers.csv", recipients)
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench._city", str(port), name],
            stdout=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
            env={**os.environ, "TODOKE_BENCH_SECRET": "0123456789abcdef0123456789abcdef"},
        )
    took_s, most_mb = done.stdout.split()
    return float(took_s), float(most_mb)
