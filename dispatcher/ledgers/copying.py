"""A ledger copied out while its node goes on, and put back: SQLite by its backup API, PostgreSQL by pg_dump and pg_restore.

A copy is of one moment, and what is checked is that moment: on SQLite the copy itself is opened and audited; on PostgreSQL the
audit and pg_dump look at the same exported snapshot.

Source: SQLite "Online Backup API" (a source whose transaction is open is copied as it was when that began); PostgreSQL 15 §9.27.5
pg_export_snapshot, pg_dump `--snapshot`, pg_restore `--single-transaction`.
"""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from dispatcher.errors import Refused
from dispatcher.ledgers.audit import verify
from dispatcher.ledgers.beside import connect, file_of, look, look_at_file
from dispatcher.ledgers.schema import campaign_keys, chains, deliveries, meta, metadata
from dispatcher.model.delivery import OPEN

Engine = Literal["sqlite", "postgresql"]
Progress = Callable[[int, int], None]
"""Called with what is done and how much there is."""
PAGES_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Facts:
    """What a ledger was at the moment of its copy."""

    mode: str
    version: str
    chains: Mapping[str, tuple[int, str]]
    """Node → how many events its chain has, and the last one's hash."""
    open_deliveries: int
    wrong: tuple[str, ...]
    """What the audit found."""


def facts_of(connection: sa.Connection) -> Facts:
    stamps = {row.key: row.value for row in connection.execute(sa.select(meta))}
    ends = {row.node: (row.length, row.hash) for row in connection.execute(sa.select(chains))}
    # A timer is a delivery to nobody.
    is_open = sa.and_(deliveries.c.state.in_([state.value for state in OPEN]), deliveries.c.size > 0)
    unfinished = connection.execute(sa.select(sa.func.count()).select_from(deliveries).where(is_open)).scalar_one()
    return Facts(stamps["mode"], stamps["version"], ends, unfinished, tuple(verify(connection)))


def engine_of(dsn: str) -> Engine:
    return "postgresql" if file_of(dsn) is None else "sqlite"


async def copy_out(dsn: str, to: Path, progress: Progress) -> Facts:
    """Copy the ledger to the file `to`, whether or not a node is running on it.

    Raises:
        NotFound: there is none.
        Refused: pg_dump is missing, or failed; in its words.
    """
    file = file_of(dsn)
    if file is None:
        return await _dump(dsn, to)
    return await asyncio.to_thread(_copy_file, file, to, progress)


def _copy_file(file: Path, to: Path, progress: Progress) -> Facts:
    look_at_file(file, lambda _: None)
    copy_sqlite(file, to, progress)
    _leave_keys(to)
    return look_at_file(to, facts_of)


def _leave_keys(copy: Path) -> None:
    """A campaign's key stays in the ledger in which it was made: else a backup would outlive its destruction.

    A ledger that is restored has the roster, and every campaign's counts and pseudonyms; whom a campaign that was running
    asked, and what they said, nobody reads any more, and staff ask anew.
    """
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [campaign_keys.name]).fetchone():
            connection.execute("PRAGMA secure_delete=ON")
            # Without a condition: then the table's every page is emptied, whatever stale rows it held.
            connection.execute(f"DELETE FROM {campaign_keys.name}")  # noqa: S608 - our own table's name


def copy_sqlite(file: Path, to: Path, progress: Progress = lambda _done, _of: None) -> None:
    """Any SQLite file that is in use, as of one moment, to a file that needs no log beside it.

    Raises:
        Refused: it cannot be read, or there is no room for the copy; in SQLite's words.
    """
    try:
        _copy_sqlite(file, to, progress)
    except sqlite3.Error as error:
        raise Refused(f"{file}: 写せません (not copied): {error}") from error


def _copy_sqlite(file: Path, to: Path, progress: Progress) -> None:
    with (
        closing(sqlite3.connect(f"file:{quote(str(file.resolve()))}?mode=rw", uri=True, timeout=30)) as source,
        closing(sqlite3.connect(to)) as target,
    ):
        # With a transaction open, a page that is written meanwhile does not begin the copy anew.
        source.isolation_level = None
        source.execute("PRAGMA query_only=ON")
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(target, pages=PAGES_AT_ONCE, progress=lambda _, left, of: progress(of - left, of), sleep=0)
        source.execute("ROLLBACK")
        target.execute("PRAGMA journal_mode=DELETE")


async def _dump(dsn: str, to: Path) -> Facts:
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(dsn),
        isolation_level="REPEATABLE READ",
        hide_parameters=True,
    )
    try:
        async with engine.connect() as connection:
            snapshot = (await connection.exec_driver_sql("SELECT pg_export_snapshot()")).scalar_one()
            tables = [f"--table={name}" for name in metadata.tables]
            keys = f"--exclude-table-data={campaign_keys.name}"  # as _leave_keys
            await _run("pg_dump", "--format=custom", f"--snapshot={snapshot}", *tables, keys, f"--file={to}", dsn=dsn)
            return await connection.run_sync(facts_of)
    finally:
        await engine.dispose()


async def check(engine: Engine, copy: Path) -> Facts | None:
    """Look at a copy before it is put anywhere; a dump of PostgreSQL's tells its facts only when it is back.

    Raises:
        Refused: it cannot be read.
    """
    if engine == "sqlite":
        return await asyncio.to_thread(look_at_file, copy, facts_of)
    await _run("pg_restore", "--list", str(copy))
    return None


async def restore_database(dsn: str, copy: Path) -> None:
    """Put a dump into a database that has none of its tables; all of it or nothing.

    Raises:
        Refused: pg_restore is missing, or failed; in its words.
    """
    await _run(
        "pg_restore", "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", str(copy), dsn=dsn
    )


async def set_aside(dsn: str, schema: str) -> None:
    """Move the ledger's tables of this database into a schema of their own, where they stay as they are."""
    present = await look(dsn, _present)
    connection = await connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute(f"CREATE SCHEMA {schema}")
            for table in present:
                await connection.execute(f"ALTER TABLE {table} SET SCHEMA {schema}")
    finally:
        await connection.close()


async def put_back(dsn: str, schema: str) -> None:
    """Undo `set_aside`, after what should have come in its place did not."""
    present = await look(dsn, _present)
    connection = await connect(dsn)
    try:
        async with connection.transaction():
            for table in present:
                await connection.execute(f"DROP TABLE {table} CASCADE")
            for table in metadata.tables:
                await connection.execute(f"ALTER TABLE IF EXISTS {schema}.{table} SET SCHEMA public")
            await connection.execute(f"DROP SCHEMA {schema}")
    finally:
        await connection.close()


def _present(connection: sa.Connection) -> Sequence[str]:
    names = set(sa.inspect(connection).get_table_names())
    return [table for table in metadata.tables if table in names]


async def _run(tool: str, *words: str, dsn: str | None = None) -> None:
    """One of PostgreSQL's own programs; the password, if there is one, it finds where the node does (PGPASSFILE)."""
    where = ["--dbname", dsn] if dsn is not None else []
    process = await asyncio.create_subprocess_exec(
        str(program(tool)),
        *words,
        *where,
        env={**os.environ, "PGTARGETSESSIONATTRS": "read-write", "PGCONNECT_TIMEOUT": "5"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode:
        raise Refused(f"{tool}: {said.decode(errors='replace').strip()[:2000] or process.returncode}")


def program(tool: str) -> Path:
    """Where PostgreSQL's programs are: the newest of Debian's, which reads every older server, else the PATH's.

    Raises:
        Refused: it is not installed.
    """
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{tool}"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1]
    if on_path := shutil.which(tool):
        return Path(on_path)
    raise Refused(f"{tool} がありません。apt-get install postgresql-client (it is not installed)")
