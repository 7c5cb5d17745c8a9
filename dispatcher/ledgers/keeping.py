"""What staff keep in the ledger: versioned bodies by kind and key, each vouched for by the event that wrote it.

Accounts, saved areas, ticks and reports are few and differ; a table for each would say no more than its kind does. What is
taken away leaves its event, so that an account cannot be made to have never been.

Source: design.md §4 "State is folded from the ledger", §9.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from dispatcher.errors import NotFound, StaleHash
from dispatcher.ledger import UNWITNESSED, Event
from dispatcher.ledgers.chain import canonical, sha256
from dispatcher.ledgers.dialect import Dialect
from dispatcher.ledgers.schema import records
from dispatcher.ledgers.transaction import Transaction

GONE = ""
"""The body of what was taken away: its row stays, so that versions go on and no clock has to say which event was the last."""


def save(
    t: Transaction, kind: str, key: str, expected_version: int, body: Mapping[str, Any] | None, event: Event | None
) -> int:
    """As Ledger.save_record."""
    if event is None and kind not in UNWITNESSED:
        raise ValueError(f"a {kind} needs its event: without one nobody could say who wrote it")
    place = {"kind": kind, "key": key}
    it = {"of_kind": kind, "of_key": key}
    row = t.connection.execute(_IT, it).one_or_none()
    if expected_version != (row.version if row is not None and row.body != GONE else 0):
        raise _changed(kind, key)
    if body is None and event is None:
        # Nobody vouches for it, so nothing has to stand in its place: what is swept away every day leaves no row behind.
        t.connection.execute(_AWAY, it)
        return 0
    version = 1 if row is None else row.version + 1
    text = GONE if body is None else canonical(dict(body))
    new = {"version": version, "body": text, **t.written_by}
    if row is not None:
        t.connection.execute(_NEXT, {**new, **it})
    elif not t.connection.execute(_new(t.dialect), {**place, **new}).rowcount:
        raise _changed(kind, key)
    if event is not None:
        t.append(event, record={**place, "version": version, "digest": sha256(text)})
    return 0 if body is None else version


def _changed(kind: str, key: str) -> StaleHash:
    return StaleHash(f"{kind} {key} was changed by somebody else meanwhile: look at it again")


@cache
def _new(dialect: Dialect) -> Any:
    return dialect.insert(records).on_conflict_do_nothing()


_IS_IT = sa.and_(records.c.kind == sa.bindparam("of_kind"), records.c.key == sa.bindparam("of_key"))
_IT = sa.select(records).where(_IS_IT).with_for_update()
_NEXT = records.update().where(_IS_IT)
_AWAY = records.delete().where(_IS_IT)


def one(connection: sa.Connection, kind: str, key: str) -> tuple[int, Mapping[str, Any]]:
    """As Ledger.read_record."""
    row = connection.execute(sa.select(records).where(records.c.kind == kind, records.c.key == key)).one_or_none()
    if row is None or row.body == GONE:
        raise NotFound(f"no {kind} {key}")
    return row.version, json.loads(row.body)


def of_kind(
    connection: sa.Connection, kind: str, after: str = "", limit: int | None = None
) -> Sequence[tuple[str, int, Mapping[str, Any]]]:
    """As Ledger.records."""
    is_kept = sa.and_(records.c.kind == kind, records.c.key > after, records.c.body != GONE)
    found = connection.execute(sa.select(records).where(is_kept).order_by(records.c.key).limit(limit))
    return [(row.key, row.version, json.loads(row.body)) for row in found]
