"""The words of the safety loop: how far one person's case has come, as a table, and what several reports of them add up to.

A state claims only what was *seen* (asked is not reached, and nobody is safe because a machine has a mail):

    planned → asked → reminded → escalated → answered → resolved → closed

Reports are never thrown away and never overwritten; `standing` folds them, in the order in which they were made. Whoever speaks
for the person (the person, or somebody who saw them) settles what was heard before: "ok" settles all of it, anything
else whatever is not graver. What is left may contradict itself, and then staff look; the graver one holds until they have.

Source: design.md §8 "Safety confirmation"; 災害対策基本法 第86条の15 (安否情報); PFIF 1.4 §"note" (status, author_made_contact).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from dispatcher.errors import IllegalTransition


class Answer(StrEnum):
    """What somebody says of a person, mildest first."""

    OK = "ok"
    HURT = "hurt"
    HELP = "help"
    """They cannot get out of it by themselves: somebody has to go there now."""


GRAVITY: Mapping[Answer | None, int] = MappingProxyType({Answer.OK: 0, None: 1, Answer.HURT: 2, Answer.HELP: 3})
"""help > hurt > unknown > ok: of several people together, the gravest counts."""


class Source(StrEnum):
    """Who says it."""

    SELF = "self"
    HOUSEHOLD = "household"
    RELATIVE = "relative"
    SUPPORTER = "supporter"
    STAFF = "staff"
    FACILITY = "facility"
    ANONYMOUS = "anonymous"
    """Nobody that we could ask back: their "ok" alone stops nothing, their "help" is believed."""


class Progress(StrEnum):
    """What the node knows of one person's case."""

    PLANNED = "planned"
    """They are on the list; nothing has been sent to them."""
    ASKED = "asked"
    """A question to them was written down; it is being sent, or was."""
    REMINDED = "reminded"
    """They did not answer and were asked again."""
    ESCALATED = "escalated"
    """They did not answer; somebody else (a relative, a supporter, in the end staff) was asked or has been told to go."""
    ANSWERED = "answered"
    """Somebody whom we know said how they are."""
    CONFLICT = "conflict"
    """What was said contradicts itself: staff have to find out."""
    UNREACHABLE = "unreachable"
    """No medium is left that could reach them or anybody of theirs: they stand on the visit list at once."""
    REASKED = "reasked"
    """Something new happened (an aftershock): what was heard before says nothing of now, and they were asked anew."""
    EXEMPT = "exempt"
    """They need not be asked (in hospital, away, do not want it): staff said so."""
    RESOLVED = "resolved"
    """Staff saw to it: nothing more is to be done for them."""
    CLOSED = "closed"
    """The campaign is over; the case stands as it then stood."""


class CaseEvent(StrEnum):
    """What happened to a case, in the past tense."""

    ASKED = "asked"
    REMINDED = "reminded"
    ESCALATED = "escalated"
    ANSWERED = "answered"
    CONTRADICTED = "contradicted"
    LOST = "lost"
    """The last medium to them, or to anybody of theirs, refused for good."""
    REASKED = "reasked"
    EXEMPTED = "exempted"
    RESOLVED = "resolved"
    CLOSED = "closed"


_P, _E = Progress, CaseEvent
SILENT = frozenset({_P.PLANNED, _P.ASKED, _P.REMINDED, _P.ESCALATED, _P.REASKED})
"""Nothing has been heard since they were last asked: these climb the ladder, and no others."""
_HEARD = frozenset({_P.ANSWERED, _P.CONFLICT})
TRANSITIONS: Mapping[tuple[Progress, CaseEvent], Progress] = MappingProxyType(
    {
        (_P.PLANNED, _E.ASKED): _P.ASKED,
        # A case may go straight to whom it is handed on: rungs that nobody stands on are passed over.
        **{(p, _E.REMINDED): _P.REMINDED for p in SILENT - {_P.ESCALATED}},
        **{(p, _E.ESCALATED): _P.ESCALATED for p in SILENT},
        **{(p, _E.LOST): _P.UNREACHABLE for p in SILENT},
        # An answer may be changed, and one may come for a case that staff believed done with.
        **{(p, _E.ANSWERED): _P.ANSWERED for p in _P if p is not _P.CLOSED},
        **{(p, _E.CONTRADICTED): _P.CONFLICT for p in _P if p is not _P.CLOSED},
        **{(p, _E.REASKED): _P.REASKED for p in SILENT | _HEARD | {_P.UNREACHABLE, _P.RESOLVED}},
        **{(p, _E.EXEMPTED): _P.EXEMPT for p in SILENT | _HEARD | {_P.UNREACHABLE}},
        **{(p, _E.RESOLVED): _P.RESOLVED for p in SILENT | _HEARD | {_P.UNREACHABLE}},
        **{(p, _E.CLOSED): _P.CLOSED for p in _P if p is not _P.CLOSED},
    }
)


def advance(progress: Progress, event: CaseEvent) -> Progress:
    """Where the case stands after the event.

    Raises:
        IllegalTransition: the table has no such move.
    """
    try:
        return TRANSITIONS[progress, event]
    except KeyError:
        raise IllegalTransition(f"a case that is {progress} cannot be {event}") from None


@dataclass(frozen=True, slots=True)
class Reply:
    """One report of one person, as it was made."""

    answer: Answer = field(repr=False)
    source: Source
    saw: bool
    """Whoever says it has seen the person, or spoken with them."""
    medium: str
    """email_list, ip_terminal, website, wifi_multicast, phone, visit, pfif …"""
    at: datetime
    details: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What else was said, by the question's name; may be empty."""
    round: int = 1
    """Of asking, in which it came in."""

    @property
    def speaks_for_them(self) -> bool:
        return self.source is Source.SELF or (self.saw and self.source is not Source.ANONYMOUS)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the reports of one person add up to."""

    answer: Answer | None = field(default=None, repr=False)
    """None: nothing that counts was heard (unknown)."""
    is_conflict: bool = False

    @property
    def event(self) -> CaseEvent | None:
        """What it does to the case; None: nothing."""
        if self.is_conflict:
            return CaseEvent.CONTRADICTED
        return None if self.answer is None else CaseEvent.ANSWERED


def standing(replies: Iterable[Reply], *, number: int = 1, since: datetime | None = None) -> Standing:
    """What these reports, in the order in which they came in, say of one person in this round of asking.

    What came in in an earlier round says nothing now. Of what comes in late, made before `since`, an "ok" does not either;
    a call for help does, or nobody would ever have heard it.
    """
    left: list[Reply] = []
    for reply in replies:
        is_late = since is not None and reply.at < since
        if reply.round >= number and not (is_late and reply.answer is Answer.OK):
            left = [earlier for earlier in left if not _settles(reply, earlier)] + [reply]
    known = [r for r in left if not (r.source is Source.ANONYMOUS and r.answer is Answer.OK)]
    gravest = max((r.answer for r in known), key=GRAVITY.__getitem__, default=None)
    said = {r.answer for r in left}
    return Standing(gravest, Answer.OK in said and len(said) > 1)


def _settles(reply: Reply, earlier: Reply) -> bool:
    """Whether the later report takes the place of the earlier one in what counts."""
    if reply.source is Source.SELF and earlier.source is Source.SELF:
        return True
    if not reply.speaks_for_them:
        return False
    return reply.answer is Answer.OK or GRAVITY[reply.answer] >= GRAVITY[earlier.answer]
