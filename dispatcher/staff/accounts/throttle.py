"""Wrong answers slow the next one down: by name and by address, over a restart, up to a quarter of an hour.

An attempt is written down as failed before it is looked at and taken back if it was right, so a hundred at once count as a
hundred. A name has one counter for strangers and one for each address that its owner lately signed in from: who guesses at a
duty officer's name cannot lock the officer out of headquarters. Counters stand in 65,536 buckets by hash, whether a name exists
or not, so that neither the answer nor the table's size tells anything.

Source: NIST SP 800-63B-4 §3.2.2; OWASP Authentication Cheat Sheet "Login throttling".
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dispatcher.clock import Clock
from dispatcher.errors import NotFound, StaleHash, Throttled
from dispatcher.ledger import Ledger
from dispatcher.listening import block

KIND = "throttle"
FREE_OF_NAME, FREE_OF_ADDRESS = 3, 20
"""So many wrong answers cost nothing: fingers slip, and a city hall may have one address."""
LONGEST_S = 900.0
FORGET_S = 3600.0
"""After so long without an attempt a counter begins anew."""
MAX_RACES = 10


@dataclass(frozen=True, slots=True)
class Counter:
    """One thing that is counted. `free`: how many failures cost nothing."""

    key: str
    free: int


def place_of(remote: str) -> str:
    """An address as it is counted, hashed, because the register keeps it."""
    return _digest(block(remote))[:32]


def of_name(key: str, place: str | None) -> Counter:
    """The counter of a name, for strangers or (`place`) for one address that its owner is known from."""
    return Counter(f"name-{_bucket(key)}" if place is None else f"known-{_bucket(f'{key}|{place}')}", FREE_OF_NAME)


def of_place(place: str) -> Counter:
    return Counter(f"place-{_bucket(place)}", FREE_OF_ADDRESS)


def of_factor(key: str) -> Counter:
    """Second factors asked for in a session."""
    return Counter(f"factor-{_bucket(key)}", FREE_OF_NAME)


def _bucket(text: str) -> str:
    return _digest(text)[:4]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def wait_s(failures: int, free: int) -> float:
    """How long after so many failures: 0, then 1, 2, 4 … 900 s."""
    return 0.0 if failures <= free else min(LONGEST_S, 2.0 ** min(failures - free - 1, 10))


class Throttle:
    """The counters of one ledger."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def begin(self, counters: Sequence[Counter]) -> None:
        """Count an attempt as failed.

        Raises:
            Throttled: it is too early; nothing was counted.
        """
        waits = [self._wait_s((await self._kept(counter))[1]) for counter in counters]
        if any(waits):
            raise Throttled(max(waits))
        for counter in counters:
            await self._change(counter, +1)

    async def forgive(self, counters: Sequence[Counter]) -> None:
        """The attempt was right: the name's counters start anew, the address's loses what it was charged."""
        for counter in counters:
            await self._change(counter, -1 if counter.free == FREE_OF_ADDRESS else None)

    async def uncount(self, counters: Sequence[Counter]) -> None:
        """The attempt was not looked at after all: each counter loses what it was charged, and no more."""
        for counter in counters:
            await self._change(counter, -1)

    async def _change(self, counter: Counter, by: int | None) -> None:
        for _ in range(MAX_RACES):
            version, body = await self._kept(counter)
            if by == 1 and (wait := self._wait_s(body)):
                raise Throttled(wait)
            if by != 1 and not version:
                return
            failures = 0 if by is None else max(0, int(body["failures"]) + by)
            try:
                await self._ledger.save_record(KIND, counter.key, version, self._body(failures, counter, by), None)
            except StaleHash:
                continue
            return
        raise Throttled(1.0)

    def _body(self, failures: int, counter: Counter, by: int | None) -> dict[str, Any] | None:
        if not failures:
            return None
        now = self._clock.now()
        until = now + timedelta(seconds=wait_s(failures, counter.free) if by == 1 else 0)
        return {"failures": failures, "at": now.isoformat(), "until": until.isoformat()}

    def _wait_s(self, body: Mapping[str, Any]) -> float:
        """How long still; never longer than there is to wait at all, should the wall clock have been put back."""
        left = (datetime.fromisoformat(body["until"]) - self._clock.now()).total_seconds() if body["failures"] else 0.0
        return min(max(0.0, left), LONGEST_S)

    async def _kept(self, counter: Counter) -> tuple[int, Mapping[str, Any]]:
        nothing: Mapping[str, Any] = {"failures": 0}
        try:
            version, body = await self._ledger.read_record(KIND, counter.key)
        except NotFound:
            return 0, nothing
        age_s = (self._clock.now() - datetime.fromisoformat(body["at"])).total_seconds()
        return version, body if abs(age_s) < FORGET_S + LONGEST_S else nothing
