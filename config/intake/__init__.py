"""What incoming telegrams mean, as data: which kind becomes which template, which places are the city's, what may go out alone.

    jma.yaml          title and kind → template, level; so that a new scheme (レベル4 危険警報) is a file, not a program
    places/<city>.yaml  which codes of the sender are this city, and which seas and rivers concern it
    policies.yaml     named policies: what may be sent without a person; the default sends nothing

Every problem is named with its file and line before a node starts. A kind is met by its name first (as people read it), by its
code where the name is new.

Source: 気象庁防災情報XMLフォーマット コード管理表（令和8年）; design.md §7.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

from config.binding import bind
from config.document import ConfigError, Problem, load, parse
from config.templates import causes, load_templates
from config.units import Seconds

T = TypeVar("T")
_HERE = Path(__file__).parent
NO_TEMPLATE = "none"
"""A kind that residents are not told of; `because` says why."""
_LEVEL = re.compile(r"^レベル *([1-5]) *")
_SAID_LEVEL = re.compile(r"^\s*レベル\s*[1-5１-５]\s*")


def folded(name: str) -> str:
    """As a kind or a title is compared: full and half width alike, without spaces."""
    return "".join(unicodedata.normalize("NFKC", name).split())


def split_level(name: str) -> tuple[str, int | None]:
    """レベル４大雨危険警報 → (大雨危険警報, 4)."""
    text = folded(name)
    found = _LEVEL.match(text)
    return (text[found.end() :], int(found[1])) if found else (text, None)


def _like(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, folded(pattern)) for pattern in patterns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one kind becomes. Rows stand in the order of danger: the first that is met by anything in force wins."""

    kinds: tuple[str, ...]
    """Names, `*` for any characters, without レベルN before them."""
    template: str
    codes: tuple[str, ...] = ()
    level: Literal["1", "2", "3", "4", "5"] | None = None
    """警戒レベル相当, where the name does not say it itself."""
    hazard: str | None = None
    expires: Seconds = 0.0
    """How long the notice holds, where the telegram does not say; 0: as long as any message."""
    say: str | None = None
    """How people call it, where the kind's own name says too little (警戒)."""
    because: str | None = None
    """Why there is no template."""
    is_quiet: bool = False
    """A draft that nobody is paged for."""

    def problems(self) -> Iterable[tuple[str, str]]:
        if self.template != NO_TEMPLATE and self.template not in load_templates():
            yield (
                "template",
                f"{self.template!r}: no such template; there are {', '.join(load_templates())}, {NO_TEMPLATE}",
            )
        if self.template == NO_TEMPLATE and not self.because:
            yield "because", "say why residents are not told of it"
        if self.hazard is not None and self.hazard not in causes():
            yield "hazard", f"{self.hazard!r} is not accepted; there are {', '.join(causes())}"
        if not self.kinds:
            yield "kinds", "at least one name is needed"

    def meets(self, name: str, code: str, *, by_name: bool) -> bool:
        return _like(split_level(name)[0], self.kinds) if by_name else bool(code) and code in self.codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Telegrams that are read alike. `titles`: Control/Title (with `*`) → the type's code, VPWW54."""

    titles: Mapping[str, str]
    kinds: tuple[Row, ...] = ()
    other: str | None = None
    """The template for a kind that no row meets: it concerns the city, so it is never dropped in silence."""

    def problems(self) -> Iterable[tuple[str, str]]:
        if self.other is not None and self.other not in load_templates():
            yield "other", f"{self.other!r}: no such template"

    def row(self, name: str, code: str) -> Row | None:
        """What this kind becomes; by its name, then by its code."""
        for by_name in (True, False):
            for row in self.kinds:
                if row.meets(name, code, by_name=by_name):
                    return row
        return Row(kinds=("*",), template=self.other) if self.other else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A name in the other languages."""

    easy: str
    en: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """jma.yaml."""

    telegrams: tuple[Group, ...]
    names: Mapping[str, Said]

    def group(self, title: str) -> tuple[Group, str] | None:
        """The group that reads this title, and the code of its type; None for a title that the table does not have."""
        for group in self.telegrams:
            for pattern, code in group.titles.items():
                if fnmatchcase(folded(title), folded(pattern)):
                    return group, code
        return None

    def say(self, name: str, language: str) -> str:
        """The name of a kind as people say it in this language."""
        bare, level = split_level(name)
        if language == "ja":
            return f"レベル{level}{_SAID_LEVEL.sub('', name)}" if level else name
        said = next((said for pattern, said in self.names.items() if fnmatchcase(bare, folded(pattern))), None)
        if language == "ja-x-easy":
            return said.easy if said else bare
        return f"Level {level} {said.en}" if said and level else said.en if said else "information"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """places/<city>.yaml: the sender's codes (or names, where it gives no code) that mean this city."""

    municipality: Mapping[str, str]
    cluster: Mapping[str, str]
    prefecture: Mapping[str, str]
    region: Mapping[str, str]
    sea: Mapping[str, str] = field(default_factory=dict)
    """By policy: seas that the city's people are told of."""
    river: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """A river's name → the quarters along it, as the gazetteer finds them."""

    def problems(self) -> Iterable[tuple[str, str]]:
        if not self.municipality:
            yield "municipality", "the city's own code is needed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a policy lets go out: all of these must hold. `levels` is empty for any."""

    titles: tuple[str, ...]
    kinds: tuple[str, ...]

    def meets(self, title: str, name: str) -> bool:
        return _like(folded(title), self.titles) and _like(split_level(name)[0], self.kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What may go out without a person. Only a first issue can: what ends or mends a message always waits for one."""

    about: str
    send: tuple[Sent, ...] = ()
    name: str = ""

    def sends(self, title: str, name: str) -> bool:
        return any(sent.meets(title, name) for sent in self.send)


PEOPLE_ONLY = Policy(name="people-only", about="何も自動では送らない")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Policies:
    policies: Mapping[str, Policy]


def _read(cls: type[T], path: Path) -> T:
    name = str(path.relative_to(_HERE)) if path.is_relative_to(_HERE) else str(path)
    document, found = parse(load(path), name)
    return bind(cls, document, file=name, base=path.parent, found=found)


@cache
def load_table(path: Path = _HERE / "jma.yaml") -> Table:
    """Raises ConfigError with everything that is wrong with it."""
    return _read(Table, path)


@cache
def load_places(city: str) -> Places:
    """Raises ConfigError: there is no file for this city, or everything that is wrong with it."""
    return _read(Places, _HERE / "places" / f"{city}.yaml")


@cache
def load_policy(name: str, path: Path = _HERE / "policies.yaml") -> Policy:
    """The policy of that name.

    Raises:
        ConfigError: there is none; or everything that is wrong with the file.
    """
    policies = _read(_Policies, path).policies
    if name not in policies:
        raise ConfigError(
            [Problem(path.name, 1, "policies", f"{name!r}: no such policy; there are {', '.join(policies)}")]
        )
    return Policy(name=name, about=policies[name].about, send=policies[name].send)
