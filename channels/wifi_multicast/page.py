"""The notice as one page that stands alone: a phone behind a station's relay has it and nothing else.

No script, nothing fetched, each language in a block of its own; level by number, word, shape and colour.

Source: design.md §7 level colours; WCAG 2.2 §1.4.1, §3.1.2; mockups `alert.html`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from html import escape
from typing import Any

from config.words import in_language, language_of
from dispatcher.model import marking
from dispatcher.model.alert import Added, Alert, Info
from dispatcher.model.draft import ENDING, verb_of
from dispatcher.model.mode import Mode

_COLOURS = {
    5: ("#0C000C", "#fff"),
    4: ("#AA00AA", "#fff"),
    3: ("#FF2800", "#000"),
    2: ("#F2E700", "#000"),
    1: ("#fff", "#000"),
}
_SHAPES = {5: "■", 4: "◆", 3: "▲", 2: "●", 1: "○"}
_LABELS = {
    "ja": ("避難先", "次の情報", "電話"),
    "ja-x-easy": ("逃（に）げる ところ", "次（つぎ）の お知らせ", "電話（でんわ）"),
    "en": ("Shelters", "Next update", "Phone"),
    "zh": ("避难处", "下次通知", "电话"),
    "ko": ("대피할 곳", "다음 안내", "전화"),
}
_REPORT = {
    "ja": "無事・けが・助けて を知らせる",
    "ja-x-easy": "だいじょうぶ・けが・助（たす）けて を 知（し）らせる",
    "en": "Report: safe, hurt, help",
    "zh": "告知：平安、受伤、求救",
    "ko": "알리기: 무사·부상·구조 요청",
}
_STYLE = (
    "body{margin:0;font:1.15rem/1.6 sans-serif;color:#0c000c;background:#fff}"
    "section{padding:0 1rem 1rem;border-bottom:3px solid}p{margin:.6rem 0}h1,h2{font-size:1.5rem;line-height:1.3;margin:.8rem 0}"
    ".report{display:block;padding:.8rem 1rem;border:3px solid;font-weight:700;color:inherit}"
    ".level{margin:0 -1rem;padding:.6rem 1rem;font-weight:700}dt{font-weight:700}dd{margin:0 0 .4rem}"
)


def standing(alert: Alert[Any], mode: type[Mode]) -> tuple[Info, ...]:
    """What the alert asks of people now, each headline with its verb's mark.

    One that ends an order names no level and no shelter, or somebody would go there.
    """
    verb = verb_of(alert)
    over = {Added.LEVEL, Added.SHELTERS} if verb in ENDING else set()
    return tuple(
        replace(
            info,
            headline=marking.headline(info, verb, mode.banner(info.language)),
            parameter=tuple(p for p in info.parameter if p.value_name not in over),
        )
        for info in alert.info
    )


def plain(info: Info) -> str:
    """The same in plain text, which every receiver can show."""
    return "\n".join(filter(None, [info.headline or info.event, info.place, *_body(info), *_facts(info)])) + "\n"


def page(infos: Sequence[Info], *, has_form: bool = False) -> bytes:
    """All languages, the first one first. `has_form`: the station that shows it takes answers (multicast/phones.py)."""
    title = escape(infos[0].headline or infos[0].event)
    sections = "\n".join(
        _section(info, "h1" if number == 0 else "h2", has_form=has_form) for number, info in enumerate(infos)
    )
    return (
        f'<!doctype html>\n<html lang="{escape(infos[0].language)}"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">\n<title>{title}</title>'
        f"<style>{_STYLE}</style>\n<body><main>\n{sections}\n</main></body></html>\n"
    ).encode()


def _section(info: Info, heading: str, *, has_form: bool) -> str:
    level = ""
    if info.level:
        ground, ink = _COLOURS[info.level]
        word = "警戒レベル" if info.language.startswith("ja") else "Alert level "
        level = (
            f'<p class="level" style="background:{ground};color:{ink}">{_SHAPES[info.level]} {word}{info.level}'
            f" {escape(info.event)}</p>"
        )
    paragraphs = "".join(f"<p>{escape(line)}</p>" for line in (info.place, *_body(info)) if line)
    facts = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in _labelled(info))
    report = _report(info.language) if has_form else ""
    return (
        f'<section lang="{escape(info.language)}">{level}<{heading}>{escape(info.headline or info.event)}</{heading}>'
        f"{paragraphs}{report}<dl>{facts}</dl></section>"
    )


def _report(language: str) -> str:
    known = language_of(language, "en")
    return f'<p><a class="report" href="/report?lang={known}">{_REPORT[known]}</a></p>'


def _body(info: Info) -> Iterator[str]:
    for text in (marking.what_was_wrong(info), info.description, info.instruction):
        yield from (line for line in (text or "").splitlines() if line.strip())


def _facts(info: Info) -> Iterator[str]:
    separator = "：" if info.language.startswith("ja") else ": "
    yield from (f"{label}{separator}{value}" for label, value in _labelled(info))
    yield info.sender_name or ""


def _labelled(info: Info) -> Iterator[tuple[str, str]]:
    shelters, update, phone = in_language(_LABELS, info.language)
    if named := info.added(Added.SHELTERS):
        yield shelters, named
    if moment := info.added(Added.NEXT_UPDATE):
        yield update, f"{datetime.fromisoformat(moment):%H:%M}"
    if info.contact:
        yield phone, info.contact
