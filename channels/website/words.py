"""What the site itself says around a message, by language. A language without words of its own gets English.

Source: mockups of the residents' pages; design.md §7 (levels by number, word, shape and colour).
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType

from config.document import ConfigError, Problem, read
from dispatcher.clock import JST

LANGUAGES: Mapping[str, str] = MappingProxyType(
    {"ja": "日本語", "ja-x-easy": "やさしい日本語", "en": "English", "zh": "中文", "ko": "한국어"}
)
"""Each language's name in itself."""

_FILE = Path(__file__).with_name("words.yaml")


@cache
def _words() -> Mapping[str, Mapping[str, str]]:
    """By language, then by key.

    Raises:
        ConfigError: a key lacks a language or has one that is unknown.
    """
    document = read(_FILE.read_bytes(), _FILE.name).value
    said: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
    problems = []
    for key, node in document.items() if isinstance(document, dict) else ():
        texts = node.value if isinstance(node.value, dict) else {}
        if texts.keys() != LANGUAGES.keys():
            problems.append(Problem(_FILE.name, node.line, key, f"a text in each of {', '.join(LANGUAGES)} is needed"))
        for language in texts.keys() & LANGUAGES.keys():
            said[language][key] = str(texts[language].value or "")
    if problems:
        raise ConfigError(problems)
    return MappingProxyType({language: MappingProxyType(words) for language, words in said.items()})


def words(language: str) -> Mapping[str, str]:
    """The words of this language, of the one that it is a kind of (en-US → en), or else English."""
    known = _words()
    return known.get(language) or known.get(language.split("-", maxsplit=1)[0]) or known["en"]


def language_name(language: str) -> str:
    return LANGUAGES.get(language) or LANGUAGES.get(language.split("-", maxsplit=1)[0]) or language


def clock_time(moment: datetime) -> str:
    return f"{moment.astimezone(JST):%-H:%M}"


def day_time(moment: datetime, language: str) -> str:
    local = moment.astimezone(JST)
    if language.startswith(("ja", "zh")):
        return f"{local.month}月{local.day}日 {local:%-H:%M}"
    if language.startswith("ko"):
        return f"{local.month}월 {local.day}일 {local:%-H:%M}"
    return f"{local:%-d %b %-H:%M}"
