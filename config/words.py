"""What pages for residents say around a message: a file of keys, each with a text in every language that residents are offered.

All languages of a key stand side by side, so that a reviewer sees them together; a key that lacks one is an error before start
and never a hole in a page.

Source: facts.md §Languages; design.md §8 (five languages).
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from config.document import ConfigError, Problem, read

LANGUAGES: Mapping[str, str] = MappingProxyType(
    {"ja": "日本語", "ja-x-easy": "やさしい日本語", "en": "English", "zh": "中文", "ko": "한국어"}
)
"""Each language's name in itself, in the order in which they are offered."""

MESSAGES = tuple("en-US" if language == "en" else language for language in LANGUAGES)
"""The same languages as tags of what is sent: messages, questions, whoever is sent them."""

_NAMES = {**LANGUAGES, "vi": "Tiếng Việt"}
"""A city's messages may be in more languages than the pages around them."""

Words = Mapping[str, Mapping[str, str]]
"""By language, then by key."""
T = TypeVar("T")


def read_words(file: Path) -> Words:
    """The words of this file.

    Raises:
        ConfigError: a key lacks a language or has one that is unknown; every such key is named.
    """
    document = read(file.read_bytes(), file.name).value
    said: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
    problems = []
    for key, node in document.items() if isinstance(document, dict) else ():
        texts = node.value if isinstance(node.value, dict) else {}
        if texts.keys() != LANGUAGES.keys():
            problems.append(Problem(file.name, node.line, key, f"a text in each of {', '.join(LANGUAGES)} is needed"))
        for language in texts.keys() & LANGUAGES.keys():
            said[language][key] = str(texts[language].value or "")
    if problems:
        raise ConfigError(problems)
    return MappingProxyType({language: MappingProxyType(texts) for language, texts in said.items()})


def in_language(known: Mapping[str, T], language: str) -> T:
    """What there is in this language, else in the one that it is a kind of (en-US: en; ja-x-easy: ja), else in English."""
    return known.get(language) or known.get(language.partition("-")[0]) or known["en"]


def language_name(language: str) -> str:
    """A language as its own readers call it; the code itself where no name is known."""
    return _NAMES.get(language) or _NAMES.get(language.partition("-")[0], language)


def language_of(*wanted: str) -> str:
    """The first of these that residents are offered (en-US is en, ja-x-easy itself), else Japanese."""
    for language in wanted:
        for offered in (language, language.partition("-")[0]):
            if offered in LANGUAGES:
                return offered
    return "ja"
