"""The station's own pages as HTML: no script, nothing fetched, five languages, readings over やさしい日本語, the drill's mark.

Source: mockups `answer.html`; HTML Standard §4.5.10 (ruby); WCAG 2.2 §1.3.1, §3.3.1.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Final

from config.words import LANGUAGES, read_words

LIMITS: Final[Mapping[str, int]] = MappingProxyType(
    {"name": 60, "birth": 40, "phone": 40, "quarter": 40, "where": 100, "note": 300, "form": 64}
)
"""Characters at most, by field."""
ABOUT: Final = ("self", "seen", "heard")
ANSWERS: Final = ("ok", "hurt", "help")

_HERE: Final = Path(__file__).parent
_STYLE: Final = (_HERE / "phones.css").read_text(encoding="utf-8")
_EMERGENCY: Final = '<a href="tel:119">119</a>'
_READING: Final = re.compile(r"([一-鿿々]+)（([ぁ-ん]+)）")
_RUBY: Final = r"<ruby>\1<rp>（</rp><rt>\2</rt><rp>）</rp></ruby>"


class Pages:
    """The pages of a station whose notices are of this mode."""

    def __init__(self, *, is_drill: bool) -> None:
        self._is_drill = is_drill
        self.words = read_words(_HERE / "words.yaml")

    def notices(self, language: str, names: Sequence[str], *, has_form: bool) -> str:
        """What holds, to choose from."""
        t = self.words[language]
        lines = [_link(f"/notices/{name}/index.html", name) for name in names] or [_p(t["none"])]
        if has_form:
            lines.append(_link(f"/report?lang={language}", t["title"]))
        return self._page(language, "notices", lines)

    def form(self, language: str, typed: Mapping[str, str], wrong: str = "") -> str:
        """The form with what was typed; `wrong` says what has to be mended."""
        t = self.words[language]
        about = typed["about"] if typed.get("about") in ABOUT else "self"
        return self._page(
            language,
            "title",
            [
                f'<p class="fix" role="alert">{_over(wrong)}</p>' if wrong else _p(t["hint"]),
                _call(t["emergency"]),
                f'<form method="post"><input type="hidden" name="form" value="{escape(typed["form"])}">',
                f"<fieldset><legend>{_over(t['who'])}</legend>",
                *(_choice(value, t[value], is_chosen=value == about) for value in ABOUT),
                "</fieldset>",
                *(_input(name, t[name], typed) for name in ("name", "birth", "phone", "quarter", "where")),
                f'<label for="note">{_over(t["note"])}</label>',
                f'<textarea id="note" name="note" rows="3" maxlength="{LIMITS["note"]}">',
                f"{escape(typed.get('note', ''))}</textarea><h2>{_over(t['state'])}</h2>",
                *(
                    f'<button class="{answer}" name="a" value="{answer}">{_over(t[answer])}</button>'
                    for answer in ANSWERS
                ),
                "</form>",
            ],
        )

    def kept(self, language: str) -> str:
        t = self.words[language]
        return self._page(language, "kept", [_call(t["emergency"]), _p(t["kept_then"]), _link("/", t["notices"])])

    def _page(self, language: str, title: str, body: Sequence[str]) -> str:
        words = self.words[language]
        mark = words["drill"] if self._is_drill else ""
        plain = escape(_READING.sub(r"\1", words[title]))
        lines = [
            f'<!doctype html>\n<html lang="{language}"><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{mark}{plain}</title><style>{_STYLE}</style><body>",
            f'<header class="drill">{mark}</header>' if mark else "",
            '<nav aria-label="Language">',
            *(_language(code, name, is_here=code == language) for code, name in LANGUAGES.items()),
            f"</nav><main><h1>{_over(words[title])}</h1>",
            *body,
            "</main></body></html>\n",
        ]
        return "".join(lines)


def _language(code: str, name: str, *, is_here: bool) -> str:
    return f'<a lang="{code}" href="?lang={code}"{_if(is_here, " aria-current=page")}>{name}</a>'


def _choice(value: str, words: str, *, is_chosen: bool) -> str:
    chosen = _if(is_chosen, " checked")
    return f'<label><input type="radio" name="about" value="{value}"{chosen}><span>{_over(words)}</span></label>'


def _input(name: str, words: str, typed: Mapping[str, str]) -> str:
    kind = "tel" if name == "phone" else "text"
    needed = _if(name == "name", " required")
    return (
        f'<label for="{name}">{_over(words)}</label><input type="{kind}" id="{name}" name="{name}" autocomplete="off" '
        f'maxlength="{LIMITS[name]}" value="{escape(typed.get(name, ""))}"{needed}>'
    )


def _p(words: str, kind: str = "") -> str:
    return f'<p class="{kind}">{_over(words)}</p>' if kind else f"<p>{_over(words)}</p>"


def _call(words: str) -> str:
    return f'<p class="call">{_over(words).replace("119", _EMERGENCY)}</p>'


def _link(where: str, words: str) -> str:
    return f'<p><a href="{escape(where)}">{_over(words)}</a></p>'


def _if(holds: bool, attribute: str) -> str:  # noqa: FBT001 - reads as it is meant
    return attribute if holds else ""


def _over(text: str) -> str:
    """Escaped, with readings over the words that bring one."""
    return _READING.sub(_RUBY, escape(text))
