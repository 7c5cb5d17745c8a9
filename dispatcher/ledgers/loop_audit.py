"""Do the safety loop's rows still say what the events said: as audit.py asks it of all others.

What a destroyed campaign's events vouched for is gone rightly. Until `safety.emptied` some of it may still be there and is not
looked at; afterwards every row of it is one too many.

Source: design.md §8, §11 P11.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from dispatcher.ledgers.asking import ASKED, LINK, MOVING, stands
from dispatcher.ledgers.chain import sha256
from dispatcher.ledgers.hearing import REPLY
from dispatcher.ledgers.rosters import PERSON, current
from dispatcher.ledgers.schema import asked, campaign_keys, campaigns, links, replies, roster

Place = tuple[str, int]
"""Node and sequence of an event."""
ROWS: Mapping[str, tuple[sa.Table, tuple[str, ...]]] = {
    "asked": (asked, ASKED),
    "links": (links, LINK),
    "replies": (replies, REPLY),
    "roster": (roster, PERSON),
}
"""By the name in an event's proof: the table, and what of it the event vouches for."""


@dataclass(slots=True)
class Said:
    """What the events vouch for."""

    rows: dict[str, dict[Place, Any]] = field(default_factory=lambda: {kind: {} for kind in ROWS})
    campaigns: dict[str, Any] = field(default_factory=dict)
    people: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    """(campaign, person) → the last version, and where they stand."""
    settled: dict[tuple[str, str], str] = field(default_factory=dict)
    destroyed: set[str] = field(default_factory=set)
    emptied: set[str] = field(default_factory=set)

    def hear(self, place: Place, proof: Mapping[str, Any]) -> None:
        """The proof of an event whose hash holds."""
        for kind in ROWS:
            if proof.get(kind, {}).get("count"):
                self.rows[kind][place] = proof[kind]
        if "campaign" in proof:
            new = proof["campaign"]
            known = self.campaigns.get(new["id"], new)
            self.campaigns[new["id"]] = max(known, new, key=lambda c: c["version"])
        if "people" in proof:
            campaign = proof["people"]["campaign"]
            for person, (version, digest) in proof["people"]["rows"].items():
                known_version, _ = self.people.get((campaign, person), (0, ""))
                if version > known_version:
                    self.people[campaign, person] = version, digest
        if "settled" in proof:
            its = proof["settled"]
            self.settled[its["campaign"], its["reply"]] = its["settled"]
        for kind in ("destroyed", "emptied"):
            if kind in proof:
                getattr(self, kind).add(proof[kind])


def vouched(connection: sa.Connection, said: Said) -> Iterator[tuple[sa.Table, tuple[str, ...], dict[Place, Any], Any]]:
    """Table, columns, what the events say of its rows, and which rows are looked at: for each kind of row."""
    generation = current(connection)[1]
    for kind, (table, columns) in ROWS.items():
        if kind == "roster":
            proofs = {at: proof for at, proof in said.rows[kind].items() if proof["generation"] == generation}
            yield table, columns, proofs, table.c.generation == generation
        else:
            proofs = {at: proof for at, proof in said.rows[kind].items() if proof["campaign"] not in said.destroyed}
            yield table, columns, proofs, table.c.campaign.not_in(sorted(said.destroyed))


def findings(connection: sa.Connection, said: Said) -> Iterator[str]:
    """One line for each thing wrong beyond the rows' digests."""
    yield from _campaigns(connection, said)
    yield from _people(connection, said)
    yield from _settled(connection, said)
    for campaign in sorted(said.emptied):
        for table in (asked, links, replies):
            if connection.execute(sa.select(sa.exists().where(table.c.campaign == campaign))).scalar():
                yield f"{table.name} of campaign {campaign}: destroyed, and there again"


def _campaigns(connection: sa.Connection, said: Said) -> Iterator[str]:
    missing = dict(said.campaigns)
    for row in connection.execute(sa.select(campaigns).order_by(campaigns.c.id)):
        proof = missing.pop(row.id, None)
        if proof is None or (row.version, sha256(row.body)) != (proof["version"], proof["digest"]):
            yield f"campaign {row.id}: not as its last event says"
        if bool(row.is_destroyed) != (row.id in said.destroyed):
            yield f"campaign {row.id}: destroyed otherwise than the events say"
    for campaign in sorted(missing):
        yield f"campaign {campaign}: gone"
    back = sa.select(campaign_keys.c.campaign).where(campaign_keys.c.campaign.in_(sorted(said.destroyed)))
    for campaign in connection.execute(back).scalars():
        yield f"key of campaign {campaign}: destroyed, and there again"


def _people(connection: sa.Connection, said: Said) -> Iterator[str]:
    missing = {key: stand for key, stand in said.people.items() if key[0] not in said.destroyed}
    columns = (
        asked.c[name] if name != "is_conflict" else sa.type_coerce(asked.c[name], sa.types.NullType())
        for name in MOVING
    )
    everybody = sa.select(asked.c.campaign, asked.c.id, *columns)
    for row in connection.execute(everybody, execution_options={"yield_per": 1000}):
        if row.campaign in said.destroyed:
            continue
        version, digest = missing.pop((row.campaign, row.id), (0, ""))
        moving = [
            value if name != "is_conflict" else _plain(value) for name, value in zip(MOVING, row[2:], strict=True)
        ]
        if row.version != version or stands(row.id, moving) != digest:
            yield f"person {row.id} of campaign {row.campaign}: stands otherwise than the events say"
    for campaign, person in sorted(missing):
        yield f"person {person} of campaign {campaign}: gone"


def _plain(value: Any) -> Any:
    """As the writer had it: SQLite has 1 where PostgreSQL has true; any other number there is a lie and stays one."""
    return value == 1 if value in {0, 1} else value


def _settled(connection: sa.Connection, said: Said) -> Iterator[str]:
    missing = {key: what for key, what in said.settled.items() if key[0] not in said.destroyed}
    for row in connection.execute(
        sa.select(replies.c.campaign, replies.c.id, replies.c.settled).where(replies.c.settled != "")
    ):
        if row.campaign not in said.destroyed and missing.pop((row.campaign, row.id), None) != row.settled:
            yield f"report {row.id} of campaign {row.campaign}: settled otherwise than the events say"
    for campaign, reply in sorted(missing):
        yield f"report {reply} of campaign {campaign}: not settled, as the events say"
