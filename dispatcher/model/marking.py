"""The word that says what became of a message, before its headline: who hears 訂正 must not take it for a second order.

A headline that begins with the word (【取消】…) or, for 解除, says it anywhere, has no second one put before it.

Source: design.md §3 "Staff have five verbs".
"""

from collections.abc import Mapping
from types import MappingProxyType

from config.words import in_language
from dispatcher.model.alert import Added, Info
from dispatcher.model.draft import Verb

_JA = {Verb.UPDATE: "更新", Verb.CORRECT: "訂正", Verb.LIFT: "解除", Verb.RETRACT: "取消"}
_WORDS: Mapping[str, Mapping[Verb, str]] = MappingProxyType(
    {
        "ja": _JA,
        "en": {Verb.UPDATE: "UPDATE", Verb.CORRECT: "CORRECTION", Verb.LIFT: "LIFTED", Verb.RETRACT: "CANCELLED"},
        "zh": {Verb.UPDATE: "更新", Verb.CORRECT: "更正", Verb.LIFT: "解除", Verb.RETRACT: "撤销"},
        "ko": {Verb.UPDATE: "갱신", Verb.CORRECT: "정정", Verb.LIFT: "해제", Verb.RETRACT: "취소"},
    }
)
_WRONG: Mapping[str, str] = MappingProxyType(
    {
        "ja": "訂正の内容：",
        "ja-x-easy": "なおした ところ：",
        "en": "What was wrong: ",
        "zh": "更正内容：",
        "ko": "정정 내용: ",
    }
)


def headline(info: Info, verb: Verb, banner: str) -> str:
    """The headline, or the event where there is none: the mode's banner first, then the verb's mark, unless it says so."""
    said = (info.headline or info.event).removeprefix(banner).strip()
    word = in_language(_WORDS, info.language).get(verb)
    if word is None or _says(said, word, verb):
        return banner + said
    return banner + mark(info.language, verb) + said


def mark(language: str, verb: Verb) -> str:
    """`【訂正】`, `[CORRECTION] `; "" for 発表."""
    word = in_language(_WORDS, language).get(verb)
    if word is None:
        return ""
    return f"【{word}】" if language.partition("-")[0] in {"ja", "zh"} else f"[{word}] "


def what_was_wrong(info: Info) -> str:
    """What a correction corrects, as staff wrote it, behind a label in this language; "" where nothing is corrected."""
    wrong = info.added(Added.CORRECTION)
    return in_language(_WRONG, info.language) + wrong if wrong else ""


def _says(headline: str, word: str, verb: Verb) -> bool:
    if verb is Verb.LIFT:
        return word.casefold() in headline.casefold()
    return headline.lstrip("【[").casefold().startswith(word.casefold())
