"""The hash chain: each event carries `sha256` of the one before and of itself, so that no byte can be altered unseen.

One chain for each node, because a chain has to be written by one hand: a second process that calls itself by the same name
collides with the first on (node, sequence) and is stopped there.

Source: design.md §4 "State is folded from the ledger"; FIPS 180-4; RFC 8785 for the idea of canonical JSON (ours: sorted
keys, no spaces, UTF-8, Python's shortest float).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GENESIS = "0" * 64
"""Stands where the first event has no predecessor."""


def _odd(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=_odd).encode
"""The one JSON text of a value. A byte string, which only a tampered row can hold, becomes its hex digits."""


def sha256(text: str) -> str:
    # A tampered row may hold bytes that are not UTF-8; read with surrogateescape they get a digest like any other.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def digest(rows: Iterable[Sequence[Any]]) -> str:
    """Of a set of rows, whatever order they come in; each begins with what makes it unique."""
    said = [tuple(row) for row in rows]
    try:
        ordered: list[Any] = sorted(said)
    except TypeError:  # a tampered row, with another type where all others have text
        ordered = sorted(said, key=repr)
    return sha256(canonical(ordered))


HASHED = ("previous_hash", "node", "sequence", "at", "name", "subject", "facts")
"""What an event's hash covers: all of it."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: how many events it has, and the last one's hash."""

    node: str
    length: int = 0
    hash: str = GENESIS

    def next(self, at: str, name: str, subject: str, facts: Mapping[str, Any]) -> tuple["Head", dict[str, Any]]:
        """The new head, and the event as a row."""
        row: dict[str, Any] = {
            "node": self.node,
            "sequence": self.length + 1,
            "at": at,
            "name": name,
            "subject": subject,
            "facts": canonical(facts),
            "previous_hash": self.hash,
        }
        row["hash"] = sha256(canonical([row[name] for name in HASHED]))
        return Head(self.node, self.length + 1, row["hash"]), row


def hash_of(row: Any) -> str:
    """The hash that belongs to an event's row as it was read."""
    return sha256(canonical([getattr(row, name) for name in HASHED]))
