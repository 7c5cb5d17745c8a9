"""What each receiving domain bears: a rate where one is set, and quiet after it said "later".

A mail that has to wait must not be tried again and again: whoever runs into a rate gets the domain's next free turn, a turn being
the time in which a full allowance builds up. So deliveries come one after another, and each finds as much as it may send.

Source: facts.md §Mail "Japan".
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dispatcher.clock import Clock

WHOLE = 1.0 - 1e-6
"""One mail's allowance, but for what a clock rounds off."""


@dataclass(slots=True)
class _Gentle:
    rate_per_s: float
    tokens: float
    filled_s: float
    promised_s: float = 0.0
    """Turns are given away up to this moment."""

    @property
    def burst(self) -> float:
        return max(1.0, self.rate_per_s)

    def fill(self, now_s: float) -> None:
        self.tokens = min(self.burst, self.tokens + (now_s - self.filled_s) * self.rate_per_s)
        self.filled_s = now_s

    def next_turn_in_s(self, now_s: float) -> float:
        refilled_s = now_s + (self.burst - self.tokens) / self.rate_per_s
        self.promised_s = max(refilled_s, self.promised_s + self.burst / self.rate_per_s)
        return self.promised_s - now_s


class Domains:
    """All of them, for all attempts of a channel."""

    def __init__(self, rates: Mapping[str, float], quiet_s: float, clock: Clock) -> None:
        now_s = clock.monotonic()
        self._gentle = {domain: _Gentle(rate, max(1.0, rate), now_s) for domain, rate in rates.items()}
        self._quiet_until_s: dict[str, float] = {}
        self._quiet_s = quiet_s
        self._clock = clock

    def attempt(self) -> "Attempt":
        return Attempt(self)

    def said_later(self, domain: str) -> None:
        """Leave it alone for a while."""
        self._quiet_until_s[domain] = self._clock.monotonic() + self._quiet_s

    def wait_s(self, domain: str) -> float:
        """0: a mail may go to it now, and is counted; else it is the caller's turn in so many seconds."""
        now_s = self._clock.monotonic()
        if (until_s := self._quiet_until_s.get(domain, now_s)) > now_s:
            return until_s - now_s
        self._quiet_until_s.pop(domain, None)
        gentle = self._gentle.get(domain)
        if gentle is None:
            return 0.0
        gentle.fill(now_s)
        if gentle.tokens < WHOLE:
            return gentle.next_turn_in_s(now_s)
        gentle.tokens -= 1.0
        return 0.0


class Attempt:
    """One attempt at many addresses: all of a domain that has to wait wait for the same turn."""

    def __init__(self, domains: Domains) -> None:
        self._domains = domains
        self._waiting: dict[str, float] = {}

    def wait_s(self, domain: str) -> float:
        """As `Domains.wait_s`."""
        if domain in self._waiting:
            return self._waiting[domain]
        wait_s = self._domains.wait_s(domain)
        if wait_s > 0:
            self._waiting[domain] = wait_s
        return wait_s
