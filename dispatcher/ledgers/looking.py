"""Looks at the ledger: what the board, the pages and the reports ask. Plain functions of a connection, on a snapshot.

Whatever may be long comes in pages, by key, so that a hundred thousand destinations never stand in memory at once.

Source: design.md §4 "State is folded from the ledger".
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from dispatcher.clock import JST
from dispatcher.errors import NotFound
from dispatcher.ledger import ChannelTally, DestinationStatus, Event, IssuedAlert, Recorded
from dispatcher.ledgers.schema import (
    COUNTS,
    alerts,
    among,
    deliveries,
    drafts,
    events,
    is_ready,
    is_sending,
    is_waiting,
    outcomes,
    receipts,
    tallies,
)
from dispatcher.model.delivery import DeliveryState, Outcome, Priority

PAGE = 500
"""Events in a page."""
PAGE_OF_DELIVERIES = 20
"""Deliveries in a page of destinations: up to 500 destinations each."""


def draft(connection: sa.Connection, identifier: str) -> tuple[int, Mapping[str, Any]]:
    row = connection.execute(sa.select(drafts).where(drafts.c.identifier == identifier)).one_or_none()
    if row is None:
        raise NotFound(f"no draft {identifier}")
    return row.version, json.loads(row.body)


def all_drafts(connection: sa.Connection) -> Sequence[tuple[str, int, Mapping[str, Any]]]:
    newest_first = sa.select(drafts).order_by(drafts.c.created_at.desc(), drafts.c.identifier)
    return [(row.identifier, row.version, json.loads(row.body)) for row in connection.execute(newest_first)]


def alert(connection: sa.Connection, identifier: str) -> IssuedAlert:
    row = connection.execute(sa.select(alerts).where(alerts.c.identifier == identifier)).one_or_none()
    if row is None:
        raise NotFound(f"no alert {identifier}")
    return _alert(row)


def all_alerts(connection: sa.Connection, states: Sequence[str] | None) -> Sequence[IssuedAlert]:
    newest_first = sa.select(alerts).order_by(alerts.c.issued_at.desc(), alerts.c.identifier)
    if states is not None:
        newest_first = newest_first.where(alerts.c.state.in_(states))
    return [_alert(row) for row in connection.execute(newest_first)]


def _alert(row: Any) -> IssuedAlert:
    return IssuedAlert(
        identifier=row.identifier,
        state=row.state,
        verb=row.verb,
        priority=Priority(row.priority),
        issued_at=datetime.fromtimestamp(row.issued_at, JST),
        expires_at=_moment(row.expires_at),
        cap_xml=bytes(row.cap_xml),
        renderings=MappingProxyType(json.loads(row.renderings)),
        chain=row.chain,
        facts=MappingProxyType(json.loads(row.facts)),
    )


def _moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, JST)


def tally(connection: sa.Connection, identifier: str) -> Sequence[ChannelTally]:
    """Adds up the nodes' counts."""
    asked = {"identifier": identifier}
    retrying = {row.channel: row.retrying for row in connection.execute(_RETRYING, asked)}
    said = {row.channel: row.last_words for row in connection.execute(_LAST_WORDS, asked)}
    under_way = {(row.channel, row.state): int(row.people) for row in connection.execute(_UNDER_WAY, asked)}
    return [
        ChannelTally(
            channel=row.channel,
            destinations=int(row.destinations),
            taken=int(row.taken),
            delivered=int(row.delivered),
            displayed=int(row.displayed),
            acknowledged=int(row.acknowledged),
            failed=int(row.refused + row.expired),
            superseded=int(row.superseded),
            retrying=int(retrying.get(row.channel, 0)),
            first_taken_at=_moment(row.first_taken_at),
            last_taken_at=_moment(row.last_taken_at),
            last_words=said.get(row.channel, ""),
            queued=sum(under_way.get((row.channel, state), 0) for state in ("ready", "waiting")),
            sending=under_way.get((row.channel, "sending"), 0),
        )
        for row in connection.execute(_TALLY, asked)
    ]


_of_alert = tallies.c.identifier == sa.bindparam("identifier")
_TALLY = (
    sa.select(
        tallies.c.channel,
        *(sa.func.sum(tallies.c[name]).label(name) for name in COUNTS),
        sa.func.min(tallies.c.first_taken_at).label("first_taken_at"),
        sa.func.max(tallies.c.last_taken_at).label("last_taken_at"),
    )
    .where(_of_alert)
    .group_by(tallies.c.channel)
    .order_by(tallies.c.channel)
)
_LAST_WORDS = (
    sa.select(tallies.c.channel, tallies.c.last_words)
    .where(_of_alert, tallies.c.last_words_at.is_not(None))
    .order_by(tallies.c.last_words_at)
)
_RETRYING = (
    sa.select(deliveries.c.channel, sa.func.sum(deliveries.c.open).label("retrying"))
    .where(deliveries.c.identifier == sa.bindparam("identifier"), is_waiting, deliveries.c.attempt > 0)
    .group_by(deliveries.c.channel)
)


_UNDER_WAY = (
    sa.select(deliveries.c.channel, deliveries.c.state, sa.func.sum(deliveries.c.open).label("people"))
    .where(
        deliveries.c.identifier == sa.bindparam("identifier"),
        sa.or_(is_sending, sa.and_(sa.or_(is_ready, is_waiting), deliveries.c.attempt == 0)),
    )
    .group_by(deliveries.c.channel, deliveries.c.state)
)


def tally_at(connection: sa.Connection, identifier: str, at: datetime) -> Sequence[ChannelTally]:
    """As Ledger.tally_at."""
    asked = {"identifier": identifier, "until": at.timestamp()}
    lines: dict[str, dict[str, Any]] = {}
    for row in connection.execute(_ADDRESSED, asked):
        lines[row.channel] = dict.fromkeys(COUNTS, 0) | {"destinations": int(row.people), "first": None, "last": None}
    for row in connection.execute(_OUTCOMES_UNTIL, asked):
        line = lines[row.channel]
        if row.outcome in {Outcome.TAKEN, Outcome.DUPLICATE}:
            line["taken"] += row.people
            line["first"] = min(filter(None, (line["first"], row.first)))
            line["last"] = max(filter(None, (line["last"], row.last)))
        else:
            line["refused"] += row.people
    for channel, people in _failed_without_words(connection, identifier, at).items():
        lines[channel]["refused"] += people
    for row in connection.execute(_RECEIPTS_UNTIL, asked):
        if row.channel in lines:
            lines[row.channel][row.receipt] = int(row.people)
    return [
        ChannelTally(
            channel=channel,
            failed=line["refused"],
            superseded=0,
            retrying=0,
            first_taken_at=_moment(line["first"]),
            last_taken_at=_moment(line["last"]),
            last_words="",
            **{name: line[name] for name in ("destinations", "taken", "delivered", "displayed", "acknowledged")},
        )
        for channel, line in sorted(lines.items())
    ]


def _failed_without_words(connection: sa.Connection, identifier: str, at: datetime) -> Mapping[str, int]:
    """Of deliveries that had been given up by then as a whole: their destinations that no outcome names."""
    until = at.astimezone(JST).isoformat()
    moved = sa.select(events.c.facts).where(
        events.c.subject == identifier, events.c.name == "deliveries.moved", events.c.at <= until
    )
    given_up = {DeliveryState.REFUSED.value, DeliveryState.EXPIRED.value}
    to = [json.loads(facts)["to"] for (facts,) in connection.execute(moved)]
    ids = [id_ for states in to for state, some in states.items() if state in given_up for id_ in some]
    found = connection.execute(_UNNAMED, {"ids": ids}) if ids else ()
    return {row.channel: int(row.people) for row in found}


_UNNAMED = (
    sa.select(
        deliveries.c.channel,
        sa.func.sum(
            deliveries.c.size
            - sa.select(sa.func.count())
            .where(outcomes.c.delivery == deliveries.c.id, outcomes.c.is_final)
            .correlate(deliveries)
            .scalar_subquery()
        ).label("people"),
    )
    .where(among(deliveries.c.id, "ids"))
    .group_by(deliveries.c.channel)
)
_deliveries_of_it = deliveries.c.identifier == sa.bindparam("identifier")
_ADDRESSED = (
    sa.select(deliveries.c.channel, sa.func.sum(deliveries.c.size).label("people"))
    .where(_deliveries_of_it, deliveries.c.size > 0)
    .group_by(deliveries.c.channel)
)
_OUTCOMES_UNTIL = (
    sa.select(
        deliveries.c.channel,
        outcomes.c.outcome,
        sa.func.count().label("people"),
        sa.func.min(outcomes.c.at).label("first"),
        sa.func.max(outcomes.c.at).label("last"),
    )
    .join(deliveries, deliveries.c.id == outcomes.c.delivery)
    .where(_deliveries_of_it, outcomes.c.is_final, outcomes.c.at <= sa.bindparam("until"))
    .group_by(deliveries.c.channel, outcomes.c.outcome)
)
_RECEIPTS_UNTIL = (
    sa.select(receipts.c.channel, receipts.c.receipt, sa.func.count().label("people"))
    .where(receipts.c.identifier == sa.bindparam("identifier"), receipts.c.at <= sa.bindparam("until"))
    .group_by(receipts.c.channel, receipts.c.receipt)
)


def spread(connection: sa.Connection, identifier: str) -> Mapping[str, tuple[float, float]]:
    """As Ledger.spread."""
    issued = connection.execute(sa.select(alerts.c.issued_at).where(alerts.c.identifier == identifier)).scalar()
    if issued is None:
        raise NotFound(f"no alert {identifier}")
    taken: dict[str, list[float]] = {}
    for channel, at in connection.execute(_TAKEN_TIMES, {"identifier": identifier}):
        taken.setdefault(channel, []).append(at - issued)
    return {channel: (_quantile(times, 0.5), _quantile(times, 0.95)) for channel, times in taken.items()}


def _quantile(ascending: Sequence[float], share: float) -> float:
    return max(0.0, ascending[min(len(ascending) - 1, int(share * len(ascending)))])


_TAKEN_TIMES = (
    sa.select(deliveries.c.channel, outcomes.c.at)
    .join(deliveries, deliveries.c.id == outcomes.c.delivery)
    .where(_deliveries_of_it, outcomes.c.is_final, outcomes.c.outcome.in_([Outcome.TAKEN, Outcome.DUPLICATE]))
    .order_by(outcomes.c.at)
)


def refused(connection: sa.Connection, identifier: str, addresses: Sequence[str]) -> Sequence[str]:
    """As Ledger.refused."""
    return sorted(connection.execute(_REFUSED, {"identifier": identifier, "addresses": list(addresses)}).scalars())


_REFUSED = (
    sa.select(outcomes.c.address)
    .distinct()
    .join(deliveries, deliveries.c.id == outcomes.c.delivery)
    .where(
        deliveries.c.identifier == sa.bindparam("identifier"),
        among(outcomes.c.address, "addresses"),
        outcomes.c.outcome == Outcome.PERMANENT.value,
    )
)


def delivery_states(connection: sa.Connection, identifier: str) -> Mapping[DeliveryState, int]:
    by_state = (
        sa.select(deliveries.c.state, sa.func.count())
        .where(deliveries.c.identifier == identifier)
        .group_by(deliveries.c.state)
    )
    return {DeliveryState(state): count for state, count in connection.execute(by_state)}


def some_destinations(
    connection: sa.Connection, identifier: str, channel: str | None, after: int, room: str = ""
) -> tuple[int | None, Sequence[DestinationStatus]]:
    """One page, from the delivery after that id; and the id to go on from, None at the end."""
    page = (
        sa.select(deliveries.c.id, deliveries.c.channel, deliveries.c.destinations)
        .where(deliveries.c.identifier == identifier, deliveries.c.id > after)
        .order_by(deliveries.c.id)
        .limit(PAGE_OF_DELIVERIES)
    )
    if channel is not None:
        page = page.where(deliveries.c.channel == channel)
    if room:
        page = page.where(deliveries.c.key.contains(f":{room}/", autoescape=True))
    rows = connection.execute(page).all()
    if not rows:
        return None, []
    told = {
        (row.delivery, row.address): row
        for row in connection.execute(_TOLD, {"ids": [row.id for row in rows]})  # a final one comes last and stands
    }
    named = [(row, address, name) for row in rows for address, name in json.loads(row.destinations)]
    came: dict[tuple[str, str], dict[str, datetime]] = {}
    asked = {"identifier": identifier, "addresses": [address for _, address, _ in named]}
    for receipt in connection.execute(_CAME, asked):
        at = datetime.fromtimestamp(receipt.at, JST)
        came.setdefault((receipt.channel, receipt.address), {})[receipt.receipt] = at
    return rows[-1].id, [_status(row.channel, a, name, told.get((row.id, a)), came) for row, a, name in named]


def _status(
    channel: str, address: str, name: str, told: Any, came: Mapping[tuple[str, str], Mapping[str, datetime]]
) -> DestinationStatus:
    return DestinationStatus(
        channel=channel,
        address=address,
        name=name,
        outcome=Outcome(told.outcome) if told is not None else None,
        words=told.words if told is not None else "",
        medium_id=told.medium_id if told is not None else "",
        receipts=MappingProxyType(came.get((channel, address), {})),
        at=_moment(told.at) if told is not None else None,
    )


_TOLD = (
    sa.select(outcomes)
    .where(among(outcomes.c.delivery, "ids"))
    .order_by(outcomes.c.delivery, outcomes.c.address, outcomes.c.is_final)
)
_CAME = sa.select(receipts).where(
    receipts.c.identifier == sa.bindparam("identifier"), among(receipts.c.address, "addresses")
)


def some_events(connection: sa.Connection, node: str, after: int) -> Sequence[Recorded]:
    """One page of a node's chain."""
    page = (
        sa.select(events)
        .where(events.c.node == node, events.c.sequence > after)
        .order_by(events.c.sequence)
        .limit(PAGE)
    )
    return [_recorded(row) for row in connection.execute(page)]


def story(connection: sa.Connection, subject: str | None, until: datetime | None, limit: int) -> Sequence[Recorded]:
    """As Ledger.story."""
    newest_first = sa.select(events).order_by(events.c.at.desc(), events.c.node, events.c.sequence.desc()).limit(limit)
    if subject is not None:
        newest_first = newest_first.where(events.c.subject == subject)
    if until is not None:
        newest_first = newest_first.where(events.c.at <= until.astimezone(JST).isoformat())
    return [_recorded(row) for row in connection.execute(newest_first)]


def _recorded(row: Any) -> Recorded:
    return Recorded(
        node=row.node,
        sequence=row.sequence,
        at=datetime.fromisoformat(row.at),
        event=Event(row.name, row.subject, json.loads(row.facts)),
        previous_hash=row.previous_hash,
        hash=row.hash,
    )
