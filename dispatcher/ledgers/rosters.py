"""The roster: each import a generation of its own, which holds as a whole from one transaction on.

A hundred thousand rows go in behind everything urgent and take seconds; until the last is there nobody sees any of them, and
an import that stops half way has changed nothing. Which generation holds stands in the record `roster/current`.

Source: dispatcher/campaigns.py; design.md §5.1, §8 "Privacy".
"""

import secrets
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from dispatcher.campaigns import ROSTER, ROWS, RosterRow
from dispatcher.errors import NotFound, StaleHash
from dispatcher.ledger import Event
from dispatcher.ledgers import keeping
from dispatcher.ledgers.chain import digest
from dispatcher.ledgers.schema import among, roster
from dispatcher.ledgers.transaction import Transaction

PERSON = ("generation", "pid", "quarter", "household", "digest", "sealed")
"""What the event that wrote the row vouches for."""
KIND, KEY = ROSTER
_person = itemgetter(*PERSON)


def new_generation() -> int:
    # Drawn, not counted: two who import at the same moment write side by side, and the second to end is told.
    return secrets.randbits(31)


def write_part(t: Transaction, generation: int, rows: Sequence[RosterRow]) -> None:
    """≤ ROWS people of a generation that does not hold yet."""
    written = [
        {
            "generation": generation,
            "pid": row.pid,
            "quarter": row.quarter,
            "household": row.household,
            "digest": row.digest,
            "sealed": row.sealed,
        }
        for row in rows
    ]
    added = t.add_new(roster, written, within=("generation", "pid"))
    proof = {"generation": generation, "count": len(added), "digest": digest(map(_person, added))}
    t.append(Event("roster.written", "", {"count": len(added)}), roster=proof)


def switch(t: Transaction, generation: int, length: int, before: int, event: Event) -> None:
    """From now on this generation holds, if its `length` rows are there and still the version `before` held meanwhile.

    Raises:
        StaleHash: somebody else imported one at the same time.
    """
    count = sa.select(sa.func.count()).select_from(roster).where(roster.c.generation == generation)
    if t.connection.execute(count).scalar_one() != length:
        raise StaleHash("名簿はほかの人が同時に取り込みました (another roster was imported meanwhile)")
    keeping.save(t, KIND, KEY, before, {"generation": generation, "people": length}, event)


def sweep(t: Transaction) -> bool:
    """Take away ≤ ROWS rows of generations that do not hold; says whether there may be more."""
    some = (
        sa.select(roster.c.generation, roster.c.pid).where(roster.c.generation != current(t.connection)[1]).limit(ROWS)
    )
    is_it = sa.tuple_(roster.c.generation, roster.c.pid).in_(some)
    return bool(t.connection.execute(roster.delete().where(is_it)).rowcount)


def current(connection: sa.Connection) -> tuple[int, int]:
    """Version of the record, and the generation that holds; (0, -1) as long as nothing was imported."""
    try:
        version, body = keeping.one(connection, KIND, KEY)
    except NotFound:
        return 0, -1
    return version, int(body["generation"])


def page(connection: sa.Connection, quarters: Sequence[str] | None, after: str) -> Sequence[RosterRow]:
    """One page of Campaigns.roster: of the generation that holds at that moment."""
    some = sa.select(roster).where(roster.c.generation == current(connection)[1], roster.c.pid > after)
    if quarters is not None:
        some = some.where(roster.c.quarter.in_(list(quarters)))
    return [_as_row(row) for row in connection.execute(some.order_by(roster.c.pid).limit(ROWS))]


def some(connection: sa.Connection, pids: Sequence[str]) -> Sequence[RosterRow]:
    """As Campaigns.roster_rows."""
    of = {"generation": current(connection)[1], "pids": list(pids)}
    return [_as_row(row) for row in connection.execute(_SOME, of)]


_SOME = sa.select(roster).where(roster.c.generation == sa.bindparam("generation"), among(roster.c.pid, "pids"))


def households(connection: sa.Connection, codes: Sequence[str]) -> Sequence[RosterRow]:
    """As Campaigns.roster_households."""
    of = {"generation": current(connection)[1], "households": [code for code in codes if code]}
    return [_as_row(row) for row in connection.execute(_HOUSEHOLDS, of)]


_HOUSEHOLDS = sa.select(roster).where(
    roster.c.generation == sa.bindparam("generation"), among(roster.c.household, "households")
)


def _as_row(row: Any) -> RosterRow:
    return RosterRow(row.pid, row.quarter, row.household, row.digest, bytes(row.sealed))
