"""What the desk does when nobody asks: what has waited too long, who has to be told again, what is overdue.

    a submission   an approver is called at once; ten minutes without an approval: stale, and paged; it is never approved by itself
    緊急発表         sent by one person: an approver is paged at 0, 60 and 120 s, until somebody confirms it
    a live alert   its promised next update has passed; a medium refused somebody for good; facilities are left to the telephone
    a sender       nobody of whom anything went out on a drill node for a month is reminded to rehearse

What is owed stands in the ledger as records of kind `page`, so a restart forgets nobody and tells nobody twice.

Source: design.md §3, §9; issue "Rules, once, in the desk".
"""

from asyncio import TaskGroup
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from dispatcher import cap
from dispatcher.clock import Clock
from dispatcher.errors import StaleHash, StorageFull
from dispatcher.ledger import Event, Ledger
from dispatcher.log import logger
from dispatcher.model.alert import Added
from dispatcher.model.draft import ENDING, Draft, Happening, State, Verb, advance
from dispatcher.staff.duty import Duty
from dispatcher.staff.gates import Gates
from dispatcher.staff.messages import PAGE
from dispatcher.tracking.reach import rungs_kind

LOOK_EVERY_S = 1.0
AGAIN = timedelta(seconds=30)
"""After a mail that the relay did not take: every other one would wait for the same relay."""
REHEARSED_WITHIN = timedelta(days=31)
LADDERS_S: Mapping[str, Sequence[float]] = {
    "break-glass": (0.0, 60.0, 120.0),
    "waiting": (0.0,),
    "stale": (0.0,),
    "overdue": (0.0,),
    "failed": (0.0,),
    "facilities": (0.0,),
    "rehearse": (0.0,),
    "intake": (0.0,),
}
"""Seconds after which somebody is told, and told again."""

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """Somebody has to be told: `why` is the ladder, `told` how many of its rungs were."""

    key: str
    version: int
    why: str
    since: datetime
    told: int

    @classmethod
    def of(cls, key: str, version: int, body: Mapping[str, Any]) -> "Page":
        return cls(key, version, body["why"], datetime.fromisoformat(body["since"]), body["told"])

    @property
    def subject(self) -> str:
        return self.key.split(":")[1]


class Standing:
    """Runs beside the outbox."""

    def __init__(self, ledger: Ledger, clock: Clock, gates: Gates, duty: Duty) -> None:
        self._ledger = ledger
        self._clock = clock
        self._gates = gates
        self._duty = duty
        self._untold_until = clock.now()

    async def run(self) -> None:
        """Until cancelled. Gates are read beside the rest: a relay that hangs must not keep open what another node has closed."""
        async with TaskGroup() as tasks:
            tasks.create_task(self._every(self._gates.read))
            tasks.create_task(self._every(self.look))

    async def _every(self, look: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await look()
            except (StorageFull, StaleHash) as busy:
                # Somebody wrote it at the same moment, or the disk is full: the next look sees what stands then.
                log.warning("ledger.retrying", reason=type(busy).__name__)
            await self._clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Everything that is due now, once."""
        await self._gates.read()
        now = self._clock.now()
        known = {key for key, _, _ in await self._ledger.records(PAGE)}
        drafts = [Draft.from_body(version, body) for _, version, body in await self._ledger.drafts()]
        for draft in drafts:
            if draft.broken_glass_by and not draft.confirmed_by and f"break-glass:{draft.identifier}" not in known:
                await self._owe("break-glass", draft.identifier, draft.submitted_at or now)
            if draft.state is not State.PENDING or draft.submitted_at is None:
                continue
            if draft.is_out_of_time(now):
                await self._grow_stale(draft, now)
            elif f"waiting:{draft.identifier}:{draft.version}" not in known:
                await self._owe("waiting", f"{draft.identifier}:{draft.version}", now)
        await self._look_at_alerts(now, known)
        await self._look_at_senders(now, known)
        await self._tell(now, {draft.identifier: draft for draft in drafts})

    async def _grow_stale(self, draft: Draft, now: datetime) -> None:
        stale = replace(draft, state=advance(draft.state, Happening.TIMED_OUT), hash=None)
        event = Event("draft.stale", draft.identifier, {"since": (draft.submitted_at or now).isoformat()})
        await self._ledger.save_draft(draft.identifier, draft.version, stale.body(), event)
        await self._owe("stale", f"{draft.identifier}:{draft.version}", now)

    async def _look_at_alerts(self, now: datetime, known: set[str]) -> None:
        for alert in await self._ledger.alerts(only_live=True):
            if f"facilities:{alert.identifier}" not in known and await self._is_left_to_telephone(alert.identifier):
                await self._owe("facilities", alert.identifier, now)
            if Verb(alert.verb) in ENDING:
                continue
            for line in await self._ledger.tally(alert.identifier):
                if line.failed and f"failed:{alert.identifier}:{line.channel}" not in known:
                    await self._owe("failed", f"{alert.identifier}:{line.channel}", now)
            promised = next_update(alert.cap_xml)
            if promised is not None and promised < now and f"overdue:{alert.identifier}" not in known:
                await self._owe("overdue", alert.identifier, now)

    async def _is_left_to_telephone(self, identifier: str) -> bool:
        """Has the ladder of its facilities come to staff?"""
        return any(body["to_call"] for _, _, body in await self._ledger.records(rungs_kind(identifier)))

    async def _look_at_senders(self, now: datetime, known: set[str]) -> None:
        """Once a month for everybody who has ever sent here and not lately."""
        if not self._duty.is_rehearsing:
            return
        last: dict[str, datetime] = {}
        for _, _, body in await self._ledger.drafts():
            for name in filter(None, (body["submitted_by"],)):
                at = datetime.fromisoformat(body["submitted_at"])
                last[name] = max(last.get(name, at), at)
        for name, at in last.items():
            key = f"{name.replace(':', '：')}:{now:%Y-%m}"
            if now - at > REHEARSED_WITHIN and f"rehearse:{key}" not in known:
                await self._owe("rehearse", key, now)

    async def _owe(self, why: str, of: str, now: datetime) -> None:
        body = {"why": why, "since": now.isoformat(), "told": 0}
        await self._ledger.save_record(
            PAGE, f"{why}:{of}", 0, body, Event("page.owed", of.split(":", maxsplit=1)[0], {"why": why})
        )

    async def _tell(self, now: datetime, drafts: Mapping[str, Draft]) -> None:
        for page in [Page.of(*kept) for kept in await self._ledger.records(PAGE)]:
            ladder = LADDERS_S[page.why]
            if page.told >= len(ladder) or (now - page.since).total_seconds() < ladder[page.told]:
                continue
            if _is_moot(page.why, drafts.get(page.subject)):
                told = len(ladder)
            elif now < self._untold_until:
                continue
            else:
                # What came due while the relay was away is one mail, not several at once.
                told = sum(rung_s <= (now - page.since).total_seconds() for rung_s in ladder)
                if not await self._duty.tell(page.why, page.subject, told, len(ladder)):
                    self._untold_until = now + AGAIN
                    continue
            body = {"why": page.why, "since": page.since.isoformat(), "told": told}
            event = Event("page.told", page.subject, {"why": page.why, "rung": told, "to": self._duty.name})
            await self._ledger.save_record(PAGE, page.key, page.version, body, event)


def _is_moot(why: str, draft: Draft | None) -> bool:
    """Whether what was to be told has been dealt with meanwhile."""
    if draft is None:
        return False
    if why == "break-glass":
        return draft.confirmed_by is not None
    return why == "waiting" and draft.state is not State.PENDING


def next_update(cap_xml: bytes) -> datetime | None:
    """When the alert said that people would hear again."""
    said = next((i.added(Added.NEXT_UPDATE) for i in cap.read(cap_xml).info if i.added(Added.NEXT_UPDATE)), None)
    return datetime.fromisoformat(said) if said else None
