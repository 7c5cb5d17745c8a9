"""What the site itself says around a message, by language. A language without words of its own gets English.

Source: mockups of the residents' pages; design.md §7 (levels by number, word, shape and colour).
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path

from config.words import LANGUAGES, Words, in_language, language_name, read_words
from dispatcher.clock import JST

__all__ = ["LANGUAGES", "clock_time", "day_time", "language_name", "month_name", "words"]


@cache
def _words() -> Words:
    return read_words(Path(__file__).with_name("words.yaml"))


def words(language: str) -> Mapping[str, str]:
    """The words of this language, of the one that it is a kind of (en-US → en), or else English."""
    return in_language(_words(), language)


def clock_time(moment: datetime) -> str:
    return f"{moment.astimezone(JST):%-H:%M}"


def day_time(moment: datetime, language: str) -> str:
    local = moment.astimezone(JST)
    if language.startswith(("ja", "zh")):
        return f"{local.month}月{local.day}日 {local:%-H:%M}"
    if language.startswith("ko"):
        return f"{local.month}월 {local.day}일 {local:%-H:%M}"
    return f"{local:%-d %b %-H:%M}"


def month_name(month: str, language: str) -> str:
    """`month` as 2026-11."""
    first = datetime.strptime(month, "%Y-%m").replace(tzinfo=JST)
    if language.startswith(("ja", "zh")):
        return f"{first.year}年{first.month}月"
    if language.startswith("ko"):
        return f"{first.year}년 {first.month}월"
    return f"{first:%B %Y}"
