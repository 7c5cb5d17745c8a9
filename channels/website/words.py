"""What the site itself says around a message, by language. A language without words of its own gets English.

Source: mockups of the residents' pages; design.md §7 (levels by number, word, shape and colour).
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from dispatcher.clock import JST
from dispatcher.model.draft import Verb

LANGUAGES: Mapping[str, str] = MappingProxyType(
    {"ja": "日本語", "ja-x-easy": "やさしい日本語", "en": "English", "zh": "中文", "ko": "한국어"}
)
"""Each language's name in itself."""

_JA = {
    "level": "警戒レベル",
    "next": "次のお知らせ",
    "about": "ごろ",
    "until": "まで有効",
    "first": "まず すること",
    "what": "何が起きているか",
    "message": "お知らせの内容",
    "shelters": "避難先",
    "shelters_note": "開いているか、混んでいるかは、このページでは分かりません。",
    "where": "どこの人か",
    "filled": "塗りつぶした所",
    "map_note": "町の境は近似です。迷うときは避難してください。",
    "history": "これまでのお知らせ",
    "now": "いま",
    "contact": "問い合わせ",
    "danger": "命の危険があるときは",
    "danger_after": "",
    "all": "すべてのお知らせ",
    "none": "いま出ている避難情報はありません。",
    "ended": "終わったお知らせ",
    "current": "いま出ているお知らせ",
    "site": "防災のお知らせ",
    "drill": "訓練",
    "drill_note": "これは訓練です。実際の避難情報ではありません。",
    "machine": "機械で読む形",
    "expired": "期限が過ぎました",
    Verb.ISSUE: "発表",
    Verb.UPDATE: "更新",
    Verb.CORRECT: "訂正",
    Verb.LIFT: "解除",
    Verb.RETRACT: "取消",
    "lift_note": "この避難情報は解除されました。",
    "retract_note": "前のお知らせは誤りでした。取り消しました。",
    "correct_note": "前のお知らせの文に誤りがありました。こちらが正しい内容です。",
}
_EASY = _JA | {
    "next": "次（つぎ）の お知らせ",
    "until": "まで",
    "first": "最初（さいしょ）に すること",
    "what": "何（なに）が ありましたか",
    "message": "お知らせ",
    "shelters": "逃（に）げる 場所（ばしょ）",
    "shelters_note": "入（はい）れるか どうかは、この ページでは わかりません。",
    "where": "どこの 人（ひと）ですか",
    "filled": "黒（くろ）い 所（ところ）",
    "map_note": "だいたいの 地図（ちず）です。わからない ときは 逃（に）げて ください。",
    "history": "前（まえ）の お知らせ",
    "contact": "聞（き）きたい とき",
    "danger": "命（いのち）が あぶない ときは",
    "danger_after": "に 電話（でんわ）して ください",
    "all": "全部（ぜんぶ）の お知らせ",
    "none": "今（いま） お知らせは ありません。",
    "ended": "終（お）わった お知らせ",
    "current": "今（いま）の お知らせ",
    "site": "災害（さいがい）の お知らせ",
    "drill": "訓練（くんれん）",
    "drill_note": "これは 練習（れんしゅう）です。本当（ほんとう）では ありません。",
    "machine": "機械（きかい）で 読（よ）む データ",
    "expired": "時間（じかん）が 過（す）ぎました",
    Verb.ISSUE: "お知らせ",
    Verb.UPDATE: "新（あたら）しい お知らせ",
    Verb.CORRECT: "訂正（ていせい）",
    Verb.LIFT: "解除（かいじょ）",
    Verb.RETRACT: "取消（とりけし）",
    "lift_note": "もう 終（お）わりました。",
    "retract_note": "前（まえ）の お知らせは まちがいでした。",
    "correct_note": "前（まえ）の お知らせに まちがいが ありました。これが 正（ただ）しい お知らせです。",
}
_EN = {
    "level": "Level ",
    "next": "Next update about",
    "about": "",
    "until": "in force until",
    "first": "What to do first",
    "what": "What is happening",
    "message": "The message",
    "shelters": "Where to go",
    "shelters_note": "This page cannot tell whether a place is open or full.",
    "where": "Who is meant",
    "filled": "filled on the map",
    "map_note": "Boundaries are approximate. If in doubt, evacuate.",
    "history": "Earlier messages",
    "now": "now",
    "contact": "Contact",
    "danger": "Danger to life: call",
    "danger_after": "",
    "all": "All messages",
    "none": "No evacuation information is in force.",
    "ended": "Ended",
    "current": "In force now",
    "site": "Disaster information",
    "drill": "DRILL",
    "drill_note": "This is a drill, not a real alert.",
    "machine": "For machines",
    "expired": "Expired",
    Verb.ISSUE: "Issued",
    Verb.UPDATE: "Updated",
    Verb.CORRECT: "Corrected",
    Verb.LIFT: "Lifted",
    Verb.RETRACT: "Cancelled (取消)",
    "lift_note": "This evacuation information has been lifted.",
    "retract_note": "The earlier message was an error. It is cancelled.",
    "correct_note": "The text of the earlier message was wrong. This is the correct one.",
}
_WORDS: Mapping[str, Mapping[str, str]] = MappingProxyType({"ja": _JA, "ja-x-easy": _EASY, "en": _EN})


def words(language: str) -> Mapping[str, str]:
    return _WORDS.get(language) or _WORDS.get(language.split("-", maxsplit=1)[0]) or _EN


def language_name(language: str) -> str:
    return LANGUAGES.get(language) or LANGUAGES.get(language.split("-", maxsplit=1)[0]) or language


def clock_time(moment: datetime) -> str:
    return f"{moment.astimezone(JST):%-H:%M}"


def day_time(moment: datetime, language: str) -> str:
    local = moment.astimezone(JST)
    if language.startswith("ja"):
        return f"{local.month}月{local.day}日 {local:%-H:%M}"
    return f"{local:%-d %b %-H:%M}"
