"""Reviewed texts: one YAML file a kind of message, with the same placeholders in every language.

A file that has lost a placeholder in one language would send people who read that language something else; so it is refused
at load, with its line, and nothing starts.

Source: design.md §7; 避難情報に関するガイドライン（内閣府、令和3年5月改定）.
"""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from config.binding import bind
from config.document import ConfigError, Node, Problem, read

_HERE = Path(__file__).parent
FIELDS = ("event", "headline", "description", "instruction", "short")
LANGUAGES = ("ja", "ja-x-easy", "en-US")
PLACEHOLDERS = frozenset({"place", "cause", "shelters", "issued", "next_update", "contact", "sender", "note"})
CAUSES = "causes.yaml"


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
    verb: str
    category: str
    urgency: str
    severity: str
    certainty: str
    response_type: tuple[str, ...]
    infos: Mapping[str, Words]
    level: int | None = None
    hazards: tuple[str, ...] = ()


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
            document = read(path.read_bytes(), path.name)
            file = bind(_File, document, file=path.name, base=folder)
        except ConfigError as error:
            problems += error.problems
            continue
        problems += _parity(file, document, path.name)
        templates[path.stem] = Template(
            name=path.stem,
            verb=file.verb,
            category=file.category,
            urgency=file.urgency,
            severity=file.severity,
            certainty=file.certainty,
            response_type=file.response_type,
            level=file.level,
            hazards=file.hazards,
            infos={language: file.infos[language] for language in LANGUAGES if language in file.infos},
        )
    if problems:
        raise ConfigError(problems)
    return templates


@cache
def causes(folder: Path = _HERE) -> Mapping[str, Mapping[str, str]]:
    """What is happening, by hazard and language, for who gave no words of their own."""
    return bind(_Causes, read((folder / CAUSES).read_bytes(), CAUSES), file=CAUSES, base=folder).by_hazard()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Causes:
    flood: Mapping[str, str]
    landslide: Mapping[str, str]
    storm_surge: Mapping[str, str]

    def by_hazard(self) -> Mapping[str, Mapping[str, str]]:
        return {"flood": self.flood, "landslide": self.landslide, "storm_surge": self.storm_surge}


def fill(template: Template, values: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Each field of each language with its placeholders filled from `values[language]`.

    Raises:
        KeyError: a placeholder has no value.
    """
    return {
        language: {name: getattr(words, name).format_map(values[language]) for name in FIELDS}
        for language, words in template.infos.items()
    }


def _placeholders(words: Words) -> set[str]:
    return {
        name
        for field in FIELDS
        for _, name, _, _ in string.Formatter().parse(getattr(words, field))
        if name is not None
    }


def _parity(file: _File, document: Node, name: str) -> list[Problem]:
    """Every language there, each with the same placeholders, all of them known."""
    assert isinstance(document.value, dict)
    infos = document.value["infos"]
    assert isinstance(infos.value, dict)
    problems = [
        Problem(name, infos.line, f"infos.{language}", "missing; every message speaks all languages")
        for language in LANGUAGES
        if language not in file.infos
    ]
    named: dict[str, set[str]] = {}
    for language, words in file.infos.items():
        line = infos.value[language].line
        if language not in LANGUAGES:
            problems.append(
                Problem(name, line, f"infos.{language}", f"no such language; there are {', '.join(LANGUAGES)}")
            )
        try:
            named[language] = _placeholders(words)
        except ValueError as error:
            problems.append(Problem(name, line, f"infos.{language}", f"braces do not match: {error}"))
    everything = set().union(*named.values())
    for language, names in named.items():
        line = infos.value[language].line
        at = f"infos.{language}"
        problems += [
            Problem(name, line, at, f"{{{missing}}} is missing; another language has it")
            for missing in sorted(everything - names)
        ]
        problems += [
            Problem(name, line, at, f"{{{unknown}}} is no placeholder; there are {', '.join(sorted(PLACEHOLDERS))}")
            for unknown in sorted(names - PLACEHOLDERS)
        ]
    return problems
