"""What is wrong with a message before anybody is asked to approve it: every finding at once, from the alert alone.

A finding that blocks is something people could be hurt by or a rule that no city may break; the rest (length, long sentences)
is shown and may go out, because an order that waits for better style comes too late. What a medium cannot carry is that
channel's own finding.

Source: design.md §7 "Lint before submit"; 避難情報に関するガイドライン（内閣府、令和3年5月改定）表2; CAP 1.2 §3.2.2 `headline`.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType

from dispatcher.errors import Finding
from dispatcher.model.alert import Added, Alert, Info, Status
from dispatcher.model.draft import ENDING, Verb, verb_of
from dispatcher.model.mode import M

LEVEL_WORDS: Mapping[int, str] = MappingProxyType({5: "緊急安全確保", 4: "避難指示", 3: "高齢者等避難"})
"""警戒レベル to the name of its order. Levels 1 and 2 are the weather agency's and have no order of the city."""
EASY_SENTENCE = 24
"""Characters of a やさしい日本語 sentence, without spaces, readings in brackets and names of places."""
HEADLINE = 160
"""Characters, CAP's own target."""
SHORT = 30
"""Full-width cells of the one line that a TV frame takes."""

LEAST: Mapping[str, int] = MappingProxyType({"headline": 5, "description": 4, "instruction": 4})
"""Characters under which a text is a slip of the hand (喜多方市 2023: one character to everyone)."""

_NO_LEVEL = re.compile(r"津波|地震|海啸|쓰나미|지진|tsunami|earthquake", re.IGNORECASE)
_SAID_LEVEL = re.compile(r"(?:レベル|level|警戒(?:等级|级别)|경계\s*레벨)\s*(\d)", re.IGNORECASE)
_NOT_A_DRILL = re.compile(r"訓練(?:では|じゃ)(?:ない|なく|ありません)|(?:不是|并非)演习|훈련이?(?:아닙|아니)")
_NOT_A_DRILL_EN = re.compile(r"\b(?:not\s+(?:an?|the)|is\s+no)\s+(?:drill|exercise|test)\b", re.IGNORECASE)
_WAS_A_DRILL = re.compile(r"訓練(?:でした|だった)|(?<!不)是演习|훈련이?(?:었|였)")
_WAS_A_DRILL_EN = re.compile(r"\bwas\s+(?:(?:only|just)\s+)?an?\s+(?:drill|exercise|test)\b", re.IGNORECASE)
_A_DRILL = re.compile(
    r"訓練(?!では|じゃ)|演习|훈련|くんれん|テスト(?:送信|配信|放送|です|メール)|(?:動作|操作|送信|配信)確認|試験(?:送信|配信|放送)"
)
_A_DRILL_EN = re.compile(r"\b(?:drill|exercise|test message|this is (?:only )?a test)\b", re.IGNORECASE)
_INTERNAL = re.compile(
    r"庁内|部外秘|取扱注意|内部(?:資料|連絡|メモ)|各課|各部|関係者限り|職員(?:各位|あて|宛)|メモ書き|未定稿"
)
_ERROR = re.compile(r"誤|間違|まちが|有误|误报|잘못|오보|오류|error|mistake|false alarm", re.IGNORECASE)
_UNFILLED = re.compile(r"\{(?!issued\})[a-z_]+\}")
_BRACKETS = re.compile(r"（[^）]*）|\([^)]*\)")
_SENTENCE_END = re.compile(r"[。！？!?\n]+")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def lint(alert: Alert[M], *, now: datetime) -> tuple[Finding, ...]:
    """Everything found in this alert at this time, in the order of the fields; empty when nothing is."""
    findings = list(_whole(alert, now))
    for info in alert.info:
        findings += _complete(alert, info, now)
        findings += _worded(alert, info)
    return tuple(findings)


def _whole(alert: Alert[M], now: datetime) -> Iterator[Finding]:
    spoken = [info.language for info in alert.info]
    for needed in ("ja", "ja-x-easy", "en"):
        if needed not in spoken and not (needed == "en" and any(s.startswith("en-") for s in spoken)):
            yield Finding("info", f"{needed} の文がありません。ja, ja-x-easy, en が要ります (language missing)")
    for language in sorted({s for s in spoken if spoken.count(s) > 1}):
        yield Finding("info", f"{language} の文が2つあります。1つにしてください (language twice)")
    if alert.expires is not None and alert.expires <= alert.sent:
        yield Finding("expires", "発表より前に終わります。発表より後の時刻にしてください (expires before sent)")
    elif alert.expires is not None and alert.expires <= now:
        yield Finding("expires", "もう終わっています。これからの時刻にしてください (already expired)")
    if verb_of(alert) in {Verb.CORRECT, Verb.RETRACT} and not (alert.note or "").strip():
        yield Finding("note", "何が誤りだったかを書いてください (say what was wrong)")
    yield from _characters("note", alert.note or "")
    yield from _about_drills(alert, "note", alert.note or "")


def _complete(alert: Alert[M], info: Info, now: datetime) -> Iterator[Finding]:
    """Who, what, where, when, what to do, next update."""
    at = f"info[{info.language}]"
    needed = {
        "senderName": (info.sender_name, "だれが出すか (who)"),
        "event": (info.event, "何のお知らせか (what)"),
        "headline": (info.headline, "見出し (what, where)"),
        "description": (info.description, "何が起きているか (what)"),
        "instruction": (info.instruction, "何をするか (what to do)"),
    }
    for name, (text, what) in needed.items():
        if not (text or "").strip():
            yield Finding(f"{at}.{name}", f"{what} がありません")
        elif len(_tight(text or "")) < LEAST.get(name, 1):
            yield Finding(
                f"{at}.{name}", f"{what} が {len(_tight(text or ''))} 字しかありません (too short to be a message)"
            )
    if not info.area or not all(a.area_desc.strip() for a in info.area):
        yield Finding(f"{at}.area", "対象区域がありません (no area)")
    elif info.headline and not all(a.area_desc in info.headline for a in info.area):
        yield Finding(f"{at}.headline", f"場所「{info.place}」がありません (where)")
    if info.expires is None:
        yield Finding(f"{at}.expires", "いつまでかがありません (when)")
    yield from _next_update(alert, info, now)


def _next_update(alert: Alert[M], info: Info, now: datetime) -> Iterator[Finding]:
    at = f"info[{info.language}].nextUpdate"
    said = info.added(Added.NEXT_UPDATE)
    if verb_of(alert) in ENDING:
        return
    if said is None:
        yield Finding(at, "次のお知らせの時刻がありません (next update)")
        return
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        yield Finding(at, f"{said}: 2026-09-14T15:00:00+09:00 のように書いてください (not a time with an offset)")
    elif moment <= now:
        yield Finding(at, f"{said}: もう過ぎています (already past)")
    elif info.expires is not None and moment > info.expires:
        yield Finding(at, f"{said}: お知らせが終わった後です (after it expires)", blocks=False)


def _worded(alert: Alert[M], info: Info) -> Iterator[Finding]:
    at = f"info[{info.language}]"
    texts = _texts(info)
    for name, text in texts.items():
        where = f"{at}.{name}"
        yield from _characters(where, text)
        yield from _about_drills(alert, where, text)
        if "避難勧告" in _tight(text):
            yield Finding(
                where, "避難勧告は令和3年5月に廃止されました。避難指示か高齢者等避難を使ってください (abolished)"
            )
        for name_left in _UNFILLED.findall(text):
            yield Finding(where, f"{name_left} が埋まっていません (placeholder left)")
    yield from _level(alert, info)
    if verb_of(alert) is Verb.RETRACT and not _ERROR.search(f"{info.headline} {info.description}"):
        yield Finding(f"{at}.headline", "取消は、誤りだったと書いてください (say that it was an error)")
    if len(info.headline or "") > HEADLINE:
        yield Finding(f"{at}.headline", f"{len(info.headline or '')} 字。{HEADLINE} 字まで (too long)", blocks=False)
    short = info.added(Added.SHORT) or ""
    if not short.strip():
        yield Finding(f"{at}.{Added.SHORT}", "1行の文がありません (no short line)", blocks=False)
    elif (cells := _cells(short)) > SHORT:
        yield Finding(f"{at}.{Added.SHORT}", f"全角 {cells:g} 字。{SHORT} 字まで (too long)", blocks=False)
    if info.language == "ja-x-easy":
        yield from _easy(at, info)


def _texts(info: Info) -> dict[str, str]:
    """Every text that a person may meet, by its field."""
    texts = {
        "event": info.event,
        "senderName": info.sender_name,
        "headline": info.headline,
        "description": info.description,
        "instruction": info.instruction,
        "contact": info.contact,
        "audience": info.audience,
        **{parameter.value_name: parameter.value for parameter in info.parameter},
        **{f"area[{i}]": area.area_desc for i, area in enumerate(info.area)},
    }
    return {name: text for name, text in texts.items() if text}


def _characters(where: str, text: str) -> Iterator[Finding]:
    refused = {c for c in text if c in _BIDI or (c != "\n" and unicodedata.category(c) in {"Cc", "Cs"})}
    if refused:
        codes = ", ".join(f"U+{ord(c):04X}" for c in sorted(refused))
        yield Finding(where, f"使えない文字 {codes} があります (control or direction character)")


def _about_drills(alert: Alert[M], where: str, text: str) -> Iterator[Finding]:
    def says(japanese: re.Pattern[str], english: re.Pattern[str]) -> bool:
        return bool(japanese.search(_tight(text)) or english.search(text))

    if alert.status is not Status.ACTUAL and says(_NOT_A_DRILL, _NOT_A_DRILL_EN):
        yield Finding(where, "訓練で「訓練ではない」と言うことはできません (a drill must not say it is none)")
    if alert.status is Status.ACTUAL and (
        _A_DRILL.search(_NOT_A_DRILL.sub("", _tight(text))) or _A_DRILL_EN.search(_NOT_A_DRILL_EN.sub("", text))
    ):
        yield Finding(where, "本番の文に訓練・試験のことばがあります。本番では使えません (words of a drill or a test)")
    if _INTERNAL.search(_tight(text)):
        yield Finding(where, "内部の連絡のことばがあります。住民に出す文ではありません (an internal memo)")
    if verb_of(alert) is Verb.RETRACT and says(_WAS_A_DRILL, _WAS_A_DRILL_EN):
        yield Finding(where, "取消は誤りの取消です。訓練だったとは言えません (an error, not a drill)")


def _level(alert: Alert[M], info: Info) -> Iterator[Finding]:
    """警戒レベル and the name of the order agree, and nothing has a level that carries none."""
    at = f"info[{info.language}]"
    if verb_of(alert) in ENDING:
        return
    event = unicodedata.normalize("NFKC", info.event)
    if _NO_LEVEL.search(event):
        if info.level is not None:
            yield Finding(f"{at}.{Added.LEVEL}", "津波と地震の避難情報に警戒レベルはありません (carries no level)")
    else:
        named = [level for level, word in LEVEL_WORDS.items() if word in event]
        if (
            info.level is not None
            and info.level in LEVEL_WORDS
            and (named or info.language == "ja")
            and named != [info.level]
        ):
            yield Finding(f"{at}.event", f"警戒レベル{info.level} は「{LEVEL_WORDS[info.level]}」です (level and word)")
        if info.level is None and named:
            yield Finding(
                f"{at}.{Added.LEVEL}", f"「{LEVEL_WORDS[named[0]]}」は警戒レベル{named[0]} です (level missing)"
            )
    for name in ("event", "headline", Added.SHORT):
        said = _SAID_LEVEL.findall(unicodedata.normalize("NFKC", _texts(info).get(name, "")))
        if any(digit != str(info.level) for digit in said):
            yield Finding(f"{at}.{name}", f"警戒レベルが {info.level or 'なし'} とちがいます (another level)")


def _easy(at: str, info: Info) -> Iterator[Finding]:
    names = [a.area_desc for a in info.area] + [
        info.sender_name or "",
        *re.split("[、,]", info.added(Added.SHELTERS) or ""),
    ]
    for name in ("headline", "description", "instruction"):
        text = _texts(info).get(name, "")
        for known in sorted(filter(None, names), key=len, reverse=True):
            text = text.replace(known, "")
        for sentence in _SENTENCE_END.split(_BRACKETS.sub("", text)):
            if (length := len(_tight(sentence))) > EASY_SENTENCE:
                yield Finding(
                    f"{at}.{name}",
                    f"「{sentence.strip()}」は {length} 字。{EASY_SENTENCE} 字までに分けてください (long sentence)",
                    blocks=False,
                )


def _tight(text: str) -> str:
    """As it is heard: without spaces, wide and narrow letters alike."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def _cells(text: str) -> float:
    """Width in full-width cells."""
    return sum(1.0 if unicodedata.east_asian_width(c) in "WFA" else 0.5 for c in text)
