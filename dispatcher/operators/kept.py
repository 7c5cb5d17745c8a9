"""What a site keeps on its disk beside the ledger: found by walking the settings, so that there is no list to extend.

A settings field says what its file holds where it is declared: `field(metadata=PRIVATE)` is a secret of the node's,
`field(metadata=STATE)` a folder that the node fills and needs again. A `Secret` from a file is a secret.

Source: config/secret.py; design.md §4 ("There is no list to extend").
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.binding import bind
from config.document import Node, load, parse
from config.secret import Secret

_OWN = ("mode", "node", "state_dir", "ledger")


@dataclass(frozen=True, slots=True)
class Kept:
    """A file or folder that the site file names."""

    where: str
    """Its place in the site file: `channels.ip_terminal.register`."""
    path: Path
    is_secret: bool
    is_state: bool = False


def kept(settings: Any, where: str = "", holds: str = "") -> Iterator[Kept]:
    """Every path and every secret's file in these settings, in their order."""
    match settings:
        case Secret(path=Path() as path):
            yield Kept(f"{where}.file", path, is_secret=True)
        case Path():
            yield Kept(where, settings, is_secret=holds == "secret", is_state=holds == "state")
        case Mapping():
            for name, value in settings.items():
                yield from kept(value, f"{where}.{name}" if where else str(name))
        case tuple():
            for place, value in enumerate(settings):
                yield from kept(value, f"{where}[{place}]")
        case _ if dataclasses.is_dataclass(settings):
            for field in dataclasses.fields(settings):
                at = f"{where}.{field.name}" if where else field.name
                yield from kept(getattr(settings, field.name), at, field.metadata.get("holds", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a site file says of the node itself: all that can be known before the files that it names are there."""

    mode: str
    node: str
    state_dir: Path
    ledger: str | None = None

    @property
    def dsn(self) -> str:
        return self.ledger or f"sqlite:///{self.state_dir / 'todoke.db'}"


def head_of(file: Path) -> tuple[Head, Mapping[str, Path]]:
    """The node's own part of a site file, and every text in it as a path, by its place.

    Raises:
        ConfigError: what is wrong with that part.
    """
    base = file.resolve().parent
    document, _ = parse(load(file), str(file))
    values = document.value if isinstance(document.value, dict) else {}
    own = Node({name: values[name] for name in _OWN if name in values}, document.line)
    return bind(Head, own, file=str(file), base=base), dict(_texts(document, base, ""))


def _texts(node: Node, base: Path, where: str) -> Iterator[tuple[str, Path]]:
    match node.value:
        case str() as text if text and "\0" not in text:
            yield where, (base / text).absolute()
        case dict() as values:
            for name, value in values.items():
                yield from _texts(value, base, f"{where}.{name}" if where else name)
        case tuple() as items:
            for at, value in enumerate(items):
                yield from _texts(value, base, f"{where}[{at}]")
        case _:
            pass
