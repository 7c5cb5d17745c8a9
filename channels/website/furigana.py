"""A page of やさしい日本語 with readings over its words, as `<ruby>`; where ruby is not drawn they stand in brackets.

Only text that people read is touched: no tag, no attribute, no style, no title, and nothing that is marked as another language.

Source: HTML Standard §4.5.10; config/furigana.py.
"""

import re
from functools import cache
from html import escape, unescape

from config.city import City
from config.furigana import Furigana

_TAG = re.compile(r"(<!--.*?-->|<[^>]*>)", re.DOTALL)
_NAME = re.compile(r"<(/?)([a-z0-9]+)")
_LANGUAGE = re.compile(r'\slang="([^"]*)"')
_QUIET = frozenset({"style", "script", "title", "text", "ruby"})
"""Elements whose words are left alone; `text` is SVG's, which has no ruby."""
_VOID = frozenset({"meta", "link", "br", "path", "circle"})


def with_furigana(page: bytes, city: City) -> bytes:
    """The page, which we made ourselves: every `<` in it begins a tag, and what is opened is closed."""
    furigana = _readings(city)
    written: list[str] = []
    quiet: list[str] = []
    """The open elements from the outermost quiet one on; none while words may have readings."""
    for piece in _TAG.split(page.decode()):
        if piece.startswith("<"):
            _follow(piece, quiet)
            written.append(piece)
        else:
            written.append(piece if quiet or not piece.strip() else _over(unescape(piece), furigana))
    return "".join(written).encode()


def _follow(tag: str, quiet: list[str]) -> None:
    found = _NAME.match(tag)
    if found is None or found[2] in _VOID:
        return
    closes, name = found[1], found[2]
    if closes:
        # What has no closing tag of its own within (a `<p>` before a `<p>`) ends with what holds it.
        if name in quiet:
            while quiet.pop() != name:
                pass
        return
    language = _LANGUAGE.search(tag)
    is_foreign = language is not None and language[1] != "ja-x-easy"
    if quiet or is_foreign or name in _QUIET:
        quiet.append(name)


@cache
def _readings(city: City) -> Furigana:
    return Furigana(city)


def _over(text: str, furigana: Furigana) -> str:
    return "".join(
        f"<ruby>{escape(p.words)}<rp>（</rp><rt>{escape(p.reading)}</rt><rp>）</rp></ruby>"
        if p.reading
        else escape(p.words)
        for p in furigana.over(text)
    )
