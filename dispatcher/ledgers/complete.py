"""The ends of attempts: outcomes, the states that follow, one event for each alert.

A row is only ever moved on by the token under which it was claimed, so a process that slept through its lease changes
nothing when it wakes.

Source: design.md §5.2; model/delivery.py TRANSITIONS.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from dispatcher.channel import Limits
from dispatcher.ledger import Attempted, Claim, Event
from dispatcher.ledgers.answers import add_outcomes, remaining, say
from dispatcher.ledgers.dialect import Row
from dispatcher.ledgers.lanes import backoff_s
from dispatcher.ledgers.schema import alerts, among, deliveries, is_sending
from dispatcher.ledgers.transaction import Transaction
from dispatcher.model.delivery import DeliveryEvent, DeliveryState, advance

Deferred = list[tuple[Attempted, float]]
"""With the seconds until the next try."""


def complete(t: Transaction, limits: Mapping[str, Limits], finished: Sequence[Attempted]) -> Deferred:
    """Write the ends of these attempts; returns those that are to be tried again."""
    by_alert: dict[str, list[Attempted]] = {}
    for attempted in finished:
        by_alert.setdefault(attempted.claim.identifier, []).append(attempted)
    deferred: Deferred = []
    for identifier in sorted(by_alert):
        deferred += _complete(t, limits, identifier, by_alert[identifier])
    return deferred


def _complete(t: Transaction, limits: Mapping[str, Limits], identifier: str, finished: Sequence[Attempted]) -> Deferred:
    """The ends of attempts on one alert's deliveries: outcomes, states, one event."""
    told = add_outcomes(t, ((attempted.claim, said) for attempted in finished for said in attempted.told))
    by_state: dict[DeliveryState, list[Attempted]] = {}
    for attempted in finished:
        by_state.setdefault(advance(DeliveryState.SENDING, DeliveryEvent(attempted.event)), []).append(attempted)
    moved: dict[str, list[int]] = {}
    deferred: Deferred = []
    for state, ended in by_state.items():
        if state is DeliveryState.WAITING:
            deferred += _defer(t, limits, ended, moved)
        else:
            _end(t, state, [int(attempted.claim.token) for attempted in ended], moved)
    for attempted in finished:
        if attempted.words:
            say(t, attempted.claim, attempted.words)
    if moved or told["count"]:
        facts: Row = {"to": {state: sorted(ids) for state, ids in moved.items()}}
        if words := {attempted.words for attempted in finished if attempted.words}:
            facts["words"] = sorted(words)
        t.append(Event("deliveries.moved", identifier, facts), outcomes=told)
    return deferred


COUNTED = {
    DeliveryState.REFUSED: "refused",
    DeliveryState.EXPIRED: "expired",
    DeliveryState.SUPERSEDED: "superseded",
}
"""Where the board counts those that a delivery ended without."""


def _end(t: Transaction, state: DeliveryState, tokens: Sequence[int], moved: dict[str, list[int]]) -> None:
    """Move on for good what is still held under these tokens."""
    if state is DeliveryState.TAKEN:
        rows = t.connection.execute(_TAKEN, {"tokens": tokens}).all()
    else:
        rows = t.connection.execute(_ENDED, {"tokens": tokens, "to": state.value}).all()
        count_rest(t, state, rows)
    if rows:
        moved.setdefault(state.value, []).extend(row.id for row in rows)


def count_rest(t: Transaction, state: DeliveryState, rows: Sequence[Any]) -> None:
    for row in rows:
        t.tally(row.identifier, row.channel, **{COUNTED[state]: row.open})


_held = sa.and_(among(deliveries.c.token, "tokens"), is_sending)
LOOSE: dict[str, Any] = {"owner": None, "token": None, "due_at": None}
WHOSE = (deliveries.c.id, deliveries.c.identifier, deliveries.c.channel, deliveries.c.open)
_TAKEN = (
    deliveries.update()
    .where(_held)
    .values(state=DeliveryState.TAKEN.value, open=0, owner=None, token=None)
    .returning(deliveries.c.id)
)
_ENDED = deliveries.update().where(_held).values(state=sa.bindparam("to"), open=remaining, **LOOSE).returning(*WHOSE)


def _defer(
    t: Transaction,
    limits: Mapping[str, Limits],
    ended: Sequence[Attempted],
    moved: dict[str, list[int]],
) -> Deferred:
    """Park until the next try, at the latest until it expires; what has been superseded meanwhile ends instead."""
    tokens = [int(attempted.claim.token) for attempted in ended]
    superseded = t.connection.execute(_SUPERSEDED, {"tokens": tokens}).all()
    if superseded:
        count_rest(t, DeliveryState.SUPERSEDED, superseded)
        moved.setdefault(DeliveryState.SUPERSEDED.value, []).extend(row.id for row in superseded)
    held = set(t.connection.execute(_HELD, {"tokens": tokens}).scalars())
    waits = [
        (attempted, attempted.retry_after_s or _backoff_s(limits, attempted.claim))
        for attempted in ended
        if attempted.claim.id in held
    ]
    if waits:
        t.connection.execute(_PARK, [{"parked": a.claim.id, "due": t.now + wait_s} for a, wait_s in waits])
        moved[DeliveryState.WAITING.value] = sorted(held)
    return waits


def _backoff_s(limits: Mapping[str, Limits], claim: Claim) -> float:
    return backoff_s(limits.get(claim.channel, Limits()), claim.attempt, claim.id)


is_superseded = sa.exists().where(alerts.c.identifier == deliveries.c.identifier, alerts.c.superseded_by != "")
_SUPERSEDED = (
    deliveries.update()
    .where(_held, is_superseded)
    .values(state=DeliveryState.SUPERSEDED.value, open=remaining, **LOOSE)
    .returning(*WHOSE)
)
_HELD = sa.select(deliveries.c.id).where(_held).with_for_update()
_due: sa.BindParameter[float] = sa.bindparam("due")
_PARK = (
    deliveries.update()
    .where(deliveries.c.id == sa.bindparam("parked"))
    .values(
        **LOOSE
        | {
            "state": DeliveryState.WAITING.value,
            "open": remaining,
            "due_at": sa.case((deliveries.c.expires_at < _due, deliveries.c.expires_at), else_=_due),
        }
    )
)
