"""P8: from the key press to the retraction taken on every medium that carried the order, in the demo's own run.

Source: design.md §11.
"""

import json
import subprocess
import sys
from collections.abc import Iterator

from tests.bench.row import Row, absolute_at_most

NAMES = ("retraction",)
WITHIN_S = 30.0


def rows(wanted: set[str]) -> Iterator[Row]:
    if "retraction" in wanted:
        done = subprocess.run(
            [sys.executable, "-m", "dispatcher", "demo", "--once", "--retract", "-o", "json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=180,
            check=True,
        )
        channels = json.loads(done.stdout)["channels"].values()
        yield absolute_at_most("retraction", max(c["retracted_ms"] for c in channels) / 1000, WITHIN_S, "s, slowest medium")
