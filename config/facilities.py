"""The register of facilities that must act first: a CSV file that staff keep, one line a facility.

    id,name,kind,address,quarter,lat,lon,people,language,terminals,mails,phones
    F001,第七中学校,school,大沢2-11-12,132040302,35.67,139.53,412,ja,T0001,f001@example.jp f001-2@example.jp,0422-00-0001

Contacts stand in the order in which they are tried: all terminals at once, because they are in the building; mails and telephones
one after the other, because behind each is another person. A facility may have telephones alone: then it is on the list to call
from the first minute. One file that no longer reads leaves the last good one in force.

Source: issue "Facilities that must act first"; design.md §8; RFC 4180; 水防法15条の3 (要配慮者利用施設).
"""

import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from config.marks import OURS
from config.secret import Secret

COLUMNS = (
    "id",
    "name",
    "kind",
    "address",
    "quarter",
    "lat",
    "lon",
    "people",
    "language",
    "terminals",
    "mails",
    "phones",
)
MOST_BYTES = 5_000_000
MOST_PROBLEMS = 50
_GONE = (0, 0, 0)
"""What is seen of a file that is not there."""
KEY_BYTES = 32


class Kind(StrEnum):
    """What a facility is; `label` is what staff call it."""

    NURSERY = "nursery"
    SCHOOL = "school"
    AFTER_SCHOOL = "after_school"
    CARE_HOME = "care_home"
    DISABILITY = "disability"
    HOSPITAL = "hospital"
    HALL = "hall"
    OTHER = "other"

    @property
    def label(self) -> str:
        return _TITLES[self]


_TITLES: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.NURSERY: "保育園・幼稚園",
        Kind.SCHOOL: "学校",
        Kind.AFTER_SCHOOL: "学童保育所",
        Kind.CARE_HOME: "高齢者施設",
        Kind.DISABILITY: "障害者施設",
        Kind.HOSPITAL: "病院・診療所",
        Kind.HALL: "集会施設",
        Kind.OTHER: "その他",
    }
)

_TERMINAL = r"[A-Za-z0-9_-]{1,32}"
_MAIL = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
_PHONE = r"\+?[0-9][0-9-]{2,19}"


def _some(one: str, most: int) -> re.Pattern[str]:
    return re.compile(rf"(?:{one}(?: {one}){{0,{most - 1}}})?")


_FORMS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "id": (re.compile(r"[A-Za-z0-9_-]{1,32}"), "1 to 32 letters, digits, - and _"),
    "name": (re.compile(r"[^\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]{1,100}"), "1 to 100 characters"),
    "kind": (re.compile("|".join(Kind)), "one of " + ", ".join(Kind)),
    "address": (re.compile(r"[^\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]{0,200}"), "up to 200 characters"),
    "quarter": (re.compile(r"[0-9]{9}"), "the nine digits of a quarter"),
    "lat": (re.compile(r"(?:-?[0-9]{1,2}(?:\.[0-9]{1,10})?)?"), "degrees like 35.6762, or nothing"),
    "lon": (re.compile(r"(?:-?[0-9]{1,3}(?:\.[0-9]{1,10})?)?"), "degrees like 139.5362, or nothing"),
    "people": (re.compile(r"[0-9]{1,5}"), "how many people are there, 0 to 99999"),
    "language": (re.compile(r"(?:ja|ja-x-easy|en-US|zh|ko)?"), "ja, ja-x-easy, en-US, zh or ko, or nothing for ja"),
    "terminals": (_some(_TERMINAL, 10), "up to 10 ids of terminals apart by a space"),
    "mails": (_some(_MAIL, 10), "up to 10 addresses local@domain apart by a space"),
    "phones": (_some(_PHONE, 10), "up to 10 numbers like 0422-00-0000 apart by a space"),
}


class BadFacilities(ValueError):  # noqa: N818 - says what was seen
    """The file cannot be used; `problems` has a line for each reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Facility:
    """One place with people who need more time than others."""

    id: str
    name: str
    kind: Kind
    address: str
    quarter: str
    """Code of the quarter that the address names."""
    people: int
    language: str = "ja"
    place: tuple[float, float] | None = None
    """(latitude, longitude); None: its quarter stands for it."""
    terminals: tuple[str, ...] = ()
    mails: tuple[str, ...] = field(default=(), repr=False)
    phones: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`facilities` of a site file.

    facilities:
      register: facilities.csv
      secret: {file: keys/facilities}      # openssl rand -base64 48
    """

    register: Path
    secret: Secret = field(metadata=OURS)
    """Makes the links by which a facility acknowledges; whoever knows it can acknowledge for anybody."""

    def problems(self) -> Iterable[tuple[str, str]]:
        if len(self.secret.reveal().encode()) < KEY_BYTES:
            yield "secret", f"at least {KEY_BYTES} characters are needed, as `openssl rand -base64 48` prints them"
        try:
            read(self.register)
        except BadFacilities as wrong:
            yield from (("register", problem) for problem in wrong.problems)


def read(path: Path, quarters: Collection[str] | None = None) -> Mapping[str, Facility]:
    """The facilities by id, in the file's order. `quarters`: those that there are; None: not looked at.

    Raises:
        BadFacilities: the file is not there, or lines of it are wrong; every reason with its line, the first 50.
    """
    facilities: dict[str, Facility] = {}
    owners: dict[str, str] = {}
    problems: list[str] = []
    for line, row in _rows(path, _text(path)):
        wrong = [
            f"{column}: {accepted}" for column, (form, accepted) in _FORMS.items() if not form.fullmatch(row[column])
        ]
        if quarters is not None and _FORMS["quarter"][0].fullmatch(row["quarter"]) and row["quarter"] not in quarters:
            wrong.append("quarter: a quarter of this city")
        wrong += _place_problems(row)
        said = [f"{path}:{line}: {what} is accepted" for what in wrong]
        if row["id"] in facilities:
            said.append(f"{path}:{line}: id: {row['id']} stands twice")
        for tid in row["terminals"].split():
            if tid in owners:
                said.append(f"{path}:{line}: terminals: {tid} is {owners[tid]}'s already")
            owners.setdefault(tid, row["id"])
        problems += said
        if len(problems) >= MOST_PROBLEMS:
            break
        if not said:
            facilities[row["id"]] = _facility(row)
    if problems:
        raise BadFacilities(problems[:MOST_PROBLEMS])
    return MappingProxyType(facilities)


def _place_problems(row: Mapping[str, str]) -> Iterator[str]:
    if bool(row["lat"]) != bool(row["lon"]):
        yield "lat, lon: both or neither"
    if not row["lat"] or not row["lon"] or any(not _FORMS[name][0].fullmatch(row[name]) for name in ("lat", "lon")):
        return
    # Swapped columns are the usual mistake, and Japan has no place where either would pass for the other.
    if not (20 <= float(row["lat"]) <= 46 and 122 <= float(row["lon"]) <= 154):
        yield "lat, lon: a place in Japan, latitude 20 to 46 and longitude 122 to 154"


def _facility(row: Mapping[str, str]) -> Facility:
    return Facility(
        id=row["id"],
        name=row["name"],
        kind=Kind(row["kind"]),
        address=row["address"],
        quarter=row["quarter"],
        people=int(row["people"]),
        language=row["language"] or "ja",
        place=(float(row["lat"]), float(row["lon"])) if row["lat"] else None,
        terminals=tuple(dict.fromkeys(row["terminals"].split())),
        mails=tuple(dict.fromkeys(row["mails"].split())),
        phones=tuple(dict.fromkeys(row["phones"].split())),
    )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise BadFacilities([f"{path}: more than {MOST_BYTES} bytes"])
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadFacilities([f"{path}:{line}: not UTF-8; save it as CSV UTF-8"]) from None
    except OSError as error:
        raise BadFacilities([f"{path}: {error.strerror}"]) from error


def _rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        if tuple(next(reader, ())) != COLUMNS:
            raise BadFacilities([f"{path}:1: the first line is {','.join(COLUMNS)}"])
        for row in reader:
            if len(row) != len(COLUMNS):
                raise BadFacilities([f"{path}:{reader.line_num}: {len(COLUMNS)} fields are accepted, not {len(row)}"])
            yield reader.line_num, dict(zip(COLUMNS, row, strict=True))
    except csv.Error as error:
        raise BadFacilities([f"{path}:{reader.line_num}: {error}"]) from error


class Register:
    """The file as it last read well."""

    def __init__(self, path: Path, quarters: Collection[str]) -> None:
        self.path = path
        self.facilities: Mapping[str, Facility] = MappingProxyType({})
        self._quarters = quarters
        self._seen: tuple[int, int, int] | None = None

    def refresh(self) -> bool:
        """Read the file if it has changed; returns whether it had.

        Raises:
            BadFacilities: it has changed and cannot be used; the facilities stay as they were. Said once a change.
        """
        try:
            about = self.path.stat()
            seen = (about.st_mtime_ns, about.st_size, about.st_ino)
        except OSError:
            seen = _GONE
        if seen == self._seen:
            return False
        self._seen = seen
        self.facilities = read(self.path, self._quarters)
        return True

    def in_quarters(self, quarters: Iterable[str]) -> list[Facility]:
        """The facilities whose address lies there, in the file's order."""
        wanted = set(quarters)
        return [facility for facility in self.facilities.values() if facility.quarter in wanted]
