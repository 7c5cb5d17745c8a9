"""What operators measure, read off the ledger's own rows: nothing is counted a second time.

Counting costs a walk over deliveries (≤ 500 destinations each) and tallies (a row an alert, channel and node), never over
recipients.

Source: design.md §4 "State is folded from the ledger".
"""

import sqlalchemy as sa

from dispatcher.ledger import Figures
from dispatcher.ledgers.dialect import Postgres, Sqlite
from dispatcher.ledgers.schema import alerts, chains, deliveries, is_ready, nodes, tallies
from dispatcher.ledgers.transaction import COUNTS
from dispatcher.model.delivery import DeliveryState


def figures(connection: sa.Connection, commits: int) -> Figures:
    """As Ledger.figures."""
    dialect = Sqlite if connection.dialect.name == "sqlite" else Postgres
    now = connection.execute(sa.select(dialect.database_now)).scalar_one()
    oldest = connection.execute(_OLDEST).scalar()
    return Figures(
        deliveries={(row.channel, DeliveryState(row.state)): row.number for row in connection.execute(_BY_STATE)},
        tallies={row.channel: {name: int(getattr(row, name)) for name in COUNTS} for row in connection.execute(_SUMS)},
        due_for_s=max(0.0, now - oldest) if oldest is not None else 0.0,
        leases_s={row.name: row.lease_until - now for row in connection.execute(sa.select(nodes))},
        events={row.node: row.length for row in connection.execute(sa.select(chains))},
        commits=commits,
    )


_BY_STATE = sa.select(deliveries.c.channel, deliveries.c.state, sa.func.count().label("number")).group_by(
    deliveries.c.channel, deliveries.c.state
)
_SUMS = sa.select(tallies.c.channel, *(sa.func.sum(tallies.c[name]).label(name) for name in COUNTS)).group_by(
    tallies.c.channel
)
_OLDEST = (
    sa.select(sa.func.min(sa.func.coalesce(deliveries.c.due_at, alerts.c.issued_at)))
    .join(alerts, alerts.c.identifier == deliveries.c.identifier)
    .where(is_ready)
)
