"""The register of terminals: a CSV file that staff keep, one line a terminal.

    tid,name,address,quarter,groups,password_hash,mac_key
    T0001,第七中学校,東京都三鷹市大沢1-8-5,132040301,school,<64 hex digits>,<64 hex digits>

The password is made by a machine for a machine, at random, so one SHA-256 with the terminal's id is what it needs: a slow hash
would cost an hour when 19,500 terminals come back after a power cut. The MAC key has to stand as it is, so the file is a secret
of the node: nobody else may read it.

A terminal that moves or is replaced is a changed line: the file is read again when it has changed. One that no longer reads leaves
the last good one in force.

Source: RFC 4180; facts.md §IP notification terminals.
"""

import csv
import hashlib
import hmac
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from channels.ip_terminal.notice import KEY_BYTES
from channels.ip_terminal.topics import down_topics

COLUMNS = ("tid", "name", "address", "quarter", "groups", "password_hash", "mac_key")
_MOST_PROBLEMS = 20
_FORMS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "tid": (re.compile(r"[A-Za-z0-9_-]{1,32}"), "1 to 32 letters, digits, - and _"),
    "name": (re.compile(r"[^\x00-\x1f]{0,100}"), "up to 100 characters"),
    "address": (re.compile(r"[^\x00-\x1f]{0,200}"), "up to 200 characters"),
    "quarter": (re.compile(r"[0-9]{9}"), "the nine digits of a quarter"),
    "groups": (re.compile(r"(?:[a-z0-9_-]{1,32}(?: [a-z0-9_-]{1,32}){0,15})?"), "up to 16 names apart by a space"),
    "password_hash": (re.compile(r"[0-9a-f]{64}"), "SHA-256 of `tid:password`, 64 hexadecimal digits"),
    "mac_key": (re.compile(r"[0-9a-f]{64}"), "64 hexadecimal digits"),
}


class BadRegister(ValueError):  # noqa: N818 - says what was seen
    """The file cannot be used; `problems` has a line for each reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Registered:
    """One terminal as the city knows it."""

    tid: str
    name: str
    address: str
    quarter: str
    """Code of the quarter that the address names."""
    groups: tuple[str, ...]
    password_hash: bytes = field(repr=False)
    mac_key: bytes = field(repr=False)

    def admits(self, password: bytes) -> bool:
        return hmac.compare_digest(self.password_hash, password_hash(self.tid, password))

    @property
    def topics(self) -> frozenset[str]:
        """What it may subscribe to."""
        return down_topics(self.tid, self.quarter, self.groups)


def password_hash(tid: str, password: bytes) -> bytes:
    """What the register keeps of a password."""
    return hashlib.sha256(tid.encode() + b":" + password).digest()


def read(path: Path) -> dict[str, Registered]:
    """The terminals by id, in the file's order.

    Raises:
        BadRegister: the file is not there, or lines of it are wrong; every reason with its line, the first 20.
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRegister([f"{path}: not UTF-8"]) from None
    except OSError as error:
        raise BadRegister([f"{path}: {error.strerror}"]) from error
    terminals: dict[str, Registered] = {}
    problems: list[str] = []
    for line, row in _rows(path, text):
        wrong = [
            f"{path}:{line}: {column}: {accepted} are accepted"
            for column, (form, accepted) in _FORMS.items()
            if not form.fullmatch(row[column])
        ]
        if row["tid"] in terminals:
            wrong.append(f"{path}:{line}: tid: {row['tid']} stands twice")
        problems += wrong
        if not wrong:
            terminals[row["tid"]] = Registered(
                row["tid"],
                row["name"],
                row["address"],
                row["quarter"],
                tuple(row["groups"].split()),
                bytes.fromhex(row["password_hash"]),
                bytes.fromhex(row["mac_key"]),
            )
        if len(problems) >= _MOST_PROBLEMS:
            break
    if problems:
        raise BadRegister(problems[:_MOST_PROBLEMS])
    return terminals


def _rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        if tuple(next(reader, ())) != COLUMNS:
            raise BadRegister([f"{path}:1: the first line is {','.join(COLUMNS)}"])
        for row in reader:
            if len(row) != len(COLUMNS):
                raise BadRegister([f"{path}:{reader.line_num}: {len(COLUMNS)} fields are accepted, not {len(row)}"])
            yield reader.line_num, dict(zip(COLUMNS, row, strict=True))
    except csv.Error as error:
        raise BadRegister([f"{path}:{reader.line_num}: {error}"]) from error


def write(path: Path, terminals: Iterable[Registered]) -> None:
    """The file, whole or not at all, readable by its owner alone."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for t in terminals:
        assert len(t.mac_key) == KEY_BYTES
        writer.writerow(
            [t.tid, t.name, t.address, t.quarter, " ".join(t.groups), t.password_hash.hex(), t.mac_key.hex()]
        )
    half = path.with_name(path.name + ".new")
    half.unlink(missing_ok=True)
    with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - mode from the first byte on
        file.write(text.getvalue())
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)


class Register:
    """The file as it last read well."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.terminals: Mapping[str, Registered] = {}
        self._seen: tuple[int, int, int] | None = None

    def refresh(self) -> bool:
        """Read the file if it has changed; returns whether it had.

        Raises:
            BadRegister: it has changed and cannot be used; the terminals stay as they were.
        """
        try:
            about = self.path.stat()
        except OSError as error:
            self._seen = None
            raise BadRegister([f"{self.path}: {error.strerror}"]) from error
        seen = (about.st_mtime_ns, about.st_size, about.st_ino)
        if seen == self._seen:
            return False
        self._seen = seen
        self.terminals = read(self.path)
        return True

    def in_quarters(self, quarters: Iterable[str]) -> list[Registered]:
        """The terminals whose address lies there, in the file's order."""
        wanted = set(quarters)
        return [terminal for terminal in self.terminals.values() if terminal.quarter in wanted]
