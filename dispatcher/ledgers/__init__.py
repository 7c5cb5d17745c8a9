"""The ledger on two engines: one file on this machine (sqlite.py), or PostgreSQL at several sites (postgres.py).

    async with open_ledger("sqlite:///var/todoke.db", mode=Drill, node="city-hall", clock=SystemClock()) as ledger:
        await ledger.run(lanes, attempt)

Source: design.md §5.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from config.document import ConfigError, Problem
from dispatcher.clock import Clock
from dispatcher.ledger import Ledger
from dispatcher.ledgers import postgres, sqlite
from dispatcher.ledgers.opening import Identity
from dispatcher.ledgers.sql import SqlLedger
from dispatcher.ledgers.store import Store
from dispatcher.model.mode import Mode

__all__ = ["open_ledger"]

SQLITE = "sqlite:///"
POSTGRES = ("postgresql://", "postgres://")


@asynccontextmanager
async def open_ledger(
    dsn: str, *, mode: type[Mode], node: str, clock: Clock, lease_s: float = 3.0, beat_s: float = 1.0
) -> AsyncIterator[Ledger]:
    """Open, and make on first use, the ledger at `sqlite:///path` or `postgresql://user@host[,host2]/database`.

    A node whose lease has run out is taken for dead by the others, so `lease_s` is the longest gap after a crash.

    Raises:
        ConfigError: the DSN is neither, or the ledger is of the other mode.
        Standby: another live node holds the SQLite file, or has this node's name.
    """
    me = Identity(node, f"{node}-{secrets.token_hex(6)}", lease_s)
    failure: Exception | None = None
    async with _store(dsn, mode, me, clock) as store, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(store.serve())
        try:
            yield SqlLedger(store, me, clock, beat_s)
        except Exception as raised:  # noqa: BLE001 - raised again below, as it is and not in a group of one
            failure = raised
        finally:
            serving.cancel()
            store.shut()  # here too, because a task that is cancelled before its first step does not run at all
    if failure is not None:
        raise failure


def _store(dsn: str, mode: type[Mode], me: Identity, clock: Clock) -> AbstractAsyncContextManager[Store]:
    if dsn.startswith(SQLITE) and len(dsn) > len(SQLITE):
        return sqlite.open_store(Path(dsn.removeprefix(SQLITE)), mode, me, clock)
    if dsn.startswith(POSTGRES):
        return postgres.open_store(dsn, mode, me, clock)
    reason = "not a ledger; accepted are sqlite:///path/to/file and postgresql://user@host[,host2]/database"
    raise ConfigError([Problem("", 0, "ledger", reason)])
