"""The only place that knows what time it is and the only place that waits.

Tests, drills and replays run on their own time, so nobody else may ask the machine. Two clocks in one port, on purpose:
`now()` is what people and CAP see and may jump when NTP corrects it; `monotonic()` measures how long something took and
never jumps, so leases, time-outs and back-off use it.

Source: CAP 1.2 §3.3.2 (an offset, never `Z`); design.md §10.
"""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

JST = ZoneInfo("Asia/Tokyo")


class Clock(Protocol):
    """What time it is, and waiting for it."""

    def now(self) -> datetime:
        """The wall clock, aware, in Japan's offset, whole microseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds of this clock."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        return datetime.now(JST)  # noqa: TID251 - this is the door that the rule points to

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)  # noqa: TID251 - this is the door that the rule points to


class HurriedClock(SystemClock):
    """The machine's own time, of which people see more than passes: for rehearsals of what takes an hour.

    What is measured and waited for goes on in true seconds: only `now` runs, from the moment on at which it is told to.
    """

    def __init__(self) -> None:
        self._rate = 1.0
        self._since = super().now()
        self._seen = self._since

    def now(self) -> datetime:
        return self._seen + (super().now() - self._since) * self._rate

    def hurry(self, rate: float) -> None:
        """From now on so many times as fast."""
        self._seen, self._since, self._rate = self.now(), super().now(), rate


class ManualClock:
    """A clock that stands still until it is moved: for tests, and for replays at full speed."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(JST)
        self._elapsed_s = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed_s

    async def sleep(self, delay_s: float) -> None:
        if delay_s <= 0:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._elapsed_s + delay_s, waiter))
        await waiter

    def advance(self, by_s: float) -> None:
        """Move time on; everybody whose moment has come wakes at the next turn of the loop."""
        self._now += timedelta(seconds=by_s)
        self._elapsed_s += by_s
        due = [waiter for at_s, waiter in self._sleepers if at_s <= self._elapsed_s]
        self._sleepers = [(at_s, waiter) for at_s, waiter in self._sleepers if at_s > self._elapsed_s]
        for waiter in due:
            if not waiter.done():
                waiter.set_result(None)
