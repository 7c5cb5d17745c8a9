"""What a secret was before it was changed: still believed until a moment, so that nobody is shut out in between.

It stands beside the secret's file, in a file of the same name and `.former`, as private as the other:

    {"formers": [{"secret": "…", "until": "2026-12-21T09:00:00+09:00"}]}

The newest first. Whoever checks something sealed believes the current one and each former one that still holds; whoever seals
uses the current one, and where the other side may not have it yet, the former one as well.

Source: NIST SP 800-57 Part 1 §5.3.6 (a key's originator-usage and recipient-usage periods).
"""

import json
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

SUFFIX = ".former"
MOST = 4
"""More changes at the same time are no change any more."""
_LARGEST_BYTES = 300_000


@dataclass(frozen=True, slots=True)
class Former:
    text: str = field(repr=False)
    until: datetime

    def holds(self, at: datetime) -> bool:
        return at < self.until


def beside(path: Path) -> Path:
    """Where the former secrets of the file at `path` stand."""
    return path.with_name(path.name + SUFFIX)


def read(path: Path) -> tuple[Former, ...]:
    """The former secrets of the file at `path`; none where there are none.

    Raises:
        ValueError: the file beside it cannot be used; the message says why.
        OSError: it cannot be read.
    """
    file = beside(path)
    if not file.exists():
        return ()
    if file.stat().st_mode & stat.S_IROTH:
        raise ValueError(f"{file.name} can be read by everybody; chmod 600 it")
    with file.open("rb") as opened:
        data = opened.read(_LARGEST_BYTES)
    try:
        listed = json.loads(data)["formers"]
        formers = tuple(Former(str(one["secret"]), datetime.fromisoformat(one["until"])) for one in listed)
        is_sound = len(formers) <= MOST and all(one.until.tzinfo is not None and one.text for one in formers)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        formers, is_sound = (), False
    if not is_sound:
        raise ValueError(f"{file.name} is no list of at most {MOST} former secrets, as todoke keys rotate writes it")
    return formers


def write(formers: Sequence[Former]) -> str:
    """The text of such a file."""
    listed = [{"secret": former.text, "until": former.until.isoformat()} for former in formers[:MOST]]
    return json.dumps({"formers": listed}, ensure_ascii=False) + "\n"
