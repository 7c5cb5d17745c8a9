"""The tables, one schema for both engines.

Three kinds of column stand here. What is said once and never changed (events, a delivery's address list, outcomes, receipts)
bears the number of the event that wrote it, `node` and `sequence`, and that event bears its digest: audit.py compares the
two. What moves (a delivery's state, a tally) is recomputed from the events. What only steers (leases, tokens, due times) is
nobody's evidence.

Parked rows never stand in the ready index: with 100,000 future timers in it, claiming fell from 12,282 to 248 a second.
Moments are seconds since 1970 as doubles, which hold a microsecond exactly until the year 2255.

Source: design.md §5; facts.md §Engine.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles

from dispatcher.model.delivery import DeliveryState

VERSION = "3"
"""Of this schema; an older ledger is brought to it (migrations.py), a newer one is refused."""

metadata = sa.MetaData()
Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Moment: sa.Double[float] = sa.Double()


def _written_by() -> tuple[sa.Column[str], sa.Column[int]]:
    """The event that wrote the row."""
    return sa.Column("node", sa.Text, nullable=False), sa.Column("sequence", sa.BigInteger, nullable=False)


meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

nodes = sa.Table(
    "nodes",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("incarnation", sa.Text, nullable=False),
    sa.Column("lease_until", Moment, nullable=False),
)

chains = sa.Table(
    "chains",
    metadata,
    sa.Column("node", sa.Text, primary_key=True),
    sa.Column("length", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("node", sa.Text, primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, index=True),
    sa.Column("facts", sa.Text, nullable=False),
    sa.Column("previous_hash", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
)

drafts = sa.Table(
    "drafts",
    metadata,
    sa.Column("identifier", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    *_written_by(),
)

records = sa.Table(
    "records",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    *_written_by(),
)

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("identifier", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("verb", sa.Text, nullable=False),
    sa.Column("priority", sa.SmallInteger, nullable=False),
    sa.Column("issued_at", Moment, nullable=False, index=True),
    sa.Column("expires_at", Moment),
    sa.Column("cap_xml", sa.LargeBinary, nullable=False),
    sa.Column("renderings", sa.Text, nullable=False),
    sa.Column("chain", sa.Text, nullable=False),
    sa.Column("facts", sa.Text, nullable=False),
    sa.Column("superseded_by", sa.Text, nullable=False, server_default=""),
    *_written_by(),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("identifier", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("priority", sa.SmallInteger, nullable=False),
    sa.Column("destinations", sa.Text, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("cost", sa.Integer, nullable=False),
    sa.Column("expires_at", Moment),
    *_written_by(),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column(
        "open", sa.Integer, nullable=False
    ),  # destinations without a final outcome when the row was last put back
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("due_at", Moment),
    sa.Column("owner", sa.Text),
    sa.Column("token", sa.BigInteger),
    sa.Column("is_reclaimed", sa.Boolean, nullable=False, server_default=sa.false()),
    # A key names its alert, so this is the key alone; in this order it also finds an alert's deliveries.
    sa.UniqueConstraint("identifier", "key"),
)


def _only(state: DeliveryState) -> dict[str, Any]:
    # Written out, not bound: SQLite uses a partial index only when the query's term is the index's own.
    term = deliveries.c.state == sa.literal_column(f"'{state.value}'")
    return {"sqlite_where": term, "postgresql_where": term}


is_ready = deliveries.c.state == sa.literal_column("'ready'")
is_waiting = deliveries.c.state == sa.literal_column("'waiting'")
is_sending = deliveries.c.state == sa.literal_column("'sending'")

sa.Index(
    "deliveries_ready",
    deliveries.c.channel,
    deliveries.c.priority,
    deliveries.c.id,
    deliveries.c.expires_at,
    **_only(DeliveryState.READY),
)
sa.Index("deliveries_due", deliveries.c.due_at, **_only(DeliveryState.WAITING))
sa.Index("deliveries_sending", deliveries.c.channel, deliveries.c.owner, **_only(DeliveryState.SENDING))

outcomes = sa.Table(
    "outcomes",
    metadata,
    sa.Column("delivery", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("is_final", sa.Boolean, primary_key=True),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("words", sa.Text, nullable=False),
    sa.Column("medium_id", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
    *_written_by(),
    sqlite_with_rowid=False,
)

receipts = sa.Table(
    "receipts",
    metadata,
    sa.Column("identifier", sa.Text, primary_key=True),
    sa.Column("channel", sa.Text, primary_key=True),
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("receipt", sa.Text, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("words", sa.Text, nullable=False),
    *_written_by(),
    sqlite_with_rowid=False,
)

COUNTS = (
    "destinations",
    "taken",
    "refused",
    "expired",
    "superseded",
    "delivered",
    "displayed",
    "acknowledged",
    "bounced",
)
"""Of destinations, what a tally adds up."""

tallies = sa.Table(
    "tallies",
    metadata,
    sa.Column("identifier", sa.Text, primary_key=True),
    sa.Column("channel", sa.Text, primary_key=True),
    # Each node adds up in a row of its own, so that none waits for another.
    sa.Column("node", sa.Text, primary_key=True),
    *(sa.Column(count, sa.BigInteger, nullable=False, server_default="0") for count in COUNTS),
    sa.Column("first_taken_at", Moment),
    sa.Column("last_taken_at", Moment),
    sa.Column("last_words", sa.Text, nullable=False, server_default=""),
    sa.Column("last_words_at", Moment),
)

lanes = sa.Table(
    "lanes",
    metadata,
    sa.Column("channel", sa.Text, primary_key=True),
    sa.Column("tokens", Moment),
    sa.Column("tokens_at", Moment, nullable=False, server_default="0"),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("open_until", Moment, nullable=False, server_default="0"),
)

spendings = sa.Table(
    "spendings",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("cost", sa.Integer, nullable=False),
)
sa.Index("spendings_window", spendings.c.channel, spendings.c.at)

campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("opened_at", Moment, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("is_destroyed", sa.Boolean, nullable=False),
    *_written_by(),
)

campaign_keys = sa.Table(
    "campaign_keys",  # in no digest and in no backup: it must be able to vanish
    metadata,
    sa.Column("campaign", sa.Text, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)

asked = sa.Table(
    "asked",
    metadata,
    sa.Column("campaign", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    *(sa.Column(code, sa.Text, nullable=False) for code in ("cohort", "quarter", "facility", "restricted", "ladder")),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("rung", sa.Integer, nullable=False),
    sa.Column("progress", sa.Text, nullable=False),
    sa.Column("standing", sa.Text, nullable=False),
    sa.Column("is_conflict", sa.Boolean, nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("replies", sa.Integer, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("moved_at", Moment, nullable=False),
    *_written_by(),
    # Last, so that counting does not read past it.
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
COUNTED = (
    *("ladder", "round", "rung", "progress"),
    *("cohort", "quarter", "facility", "restricted", "standing", "is_conflict", "holder"),
)
"""By what people are counted: first what finds those who climb. The index has all of it and in this order, so that the board's
figures are read off it; sorting 100,000 people for each look took six times as long."""
sa.Index("asked_round", asked.c.campaign, *(asked.c[name] for name in COUNTED))

links = sa.Table(
    "links",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("campaign", sa.Text, nullable=False, index=True),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("whose", sa.Text, nullable=False),
    *_written_by(),
    sqlite_with_rowid=False,
)

replies = sa.Table(
    "replies",
    metadata,
    sa.Column("campaign", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("standing", sa.Text, nullable=False),
    sa.Column("is_conflict", sa.Boolean, nullable=False),
    sa.Column("settled", sa.Text, nullable=False),
    *_written_by(),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
sa.Index("replies_person", replies.c.campaign, replies.c.person)

roster = sa.Table(
    "roster",
    metadata,
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("pid", sa.Text, primary_key=True),
    sa.Column("quarter", sa.Text, nullable=False),
    sa.Column("household", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    *_written_by(),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)

sa.Index("roster_household", roster.c.generation, roster.c.household)


class _Many(sa.types.TypeDecorator[Sequence[Any]]):
    """A list as one parameter, so that the statement's text (and its plan) is the same for any length."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, item: type[sa.types.TypeEngine[Any]]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.ARRAY(self.item))
        return dialect.type_descriptor(sa.JSON())


class among(sa.sql.expression.ColumnElement[bool]):  # noqa: N801 - reads as SQLAlchemy's own and_, any_, exists
    """`among(column, "ids")`: the column's value is one of those in the parameter `ids`, a list of any length."""

    type = sa.Boolean()
    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 - SQLAlchemy's own protocol for the statement cache
        ("column", sa.sql.visitors.InternalTraversal.dp_clauseelement),
        ("many", sa.sql.visitors.InternalTraversal.dp_clauseelement),
    ]

    def __init__(self, column: sa.ColumnElement[Any], parameter: str) -> None:
        self.column = column
        self.many: sa.BindParameter[Any] = sa.bindparam(parameter, type_=_Many(type(column.type)))


@compiles(among, "sqlite")
def _json_each(element: among, compiler: Any, **kw: Any) -> str:
    column, many = compiler.process(element.column, **kw), compiler.process(element.many, **kw)
    return f"{column} IN (SELECT value FROM json_each({many}))"  # noqa: S608 - a column's name and a parameter's place


@compiles(among, "postgresql")
def _any(element: among, compiler: Any, **kw: Any) -> str:
    return f"{compiler.process(element.column, **kw)} = ANY ({compiler.process(element.many, **kw)})"
