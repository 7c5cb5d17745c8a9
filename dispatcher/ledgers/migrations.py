"""From one version of the schema to the next: steps in order, taken on opening, all in the transaction that opens.

Each step is written out and never drawn from schema.py: that file says what the schema is now, a step must go on saying what
it was then. A step only adds; nodes of the version before may still be running on the same PostgreSQL.

Source: SQLite and PostgreSQL 15 "CREATE TABLE", both of which undo DDL with its transaction.
"""

from collections.abc import Sequence
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
    """SQL that both engines read alike."""


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
        for statement in step.statements:
            connection.exec_driver_sql(statement)
        connection.execute(meta.update().where(meta.c.key == "version").values(value=str(step.to)))
