"""An alert as posts: one where it fits, else a thread of which every post can stand alone.

A post is quoted, copied and photographed without its thread, so each one says the mode's banner, what became of the order
(取消, 訂正, 解除), the place, the event, the time of issue and n/m. The time makes each text unique: X refuses a text that
it has already, and the channel finds its own posts again by their text.

This module is the only one that imports twitter_text, whose weighted length X itself uses: 280, a kanji counts 2, any URL 23.

Source: developer.x.com "Counting characters" (twitter-text v3); facts.md §Social.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType

from config.words import in_language
from dispatcher.clock import JST
from dispatcher.errors import Finding
from dispatcher.model.alert import Added, Alert, Info
from dispatcher.model.draft import ENDING, Verb, verb_of

with warnings.catch_warnings():
    warnings.simplefilter(
        "ignore"
    )  # twitter-text-parser 3.0.0 reads its emoji list through the deprecated pkg_resources
    from twitter_text import extract_urls, parse_tweet

MAX_WEIGHT = 280
NUMBER_WEIGHT = 8
"""Kept free in each post of a thread for " 10/12" and what surrounds it."""
LONGEST_PLACE = 60
"""Weight that the place may take in the line that heads a post; a longer list goes to the body in full."""

FIRST_IDEOGRAPHIC = 0x2E80
"""From here on Unicode's scripts are written without spaces between sentences."""

FOLLOWING = frozenset({Verb.CORRECT, Verb.LIFT, Verb.RETRACT})
"""What is marked as such, and replies to the post that it is about."""


@dataclass(frozen=True, slots=True)
class Wordings:
    """The words around the alert's own, in one language. A mark is left out where the headline says `said` itself."""

    marks: Mapping[Verb, str]
    said: Mapping[Verb, str]
    level: str
    shelters: str
    next_update: str
    contact: str
    issued: str
    others: str
    comma: str
    numbered: str
    """Head, time and n/m of a post in a thread."""


_JA = Wordings(
    marks={Verb.RETRACT: "【取消】", Verb.CORRECT: "【訂正】", Verb.LIFT: "【解除】"},
    said={Verb.RETRACT: "取消", Verb.CORRECT: "訂正", Verb.LIFT: "解除"},
    level="警戒レベル{level} {event}",
    shelters="避難所：{}",
    next_update="次の情報：{}ごろ",
    contact="電話：{}",
    issued="{sender} {time}発表",
    others="{}ほか",
    comma="、",
    numbered="{head}（{time} {number}）",
)
_EASY = Wordings(
    marks=_JA.marks,
    said=_JA.said,
    level="警戒（けいかい）レベル{level} {event}",
    shelters="逃げる ところ：{}",
    next_update="次の お知らせ：{}ごろ",
    contact="電話：{}",
    issued="{sender} {time}",
    others="{} など",
    comma="、",
    numbered="{head}（{time} {number}）",
)
_EN = Wordings(
    marks={Verb.RETRACT: "[CANCELLED] ", Verb.CORRECT: "[CORRECTION] ", Verb.LIFT: "[LIFTED] "},
    said={Verb.RETRACT: "CANCELLED", Verb.CORRECT: "CORRECTION", Verb.LIFT: "LIFTED"},
    level="Alert level {level}: {event}",
    shelters="Shelters: {}",
    next_update="Next update: about {}",
    contact="Phone: {}",
    issued="{sender}, {time}",
    others="{} and others",
    comma=", ",
    numbered="{head} ({time}, {number})",
)
WORDINGS: Mapping[str, Wordings] = MappingProxyType({"ja": _JA, "ja-x-easy": _EASY, "en": _EN})


def wordings(language: str) -> Wordings:
    """The words of that language; one without its own gets English."""
    return in_language(WORDINGS, language)


def weight(text: str) -> int:
    """Weighted length as X counts it."""
    return _weighed(text)[0]


def is_postable(text: str) -> bool:
    """Whether X takes the text: not too long, no character that it refuses (U+FFFE, U+FEFF, U+FFFF)."""
    return _weighed(text)[1]


@lru_cache(maxsize=4096)  # while somebody types, nearly every post is one that was weighed a keystroke ago
def _weighed(text: str) -> tuple[int, bool]:
    found = parse_tweet(text)
    return int(found.weightedLength), bool(found.valid)


def posts(
    alert: Alert[object], infos: Sequence[Info], banners: Mapping[str, str], *, link: str | None, longest: int
) -> tuple[list[tuple[str, str]], list[Finding]]:
    """(language, text) of each post in order, and what does not fit.

    `infos` are those to say, in the order of saying; `banners` the mode's mark by language, which their texts bear already.
    `link` closes the first language. A thread of more than `longest` posts is a finding that blocks, and is not written further.
    """
    bodies = [
        (info, _Piece(alert, info, banners[info.language], link if n == 0 else None)) for n, info in enumerate(infos)
    ]
    whole = [piece.alone() for _, piece in bodies]
    if len(bodies) == 1 and weight(whole[0][: MAX_WEIGHT + 1]) <= MAX_WEIGHT and len(whole[0]) <= MAX_WEIGHT:
        thread = [(bodies[0][0].language, whole[0])]
    else:
        thread = []
        for info, piece in bodies:
            for body in piece.split():
                thread.append((info.language, body))
                if len(thread) > longest:
                    break
        count = len(thread)
        thread = [(language, text.replace(_NUMBER, f"{n}/{count}", 1)) for n, (language, text) in enumerate(thread, 1)]
    return thread, list(_findings(thread, link, longest))


_NUMBER = "\ue000"  # private use: stands for n/m until the length of the thread is known


class _Piece:
    """One language of the alert: its head and its body, without the mode's banner in between."""

    def __init__(self, alert: Alert[object], info: Info, banner: str, link: str | None) -> None:
        self.words = words = wordings(info.language)
        verb = verb_of(alert)
        mark = words.marks[verb] if verb in FOLLOWING else ""
        said = words.said[verb] if verb in FOLLOWING else ""
        place = info.place
        self.time = clock_time(alert.sent)

        def plain(text: str | None) -> str:
            return (text or "").removeprefix(banner).replace(_NUMBER, "").strip()

        headline = plain(info.headline) or info.event
        self.headline = banner + ("" if _says(headline, said, verb) else mark) + headline
        short = place if weight(place[:MAX_WEIGHT]) <= LONGEST_PLACE else _first_of(place, words)
        self.head = (
            f"{banner}{mark}{short} {info.event if weight(info.event[:MAX_WEIGHT]) <= LONGEST_PLACE else ''}".strip()
        )

        lines = [] if verb in ENDING or not info.level else [words.level.format(level=info.level, event=info.event)]
        self.says_place = place in headline
        if not self.says_place:
            lines.append(place)
        lines += [plain(info.description), plain(info.instruction)]
        if verb not in ENDING:
            if shelters := info.added(Added.SHELTERS):
                lines.append(words.shelters.format(shelters))
            if after := info.added(Added.NEXT_UPDATE):
                lines.append(words.next_update.format(_time_in(after)))
        if info.contact:
            lines.append(words.contact.format(info.contact))
        if link:
            lines.append(link)
        self.lines = [line for line in lines if line]
        self.sender = words.issued.format(sender=info.sender_name or "", time=self.time).strip()

    def alone(self) -> str:
        """All in one post."""
        return "\n".join([self.headline, *self.lines, self.sender])

    def split(self) -> Iterator[str]:
        """All as posts of a thread, each within the limit, with `_NUMBER` where n/m will stand."""
        opening = self.words.numbered.format(head=self.headline, time=self.time, number=_NUMBER)
        following = self.words.numbered.format(head=self.head, time=self.time, number=_NUMBER)
        lines = [*self.lines, self.sender]
        if not self.says_place or len(opening) > MAX_WEIGHT or weight(opening) + NUMBER_WEIGHT > MAX_WEIGHT // 2:
            lines, opening = [self.headline, *lines], following
        head, body = opening, ""
        for piece, glue in _sentences(lines):
            rest = piece
            while rest:
                candidate = f"{body}{glue if body else ''}{rest}"
                room = MAX_WEIGHT - NUMBER_WEIGHT - weight(head) - 1
                if len(candidate) <= room and weight(candidate) <= room:
                    body, rest = candidate, ""
                elif body:
                    yield f"{head}\n{body}"
                    head, body = following, ""
                else:
                    taken = _fitting(rest, room)
                    yield f"{head}\n{rest[:taken].strip()}"
                    head, rest = following, rest[taken:].strip()
        if body:
            yield f"{head}\n{body}"


@lru_cache(maxsize=256)
def _urls(text: str) -> tuple[str, ...]:
    return tuple(extract_urls(text))


def _says(headline: str, said: str, verb: Verb) -> bool:
    """Whether a headline needs no mark: 取消 and 訂正 have to be the first word, 解除 may stand anywhere."""
    if verb is Verb.LIFT:
        return said.casefold() in headline.casefold()
    return headline.lstrip("【[").casefold().startswith(said.casefold())


def clock_time(moment: datetime) -> str:
    """2:41, as people in Japan read it."""
    local = moment.astimezone(JST)
    return f"{local.hour}:{local.minute:02d}"


def _time_in(parameter: str) -> str:
    """The time of an RFC 3339 text; what an alert from elsewhere wrote in another form is said as it stands."""
    try:
        return clock_time(datetime.fromisoformat(parameter))
    except ValueError:
        return parameter


def _first_of(place: str, words: Wordings) -> str:
    """大沢ほか: the head of a list of places too long for a post's first line."""
    first = place.split(words.comma, maxsplit=1)[0]
    return words.others.format(first[:20])


def _sentences(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(sentence, what joins it to the text before): a thread breaks between sentences first."""
    for line in (part.strip() for text in lines for part in text.splitlines() if part.strip()):
        for n, sentence in enumerate(re.split(r"(?<=[。！？])(?=.)|(?<=[.!?]) +", line)):
            glue = "" if ord(sentence[0]) >= FIRST_IDEOGRAPHIC else " "
            yield sentence, "\n" if n == 0 else glue


def _fitting(text: str, room: int) -> int:
    """How many characters of `text` to put in a post with that much room: up to the last 、 or space, else all that fit."""
    low, high = 1, min(len(text), room)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if weight(text[:middle]) <= room else (low, middle - 1)
    comma = max(text.rfind(mark, 0, low) for mark in "、 ・,")
    return comma + 1 if comma >= low // 2 else low


def _findings(thread: Sequence[tuple[str, str]], link: str | None, longest: int) -> Iterator[Finding]:
    if len(thread) > longest:
        yield Finding(
            "social", f"投稿が {longest} 件を超えます。文を短くしてください（1 件は重みつき {MAX_WEIGHT} まで）。"
        )
    for n, (language, text) in enumerate(thread, 1):
        if not is_postable(text):
            yield Finding(
                f"social[{language}]",
                f"{n} 件目を X が受けつけません（重みつき {weight(text)}／{MAX_WEIGHT}、または使えない文字）。",
            )
        urls = [url for url in _urls(text) if url != link]
        if urls:
            yield Finding(
                f"social[{language}]",
                f"{n} 件目に URL があります（{'、'.join(urls)}）。投稿の料金が 13 倍になります。",
                blocks=False,
            )
