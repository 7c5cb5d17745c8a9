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

AT_ONCE = 64
"""Claims, and ends of attempts, in one turn at most, so that something urgent never waits long for its own turn."""
FEW = 8
"""The same for a turn that shares its transaction with something new."""


@dataclass(slots=True)
class Turned:
    """What a turn came to."""

    claimed: Claimed
    completed: Sequence[Attempted]
    later: Sequence[Attempted]
    """Ended attempts that the next turn completes."""
    deferred: Deferred = field(default_factory=list)
    next_look_s: float = math.inf
    """When time alone will bring something to do."""


def turn(
    t: Transaction, owner: str, limits: Mapping[str, Limits], finished: Sequence[Attempted], slots: int | None
) -> Turned:
    """As the module says.

    `slots`: how many more attempts this node can run, those that have ended counted as running; None: it may claim
    nothing now.
    """
    # Staff may have issued something in this very transaction: then it is soon over, and theirs on its way.
    at_once = FEW if t.has_work else AT_ONCE
    completed, later = finished[:at_once], finished[at_once:]
    deferred = complete(t, limits, completed)
    next_due_s = _promote(t)
    room = 0 if slots is None else min(slots + len(completed), at_once)
    claimed = claim(t, owner, limits, completed, room)
    return Turned(claimed, completed, later, deferred, min(next_due_s, claimed.next_look_s))


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
