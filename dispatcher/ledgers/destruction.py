"""The end of a campaign's names and answers: first the key, then the rows, then what the engine's own files still hold of both.

The sealed key is the one thing that could ever open the rows again, so it has a table of its own, which SQLite writes anew in that
transaction: a page that was once split may hold a stale copy of a row that `secure_delete` no longer knows of, an emptied
table holds none. Rows follow ≤ ROWS at a time; between the two events (`safety.destroyed`, `safety.emptied`) the audit counts
none of them.

What remains: the campaign's body with its counts, the events with pseudonyms and digests, the outbox with pseudonyms. Nobody
can tell any more whose they were. A backup never holds a campaign's key (copying.py), so none opens them again either.

Source: design.md §8 "Privacy"; SQLite "PRAGMA secure_delete", "PRAGMA wal_checkpoint"; PostgreSQL 15 "VACUUM".
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from dispatcher.campaigns import ROWS
from dispatcher.ledger import Event
from dispatcher.ledgers.asking import get, move_campaign
from dispatcher.ledgers.schema import asked, campaign_keys, links, replies
from dispatcher.ledgers.transaction import Transaction

_KEYS = ((asked, asked.c.id), (links, links.c.hash), (replies, replies.c.id))


def destroy_key(t: Transaction, campaign: str, expected_version: int, body: Mapping[str, Any], event: Event) -> None:
    """The key and the body that may be kept; nothing if it was done before."""
    if get(t.connection, campaign).is_destroyed:
        return
    move_campaign(t, campaign, expected_version, body, event, (), destroyed=campaign)
    t.connection.execute(campaign_keys.delete().where(campaign_keys.c.campaign == campaign))
    if t.connection.dialect.name == "sqlite":
        _forget_keys(t.connection)


def _forget_keys(connection: sa.Connection) -> None:
    """Leave no page of SQLite's behind on which a key stands, but those on which one still has to."""
    left = [dict(row) for row in connection.execute(sa.select(campaign_keys)).mappings()]
    connection.execute(campaign_keys.delete())
    if left:
        connection.execute(campaign_keys.insert(), left)


def take_rows(t: Transaction, campaign: str) -> bool:
    """The next ≤ ROWS rows of a destroyed campaign; says whether there may be more."""
    for table, key in _KEYS:
        some = sa.select(key).where(table.c.campaign == campaign).limit(ROWS).scalar_subquery()
        if t.connection.execute(table.delete().where(table.c.campaign == campaign, key.in_(some))).rowcount:
            return True
    t.append(Event("safety.emptied", campaign), emptied=campaign)
    return False
