"""`python -m tests.fuzz`: the long run; `--max-time S` bounds it, other options are schemathesis' own."""

import sys
import tempfile
from pathlib import Path

from tests import fuzz

with tempfile.TemporaryDirectory() as folder:
    options = sys.argv[1:] or ["--max-examples", "300", "--max-time", "1800"]
    sys.exit(fuzz.run(Path(folder), *options).returncode)
