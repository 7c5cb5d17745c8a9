"""Ticked by hand: who did for an alert what no link does, and when; so that the board has no gap.

A tick is written with its evidence and can be taken back; both stand in the ledger. The time is what a clock on the wall showed:
never before the issue, never in the future.

Source: issue "For systems without a link".
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from config import by_hand
from dispatcher.clock import JST, Clock
from dispatcher.errors import Finding, InvalidInput, NotFound
from dispatcher.ledger import Event, IssuedAlert, Ledger
from dispatcher.staff.sessions import Person

KIND = "tick"
LONGEST_NAME = 60
CLOCKS_APART = timedelta(minutes=5)
"""A wall clock may be ahead of ours by that much when somebody writes down what it shows."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Somebody did it: who, when, and who wrote it down."""

    system: str
    title: str
    who: str = ""
    at: datetime | None = None
    by: str = ""
    version: int = 0

    @property
    def is_done(self) -> bool:
        return self.at is not None


class Ticks:
    """What was done by hand for each alert, kept with its evidence."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def of(self, identifier: str) -> Sequence[Tick]:
        """Every system without a link, ticked or not."""
        kept = {key: (version, body) for key, version, body in await self._ledger.records(KIND)}
        ticks = []
        for system, (title, _) in by_hand.systems().items():
            version, body = kept.get(_key(identifier, system), (0, {}))
            tick = Tick(system, title, version=version)
            if body.get("at"):
                at = datetime.fromisoformat(body["at"]).astimezone(JST)
                tick = replace(tick, who=body["who"], at=at, by=body["by"])
            ticks.append(tick)
        return ticks

    async def tick(
        self, by: Person, identifier: str, system: str, *, who: str = "", at: str = "", version: int = 0
    ) -> Tick:
        """It was done for this alert: by `who` (else the one who says so), at `at` (HH:MM of today or yesterday; else now).

        Raises:
            NotFound: no such alert or system.
            InvalidInput: the name or the time cannot be.
            StaleHash: somebody else ticked it meanwhile.
        """
        alert = await self._ledger.alert(identifier)
        title = _title(system)
        findings: list[Finding] = []
        name = unicodedata.normalize("NFKC", who).strip() or by.name
        if len(name) > LONGEST_NAME or any(unicodedata.category(c) in {"Cc", "Cf", "Cs"} for c in name):
            findings.append(Finding("who", f"{LONGEST_NAME} 字までの名前を書いてください (a name)"))
        moment = self._moment(at, alert, findings)
        if findings:
            raise InvalidInput(findings)
        body = {"who": name, "at": moment.isoformat(), "by": by.name}
        event = Event("by_hand.done", identifier, {"system": system, **body})
        saved = await self._ledger.save_record(KIND, _key(identifier, system), version, body, event)
        return Tick(system, title, name, moment, by.name, saved)

    async def untick(self, by: Person, identifier: str, system: str, *, version: int) -> Tick:
        """It was not done after all. Raises as `tick`."""
        await self._ledger.alert(identifier)
        title = _title(system)
        event = Event("by_hand.undone", identifier, {"system": system, "by": by.name})
        await self._ledger.save_record(KIND, _key(identifier, system), version, None, event)
        return Tick(system, title)

    def _moment(self, text: str, alert: IssuedAlert, findings: list[Finding]) -> datetime:
        now = self._clock.now().replace(second=0, microsecond=0)
        found = re.fullmatch(r"(\d{1,2})[:：時](\d{2})分?", unicodedata.normalize("NFKC", text).strip())
        if not text.strip():
            return now
        if found is None or int(found[1]) > 23 or int(found[2]) > 59:
            findings.append(Finding("at", f"{text[:20]}: 2:44 のように24時間で書いてください (HH:MM)"))
            return now
        moment = now.replace(hour=int(found[1]), minute=int(found[2]))
        if moment > now + CLOCKS_APART:
            moment -= timedelta(days=1)
        if moment < alert.issued_at.astimezone(JST).replace(second=0, microsecond=0):
            findings.append(
                Finding(
                    "at",
                    f"{text[:20]}: 発表（{alert.issued_at.astimezone(JST):%-H:%M}）より前です (before it was issued)",
                )
            )
        return moment


def _key(identifier: str, system: str) -> str:
    return f"{identifier}:{system}"


def _title(system: str) -> str:
    titles = by_hand.systems()
    if system not in titles:
        raise NotFound(f"{system}: ありません。あるのは {', '.join(titles)} (no such system)")
    return titles[system][0]
