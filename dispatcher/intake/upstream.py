"""What is known of each event that came in: its order, what holds for the city now, the drafts that came of it.

It stands in the ledger as records of kind `upstream`, one an event, so that a restart neither repeats nor forgets. The desk reads
the same records: a text that was written before the last telegram may have been overtaken (staff/guards.py).

Source: design.md §7 "ordered by EventID and Serial"; issue "stale-content guard".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dispatcher.clock import JST
from dispatcher.intake.decide import Decision, Outcome, after
from dispatcher.intake.order import ANOTHER_EVENT, Known, event_key
from dispatcher.intake.telegram import InfoType, Telegram
from dispatcher.ledger import Event, Ledger
from dispatcher.staff.guards import UPSTREAM

MOST_DRAFTS = 20
FORGOTTEN_AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft as this system wrote it: in another version it was touched by somebody."""

    identifier: str
    version: int


@dataclass(frozen=True, slots=True)
class Remembered:
    """An event as the ledger has it; version 0 is a new one."""

    key: str
    version: int
    known: Known | None
    at: str
    """When what is said of the city last changed, RFC 3339; "" for a new one."""
    drafts: tuple["Drafted", ...] = ()
    """Newest last."""
    kin: tuple["Drafted", ...] = ()
    """Drafts of the same event's other telegrams (津波警報 and 津波情報; 震度速報 and 震源・震度情報): one event is told once."""


async def recall(ledger: Ledger, telegram: Telegram) -> Remembered:
    """The event that this telegram belongs to."""
    key = event_key(telegram)
    found = {key: (version, body) for key, version, body in await ledger.records(UPSTREAM)}
    kin = tuple(
        drafted
        for other, (_, body) in found.items()
        if other != key
        and telegram.event_id
        and body["event"] == telegram.event_id
        and body["status"] == telegram.status
        for drafted in _drafted(body)
    )
    if key not in found:
        return Remembered(key, 0, None, "", kin=kin)
    version, body = found[key]
    return Remembered(key, version, _known(body), body["at"], _drafted(body), kin)


async def remember(
    ledger: Ledger,
    event: Remembered,
    telegram: Telegram,
    decision: Decision,
    *,
    source: str,
    policy: str,
    draft: Drafted | None = None,
) -> None:
    """Write down what this telegram came to; `draft` is the draft that came of it.

    Raises:
        StaleHash, StorageFull: nothing was written.
    """
    now = after(event.known, telegram, decision)
    at = telegram.reported.isoformat() if decision.verb is not None or not event.at else event.at
    drafts = [*event.drafts]
    if draft is not None:
        drafts = [*(d for d in drafts if d.identifier != draft.identifier), draft][-MOST_DRAFTS:]
    body = {
        "title": telegram.name,
        "event": telegram.event_id or telegram.series,
        "status": telegram.status,
        "serial": now.serial,
        "reported": now.reported.isoformat(),
        "info_type": now.info_type,
        "digest": now.digest,
        "template": now.template,
        "kinds": list(now.kinds),
        "quarters": list(now.quarters),
        "at": at,
        "drafts": [[d.identifier, d.version] for d in drafts],
        "decision": decision.outcome,
        "reason": decision.reason,
        "source": source,
    }
    facts = {name: body[name] for name in ("title", "status", "serial", "decision", "reason", "source", "template")}
    if decision.outcome is Outcome.SENT:
        facts["policy"] = policy
    happened = Event("intake.taken", draft.identifier if draft is not None else "", {**facts, "type": decision.type})
    await ledger.save_record(UPSTREAM, event.key, event.version, body, happened)


async def forget(ledger: Ledger, now: datetime) -> None:
    """Events whose last telegram is long past; a few at a time."""
    old = [
        (key, version)
        for key, version, body in await ledger.records(UPSTREAM)
        if now - datetime.fromisoformat(body.get("reported", body["at"])) > ANOTHER_EVENT
    ]
    for key, version in old[:FORGOTTEN_AT_ONCE]:
        await ledger.save_record(UPSTREAM, key, version, None, Event("intake.forgotten", "", {"event": key}))


def _drafted(body: Mapping[str, Any]) -> tuple[Drafted, ...]:
    return tuple(Drafted(identifier, version) for identifier, version in body["drafts"])


def _known(body: Mapping[str, Any]) -> Known:
    return Known(
        serial=body["serial"],
        reported=datetime.fromisoformat(body["reported"]).astimezone(JST),
        info_type=InfoType(body["info_type"]),
        digest=body["digest"],
        template=body["template"],
        kinds=tuple(body["kinds"]),
        quarters=tuple(body["quarters"]),
    )
