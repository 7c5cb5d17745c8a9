"""Ladders: who is asked next when nobody answers, after how long, by which medium. `ladders()` reads every file of this folder.

A ladder is a YAML file here, checked like every other setting: all that is wrong with it is said at once, by file and line. Times
are counted from the moment of asking, so that a rung can be read on its own.

Source: design.md §8 "Default ladder", "Policies are ladders".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path

from config.binding import bind_folder
from config.units import Seconds

_HERE = Path(__file__).parent
_MEDIA = ("email_list", "ip_terminal")
"""Media that reach people one by one."""


class Kind(StrEnum):
    """What a ladder waits for."""

    SAFETY = "safety"
    WATCH = "watch"
    """The daily touch: 「お元気ですか」."""
    ACKNOWLEDGEMENT = "acknowledgement"


class Whom(StrEnum):
    """Who is asked on a rung."""

    SELF = "self"
    """The person, by the first contacts that they gave; of facilities, its first contacts."""
    NEXT = "next"
    """By their next contact, one that has not been used."""
    GUARDIAN = "guardian"
    """Whoever looks after a child."""
    HOUSEHOLD = "household"
    RELATIVE = "relative"
    """Somebody out of the city: their lines may work where the person's do not."""
    SUPPORTER = "supporter"
    """支援者・民生委員, who goes there."""
    STAFF = "staff"
    """The last rung: the list of those whom somebody has to visit or to call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One entry of the policy."""

    rung: int
    after: Seconds
    """From the asking, not from the rung before."""
    whom: tuple[Whom, ...]
    channels: tuple[str, ...] = _MEDIA
    """In the order of preference."""
    at_once: int = 1
    """So many contacts of each of them are tried at the same time, each on a medium of its own as far as there are any."""
    fallback: bool = True
    """Once a contact has refused for good, the next one is tried at once and not on the next rung."""

    def problems(self) -> Iterable[tuple[str, str]]:
        if not self.whom:
            yield "whom", f"nobody is asked; {', '.join(Whom)} are accepted"
        for channel in self.channels:
            if channel not in _MEDIA:
                yield "channels", f"{channel!r} reaches nobody one by one; {', '.join(_MEDIA)} are accepted"
        if not 1 <= self.at_once <= len(_MEDIA):
            yield "at_once", f"{self.at_once} contacts at the same time; 1 to {len(_MEDIA)} are accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """One policy. `rungs` are in the order of their numbers, 0 first, each later than the one before."""

    title: Mapping[str, str]
    """How staff call it, by language."""
    kind: Kind
    cohorts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Whose it is: as the roster names them, and how staff call them, by language; none for everybody else.

    Who is in several goes up the one that ends first.
    """
    most_cases: int = 5
    """Open cases that one supporter holds at most; the next one then goes to the next supporter."""
    rungs: tuple[Rung, ...]

    def problems(self) -> Iterable[tuple[str, str]]:
        if not {"ja", "en"} <= self.title.keys():
            yield "title", "has to be there in ja and en"
        for cohort, names in self.cohorts.items():
            if not {"ja", "en"} <= names.keys():
                yield "cohorts", f"{cohort} has to be named in ja and en"
        if self.most_cases < 1:
            yield "most_cases", f"{self.most_cases} open cases; 1 or more is accepted"
        if [rung.rung for rung in self.rungs] != list(range(len(self.rungs))) or not self.rungs:
            yield "rungs", "are numbered 0, 1, 2 … in this order, at least one"
        elif self.rungs[0].after != 0:
            yield "rungs", "the first one asks at once: `after: 0 s`"
        for earlier, later in zip(self.rungs, self.rungs[1:], strict=False):
            if later.after <= earlier.after:
                yield "rungs", f"rung {later.rung} is not later than rung {earlier.rung}"
        for rung in self.rungs[:-1]:
            if Whom.STAFF in rung.whom:
                yield "rungs", f"rung {rung.rung} hands over to staff, which is the last thing to do"
        if self.rungs and Whom.STAFF not in self.rungs[-1].whom:
            yield "rungs", "the last one hands over to staff, so that nobody is left to silence"


@cache
def ladders(folder: Path = _HERE) -> Mapping[str, Ladder]:
    """Every ladder of the folder by its file's name.

    Raises:
        ConfigError: everything that is wrong with any of them.
    """
    return bind_folder(Ladder, folder)


def cohorts(language: str) -> Mapping[str, str]:
    """What staff call everybody whom a ladder is for: by the roster's name, and under "" those who are in none of them."""
    named = {cohort: names[language] for ladder in ladders().values() for cohort, names in ladder.cohorts.items()}
    rest = next(ladder for ladder in ladders().values() if ladder.kind is Kind.SAFETY and not ladder.cohorts)
    return {**named, "": rest.title[language]}
