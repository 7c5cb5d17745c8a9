"""The staff's API under schemathesis: requests drawn from its own document, right and wrong, and every answer held to it.

`make test` runs a few examples of each operation (tests/dispatcher/staff/test_api_fuzz.py), `make fuzz` as many as there is time for.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.servers.staff_door import StaffDoor

WHO = "職員0004"
"""An admin who may approve: every scope there is."""


def run(folder: Path, *options: str, quiet: bool = False) -> subprocess.CompletedProcess:
    """One run of schemathesis against a node of its own. Exit code 0: no 5xx, nothing that the document does not say."""
    door = StaffDoor(folder)
    door.start()
    try:
        alerts = [door.issued() for _ in range(2)]
        waiting = dict(door.submitted() for _ in range(8))
        drafts = [*waiting, *(door.drafted() for _ in range(4)), *alerts]
        environment = {
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
            "PYTHONPATH": str(Path.cwd()),
            "TODOKE_FUZZ": json.dumps({"drafts": drafts, "alerts": alerts, "hashes": waiting}),
        }
        command = [str(Path(sys.executable).parent / "schemathesis"), "--config-file", "tests/fuzz/schemathesis.toml"]
        command += ["run", f"{door.url}/openapi.json", "-H", f"Authorization: Bearer {door.tokens[WHO]}", *options]
        return subprocess.run(command, env=environment, capture_output=quiet, text=True, check=False)
    finally:
        door.stop()
