"""A lane: what one channel may take now, by concurrency, rate, quota and breaker. Pure arithmetic, no I/O.

The rate is a bucket that may go into debt: a delivery of 500 mails goes when there is anything in it and the next one waits
until the debt is paid, so a batch larger than the bucket still goes, at the right rate. The quota is exact, over any window
of its length, because media count it so and punish for one too many.

Source: design.md §6 "One lane per channel"; facts.md §Social (a quota reserve for level 4–5).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dispatcher.channel import Limits
from dispatcher.model.delivery import RESERVED


@dataclass(slots=True)
class Lane:
    """A channel's row as it was locked, with what has been spent in the quota's window."""

    channel: str
    limits: Limits
    tokens: float
    tokens_at: float
    failures: int
    open_until: float
    in_flight: int = 0
    spent: Sequence[tuple[float, int]] = ()
    """(at, cost), oldest first; only where there is a quota."""
    is_changed: bool = False

    def heard(self, is_success: bool, now: float) -> bool:  # noqa: FBT001 - the word that the medium gave
        """An attempt ended. Returns whether that opened the breaker."""
        if is_success:
            self.is_changed |= self.failures > 0
            self.failures, self.open_until = 0, 0.0
            return False
        self.failures += 1
        self.is_changed = True
        if self.failures < self.limits.breaker_failures:
            return False
        self.open_until = now + self.limits.breaker_open_s
        return True

    def room(self, now: float) -> int:
        """How many deliveries may start. After the breaker's pause one goes on trial."""
        if self.open_until > now:
            return 0
        concurrency = 1 if self.failures >= self.limits.breaker_failures else self.limits.concurrency
        return max(0, concurrency - self.in_flight)

    def refill(self, now: float) -> None:
        if self.limits.rate_per_s is not None:
            earned = max(0.0, now - self.tokens_at) * self.limits.rate_per_s
            self.tokens = min(self.limits.burst, self.tokens + earned)
        self.tokens_at = now

    def take(self, cost: int, priority: int, now: float) -> bool:
        """Take it from rate and quota, if both allow."""
        if self.limits.rate_per_s is not None and self.tokens <= 0:
            return False
        if self.limits.quota is not None:
            if self.quota_until(cost, priority) is not None:
                return False
            self.spent = (*self.spent, (now, cost))
        if self.limits.rate_per_s is not None:
            self.tokens -= cost
        self.is_changed = True
        return True

    def quota_until(self, cost: int, priority: int) -> float | None:
        """Until when the quota is used up for what costs so much; None: it may go now."""
        if self.limits.quota is None:
            return None
        room = self.limits.quota - (self.limits.quota_reserve if priority > RESERVED else 0) - cost
        used = sum(cost for _, cost in self.spent)
        until = None
        for at, spent in self.spent:
            # What is larger than the whole quota goes when nothing else has gone.
            if not used or used <= room:
                break
            used -= spent
            until = at + self.limits.quota_window_s
        return until

    def next_look_s(self, now: float) -> float:
        """When something that is not allowed now may be: seconds from now, infinity if time alone changes nothing."""
        waits = [math.inf]
        if self.open_until > now:
            return self.open_until - now
        if self.limits.rate_per_s is not None and self.tokens <= 0:
            waits.append(-self.tokens / self.limits.rate_per_s + 0.001)
        if self.spent:
            waits.append(self.spent[0][0] + self.limits.quota_window_s - now + 0.001)
        return max(0.0, min(waits))

    @property
    def keeps_books(self) -> bool:
        """Does time or spending decide here, beside concurrency?"""
        return self.limits.rate_per_s is not None or self.limits.quota is not None


def cost_of(cost: int, remaining: int, size: int) -> int:
    """What is left of a delivery costs its part."""
    return math.ceil(cost * remaining / size) if size else cost


def backoff_s(limits: Limits, attempt: int, seed: int) -> float:
    """How long to wait after this attempt: doubling, up to the longest, spread by a quarter so that rows part company."""
    doubled = min(limits.longest_backoff_s, limits.first_backoff_s * 2.0 ** min(attempt - 1, 30))
    return doubled * (0.75 + (seed * 0.618033988749895 % 1.0) * 0.25)
