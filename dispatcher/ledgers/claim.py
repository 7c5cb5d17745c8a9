"""Claiming: lane by lane, the one with the most urgent delivery first, as much as its limits allow.

Source: design.md §5.2, §6 "One lane per channel"; PostgreSQL 15 "SELECT … FOR UPDATE SKIP LOCKED".
"""

import json
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from dispatcher.channel import Limits
from dispatcher.ledger import Attempted, Claim, Event
from dispatcher.ledgers.complete import LOOSE, WHOSE, count_rest
from dispatcher.ledgers.dialect import Row
from dispatcher.ledgers.lanes import Lane, cost_of
from dispatcher.ledgers.schema import among, deliveries, is_ready, is_sending, lanes, outcomes, spendings
from dispatcher.ledgers.transaction import Transaction
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import DeliveryEvent, DeliveryState, Priority


@dataclass(slots=True)
class Claimed:
    claims: list[Claim] = field(default_factory=list)
    """Most urgent first."""
    is_more: bool = False
    """There may be more that could have been claimed."""
    next_look_s: float = math.inf
    """When time alone will let something through."""
    opened: list[Lane] = field(default_factory=list)
    """Lanes whose breaker has just opened."""


def claim(
    t: Transaction,
    owner: str,
    limits: Mapping[str, Limits],
    finished: Sequence[Attempted],
    slots: int,
) -> Claimed:
    """Hear how the finished attempts went, for the breakers; then claim for `owner` what `slots` and lanes allow."""
    claimed = Claimed()
    heard = [attempted for attempted in finished if attempted.event != DeliveryEvent.SUPERSEDED]
    news = {attempted.claim.channel for attempted in heard if not attempted.is_success}
    rows = t.connection.execute(_LOCK_LANES, {"channels": list(limits), "news": list(news)}).all()
    if not rows:
        return claimed
    locked = [lane_of(row, limits[row.channel]) for row in rows]
    for lane in locked:
        for attempted in heard:
            if attempted.claim.channel == lane.channel and lane.heard(attempted.is_success, t.now):
                claimed.opened.append(lane)
    # Counted after the lock, in a statement of its own: one that had waited for the lock would count as of before.
    urgent = _look(t, locked)
    chosen: list[Any] = []
    for lane in sorted((lane for lane in locked if lane.channel in urgent), key=lambda lane: urgent[lane.channel]):
        lane.refill(t.now)
        room = slots - len(chosen)
        chosen += _choose(t, lane, room, claimed)
        claimed.next_look_s = min(claimed.next_look_s, lane.next_look_s(t.now))
    if chosen:
        claimed.claims = _take(t, owner, chosen)
    changed = [lane for lane in locked if lane.is_changed]
    if changed:
        t.connection.execute(_KEEP_LANE, [_kept(lane) for lane in changed])
    claimed.is_more |= 0 < slots <= len(chosen)
    return claimed


def lane_of(row: Any, limits: Limits) -> Lane:
    tokens = limits.burst if row.tokens is None else row.tokens
    return Lane(row.channel, limits, tokens, row.tokens_at, row.failures, row.open_until)


def _kept(lane: Lane) -> Row:
    return {
        "lane": lane.channel,
        "tokens": lane.tokens,
        "tokens_at": lane.tokens_at,
        "failures": lane.failures,
        "open_until": lane.open_until,
    }


def _look(t: Transaction, locked: Sequence[Lane]) -> dict[str, int]:
    """What is in flight and spent on these lanes, and the priority of the most urgent that is ready on each."""
    channels = {"channels": [lane.channel for lane in locked]}
    by_channel = {row.channel: row for row in t.connection.execute(_LOOK, channels)}
    for lane in locked:
        lane.in_flight = by_channel[lane.channel].in_flight
        if lane.limits.quota is not None:
            lane.spent = spent_on(t.connection, lane, t.now)
    return {channel: row.urgent for channel, row in by_channel.items() if row.urgent is not None}


def spent_on(connection: sa.Connection, lane: Lane, now: float) -> Sequence[tuple[float, int]]:
    """(at, cost) within the quota's window, oldest first."""
    since = {"lane": lane.channel, "since": now - lane.limits.quota_window_s}
    return [(row.at, row.cost) for row in connection.execute(_SPENT, since)]


def _choose(t: Transaction, lane: Lane, room: int, claimed: Claimed) -> list[Any]:
    """The most urgent that the lane lets through; what turns out to have expired ends here."""
    chosen: list[Any] = []
    while (wanted := min(room, lane.room(t.now)) - len(chosen)) > 0:
        picked = {"lane": lane.channel, "wanted": wanted, "seen": [row.id for row in chosen]}
        candidates = t.connection.execute(_CANDIDATES, picked).all()
        expired = [row for row in candidates if row.expires_at is not None and row.expires_at <= t.now]
        if expired:
            expire(t, [row.id for row in expired])
        spent_before = len(lane.spent)
        for row in candidates:
            if row in expired:
                continue
            if lane.keeps_books and not lane.take(cost_of(row.cost, row.open, row.size), row.priority, t.now):
                break
            chosen.append(row)
        if lane.limits.quota is not None and len(lane.spent) > spent_before:
            spent = [{"channel": lane.channel, "at": at, "cost": cost} for at, cost in lane.spent[spent_before:]]
            t.connection.execute(spendings.insert(), spent)
        if not expired or len(candidates) < wanted:
            break
    else:
        claimed.is_more = claimed.is_more or room <= len(chosen)
    return chosen


def expire(t: Transaction, ids: Sequence[int]) -> None:
    """End these, which are ready, as out of time."""
    by_alert: dict[str, list[Any]] = {}
    for row in t.connection.execute(_EXPIRE, {"ids": list(ids)}):
        by_alert.setdefault(row.identifier, []).append(row)
    for identifier, rows in sorted(by_alert.items()):
        count_rest(t, DeliveryState.EXPIRED, rows)
        facts = {"to": {DeliveryState.EXPIRED.value: sorted(row.id for row in rows)}}
        t.append(Event("deliveries.moved", identifier, facts))


def _take(t: Transaction, owner: str, chosen: Sequence[Any]) -> list[Claim]:
    base = secrets.randbits(62)
    t.connection.execute(_TAKE, {"ids": [row.id for row in chosen], "owner": owner, "base": base})
    partly = [row.id for row in chosen if row.open < row.size]
    done: dict[int, set[str]] = {}
    if partly:
        for delivery, address in t.connection.execute(_FINAL, {"ids": partly}):
            done.setdefault(delivery, set()).add(address)
    chosen = sorted(chosen, key=lambda row: (row.priority, row.id))
    return [_as_claim(row, base, done.get(row.id, frozenset())) for row in chosen]


def _as_claim(row: Any, base: int, done: set[str] | frozenset[str]) -> Claim:
    return Claim(
        id=row.id,
        token=str(base + row.id),
        key=row.key,
        identifier=row.identifier,
        channel=row.channel,
        priority=Priority(row.priority),
        attempt=row.attempt + 1,
        destinations=tuple([Destination(a, name) for a, name in json.loads(row.destinations) if a not in done]),
        is_reclaimed=row.is_reclaimed,
    )


_is_ready_here = sa.and_(deliveries.c.channel == lanes.c.channel, is_ready)
_LOCK_LANES = (
    sa.select(lanes)
    .where(
        among(lanes.c.channel, "channels"),
        sa.or_(
            sa.exists().where(_is_ready_here),
            among(lanes.c.channel, "news"),
            lanes.c.failures > 0,
        ),
    )
    .order_by(lanes.c.channel)  # locked in one order on every node
    .with_for_update()
)
_LOOK = sa.select(
    lanes.c.channel,
    sa.select(sa.func.count())
    .where(deliveries.c.channel == lanes.c.channel, is_sending)
    .scalar_subquery()
    .label("in_flight"),
    sa.select(deliveries.c.priority)
    .where(_is_ready_here)
    .order_by(deliveries.c.priority, deliveries.c.id)
    .limit(1)
    .scalar_subquery()
    .label("urgent"),
).where(among(lanes.c.channel, "channels"))
_SPENT = (
    sa.select(spendings.c.at, spendings.c.cost)
    .where(spendings.c.channel == sa.bindparam("lane"), spendings.c.at > sa.bindparam("since"))
    .order_by(spendings.c.at)
)
_CANDIDATES = (
    sa.select(
        *(
            deliveries.c[name]
            for name in ("id", "key", "identifier", "channel", "priority", "destinations", "size", "cost")
        ),
        *(deliveries.c[name] for name in ("expires_at", "open", "attempt", "is_reclaimed")),
    )
    .where(deliveries.c.channel == sa.bindparam("lane"), is_ready, sa.not_(among(deliveries.c.id, "seen")))
    .order_by(deliveries.c.priority, deliveries.c.id)
    .limit(sa.bindparam("wanted"))
    .with_for_update(skip_locked=True)
)
_EXPIRE = (
    deliveries.update()
    .where(among(deliveries.c.id, "ids"), is_ready)
    .values(state=DeliveryState.EXPIRED.value, **LOOSE)
    .returning(*WHOSE)
)
_TAKE = (
    deliveries.update()
    .where(among(deliveries.c.id, "ids"))
    .values(
        state=DeliveryState.SENDING.value,
        owner=sa.bindparam("owner"),
        token=sa.bindparam("base", type_=sa.BigInteger) + deliveries.c.id,
        attempt=deliveries.c.attempt + 1,
    )
)
_FINAL = sa.select(outcomes.c.delivery, outcomes.c.address).where(
    among(outcomes.c.delivery, "ids"), outcomes.c.is_final
)
_KEEP_LANE = (
    lanes.update()
    .where(lanes.c.channel == sa.bindparam("lane"))
    .values({name: sa.bindparam(name) for name in ("tokens", "tokens_at", "failures", "open_until")})
)
