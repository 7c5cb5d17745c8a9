"""The question that a campaign puts to people: "are you safe?" in each language, with its three answers, the mode's banner on it.

It is made once for a campaign and is the same for everybody; what differs from person to person (a link) is added by the channel
at the moment of sending, as with a rendering. Whom it is about stands in it only as far as the person asked knows it anyway:
a relative is told nothing of how anybody is.

Source: design.md §8; §4 "【訓練】 is put on every text".
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from dispatcher.errors import ModeLeak
from dispatcher.model.campaign import Answer
from dispatcher.model.delivery import Priority
from dispatcher.model.mode import Mode

Mark_co = TypeVar("Mark_co", covariant=True)
LONGEST_PLACE = 9


class Kind(StrEnum):
    """Why people are asked."""

    SAFETY = "safety"
    """安否確認: something happened."""
    WATCH = "watch"
    """見守り: every day, nothing happened; who does not answer may need somebody."""


@dataclass(frozen=True, slots=True)
class Asking:
    """The question in one language."""

    language: str
    title: str
    """A mail's subject, a terminal's first line."""
    about: str
    """What happened, where, when, in a line; "" for the daily touch."""
    body: str
    """What is asked and how to answer."""
    ok: str
    hurt: str
    help: str
    note: str
    """What to do in danger (119), and until when an answer is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Generic[Mark_co]):
    """`Question[Live]` or `Question[Drill]`. Texts bear the mode's banner: `marked` puts it there."""

    campaign: str
    round: int
    """1, and one more with each asking anew."""
    rung: int
    status: str
    """CAP status of the mode: what the channel's door compares with its own."""
    about: str
    """Identifier of the alert that it is asked about; "" if there is none."""
    kind: Kind
    priority: Priority
    asked_at: datetime
    """When this rung of this round was due."""
    answer_until: datetime
    said: tuple[Asking, ...]

    @property
    def identifier(self) -> str:
        """Of this asking: a reminder is another message than the question, and the same one after a crash."""
        return f"{self.campaign}/{self.round}.{self.rung}"

    def in_language(self, *languages: str) -> Asking:
        """The question in one of these, in this order of preference, or in a kind of it (en: en-US), else the first."""
        kin = (
            asking
            for wanted in languages
            for its in (wanted, f"{wanted}-")
            for asking in self.said
            if asking.language == its or (its.endswith("-") and asking.language.startswith(its))
        )
        return next(kin, self.said[0])

    def require(self, mode: type[Mode]) -> None:
        """Raises ModeLeak unless it is of that mode and every piece that stands alone says so."""
        if self.status != mode.status:
            raise ModeLeak(f"{self.identifier} is {self.status}; this door is {mode.word} and takes {mode.status} only")
        for asking in self.said:
            banner = mode.banner(asking.language).strip()
            if banner not in asking.title or banner not in asking.body:
                raise ModeLeak(f"{self.identifier} asks in {asking.language} without the {mode.word} banner")


def campaign_of(identifier: str) -> tuple[str, int]:
    """Campaign and round of a question's identifier.

    Raises:
        ValueError: it is none.
    """
    campaign, _, place = identifier.rpartition("/")
    number, point, rung = place.partition(".")
    if not campaign or not point or not rung.isdecimal() or len(place) > LONGEST_PLACE:
        raise ValueError("no question has this identifier")
    return campaign, int(number)


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer that came back over the medium itself: a button of a terminal."""

    identifier: str
    """The question's."""
    channel: str
    address: str = field(repr=False)
    answer: Answer = field(repr=False)
    at: datetime
    """When the device says that it was pressed."""


def marked(said: Sequence[Asking], mode: type[Mode]) -> tuple[Asking, ...]:
    """The texts with the mode's banner before each piece that a person may meet on its own."""
    return tuple(
        replace(a, title=mode.banner(a.language) + a.title, body=mode.banner(a.language) + a.body) for a in said
    )
