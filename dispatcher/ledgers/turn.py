"""One turn of the outbox, one transaction: complete what has ended, promote what is due, claim what comes next.

Commit first, send afterwards: whatever is on its way stands in the ledger as `sending`, under an owner and a token that is
never given twice.

Source: design.md §5.2.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from dispatcher.channel import Limits
from dispatcher.ledger import Attempted
from dispatcher.ledgers.claim import Claimed, claim
from dispatcher.ledgers.complete import Deferred, complete
from dispatcher.ledgers.schema import deliveries, is_waiting
from dispatcher.ledgers.transaction import Transaction
from dispatcher.model.delivery import DeliveryState


@dataclass(slots=True)
class Turned:
    """What a turn came to."""

    claimed: Claimed
    deferred: Deferred = field(default_factory=list)
    next_look_s: float = math.inf
    """When time alone will bring something to do."""


def turn(t: Transaction, owner: str, limits: Mapping[str, Limits], finished: Sequence[Attempted], slots: int) -> Turned:
    """As the module says. `slots`: how many more attempts this node can run."""
    deferred = complete(t, limits, finished)
    next_due_s = _promote(t)
    claimed = claim(t, owner, limits, finished, slots)
    return Turned(claimed, deferred, min(next_due_s, claimed.next_look_s))


def _promote(t: Transaction) -> float:
    """What was parked and is due, or has expired while parked, becomes ready; returns the seconds until the next does."""
    t.connection.execute(_PROMOTE, {"now": t.now})
    next_due = t.connection.execute(_NEXT_DUE).scalar()
    return math.inf if next_due is None else max(0.0, next_due - t.now) + 0.001


_PROMOTE = (
    deliveries.update()
    .where(
        deliveries.c.id.in_(
            sa.select(deliveries.c.id)
            .where(is_waiting, deliveries.c.due_at <= sa.bindparam("now"))
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
    )
    .values(state=DeliveryState.READY.value, due_at=None)
)
_NEXT_DUE = sa.select(sa.func.min(deliveries.c.due_at)).where(is_waiting)
