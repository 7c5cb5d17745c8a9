"""Binds a YAML document to frozen dataclasses: generic, so that each channel's settings stay in that channel's module.

A settings class is a frozen, keyword-only dataclass. A field without a default is required. Its type says what is accepted:
str, bool, int, float, Path (relative to the site file), Secret, the quantities of units.py, a StrEnum, Literal, another
settings class, tuple[T, ...], Mapping[str, T], and any of them | None. A class may check itself in
`def problems(self) -> Iterable[tuple[str, str]]` (field, reason). Where a field did not bind, problems() is asked all the same and
ends where it first needs that field: what looks at one field stands before what compares several.

Every problem of a document is found before any is reported.
"""

import dataclasses
import difflib
import os
import re
import stat
import types
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import yaml

from config import former, units
from config.document import ConfigError, Node, Problem, load, parse
from config.secret import Secret

T = TypeVar("T")
_BAD = object()
_BOOLEANS = {"true": True, "false": False}
_NUMBERS: Mapping[Any, re.Pattern[str]] = {
    int: re.compile(r"[+-]?[0-9]{1,15}"),
    float: re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?"),
}
_SECRET_BYTES = 65_536
_WORDS: Mapping[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    Secret: "{file: …} or {env: …}",
}


def bind(
    cls: type[T],
    document: Node,
    *,
    file: str,
    base: Path,
    kinds: Mapping[str, Mapping[str, type]] | None = None,
    found: Sequence[Problem] = (),
) -> T:
    """The settings that this document describes. `base` is what relative paths start from.

    `kinds` names, for a field of type Mapping[str, Any], the settings class of each key. `found` is what reading the document
    (document.parse) had to say; it is reported with the rest.

    Raises:
        ConfigError: everything that is wrong, each with its line, path, reason and what is accepted.
    """
    binder = _Binder(file, base, kinds or {})
    bound = binder.settings(cls, document, "")
    if binder.problems or found:
        raise ConfigError([*found, *binder.problems])
    return cast("T", bound)


def bind_folder(cls: type[T], folder: Path, *, but: str = "") -> Mapping[str, T]:
    """Every YAML file of the folder, one document each, by the file's name without its ending; `but`: one that is no such document.

    Raises:
        ConfigError: everything that is wrong with any of them.
    """
    read: dict[str, T] = {}
    problems: list[Problem] = []
    for path in sorted(folder.glob("*.yaml")):
        if path.stem == but:
            continue
        try:
            node, found = parse(load(path), path.name)
            read[path.stem] = bind(cls, node, file=path.name, base=folder, found=found)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return types.MappingProxyType(read)


class _Binder:
    def __init__(self, file: str, base: Path, kinds: Mapping[str, Mapping[str, type]]) -> None:
        self._file = file
        self._base = base
        self._kinds = kinds
        self.problems: list[Problem] = []

    def _wrong(self, node: Node, path: str, reason: str) -> Any:
        self.problems.append(Problem(self._file, node.line, path, reason))
        return _BAD

    def settings(self, cls: type, node: Node, path: str) -> Any:
        if not isinstance(node.value, dict):
            return self._wrong(node, path, "a mapping of keys is needed here")
        hints = get_type_hints(cls, include_extras=True)
        fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
        for name, value in node.value.items():
            if name not in fields:
                self._wrong(value, _at(path, name), f"unknown key; {_near(name, fields)}")
        bound: dict[str, Any] = {}
        for name, field in fields.items():
            at = _at(path, name)
            if name in node.value:
                if at in self._kinds:
                    bound[name] = self._by_kind(self._kinds[at], node.value[name], at)
                else:
                    bound[name] = self.value(hints[name], node.value[name], at)
            elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                self._wrong(node, at, f"missing; {_accepted(hints[name])} is needed")
                bound[name] = _BAD
        is_whole = not any(value is _BAD for value in bound.values())
        made = cls(**bound) if is_whole else _part(cls, bound)
        try:
            for name, reason in getattr(made, "problems", tuple)():
                self._wrong(node.value.get(name, node), _at(path, name), reason)
        except AttributeError:
            if is_whole:
                raise
            # It got as far as the field that did not bind, which has its own problem already.
        return made if is_whole else _BAD

    def _by_kind(self, kinds: Mapping[str, type], node: Node, path: str) -> Any:
        if not isinstance(node.value, dict):
            return self._wrong(node, path, f"a mapping is needed; its keys are {', '.join(kinds)}")
        bound: dict[str, Any] = {}
        for kind, value in node.value.items():
            if kind not in kinds:
                bound[kind] = self._wrong(value, _at(path, kind), f"no such kind; {_near(kind, kinds)}")
            else:
                bound[kind] = self.settings(kinds[kind], value, _at(path, kind))
        return _BAD if any(v is _BAD for v in bound.values()) else bound

    def value(self, hint: Any, node: Node, path: str) -> Any:  # noqa: PLR0911 - one branch for each accepted type
        origin = get_origin(hint)
        if origin in {Union, types.UnionType}:
            if node.value is None:
                return None if type(None) in get_args(hint) else self._wrong(node, path, f"{_accepted(hint)} is needed")
            return self.value(next(a for a in get_args(hint) if a is not type(None)), node, path)
        if node.value is None:
            return self._wrong(node, path, f"{_accepted(hint)} is needed")
        if hint is Secret:
            return self._secret(node, path)
        if dataclasses.is_dataclass(hint):
            return self.settings(cast("type", hint), node, path)
        if origin is tuple:
            return self._tuple(hint, node, path)
        if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
            return self._mapping(hint, node, path)
        if not isinstance(node.value, str):
            return self._wrong(
                node,
                path,
                f"{_accepted(hint)} is needed, not a {'list' if isinstance(node.value, tuple) else 'mapping'}",
            )
        return self._scalar(hint, node, node.value, path)

    def _scalar(self, hint: Any, node: Node, text: str, path: str) -> Any:  # noqa: PLR0911 - as above
        if get_origin(hint) is Annotated:
            number, unit = get_args(hint)
            try:
                return number(units.parse(unit, text))
            except ValueError as error:
                return self._wrong(node, path, str(error))
        if hint is str:
            return text
        if hint is Path:
            return (self._base / text).resolve() if text else self._wrong(node, path, "a path is needed")
        if hint is bool:
            if text in _BOOLEANS and not node.is_quoted:
                return _BOOLEANS[text]
            return self._wrong(node, path, f"{_shown(node)} is not {_accepted(hint)}")
        if hint in _NUMBERS:
            if _NUMBERS[hint].fullmatch(text) and not node.is_quoted:
                return hint(text)
            return self._wrong(node, path, f"{_shown(node)} is not {_accepted(hint)}")
        allowed = get_args(hint) if get_origin(hint) is Literal else tuple(hint) if _is_enum(hint) else ()
        if text in allowed:
            return hint(text) if _is_enum(hint) else text
        return self._wrong(node, path, f"{_shown(node)} is not accepted; there are {', '.join(allowed)}")

    def _tuple(self, hint: Any, node: Node, path: str) -> Any:
        if not isinstance(node.value, tuple):
            return self._wrong(node, path, f"a list of {_accepted(get_args(hint)[0])} is needed")
        bound = tuple(self.value(get_args(hint)[0], item, f"{path}[{i}]") for i, item in enumerate(node.value))
        return _BAD if any(v is _BAD for v in bound) else bound

    def _mapping(self, hint: Any, node: Node, path: str) -> Any:
        if not isinstance(node.value, dict):
            return self._wrong(node, path, "a mapping is needed")
        bound = {name: self.value(get_args(hint)[1], item, _at(path, name)) for name, item in node.value.items()}
        return _BAD if any(v is _BAD for v in bound.values()) else bound

    def _secret(self, node: Node, path: str) -> Any:
        given = node.value
        if not isinstance(given, dict) or len(given) != 1 or next(iter(given)) not in {"file", "env"}:
            return self._wrong(node, path, "a secret never stands here; write {file: PATH} or {env: NAME}")
        how, where = next((how, n.value) for how, n in given.items())
        if not isinstance(where, str):
            return self._wrong(node, path, f"{how}: a name is needed")
        if how == "env":
            text = os.environ.get(where)
            return Secret(text, f"env {where}") if text else self._wrong(node, path, f"the environment has no {where}")
        return self._secret_file(node, where, path)

    def _secret_file(self, node: Node, where: str, path: str) -> Any:
        file = self._base / where
        try:
            about = file.stat()
            if not stat.S_ISREG(about.st_mode) or about.st_size > _SECRET_BYTES:
                return self._wrong(node, path, f"{where} is no file of {_SECRET_BYTES} bytes at most")
            if about.st_mode & stat.S_IROTH:
                return self._wrong(node, path, f"{where} can be read by everybody; chmod 600 it")
            text, formers = file.read_text(encoding="utf-8").strip(), former.read(file)
        except UnicodeDecodeError:
            return self._wrong(node, path, f"{where}: not UTF-8")
        except OSError as error:
            return self._wrong(node, path, f"{where}: {error.strerror or error}")
        except ValueError as error:
            return self._wrong(node, path, str(error))
        return Secret(text, f"file {where}", file, formers) if text else self._wrong(node, path, f"{where} is empty")


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def _shown(node: Node) -> str:
    """What was typed, cut where it would fill the screen."""
    text = str(node.value)
    cut = text if len(text) <= 40 else f"{text[:40]}…"
    return f'"{cut}" in quotes' if node.is_quoted else f"'{cut}'"


def _part(cls: type, bound: Mapping[str, Any]) -> Any:
    """Settings of which some fields did not bind: it can still be asked what is wrong with the others."""
    made: Any = object.__new__(cls)
    for field in dataclasses.fields(cls):
        value = bound.get(field.name, field.default)
        if value is dataclasses.MISSING and callable(field.default_factory):
            value = field.default_factory()
        if value is not _BAD and value is not dataclasses.MISSING:
            object.__setattr__(made, field.name, value)
    return made


def _is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, StrEnum)


def _accepted(hint: Any) -> str:
    """What a type accepts, in words."""
    if get_origin(hint) is Annotated:
        unit = get_args(hint)[1]
        return f"{unit.what} ({unit.accepted()})"
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    if get_origin(hint) in {Union, types.UnionType}:
        return _accepted(next(a for a in get_args(hint) if a is not type(None)))
    return _WORDS.get(hint, "a block of keys" if dataclasses.is_dataclass(hint) else "a value")


def effective(settings: Any) -> str:
    """The settings as YAML with every default filled in and every secret masked."""
    return yaml.safe_dump(_plain(type(settings), settings), allow_unicode=True, sort_keys=False)


def _plain(hint: Any, value: Any) -> Any:  # noqa: PLR0911 - one return for each form of value
    if get_origin(hint) is Annotated:
        return units.write(get_args(hint)[1], value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = get_type_hints(type(value), include_extras=True)
        return {f.name: _plain(hints[f.name], getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    if get_origin(hint) in {Union, types.UnionType} and value is not None:
        return _plain(next(a for a in get_args(hint) if a is not type(None)), value)
    if isinstance(value, Secret):
        return "********"
    if isinstance(value, tuple):
        return [_plain((*get_args(hint), Any)[0], item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain((*get_args(hint), Any, Any)[1], item) for name, item in value.items()}
    return str(value) if isinstance(value, (StrEnum, Path)) else value
