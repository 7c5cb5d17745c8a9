"""What was heard: replies, only ever added, each with the move of the person whom it is about.

Thousands of people answer within minutes, each on a connection of their own: their replies share commits (`Gathering`), one event
for each campaign in it. Who folded a reply over what somebody else has moved meanwhile is told so and folds again; nothing
that was heard is thrown away for it.

Source: dispatcher/campaigns.py; design.md §8; facts.md §Engine ("group commit").
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

import sqlalchemy as sa

from dispatcher.campaigns import KeptReply, NewReply, Taken
from dispatcher.clock import JST
from dispatcher.errors import NotFound, StaleHash
from dispatcher.ledger import Event
from dispatcher.ledgers.asking import is_kept, keep, lock, moved
from dispatcher.ledgers.chain import digest
from dispatcher.ledgers.dialect import Row
from dispatcher.ledgers.schema import among, replies
from dispatcher.ledgers.transaction import Transaction

REPLY = ("campaign", "id", "person", "number", "at", "standing", "is_conflict", "sealed")
"""What the event that wrote the row vouches for; `settled` moves, and the event that moved it says so."""
_reply = itemgetter(*REPLY)


def reply(t: Transaction, new: Sequence[NewReply]) -> Sequence[Taken]:
    """As Campaigns.reply; the answers in the order of the replies."""
    taken: dict[int, Taken] = {}
    in_order = sorted(enumerate(new), key=lambda pair: pair[1].campaign)
    for campaign, of_campaign in groupby(in_order, key=lambda pair: pair[1].campaign):
        some = list(of_campaign)
        for (place, _), answer in zip(some, _of_campaign(t, campaign, [one for _, one in some]), strict=True):
            taken[place] = answer
    return [taken[place] for place in range(len(new))]


def _of_campaign(t: Transaction, campaign: str, new: Sequence[NewReply]) -> Sequence[Taken]:
    if not is_kept(t.connection, campaign):
        return [Taken.GONE] * len(new)
    # Locked in the order of their ids before anything is looked at, so that two nodes see each other's replies.
    people = {row["id"]: row for row in lock(t, campaign, list({one.person for one in new if one.person}))}
    there = set(t.connection.execute(_THERE, {"campaign": campaign, "ids": [one.id for one in new]}).scalars())
    added: list[Row] = []
    touched: dict[str, Row] = {}
    answers = []
    for one in new:
        person = people.get(one.person)
        if one.id in there:
            answers.append(Taken.SAME)
        elif one.person and person is None:
            answers.append(Taken.GONE)
        elif person is not None and person["version"] != one.expected_version:
            answers.append(Taken.STALE)
        else:
            there.add(one.id)
            answers.append(Taken.NEW)
            if person is not None:
                touched[one.person] = _moved(person, one, t.now)
            added.append(_row(one, 0 if person is None else person["replies"]))
    if added:
        t.add_new(replies, added, within=("campaign", "id"))
        proof = {"campaign": campaign, "count": len(added), "digest": digest(map(_reply, added))}
        if touched:
            keep(t, list(touched.values()))
        event = Event("safety.heard", campaign, {"count": len(added)})
        t.append(event, replies=proof, people=moved(campaign, touched.values()))
    return answers


def _moved(person: Row, one: NewReply, now: float) -> Row:
    person |= {
        "standing": one.standing,
        "progress": one.progress,
        "is_conflict": one.is_conflict,
        "replies": person["replies"] + 1,
        "version": person["version"] + 1,
        "moved_at": now,
    }
    return person


def _row(one: NewReply, number: int) -> Row:
    return {
        "campaign": one.campaign,
        "id": one.id,
        "person": one.person,
        "number": number,
        "at": one.at.timestamp(),
        "standing": one.standing,
        "is_conflict": one.is_conflict,
        "settled": "",
        "sealed": one.sealed,
    }


_THERE = sa.select(replies.c.id).where(replies.c.campaign == sa.bindparam("campaign"), among(replies.c.id, "ids"))


def settle(t: Transaction, campaign: str, one: str, settled: str, event: Event) -> None:
    """As Campaigns.settle."""
    its = {"of_campaign": campaign, "of_id": one, "settled": settled}
    if not t.connection.execute(_SETTLE, its).rowcount:
        found = t.connection.execute(_ONE, {"campaign": campaign, "id": one}).one_or_none()
        if found is None or found.person:
            raise NotFound("その知らせはありません (no such report without a person)")
        raise StaleHash("その知らせは、ほかの人が先に確かめました (somebody else settled it)")
    t.append(event, settled={"campaign": campaign, "reply": one, "settled": settled})


_SETTLE = (
    replies.update()
    .where(
        replies.c.campaign == sa.bindparam("of_campaign"),
        replies.c.id == sa.bindparam("of_id"),
        replies.c.person == "",
        replies.c.settled == "",
    )
    .values(settled=sa.bindparam("settled"))
)
_ONE = sa.select(replies.c.person).where(
    replies.c.campaign == sa.bindparam("campaign"), replies.c.id == sa.bindparam("id")
)


def of_person(connection: sa.Connection, campaign: str, person: str) -> Sequence[KeptReply]:
    """As Campaigns.replies."""
    found = connection.execute(_OF_PERSON, {"campaign": campaign, "person": person})
    return sorted(map(_as_reply, found), key=attrgetter("number", "at", "id"))


def _as_reply(row: Any) -> KeptReply:
    return KeptReply(
        campaign=row.campaign,
        id=row.id,
        person=row.person,
        number=row.number,
        at=datetime.fromtimestamp(row.at, JST),
        standing=row.standing,
        is_conflict=row.is_conflict,
        sealed=bytes(row.sealed),
        settled=row.settled,
    )


_OF_PERSON = sa.select(replies).where(
    replies.c.campaign == sa.bindparam("campaign"), replies.c.person == sa.bindparam("person")
)
