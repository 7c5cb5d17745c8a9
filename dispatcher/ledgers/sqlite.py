"""The embedded engine: one SQLite file, one writer thread, readers beside it. Nothing to install or start.

WAL lets readers look while the writer writes; `synchronous=FULL` makes a commit survive the plug being pulled. One process
holds the file, by `flock` on a file beside it: the kernel lets go of that however the process dies, and no child program
inherits it.

Source: SQLite "Write-Ahead Logging" §2, "PRAGMA synchronous", "Result and Error Codes" (SQLITE_FULL); flock(2); PEP 446.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from dispatcher.clock import Clock
from dispatcher.errors import Standby, StorageFull
from dispatcher.ledgers.chain import Head
from dispatcher.ledgers.dialect import Sqlite
from dispatcher.ledgers.opening import Identity, create, take_place
from dispatcher.ledgers.store import Store
from dispatcher.log import logger
from dispatcher.model.mode import Mode

T = TypeVar("T")
log = logger(__name__)

READERS = 4
"""Looks at the same time at most; more wait."""
CHECKPOINT_S = 1.0
LOG_PAGES = 16_384
"""When the log has grown to that (64 MB) the writer does it himself."""
_FULL = {"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_TRUNCATE"}
"""What SQLite says when the disk takes nothing: as such, or as a write that failed."""
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "busy_timeout=10000",
    f"wal_autocheckpoint={LOG_PAGES}",
    "secure_delete=ON",  # what is taken away is overwritten with zeros: destruction.py counts on it
)


@asynccontextmanager
async def open_store(path: Path, mode: type[Mode], me: Identity, clock: Clock) -> AsyncIterator[Store]:
    """The store, not yet served."""
    with alone(path, me.node):
        # For the node alone: addresses stand in it, and what people sign in with. Its log gets the same permissions.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        store = SqliteStore(path, clock)
        with closing(store):

            def place(connection: sa.Connection) -> Head | None:
                create(connection, store.dialect, mode, str(path))
                return take_place(connection, store.dialect, me, None)

            head = await store.commit(place)
            assert head is not None
            store.head = head
            yield store


class SqliteStore(Store):
    """One thread and one connection for everything that is written."""

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(Sqlite(), clock)
        self._writing = _engine(path, "BEGIN IMMEDIATE")
        self._reading = _engine(path, "BEGIN")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="ledger-reader")
        self._connection: sa.Connection | None = None

    async def commit(self, work: Callable[[sa.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, work)

    def _commit(self, work: Callable[[sa.Connection], T]) -> T:
        if self._connection is None:
            self._connection = self._writing.connect()
        try:
            with self._connection.begin():
                return work(self._connection)
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "sqlite_errorname", "") not in _FULL:
                raise
            # A new connection, because SQLite leaves it open how much of a full disk's transaction it has undone.
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
            raise StorageFull(
                "ディスクがいっぱいです。何も書いていません (the disk is full: nothing was written)"
            ) from error

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        def look() -> T:
            with self._reading.connect() as connection:
                return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._readers, look)

    async def reconnect(self) -> None:
        """A file is never out of reach."""

    async def tend(self) -> None:
        """Move the log into the file, beside the writer, who would otherwise stand still for it."""
        while True:
            await self.clock.sleep(CHECKPOINT_S)
            await asyncio.get_running_loop().run_in_executor(self._readers, self._checkpoint)

    def _checkpoint(self) -> None:
        # Not through SQLAlchemy's connection, which would begin a transaction, and in one there is no checkpoint.
        with closing(self._reading.raw_connection()) as connection:
            try:
                connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)")
            except sqlite3.OperationalError as error:  # a full disk, for one: the log stays, and the next time comes
                log.warning("ledger.retrying", reason=str(error))

    async def forget(self) -> None:
        """Move the whole log into the file and cut it to nothing: it may still hold pages as they were."""
        while not await asyncio.get_running_loop().run_in_executor(self._readers, self._truncate):
            await self.clock.sleep(CHECKPOINT_S)

    def _truncate(self) -> bool:
        with closing(self._reading.raw_connection()) as connection:
            try:
                is_busy, *_ = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError as error:
                log.warning("ledger.retrying", reason=str(error))
                return False
        return not is_busy

    def close(self) -> None:
        self._readers.shutdown()
        self._thread.shutdown()
        if self._connection is not None:
            self._connection.close()
        self._writing.dispose()
        self._reading.dispose()


def _engine(path: Path, begin: str) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        connect_args={"check_same_thread": False},
        pool_size=READERS,
        hide_parameters=True,  # an exception is logged, and they are addresses and what was said
    )

    @sa.event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves; sqlite3 would say it only before the first write
        # A tampered file may hold text that is not UTF-8; audit.py must be able to read it.
        connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


@contextmanager
def alone(path: Path, node: str) -> Iterator[None]:
    """Hold the file, or raise Standby with the name of the one who does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".lock")
    holder = os.open(beside, os.O_RDWR | os.O_CREAT, 0o600)  # Python opens close-on-exec (PEP 446)
    try:
        try:
            fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.pread(holder, 200, 0).decode(errors="replace").strip()
            raise Standby(f"{path} is held by {who or 'another process'}: one node to a file") from None
        os.ftruncate(holder, 0)
        os.pwrite(holder, f"node {node}, process {os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(holder)
