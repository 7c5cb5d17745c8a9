"""What is sealed of one person whom a campaign asks: who they are, and by whom they can be reached, as the roster had it then.

Source: design.md §8 "an event's copy of it".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from operator import attrgetter
from typing import Any

from config.ladders import Ladder, Whom
from dispatcher.model.campaign import Answer, Reply, Source
from dispatcher.model.policy import Contact
from dispatcher.tracking.confirmation.round import OWN

SOURCES: Mapping[Whom, Source] = {
    Whom.SELF: Source.SELF,
    Whom.GUARDIAN: Source.HOUSEHOLD,
    Whom.HOUSEHOLD: Source.HOUSEHOLD,
    Whom.RELATIVE: Source.RELATIVE,
    Whom.SUPPORTER: Source.SUPPORTER,
}
"""Who speaks when a contact answers."""
EVERYBODY = "everybody"
"""The cohort of whoever is in none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One person as the campaign knows them."""

    name: str = field(repr=False)
    kana: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)
    quarter: str = field(default="", repr=False)
    address: str = field(default="", repr=False)
    phones: tuple[str, ...] = field(default=(), repr=False)
    language: str = field(default="ja", repr=False)
    cohorts: tuple[str, ...] = ()
    facility: str = field(default="", repr=False)
    note: str = field(default="", repr=False)
    has_consented: bool = False
    is_restricted: bool = False
    home: tuple[str, ...] = field(default=(), repr=False)
    """Codes, as the roster's, of the others of the household; nobody under 閲覧制限 is among them, or has any."""
    relative_phones: tuple[str, ...] = field(default=(), repr=False)
    contacts: tuple[Contact, ...] = field(default=(), repr=False)

    def written(self) -> bytes:
        # Not by asdict, which takes ten times as long, and there are 100,000 of them.
        return _json([*_values(self), [_contact(c) for c in self.contacts]])

    @classmethod
    def read(cls, data: bytes) -> "Case":
        values: list[Any] = json.loads(data)
        contacts = tuple(Contact(Whom(whom), *rest) for whom, *rest in values.pop())
        said: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            # A case that was written before the last of the fields was there has none of it.
            for name, value in zip(_FIELDS, values, strict=False)
        }
        return cls(**said, contacts=contacts)


def cohort_of(ladder: Ladder, case: Case) -> str:
    """The one that somebody is counted in: what put them on their ladder, else the first that they are in."""
    return next((c for c in case.cohorts if c in ladder.cohorts), next(iter(case.cohorts), EVERYBODY))


@dataclass(frozen=True, slots=True)
class Spoken:
    """So much of a case as a page needs that somebody opens by their link: a city opens it within minutes."""

    name: str = field(repr=False)
    language: str
    theirs: str
    """Language of the first contact who is somebody else; "" where nobody is."""

    @classmethod
    def read(cls, data: bytes) -> "Spoken":
        values = json.loads(data)
        theirs = (language for whom, _, _, language, *_ in values[-1] if whom not in OWN)
        return cls(values[_NAME], values[_LANGUAGE], next(theirs, ""))


_FIELDS = tuple(each.name for each in fields(Case) if each.name != "contacts")
"""In the order in which they are written."""
_NAME, _LANGUAGE = _FIELDS.index("name"), _FIELDS.index("language")
_values = attrgetter(*_FIELDS)
_contact = attrgetter(*(each.name for each in fields(Contact)))

_SAID = ("answer", "source", "saw", "medium", "round")


def write_reply(reply: Reply, by: str = "") -> bytes:
    """`by`: the member of staff who wrote it down; "" where nobody did."""
    said = {field: getattr(reply, field) for field in _SAID}
    return _json({**said, "at": reply.at.isoformat(), "details": dict(reply.details), "by": by})


def read_reply(data: bytes) -> Reply:
    values = json.loads(data)
    return Reply(
        Answer(values["answer"]),
        Source(values["source"]),
        values["saw"],
        values["medium"],
        datetime.fromisoformat(values["at"]),
        values["details"],
        values["round"],
    )


def _json(values: Any) -> bytes:
    return _WRITER.encode(values).encode()


_WRITER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
