"""What came back: outcomes that a channel told, receipts that recipients' devices sent.

Both are only ever added, each by one event that bears its digest. An outcome is final (taken, duplicate, permanent) or it is
the first word of trouble (temporary, unknown); of either kind a destination has at most one, so a late or repeated telling
changes nothing.

Source: design.md §3 "A state says what was *seen*", §6 outcomes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from dispatcher.ledger import Claim, Event
from dispatcher.ledgers.chain import digest
from dispatcher.ledgers.dialect import Row
from dispatcher.ledgers.schema import deliveries, outcomes, receipts
from dispatcher.ledgers.transaction import Transaction
from dispatcher.model.delivery import Outcome, Received, Told

TAKEN = frozenset({Outcome.TAKEN, Outcome.DUPLICATE})
FINAL = TAKEN | {Outcome.PERMANENT}

OUTCOME = ("delivery", "address", "is_final", "outcome", "words", "medium_id", "at")
RECEIPT = ("identifier", "channel", "address", "receipt", "at", "words")
"""What the event that wrote the row vouches for."""
_outcome, _received = itemgetter(*OUTCOME), itemgetter(*RECEIPT)


def tell(t: Transaction, told: Sequence[tuple[Claim, Told]]) -> Sequence[None]:
    """Outcomes of running attempts, an event for each alert."""
    for identifier, of_alert in groupby(sorted(told, key=lambda pair: pair[0].identifier), lambda p: p[0].identifier):
        proof = add_outcomes(t, of_alert)
        if proof["count"]:
            t.append(Event("outcomes.told", identifier, {"count": proof["count"]}), outcomes=proof)
    return [None] * len(told)


def add_outcomes(t: Transaction, told: Iterable[tuple[Claim, Told]]) -> Row:
    """Write down what is new; returns what the event that `t` appends next has to vouch for."""
    now = t.now
    claims: dict[int, Claim] = {}
    rows: dict[tuple[int, str, bool], Row] = {}
    for claim, said in told:
        claims[claim.id] = claim
        is_final = said.outcome in FINAL
        rows.setdefault(
            (claim.id, said.address, is_final),
            {
                "delivery": claim.id,
                "address": said.address,
                "is_final": is_final,
                "outcome": said.outcome.value,
                "words": said.words,
                "medium_id": said.medium_id,
                "at": now,
            },
        )
    added = t.add_new(outcomes, list(rows.values()), within=("delivery",))
    counts = Counter((row["delivery"], row["outcome"]) for row in added)
    for (delivery, outcome), count in counts.items():
        _count(t, claims[delivery], outcome, count)
    for row in added:
        if row["words"] and row["outcome"] not in TAKEN:
            say(t, claims[row["delivery"]], row["words"])
    return {"count": len(added), "digest": digest(map(_outcome, added))}


def _count(t: Transaction, claim: Claim, outcome: str, count: int) -> None:
    if outcome == Outcome.PERMANENT:
        t.tally(claim.identifier, claim.channel, refused=count)
    elif outcome in TAKEN:
        row = t.tally(claim.identifier, claim.channel, taken=count)
        row["first_taken_at"] = row["first_taken_at"] or t.now
        row["last_taken_at"] = t.now


def say(t: Transaction, claim: Claim, words: str) -> None:
    """Keep the medium's own words for the board."""
    row = t.tally(claim.identifier, claim.channel)
    row["last_words"], row["last_words_at"] = words, t.now


def record(t: Transaction, received: Sequence[Received]) -> Sequence[bool]:
    """Receipts, an event for each alert; says of each whether it was new."""
    new: set[tuple[str, str, str, str]] = set()
    for identifier, of_alert in groupby(sorted(received, key=lambda r: r.identifier), lambda r: r.identifier):
        rows: dict[tuple[str, str, str, str], Row] = {}
        for r in of_alert:
            rows.setdefault(
                (r.identifier, r.channel, r.address, r.receipt.value),
                {
                    "identifier": r.identifier,
                    "channel": r.channel,
                    "address": r.address,
                    "receipt": r.receipt.value,
                    "at": r.at.timestamp(),
                    "words": r.words,
                },
            )
        added = t.add_new(receipts, list(rows.values()), within=("identifier", "channel", "address"))
        if not added:
            continue
        counts = Counter((row["channel"], row["receipt"]) for row in added)
        for (channel, receipt), count in counts.items():
            t.tally(identifier, channel, **{receipt: count})
        proof = {"count": len(added), "digest": digest(map(_received, added))}
        facts: dict[str, dict[str, int]] = {}
        for (channel, receipt), count in counts.items():
            facts.setdefault(channel, {})[receipt] = count
        t.append(Event("receipts.recorded", identifier, facts), receipts=proof)
        new |= {(row["identifier"], row["channel"], row["address"], row["receipt"]) for row in added}
    return [_first(new, (r.identifier, r.channel, r.address, r.receipt.value)) for r in received]


def _first(new: set[Any], key: Any) -> bool:
    if key in new:
        new.discard(key)
        return True
    return False


remaining: sa.ColumnElement[int] = (
    deliveries.c.size
    - sa.select(sa.func.count())
    .where(outcomes.c.delivery == deliveries.c.id, outcomes.c.is_final)
    .correlate(deliveries)
    .scalar_subquery()
)
"""Destinations of a delivery without a final outcome."""
