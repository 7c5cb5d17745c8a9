"""For systems without a link: what an announcer reads out, and what staff paste into somebody else's form.

Todoke reaches neither 防災行政無線 nor Lアラート nor 緊急速報メール. It prepares their words from the same alert as the six media,
and says what is too long; ticks.py keeps who did it and when. A sheet is made from the alert alone.

Source: issue "For systems without a link"; config/by_hand/*.yaml with a source each.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from config import by_hand
from config.city import City
from config.furigana import places
from dispatcher.clock import JST
from dispatcher.errors import Finding
from dispatcher.model.alert import Added, Alert, Info
from dispatcher.model.draft import ENDING, WORDS, Verb, verb_of
from dispatcher.model.mode import MODES, Mode

LANGUAGE = "ja"

_SENTENCE = re.compile(r"[^。！？!?\n]+[。！？!?]?")


@dataclass(frozen=True, slots=True)
class Spoken:
    """A stretch of a sentence; `reading` is "" where it reads itself."""

    words: str
    reading: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence of the announcer's, and how long to be silent after it."""

    words: tuple[Spoken, ...]
    pause_s: float
    seconds: float
    """To read it, with the short pauses within it."""

    @property
    def text(self) -> str:
        return "".join(piece.words for piece in self.words)


@dataclass(frozen=True, slots=True)
class Script:
    """What the announcer reads, `times` over."""

    name: str
    title: str
    lines: tuple[Line, ...]
    times: int
    repetition_s: float
    """Silence between two readings."""
    characters_per_min: int
    findings: tuple[Finding, ...]

    @property
    def once_s(self) -> float:
        return sum(line.seconds + line.pause_s for line in self.lines)

    @property
    def whole_s(self) -> float:
        """All readings with the silence between them."""
        return self.once_s * self.times + self.repetition_s * (self.times - 1)


@dataclass(frozen=True, slots=True)
class Copy:
    """One field, ready to be pasted."""

    name: str
    label: str
    text: str
    length: float
    """Full-width characters."""
    longest: int

    @property
    def is_too_long(self) -> bool:
        return self.length > self.longest


@dataclass(frozen=True, slots=True)
class Sheet:
    """One form, ready to be pasted field by field."""

    name: str
    title: str
    how: str
    fields: tuple[Copy, ...]
    findings: tuple[Finding, ...]
    is_whole_city: bool


@dataclass(frozen=True, slots=True)
class ByHand:
    """Everything that this alert asks of people's hands."""

    script: Script
    sheets: tuple[Sheet, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        return (*self.script.findings, *(f for sheet in self.sheets for f in sheet.findings))


def prepare(alert: Alert[Any], city: City) -> ByHand:
    """The script and the sheets of this alert, in Japanese."""
    mode = next(mode for mode in MODES.values() if mode.status is alert.status)
    info = alert.info_in(LANGUAGE)
    values = _values(alert, info, city)
    return ByHand(
        _script(alert, info, city, mode),
        tuple(_sheet(name, form, values, mode) for name, form in by_hand.forms().items()),
    )


# -- the loudspeaker -------------------------------------------------------------------------------------------------


def _script(alert: Alert[Any], info: Info, city: City, mode: type[Mode]) -> Script:
    how = by_hand.loudspeaker()
    sentences = list(_sentences(alert, info, city, mode, how))
    lines = []
    for number, sentence in enumerate(sentences, 1):
        commas = len(re.findall(r"[、,　 ]", sentence))
        seconds = len(_heard(sentence)) / how.characters_per_min * 60 + commas * how.pauses.comma
        pause_s = how.pauses.sentence if number < len(sentences) else 0.0
        lines.append(Line(_spoken(sentence, city), pause_s, round(seconds, 1)))
    findings = [
        Finding(
            "loudspeaker",
            f"「{line.text}」は {len(_heard(line.text))} 字。{how.longest_sentence} 字までに分けると聞き取れます (long sentence)",
            blocks=False,
        )
        for line in lines
        if len(_heard(line.text)) > how.longest_sentence
    ]
    shelters = _shelters(alert, info)
    if shelters:
        findings.append(
            Finding(
                "loudspeaker",
                f"{shelters}：読みは地名の表にありません。放送の前に読みを確かめてください (check how these are read)",
                blocks=False,
            )
        )
    return Script(
        by_hand.LOUDSPEAKER,
        how.title,
        tuple(lines),
        how.times,
        how.pauses.repetition,
        how.characters_per_min,
        tuple(findings),
    )


def _sentences(alert: Alert[Any], info: Info, city: City, mode: type[Mode], how: by_hand.Loudspeaker) -> Iterator[str]:
    """In the order of the guideline's examples: alarm, who speaks, what, what to do, where to go, when again."""
    verb = verb_of(alert)
    update = info.added(Added.NEXT_UPDATE)
    words = {
        "order": _order(info),
        "city": city.names[LANGUAGE],
        "shelters": _shelters(alert, info),
        "next_update": f"{datetime.fromisoformat(update).astimezone(JST):%-H時%-M分}" if update else "",
    }
    if mode.banner(LANGUAGE):
        yield how.drill
    yield (how.calm if verb in ENDING else how.alarm).format_map(words)
    yield how.opening.format_map(words)
    if verb is not Verb.ISSUE:
        yield str(getattr(how.verbs, verb.value))
    if corrected := info.added(Added.CORRECTION):
        yield from _split(corrected)
    for text in (info.headline, info.description, info.instruction):
        yield from _split(text or "")
    if words["shelters"]:
        yield how.shelters.format_map(words)
    if words["next_update"] and verb not in ENDING:
        yield how.next_update.format_map(words)
    if mode.banner(LANGUAGE):
        yield how.drill
    yield how.closing.format_map(words)


def _split(text: str) -> Iterator[str]:
    """Sentences, each with its full stop."""
    for found in _SENTENCE.findall(text):
        if sentence := found.strip().lstrip("、"):
            yield sentence if sentence[-1] in "。！？!?" else f"{sentence}。"


def _shelters(alert: Alert[Any], info: Info) -> str:
    """Where to go; nowhere for what ends an order, or somebody would."""
    return "" if verb_of(alert) in ENDING else info.added(Added.SHELTERS) or ""


def _spoken(sentence: str, city: City) -> tuple[Spoken, ...]:
    named, readings = _readings(city)
    return tuple(Spoken(piece, readings.get(piece, "")) for piece in named.split(sentence) if piece)


@cache
def _readings(city: City) -> tuple[re.Pattern[str], Mapping[str, str]]:
    """Where a sentence names a place, and how each is read."""
    readings = places(city)
    return re.compile(f"({'|'.join(map(re.escape, readings)) or '(?!)'})"), readings


def _heard(text: str) -> str:
    """What takes time to say: no spaces, brackets or marks."""
    return "".join(c for c in text if unicodedata.category(c)[0] in "LN" or c == "ー")


# -- forms to paste --------------------------------------------------------------------------------------------------


def _sheet(name: str, form: by_hand.Form, values: Mapping[str, str], mode: type[Mode]) -> Sheet:
    banner = mode.banner(LANGUAGE)
    copies = []
    findings = []
    for field in form.fields:
        text = _filled(field.text, values)
        # What residents read on its own says itself that it is a drill.
        if banner and field.is_read and not text.startswith(banner):
            text = banner + text
        copies.append(Copy(field.name, field.label, text, full_width(text), field.longest))
    findings += [
        Finding(
            f"{name}.{copy.name}",
            f"{form.title}の{copy.label}は全角 {copy.length:g} 字。{copy.longest} 字までです (too long)",
            blocks=False,
        )
        for copy in copies
        if copy.is_too_long
    ]
    if banner:
        findings.append(Finding(name, form.drill, blocks=False))
    return Sheet(name, form.title, form.how, tuple(copies), tuple(findings), form.is_whole_city)


def _values(alert: Alert[Any], info: Info, city: City) -> Mapping[str, str]:
    verb = verb_of(alert)
    update = info.added(Added.NEXT_UPDATE) if verb not in ENDING else None
    sent = alert.sent.astimezone(JST)
    known = [city.quarters[code].names[LANGUAGE] for code in alert.quarters if code in city.quarters]
    return {
        "verb": WORDS[verb],
        "verb_mark": "" if verb is Verb.ISSUE else f"【{WORDS[verb]}】",
        "order": _order(info),
        "order_short": info.event,
        "issued": f"{sent:%-H時%M分}",
        "issued_on": f"{sent:%Y年%-m月%-d日 %-H時%M分}",
        "place": info.place,
        "places": "、".join(known) or info.place,
        "shelters": _shelters(alert, info),
        "next_update": f"{datetime.fromisoformat(update).astimezone(JST):%-H時%M分}" if update else "",
        "sender": info.sender_name or "",
        "contact": info.contact or "",
        **{name: getattr(info, name) or "" for name in ("headline", "description", "instruction")},
    }


def _filled(text: str, values: Mapping[str, str]) -> str:
    """The lines of the text that have something to say: one whose placeholders are all empty is left out."""
    kept = []
    for line in text.splitlines():
        names = re.findall(r"\{(\w+)\}", line)
        if not names or any(values[name] for name in names):
            kept.append(line.format_map(values).strip())
    return "\n".join(filter(None, kept))


def _order(info: Info) -> str:
    """警戒レベル4 避難指示; without a level where the order carries none."""
    return f"警戒レベル{info.level} {info.event}" if info.level else info.event


def full_width(text: str) -> float:
    """Length in full-width characters; a line break counts one."""
    return sum(1.0 if unicodedata.east_asian_width(c) in "WFA" or c == "\n" else 0.5 for c in text)
