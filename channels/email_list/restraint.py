"""How often: so many in a window for each key, and no growth for a flood of keys.

Source: issue "Bad input"; facts.md §Mail "空メール: … rate-limit".
"""

from hashlib import blake2b

from dispatcher.clock import Clock

KEYS = 100_000
"""Known at once at most; beyond that a new one is refused, because a flood is no reason to forget whom it is aimed at."""


class Restraint:
    """`most` in any window that began with the first; keys are kept as hashes."""

    def __init__(self, most: int, window_s: float, clock: Clock) -> None:
        self._most = most
        self._window_s = window_s
        self._clock = clock
        self._since: dict[bytes, tuple[float, int]] = {}

    def wait_s(self, key: str) -> float:
        """0: this one may, and is counted; else how long until the next may."""
        now_s = self._clock.monotonic()
        # The table is in the order of its windows' ends: what is over stands in front.
        while self._since and (first := next(iter(self._since))) and self._since[first][0] + self._window_s <= now_s:
            del self._since[first]
        digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest not in self._since and len(self._since) >= KEYS:
            return self._window_s
        began_s, count = self._since.get(digest, (now_s, 0))
        if count >= self._most:
            return began_s + self._window_s - now_s
        self._since[digest] = (began_s, count + 1)
        return 0.0
