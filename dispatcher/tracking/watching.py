"""見守り: switched on once, a day's 「お元気ですか」 begins by itself, every day at its time, until somebody switches it off.

Whoever has the cohort `watch` in the roster has agreed to it, and nobody else is asked (config/ladders/watch.yaml). One timer
stands in the outbox: the next day's. It is written in the transaction that opens the day's campaign, which has a name that it can
have only once: killed at any step, a day is neither lost nor asked twice. A day whose time was slept through is noted and said,
and not made up for: nobody is woken at night to be asked how they are.

    watch:clock:safety/daily/<number>/<day>      begins this day's campaign, watch-<day>; `number`: times it was switched on

Source: design.md §8; issue "Everyday use of the same loop"; model/policy.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any

from dispatcher.clock import JST, Clock
from dispatcher.errors import Finding, InvalidInput, NotFound, StaleHash
from dispatcher.ledger import Event, Ledger, NewDelivery
from dispatcher.model.delivery import Priority
from dispatcher.steps.dispatch import CLOCK

RECORD, KEY = "watch", "daily"
WHAT = "daily"
GRACE = timedelta(hours=2)
"""So late a day may still begin."""
LASTS = timedelta(hours=23)
"""A day ends before the next one begins."""
EARLIEST, LATEST = time(6), time(11)
"""Begun later, the ladder would walk to supporters at night."""
MOST_MISSED = 7
"""Missed days that are kept to be shown."""
AHEAD = timedelta(minutes=1)
"""Switched on closer to its time than this, it begins on the next day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The standing watch, as it was agreed to."""

    at: str
    """HH:MM in Japan."""
    quarters: tuple[str, ...]
    by: str
    """Who switched it on, and who agreed."""
    number: int
    """Times that it was switched on: a timer of an earlier one begins nothing."""
    is_on: bool = True
    missed: tuple[str, ...] = ()
    """The last days that did not begin because no node was up."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Watch":
        return cls(**{**body, "quarters": tuple(body["quarters"]), "missed": tuple(body["missed"])})

    def on(self, day: date) -> datetime:
        return datetime.combine(day, time.fromisoformat(self.at), JST)

    def after(self, now: datetime) -> date:
        """The first day whose time is still to come."""
        today = now.astimezone(JST).date()
        return today if self.on(today) > now else today + timedelta(days=1)

    def timer(self, room: str, day: date) -> NewDelivery:
        return NewDelivery(
            key=f"{RECORD}:{CLOCK}:{room}/{WHAT}/{self.number}/{day}",
            identifier=RECORD,
            channel=CLOCK,
            priority=Priority.ROUTINE,
            destinations=(),
            expires_at=None,
            not_before=self.on(day),
        )


def time_of(text: str) -> str:
    """HH:MM as it is kept.

    Raises:
        InvalidInput: no time of day, or none from EARLIEST to LATEST.
    """
    try:
        at = time.fromisoformat(text.strip())
    except ValueError:
        at = None
    if at is None or at.tzinfo or not EARLIEST <= at <= LATEST:
        raise InvalidInput(
            [Finding("time", "6:00〜11:00 の時刻を 09:00 のように書いてください (a time from 06:00 to 11:00)")]
        )
    return f"{at:%H:%M}"


@dataclass(frozen=True, slots=True)
class Watching:
    """What is kept of it, in the ledger."""

    ledger: Ledger
    clock: Clock
    room: str

    async def kept(self) -> Watch | None:
        """None: it was never switched on."""
        return (await self._kept())[1]

    async def _kept(self) -> tuple[int, Watch | None]:
        try:
            version, body = await self.ledger.read_record(RECORD, KEY)
        except NotFound:
            return 0, None
        return version, Watch.of(body)

    async def switch_on(self, by: str, quarters: Sequence[str], at: str) -> None:
        """In place of the one that there is, if there is one. Raises InvalidInput."""
        at = time_of(at)
        while True:
            version, old = await self._kept()
            new = Watch(at=at, quarters=tuple(quarters), by=by, number=old.number + 1 if old else 1)
            # The timer first: without the record it begins nothing, and a record without a timer would be a silent watch.
            await self.ledger.add_deliveries([new.timer(self.room, new.after(self.clock.now() + AHEAD))])
            event = Event("safety.watch-on", "", {"by": by, "at": at})
            if await self._save(version, new, event):
                self.ledger.wake()
                return

    async def switch_off(self, by: str) -> None:
        while True:
            version, old = await self._kept()
            if old is None or not old.is_on:
                return
            if await self._save(version, replace(old, is_on=False), Event("safety.watch-off", "", {"by": by})):
                return

    async def missed(self, days: Sequence[date]) -> None:
        """Said once a day, however often it is noted."""
        while True:
            version, old = await self._kept()
            new = [str(day) for day in days if old and str(day) not in old.missed]
            if old is None or not new:
                return
            noted = replace(old, missed=(*old.missed, *new)[-MOST_MISSED:])
            event = Event("safety.watch-missed", "", {"days": new})
            if await self._save(version, noted, event):
                return

    async def _save(self, version: int, watch: Watch, event: Event) -> bool:
        try:
            await self.ledger.save_record(RECORD, KEY, version, asdict(watch), event)
        except StaleHash:
            return False
        return True


def due_days(watch: Watch, day: date, now: datetime) -> tuple[Sequence[date], date]:
    """Days that were slept through, a week's at most, and the one that is to be looked at last: today's, or the last of them.

    The timer's own day counts as come even where this machine's clock is behind the one that said so.
    """
    last = max(day, watch.after(now) - timedelta(days=1))
    first = max(day, last - timedelta(days=MOST_MISSED - 1))
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    is_late = now - watch.on(last) > GRACE
    return (days if is_late else days[:-1]), last
