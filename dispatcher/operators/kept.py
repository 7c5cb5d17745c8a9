"""What a site keeps on its disk and where it listens: found by walking the settings, so that there is no list to extend.

Source: config/marks.py, where a settings field gets its mark.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import former
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
    is_filled: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """A value of the settings that is no block of others."""

    where: str
    value: Any
    mark: str
    """As in config/marks.py, "" for most."""


def walk(settings: Any, where: str = "", mark: str = "") -> Iterator[Setting]:
    """Every value in these settings, in their order."""
    match settings:
        case Mapping():
            for name, value in settings.items():
                yield from walk(value, f"{where}.{name}" if where else str(name), mark)
        case tuple():
            for place, value in enumerate(settings):
                yield from walk(value, f"{where}[{place}]", mark)
        case _ if dataclasses.is_dataclass(settings):
            for field in dataclasses.fields(settings):
                at = f"{where}.{field.name}" if where else field.name
                yield from walk(getattr(settings, field.name), at, field.metadata.get("is", ""))
        case _:
            yield Setting(where, settings, mark)


def kept(settings: Any) -> Iterator[Kept]:
    """Every path and every secret's file."""
    for where, value, mark in ((s.where, s.value, s.mark) for s in walk(settings)):
        if isinstance(value, Secret) and value.path is not None:
            yield Kept(f"{where}.file", value.path, is_secret=True)
            if value.formers:
                yield Kept(f"{where}.file{former.SUFFIX}", former.beside(value.path), is_secret=True)
        elif isinstance(value, Path):
            yield Kept(where, value, mark == "private", mark == "state", mark == "filled")


def listeners(settings: Any) -> Iterator[tuple[str, str, int]]:
    """Place in the site file, host and port of each address at which the node listens."""
    for setting in walk(settings):
        if setting.mark == "listens":
            host, _, port = str(setting.value).rpartition(":")
            yield setting.where, host.strip("[]"), int(port)


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
