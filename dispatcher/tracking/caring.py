"""What the staff's desk asks of the safety loop: whom to ask, how far it has come, who needs somebody, what was heard.

tracking/confirmation/ keeps this contract; staff/{asking,rounds,welfare}.py alone call it: every rule of who
may see whom stands
there. People come out of it unsealed. Nothing here is for a log, an event or an exception's text: names do not stand in a repr.

Source: design.md §8 "Safety confirmation", "Privacy".
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from dispatcher.campaigns import Campaign
from dispatcher.ledger import Ledger
from dispatcher.model.campaign import Answer, Progress, Reply
from dispatcher.tracking.answering import Answering
from dispatcher.tracking.watching import Watch


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom a campaign would ask, counted by quarter. Nothing is written to know it, and nobody under 閲覧制限 is in it."""

    people: Mapping[str, int]
    media: Mapping[str, Mapping[str, int]]
    """People whom each medium reaches first, by medium and quarter."""
    by_nothing: Mapping[str, int]
    """People without any contact: they are on the visit list from the beginning."""


class Lot(NamedTuple):
    """Who is alike in all that any figure tells: the smallest lot of people of whom anything is shown."""

    said: str
    """ok, hurt, help or `silent`."""
    is_visited: bool
    is_conflict: bool
    progress: str
    """`escalated`, `unreachable`, or "" for all others."""


@dataclass(frozen=True, slots=True)
class Cell:
    """So many people who share all of this; the sum of all cells is everybody who is asked."""

    quarter: str
    """Code of the gazetteer."""
    cohort: str
    facility: str
    """The school or nursery that they attend, by the roster's id; "" for none."""
    is_restricted: bool
    answer: Answer | None
    progress: Progress
    is_conflict: bool
    is_visited: bool
    """Somebody goes there, or has to: hurt, calling for help, unreachable, silent on the last rung or held; and not seen to yet."""
    count: int

    @property
    def lot(self) -> Lot:
        shown = self.progress if self.progress in {Progress.ESCALATED, Progress.UNREACHABLE} else ""
        return Lot(self.answer or "silent", self.is_visited, self.is_conflict, shown)


@dataclass(frozen=True, slots=True)
class Wish:
    """Which people of a campaign; None: whatever it is. More than one wish holds at the same time."""

    answers: frozenset[Answer | None] | None = None
    progress: frozenset[Progress] | None = None
    quarters: frozenset[str] | None = None
    is_conflict: bool | None = None
    is_restricted: bool | None = None
    is_visit: bool | None = None
    """Somebody has to go there: help, hurt, unreachable, or silent on the last rung."""


@dataclass(frozen=True, slots=True)
class Somebody:
    """One person of a campaign, unsealed."""

    id: str
    """Pseudonym of this campaign."""
    version: int
    name: str = field(repr=False)
    kana: str = field(repr=False)
    quarter: str = field(repr=False)
    address: str = field(repr=False)
    phones: tuple[str, ...] = field(repr=False)
    relative_phones: tuple[str, ...] = field(repr=False)
    """Of relatives who live elsewhere; of somebody under 閲覧制限 none."""
    language: str = field(repr=False)
    cohorts: tuple[str, ...] = field(repr=False)
    facility: str = field(repr=False)
    note: str = field(repr=False)
    """What helpers have to know: 「車いす」."""
    has_consented: bool
    """To supporters being told of them (災対法49条の11第2項)."""
    is_restricted: bool
    answer: Answer | None
    progress: Progress
    round: int
    rung: int
    is_conflict: bool
    holder: str = field(repr=False)
    """Who has taken the case on, by name; a supporter of whom none is known by their common ID; "" for nobody."""
    moved_at: datetime
    replies: Sequence[Reply] = field(default=(), repr=False)
    """All that was heard, oldest first; only `person` fills it in, `people` gives the last one."""


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A report of somebody whom nobody could match yet."""

    id: str
    at: datetime
    answer: Answer = field(repr=False)
    saw: bool
    medium: str
    name: str = field(repr=False)
    birth_date: str = field(repr=False)
    phone: str = field(repr=False)
    quarter: str = field(repr=False)
    details: Mapping[str, str] = field(repr=False)


class Caring(Protocol):
    """Raises everywhere that something is written: StorageFull, and then nothing was. An unknown campaign or person: NotFound."""

    @property
    def answering(self) -> Answering:
        """Where reports are heard."""
        ...

    def over(self, ledger: Ledger) -> "Caring":
        """The same loop over another ledger: one that forgets, for a rehearsal."""
        ...

    async def plan(self, *, about: str, quarters: Sequence[str], kind: str) -> Plan:
        """Whom it would ask: everybody of the roster who lives there and belongs to a ladder of this kind."""
        ...

    async def start(self, by: str, *, about: str, quarters: Sequence[str], kind: str) -> str:
        """Ask them; returns the campaign's id once that is durable. People are written down behind it."""
        ...

    async def re_ask(self, by: str, campaign: str, quarters: Sequence[str] = ()) -> int:
        """A new round for everybody (of these quarters); returns its number."""
        ...

    async def close(self, by: str, campaign: str) -> None:
        """Nobody is asked any more; the key goes 30 days later."""
        ...

    async def watching(self) -> Watch | None:
        """The standing 見守り, on or off; None where it was never on."""
        ...

    async def watch(self, by: str, *, quarters: Sequence[str], at: str) -> None:
        """Ask those of the roster's cohort `watch` there every day at this time (HH:MM). Raises InvalidInput."""
        ...

    async def unwatch(self, by: str) -> None:
        """No day begins any more, and today's is over."""
        ...

    async def campaigns(self) -> Sequence[Campaign]:
        """Newest first."""
        ...

    async def cells(self, campaign: str) -> Sequence[Cell]:
        """Everybody, counted; of a campaign whose key is destroyed, nothing."""
        ...

    def people(self, campaign: str, wish: Wish, *, after: str = "") -> AsyncIterator[Somebody]:
        """In the order of their ids, from the one after `after`; streamed."""
        ...

    async def silent(self, campaign: str, at_most: int, *, after: str = "") -> Sequence[Somebody]:
        """Of whom nothing was heard and whom everybody of welfare may see: whom nothing reaches, then from the last rung down.

        `after`: the last one of the page before.
        """
        ...

    async def person(self, campaign: str, person: str) -> Somebody:
        """One of them with everything that was heard."""
        ...

    async def report(self, by: str, campaign: str, person: str, reply: Reply) -> None:
        """What staff were told on the phone or saw; durable on return."""
        ...

    async def take_on(self, by: str, campaign: str, person: str) -> None:
        """This member of staff goes, or sends somebody. Taking on what somebody has already is refused."""
        ...

    async def resolve(self, by: str, campaign: str, person: str) -> None:
        """Nothing more is to be done for them."""
        ...

    async def exempt(self, by: str, campaign: str, person: str) -> None:
        """They need not be asked, now or in a later round of this campaign; a word of theirs is heard all the same."""
        ...

    async def unmatched(self, campaign: str) -> Sequence[Unmatched]:
        """Reports that are open, oldest first."""
        ...

    async def match(self, by: str, campaign: str, report: str, person: str) -> None:
        """It is about this person, or with "" about nobody of the list."""
        ...
