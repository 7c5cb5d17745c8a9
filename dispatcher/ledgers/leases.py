"""Who is dead: a node whose lease nobody has renewed for as long as it was, by this node's own steady clock.

The database's clock says how much is left of a lease when it is first seen, and nothing afterwards. Clocks of servers jump too:
time comes back with the network after a power cut, and the next primary has a clock of its own. Put forward, it would declare
every living node dead, and what they are sending would go out twice; put back, a dead node would hold its work for as long.

Source: design.md §5.3; P9 (the gap after a crash: lease + 2 beats).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dispatcher.clock import Clock

LEAST = 0.5
"""Of a lease: so long it is watched even if it seems to have run out; whoever lives renews it meanwhile."""


@dataclass(slots=True)
class Leases:
    """The other nodes' leases as this node sees them. All nodes of a ledger have leases of one length."""

    lease_s: float
    clock: Clock
    _seen: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Incarnation → until when its lease was said to hold, and when that is over by this node's clock."""

    def dead(self, rows: Iterable[Any], database_now: float) -> list[str]:
        """Those incarnations of the register's rows whose leases have run out."""
        now_s, before, self._seen = self.clock.monotonic(), self._seen, {}
        for row in rows:
            left_s = min(max(row.lease_until - database_now, LEAST * self.lease_s), self.lease_s)
            lease_until, over_s = before.get(row.incarnation, (None, 0.0))
            if lease_until != row.lease_until:
                over_s = now_s + left_s
            self._seen[row.incarnation] = row.lease_until, over_s
        return [incarnation for incarnation, (_, over_s) in self._seen.items() if over_s <= now_s]
