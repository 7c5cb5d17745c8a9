"""The index of the city's file of subscribers: a database that is made anew when the file has changed.

A file that no longer reads leaves the last good index in force. What people told us themselves stands in tables of the same shape
in another database (register.py).

Source: facts.md §Mail; SQLite "PRAGMA journal_mode" (OFF: a half-made index is thrown away, never mended).
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from channels.email_list.subscribers import BadSubscribers, Subscriber, read

ROWS_AT_ONCE = 1_000

# In the order of addresses, so that all pages together cost one walk: by quarter, each page would sort the rest anew.
PEOPLE = """
CREATE TABLE IF NOT EXISTS {0}subscriber (
    address TEXT PRIMARY KEY, language TEXT NOT NULL, topics TEXT NOT NULL, token TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {0}lives_in (address TEXT, quarter TEXT, PRIMARY KEY (address, quarter)) WITHOUT ROWID;
"""
TOKENS = "CREATE INDEX IF NOT EXISTS {0}subscriber_token ON subscriber (token)"


class Index:
    """Blocks on the disk: call it in a thread, one at a time."""

    def __init__(self, file: Path, path: Path, token: Callable[[str], str], made_with: str) -> None:
        """`made_with`: another one says that `token` makes others now."""
        self._file = file
        self.path = path
        self._token = token
        self._made_with = made_with

    def refresh(self) -> None:
        """Make it anew if the file has changed since.

        Raises:
            BadSubscribers: the file cannot be used; what was made of it before stays.
        """
        try:
            about = self._file.stat()
        except OSError as error:
            raise BadSubscribers([f"{self._file}: {error.strerror}"]) from error
        seen = f"{about.st_mtime_ns} {about.st_size} {about.st_ino} {self._made_with}"
        if seen == self._seen():
            return
        draft = self.path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        try:
            with closing(sqlite3.connect(draft, isolation_level=None)) as index:
                index.execute("PRAGMA journal_mode=OFF")
                index.execute("BEGIN")
                create(index, PEOPLE.format(""))
                self._fill(index)
                index.execute(TOKENS.format(""))
                index.execute("CREATE TABLE file (seen TEXT)")
                index.execute("INSERT INTO file VALUES (?)", (seen,))
                index.execute("COMMIT")
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)

    def _fill(self, index: sqlite3.Connection) -> None:
        people: list[Subscriber] = []

        def write() -> None:
            rows = [row_of(person, self._token) for person in people]
            index.executemany("INSERT OR REPLACE INTO subscriber VALUES (?, ?, ?, ?)", rows)
            index.executemany("INSERT OR IGNORE INTO lives_in VALUES (?, ?)", [h for p in people for h in homes_of(p)])
            people.clear()

        for person in read(self._file):
            if not person.is_gone:
                people.append(person)
            if len(people) >= ROWS_AT_ONCE:
                write()
        write()

    def _seen(self) -> str | None:
        if not self.path.exists():
            return None
        try:
            with closing(sqlite3.connect(self.path)) as index:
                return str(index.execute("SELECT seen FROM file").fetchone()[0])
        except (sqlite3.DatabaseError, TypeError):  # half a file of an older version: it is made anew
            return None


def row_of(person: Subscriber, token: Callable[[str], str]) -> tuple[str, str, str, str]:
    """Of the table `subscriber`."""
    return person.address, person.language, " ".join(person.topics), token(person.address)


def create(database: sqlite3.Connection, tables: str) -> None:
    for statement in tables.split(";"):
        database.execute(statement)


def homes_of(person: Subscriber) -> list[tuple[str, str]]:
    """Of the table `lives_in`."""
    return [(person.address, quarter) for quarter in dict.fromkeys(person.quarters)]
