"""What operators measure, read off the ledger's own rows: nothing is counted a second time.

Counting costs a walk over deliveries (≤ 500 destinations each) and tallies (a row an alert, channel and node), never over
recipients; only a campaign's people are counted one by one, and never fewer than FEW are told.

Source: design.md §4 "State is folded from the ledger".
"""

from collections import Counter

import sqlalchemy as sa

from dispatcher.ledger import Figures
from dispatcher.ledgers.dialect import Postgres, Sqlite
from dispatcher.ledgers.schema import (
    COUNTS,
    alerts,
    asked,
    campaigns,
    chains,
    deliveries,
    is_ready,
    nodes,
    records,
    tallies,
)
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
        people=_people(connection),
        devices=connection.execute(_DEVICES).scalar_one(),
    )


def _people(connection: sa.Connection) -> dict[tuple[str, str], int]:
    counts = Counter[tuple[str, str]]()
    for row in connection.execute(_PEOPLE):
        counts[row.campaign.partition("-")[0], row.progress] += row.number
    # Each by itself, so that no sum or difference of them shows a group of fewer than FEW.
    return {name: number - number % FEW for name, number in counts.items()}


FEW = 5


_BY_STATE = sa.select(deliveries.c.channel, deliveries.c.state, sa.func.count().label("number")).group_by(
    deliveries.c.channel, deliveries.c.state
)
_SUMS = sa.select(tallies.c.channel, *(sa.func.sum(tallies.c[name]).label(name) for name in COUNTS)).group_by(
    tallies.c.channel
)
_PEOPLE = (
    sa.select(asked.c.campaign, asked.c.progress, sa.func.count().label("number"))
    .join(campaigns, campaigns.c.id == asked.c.campaign)
    .where(sa.not_(campaigns.c.is_destroyed))
    .group_by(asked.c.campaign, asked.c.progress)
)
_DEVICES = sa.select(sa.func.count()).where(records.c.kind == "push")
_OLDEST = (
    sa.select(sa.func.min(sa.func.coalesce(deliveries.c.due_at, alerts.c.issued_at)))
    .join(alerts, alerts.c.identifier == deliveries.c.identifier)
    .where(is_ready)
)
