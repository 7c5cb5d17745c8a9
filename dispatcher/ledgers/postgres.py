"""The engine for several sites: PostgreSQL through asyncpg, at whichever of the DSN's hosts takes writes now.

One connection writes, for the same reason as there is one writer thread on SQLite: the chain is written by one hand. A
failover ends connections, not the node: it looks for the new primary until there is one.

Source: asyncpg "connect" (multi-host DSN, target_session_attrs); PostgreSQL 15 §34.1.1, Appendix A (SQLSTATE 08, 53, 57P).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from dispatcher.clock import Clock
from dispatcher.errors import Standby, StorageFull
from dispatcher.ledgers.chain import Head
from dispatcher.ledgers.dialect import NEWS, Postgres
from dispatcher.ledgers.leases import Leases
from dispatcher.ledgers.opening import Identity, create, take_place
from dispatcher.ledgers.schema import asked, campaign_keys, links, replies
from dispatcher.ledgers.store import ConnectionLost, Store
from dispatcher.log import logger
from dispatcher.model.mode import Mode

T = TypeVar("T")
log = logger(__name__)

READERS = 4
"""Looks at the same time at most; more wait."""
ASLEEP_MS = 3_000
"""A node that stands still in the middle of a transaction keeps its locks, and others wait for them: the server ends it then."""
CONNECT_TIMEOUT_S = 3.0
COMMAND_TIMEOUT_S = 10.0
"""A statement that takes longer went to a host that is gone."""
PAUSE_S = 0.25
"""Between two tries to reach a primary."""
_CREATING = 0x70D0CE
"""Advisory lock: two nodes that open an empty database at the same moment make the tables one after the other."""
_LOST = ("08", "57P", "25006", "25P03", "40", "53300")
"""SQLSTATE: connection exceptions; the server is going down; it has become a standby (read-only); it has ended a transaction that
stood still, or one of two that waited for each other; it has no room for one connection more. Nothing was written, and the
same again may go."""


@asynccontextmanager
async def open_store(dsn: str, mode: type[Mode], me: Identity, clock: Clock) -> AsyncIterator[Store]:
    """The store, not yet served.

    Raises:
        Standby: another live node has this name.
    """
    store, leases = PostgresStore(dsn, clock), Leases(me.lease_s, clock)
    try:

        def place(connection: sa.Connection) -> Head | None:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATING)))
            create(connection, store.dialect, mode, "database " + dsn.partition("?")[0].rpartition("/")[2])
            return take_place(connection, store.dialect, me, leases)

        # Whoever died under this name holds it until the lease runs out; whoever lives renews it meanwhile.
        until = clock.monotonic() + me.lease_s + 1.0
        while (head := await store.commit(place)) is None:
            if clock.monotonic() > until:
                raise Standby(f"another live node is called {me.node}: each node needs a name of its own")
            await clock.sleep(PAUSE_S)
        store.head = head
        yield store
    finally:
        await store.close()


class PostgresStore(Store):
    def __init__(self, dsn: str, clock: Clock) -> None:
        super().__init__(Postgres(), clock)
        self._dsn = dsn
        self._writing = self._engine(1)
        # A look sees one moment, however many statements it takes: the audit compares tables with each other.
        self._reading = self._engine(READERS, isolation_level="REPEATABLE READ")
        self._connection: AsyncConnection | None = None

    def _engine(self, connections: int, **options: Any) -> AsyncEngine:
        return create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,  # an exception is logged, and they are addresses and what was said
            **options,
        )

    async def _connect(self) -> Any:
        return await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            target_session_attrs="read-write",
            server_settings={
                "application_name": "todoke",
                "jit": "off",
                "idle_in_transaction_session_timeout": str(ASLEEP_MS),
            },
        )

    async def commit(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = await self._writing.connect()
            async with self._connection.begin():
                return await self._connection.run_sync(work)
        except BaseException as error:
            state = _sqlstate(error)
            if state.startswith("53") and state not in _LOST:
                raise StorageFull(
                    "データベースのディスクがいっぱいです。何も書いていません (the database's disk is full: nothing was written)"
                ) from error
            if _is_lost(error) or not isinstance(error, Exception):
                await self._drop()
            if _is_lost(error):
                raise ConnectionLost(type(getattr(error, "orig", error)).__name__) from error
            raise

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.invalidate()
            await connection.close()

    async def reconnect(self) -> None:
        while True:
            try:
                self._connection = await self._writing.connect()
            except (OSError, TimeoutError, sa.exc.DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError):
                self.moved()
                await self.clock.sleep(PAUSE_S)
            else:
                return

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        while True:
            try:
                async with self._reading.connect() as connection:
                    return await connection.run_sync(work)
            except Exception as error:
                if not _is_lost(error):
                    raise
                await self.clock.sleep(PAUSE_S)

    async def forget(self) -> None:
        """Write the table where the keys stood anew: dead rows stay in a file until then.

        What the server keeps beside (its log, archived logs, base backups, standbys) is its operators' to let expire.
        """
        while True:
            connection = await self._connect()
            try:
                await connection.execute(f"VACUUM (FULL) {campaign_keys.name}")
                await connection.execute(f"VACUUM {asked.name}, {replies.name}, {links.name}")
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("ledger.retrying", reason=type(error).__name__)
                await self.clock.sleep(PAUSE_S)
            else:
                return
            finally:
                await connection.close(timeout=CONNECT_TIMEOUT_S)

    async def tend(self) -> None:
        """Set `news` when another node has left something to claim."""
        while True:
            try:
                await self._listen_once()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("ledger.retrying", reason=type(error).__name__)
            await self.clock.sleep(PAUSE_S)

    async def _listen_once(self) -> None:
        """Until the connection ends."""
        ended = asyncio.Event()
        connection = await self._connect()
        try:
            connection.add_termination_listener(lambda _: ended.set())
            await connection.add_listener(NEWS, lambda *_: self.news.set())
            self.news.set()  # what came while nobody listened
            await ended.wait()
        finally:
            await connection.close(timeout=CONNECT_TIMEOUT_S)

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
        await self._writing.dispose()
        await self._reading.dispose()


def _sqlstate(error: BaseException) -> str:
    """PostgreSQL's code for what went wrong, "" if it did not come from there."""
    origin = getattr(error, "orig", error)
    return str(getattr(origin, "sqlstate", None) or getattr(origin.__cause__, "sqlstate", None) or "")


def _is_lost(error: BaseException) -> bool:
    """Is the connection gone, or the one behind it no longer the primary?"""
    if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
        return True
    origins = (error, getattr(error, "orig", None), error.__cause__)
    gone = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError)
    return any(isinstance(origin, gone) for origin in origins) or _sqlstate(error).startswith(_LOST)
