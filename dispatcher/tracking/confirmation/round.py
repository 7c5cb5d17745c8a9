"""What a campaign keeps of itself in clear: what about, whom, when; its rounds, and the question that follows from them.

Not a name and not an answer stands in it: it outlives the campaign's key.

Source: dispatcher/campaigns.py `Campaign.body`; design.md §8.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from config.ladders import Kind as LadderKind
from config.ladders import Ladder, Whom
from config.questions import questions
from dispatcher.campaigns import Campaign
from dispatcher.model.delivery import Priority
from dispatcher.model.mode import M
from dispatcher.model.question import Asking, Kind, Question, marked

ANSWERED_FOR = timedelta(hours=72)
"""A link answers until so long after the asking."""
OWN = frozenset({Whom.SELF, Whom.NEXT, Whom.GUARDIAN})
"""Who is asked about themselves or about their own child."""


class State(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One asking of everybody, or of some quarters anew."""

    at: datetime
    quarters: tuple[str, ...]
    """Codes of the gazetteer; () for everybody of the campaign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A campaign's body."""

    about: str
    """The alert's identifier; "" if there is none."""
    kind: str
    status: str
    priority: int
    quarters: tuple[str, ...]
    said: Mapping[str, str]
    """What happened and where, by language."""
    until: datetime
    rounds: tuple[Asked, ...]
    state: str = State.OPEN.value
    is_enrolled: bool = False
    """Everybody of the roster is written down, or asked anew: the newest round has begun."""
    cohorts: tuple[str, ...] = ()
    facilities: tuple[str, ...] = ()
    """Those that there are among the asked."""
    closed_at: datetime | None = None
    because: str = ""
    """The message that took back what it asks about, and so ended it; "" where staff did, or time."""
    day: str = ""
    """Of the standing watch (watching.py); "" for what somebody began."""
    counts: Mapping[str, tuple[int, int]] | None = None
    """What is left when the key is destroyed: least and most of each answer, and of `silent`."""

    @property
    def is_open(self) -> bool:
        return self.state == State.OPEN

    def body(self) -> Mapping[str, Any]:
        values = asdict(self)
        values["rounds"] = [{**asked, "at": asked["at"].isoformat()} for asked in values["rounds"]]
        for name in ("until", "closed_at"):
            values[name] = values[name].isoformat() if values[name] else None
        return values

    @classmethod
    def of(cls, campaign: Campaign) -> "Round":
        body = dict(campaign.body)
        rounds = tuple(
            Asked(at=datetime.fromisoformat(asked["at"]), quarters=tuple(asked["quarters"])) for asked in body["rounds"]
        )
        known = {name: body[name] for name in cls.__dataclass_fields__ if name in body}
        return cls(
            **{
                **known,
                "rounds": rounds,
                "until": datetime.fromisoformat(body["until"]),
                "closed_at": datetime.fromisoformat(body["closed_at"]) if body["closed_at"] else None,
                **{name: tuple(body[name]) for name in ("quarters", "cohorts", "facilities")},
            }
        )

    def again(self, at: datetime, quarters: Sequence[str]) -> "Round":
        """With one round more, of these quarters."""
        asked = Asked(at=at, quarters=tuple(quarters))
        # A day of the watch ends before the next, however often it is asked.
        until = self.until if self.day else max(self.until, at + ANSWERED_FOR)
        return replace(self, rounds=(*self.rounds, asked), until=until, is_enrolled=False)

    def due(self, number: int, ladder: Ladder, rung: int) -> datetime:
        """When this rung of this round is."""
        return self.rounds[number - 1].at + timedelta(seconds=ladder.rungs[rung].after)

    @property
    def ladder_kind(self) -> LadderKind:
        return LadderKind(self.kind)


def question(
    campaign: str, body: Round, mode: type[M], number: int, rung: int, at: datetime, whom: Whom
) -> Question[M]:
    """What somebody is asked on a rung of a round; `whom`: themselves, or somebody of theirs."""
    wording = questions()[body.kind].texts

    def asking(language: str) -> Asking:
        texts = wording[language]
        until = f"{body.until:%m/%d %H:%M}"
        return Asking(
            language=language,
            title=(texts.again if rung and whom in OWN else "") + texts.title,
            about=texts.about.format(about=body.said.get(language) or body.said["ja"]) if body.said else "",
            body=texts.body if whom in OWN else texts.for_others,
            ok=texts.ok,
            hurt=texts.hurt,
            help=texts.help,
            note=texts.note.format(until=until),
        )

    return Question(
        campaign=campaign,
        round=number,
        rung=rung,
        status=body.status,
        about=body.about,
        kind=Kind(body.kind),
        priority=Priority(body.priority),
        asked_at=at,
        answer_until=body.until,
        said=marked([asking(language) for language in wording], mode),
    )


def priority_below(alert: Priority) -> Priority:
    """Of a question about an alert: it never goes before an alert of the same level."""
    return next((p for p in Priority if p > alert), alert)
