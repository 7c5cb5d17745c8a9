"""What changed between two texts, word by word: for the eye that has read the first one a minute ago.

Japanese has no spaces, so a word is a run of one kind of character; a number never breaks in two, because 30 for 20 must not
look like one digit's change.

Source: Python `difflib`; Unicode blocks Hiragana, Katakana, CJK Unified Ideographs.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from dispatcher.model.alert import Added, Alert, Info
from dispatcher.staff.console.outline import level_words
from dispatcher.staff.console.words import Words

_WORD = re.compile(r"[0-9０-９:：.,]+|[A-Za-zＡ-Ｚａ-ｚ'’-]+|[一-龯々〆ヶ]+|[ァ-ヺー]+|[ぁ-ゖ]+|\s+|.", re.DOTALL)
_MANY = 4000
"""Characters of a text; a longer one is shown as replaced, so that nobody can make a page wait."""


@dataclass(frozen=True, slots=True)
class Piece:
    """`kind` is same, del or ins."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One field that is to be read, and what changed in it."""

    label: str
    pieces: tuple[Piece, ...]

    @property
    def is_changed(self) -> bool:
        return any(piece.kind != "same" for piece in self.pieces)


def pieces(before: str, after: str) -> Iterator[Piece]:
    """What stayed, went and came, in reading order; what went stands before what came in its place."""
    if before == after:
        if after:
            yield Piece("same", after)
        return
    old, new = _words(before), _words(after)
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            yield Piece("same", "".join(new[c:d]))
            continue
        if a < b:
            yield Piece("del", "".join(old[a:b]))
        if c < d:
            yield Piece("ins", "".join(new[c:d]))


def _words(text: str) -> list[str]:
    return _WORD.findall(text) if len(text) <= _MANY else [text]


def rows(before: Mapping[str, str] | None, after: Mapping[str, str]) -> tuple[Row, ...]:
    """Field by field. Without a `before` everything is simply there."""
    if before is None:
        return tuple(Row(label, (Piece("same", text),)) for label, text in after.items() if text)
    labels = [*after, *(label for label in before if label not in after)]
    made = (Row(label, tuple(pieces(before.get(label, ""), after.get(label, "")))) for label in labels)
    return tuple(row for row in made if row.pieces)


def readable(alert: Alert[Any], t: Words) -> dict[str, str]:
    """What an approver reads aloud, label by label: the Japanese in full, then each other language."""
    first = alert.info_in("ja")
    said = {
        t("レベル", "Level"): level_words(first.level, t),
        t("区域", "Area"): first.place,
        **_texts(first, t, ""),
        t("避難先", "Shelters"): first.added(Added.SHELTERS) or "",
        t("次の発表", "Next message"): _clock(first.added(Added.NEXT_UPDATE)),
        t("終わる時刻", "Expires"): _clock(first.expires.isoformat() if first.expires else None),
        t("誤りの内容", "What was wrong"): alert.note or "",
    }
    for info in alert.info:
        if info.language != first.language:
            said |= _texts(info, t, f"{t.language_name(info.language)}　")
    return said


def _texts(info: Info, t: Words, before: str) -> dict[str, str]:
    return {
        before + t("見出し", "Headline"): info.headline or "",
        before + t("何が", "What"): info.description or "",
        before + t("どうする", "What to do"): info.instruction or "",
    }


def _clock(text: str | None) -> str:
    return text[5:16].replace("T", " ").replace("-", "/") if text else ""
