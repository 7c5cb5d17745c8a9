"""Whether a shelter takes people now: five states, and when each was said.

A shelter of which nobody has said anything has no state: a page then says that nothing is known, never "closed", never "open".

Source: issue "The residents' site"; mockups README "shelters: enterable first".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

OLD_AFTER = timedelta(hours=6)
"""A state that nobody has said again since then is shown as old: a night changes a gymnasium."""


class ShelterState(StrEnum):
    """In the order in which they are listed: where people can go in stands first."""

    OPEN = "open"
    """開設: it takes people."""
    CROWDED = "crowded"
    """混雑: it still takes people."""
    BEFORE = "before"
    """開設前: it is being made ready; nobody can go in yet."""
    FULL = "full"
    """満員: it takes nobody more."""
    CLOSED = "closed"
    """閉鎖: it cannot be used, or is over."""

    @property
    def takes_people(self) -> bool:
        return self in {ShelterState.OPEN, ShelterState.CROWDED}


STATE_WORDS: Mapping[ShelterState, str] = MappingProxyType(
    {
        ShelterState.BEFORE: "開設前",
        ShelterState.OPEN: "開設",
        ShelterState.CROWDED: "混雑",
        ShelterState.FULL: "満員",
        ShelterState.CLOSED: "閉鎖",
    }
)
"""As staff name them."""


@dataclass(frozen=True, slots=True)
class ShelterStanding:
    """What was last said of one shelter."""

    state: ShelterState
    at: datetime
    version: int = 1
    """How often it was said; what somebody saw when they changed it."""

    def is_old(self, now: datetime) -> bool:
        return now - self.at >= OLD_AFTER
