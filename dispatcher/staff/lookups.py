"""Looking people up is counted: so many an hour for each member of staff, each with its reason, each in the audit.

The hour's times stand in a record that is written together with the event, so that two windows of one person share one count
and nothing is looked at that is not written down. What was typed to search with is somebody's name or address: it is kept nowhere,
and the reason is one of a list, because in a sentence of their own people write names.

Source: design.md §8 "Looking a person up needs a role and a reason, is written to the audit, and is capped".
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from dispatcher.clock import Clock
from dispatcher.errors import Finding, InvalidInput, NotFound, StaleHash, Throttled
from dispatcher.ledger import Event, Ledger
from dispatcher.staff.sessions import Person, one_form

KIND = "look-up"
AN_HOUR = 60
"""Searches and openings of one person's page, by one member of staff, in any hour."""
HOUR = timedelta(hours=1)
SHORTEST_REASON, LONGEST_REASON = 4, 300
TRIES = 5


class Why(StrEnum):
    """For what somebody is looked up, or a list is handed over."""

    INQUIRY = "inquiry"
    CALLED = "called"
    VISIT = "visit"
    HANDOVER = "handover"
    ROSTER = "roster"


WHY: Mapping[Why, tuple[str, str]] = MappingProxyType(
    {
        Why.INQUIRY: ("安否の照会への対応", "somebody asks after them"),
        Why.CALLED: ("本人・家族から連絡があった", "they or their family called"),
        Why.VISIT: ("訪問の準備", "preparing a visit"),
        Why.HANDOVER: ("消防・警察・ほかの自治体への引継ぎ", "handing over to others who help"),
        Why.ROSTER: ("名簿の確かめ", "checking the roster"),
    }
)


def require_why(reason: str) -> Why:
    """One of the reasons.

    Raises:
        InvalidInput: none, or another.
    """
    if reason not in set(Why):
        accepted = ", ".join(f"{why} {ja}" for why, (ja, _) in WHY.items())
        raise InvalidInput([Finding("reason", f"見る理由を選んでください：{accepted} (a reason is needed)")])
    return Why(reason)


def require_reason(reason: str) -> str:
    """A reason in words, as it is written down.

    Raises:
        InvalidInput: none that says anything, or far too long.
    """
    said = " ".join(reason.split())
    if not SHORTEST_REASON <= len(said) <= LONGEST_REASON:
        words = f"理由を{SHORTEST_REASON}〜{LONGEST_REASON}字で書いてください (say why, in so many characters)"
        raise InvalidInput([Finding("reason", words)])
    return said


class LookUps:
    """Of one node's ledger."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def count(self, by: Person, event: str, subject: str, facts: Mapping[str, Any]) -> None:
        """Write down that this person looks now; durable before anything is shown. `facts` names nobody but `by`.

        Raises:
            Throttled: the hour's number is used up; that is written down as well.
        """
        key = one_form(by.name)
        for _ in range(TRIES):
            version, times = await self._times(key)
            now = self._clock.now()
            within = [at for at in times if at > now - HOUR]
            if len(within) >= AN_HOUR:
                await self._ledger.append(Event("look-up.capped", subject, {"by": by.name, "an_hour": AN_HOUR}))
                raise Throttled((min(within) + HOUR - now).total_seconds())
            body = {"at": [at.isoformat() for at in (*within, now)]}
            said = Event(event, subject, {"by": by.name, **facts})
            try:
                await self._ledger.save_record(KIND, key, version, body, said)
            except StaleHash:
                continue  # The same person looks in another window.
            return
        raise Throttled(1.0)

    async def _times(self, key: str) -> tuple[int, list[datetime]]:
        try:
            version, body = await self._ledger.read_record(KIND, key)
        except NotFound:
            return 0, []
        return version, [datetime.fromisoformat(at) for at in body["at"]]
