"""A look at a ledger from beside: without its lease, without its lock, whether or not a node is running on it.

For what operators do: back up, check, see what a migration would change. Nothing can be written through here.

Source: SQLite "URI Filenames" §3.3, "PRAGMA query_only"; PostgreSQL 15 "SET TRANSACTION" (READ ONLY).
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from dispatcher.errors import NotFound, Refused
from dispatcher.ledgers.dialect import Postgres
from dispatcher.ledgers.schema import meta, nodes

T = TypeVar("T")
SQLITE = "sqlite:///"
CONNECT_TIMEOUT_S = 5.0


def file_of(dsn: str) -> Path | None:
    """The SQLite file that a DSN names; None for PostgreSQL."""
    return Path(dsn.removeprefix(SQLITE)) if dsn.startswith(SQLITE) else None


async def look(dsn: str, work: Callable[[sa.Connection], T]) -> T:
    """Run `work` on a snapshot of this ledger.

    Raises:
        NotFound: there is no such file or database.
        Refused: it is no ledger, or one that cannot be read; in the engine's words.
    """
    file = file_of(dsn)
    if file is not None:
        return await asyncio.to_thread(look_at_file, file, work)
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(dsn),
        hide_parameters=True,
        isolation_level="REPEATABLE READ",
        execution_options={"postgresql_readonly": True},
    )
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(work)
    except sa.exc.DBAPIError as error:
        raise Refused(f"台帳として読めません (no readable ledger): {error.orig}") from error
    finally:
        await engine.dispose()


async def connect(dsn: str) -> Any:
    """One connection to the primary.

    Raises:
        NotFound: no such database, nobody there, or not let in; in the server's words.
    """
    try:
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT_S,
            target_session_attrs="read-write",
            server_settings={"application_name": "todoke operator", "jit": "off"},
        )
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise NotFound(f"台帳につながりません (no ledger): {error or type(error).__name__}") from error


def look_at_file(file: Path, work: Callable[[sa.Connection], T]) -> T:
    """As `look`, on a SQLite file, in this thread."""
    if not file.is_file():
        raise NotFound(f"{file}: 台帳がありません (no ledger)")

    def opened() -> sqlite3.Connection:
        # Not mode=ro, which cannot rebuild the index of a log that a killed node left behind.
        connection = sqlite3.connect(f"file:{quote(str(file.resolve()))}?mode=rw", uri=True, timeout=10)
        connection.isolation_level = None
        connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        connection.execute("PRAGMA query_only=ON")
        return connection

    engine = sa.create_engine("sqlite://", creator=opened, poolclass=sa.pool.NullPool, hide_parameters=True)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    try:
        with engine.connect() as connection:
            return work(connection)
    except sa.exc.DatabaseError as error:
        raise Refused(f"{file}: 台帳として読めません (no readable ledger): {error.orig}") from error
    finally:
        engine.dispose()


def holder(file: Path) -> str:
    """Who holds a SQLite ledger, in its own words (`node city-hall, process 4711`); "" if nobody does."""
    beside = file.with_name(file.name + ".lock")
    try:
        lock = os.open(beside, os.O_RDONLY)
    except FileNotFoundError:
        return ""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(lock, 200, 0).decode(errors="replace").strip() or "another process"
    else:
        return ""
    finally:
        os.close(lock)


def living(connection: sa.Connection) -> list[str]:
    """The nodes whose lease on a PostgreSQL ledger has not run out."""
    if not sa.inspect(connection).has_table(meta.name):
        return []
    now = connection.execute(sa.select(Postgres.database_now)).scalar_one()
    return list(connection.execute(sa.select(nodes.c.name).where(nodes.c.lease_until > now)).scalars())
