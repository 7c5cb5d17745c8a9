"""Who is asked: written down with the question that goes to them, moved up the ladder, counted, looked for.

What is said once of a person (their codes, what is sealed) is vouched for by the event that added them. What moves is vouched
for by each event that moves it: the person's version, and a digest of where they stand then (`people` in its proof). So a
person who is quietly taken off the list of the unheard is found by the audit.

Source: dispatcher/campaigns.py; design.md §5.1, §8.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from dispatcher.campaigns import (
    DONE_WITH,
    RESOLVED,
    ROWS,
    SILENT,
    UNREACHABLE,
    Asked,
    Campaign,
    Climbing,
    Codes,
    Counted,
    NewAsked,
    Wanted,
)
from dispatcher.clock import JST
from dispatcher.errors import NotFound, StaleHash
from dispatcher.ledger import Event, NewDelivery
from dispatcher.ledgers.alerts import delivery_rows, write_deliveries
from dispatcher.ledgers.chain import canonical, digest, sha256
from dispatcher.ledgers.dialect import Row
from dispatcher.ledgers.schema import COUNTED, among, asked, campaign_keys, campaigns, links
from dispatcher.ledgers.transaction import Transaction

ASKED = ("campaign", "id", "cohort", "quarter", "facility", "restricted", "ladder", "sealed")
LINK = ("hash", "campaign", "person", "whose")
"""What the event that wrote the row vouches for."""
MOVING = ("round", "rung", "progress", "standing", "is_conflict", "holder", "replies", "version", "moved_at")
"""What the last event that moved it vouches for."""
_asked, _link, _moving = itemgetter(*ASKED), itemgetter(*LINK), itemgetter(*MOVING)
_CODES = ("cohort", "quarter", "facility", "restricted", "ladder")


def stands(person: str, moving: Sequence[Any]) -> str:
    """Digest of where somebody stands: of MOVING's values."""
    return sha256(f"[{canonical(person)},{_rest(*moving)}")[:16]


@lru_cache(maxsize=1024, typed=True)  # typed: 1, 1.0 and true are equal, and not the same text
def _rest(*moving: Any) -> str:
    """All but the first of canonical's text of a list: nearly everybody whom one event moves stands alike."""
    return canonical(moving)[1:]


def moved(campaign: str, rows: Iterable[Row]) -> Row:
    """What an event says of the people whom it moved; the rows are as they are after it."""
    return {
        "campaign": campaign,
        "rows": {row["id"]: [row["version"], stands(row["id"], _moving(row))] for row in rows},
    }


# -- campaigns -------------------------------------------------------------------------------------------------------


def open_campaign(
    t: Transaction,
    campaign: str,
    sealed_key: bytes,
    body: Mapping[str, Any],
    event: Event,
    deliveries: Sequence[NewDelivery],
) -> Campaign:
    """As Campaigns.open."""
    text = canonical(dict(body))
    row = {"id": campaign, "version": 1, "opened_at": t.now, "body": text, "is_destroyed": False}
    if not t.add_new(campaigns, [row], within=("id",)):
        raise StaleHash(f"安否確認 {campaign} はもうあります (there is one of that name already)")
    t.connection.execute(campaign_keys.insert(), {"campaign": campaign, "sealed": sealed_key})
    append(t, event, deliveries, campaign=campaign_proof(campaign, 1, text))
    return Campaign(campaign, 1, t.at, dict(body), sealed_key)


def campaign_proof(campaign: str, version: int, body: str) -> Row:
    return {"id": campaign, "version": version, "digest": sha256(body)}


def append(t: Transaction, event: Event, deliveries: Sequence[NewDelivery], **proof: Any) -> None:
    """The event, with deliveries that it vouches for too."""
    if deliveries:
        proof["deliveries"] = write_deliveries(t, delivery_rows(deliveries))
    t.append(event, **proof)


def move_campaign(
    t: Transaction,
    campaign: str,
    expected_version: int,
    body: Mapping[str, Any],
    event: Event,
    deliveries: Sequence[NewDelivery],
    **more: Any,
) -> int:
    """As Campaigns.move. `more`: further proof."""
    version, text = expected_version + 1, canonical(dict(body))
    new = {"body": text, "version": version, "is_destroyed": "destroyed" in more, **t.written_by}
    its = {"campaign": campaign, "expected": expected_version}
    if not t.connection.execute(_MOVE.values(**new), its).rowcount:
        if t.connection.execute(_EXISTS, {"campaign": campaign}).one_or_none() is None:
            raise NotFound(f"安否確認 {campaign} はありません (no such campaign)")
        raise StaleHash(f"安否確認 {campaign} はほかの人が先に変えました (changed by somebody else meanwhile)")
    append(t, event, deliveries, campaign=campaign_proof(campaign, version, text), **more)
    return version


_MOVE = campaigns.update().where(
    campaigns.c.id == sa.bindparam("campaign"), campaigns.c.version == sa.bindparam("expected")
)
_EXISTS = sa.select(campaigns.c.id).where(campaigns.c.id == sa.bindparam("campaign"))
# Shared, so that no other node destroys it while this transaction adds something to it.
_IS_KEPT = _EXISTS.where(~campaigns.c.is_destroyed).with_for_update(read=True)


def is_kept(connection: sa.Connection, campaign: str) -> bool:
    """There is such a campaign, and it is not destroyed."""
    return connection.execute(_IS_KEPT, {"campaign": campaign}).one_or_none() is not None


def campaign_of(row: Any) -> Campaign:
    opened_at, body = _moment(row.opened_at), _json(row.body)
    return Campaign(row.id, row.version, opened_at, body, bytes(row.sealed or b""), row.is_destroyed)


# -- people ----------------------------------------------------------------------------------------------------------


def rows_of(campaign: str, new: Sequence[NewAsked]) -> tuple[Sequence[Row], Sequence[Row]]:
    """People and their links as rows, each once; outside any transaction."""
    people = {
        one.id: {
            "campaign": campaign,
            "id": one.id,
            **{code: getattr(one.codes, code) for code in _CODES},
            "round": one.round,
            "rung": one.rung,
            "progress": one.progress,
            "standing": one.standing,
            "is_conflict": False,
            "holder": "",
            "replies": 0,
            "version": 1,
            "sealed": one.sealed,
        }
        for one in new
    }
    tokens = {hashed: (one.id, whose) for one in new for hashed, whose in one.tokens.items()}
    return list(people.values()), link_rows(campaign, tokens)


def link_rows(campaign: str, tokens: Mapping[str, tuple[str, str]]) -> Sequence[Row]:
    return [
        {"hash": hashed, "campaign": campaign, "person": person, "whose": whose}
        for hashed, (person, whose) in tokens.items()
    ]


def add(
    t: Transaction,
    campaign: str,
    people: Sequence[Row],
    tokens: Sequence[Row],
    deliveries: Sequence[NewDelivery],
    event: Event,
) -> int:
    """As Campaigns.add."""
    if not is_kept(t.connection, campaign):
        raise NotFound(f"安否確認 {campaign} はないか、消去されました (no such campaign, or it is destroyed)")
    for row in people:
        row["moved_at"] = t.now
    added = t.add_new(asked, people, within=("campaign", "id"))
    proof: Row = {"asked": {"campaign": campaign, "count": len(added), "digest": digest(map(_asked, added))}}
    proof["people"] = moved(campaign, added)
    proof |= _add_links(t, campaign, tokens)
    append(t, event, deliveries, **proof)
    return len(added)


def _add_links(t: Transaction, campaign: str, tokens: Sequence[Row]) -> Row:
    added = t.add_new(links, tokens, within=("hash",))
    if not added:
        return {}
    return {"links": {"campaign": campaign, "count": len(added), "digest": digest(map(_link, added))}}


def climb(
    t: Transaction, campaign: str, climbing: Climbing, deliveries: Sequence[NewDelivery], event: Event
) -> Sequence[str]:
    """As Campaigns.climb."""
    up = [row for row in lock(t, campaign, climbing.ids) if _goes_up(row, climbing)]
    if not up:
        return []
    for row in up:
        row |= {
            "round": climbing.round,
            "rung": climbing.rung,
            "progress": climbing.progress,
            **({"standing": climbing.standing, "is_conflict": False} if climbing.standing else {}),
            "holder": climbing.holders.get(row["id"], row["holder"]),
            "version": row["version"] + 1,
            "moved_at": t.now,
        }
    keep(t, up)
    who = {row["id"] for row in up}
    tokens = {hashed: (person, whose) for hashed, (person, whose) in climbing.tokens.items() if person in who}
    proof = {"people": moved(campaign, up), **_add_links(t, campaign, link_rows(campaign, tokens))}
    append(t, event, _only_to(deliveries, who), **proof)
    return sorted(who)


def _goes_up(row: Row, climbing: Climbing) -> bool:
    if climbing.standing:
        is_in_need = row["standing"] in climbing.needs and row["progress"] != RESOLVED
        return bool(row["round"] < climbing.round) and row["progress"] not in DONE_WITH and not is_in_need
    rung = climbing.seen.get(row["id"], row["rung"])
    return row["progress"] in SILENT and row["round"] == climbing.round and bool(rung == row["rung"] < climbing.rung)


def _only_to(deliveries: Sequence[NewDelivery], who: set[str]) -> list[NewDelivery]:
    """Those destinations that are these people's."""
    left = [replace(d, destinations=tuple(_theirs(d, who))) if d.destinations else d for d in deliveries]
    return [new for new, old in zip(left, deliveries, strict=True) if new.destinations or not old.destinations]


def _theirs(delivery: NewDelivery, who: set[str]) -> Iterable[Any]:
    return (each for each in delivery.destinations if each.address.partition("/")[0] in who)


def mark(
    t: Transaction, campaign: str, person: str, expected_version: int, event: Event, changes: Mapping[str, Any]
) -> int:
    """As Campaigns.mark."""
    rows = lock(t, campaign, [person])
    if not rows:
        raise NotFound(f"安否確認 {campaign} にその人はいません (nobody of that id)")
    (row,) = rows
    if row["version"] != expected_version:
        raise StaleHash("この人のことは、ほかの人が先に変えました (changed by somebody else meanwhile)")
    row |= {**changes, "version": expected_version + 1, "moved_at": t.now}
    keep(t, [row])
    t.append(event, people=moved(campaign, [row]))
    return expected_version + 1


def lock(t: Transaction, campaign: str, ids: Sequence[str]) -> list[Row]:
    """Where these people stand; nobody else moves them until the transaction ends."""
    found = t.connection.execute(_LOCK, {"campaign": campaign, "ids": list(ids)})
    return [dict(row) for row in found.mappings()]


def keep(t: Transaction, rows: Sequence[Row]) -> None:
    """Write down where they stand now."""
    t.connection.execute(_KEEP, [{"of_campaign": r["campaign"], "of_id": r["id"], **_of(r)} for r in rows])


def _of(row: Row) -> Row:
    return {name: row[name] for name in MOVING}


_LOCK = (
    sa.select(asked.c.campaign, asked.c.id, *(asked.c[name] for name in MOVING))
    .where(asked.c.campaign == sa.bindparam("campaign"), among(asked.c.id, "ids"))
    .order_by(asked.c.id)  # locked in one order on every node
    .with_for_update()
)
_KEEP = (
    asked.update()
    .where(asked.c.campaign == sa.bindparam("of_campaign"), asked.c.id == sa.bindparam("of_id"))
    .values({name: sa.bindparam(name) for name in MOVING})
)


# -- looking ---------------------------------------------------------------------------------------------------------


def some(connection: sa.Connection, ids: Sequence[str]) -> Mapping[str, Campaign]:
    """Those of these campaigns that there are."""
    found = connection.execute(_SOME, {"ids": ids})
    return {row.id: campaign_of(row) for row in found}


def get(connection: sa.Connection, campaign: str) -> Campaign:
    """As Campaigns.get."""
    return there(campaign, some(connection, [campaign]).get(campaign))


def there(campaign: str, found: Campaign | None) -> Campaign:
    """Raises NotFound: it is not."""
    if found is None:
        raise NotFound(f"安否確認 {campaign} はありません (no such campaign)")
    return found


def all_campaigns(connection: sa.Connection) -> Sequence[Campaign]:
    found = connection.execute(_CAMPAIGNS.order_by(campaigns.c.opened_at.desc(), campaigns.c.id))
    return [campaign_of(row) for row in found]


_CAMPAIGNS = sa.select(campaigns, campaign_keys.c.sealed).outerjoin(
    campaign_keys, campaign_keys.c.campaign == campaigns.c.id
)
_SOME = _CAMPAIGNS.where(campaigns.c.id.in_(sa.bindparam("ids", expanding=True)))


def rows(connection: sa.Connection, campaign: str, ids: Sequence[str]) -> Sequence[Asked]:
    found = connection.execute(_ROWS, {"campaign": campaign, "ids": list(ids)})
    return [_as_asked(row) for row in found]


_ROWS = sa.select(asked).where(asked.c.campaign == sa.bindparam("campaign"), among(asked.c.id, "ids"))


def page(connection: sa.Connection, campaign: str, wanted: Wanted, after: str) -> Sequence[Asked]:
    """One page of Campaigns.each."""
    some = _wanted(campaign, wanted).where(asked.c.id > after)
    return [_as_asked(row) for row in connection.execute(some.order_by(asked.c.id).limit(ROWS))]


def furthest(connection: sa.Connection, campaign: str, wanted: Wanted, at_most: int, after: str) -> Sequence[Asked]:
    """As Campaigns.furthest. The database orders what it need not read: nobody is unsealed who is not shown."""
    some = _wanted(campaign, wanted)
    if after and (last := connection.execute(_STANDS, {"campaign": campaign, "id": after}).one_or_none()):
        some = some.where(sa.tuple_(*_UP_THE_LADDER) > sa.tuple_(*last, types=[each.type for each in _UP_THE_LADDER]))
    return [_as_asked(row) for row in connection.execute(some.order_by(*_UP_THE_LADDER).limit(at_most))]


_UP_THE_LADDER = (
    sa.case((asked.c.progress == UNREACHABLE, 0), else_=1),
    -asked.c.rung,
    asked.c.moved_at,
    asked.c.id,
)
_STANDS = sa.select(*_UP_THE_LADDER).where(
    asked.c.campaign == sa.bindparam("campaign"), asked.c.id == sa.bindparam("id")
)


def _wanted(campaign: str, wanted: Wanted) -> "sa.Select[Any]":
    some = sa.select(asked).where(asked.c.campaign == campaign)
    if wanted.progress is not None:
        some = some.where(asked.c.progress.in_(list(wanted.progress)))
    if wanted.below_rung is not None:
        some = some.where(asked.c.rung < wanted.below_rung)
    for name in (*_CODES, "standing", "holder", "round", "is_conflict"):
        if (value := getattr(wanted, name)) is not None:
            some = some.where(asked.c[name] == value)
    return some


def by_tokens(connection: sa.Connection, hashes: Sequence[str]) -> Mapping[str, tuple[Asked, str]]:
    """As Campaigns.by_token, of several: those of these links that there are."""
    found = connection.execute(_BY_TOKENS, {"hashes": hashes})
    return {row.hash: (_as_asked(row), row.whose) for row in found}


_BY_TOKENS = (
    sa.select(asked, links.c.hash, links.c.whose)
    .join(links, sa.and_(links.c.campaign == asked.c.campaign, links.c.person == asked.c.id))
    .join(campaigns, campaigns.c.id == asked.c.campaign)
    .where(links.c.hash.in_(sa.bindparam("hashes", expanding=True)), ~campaigns.c.is_destroyed)
)


def _as_asked(row: Any) -> Asked:
    return Asked(
        campaign=row.campaign,
        id=row.id,
        codes=Codes(row.cohort, row.quarter, row.facility, row.restricted, row.ladder),
        standing=row.standing,
        progress=row.progress,
        round=row.round,
        rung=row.rung,
        is_conflict=row.is_conflict,
        holder=row.holder,
        replies=row.replies,
        version=row.version,
        sealed=bytes(row.sealed),
        moved_at=_moment(row.moved_at),
    )


def totals(connection: sa.Connection, campaign: str) -> Sequence[Counted]:
    """As Campaigns.totals."""
    return [
        Counted(Codes(*row[:5]), row.standing, row.progress, row.is_conflict, row.rung, bool(row.is_held), row.count_of)
        for row in connection.execute(_TOTALS, {"campaign": campaign})
    ]


# In the order of the index, off which it is read without sorting; what is left to put together is as few as there are cells.
_COUNTED = (
    sa.select(*(asked.c[name] for name in COUNTED), sa.func.count().label("people"))
    .where(asked.c.campaign == sa.bindparam("campaign"))
    .group_by(*(asked.c[name] for name in COUNTED))
    .subquery()
)
_BY = (
    *(_COUNTED.c[name] for name in (*_CODES, "standing", "progress", "is_conflict", "rung")),
    (_COUNTED.c.holder != "").label("is_held"),
)
_TOTALS = sa.select(*_BY, sa.cast(sa.func.sum(_COUNTED.c.people), sa.BigInteger).label("count_of")).group_by(*_BY)


def open_cases(connection: sa.Connection, campaign: str) -> Mapping[str, int]:
    """As Campaigns.open_cases."""
    return {row.holder: row.cases for row in connection.execute(_open_cases(), {"campaign": campaign})}


@cache
def _open_cases() -> Any:
    is_open = asked.c.progress.in_([*SILENT, "unreachable", "conflict"])
    return (
        sa.select(asked.c.holder, sa.func.count().label("cases"))
        .where(asked.c.campaign == sa.bindparam("campaign"), asked.c.holder != "", is_open)
        .group_by(asked.c.holder)
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, JST)


def _json(text: str) -> Mapping[str, Any]:
    body: Mapping[str, Any] = json.loads(text)
    return body
