"""The few words in which the two engines differ: how new rows are added, what `now` is, and who is told of news.

Source: SQLite "UPSERT", "The json_each() table-valued function"; PostgreSQL 15 §9.19 unnest, §7.8 NOTIFY, §9.9 clock_timestamp.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from dispatcher.ledgers.schema import Moment, among

Row = dict[str, Any]
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
    def add_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row], within: tuple[str, ...]
    ) -> Sequence[Row]:
        """Insert those rows that are not there yet; returns them.

        Rows are distinct, all bear the same `node` and `sequence`, and lie among the values of the columns `within`.
        """

    @abstractmethod
    def tell(self, connection: sa.Connection) -> None:
        """With the commit, wake the other nodes."""


class Sqlite(Dialect):
    database_now = sa.literal_column("(julianday('now') - 2440587.5) * 86400.0", Moment)

    @staticmethod
    def insert(table: sa.Table) -> sqlite.Insert:
        return sqlite.insert(table)

    def add_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row], within: tuple[str, ...]
    ) -> Sequence[Row]:
        if connection.execute(_ignoring(table), list(rows)).rowcount == len(rows):
            return rows
        keys = tuple(column.name for column in table.primary_key) if "id" not in table.c else within
        asked = {name: list({row[name] for row in rows}) for name in within}
        asked |= {name: rows[0][name] for name in ("node", "sequence")}
        there = set(map(tuple, connection.execute(_written(table, keys, within), asked)))
        return [row for row in rows if tuple(row[key] for key in keys) in there]

    def tell(self, connection: sa.Connection) -> None:
        """There is one node to a file."""


class Postgres(Dialect):
    database_now = sa.extract("epoch", sa.func.clock_timestamp()).cast(Moment)

    @staticmethod
    def insert(table: sa.Table) -> postgresql.Insert:
        return postgresql.insert(table)

    def add_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row], within: tuple[str, ...]
    ) -> Sequence[Row]:
        del within
        names = tuple(rows[0])
        keys = tuple(column.name for column in table.primary_key) if "id" not in table.c else ("key",)
        columns = {name: [row[name] for row in rows] for name in names}
        there = set(map(tuple, connection.execute(_unnesting(table, names, keys), columns)))
        return rows if len(there) == len(rows) else [row for row in rows if tuple(row[key] for key in keys) in there]

    def tell(self, connection: sa.Connection) -> None:
        connection.execute(_NOTIFY)


_NOTIFY = sa.select(sa.func.pg_notify(NEWS, ""))


@cache
def _ignoring(table: sa.Table) -> sqlite.Insert:
    return sqlite.insert(table).on_conflict_do_nothing()


@cache
def _written(table: sa.Table, keys: tuple[str, ...], within: tuple[str, ...]) -> sa.Select[Any]:
    return sa.select(*(table.c[key] for key in keys)).where(
        *(among(table.c[name], name) for name in within),
        table.c.node == sa.bindparam("node"),
        table.c.sequence == sa.bindparam("sequence"),
    )


@cache
def _unnesting(table: sa.Table, names: tuple[str, ...], keys: tuple[str, ...]) -> Any:
    """One statement and one plan for any number of rows: a third of the time of an executemany."""
    arrays = (sa.bindparam(name, type_=postgresql.ARRAY(table.c[name].type)) for name in names)
    columns = (sa.column(name, table.c[name].type) for name in names)
    rows = sa.func.unnest(*arrays).table_valued(*columns, name="added").render_derived()
    adding = postgresql.insert(table).from_select(list(names), sa.select(*(rows.c[name] for name in names)))
    return adding.on_conflict_do_nothing().returning(*(table.c[key] for key in keys))
