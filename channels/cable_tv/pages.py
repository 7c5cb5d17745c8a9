"""An alert as pages of television: what stands on each, how long, and in which order; no pixels yet.

L-shape pages keep the programme running: a side panel (what, where, when) and two standing lines at the foot, in Japanese.
Full pages carry the whole text in every language of the alert, one after another. No line crawls: a reader takes in ten
standing characters a second and five moving ones. Each page can stand alone: it bears banner, event and place.

Source: design.md §7; mockups README "Must not change"; facts.md §Cable-TV text (dwell, loop, phone numbers).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import chain, islice
from types import MappingProxyType

from channels.cable_tv.kinsoku import Measure, break_line, half_width_phones, wrap
from config.words import in_language
from dispatcher.clock import JST
from dispatcher.model.alert import Added, Alert, Info
from dispatcher.model.draft import ENDING, Verb, verb_of

LEAST_DWELL_S = 4.0
CHARACTERS_PER_S = 4.0
LOOPS = 3
FOOT_LINES = 2
FOOT_WIDTH_PX = FULL_WIDTH_PX = 1728
"""1920 less 96 on either side."""
FULL_LINES = 5
LONGEST_EVENT, LONGEST_PLACE = 16, 24
"""Characters that the side panel holds at 44 px; a longer list of places goes to a page of its own."""


class Kind(StrEnum):
    LSHAPE = "lshape"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Wordings:
    """The words around the alert's own, in one language."""

    verbs: Mapping[Verb, str]
    level: str
    shelters: str
    next_update: str
    contact: str
    comma: str
    others: str
    places: str
    was_wrong: str


_JA = Wordings(
    verbs={
        Verb.ISSUE: "発表",
        Verb.UPDATE: "更新",
        Verb.CORRECT: "訂正",
        Verb.LIFT: "解除",
        Verb.RETRACT: "取消",
    },
    level="警戒レベル{}",
    shelters="避難所：{}",
    next_update="次の情報：{}ごろ",
    contact="電話：{}",
    comma="、",
    others="{}ほか",
    places="対象：{}",
    was_wrong="は誤りです",
)
_EASY = replace(
    _JA,
    shelters="逃げる ところ：{}",
    next_update="次の お知らせ：{}ごろ",
    places="場所：{}",
    was_wrong="は まちがいです",
)
_EN = Wordings(
    verbs={
        Verb.ISSUE: "issued",
        Verb.UPDATE: "updated",
        Verb.CORRECT: "CORRECTION",
        Verb.LIFT: "LIFTED",
        Verb.RETRACT: "CANCELLED",
    },
    level="Level {}",
    shelters="Shelters: {}",
    next_update="Next update: about {}",
    contact="Phone: {}",
    comma=", ",
    others="{}, others",
    places="Areas: {}",
    was_wrong="was an error",
)
WORDINGS: Mapping[str, Wordings] = MappingProxyType({"ja": _JA, "ja-x-easy": _EASY, "en": _EN})


def wordings(language: str) -> Wordings:
    """The words of that language; one without its own gets English."""
    return in_language(WORDINGS, language)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What every page of one language says: the side panel of an L-shape, the head of a full page."""

    language: str
    banner: str
    """【訓練】, or nothing."""
    verb: Verb
    level: int | None
    level_words: str
    event: str
    place: str
    issued: str
    """三鷹市 2:41発表"""

    @property
    def words(self) -> str:
        """On one line, as the titler gets it."""
        mark = wordings(self.language).verbs[self.verb] if self.verb in ENDING else ""
        parts = [mark, self.level_words, self.event, self.place, self.issued]
        return self.banner + " ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One picture and its text. `number` counts from 1 to `count` within its kind."""

    kind: Kind
    head: Head
    lines: tuple[str, ...]
    number: int
    count: int

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.number}"

    @property
    def words(self) -> str:
        """Everything that a viewer reads on it."""
        return "\n".join([self.head.words, *self.lines])

    @property
    def dwell_s(self) -> float:
        """How long it has to stand to be read once: a Latin letter is half a character to the eye."""
        letters = sum((0.5 if c.isascii() else 1.0) for c in "".join(self.lines) if not c.isspace())
        return max(LEAST_DWELL_S, letters / CHARACTERS_PER_S)


def pages(
    alert: Alert[object],
    infos: Sequence[Info],
    banners: Mapping[str, str],
    city: Mapping[str, str],
    measure: Measure,
    longest: int,
) -> tuple[Page, ...]:
    """Every page in the order of showing: the L-shapes of the first language, then the full pages of each.

    The alert's texts bear the banner; `banners` by language takes it off again, because each page says it once.
    `city` is the city's name by language, `measure` the width of body text. Laying out stops at `longest` + 1 pages: by
    then the loop is too long whatever follows.
    """
    drafts = list(islice(_drafts(alert, infos, banners, city, measure), longest + 1))
    counts = {kind: sum(k is kind for k, _, _ in drafts) for kind in Kind}
    numbers = dict.fromkeys(Kind, 0)
    done = []
    for kind, head, lines in drafts:
        numbers[kind] += 1
        done.append(Page(kind=kind, head=head, lines=lines, number=numbers[kind], count=counts[kind]))
    return tuple(done)


def _drafts(
    alert: Alert[object], infos: Sequence[Info], banners: Mapping[str, str], city: Mapping[str, str], measure: Measure
) -> Iterator[tuple[Kind, Head, tuple[str, ...]]]:
    head = _head(alert, infos[0], banners, city)
    yield from ((Kind.LSHAPE, head, lines) for lines in _foot(alert, infos[0], head.banner, measure))
    for info in infos:
        head = _head(alert, info, banners, city)
        yield from ((Kind.FULL, head, lines) for lines in _full(alert, info, head.banner, measure))


def clock_time(moment: datetime) -> str:
    """2:41, as people in Japan read it."""
    local = moment.astimezone(JST)
    return f"{local.hour}:{local.minute:02d}"


def _head(alert: Alert[object], info: Info, banners: Mapping[str, str], city: Mapping[str, str]) -> Head:
    words, verb = wordings(info.language), verb_of(alert)
    name = city.get(info.language) or city.get(info.language.split("-", maxsplit=1)[0]) or info.sender_name or ""
    time = clock_time(alert.sent)
    is_over = verb in ENDING
    return Head(
        language=info.language,
        banner=banners[info.language],
        verb=verb,
        level=None if is_over else info.level,
        level_words="" if is_over or not info.level else words.level.format(info.level),
        event=info.event,
        place=_short_place(info, words),
        issued=f"{name} {time}{words.verbs[verb]}" if words.comma == "、" else f"{name}, {words.verbs[verb]} {time}",
    )


def _foot(alert: Alert[object], info: Info, banner: str, measure: Measure) -> Iterator[tuple[str, ...]]:
    """Two lines a page, the first behind the banner: 【訓練】 has to be where the eye is."""
    for text in _foot_texts(alert, info, banner):
        rest = text
        while rest:
            lines: list[str] = []
            rest = banner + rest
            while rest and len(lines) < FOOT_LINES:
                paragraph, _, after = rest.partition("\n")
                line, left = break_line(paragraph, FOOT_WIDTH_PX, measure)
                lines.append(line)
                rest = "\n".join(filter(None, (left, after)))
            yield tuple(lines)


def _foot_texts(alert: Alert[object], info: Info, banner: str) -> Iterator[str]:
    verb, words = verb_of(alert), wordings(info.language)
    if verb in ENDING:
        yield _marked(_plain(info.headline, banner) or info.event, verb, words)
        yield from filter(None, (_plain(info.description, banner), _plain(info.instruction, banner)))
        return
    yield _marked(_plain(info.added(Added.SHORT), banner) or _plain(info.headline, banner) or info.event, verb, words)
    if len(info.place) > LONGEST_PLACE:
        yield words.places.format(info.place)
    if shelters := info.added(Added.SHELTERS):
        yield words.shelters.format(_plain(shelters, banner))
    if closing := "\n".join(_closing(info, words)):
        yield closing


def _full(alert: Alert[object], info: Info, banner: str, measure: Measure) -> Iterator[tuple[str, ...]]:
    verb, words = verb_of(alert), wordings(info.language)
    paragraphs = [
        _marked(_plain(info.headline, banner), verb, words),
        _plain(info.description, banner),
        _plain(info.instruction, banner),
    ]
    if len(info.place) > LONGEST_PLACE:
        paragraphs.insert(1, words.places.format(info.place))
    if verb not in ENDING and (shelters := info.added(Added.SHELTERS)):
        paragraphs.append(words.shelters.format(_plain(shelters, banner)))
    paragraphs += _closing(info, words, is_over=verb in ENDING)
    page: list[str] = []
    for paragraph in (line for text in paragraphs for line in text.splitlines() if line.strip()):
        rest = wrap(paragraph, FULL_WIDTH_PX, measure)
        first = list(islice(rest, FULL_LINES + 1))
        if page and len(page) + len(first) > FULL_LINES >= len(first):
            yield tuple(page)
            page = []
        for line in chain(first, rest):
            if len(page) == FULL_LINES:
                yield tuple(page)
                page = []
            page.append(line)
    if page:
        yield tuple(page)


def _closing(info: Info, words: Wordings, *, is_over: bool = False) -> Iterator[str]:
    after = info.added(Added.NEXT_UPDATE)
    if after and not is_over:
        yield words.next_update.format(_time_in(after))
    if info.contact:
        yield words.contact.format(half_width_phones(info.contact))


def _short_place(info: Info, words: Wordings) -> str:
    if len(info.place) <= LONGEST_PLACE:
        return info.place
    return words.others.format(info.place.split(words.comma, maxsplit=1)[0])


def _time_in(parameter: str) -> str:
    """The time of an RFC 3339 text; what an alert from elsewhere wrote in another form is said as it stands."""
    try:
        return clock_time(datetime.fromisoformat(parameter))
    except ValueError:
        return parameter


def _marked(text: str, verb: Verb, words: Wordings) -> str:
    """【取消】 and its like before a text that does not begin with the word itself."""
    mark = words.verbs[verb]
    if not text or verb in {Verb.ISSUE, Verb.UPDATE} or text.lstrip("【[").startswith(mark):
        return text
    if verb is Verb.LIFT and mark.casefold() in text.casefold():
        return text
    return f"【{mark}】{text}" if words.comma == "、" else f"[{mark}] {text}"


def _plain(text: str | None, banner: str) -> str:
    """Without the banner, which the page says itself, and with telephone numbers that stay whole."""
    return half_width_phones((text or "").removeprefix(banner).strip())
