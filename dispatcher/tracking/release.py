"""災対法49条の11第3項: while lives are in danger, supporters may be told of people who have not agreed to it in advance.

Two people of the staff open it for a reason and for so many hours (staff/asking.py); who is under 閲覧制限 is never told of. It is
looked at when people are written down for a campaign, and whenever a list for supporters is made.

Source: 災害対策基本法 第49条の11 第3項; design.md §8 "a named, logged, expiring switch".
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from dispatcher.clock import JST, Clock
from dispatcher.errors import NotFound
from dispatcher.ledger import Event, Ledger

KIND = "safety-release"


@dataclass(frozen=True, slots=True)
class Release:
    """One release, as long as it is in force."""

    by: str
    agreed_by: str
    reason: str
    until: datetime


class Releases:
    """Of one ledger."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def current(self) -> Release | None:
        """The one that is in force; None if there is none, or its time is over."""
        try:
            _, body = await self._ledger.read_record(KIND, KIND)
        except NotFound:
            return None
        until = datetime.fromisoformat(body["until"]).astimezone(JST)
        if until <= self._clock.now():
            return None
        return Release(body["by"], body["agreed_by"], body["reason"], until)

    async def begin(self, by: str, agreed_by: str, reason: str, hours: int) -> None:
        """From now on, for so many hours; instead of one that is in force."""
        until = self._clock.now() + timedelta(hours=hours)
        body = {"by": by, "agreed_by": agreed_by, "reason": reason, "until": until.isoformat()}
        try:
            version, _ = await self._ledger.read_record(KIND, KIND)
        except NotFound:
            version = 0
        await self._ledger.save_record(KIND, KIND, version, body, Event("roster.released", "", body))

    async def end(self, by: str) -> None:
        """Before its time. Raises NotFound where there is none."""
        version, _ = await self._ledger.read_record(KIND, KIND)
        await self._ledger.save_record(KIND, KIND, version, None, Event("roster.release-ended", "", {"by": by}))
