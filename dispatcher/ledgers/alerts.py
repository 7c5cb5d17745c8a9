"""Staff's side of the ledger: drafts, alerts, and the deliveries that an alert begins with.

What is superseded ends in the transaction that supersedes it, so nothing queued of an original can overtake its retraction.
A delivery that is being sent at that moment is left to its holder, who knows what has gone out; it is never put back.

Source: design.md §5.1; §3 "Staff have five verbs".
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from dispatcher.errors import NotFound, StaleHash
from dispatcher.ledger import Event, IssuedAlert, NewDelivery
from dispatcher.ledgers.chain import canonical, digest, sha256
from dispatcher.ledgers.dialect import Dialect, Row
from dispatcher.ledgers.schema import alerts, among, deliveries, drafts, is_ready, is_waiting
from dispatcher.ledgers.transaction import Transaction
from dispatcher.model.delivery import DeliveryState
from dispatcher.model.draft import State


def save_draft(t: Transaction, identifier: str, expected_version: int, body: Mapping[str, Any], event: Event) -> int:
    """As Ledger.save_draft."""
    version = expected_version + 1
    _write_draft(t, identifier, version, body)
    t.append(event, draft=draft_proof(identifier, version, canonical(body)))
    return version


def draft_proof(identifier: str, version: int, body: str) -> Row:
    """What an event says of the draft that it wrote."""
    return {"identifier": identifier, "version": version, "digest": sha256(body)}


def _write_draft(t: Transaction, identifier: str, version: int, body: Mapping[str, Any]) -> None:
    row = {"identifier": identifier, "version": version, "body": canonical(body), "created_at": t.now, **t.written_by}
    if version == 1:
        written = t.connection.execute(_new_draft(t.dialect), row).rowcount
    else:
        del row["created_at"]
        written = t.connection.execute(_NEXT_DRAFT, {**row, "draft": identifier, "expected": version - 1}).rowcount
    if not written:
        raise StaleHash(f"{identifier} was changed by somebody else meanwhile: look at it again")


@cache
def _new_draft(dialect: Dialect) -> Any:
    return dialect.insert(drafts).on_conflict_do_nothing()


_NEXT_DRAFT = drafts.update().where(
    drafts.c.identifier == sa.bindparam("draft"), drafts.c.version == sa.bindparam("expected")
)


def issue(
    t: Transaction,
    alert: IssuedAlert,
    first: Sequence[NewDelivery],
    event: Event,
    supersedes: Sequence[str],
    follows: Sequence[str] | None,
    draft: tuple[str, int, Mapping[str, Any]] | None,
) -> bool:
    """As Ledger.issue."""
    row = alert_row(alert)
    if not t.add_new(alerts, [{**row, "superseded_by": ""}], within=("identifier",)):
        return False
    if follows is not None:
        _require_end_of_chain(t, alert, follows)
    proof: Row = {"alert": digest([tuple(row[name] for name in ALERT)]), "state": alert.state}
    if draft is not None:
        identifier, expected_version, body = draft
        _write_draft(t, identifier, expected_version + 1, body)
        proof["draft"] = draft_proof(identifier, expected_version + 1, canonical(body))
    if supersedes:
        proof["supersedes"] = sorted(supersedes)
        proof["superseded"] = _supersede(t, alert.identifier, supersedes)
    proof["deliveries"] = write_deliveries(t, delivery_rows(first))
    t.append(event, **proof)
    return True


def _require_end_of_chain(t: Transaction, alert: IssuedAlert, follows: Sequence[str]) -> None:
    """Of two who follow the same alert at once the second is told; otherwise a retraction and an update would both stand."""
    # Another node that is issuing here is waited for first, so that what it wrote is seen by the next statement.
    t.connection.execute(_BEGINNING, {"beginning": alert.chain})
    chain = set(t.connection.execute(_CHAIN, {"beginning": alert.chain}).scalars())
    if others := chain - {alert.identifier, *follows}:
        raise StaleHash(
            f"{', '.join(sorted(others))} が先に出ました。見くらべてください (went out meanwhile: look at it again)"
        )


_BEGINNING = sa.select(alerts.c.identifier).where(alerts.c.identifier == sa.bindparam("beginning")).with_for_update()
_CHAIN = sa.select(alerts.c.identifier).where(alerts.c.chain == sa.bindparam("beginning"))

ALERT = ("identifier", "verb", "priority", "issued_at", "expires_at", "cap_xml", "renderings", "chain", "facts")
"""What an alert's first event vouches for."""


def alert_row(alert: IssuedAlert) -> Row:
    return {
        "identifier": alert.identifier,
        "state": alert.state,
        "verb": alert.verb,
        "priority": int(alert.priority),
        "issued_at": alert.issued_at.timestamp(),
        "expires_at": moment(alert.expires_at),
        "cap_xml": alert.cap_xml,
        "renderings": canonical(dict(alert.renderings)),
        "chain": alert.chain,
        "facts": canonical(dict(alert.facts)),
    }


@lru_cache(maxsize=64)
def moment(at: datetime | None) -> float | None:
    """Seconds since 1970. A bulk's deliveries share their moments."""
    return None if at is None else at.timestamp()


def _supersede(t: Transaction, by: str, identifiers: Sequence[str]) -> list[int]:
    """End what waits of these alerts; returns the deliveries' ids."""
    t.connection.execute(_MARK_SUPERSEDED, {"by": by, "identifiers": list(identifiers)})
    rows = t.connection.execute(_SUPERSEDE, {"identifiers": list(identifiers)}).all()
    for row in rows:
        t.tally(row.identifier, row.channel, superseded=row.open)
    return sorted(row.id for row in rows)


_MARK_SUPERSEDED = (
    alerts.update()
    .where(among(alerts.c.identifier, "identifiers"), alerts.c.superseded_by == "")
    .values(superseded_by=sa.bindparam("by"))
)
_SUPERSEDE = (
    deliveries.update()
    .where(among(deliveries.c.identifier, "identifiers"), sa.or_(is_ready, is_waiting))
    .values(state=DeliveryState.SUPERSEDED.value, due_at=None)
    .returning(deliveries.c.id, deliveries.c.identifier, deliveries.c.channel, deliveries.c.open)
)


def add_deliveries(t: Transaction, rows: Sequence[Row]) -> None:
    """One part of Ledger.add_deliveries. What has been superseded since is written down as such, never sent."""
    identifiers = sorted({row["identifier"] for row in rows})
    superseded = set(t.connection.execute(_WHICH_SUPERSEDED, {"identifiers": identifiers}).scalars())
    if superseded:
        rows = [row | {"state": _SUPERSEDED} if row["identifier"] in superseded else row for row in rows]
    proof = write_deliveries(t, rows)
    if superseded:
        proof["superseded"] = sorted(superseded)
    if proof["count"]:
        subject = identifiers[0] if len(identifiers) == 1 else ""
        t.append(Event("deliveries.added", subject, {"count": proof["count"]}), deliveries=proof)


_WHICH_SUPERSEDED = sa.select(alerts.c.identifier).where(
    among(alerts.c.identifier, "identifiers"), alerts.c.superseded_by != ""
)

_READY, _WAITING, _SUPERSEDED = (
    state.value for state in (DeliveryState.READY, DeliveryState.WAITING, DeliveryState.SUPERSEDED)
)
DELIVERY = ("key", "identifier", "channel", "priority", "destinations", "size", "cost", "expires_at")
"""What the event that wrote a delivery vouches for."""
_vouched = itemgetter(*DELIVERY)


def write_deliveries(t: Transaction, rows: Sequence[Row]) -> Row:
    """Write down those that are not there yet; returns what the event vouches for."""
    added = t.add_new(deliveries, rows, within=("identifier", "key"))
    for row in added:
        count = t.tally(row["identifier"], row["channel"])
        count["destinations"] += row["size"]
        if row["state"] == _SUPERSEDED:
            count["superseded"] += row["size"]
    t.has_work |= bool(added)
    return {"count": len(added), "digest": digest(map(_vouched, added))}


def delivery_rows(new: Sequence[NewDelivery]) -> Sequence[Row]:
    """As rows, each key once. Outside any transaction, so that a bulk's next part is made ready while one is written."""
    return list({delivery.key: _delivery_row(delivery) for delivery in new}.values())


def _delivery_row(new: NewDelivery) -> Row:
    size = len(new.destinations)
    return {
        "key": new.key,
        "identifier": new.identifier,
        "channel": new.channel,
        "priority": int(new.priority),
        "destinations": _destinations(new),
        "size": size,
        "cost": new.cost,
        "expires_at": moment(new.expires_at),
        "state": _READY if new.not_before is None else _WAITING,
        "open": size,
        "due_at": moment(new.not_before),
    }


def _destinations(new: NewDelivery) -> str:
    """As `canonical` has it, which would build an encoder anew for each row."""
    return f"[{','.join([f'[{_quoted(d.address)},{_quoted(d.name)}]' for d in new.destinations])}]"


_quoted = json.encoder.encode_basestring


def finish_alert(t: Transaction, identifier: str, state: str, event: Event) -> None:
    """As Ledger.finish_alert."""
    row = t.connection.execute(_STANDS, {"alert": identifier}).one_or_none()
    if row is None:
        raise NotFound(f"no alert {identifier}")
    if MOVES.index(state) <= MOVES.index(row.state) or (state == State.LIVE and row.superseded_by):
        return
    t.connection.execute(_FINISH, {"alert": identifier, "state": state})
    t.append(event, moved={"identifier": identifier, "state": state})


MOVES = (State.DISPATCHING, State.LIVE, State.ENDED, State.CLOSED)
"""The way of an alert; none goes back."""
_STANDS = (
    sa.select(alerts.c.state, alerts.c.superseded_by)
    .where(alerts.c.identifier == sa.bindparam("alert"))
    .with_for_update()
)
_FINISH = alerts.update().where(alerts.c.identifier == sa.bindparam("alert")).values(state=sa.bindparam("state"))
