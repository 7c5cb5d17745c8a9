"""Why a channel's deliveries wait although they are ready: its quota is used up, or its breaker is open. Looks, changes nothing.

"順番待ち" alone would leave staff waiting for something that cannot come before the quota's window has passed.

Source: design.md §6 "One lane per channel"; facts.md §Social.
"""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from dispatcher.channel import Limits
from dispatcher.clock import JST
from dispatcher.ledger import HeldBack
from dispatcher.ledgers.claim import lane_of, spent_on
from dispatcher.ledgers.lanes import cost_of
from dispatcher.ledgers.schema import among, deliveries, is_ready, lanes


def held_back(connection: sa.Connection, limits: Mapping[str, Limits], now: float) -> Mapping[str, HeldBack]:
    """As Ledger.held_back."""
    found = {}
    for row in connection.execute(_LANES, {"channels": list(limits)}).all():
        first = connection.execute(_FIRST, {"lane": row.channel}).first()
        if first is None:
            continue
        lane = lane_of(row, limits[row.channel])
        lane.spent = spent_on(connection, lane, now)
        until = lane.quota_until(cost_of(first.cost, first.open, first.size), first.priority)
        if lane.open_until > now:
            found[row.channel] = HeldBack("breaker", datetime.fromtimestamp(lane.open_until, JST))
        elif until is not None and until > now:
            found[row.channel] = HeldBack("quota", datetime.fromtimestamp(until, JST))
    return found


_LANES = sa.select(lanes).where(among(lanes.c.channel, "channels"))
_FIRST = (
    sa.select(*(deliveries.c[name] for name in ("priority", "cost", "open", "size")))
    .where(deliveries.c.channel == sa.bindparam("lane"), is_ready)
    .order_by(deliveries.c.priority, deliveries.c.id)
    .limit(1)
)
