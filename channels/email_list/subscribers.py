"""A file of subscribers: what a registration desk keeps, what another node exported; one line a person.

    address,quarters,language,topics
    user0001@example.jp,132040301 132040302,ja,weather earthquake

`topics` may be left out, as a column or in a line: that person hears of everything. `left` in the place of quarters is somebody who
left the list and stays off it. The file is read as a stream, never whole.

Source: RFC 4180; facts.md §Mail "Japan" (legacy addresses); issue "100,000 recipients stream with flat memory".
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dispatcher.model.topic import CHOICES

COLUMNS = ("address", "quarters", "language")
WITH_TOPICS = (*COLUMNS, "topics")
LANGUAGES = ("ja", "ja-x-easy", "en", "en-US", "zh", "ko")
LEFT = "left"
"""In the place of quarters: this address left the list and stays off it."""
MOST_PROBLEMS = 20
MOST_QUARTERS = 500
NONE = "none"
"""In the file: of the topics that may be left out, none."""

# Legacy addresses of mobile carriers (`a..b@`, `a.@`) are no dot-string of RFC 5321 and receive mail: taken as they are.
_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?=[^@]{1,253}$)"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
_QUARTER = re.compile(r"[0-9]{9}")


class BadSubscribers(ValueError):  # noqa: N818 - says what was seen
    """The file cannot be used; `problems` has a line for each reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Subscriber:
    address: str
    quarters: tuple[str, ...]
    """None of who left."""
    language: str
    topics: tuple[str, ...] = CHOICES
    """Beside what everybody hears."""

    @property
    def is_gone(self) -> bool:
        """Left the list, as a file says."""
        return not self.quarters


def read(path: Path) -> Iterator[Subscriber]:
    """Everybody in the file, as a stream.

    Raises:
        BadSubscribers: the file is not there, or lines of it are wrong; every reason with its line, the first 20.
    """
    problems: list[str] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, row in _rows(path, file):
                wrong = [f"{path}:{line}: {what}" for what in _wrong(row)]
                problems += wrong
                if len(problems) >= MOST_PROBLEMS:
                    break
                if not wrong and not problems:
                    yield _subscriber(row)
    except UnicodeDecodeError:
        problems.append(f"{path}: not UTF-8")
    except OSError as error:
        problems.append(f"{path}: {error.strerror}")
    if problems:
        raise BadSubscribers(problems[:MOST_PROBLEMS])


def is_address(text: str) -> bool:
    """Whether it can stand on the wire as it is: no control character, no space, no quoting."""
    return _ADDRESS.fullmatch(text) is not None


def _rows(path: Path, file: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(file, strict=True)
    try:
        columns = tuple(next(reader, ()))
        if columns not in {COLUMNS, WITH_TOPICS}:
            raise BadSubscribers([f"{path}:1: the first line is {','.join(COLUMNS)} or {','.join(WITH_TOPICS)}"])
        for row in reader:
            yield reader.line_num, [*row, ""] if columns == COLUMNS else row
    except csv.Error as error:
        raise BadSubscribers([f"{path}:{reader.line_num}: {error}"]) from error


def _wrong(row: list[str]) -> Iterator[str]:
    if len(row) != len(WITH_TOPICS):
        yield "as many fields as the first line has are accepted"
        return
    address, quarters, language, topics = row
    if not is_address(address):
        yield "address: an ASCII address local@domain is accepted"
    named = quarters.split()
    if quarters != LEFT and (not named or len(named) > MOST_QUARTERS or not all(map(_QUARTER.fullmatch, named))):
        yield f"quarters: 1 to {MOST_QUARTERS} quarters of nine digits, apart by a space, are accepted"
    if language and language not in LANGUAGES:
        yield f"language: {', '.join(LANGUAGES)} are accepted"
    if topics != NONE and set(topics.split()) - set(CHOICES):
        yield f"topics: {' '.join(CHOICES)}, or {NONE}, are accepted"


def _subscriber(row: Sequence[str]) -> Subscriber:
    address, quarters, language, topics = row
    chosen = () if topics == NONE else tuple(topics.split()) or CHOICES
    homes = () if quarters == LEFT else tuple(quarters.split())
    return Subscriber(address, homes, language or LANGUAGES[0], chosen)
