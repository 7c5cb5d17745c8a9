"""One resident as the role welfare sees them, and what is said of a page or a sheet of them. No rule stands here, and no I/O.

Source: design.md §8; mockups `safety.html`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from config.city import City
from config.ladders import cohorts
from dispatcher.clock import JST
from dispatcher.model.campaign import GRAVITY, Progress, Reply
from dispatcher.staff.sessions import one_form
from dispatcher.tracking.caring import Somebody, Unmatched

OPEN = frozenset(Progress) - {Progress.RESOLVED, Progress.CLOSED, Progress.EXEMPT}
"""Of these somebody may still have to take care."""
HEARD_BY = ("phone", "visit")
"""How staff hear of a person: the medium of what they write down."""


@dataclass(frozen=True, slots=True)
class ReplyShown:
    """One report of a person."""

    at: datetime
    answer: str
    source: str
    medium: str
    saw: bool
    words: str
    by: str


@dataclass(frozen=True, slots=True)
class Case:
    """One person, as the role welfare sees them."""

    id: str
    name: str = field(repr=False)
    kana: str = field(repr=False)
    place: str = field(repr=False)
    address: str = field(repr=False)
    phone: str = field(repr=False)
    relative_phones: tuple[str, ...] = field(repr=False)
    needs: str = field(repr=False)
    """What is said of their cohorts, in Japanese, and the note."""
    cohorts: tuple[str, ...] = field(repr=False)
    note: str = field(repr=False)
    language: str
    answer: str
    """"" for nothing heard."""
    progress: str
    round: int
    rung: int
    is_conflict: bool
    is_restricted: bool
    holder: str
    heard: tuple[ReplyShown, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class VisitSheet:
    """The visits of one quarter, the worst first."""

    place: str
    cases: Sequence[Case]


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody told staff of a person, as it was typed."""

    answer: str
    source: str
    saw: bool
    text: str = field(repr=False)
    by: str = "phone"
    """How staff heard it: one of HEARD_BY."""


@dataclass(frozen=True, slots=True)
class UnmatchedReport:
    """A report that matches nobody yet, with those of the list whom it may be about."""

    id: str
    at: datetime
    name: str = field(repr=False)
    place: str = field(repr=False)
    answer: str
    source: str
    medium: str
    words: str = field(repr=False)
    may_be: Sequence[Case] = field(repr=False)


def place_of(city: City, code: str) -> str:
    quarter = city.quarters.get(code)
    return quarter.names["ja"] if quarter is not None else code


def case_of(found: Somebody, city: City) -> Case:
    named = cohorts("ja")
    return Case(
        id=found.id,
        name=found.name,
        kana=found.kana,
        place=place_of(city, found.quarter),
        address=found.address,
        phone=next(iter(found.phones), ""),
        relative_phones=found.relative_phones,
        needs="　".join(filter(None, (*(named.get(c, c) for c in found.cohorts), found.note))),
        cohorts=found.cohorts,
        note=found.note,
        language=found.language,
        answer=found.answer or "",
        progress=found.progress,
        round=found.round,
        rung=found.rung,
        is_conflict=found.is_conflict,
        is_restricted=found.is_restricted,
        holder=found.holder,
        heard=tuple(_heard(reply) for reply in found.replies),
    )


def report_of(found: Unmatched, city: City, may_be: Sequence[Case]) -> UnmatchedReport:
    said = found.details
    return UnmatchedReport(
        id=found.id,
        at=found.at.astimezone(JST),
        name=found.name,
        place=place_of(city, found.quarter) if found.quarter else "",
        answer=found.answer,
        source="self" if said.get("about") == "self" else "anonymous",
        medium=found.medium,
        words="　".join(filter(None, (said.get("where"), said.get("note")))),
        may_be=may_be,
    )


def _heard(reply: Reply) -> ReplyShown:
    said = reply.details
    words = "　".join(filter(None, (said.get("where"), said.get("note"))))
    return ReplyShown(
        reply.at.astimezone(JST), reply.answer, reply.source, reply.medium, reply.saw, words, said.get("by", "")
    )


def worst_first(each: Somebody) -> tuple[int, datetime]:
    return -GRAVITY[each.answer], each.moved_at


def plain(text: str) -> str:
    """As it is compared: one form of width and case, no gaps, no hyphens."""
    return "".join(c for c in one_form(text) if c not in " -‐–—−ー")


def searched(each: Somebody) -> tuple[str, ...]:
    return tuple(map(plain, (each.name, each.kana, each.address, *each.phones)))


def may_be_about(report: Unmatched, each: Somebody) -> bool:
    """Is it worth asking whether this report is about them?"""
    name = plain(report.name)
    if report.phone and report.phone in {plain(phone) for phone in each.phones}:
        return True
    return bool(name) and name in {plain(each.name), plain(each.kana)}
