"""A file's rows → people, and everything that is wrong with the file, each with line, column and what is accepted.

    宛名番号,氏名,住所,世帯主,メール
    R000001,住民0001,大沢2-6-18,R000001,r1@example.jp

The first line names the columns, in either language (person.py); several values of one cell stand apart by a space or `;`. A
person's quarter follows from the address; a column of its own must agree with it. A file with anything wrong is not imported at
all: half a roster looks like a whole one.

The file is gone through twice, a row at a time: once to find what is wrong, once to take the people. What is remembered of a row
is its id's and its person's hash, never its text.

Source: RFC 4180; design.md §8; issue "Bad input".
"""

import csv
import hashlib
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, BinaryIO

from config.city import City
from config.words import MESSAGES
from dispatcher.errors import Finding, InvalidInput
from dispatcher.tracking.roster.encoding import lines, recognise
from dispatcher.tracking.roster.person import COLUMNS, NEEDED, Person

MOST_SHOWN = 1000
"""Findings; of more the number is said."""
_YES = frozenset({"1", "yes", "true", "有", "あり", "はい", "○"})
_NO = frozenset({"", "0", "no", "false", "無", "なし", "いいえ", "×"})
_EITHER = _YES | _NO
_CHOME = "一二三四五六七八九"
_TEXT = r"[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff0-\uffff]"
_DAY = re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})")
_DAY_WITHOUT_MARKS = re.compile(r"([0-9]{4})()([0-9]{2})([0-9]{2})")
_QUARTER_AND_LOT = re.compile(rf"(\D+?)\s*([1-9{_CHOME}])\s*(?:丁目|[-‐-―ー−の])\s*[0-9]{{1,4}}")
_APART = re.compile(r"[\s;]+")


@dataclass(frozen=True, slots=True)
class _Form:
    """How one value is written, and what to say where it is not."""

    pattern: re.Pattern[str]
    accepted: str
    most: int = 1
    """Values in one cell."""


_ID = r"[A-Za-z0-9_-]{1,32}"
_MAIL = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
_PHONE = r"\+?[0-9](?:-?[0-9]){8,14}"
_ids = "英数字と - _ で32字まで (letters, digits, - and _, 32 at most)"
_FORMS: Mapping[str, _Form] = {
    "person_id": _Form(re.compile(_ID), _ids),
    "name": _Form(re.compile(rf"{_TEXT}{{1,100}}"), "1〜100字 (1 to 100 characters)"),
    "kana": _Form(re.compile(rf"{_TEXT}{{0,100}}"), "100字まで (100 characters at most)"),
    "address": _Form(re.compile(rf"{_TEXT}{{1,200}}"), "1〜200字 (1 to 200 characters)"),
    "quarter": _Form(
        re.compile(rf"{_TEXT}{{0,40}}"), "町丁目の名前か9けたの番号 (a quarter's name or its nine digits)"
    ),
    "phones": _Form(re.compile(_PHONE), "0422-00-0000 のような番号 (a number like that)", 3),
    "language": _Form(re.compile("|".join(("", *MESSAGES))), "、".join(MESSAGES)),
    "household": _Form(re.compile(f"(?:{_ID})?"), _ids),
    "facility": _Form(re.compile(f"(?:{_ID})?"), _ids),
    "guardians": _Form(re.compile(_ID), _ids, 4),
    "supporters": _Form(re.compile(_ID), _ids, 4),
    "mails": _Form(re.compile(_MAIL), "名前@ドメイン (local@domain)", 3),
    "terminal": _Form(re.compile(f"(?:{_ID})?"), _ids),
    "relative_mails": _Form(re.compile(_MAIL), "名前@ドメイン (local@domain)", 3),
    "relative_phones": _Form(re.compile(_PHONE), "0422-00-0000 のような番号 (a number like that)", 3),
    "note": _Form(re.compile(rf"{_TEXT}{{0,300}}"), "300字まで (300 characters at most)"),
}
_NARROW = frozenset(_FORMS) - {"name", "address", "note", "kana"}
"""Columns in which ａ１ and a1 are the same."""
_MANY = frozenset(name for name, form in _FORMS.items() if form.most > 1)


@dataclass(frozen=True, slots=True)
class Read:
    """What a file turned out to be."""

    codec: str
    fingerprint: bytes
    """Of its bytes."""
    people: int

    @property
    def encoding(self) -> str:
        return "Shift_JIS" if self.codec == "cp932" else "UTF-8"


@dataclass(slots=True)
class _Known:
    """What is remembered of the rows before."""

    ids: dict[int, int] = field(default_factory=dict)
    """Hash of a common ID → its line."""
    people: dict[int, int] = field(default_factory=dict)
    """Hash of name, birth date and address → its line."""
    named: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Hash of an ID that stands in a row, and has not had one of its own yet → line and column."""


class _Wrong:
    """Findings, as many as anybody reads."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._findings: list[Finding] = []
        self._more = 0

    def add(self, line: int, column: str, reason: str) -> None:
        if len(self._findings) >= MOST_SHOWN:
            self._more += 1
            return
        shown = f": {column} {COLUMNS[column]}" if column in COLUMNS else f": {column}" if column else ""
        self._findings.append(Finding(f"{self._name}:{line}{shown}", reason))

    def require_none(self) -> None:
        if self._findings:
            more = [Finding(self._name, f"ほかに {self._more} 件 (and as many more)")] if self._more else []
            raise InvalidInput([*self._findings, *more])


def survey(
    file: BinaryIO,
    name: str,
    city: City,
    cohorts: Collection[str],
    today: date,
    see: Callable[[Person], None] = lambda _: None,
) -> Read:
    """Go through the whole file; `see` is shown everybody whose own row is right.

    Raises:
        InvalidInput: everything that is wrong with it.
    """
    codec = recognise(file, name)
    wrong, known, count = _Wrong(name), _Known(), 0
    rows = _Rows(file, name, codec)
    columns = _columns(rows, wrong)
    wrong.require_none()
    reader = _Reader(columns, city, cohorts, today, wrong.add)
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            wrong.add(rows.line, "", f"CSV として読めません (not as RFC 4180 has it): {error}")
            break
        if row is None:
            break
        if any(row):
            count += 1
            person = reader.person(row, rows.line)
            if person is not None:
                _compare(person, rows.line, known, wrong)
                see(person)
    for line, column in sorted(known.named.values()):
        wrong.add(line, column, "その宛名番号の人は、このファイルにいません (nobody in this file has that ID)")
    if not count:
        wrong.add(
            1, "", "だれもいません。名簿は空にできません (nobody stands in it: a roster is never emptied this way)"
        )
    wrong.require_none()
    return Read(codec, rows.fingerprint(), count)


def people(file: BinaryIO, read: Read, city: City, cohorts: Collection[str], today: date) -> Iterator[Person]:
    """Everybody in a file that `survey` has found nothing wrong with."""
    rows = _Rows(file, "", read.codec)
    wrong = _Wrong("")
    reader = _Reader(_columns(rows, wrong), city, cohorts, today, wrong.add)
    for row in rows:
        if any(row) and (person := reader.person(row, rows.line)) is not None:
            yield person
    wrong.require_none()


class _Rows:
    """A file's rows as CSV has them."""

    def __init__(self, file: BinaryIO, name: str, codec: str) -> None:
        self._digest = hashlib.sha256()
        self._reader = csv.reader(self._decoded(file, name, codec), strict=True)

    def _decoded(self, file: BinaryIO, name: str, codec: str) -> Iterator[str]:
        for number, line in enumerate(lines(file, name)):
            self._digest.update(line)
            yield line.decode("utf-8" if codec == "utf-8-sig" and number else codec)

    def __iter__(self) -> "_Rows":
        return self

    def __next__(self) -> list[str]:
        return next(self._reader)

    @property
    def line(self) -> int:
        return self._reader.line_num

    def fingerprint(self) -> bytes:
        return self._digest.digest()


def _columns(rows: _Rows, wrong: _Wrong) -> Sequence[str]:
    """The columns as `Person` names them."""
    by_word = {word: name for name, japanese in COLUMNS.items() for word in (name, japanese)}
    try:
        head = next(rows, [])
    except csv.Error as error:
        head = []
        wrong.add(1, "", f"CSV として読めません (not as RFC 4180 has it): {error}")
    columns = [by_word.get(unicodedata.normalize("NFKC", cell).strip(), "") for cell in head]
    for place, column in enumerate(columns, 1):
        if not column:
            accepted = ", ".join(f"{name} {japanese}" for name, japanese in COLUMNS.items())
            wrong.add(1, f"{place}", f"知らない列です。使えるのは (no such column; accepted are) {accepted}")
        elif columns.index(column) != place - 1:
            wrong.add(1, column, "同じ列が二つあります (the column is there twice)")
    for name in NEEDED:
        if name not in columns:
            wrong.add(1, name, "この列が要ります (the column is needed)")
    return columns


class _Reader:
    """Rows of one file → people."""

    def __init__(
        self,
        columns: Sequence[str],
        city: City,
        cohorts: Collection[str],
        today: date,
        wrong: Callable[[int, str, str], None],
    ) -> None:
        self._columns = columns
        self._cohorts = frozenset(cohorts)
        self._today = today
        self._wrong = wrong
        self._city = city.names["ja"]
        self._quarters = {quarter.names["ja"]: quarter.code for quarter in city.quarters.values()}
        self._codes = {code: code for code in self._quarters.values()} | self._quarters

    def person(self, row: Sequence[str], line: int) -> Person | None:
        """None: something is wrong with the row, and was said."""
        if len(row) != len(self._columns):
            self._wrong(
                line, "", f"{len(row)} 列あります。1行目は {len(self._columns)} 列です (not as many as columns)"
            )
            return None
        said: dict[str, Any] = {}
        is_right = True

        def wrong(column: str, reason: str) -> None:
            nonlocal is_right
            is_right = False
            self._wrong(line, column, reason)

        for column, cell in zip(self._columns, row, strict=True):
            self._cell(column, cell, said, wrong)
        self._live_there(said, wrong)
        return Person(**said) if is_right else None

    def _cell(self, column: str, cell: str, said: dict[str, Any], wrong: Callable[[str, str], None]) -> None:
        text = unicodedata.normalize("NFKC" if column in _NARROW else "NFC", cell).strip()
        match column:
            case "birth_date":
                said[column] = self._birth_date(text, wrong)
            case "consent" | "restricted":
                if text.lower() not in _EITHER:
                    wrong(column, "有・無、1・0、yes・no のどれか (one of these)")
                said[column] = text.lower() in _YES
            case "cohorts":
                said[column] = tuple(dict.fromkeys(_APART.split(text))) if text else ()
                if not self._cohorts.issuperset(said[column]):
                    wrong(column, f"{'、'.join(sorted(self._cohorts))} のどれか (one of these)")
            case _ if column in _MANY:
                form = _FORMS[column]
                said[column] = values = tuple(dict.fromkeys(_APART.split(text))) if text else ()
                if len(values) > form.most:
                    wrong(column, f"{form.most} つまで (so many at most)")
                if not all(map(form.pattern.fullmatch, values)):
                    wrong(column, form.accepted)
            case _ if text or column in NEEDED:
                form = _FORMS[column]
                said[column] = text
                if not form.pattern.fullmatch(text):
                    wrong(column, form.accepted)

    def _birth_date(self, text: str, wrong: Callable[[str, str], None]) -> str:
        if not text:
            return ""
        found = _DAY.fullmatch(text) or _DAY_WITHOUT_MARKS.fullmatch(text)
        try:
            born = date(int(found[1]), int(found[3]), int(found[4])) if found else None
        except ValueError:
            born = None
        if born is None:
            wrong("birth_date", "1960-04-01 のような日付 (a date like that)")
            return ""
        if not 0 <= (self._today - born).days <= 130 * 366:
            wrong("birth_date", "生まれた日ではありえません (nobody alive was born then)")
        return born.isoformat()

    def _live_there(self, said: dict[str, Any], wrong: Callable[[str, str], None]) -> None:
        """The quarter follows from the address."""
        named, address = said.pop("quarter", ""), said.get("address", "")
        lives_in = self._quarter_of(address)
        if not lives_in:
            wrong(
                "address",
                f"{self._city}の町丁目と番地がありません。例: 大沢2-6-18 (names no quarter and lot of the city)",
            )
        elif named and self._codes.get(named) != lives_in:
            known = named in self._codes
            reason = (
                "住所と町丁目が合いません (another quarter than the address's)" if known else _FORMS["quarter"].accepted
            )
            wrong("quarter", reason)
        said["quarter"] = lives_in

    def _quarter_of(self, address: str) -> str:
        """Code of the quarter that an address names; "" if it names none."""
        text = unicodedata.normalize("NFKC", address).partition(self._city)
        there = (text[2] or text[0]).strip()
        found = _QUARTER_AND_LOT.match(there)
        if found is None:
            return ""
        chome = found[2] if found[2] in _CHOME else _CHOME[int(found[2]) - 1]
        return self._quarters.get(f"{found[1]}{chome}丁目", "")


def _compare(person: Person, line: int, known: _Known, wrong: _Wrong) -> None:
    """With the rows before."""
    own = _hash(person.person_id)
    if own in known.ids:
        wrong.add(line, "person_id", f"{known.ids[own]} 行と同じです (the same as in that line)")
    known.ids.setdefault(own, line)
    known.named.pop(own, None)
    if person.birth_date:
        same = _hash(person.name, person.birth_date, person.address)
        if same in known.people:
            reason = f"{known.people[same]} 行と同じ人です: 氏名・生年月日・住所 (the same person as in that line)"
            wrong.add(line, "name", reason)
        known.people.setdefault(same, line)
    named = (("household", (person.household,)), ("guardians", person.guardians), ("supporters", person.supporters))
    for column, ids in named:
        for other in filter(None, ids):
            if other == person.person_id and column != "household":
                wrong.add(line, column, "本人です (that is the person)")
            elif (hashed := _hash(other)) not in known.ids:
                known.named.setdefault(hashed, (line, column))


def _hash(*parts: str) -> int:
    return int.from_bytes(hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest())
