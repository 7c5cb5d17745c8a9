"""From one version of the schema to the next: steps in order, taken on opening, all in the transaction that opens.

Each step is written out and never drawn from schema.py: that file says what the schema is now, a step must go on saying what
it was then. A step only adds; nodes of the version before may still be running on the same PostgreSQL.

Source: SQLite and PostgreSQL 15 "CREATE TABLE", both of which undo DDL with its transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from dispatcher.errors import Refused
from dispatcher.ledgers.schema import VERSION, meta


@dataclass(frozen=True, slots=True)
class Step:
    to: int
    """The version that the ledger has afterwards."""
    about: str
    statements: tuple[str, ...]
    """SQL that both engines read alike, but for the words in WORDS."""

    def sql(self, engine: str) -> list[str]:
        """As `engine` (a key of WORDS) reads it."""
        return [statement.format_map(WORDS[engine]) for statement in self.statements]


WORDS: Mapping[str, Mapping[str, str]] = {
    "sqlite": {"bytes": "BLOB", "moment": "DOUBLE", "by_key": " WITHOUT ROWID"},
    "postgresql": {"bytes": "BYTEA", "moment": "DOUBLE PRECISION", "by_key": ""},
}
"""What they say differently: a byte string, a moment, that a table lies in the order of its key."""


STEPS: tuple[Step, ...] = (
    Step(
        2,
        "what staff keep: accounts, areas, ticks, reports; the events of one subject",
        (
            """\
CREATE TABLE records (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    node TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (kind, key)
)""",
            "CREATE INDEX ix_events_subject ON events (subject)",
        ),
    ),
    Step(
        3,
        "what the safety loop keeps: campaigns, who is asked, links, replies, the roster",
        (
            """\
CREATE TABLE campaigns (
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    opened_at {moment} NOT NULL,
    body TEXT NOT NULL,
    is_destroyed BOOLEAN NOT NULL,
    node TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (id)
)""",
            """\
CREATE TABLE campaign_keys (
    campaign TEXT NOT NULL,
    sealed {bytes} NOT NULL,
    PRIMARY KEY (campaign)
)""",
            """\
CREATE TABLE asked (
    campaign TEXT NOT NULL,
    id TEXT NOT NULL,
    cohort TEXT NOT NULL,
    quarter TEXT NOT NULL,
    facility TEXT NOT NULL,
    restricted TEXT NOT NULL,
    ladder TEXT NOT NULL,
    round INTEGER NOT NULL,
    rung INTEGER NOT NULL,
    progress TEXT NOT NULL,
    standing TEXT NOT NULL,
    is_conflict BOOLEAN NOT NULL,
    holder TEXT NOT NULL,
    replies INTEGER NOT NULL,
    version INTEGER NOT NULL,
    moved_at {moment} NOT NULL,
    node TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    sealed {bytes} NOT NULL,
    PRIMARY KEY (campaign, id)
)""",
            """\
CREATE INDEX asked_round ON asked (
    campaign, ladder, round, rung, progress,
    cohort, quarter, facility, restricted, standing, is_conflict, holder
)""",
            """\
CREATE TABLE links (
    hash TEXT NOT NULL,
    campaign TEXT NOT NULL,
    person TEXT NOT NULL,
    whose TEXT NOT NULL,
    node TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (hash)
){by_key}""",
            "CREATE INDEX ix_links_campaign ON links (campaign)",
            """\
CREATE TABLE replies (
    campaign TEXT NOT NULL,
    id TEXT NOT NULL,
    person TEXT NOT NULL,
    number INTEGER NOT NULL,
    at {moment} NOT NULL,
    standing TEXT NOT NULL,
    is_conflict BOOLEAN NOT NULL,
    settled TEXT NOT NULL,
    node TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    sealed {bytes} NOT NULL,
    PRIMARY KEY (campaign, id)
)""",
            "CREATE INDEX replies_person ON replies (campaign, person)",
            """\
CREATE TABLE roster (
    generation INTEGER NOT NULL,
    pid TEXT NOT NULL,
    quarter TEXT NOT NULL,
    household TEXT NOT NULL,
    digest TEXT NOT NULL,
    node TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    sealed {bytes} NOT NULL,
    PRIMARY KEY (generation, pid)
)""",
            "CREATE INDEX roster_household ON roster (generation, household)",
        ),
    ),
)


def version_of(connection: sa.Connection) -> int | None:
    """The version of the ledger in this database; None if there is none.

    Raises:
        Refused: this program does not know that version.
    """
    if not sa.inspect(connection).has_table(meta.name):
        return None
    version = connection.execute(sa.select(meta.c.value).where(meta.c.key == "version")).scalar_one_or_none() or ""
    if reason := unknown(version):
        raise Refused(reason)
    return int(version)


def unknown(version: str) -> str:
    """Why this program cannot read a ledger with this stamp; "" if it can."""
    if not version.isascii() or not version.isdecimal():
        return f"{version!r} は台帳の版ではありません (no version of a ledger)"
    if int(version) > int(VERSION):
        return (
            f"この台帳は新しい版 {version} です。このプログラムは {VERSION} までしか読めません。"
            f"新しいプログラムで開くか、前の控えを戻してください (a newer todoke made this ledger of version {version}; "
            f"this one knows up to {VERSION}: run the newer one, or restore an older backup)"
        )
    return ""


def due(version: int) -> Sequence[Step]:
    """The steps from this version to the program's own."""
    return [step for step in STEPS if version < step.to <= int(VERSION)]


def migrate(connection: sa.Connection, version: int) -> None:
    """Take the steps that are due from this version on."""
    for step in due(version):
        for statement in step.sql(connection.dialect.name):
            connection.exec_driver_sql(statement)
        connection.execute(meta.update().where(meta.c.key == "version").values(value=str(step.to)))
