"""The few words in which the two engines differ: how new rows are added, what `now` is, and who is told of news.

Source: SQLite "UPSERT", "The json_each() table-valued function"; PostgreSQL 15 §9.19 unnest, §7.8 NOTIFY, §9.9 clock_timestamp.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from dispatcher.ledgers.schema import Moment, among

Row = dict[str, Any]
AT_ONCE = 50
"""Rows in one statement on SQLite, which takes 32,766 parameters at most."""
NEWS = "todoke"
"""The channel on which PostgreSQL's nodes tell each other that there is work."""


class Dialect(ABC):
    database_now: sa.ColumnElement[float]
    """Seconds since 1970 by the database's clock: what leases go by."""

    @staticmethod
    @abstractmethod
    def insert(table: sa.Table) -> Any:
        """`INSERT` that knows `ON CONFLICT`."""

    @abstractmethod
    def tell(self, connection: sa.Connection) -> None:
        """With the commit, wake the other nodes."""

    @abstractmethod
    def _add(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row], shared: Row) -> int:
        """Insert what is not there yet; returns how many that were."""

    def add_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row], shared: Row, within: tuple[str, ...]
    ) -> Sequence[Row]:
        """Insert those rows that are not there yet; returns them.

        `shared` is the same in all of them: the `node` and `sequence` of the event that writes them. They are
        distinct, and lie among the values of the columns `within`.
        """
        if self._add(connection, table, rows, shared) == len(rows):
            return rows
        # Seldom, and then it costs a second look: those that were there before bear another event's number.
        keys = _keys(table)
        asked = {name: list({row[name] for row in rows}) for name in within}
        there = set(map(tuple, connection.execute(_written(table, keys, within), asked | shared)))
        return [row for row in rows if tuple([row[key] for key in keys]) in there]


class Sqlite(Dialect):
    database_now = sa.literal_column("(julianday('now') - 2440587.5) * 86400.0", Moment)

    @staticmethod
    def insert(table: sa.Table) -> sqlite.Insert:
        return sqlite.insert(table)

    def tell(self, connection: sa.Connection) -> None:
        """There is one node to a file."""

    def _add(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row], shared: Row) -> int:
        one, many, in_order = _ignoring(table, tuple(rows[0]), tuple(shared))
        last = tuple(shared.values())
        values = [in_order(row) + last for row in rows]
        whole = len(values) - len(values) % AT_ONCE
        added = 0
        for start in range(0, whole, AT_ONCE):
            together = tuple(chain.from_iterable(values[start : start + AT_ONCE]))
            added += connection.exec_driver_sql(many, together).rowcount
        if values[whole:]:
            added += connection.exec_driver_sql(one, values[whole:]).rowcount
        return added


class Postgres(Dialect):
    database_now = sa.extract("epoch", sa.func.clock_timestamp()).cast(Moment)

    @staticmethod
    def insert(table: sa.Table) -> postgresql.Insert:
        return postgresql.insert(table)

    def tell(self, connection: sa.Connection) -> None:
        connection.execute(_NOTIFY)

    def _add(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row], shared: Row) -> int:
        names = tuple(rows[0])
        columns = {name: [row[name] for row in rows] for name in names}
        return connection.execute(_unnesting(table, names, tuple(shared)), columns | shared).rowcount


_NOTIFY = sa.select(sa.func.pg_notify(NEWS, ""))


def _keys(table: sa.Table) -> tuple[str, ...]:
    """What makes a row unique in the field's own words, not by a number that the database gave it."""
    unique = next((c for c in table.constraints if isinstance(c, sa.UniqueConstraint)), table.primary_key)
    return tuple(column.name for column in unique.columns)


@cache
def _ignoring(
    table: sa.Table, names: tuple[str, ...], shared: tuple[str, ...]
) -> tuple[str, str, Callable[[Row], tuple[Any, ...]]]:
    """The statement for one row and for AT_ONCE, and a row as its parameters.

    As text, because SQLAlchemy's own handling of the parameters costs more than SQLite's work; and for many rows in one
    statement, because sqlite3 hands the interpreter's lock to the other threads at each one.
    """
    columns = (*names, *shared)
    row = f"({', '.join('?' * len(columns))})"
    head = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES"
    one, many = (f"{head} {', '.join([row] * rows)} ON CONFLICT DO NOTHING" for rows in (1, AT_ONCE))
    return one, many, itemgetter(*names)


@cache
def _written(table: sa.Table, keys: tuple[str, ...], within: tuple[str, ...]) -> sa.Select[Any]:
    return sa.select(*(table.c[key] for key in keys)).where(
        *(among(table.c[name], name) for name in within),
        table.c.node == sa.bindparam("node"),
        table.c.sequence == sa.bindparam("sequence"),
    )


@cache
def _unnesting(table: sa.Table, names: tuple[str, ...], shared: tuple[str, ...]) -> Any:
    """One statement and one plan for any number of rows: a third of the time of an executemany."""
    arrays = (sa.bindparam(name, type_=postgresql.ARRAY(table.c[name].type)) for name in names)
    columns = (sa.column(name, table.c[name].type) for name in names)
    rows = sa.func.unnest(*arrays).table_valued(*columns, name="added").render_derived()
    same = (sa.bindparam(name, type_=table.c[name].type) for name in shared)
    each = sa.select(*(rows.c[name] for name in names), *same)
    return postgresql.insert(table).from_select([*names, *shared], each).on_conflict_do_nothing()
