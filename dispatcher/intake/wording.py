"""A decision in the words that a template leaves open: who announced what, and when, in each language.

The template stays as it was reviewed; only `{cause}` is filled. What no table names in a language is left general there, never
put into another language by a machine.

Source: design.md §7 "Templates"; CAP 1.2 §3.2.2 `headline`.
"""

from collections.abc import Mapping, Sequence

from config.intake import Table
from dispatcher.intake.decide import Decision
from dispatcher.intake.telegram import Rank, Telegram

MOST = 4
"""Kinds that one sentence names."""
LONGEST = 160
"""Characters of another service's own headline."""
JMA = "気象庁"
_EASY_JMA = "気象庁（きしょうちょう）"
_EASY_OTHER = "ほかの 役所"


def cause(telegram: Telegram, decision: Decision, table: Table) -> Mapping[str, str]:
    """`{cause}` by language, without the full stop that the template sets."""
    at, own = telegram.reported, telegram.texts
    kinds = decision.kinds[:MOST]
    say = decision.row.say if decision.row is not None else None
    named = [(say or kind) for kind in kinds]
    is_jma = telegram.speaker == JMA
    japanese = "、".join(
        f"{name}の地震の情報" if name.startswith("震度") else name for name in _each(table, named, "ja")
    )
    english = ", ".join(_each(table, named, "en-US"))
    agency = "the Japan Meteorological Agency" if is_jma else "another agency"
    where = _where(decision)
    time = f"{at.hour}時{at.minute:02d}分"
    return {
        "ja": _short(own.get("ja")) or f"{at.day}日{time}、{telegram.speaker}が{japanese}を発表しました{where}",
        "ja-x-easy": f"{time}に {_EASY_JMA if is_jma else _EASY_OTHER}が {_easy(table, named)}を 出しました",
        "en-US": _short(own.get("en")) or f"At {at:%H:%M} on {at.day} {at:%B}, {agency} announced: {english}",
    }


def _each(table: Table, names: Sequence[str], language: str) -> Sequence[str]:
    return list(dict.fromkeys(table.say(name, language) for name in names))


def _easy(table: Table, names: Sequence[str]) -> str:
    """The first alone: an easy sentence is short, and the most dangerous stands first."""
    said = _each(table, names[:1], "ja-x-easy")
    return said[0] if said else "お知らせ"


def _where(decision: Decision) -> str:
    """Where it is said of something else than the city: the sea, a wider area."""
    wider = [s.place.name for s in decision.statements if s.place.rank not in {Rank.MUNICIPALITY, Rank.OTHER}]
    names = list(dict.fromkeys(wider))
    return f"（{'、'.join(names[:3])}{'など' if len(names) > 3 else ''}）" if names else ""


def _short(text: str | None) -> str:
    if not text:
        return ""
    text = text.rstrip("。. ")
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
