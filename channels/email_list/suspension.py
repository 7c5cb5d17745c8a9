"""What a bounce means for its address: suspended at once, after repeats, or not at all; never deleted.

docomo and au say 550 for a user's own filter as they do for a mailbox that is not there, so of such a domain no single answer is
believed: five times on three different days, and then for a month, not for ever. The person's own link, or staff, lift it any time.

Source: RFC 3463 §3 (status codes); RFC 3464 §2.3; facts.md §Mail "Japan".
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


class Fate(StrEnum):
    """Why mail came back."""

    NOBODY = "nobody"
    """There is no such mailbox, in the words of a domain that is believed."""
    FILTERED = "filtered"
    """A policy or the reader's own filter; or a 550 of a domain that says so for everything."""
    LATER = "later"
    """Full, out of reach for days, or for a reason unknown."""


TIMES, DAYS = 5, 3
"""So often, on so many different days, before what may pass is believed."""
REST = {Fate.FILTERED: timedelta(days=30), Fate.LATER: timedelta(days=7)}
FORGET = timedelta(days=60)
"""After so long without one, bounces are counted anew."""
FOREVER = "9999"
_NOBODY = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})
_SAYS_NOBODY = re.compile(r"user unknown|no such user|unknown user|does not exist|mailbox unavailable", re.IGNORECASE)
_WITH_NOBODY = frozenset({"5.0.0", "5.5.0", "5.1.0", ""})
"""Statuses that say nothing more than "no"; then the words count."""


def fate_of(status: str, words: str, domain: str, filtering: Collection[str]) -> Fate:
    """`filtering`: domains that say 550 for a reader's filter too."""
    if not status.startswith("5") and not (status == "" and words.lstrip().startswith("5")):
        return Fate.LATER
    if any(domain == known or domain.endswith(f".{known}") for known in filtering):
        return Fate.FILTERED
    if status in _NOBODY or (status in _WITH_NOBODY and _SAYS_NOBODY.search(words)):
        return Fate.NOBODY
    if status.startswith("5.7"):
        return Fate.FILTERED
    return Fate.LATER


@dataclass(frozen=True, slots=True)
class Given:
    """What came back from one address so far."""

    fate: Fate
    times: int
    days: int
    last_day: str
    until: str
    """RFC 3339; "" while mail still goes there."""

    @classmethod
    def never(cls) -> "Given":
        return cls(Fate.LATER, 0, 0, "", "")

    @classmethod
    def read(cls, row: Sequence[Any]) -> "Given":
        fate, times, days, last_day, until = row
        return cls(Fate(fate), int(times), int(days), str(last_day), str(until))

    def after(self, fate: Fate, now: datetime) -> "Given":
        """With one more. A storm of one day counts as a day."""
        today = now.date().isoformat()
        before = Given.never() if self._is_old(now) else self
        more = replace(
            before,
            fate=fate,
            times=before.times + 1,
            days=before.days + (before.last_day != today),
            last_day=today,
        )
        if fate is Fate.NOBODY:
            return replace(more, until=FOREVER)
        if more.times >= TIMES and more.days >= DAYS:
            return replace(more, times=0, days=0, until=max(self.until, (now + REST[fate]).isoformat()))
        return more

    def _is_old(self, now: datetime) -> bool:
        return self.until != FOREVER and bool(self.last_day) and self.last_day < (now - FORGET).date().isoformat()
