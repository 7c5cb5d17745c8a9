"""A keeper of the contract `Answering` in memory, for the doors alone: three links, and all that was heard over them.

It counts its looks: what must take the same time takes the same work.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from dispatcher.clock import Clock
from dispatcher.errors import StorageFull
from dispatcher.model.campaign import Answer, Source
from dispatcher.model.delivery import Priority
from dispatcher.model.mode import Drill
from dispatcher.model.question import Asking, Kind, Question, marked
from dispatcher.model.report import Reported
from dispatcher.tracking.answering import Page
from dispatcher.tracking.tokens import Tokens, hashed

TOKENS = Tokens(bytes(range(32)))
GOOD, RELATIVE, WATCH = (TOKENS.derive("campaign", who) for who in ("住民0001", "住民0002", "住民0003"))
EXPIRED, FOREIGN = (TOKENS.derive(event, "住民0001") for event in ("campaign of last year", "other event"))
NAME = "住民0002"


@dataclass
class Loop:
    clock: Clock
    is_open: bool = True
    is_full: bool = False
    looks: int = 0
    heard: list[tuple[str, Answer, Mapping[str, str], str]] = field(default_factory=list)
    reports: dict[str, Reported] = field(default_factory=dict)

    def question(self, kind: Kind = Kind.SAFETY) -> Question[Drill]:
        about = {
            "ja": "野川の避難指示（2:41）",
            "ja-x-easy": "野川（のがわ）の 避難指示（2:41）",
            "en-US": "Evacuation order, Nogawa (2:41)",
        }
        if kind is Kind.WATCH:
            about = {"ja": ""}
        said = tuple(
            Asking(language, "いま どうですか", text, "本文", "無事", "けが", "助けて", "119")
            for language, text in about.items()
        )
        now = self.clock.now()
        return Question(
            campaign="campaign",
            round=1,
            rung=0,
            status=Drill.status,
            about="",
            kind=kind,
            priority=Priority.URGENT,
            asked_at=now,
            answer_until=now + timedelta(hours=72),
            said=marked(said, Drill),
        )

    async def look(self, token: str) -> Page | None:
        self.looks += 1
        found = {
            hashed(GOOD): Page(self.question(), Source.SELF),
            hashed(RELATIVE): Page(self.question(), Source.RELATIVE, name=NAME),
            hashed(WATCH): Page(self.question(Kind.WATCH), Source.SELF, language="ja-x-easy"),
        }
        return found.get(hashed(token))

    async def answer(self, token: str, answer: Answer, details: Mapping[str, str], medium: str) -> Page | None:
        if self.is_full:
            raise StorageFull(token)
        page = await self.look(token)
        if page:
            self.heard.append((hashed(token), answer, details, medium))
        return page

    async def asking(self) -> Question[Drill] | None:
        return self.question() if self.is_open else None

    async def report(self, reported: Reported) -> bool:
        if self.is_open:
            self.reports[reported.key] = reported
        return self.is_open
