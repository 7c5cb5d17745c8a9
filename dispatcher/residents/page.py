"""The answering pages: a template in one of five languages, with readings over やさしい日本語 and the drill's mark on each.

A page that is the same for everybody is made once and kept packed: while a city answers, a page costs a look into a table.

Source: mockups `answer.html`; HTML Standard §4.5.10 (ruby); WCAG 2.2 §3.1.2, §3.3; RFC 9110 §12.5.3, §12.5.4 (Accept-Language).
"""

import gzip
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from config.city import City
from config.furigana import Furigana
from config.words import LANGUAGES, language_of, read_words
from dispatcher.model.mode import Mode
from dispatcher.model.typed import LIMITS
from dispatcher.pages import Markup, environment
from dispatcher.residents import HEADERS
from dispatcher.residents.prerendered import WRITE_BYTES, Prerendered, may_be_given

KEPT_PAGES = 4096
_HERE = Path(__file__).parent
_READING = re.compile(r"（[ぁ-んー ]+）")
_TELEPHONE = Markup('<a class="tel" href="tel:{}">{}</a>')
_RUBY = Markup("<ruby>{}<rp>（</rp><rt>{}</rt><rp>）</rp></ruby>")
EMERGENCY = "119"


def named(names: Mapping[str, str], language: str) -> str:
    """A place in this language; where the gazetteer has none, in Chinese as it is written here, else romanised."""
    spoken = {code.partition("-")[0]: name for code, name in names.items() if code != "ja-x-easy"}
    return (
        names.get(language) or spoken.get(language) or (spoken.get("en", "") if language == "ko" else "") or names["ja"]
    )


class Said:
    """The words of one language; pages are handed one as `t`."""

    def __init__(self, language: str, texts: Mapping[str, str], furigana: Furigana) -> None:
        self.language = language
        self._texts = texts
        self._furigana = furigana

    def __call__(self, key: str, **fill: object) -> Markup:
        """The text of this key, with readings over it; what fills it in is escaped."""
        return self.over(self._texts[key]).format(**fill)

    def plain(self, key: str, **fill: object) -> str:
        """As it stands in a title or an attribute: without readings."""
        return _READING.sub("", self._texts[key].format(**fill))

    def over(self, text: str) -> Markup:
        """Any text of ours: escaped, with readings where this language has them."""
        if self.language != "ja-x-easy":
            return Markup.escape(text)
        pieces = self._furigana.over(text)
        return Markup().join(_RUBY.format(p.words, p.reading) if p.reading else Markup.escape(p.words) for p in pieces)

    def telephone(self, number: str) -> Markup:
        """A number that a phone can be tapped to call."""
        return _TELEPHONE.format(re.sub(r"[^0-9+]", "", number), number)


_PLAIN = {"Content-Type": "text/html; charset=utf-8", "Vary": "Accept-Encoding"}
_PACKED = _PLAIN | {"Content-Encoding": "gzip"}


class Made:
    """A page, as it is and packed, each ready to be sent."""

    __slots__ = ("_packed", "_plain")

    def __init__(self, html: str) -> None:
        plain = html.encode()
        self._plain = _Sent(_PLAIN, plain)
        self._packed = _Sent(_PACKED, gzip.compress(plain, compresslevel=6, mtime=0))

    def answer(self, request: web.Request, status: int = 200) -> web.Response:
        """As this browser takes it."""
        is_packed = "gzip" in request.headers.get("Accept-Encoding", "")
        return (self._packed if is_packed else self._plain).answer(request, status)


class _Sent:
    """The bytes of a page in one encoding; its whole answer is made when it is first given."""

    __slots__ = ("_body", "_headers", "_whole")

    def __init__(self, headers: Mapping[str, str], body: bytes) -> None:
        self._headers = headers
        self._body = body
        self._whole: Prerendered | None = None

    def answer(self, request: web.Request, status: int) -> web.Response:
        if status != 200 or len(self._body) > WRITE_BYTES or not may_be_given(request):
            return web.Response(status=status, body=self._body, headers=self._headers)
        if self._whole is None:
            self._whole = Prerendered({**self._headers, **HEADERS}, self._body)
        return self._whole


class Pages:
    """The pages of one city in one mode."""

    def __init__(self, city: City, mode: type[Mode], *more: str) -> None:
        """`more`: files of words beside those that all pages share."""
        self.city = city
        self._mode = mode
        furigana = Furigana(city)
        files = [read_words(_HERE / name) for name in ("words.yaml", *more)]
        self._said = {
            language: Said(language, {key: text for words in files for key, text in words[language].items()}, furigana)
            for language in LANGUAGES
        }
        self._templates = environment(_HERE / "pages")
        self._kept: OrderedDict[tuple[object, ...], Made] = OrderedDict()

    def language(self, request: web.Request, *otherwise: str) -> str:
        """What the address says (?lang=), else whose page it is, else what the browser would like, else Japanese."""
        wanted = [part.partition(";")[0].strip() for part in request.headers.get("Accept-Language", "").split(",")[:8]]
        return language_of(request.query.get("lang", ""), *otherwise, *wanted)

    def in_language(self, language: str) -> Said:
        return self._said[language]

    def make(self, template: str, language: str, **values: Any) -> Made:
        """A page for one person, kept nowhere."""
        t = self._said[language]
        return Made(
            self._templates.get_template(template).render(
                t=t,
                lang=language,
                languages=LANGUAGES,
                city=t.over(named(self.city.names, language)),
                contact=t.telephone(self.city.contact),
                emergency=t.telephone(EMERGENCY),
                banner=self._mode.banner(language).strip(),
                **{"typed": {}, "fixes": {}, "limits": LIMITS} | values,
            )
        )

    def keep(self, template: str, language: str, **values: Any) -> Made:
        """A page that is the same for whoever has these values; they name it, so each must be hashable."""
        key = (template, language, *sorted(values.items()))
        made = self._kept.get(key)
        if made is None:
            self._kept[key] = made = self.make(template, language, **values)
            if len(self._kept) > KEPT_PAGES:
                self._kept.popitem(last=False)
        return made
