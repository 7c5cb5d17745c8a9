"""Opening a ledger: its tables, its mode, its version, and this node's place in it.

The mode is stamped in at creation, because a drill that wrote into the live ledger could not be told from the real thing
afterwards.

Source: design.md §4 "Live and drill cannot mix", §5.3.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from config.document import ConfigError, Problem
from dispatcher.ledgers.chain import GENESIS, Head
from dispatcher.ledgers.dialect import Dialect
from dispatcher.ledgers.leases import Leases
from dispatcher.ledgers.migrations import migrate, unknown
from dispatcher.ledgers.schema import VERSION, chains, meta, metadata, nodes
from dispatcher.log import logger
from dispatcher.model.mode import Mode

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who opens: `incarnation` is new each time, so that a node is never taken for the one that died under its name."""

    node: str
    incarnation: str
    lease_s: float


def create(connection: sa.Connection, dialect: Dialect, mode: type[Mode], name: str) -> None:
    """Make the tables unless they are there, check whose they are, and bring them to this program's version.

    Raises:
        ConfigError: the ledger is of the other mode, or of a version that this program does not know.
    """
    if not sa.inspect(connection).has_table(meta.name):
        metadata.create_all(connection)
        stamps = {"mode": mode.name, "version": VERSION}
        rows = [{"key": key, "value": value} for key, value in stamps.items()]
        connection.execute(dialect.insert(meta).on_conflict_do_nothing(), rows)
    found = {row.key: row.value for row in connection.execute(sa.select(meta))}
    problems = [Problem(name, 0, key, reason) for key, reason in _wrong(found, mode)]
    if problems:
        raise ConfigError(problems)
    before = int(found["version"])
    if before < int(VERSION):
        migrate(connection, before)
        log.warning("ledger.migrated", before=before, now=int(VERSION))


def _wrong(found: Mapping[str, str], mode: type[Mode]) -> Iterator[tuple[str, str]]:
    """What of a ledger's stamps keeps this program from opening it."""
    if found.get("mode") != mode.name:
        yield "mode", f"this ledger's mode is {found.get('mode')}, not {mode.name}; name another one"
    if reason := unknown(found.get("version", "")):
        yield "version", reason


def take_place(connection: sa.Connection, dialect: Dialect, me: Identity, leases: Leases | None) -> Head | None:
    """This node's lease and where its chain ends; None as long as another live process has its name.

    `leases` None: nobody else can be alive (the file is ours), so no lease needs to run out first.
    """
    now = connection.execute(sa.select(dialect.database_now)).scalar_one()
    held = connection.execute(sa.select(nodes).where(nodes.c.name == me.node)).one_or_none()
    if leases is None:
        connection.execute(nodes.delete())
    elif held is not None and held.lease_until > now and not leases.dead([held], now):
        return None
    row = {"name": me.node, "incarnation": me.incarnation, "lease_until": now + me.lease_s}
    connection.execute(dialect.insert(nodes).values(row).on_conflict_do_update(index_elements=["name"], set_=row))
    connection.execute(dialect.insert(chains).values(node=me.node, length=0, hash=GENESIS).on_conflict_do_nothing())
    end = connection.execute(sa.select(chains).where(chains.c.node == me.node)).one()
    return Head(end.node, end.length, end.hash)
