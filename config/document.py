"""A YAML document whose every value knows its line, and the one error that names all that is wrong with it.

PyYAML speaks YAML 1.1, where a bare `10:00:00` is the number 36000 and a key `on` is True. Here scalars keep the text
that was typed, so the binder decides by the field's type, and a duplicate key is a problem instead of a silent loss. The
events are read one by one, so that a file that is deep or long on purpose is left where it passes the limit.

Source: YAML 1.1 §3.2.3 (events), §10.2; facts.md §Python.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a file. `line` counts from 1; `path` is dotted, `channels.website.url`; "" is the file itself."""

    file: str
    line: int
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.path or 'document'}: {self.reason}"


class ConfigError(Exception):
    """A file that describes a site cannot be used. `problems` holds every reason, in the order of the lines."""

    exit_code = 2
    http_status = 500

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


MAX_BYTES = 1_000_000
"""A site file is pages long; a larger one is a mistake or an attack."""
MAX_DEPTH = 16
MAX_VALUES = 10_000
MAX_KEY = 100
"""Characters; the longest real one has twenty."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place. `value` is str for any scalar (as typed), a tuple for a list, a dict for a mapping, None for null.

    `line` is where its key stands, for what has one: that is where the eye looks for it.
    """

    value: "str | tuple[Node, ...] | dict[str, Node] | None"
    line: int
    is_quoted: bool = False


def load(path: Path) -> bytes:
    """The file's bytes, as many as a document may have and one more.

    Raises:
        ConfigError: there is no such file, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([Problem(str(path), 1, "", error.strerror or str(error))]) from None


def read(data: bytes, file: str) -> Node:
    """The document in these bytes.

    Raises:
        ConfigError: it is not UTF-8, not YAML, too large or deep, or uses a tag, an anchor, an alias or a key twice.
    """
    document, problems = parse(data, file)
    if problems:
        raise ConfigError(problems)
    return document


def parse(data: bytes, file: str) -> tuple[Node, list[Problem]]:
    """The document, and what is wrong with it that leaves the rest readable: a key twice, a tag, a control character.

    Raises:
        ConfigError: nothing can be read.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError([Problem(file, 1, "", f"more than {MAX_BYTES} bytes")])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(file, data.count(b"\n", 0, error.start) + 1, "", "not UTF-8")]) from None
    reader: _Reader | None = None
    try:
        reader = _Reader(text, file)
        return reader.document(), reader.problems
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        reason = f"U+{int(error.character):04X} is not accepted in YAML"
        raise ConfigError([Problem(file, line, "", reason)]) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        found = reader.problems if reader else []
        raise ConfigError([*found, Problem(file, line, "", f"not YAML: {error.problem}")]) from None
    except (ValueError, OverflowError):
        line = reader.line if reader else 1
        raise ConfigError([Problem(file, line, "", "not YAML: an escape names no character")]) from None


def written(value: Any) -> str:
    """What is JSON, as YAML, in the order in which it was given."""
    text: str = yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=120)
    return text


class _Reader:
    """One pass over the events of a document, depth first."""

    def __init__(self, text: str, file: str) -> None:
        self._events: Any = yaml.SafeLoader(text)
        self._file = file
        self._values = 0
        self.problems: list[Problem] = []

    @property
    def line(self) -> int:
        return int(self._events.line) + 1

    def document(self) -> Node:
        self._next()
        if isinstance(self._next(), yaml.StreamEndEvent):
            return Node({}, 1)
        root = self._value(self._next(), "", 0)
        self._next()
        if not isinstance(after := self._next(), yaml.StreamEndEvent):
            self._wrong(after.start_mark.line + 1, "", "a second document begins here; one is accepted")
        # A file of comments only describes nothing yet; what is missing is then named key by key.
        return Node({}, 1) if root.value is None else root

    def _next(self) -> Any:
        return self._events.get_event()

    def _wrong(self, line: int, path: str, reason: str) -> None:
        self.problems.append(Problem(self._file, line, path, reason))

    def _value(self, event: Any, path: str, depth: int) -> Node:
        line = event.start_mark.line + 1
        self._values += 1
        if self._values > MAX_VALUES or depth > MAX_DEPTH:
            what = f"more than {MAX_VALUES} values" if self._values > MAX_VALUES else f"deeper than {MAX_DEPTH} levels"
            raise ConfigError([*self.problems, Problem(self._file, line, path, what)])
        if isinstance(event, yaml.AliasEvent):
            self._wrong(line, path, f"no alias is accepted (*{event.anchor}); write the value out")
            return Node(None, line)
        if event.anchor is not None:
            self._wrong(line, path, f"no anchor is accepted (&{event.anchor}); write the value out")
        if event.tag is not None:
            self._wrong(line, path, f"no tag is accepted ({event.tag}); write the value plainly")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(line, path, depth)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(line, path, depth)
        text = self._plain(event.value, line, path)
        is_quoted = event.style is not None
        return Node(None if not is_quoted and text in {"", "~", "null", "Null", "NULL"} else text, line, is_quoted)

    def _list(self, line: int, path: str, depth: int) -> Node:
        items: list[Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(event, f"{path}[{len(items)}]", depth + 1))
        return Node(tuple(items), line)

    def _mapping(self, line: int, path: str, depth: int) -> Node:
        members: dict[str, Node] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._value(event, path, depth + 1)
            name = key.value if isinstance(key.value, str) else None
            if name is None or len(name) > MAX_KEY or "\n" in name:
                self._wrong(key.line, path, f"a key is one word of {MAX_KEY} characters at most")
                name = ""
            at = f"{path}.{name}" if path else name
            value = replace(self._value(self._next(), at, depth + 1), line=key.line)
            if name in members and name:
                self._wrong(key.line, at, f"stands twice; first in line {members[name].line}")
            elif name:
                members[name] = value
        return Node(members, line)

    def _plain(self, text: str, line: int, path: str) -> str:
        """Text that may be shown to people: a control character in a name could repaint the terminal that shows it."""
        strange = sorted({c for c in text if c not in "\n\t" and unicodedata.category(c) in {"Cc", "Cs"}})
        if strange:
            self._wrong(
                line, path, f"control character {', '.join(f'U+{ord(c):04X}' for c in strange)} is not accepted"
            )
            return "".join(c for c in text if c not in strange)
        return text
