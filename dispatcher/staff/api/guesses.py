"""Tokens that nobody has: evidence that somebody tries, at most once a minute, so that a flood of guesses fills no ledger.

Source: issue "a guessed token: refused, audited, visible on the board".
"""

from dispatcher.clock import Clock
from dispatcher.ledger import Event, Ledger

WRITTEN_EVERY_S = 60.0


class Guesses:
    """Counts between two events; what a guess looked like is kept nowhere, because it may be somebody's token mistyped."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._count = 0
        self._written_s: float | None = None

    async def seen(self, remote: str) -> None:
        """One more, from this address."""
        self._count += 1
        now_s = self._clock.monotonic()
        if self._written_s is not None and now_s - self._written_s < WRITTEN_EVERY_S:
            return
        count, self._count, self._written_s = self._count, 0, now_s
        words = f"知らない鍵で {count} 回試されました (an unknown token, {count} times)"
        facts = {"by": "", "act": "token", "because": "Unauthenticated", "words": words, "remote": remote}
        await self._ledger.append(Event("act.refused", "", facts))
