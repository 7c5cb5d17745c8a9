"""What people are asked, in every language: `questions()` reads every file of this folder, one a kind of campaign.

A file has the same languages as every other, and in each the same texts; a place is written `{about}` where the text says what
happened. Reviewed text: whoever changes a word changes it here.

Source: design.md §7, §8; issue "five languages".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from config.binding import bind_folder
from config.words import MESSAGES

_HERE = Path(__file__).parent
LONGEST = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """One question in one language; all of it plain text."""

    title: str
    about: str
    """With `{about}`: what happened. Left out where nothing did."""
    body: str
    ok: str
    hurt: str
    help: str
    note: str
    """With `{until}`: day and time."""
    again: str
    """Before the title of a reminder."""
    for_others: str
    """Of somebody who is asked about another person; said instead of `body`."""

    def problems(self) -> Iterable[tuple[str, str]]:
        for field in fields(self):
            text = getattr(self, field.name)
            if not text.strip() or len(text) > LONGEST:
                yield field.name, f"1 to {LONGEST} characters are accepted"
        if "{about}" not in self.about:
            yield "about", "has no place for what happened: {about}"
        if "{until}" not in self.note:
            yield "note", "has no place for when it ends: {until}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """One question in every language."""

    texts: Mapping[str, Texts]

    def problems(self) -> Iterable[tuple[str, str]]:
        if missing := [language for language in MESSAGES if language not in self.texts]:
            yield "texts", f"is not there in {', '.join(missing)}"


@cache
def questions(folder: Path = _HERE) -> Mapping[str, Wording]:
    """By kind of campaign: safety, watch.

    Raises:
        ConfigError: everything that is wrong with any of them.
    """
    return bind_folder(Wording, folder)
