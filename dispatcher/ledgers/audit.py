"""Does the ledger still say what it said? Every chain is computed anew, and every projection compared with the events.

Three questions. Is each event the one that was written: the hash chain. Is each row that an event vouches for still there,
whole, and none besides: the digests. Do states and tallies follow from them: recomputed. What only steers (leases, tokens,
due times) is nobody's evidence and is not looked at.

Rows come as a stream, in the order of the events that wrote them; what is kept is a line for each event and each delivery.

Source: design.md §4 "State is folded from the ledger", §11 P11; SQLite "PRAGMA integrity_check".
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from dispatcher.ledger import UNWITNESSED
from dispatcher.ledgers import loop_audit
from dispatcher.ledgers.alerts import ALERT, DELIVERY, MOVES
from dispatcher.ledgers.answers import OUTCOME, RECEIPT, TAKEN
from dispatcher.ledgers.chain import GENESIS, digest, hash_of, sha256
from dispatcher.ledgers.schema import (
    COUNTS,
    alerts,
    campaigns,
    chains,
    deliveries,
    drafts,
    events,
    outcomes,
    receipts,
    records,
    tallies,
)
from dispatcher.model.delivery import OPEN, DeliveryState, Outcome, Receipt

Place = tuple[str, int]
"""Node and sequence of an event."""


def verify(connection: sa.Connection) -> list[str]:
    """One line for each thing wrong, none if all holds."""
    try:
        return list(_findings(connection))
    except (sa.exc.DatabaseError, ValueError, TypeError) as damage:
        # ValueError and TypeError: a column that holds what its type cannot be.
        return [f"the database itself is damaged: {getattr(damage, 'orig', None) or damage}"]


def verify_ends(connection: sa.Connection, events_each: int) -> list[str]:
    """As `verify`, of the last events of each chain alone: what can be said quickly of a ledger of any length."""
    wrong = []
    for end in connection.execute(sa.select(chains).order_by(chains.c.node)).all():
        last = sa.select(events).where(events.c.node == end.node, events.c.sequence > end.length - events_each)
        length, previous = max(0, end.length - events_each), None
        for row in connection.execute(last.order_by(events.c.sequence)):
            is_next = row.sequence == length + 1 and previous in {None, row.previous_hash}
            if not is_next or hash_of(row) != row.hash:
                wrong.append(f"event {row.sequence} of {end.node}: altered, or what stood before it is gone")
            length, previous = row.sequence, row.hash
        if end.length and (length, previous) != (end.length, end.hash):
            wrong.append(f"chain of {end.node}: ends at event {length}, but was left at another one")
    return wrong


def _findings(connection: sa.Connection) -> Iterator[str]:
    if connection.dialect.name == "sqlite":
        for (line,) in connection.exec_driver_sql("PRAGMA integrity_check"):
            if line != "ok":
                yield f"the file itself is damaged: {line}"
    said = _Said()
    yield from _chains(connection, said)
    yield from _rows(connection, deliveries, DELIVERY, said.deliveries)
    yield from _rows(connection, outcomes, OUTCOME, said.outcomes)
    yield from _rows(connection, receipts, RECEIPT, said.receipts)
    # A ledger of an earlier version, which is audited before it is migrated, knows nothing of the safety loop.
    if sa.inspect(connection).has_table(campaigns.name):
        for table, columns, proofs, where in loop_audit.vouched(connection, said.loop):
            yield from _rows(connection, table, columns, proofs, where)
        yield from loop_audit.findings(connection, said.loop)
    yield from _drafts(connection, said)
    yield from _records(connection, said)
    yield from _alerts(connection, said)
    yield from _states(connection, said)
    yield from _tallies(connection)
    yield from _moments(connection)
    yield from _words(connection, said)


@dataclass(slots=True)
class _Said:
    """What the events vouch for."""

    deliveries: dict[Place, Any] = field(default_factory=dict)
    outcomes: dict[Place, Any] = field(default_factory=dict)
    receipts: dict[Place, Any] = field(default_factory=dict)
    drafts: dict[str, Any] = field(default_factory=dict)
    records: dict[tuple[str, str], Any] = field(default_factory=dict)
    alerts: dict[Place, Any] = field(default_factory=dict)
    moves: dict[str, str] = field(default_factory=dict)
    """Alert → the furthest state that it was moved on to. By no clock, because one may have been put back."""
    ends: dict[int, str] = field(default_factory=dict)
    """Delivery → its last state."""
    words: set[tuple[str, str]] = field(default_factory=set)
    """(alert, the medium's words)"""
    loop: loop_audit.Said = field(default_factory=loop_audit.Said)

    def hear(self, row: Any) -> None:
        facts = _facts(row.facts)
        place, proof = (row.node, row.sequence), facts.get("proof", {})
        for kind in ("deliveries", "outcomes", "receipts"):
            if proof.get(kind, {}).get("count"):
                getattr(self, kind)[place] = proof[kind]
        if "draft" in proof:
            known = self.drafts.get(proof["draft"]["identifier"], proof["draft"])
            self.drafts[proof["draft"]["identifier"]] = max(known, proof["draft"], key=lambda d: d["version"])
        if "record" in proof:
            of = proof["record"]["kind"], proof["record"]["key"]
            self.records[of] = max(self.records.get(of, proof["record"]), proof["record"], key=lambda r: r["version"])
        if "alert" in proof:
            self.alerts[place] = proof
        if "moved" in proof:
            moved = proof["moved"]
            before = self.moves.get(moved["identifier"], moved["state"])
            self.moves[moved["identifier"]] = max(before, moved["state"], key=_how_far)
        self.loop.hear(place, proof)
        ended = {DeliveryState.SUPERSEDED.value: proof.get("superseded", [])}
        # Other events say "to" as well, and mean a person.
        if row.name in {"deliveries.moved", "deliveries.reclaimed"}:
            ended = {DeliveryState.SUPERSEDED.value: [], **facts["to"]}
            self.words |= {(row.subject, words) for words in facts.get("words", [])}
        for state, ids in ended.items():
            if state not in OPEN:
                self.ends |= dict.fromkeys(ids, state)


def _how_far(state: object) -> int:
    """On an alert's way; what an altered event says need be no state at all."""
    return MOVES.index(state) if state in MOVES else -1


def _facts(text: str) -> dict[str, Any]:
    """Of an event; a tampered one, which its hash has shown already, vouches for nothing."""
    try:
        facts = json.loads(text)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _chains(connection: sa.Connection, said: _Said) -> Iterator[str]:
    heads = {row.node: (row.length, row.hash) for row in connection.execute(sa.select(chains))}
    in_order = sa.select(events).order_by(events.c.node, events.c.sequence)
    for node, rows in groupby(_stream(connection, in_order), lambda row: row.node):
        length, last = 0, GENESIS
        for row in rows:
            where = f"event {row.sequence} of {node}"
            if row.sequence != length + 1:
                yield f"{where}: follows event {length}; what stood between is gone"
            elif row.previous_hash != last:
                yield f"{where}: does not follow from the event before it"
            if hash_of(row) != row.hash:
                yield f"{where}: altered"
            else:
                said.hear(row)
            length, last = row.sequence, row.hash
        if heads.pop(node, (0, GENESIS)) != (length, last):
            yield f"chain of {node}: ends at event {length}, but was left at another one"
    for node, (length, _) in sorted(heads.items()):
        if length:
            yield f"chain of {node}: all of its {length} events are gone"


def _rows(
    connection: sa.Connection, table: sa.Table, columns: Sequence[str], said: Mapping[Place, Any], where: Any = None
) -> Iterator[str]:
    """Does each event's set of rows (`where`: of those that are looked at) have the digest that the event bears?"""
    missing = dict(said)
    booleans = frozenset(at for at, name in enumerate(columns) if isinstance(table.c[name].type, sa.Boolean))
    in_order = sa.select(
        table.c.node, table.c.sequence, *(sa.type_coerce(table.c[name], _raw(table.c[name])) for name in columns)
    ).order_by(table.c.node, table.c.sequence)
    looked_at = in_order if where is None else in_order.where(where)
    for place, rows in groupby(_stream(connection, looked_at), lambda row: (row[0], row[1])):
        proof = missing.pop(place, None)
        these = f"{table.name} of event {place[1]} of {place[0]}"
        if proof is None:
            yield f"{these}: no event wrote them"
        elif digest(_plain(row[2:], booleans) for row in rows) != proof["digest"]:
            yield f"{these}: altered, added or removed"
    for node, sequence in sorted(missing):
        yield f"{table.name} of event {sequence} of {node}: gone"


def _raw(column: sa.Column[Any]) -> sa.types.TypeEngine[Any]:
    """Booleans as they stand there: SQLAlchemy would read a 5 as True."""
    return sa.types.NullType() if isinstance(column.type, sa.Boolean) else column.type


def _plain(row: Sequence[Any], booleans: frozenset[int]) -> list[Any]:
    """One truth for both engines: SQLite has 1 where PostgreSQL has true. Any other number there is a lie and stays one."""
    return [value == 1 if at in booleans and value in {0, 1} else value for at, value in enumerate(row)]


def _drafts(connection: sa.Connection, said: _Said) -> Iterator[str]:
    missing = dict(said.drafts)
    for row in _stream(connection, sa.select(drafts)):
        proof = missing.pop(row.identifier, None)
        if proof is None or (row.version, sha256(row.body)) != (proof["version"], proof["digest"]):
            yield f"draft {row.identifier}: not as its last event says"
    for identifier in sorted(missing):
        yield f"draft {identifier}: gone"


def _records(connection: sa.Connection, said: _Said) -> Iterator[str]:
    missing = dict(said.records)
    witnessed = sa.select(records).where(records.c.kind.not_in(UNWITNESSED))
    # A ledger of version 1, which is audited before it is migrated, kept nothing of the kind.
    for row in _stream(connection, witnessed) if sa.inspect(connection).has_table(records.name) else ():
        proof = missing.pop((row.kind, row.key), None)
        if proof is None or (row.version, sha256(row.body)) != (proof["version"], proof["digest"]):
            yield f"{row.kind} {row.key}: not as its last event says"
    for kind, key in sorted(of for of in missing if of[0] not in UNWITNESSED):
        yield f"{kind} {key}: gone"


def _alerts(connection: sa.Connection, said: _Said) -> Iterator[str]:
    missing = dict(said.alerts)
    rows = connection.execute(sa.select(alerts)).all()
    superseded_by: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: (row.node, row.sequence)):
        for identifier in said.alerts.get((row.node, row.sequence), {}).get("supersedes", []):
            superseded_by.setdefault(identifier, row.identifier)
    for row in rows:
        proof = missing.pop((row.node, row.sequence), None)
        if proof is None or digest([[getattr(row, name) for name in ALERT]]) != proof["alert"]:
            yield f"alert {row.identifier}: not as it was issued"
            continue
        state = said.moves.get(row.identifier, proof["state"])
        if row.state != state:
            yield f"alert {row.identifier}: stands as {row.state}, the events say {state}"
        if row.superseded_by not in {"", superseded_by.get(row.identifier, "")} or (
            row.identifier in superseded_by and not row.superseded_by
        ):
            yield f"alert {row.identifier}: superseded otherwise than the events say"
    for node, sequence in sorted(missing):
        yield f"alert of event {sequence} of {node}: gone"


def _states(connection: sa.Connection, said: _Said) -> Iterator[str]:
    """Has every delivery ended as the events say, or not yet?"""
    born_superseded = {place: set(proof.get("superseded", [])) for place, proof in said.deliveries.items()}
    columns = (deliveries.c.id, deliveries.c.identifier, deliveries.c.state, deliveries.c.node, deliveries.c.sequence)
    for row in _stream(connection, sa.select(*columns)):
        expected = said.ends.get(row.id)
        if expected is None and row.identifier in born_superseded.get((row.node, row.sequence), ()):
            expected = DeliveryState.SUPERSEDED.value
        if row.state != expected and not (expected is None and row.state in OPEN):
            yield f"delivery {row.id}: stands as {row.state}, the events say {expected or 'not ended'}"


def _tallies(connection: sa.Connection) -> Iterator[str]:
    """Do the counts add up?"""
    counted: dict[tuple[str, str], dict[str, Any]] = {}

    def add(row: Any, name: str, count: int) -> None:
        line = counted.setdefault((row.identifier, row.channel), dict.fromkeys(COUNTS, 0))
        line[name] += count

    for row in connection.execute(_BY_STATE):
        add(row, "destinations", row.size)
        if row.state in _REST:
            add(row, _REST[row.state], row.open)
    for row in connection.execute(_BY_OUTCOME):
        add(row, "taken" if row.outcome in TAKEN else "refused", row.number)
    for row in connection.execute(_BY_RECEIPT):
        if row.receipt in set(Receipt):
            add(row, row.receipt, row.number)
    for row in connection.execute(_SUMS):
        expected = counted.pop((row.identifier, row.channel), dict.fromkeys(COUNTS, 0))
        for name in COUNTS:
            if int(getattr(row, name)) != expected[name]:
                yield f"tally of {row.identifier}, {row.channel}: {name} is {getattr(row, name)}, the rows say {expected[name]}"
    for identifier, channel in sorted(key for key, line in counted.items() if any(line.values())):
        yield f"tally of {identifier}, {channel}: gone"


def _words(connection: sa.Connection, said: _Said) -> Iterator[str]:
    """Has a medium said what the board shows as its last words?"""
    for row in connection.execute(sa.select(tallies).where(tallies.c.last_words != "")):
        if (row.identifier, row.last_words) not in said.words and not connection.execute(
            _SAID, {"identifier": row.identifier, "channel": row.channel, "words": row.last_words}
        ).scalar():
            yield f"tally of {row.identifier}, {row.channel}: nobody said its last words"


def _moments(connection: sa.Connection) -> Iterator[str]:
    seen = {(row.identifier, row.channel, row.node): (row.first, row.last) for row in connection.execute(_TAKEN_AT)}
    for row in connection.execute(sa.select(tallies)):
        expected = seen.get((row.identifier, row.channel, row.node), (None, None))
        if (row.first_taken_at, row.last_taken_at) != expected:
            yield f"tally of {row.identifier}, {row.channel}: taken at other moments than its outcomes"


def _stream(connection: sa.Connection, statement: sa.Select[Any]) -> Iterator[Any]:
    return iter(connection.execute(statement, execution_options={"yield_per": 1000}))


_REST = {
    DeliveryState.REFUSED.value: "refused",
    DeliveryState.EXPIRED.value: "expired",
    DeliveryState.SUPERSEDED.value: "superseded",
}
_of = (deliveries.c.identifier, deliveries.c.channel)
_is_taken = outcomes.c.outcome.in_(sorted(TAKEN))
_BY_STATE = sa.select(
    *_of,
    deliveries.c.state,
    sa.func.sum(deliveries.c.size).label("size"),
    sa.func.sum(deliveries.c.open).label("open"),
).group_by(*_of, deliveries.c.state)
_BY_OUTCOME = (
    sa.select(*_of, outcomes.c.outcome, sa.func.count().label("number"))
    .join(outcomes, outcomes.c.delivery == deliveries.c.id)
    .where(outcomes.c.outcome.in_(sorted({*TAKEN, Outcome.PERMANENT})))
    .group_by(*_of, outcomes.c.outcome)
)
_BY_RECEIPT = sa.select(
    receipts.c.identifier, receipts.c.channel, receipts.c.receipt, sa.func.count().label("number")
).group_by(receipts.c.identifier, receipts.c.channel, receipts.c.receipt)
_SUMS = sa.select(
    tallies.c.identifier, tallies.c.channel, *(sa.func.sum(tallies.c[name]).label(name) for name in COUNTS)
).group_by(tallies.c.identifier, tallies.c.channel)
_TAKEN_AT = (
    sa.select(
        *_of, outcomes.c.node, sa.func.min(outcomes.c.at).label("first"), sa.func.max(outcomes.c.at).label("last")
    )
    .join(outcomes, outcomes.c.delivery == deliveries.c.id)
    .where(_is_taken)
    .group_by(*_of, outcomes.c.node)
)
_SAID = sa.select(
    sa.exists()
    .where(outcomes.c.delivery == deliveries.c.id, outcomes.c.words == sa.bindparam("words"))
    .where(deliveries.c.identifier == sa.bindparam("identifier"), deliveries.c.channel == sa.bindparam("channel"))
)
