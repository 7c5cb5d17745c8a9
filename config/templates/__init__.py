"""Reviewed texts: one YAML file a kind of message, with the same placeholders in every language.

A file that has lost a placeholder in one language would send people who read that language something else; so it is refused
at load, with its line, and nothing starts.

Source: design.md §7; 避難情報に関するガイドライン（内閣府、令和3年5月改定）. The levels and their names in zh and ko are those that
local bodies publish for residents, yiea.or.jp/chinese/news/chinese_news_14652 (2022) and Fukuoka City's
disasterinformationkr.html (2023); the Cabinet Office's own table has not been compared. What one is to do is said in each
language's own words (避难, 대피).
"""

import hashlib
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from config.binding import bind
from config.document import ConfigError, Node, Problem, read
from config.words import MESSAGES

_HERE = Path(__file__).parent
FIELDS = ("event", "headline", "description", "instruction", "short")
LANGUAGES = MESSAGES
PLACEHOLDERS = frozenset({"place", "cause", "shelters", "issued", "next_update", "contact", "sender", "note"})
NOT_TRANSLATED = frozenset({"note"})
"""Words that staff type in Japanese in the middle of it all: no other language need have them."""
WITH_PLACE = ("headline", "short")
"""What is read on its own and so names the place."""
CAUSES = "causes.yaml"
_NO_LEVEL = frozenset({"tsunami", "earthquake", "large_fire"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The fields of a message in one language, with placeholders; `short` is one line for media with little room."""

    event: str
    headline: str
    description: str
    instruction: str
    short: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """What a template's file may say; the choices are CAP's own."""

    verb: Literal["issue", "lift", "retract"]
    category: Literal["Geo", "Met", "Safety", "Fire", "Other"]
    urgency: Literal["Immediate", "Expected", "Future", "Past", "Unknown"]
    severity: Literal["Extreme", "Severe", "Moderate", "Minor", "Unknown"]
    certainty: Literal["Observed", "Likely", "Possible", "Unlikely", "Unknown"]
    response_type: tuple[Literal["Shelter", "Evacuate", "Prepare", "Avoid", "Monitor", "AllClear", "None"], ...]
    infos: Mapping[str, Words]
    level: Literal["3", "4", "5"] | None = None
    hazards: tuple[str, ...] = ()
    modes: tuple[Literal["live", "drill"], ...] = ("live", "drill")

    def problems(self) -> Iterable[tuple[str, str]]:
        for hazard in self.hazards:
            if hazard not in causes():
                yield "hazards", f"{hazard!r} is not accepted; there are {', '.join(causes())}"
        if self.level is not None and (without := sorted(_NO_LEVEL & set(self.hazards))):
            yield "level", f"an order for {', '.join(without)} carries none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A kind of message. `level` is 警戒レベル, None where the kind carries none."""

    name: str
    verb: str
    category: str
    urgency: str
    severity: str
    certainty: str
    response_type: tuple[str, ...]
    level: int | None
    hazards: tuple[str, ...]
    infos: Mapping[str, Words]
    """By language, in the order in which they are said. Shelters, the next update and the telephone number are not in the text:
    each medium says them in its own place (Added.SHELTERS, Added.NEXT_UPDATE, contact)."""
    digest: str
    """SHA-256 of the file in hex: what an approval of the template binds to."""
    modes: tuple[str, ...] = ("live", "drill")
    """Where it may be used: a text that was written for drills does not come up on a live node at all."""


@cache
def load_templates(folder: Path = _HERE) -> Mapping[str, Template]:
    """Every template of the folder, by name.

    Raises:
        ConfigError: everything that is wrong with any of them.
    """
    templates: dict[str, Template] = {}
    problems: list[Problem] = []
    for path in sorted(folder.glob("*.yaml")):
        if path.name == CAUSES:
            continue
        try:
            data = path.read_bytes()
            document = read(data, path.name)
            file = bind(_File, document, file=path.name, base=folder)
        except ConfigError as error:
            problems += error.problems
            continue
        problems += _parity(document, path.name)
        templates[path.stem] = Template(
            name=path.stem,
            verb=file.verb,
            category=file.category,
            urgency=file.urgency,
            severity=file.severity,
            certainty=file.certainty,
            response_type=file.response_type,
            level=int(file.level) if file.level else None,
            hazards=file.hazards,
            infos={language: file.infos[language] for language in LANGUAGES if language in file.infos},
            digest=hashlib.sha256(data).hexdigest(),
            modes=file.modes,
        )
    if problems:
        raise ConfigError(problems)
    return templates


@cache
def causes(folder: Path = _HERE) -> Mapping[str, Mapping[str, str]]:
    """What is happening, by hazard and language, for who gave no words of their own.

    Raises:
        ConfigError: a hazard lacks a language.
    """
    said: dict[str, dict[str, str]] = {}
    problems: list[Problem] = []
    for hazard, node in _members(read((folder / CAUSES).read_bytes(), CAUSES)).items():
        said[hazard] = {name: text.value for name, text in _members(node).items() if isinstance(text.value, str)}
        problems += [
            Problem(CAUSES, node.line, f"{hazard}.{language}", "missing; every message speaks all languages")
            for language in LANGUAGES
            if language not in said[hazard]
        ]
    if problems:
        raise ConfigError(problems)
    return said


def fill(template: Template, values: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Each field of each language with its placeholders filled from `values[language]`.

    A value is taken as it stands, braces and all: `{issued}` given for itself stays for dispatch to fill.

    Raises:
        KeyError: a placeholder has no value.
    """
    return {
        language: {name: getattr(words, name).format_map(values[language]) for name in FIELDS}
        for language, words in template.infos.items()
    }


def _members(node: Node) -> Mapping[str, Node]:
    return node.value if isinstance(node.value, dict) else {}


def _parity(document: Node, file: str) -> Iterator[Problem]:
    """Every language there, each with the same placeholders, all of them known, and the place where it must stand."""
    infos = _members(document)["infos"]
    named: dict[str, set[str]] = {}
    for language, words in _members(infos).items():
        at = f"infos.{language}"
        if language not in LANGUAGES:
            yield Problem(file, words.line, at, f"no such language; there are {', '.join(LANGUAGES)}")
        named[language] = set()
        for field, text in _members(words).items():
            try:
                names = set(_placeholders(str(text.value)))
            except ValueError as error:
                yield Problem(file, text.line, f"{at}.{field}", f"braces do not match: {error}")
                continue
            named[language] |= names
            for unknown in sorted(names - PLACEHOLDERS):
                known = ", ".join(sorted(PLACEHOLDERS))
                yield Problem(file, text.line, f"{at}.{field}", f"{{{unknown}}} is no placeholder; there are {known}")
            if field in WITH_PLACE and "place" not in names:
                yield Problem(file, text.line, f"{at}.{field}", "{place} is missing; this text is read on its own")
    everything = set().union(*named.values()) & PLACEHOLDERS - NOT_TRANSLATED
    for language in LANGUAGES:
        if language not in named:
            yield Problem(file, infos.line, f"infos.{language}", "missing; every message speaks all languages")
            continue
        for missing in sorted(everything - named[language]):
            line = _members(infos)[language].line
            yield Problem(file, line, f"infos.{language}", f"{{{missing}}} is missing; another language has it")


def _placeholders(text: str) -> Iterator[str]:
    """Names in braces; one with a conversion or a format (`{place!r}`) is given whole, so that it is nobody's name."""
    for _, name, spec, conversion in string.Formatter().parse(text):
        if name is not None:
            yield name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
