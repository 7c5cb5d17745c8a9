"""CAP 1.2, one to one: the approved message, its text in one language, and where it holds.

Names are CAP's own in Python's spelling (`msgType` is `msg_type`). Everything is frozen and a tuple, so an alert can be
a key, and two alerts with equal content are equal. Numbers that people typed (coordinates, altitudes) stay Decimal:
`38.30` is written back as `38.30`. What Todoke adds stands in CAP's own extension place, `parameter`.

`malformed` keeps what the schema lets others write as free text and what has not CAP's form (a polygon of words, a reference
without a time): by the element's name, as it stood, so that reading and writing lose nothing. Nobody acts on it.

Source: OASIS Common Alerting Protocol 1.2, §3.2; design.md §7.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Generic, TypeVar

Mark_co = TypeVar("Mark_co", covariant=True)  # the mode, constrained in mode.py, which needs Status from here


class Status(StrEnum):
    ACTUAL = "Actual"
    EXERCISE = "Exercise"
    SYSTEM = "System"
    TEST = "Test"
    DRAFT = "Draft"


class MsgType(StrEnum):
    ALERT = "Alert"
    UPDATE = "Update"
    CANCEL = "Cancel"
    ACK = "Ack"
    ERROR = "Error"


class Scope(StrEnum):
    PUBLIC = "Public"
    RESTRICTED = "Restricted"
    PRIVATE = "Private"


class Category(StrEnum):
    GEO = "Geo"
    MET = "Met"
    SAFETY = "Safety"
    SECURITY = "Security"
    RESCUE = "Rescue"
    FIRE = "Fire"
    HEALTH = "Health"
    ENV = "Env"
    TRANSPORT = "Transport"
    INFRA = "Infra"
    CBRNE = "CBRNE"
    OTHER = "Other"


class ResponseType(StrEnum):
    SHELTER = "Shelter"
    EVACUATE = "Evacuate"
    PREPARE = "Prepare"
    EXECUTE = "Execute"
    AVOID = "Avoid"
    MONITOR = "Monitor"
    ASSESS = "Assess"
    ALL_CLEAR = "AllClear"
    NONE = "None"


class Urgency(StrEnum):
    IMMEDIATE = "Immediate"
    EXPECTED = "Expected"
    FUTURE = "Future"
    PAST = "Past"
    UNKNOWN = "Unknown"


class Severity(StrEnum):
    EXTREME = "Extreme"
    SEVERE = "Severe"
    MODERATE = "Moderate"
    MINOR = "Minor"
    UNKNOWN = "Unknown"


class Certainty(StrEnum):
    OBSERVED = "Observed"
    LIKELY = "Likely"
    POSSIBLE = "Possible"
    UNLIKELY = "Unlikely"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Named:
    """CAP's valueName and value: an eventCode, a parameter or a geocode."""

    value_name: str
    value: str


@dataclass(frozen=True, slots=True)
class Resource:
    resource_desc: str
    mime_type: str
    size: int | None = None
    uri: str | None = None
    deref_uri: str | None = None
    digest: str | None = None
    malformed: tuple[Named, ...] = ()


Point = tuple[Decimal, Decimal]
"""Latitude, longitude; WGS 84 degrees."""


@dataclass(frozen=True, slots=True)
class Circle:
    centre: Point
    radius_km: Decimal


@dataclass(frozen=True, slots=True)
class Area:
    """Where an info holds. `polygons` are closed (first point repeated); `geocodes` name quarters of the gazetteer."""

    area_desc: str
    polygons: tuple[tuple[Point, ...], ...] = ()
    circles: tuple[Circle, ...] = ()
    geocodes: tuple[Named, ...] = ()
    altitude_ft: Decimal | None = None
    ceiling_ft: Decimal | None = None
    malformed: tuple[Named, ...] = ()


QUARTER = "JP-CHOME"
"""valueName of a geocode that names a quarter (町丁目) by its nine-digit code."""


class Added(StrEnum):
    """valueName of the parameters that Todoke adds to an info."""

    LEVEL = "JP-ALERT-LEVEL"
    """警戒レベル, "1" to "5"; absent where the kind of order carries none (tsunami, earthquake)."""
    SHORT = "todoke:short"
    """One line for media with little room: a TV frame, a terminal's first line."""
    NEXT_UPDATE = "todoke:nextUpdate"
    """RFC 3339 time at which people will hear again."""
    SHELTERS = "todoke:shelters"
    """Names of the places to go to, separated by "、" (ja) or ", "."""
    CORRECTION = "todoke:correction"
    """訂正: what was wrong in the text before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """The message in one language. `language` is RFC 5646; やさしい日本語 is `ja-x-easy`."""

    category: tuple[Category, ...]
    event: str
    urgency: Urgency
    severity: Severity
    certainty: Certainty
    language: str = "en-US"
    response_type: tuple[ResponseType, ...] = ()
    audience: str | None = None
    event_code: tuple[Named, ...] = ()
    effective: datetime | None = None
    onset: datetime | None = None
    expires: datetime | None = None
    sender_name: str | None = None
    headline: str | None = None
    description: str | None = None
    instruction: str | None = None
    web: str | None = None
    contact: str | None = None
    parameter: tuple[Named, ...] = ()
    resource: tuple[Resource, ...] = ()
    area: tuple[Area, ...] = ()
    malformed: tuple[Named, ...] = ()

    def added(self, name: Added) -> str | None:
        """The value of a parameter that Todoke adds, or None."""
        return next((p.value for p in self.parameter if p.value_name == name), None)

    @property
    def level(self) -> int | None:
        """警戒レベル 1 to 5, or None where the order carries none."""
        value = self.added(Added.LEVEL)
        return int(value) if value is not None and value in {"1", "2", "3", "4", "5"} else None

    @property
    def place(self) -> str:
        """Where it holds, in this language."""
        return (
            "、".join(a.area_desc for a in self.area)
            if self.language.startswith("ja")
            else ", ".join(a.area_desc for a in self.area)
        )


@dataclass(frozen=True, slots=True)
class Reference:
    """An earlier message: sender, identifier, sent."""

    sender: str
    identifier: str
    sent: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert(Generic[Mark_co]):
    """One CAP message. `Alert[Live]` has status Actual and `Alert[Drill]` Exercise: mode.require checks it at run time."""

    identifier: str
    sender: str
    sent: datetime
    status: Status
    msg_type: MsgType
    scope: Scope
    source: str | None = None
    restriction: str | None = None
    addresses: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    note: str | None = None
    references: tuple[Reference, ...] = ()
    incidents: tuple[str, ...] = ()
    info: tuple[Info, ...] = ()
    malformed: tuple[Named, ...] = ()

    def info_in(self, *languages: str) -> Info:
        """The first info in one of these languages, in this order of preference; else the first there is.

        Raises:
            LookupError: the alert has no info at all.
        """
        for language in languages:
            for info in self.info:
                if info.language == language:
                    return info
        if not self.info:
            raise LookupError(f"{self.identifier} has no info")
        return self.info[0]

    @property
    def expires(self) -> datetime | None:
        """When the last of its infos ends, or None if one of them does not."""
        ends = [i.expires for i in self.info]
        return max((e for e in ends if e), default=None) if all(ends) else None

    @property
    def quarters(self) -> tuple[str, ...]:
        """Codes of all quarters named, each once, in the order of the first info that has them."""
        return tuple(
            dict.fromkeys(g.value for i in self.info for a in i.area for g in a.geocodes if g.value_name == QUARTER)
        )
