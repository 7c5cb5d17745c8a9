"""The register of subscribers: a CSV file that staff or a registration desk keep, and an index of it that answers by quarter.

    address,quarters,language
    user0001@example.jp,132040301 132040302,ja

The file is read as a stream, never whole, and indexed in the channel's folder when it has changed; so 100,000 people cost a
lookup and no memory. One that no longer reads leaves the last good index in force. Whoever has unsubscribed stays out, whatever the
file says.

Source: RFC 4180; facts.md §Mail "Japan" (legacy addresses); issue "100,000 recipients stream with flat memory".
"""

import csv
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from dispatcher.errors import StorageFull

COLUMNS = ("address", "quarters", "language")
LANGUAGES = ("ja", "ja-x-easy", "en-US")
MOST_PROBLEMS = 20
MOST_QUARTERS = 50
ROWS_AT_ONCE = 1000

# Legacy addresses of mobile carriers (`a..b@`, `a.@`) are no dot-string of RFC 5321 and receive mail: taken as they are.
_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?=[^@]{1,253}$)"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
_QUARTER = re.compile(r"[0-9]{9}")

# In the order of addresses, so that all pages together cost one walk: by quarter, each page would sort the rest anew.
_SCHEMA = """
CREATE TABLE subscriber (address TEXT PRIMARY KEY, language TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE lives_in (address TEXT, quarter TEXT, PRIMARY KEY (address, quarter)) WITHOUT ROWID;
"""
_STILL = "address NOT IN (SELECT address FROM gone.unsubscribed)"
_LIVING_IN = f"FROM lives_in WHERE quarter IN (SELECT value FROM json_each(?)) AND {_STILL}"  # noqa: S608 - constants alone
_COUNT = f"SELECT count(DISTINCT address) {_LIVING_IN}"
_MEMBERS = f"SELECT DISTINCT address {_LIVING_IN} AND address > ? ORDER BY address LIMIT ?"
_LANGUAGES = f"SELECT address, language FROM subscriber WHERE address IN (SELECT value FROM json_each(?)) AND {_STILL}"  # noqa: S608 - constants alone


class BadSubscribers(ValueError):  # noqa: N818 - says what was seen
    """The file cannot be used; `problems` has a line for each reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Subscriber:
    address: str
    quarters: tuple[str, ...]
    language: str


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
                    yield Subscriber(row[0], tuple(row[1].split()), row[2] or LANGUAGES[0])
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
        if tuple(next(reader, ())) != COLUMNS:
            raise BadSubscribers([f"{path}:1: the first line is {','.join(COLUMNS)}"])
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise BadSubscribers([f"{path}:{reader.line_num}: {error}"]) from error


def _wrong(row: list[str]) -> Iterator[str]:
    if len(row) != len(COLUMNS):
        yield f"{len(COLUMNS)} fields are accepted, not {len(row)}"
        return
    address, quarters, language = row
    if not is_address(address):
        yield "address: an ASCII address local@domain is accepted"
    named = quarters.split()
    if not named or len(named) > MOST_QUARTERS or not all(map(_QUARTER.fullmatch, named)):
        yield f"quarters: 1 to {MOST_QUARTERS} quarters of nine digits, apart by a space, are accepted"
    if language and language not in LANGUAGES:
        yield f"language: {', '.join(LANGUAGES)} are accepted"


class Index:
    """Answers by quarter and by address. Blocks on the disk: call it in a thread."""

    def __init__(self, csv_path: Path, folder: Path) -> None:
        self._csv = csv_path
        self._path = folder / "subscribers.db"
        self._out = folder / "unsubscribed.db"
        self._refreshing = Lock()

    def refresh(self) -> None:
        """Index the file anew if it has changed since.

        Raises:
            BadSubscribers: it cannot be used; the last good index stays.
            StorageFull: the disk took nothing.
        """
        with self._refreshing:
            self._refresh()

    def _refresh(self) -> None:
        try:
            about = self._csv.stat()
        except OSError as error:
            raise BadSubscribers([f"{self._csv}: {error.strerror}"]) from error
        seen = f"{about.st_mtime_ns} {about.st_size} {about.st_ino}"
        if seen == self._seen():
            return
        draft = self._path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        try:
            with closing(sqlite3.connect(draft, isolation_level=None)) as index:
                index.execute("PRAGMA journal_mode=OFF")
                index.execute("BEGIN")
                for statement in _SCHEMA.split(";"):
                    index.execute(statement)
                self._fill(index)
                index.execute("CREATE TABLE file (seen TEXT)")
                index.execute("INSERT INTO file VALUES (?)", (seen,))
                index.execute("COMMIT")
            draft.replace(self._path)
        except sqlite3.OperationalError as error:
            raise StorageFull(f"{self._path}: {error}") from error
        finally:
            draft.unlink(missing_ok=True)

    def count(self, quarters: Sequence[str]) -> int:
        with self._open() as index:
            return int(index.execute(_COUNT, (json.dumps(quarters),)).fetchone()[0])

    def members(self, quarters: Sequence[str], after: str, limit: int) -> list[str]:
        """Addresses behind `after`, in their order."""
        with self._open() as index:
            return [row[0] for row in index.execute(_MEMBERS, (json.dumps(quarters), after, limit))]

    def languages(self, addresses: Sequence[str]) -> Mapping[str, str]:
        """The language of each who is still subscribed."""
        with self._open() as index:
            return dict(index.execute(_LANGUAGES, (json.dumps(addresses),)).fetchall())

    def unsubscribe(self, address: str, at: str) -> None:
        """For good, durable on return. The file is staff's: it is not touched.

        Raises:
            StorageFull: the disk took nothing.
        """
        try:
            with closing(self._unsubscribed()) as out:
                out.execute("INSERT OR IGNORE INTO unsubscribed VALUES (?, ?)", (address, at))
        except sqlite3.OperationalError as error:
            raise StorageFull(f"{self._out}: {error}") from error

    def _fill(self, index: sqlite3.Connection) -> None:
        people: list[Subscriber] = []

        def write() -> None:
            index.executemany(
                "INSERT OR REPLACE INTO subscriber VALUES (?, ?)", [(p.address, p.language) for p in people]
            )
            index.executemany(
                "INSERT OR IGNORE INTO lives_in VALUES (?, ?)", [(p.address, q) for p in people for q in p.quarters]
            )
            people.clear()

        for person in read(self._csv):
            people.append(person)
            if len(people) >= ROWS_AT_ONCE:
                write()
        write()

    def _seen(self) -> str | None:
        if not self._path.exists():
            return None
        try:
            with closing(sqlite3.connect(self._path)) as index:
                return str(index.execute("SELECT seen FROM file").fetchone()[0])
        except sqlite3.DatabaseError:  # half a file of an older version: it is made anew
            return None

    def _open(self) -> closing[sqlite3.Connection]:
        with closing(self._unsubscribed()):
            pass
        index = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)
        index.execute("ATTACH ? AS gone", (str(self._out),))
        return closing(index)

    def _unsubscribed(self) -> sqlite3.Connection:
        out = sqlite3.connect(self._out, isolation_level=None, timeout=10)
        out.execute("PRAGMA synchronous=FULL")
        out.execute("CREATE TABLE IF NOT EXISTS unsubscribed (address TEXT PRIMARY KEY, at TEXT) WITHOUT ROWID")
        return out
