"""The beat: once a second this node says that it lives, by the database's clock, and picks up what nobody holds any more.

Nobody holds: what a node claimed whose lease has run out (leases.py), and what this node claimed without knowing it (the
reply to the commit was lost). The outcome of such an attempt is unknown, and the next claim says so.

Source: design.md §5.3, §5.4; facts.md §Engine ("A lost COMMIT reply …").
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dispatcher.channel import Limits
from dispatcher.errors import Standby
from dispatcher.ledger import Event
from dispatcher.ledgers.answers import remaining
from dispatcher.ledgers.claim import expire
from dispatcher.ledgers.complete import count_rest, is_superseded
from dispatcher.ledgers.dialect import Dialect
from dispatcher.ledgers.leases import Leases
from dispatcher.ledgers.opening import Identity
from dispatcher.ledgers.schema import (
    alerts,
    among,
    deliveries,
    is_ready,
    is_sending,
    is_waiting,
    lanes,
    nodes,
    spendings,
)
from dispatcher.ledgers.transaction import Transaction
from dispatcher.model.delivery import DeliveryState


@dataclass(frozen=True, slots=True)
class Beaten:
    reclaimed: int
    """Rows that nobody held."""
    suspects: AbstractSet[int]
    """Tokens that stand under this node's name and that it did not name as running: orphans, if it is so again."""
    superseded: Sequence[int]
    """Tokens of running deliveries whose alert was superseded meanwhile, maybe by another node."""


def prepare(t: Transaction, limits: Mapping[str, Limits]) -> None:
    """A row for each lane."""
    rows = [{"channel": channel} for channel in sorted(limits)]
    if rows:
        t.connection.execute(t.dialect.insert(lanes).on_conflict_do_nothing(), rows)


def beat(
    t: Transaction,
    me: Identity,
    leases: Leases,
    limits: Mapping[str, Limits],
    running: AbstractSet[int],
    suspects: AbstractSet[int],
) -> Beaten:
    """Renew the lease; return what nobody holds.

    Raises:
        Standby: another process has taken this node's name while this one was away.
    """
    now = t.connection.execute(sa.select(t.dialect.database_now)).scalar_one()
    _renew(t, me, now)
    if dead := leases.dead(t.connection.execute(_OTHERS, {"me": me.node}), now):
        t.connection.execute(_FORGET, {"dead": dead})
    lost = list(t.connection.execute(_LOST).scalars())
    mine = t.connection.execute(_MINE, {"me": me.incarnation}).all()
    unknown = {row.token: row.id for row in mine if row.token not in running}
    lost += [delivery for token, delivery in unknown.items() if token in suspects]
    put_back(t, lost)
    expire(t, t.connection.execute(_EXPIRED, {"now": t.now}).scalars().all())
    for channel, limit in limits.items():
        if limit.quota is not None:
            t.connection.execute(_PRUNE, {"lane": channel, "before": t.now - limit.quota_window_s})
    superseded = [row.token for row in mine if row.token in running and row.superseded_by]
    return Beaten(len(lost), frozenset(unknown) - suspects, superseded)


def _renew(t: Transaction, me: Identity, now: float) -> None:
    row: dict[str, Any] = {"name": me.node, "incarnation": me.incarnation, "lease_until": now + me.lease_s}
    adding = t.dialect.insert(nodes).values(row)
    renewed = adding.on_conflict_do_update(
        index_elements=["name"], set_=row, where=nodes.c.incarnation == me.incarnation
    )
    if not t.connection.execute(renewed).rowcount:
        raise Standby(f"another process is now node {me.node}: this one was away for longer than its lease")


def living(connection: sa.Connection, dialect: Dialect) -> frozenset[str]:
    """As Ledger.living."""
    now = connection.execute(sa.select(dialect.database_now)).scalar_one()
    return frozenset(connection.execute(_NAMES, {"now": now}).scalars())


def put_back(t: Transaction, ids: Sequence[int]) -> None:
    """Ready again, outcome unknown; what has been superseded ends instead."""
    by_alert: dict[str, dict[str, list[int]]] = {}
    if not ids:
        return
    rows = t.connection.execute(_PUT_BACK, {"ids": list(ids)}).all()
    for row in rows:
        by_alert.setdefault(row.identifier, {}).setdefault(row.state, []).append(row.id)
    count_rest(t, DeliveryState.SUPERSEDED, [row for row in rows if row.state == DeliveryState.SUPERSEDED])
    for identifier, moved in sorted(by_alert.items()):
        t.append(
            Event("deliveries.reclaimed", identifier, {"to": {state: sorted(ids) for state, ids in moved.items()}})
        )
    t.has_work |= bool(rows)


def release(t: Transaction, me: Identity) -> None:
    """This node stops: what it holds goes back, and its lease ends."""
    put_back(t, [row.id for row in t.connection.execute(_MINE, {"me": me.incarnation})])
    t.connection.execute(_LEAVE, {"me": me.incarnation})


def hasten(t: Transaction, channels: Sequence[str]) -> Sequence[None]:
    """What waits on these channels after a failed attempt is due now, and their breakers are closed."""
    names = {"channels": sorted(set(channels))}
    t.connection.execute(_HASTEN, names)
    t.connection.execute(_CLOSE_BREAKER, names)
    t.has_work = True
    return [None] * len(channels)


_NAMES = sa.select(nodes.c.name).where(nodes.c.lease_until >= sa.bindparam("now"))
_OTHERS = sa.select(nodes).where(nodes.c.name != sa.bindparam("me"))
_FORGET = nodes.delete().where(among(nodes.c.incarnation, "dead"))
_LOST = (
    sa.select(deliveries.c.id)
    .where(is_sending, deliveries.c.owner.not_in(sa.select(nodes.c.incarnation)))
    .with_for_update(skip_locked=True)
)
_MINE = (
    sa.select(deliveries.c.id, deliveries.c.token, alerts.c.superseded_by)
    .outerjoin(alerts, alerts.c.identifier == deliveries.c.identifier)
    .where(is_sending, deliveries.c.owner == sa.bindparam("me"))
)
_PUT_BACK = (
    deliveries.update()
    .where(among(deliveries.c.id, "ids"), is_sending)
    .values(
        state=sa.case((is_superseded, DeliveryState.SUPERSEDED.value), else_=DeliveryState.READY.value),
        is_reclaimed=True,
        open=remaining,
        owner=None,
        token=None,
    )
    .returning(deliveries.c.id, deliveries.c.identifier, deliveries.c.channel, deliveries.c.state, deliveries.c.open)
)
_EXPIRED = (
    sa.select(deliveries.c.id)
    .where(is_ready, deliveries.c.expires_at <= sa.bindparam("now"))
    .limit(500)
    .with_for_update(skip_locked=True)
)
_PRUNE = spendings.delete().where(spendings.c.channel == sa.bindparam("lane"), spendings.c.at <= sa.bindparam("before"))
_LEAVE = nodes.delete().where(nodes.c.incarnation == sa.bindparam("me"))
_HASTEN = (
    deliveries.update()
    .where(
        deliveries.c.id.in_(
            sa.select(deliveries.c.id)
            .where(is_waiting, deliveries.c.attempt > 0, among(deliveries.c.channel, "channels"))
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
    )
    .values(state=DeliveryState.READY.value, due_at=None)
)
_CLOSE_BREAKER = (
    lanes.update().where(among(lanes.c.channel, "channels"), lanes.c.failures > 0).values(failures=0, open_until=0.0)
)
