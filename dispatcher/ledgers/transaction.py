"""One durable transaction as the statements see it: a connection, the moment, this node's chain, and what waits for its end.

Every write of the ledger is a plain function of a Transaction. Several such functions share one (group commit), so events,
tallies and the chain's new head are kept until the end and then written once for all of them.

Source: design.md §5.5; facts.md §Engine ("one writer thread with group commit").
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from dispatcher.ledger import Event
from dispatcher.ledgers.chain import Head
from dispatcher.ledgers.dialect import Dialect, Row
from dispatcher.ledgers.schema import COUNTS, chains, events, tallies

_MOMENTS = {"first_taken_at": None, "last_taken_at": None, "last_words": "", "last_words_at": None}


@dataclass(slots=True)
class Transaction:
    connection: sa.Connection
    dialect: Dialect
    head: Head
    at: datetime
    """The node's clock. Messages go by it, so that a drill may run on its own time; leases go by the database's."""
    has_work: bool = False
    """Something may be claimed: this node's outbox looks, and with the commit the others are told."""
    _events: list[Row] = field(default_factory=list)
    _tallies: dict[tuple[str, str], Row] = field(default_factory=dict)

    @property
    def now(self) -> float:
        return self.at.timestamp()

    @property
    def written_by(self) -> Row:
        """The event that `append` writes next, as columns of the rows that it will vouch for."""
        return {"node": self.head.node, "sequence": self.head.length + 1}

    def append(self, event: Event, **proof: Any) -> None:
        """Add an event to the chain. `proof` is what it vouches for, beside its own facts."""
        facts = {**event.facts, "proof": proof} if proof else event.facts
        self.head, row = self.head.next(self.at.isoformat(), event.name, event.subject, facts)
        self._events.append(row)

    def tally(self, identifier: str, channel: str, **counts: int) -> Row:
        """Add to this node's counts of an alert on a channel; returns the row, for moments and words to be set in."""
        row = self._tallies.get((identifier, channel))
        if row is None:
            row = {"identifier": identifier, "channel": channel, "node": self.head.node, **_MOMENTS}
            row |= dict.fromkeys(COUNTS, 0)
            self._tallies[identifier, channel] = row
        for name, count in counts.items():
            row[name] += count
        return row

    def add_new(self, table: sa.Table, rows: Sequence[Row], *, within: tuple[str, ...]) -> Sequence[Row]:
        """As Dialect.add_new, under the event that `append` writes next."""
        return self.dialect.add_new(self.connection, table, rows, self.written_by, within) if rows else rows

    def flush(self) -> None:
        """Write what was kept for the end."""
        if self._tallies:
            # In one order on every node, so that two never wait for each other crosswise.
            rows = [self._tallies[key] for key in sorted(self._tallies)]
            self.connection.execute(_merge(self.dialect), rows)
        if self._events:
            self.connection.execute(_ADD_EVENT, self._events)
            head = {"chain": self.head.node, "new_length": self.head.length, "new_hash": self.head.hash}
            self.connection.execute(_MOVE_HEAD, head)
        if self.has_work:
            self.dialect.tell(self.connection)


_ADD_EVENT = events.insert()
_MOVE_HEAD = (
    chains.update()
    .where(chains.c.node == sa.bindparam("chain"))
    .values(length=sa.bindparam("new_length"), hash=sa.bindparam("new_hash"))
)


def _better(old: Any, new: Any, is_better: Any) -> Any:
    return sa.case((sa.or_(old.is_(None), is_better), new), else_=old)


@cache
def _merge(dialect: Dialect) -> Any:
    adding = dialect.insert(tallies)
    new, old = adding.excluded, tallies.c
    has_words = new.last_words_at.is_not(None)
    return adding.on_conflict_do_update(
        index_elements=["identifier", "channel", "node"],
        set_={
            **{name: old[name] + new[name] for name in COUNTS},
            # Compared, because the wall clock may have gone back in between.
            "first_taken_at": _better(old.first_taken_at, new.first_taken_at, new.first_taken_at < old.first_taken_at),
            "last_taken_at": _better(old.last_taken_at, new.last_taken_at, new.last_taken_at > old.last_taken_at),
            "last_words": sa.case((has_words, new.last_words), else_=old.last_words),
            "last_words_at": sa.func.coalesce(new.last_words_at, old.last_words_at),
        },
    )
