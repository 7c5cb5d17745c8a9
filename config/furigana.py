"""Readings over words: やさしい日本語 with furigana, from the city's table of places and a reviewed list of common words.

A text may also bring a reading of its own in brackets, 大沢（おおさわ）, as the gazetteer writes it; it is taken from there.
What is in neither list stays as it is: a wrong reading of a place sends people elsewhere.

Source: design.md §7; 文化庁「在留支援のためのやさしい日本語ガイドライン」(2020); HTML Standard §4.5.10 (ruby).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from config.city import City

KANJI = "[一-鿿々]"
_BRACKETED = re.compile(r"(?P<words>[^（]+)（(?P<reading>[^）]+)）")
_OWN = rf"({KANJI}+)（([ぁ-んー ]+)）"
_PIECE = re.compile(rf"(?P<kanji>{KANJI}+)（(?P<reading>[ぁ-ん]+)）(?P<rest>[ぁ-ん]*)")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a text; `reading` is "" where it reads itself or nobody has said how."""

    words: str
    reading: str = ""


def places(city: City) -> Mapping[str, str]:
    """Place name → reading, the longest names first, so that 大沢一丁目 is not read as 大沢 and a rest."""
    said = [city.names, *city.groups.values(), *(quarter.names for quarter in city.quarters.values())]
    found = {}
    for names in said:
        if match := _BRACKETED.fullmatch(names.get("ja-x-easy", "")):
            found[match["words"]] = match["reading"]
    return dict(sorted(found.items(), key=lambda pair: -len(pair[0])))


@cache
def common() -> Mapping[str, tuple[str, str]]:
    """Word as it stands in a text → (its kanji, their reading), the longest first."""
    listed = yaml.safe_load(Path(__file__).with_name("furigana.yaml").read_text(encoding="utf-8"))["words"]
    found = {}
    for entry in listed:
        match = _PIECE.fullmatch(entry)
        if match is None or match["kanji"] + match["rest"] in found:
            raise ValueError(f"furigana.yaml: {entry}: 逃（に）げ is needed, each word once")
        found[match["kanji"] + match["rest"]] = (match["kanji"], match["reading"])
    return dict(sorted(found.items(), key=lambda pair: -len(pair[0])))


class Furigana:
    """Readings for the texts of one city."""

    def __init__(self, city: City) -> None:
        self._places = places(city)
        bracketed = "|".join(f"{re.escape(name)}（{re.escape(reading)}）" for name, reading in self._places.items())
        named = "|".join(re.escape(name) for name in self._places)
        known = "|".join(
            rf"(?<!{KANJI}){re.escape(word)}" + (rf"(?!{KANJI})" if word == kanji else "")
            for word, (kanji, _) in common().items()
        )
        alone = rf"(?<!{KANJI})(?:{named})(?!{KANJI})" if named else r"(?!)"
        self._pattern = re.compile(rf"【[^】]*】|{bracketed or r'(?!)'}|{_OWN}|{alone}|{known}")

    def over(self, text: str) -> Iterator[Piece]:
        """The text in pieces, in order; joined they are the text, without the brackets of readings that stand over it now."""
        end = 0
        for found in self._pattern.finditer(text):
            if found.start() > end:
                yield Piece(text[end : found.start()])
            yield from self._piece(found)
            end = found.end()
        if end < len(text):
            yield Piece(text[end:])

    def _piece(self, found: re.Match[str]) -> Iterator[Piece]:
        words = found[0]
        if words.startswith("【"):
            # A mark such as 【訓練】 is looked for letter by letter, by people and by machines.
            yield Piece(words)
        elif found[1]:
            yield Piece(found[1], found[2])
        elif reading := self._places.get(words):
            yield Piece(words, reading)
        elif words in common():
            kanji, reading = common()[words]
            yield Piece(kanji, reading)
            if rest := words.removeprefix(kanji):
                yield Piece(rest)
        elif match := _BRACKETED.fullmatch(words):
            yield Piece(match["words"], match["reading"])
