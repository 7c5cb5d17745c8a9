"""The frame of every page: who sits here, in which language, under which strip; and the one way to answer with a page.

A page is a Jinja2 template in `pages/` that extends `frame.html`. It is handed `t` (words.py), `sitting` (who; None before
sign-in), `seal` (the hidden field that every form must carry), `now`, `console`, and what its handler adds. Nothing is inline:
the content security policy lets no style and no script in but our own files.

Source: design.md §9; mockups README; WCAG 2.2 §2.2.1, §2.4.1, §2.5.8, §3.2.
"""

import gzip
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web

from config.by_hand import systems
from config.ladders import cohorts
from dispatcher.pages import Environment, Markup, environment
from dispatcher.staff.console.attention import WATCH, attention
from dispatcher.staff.console.posted import is_local
from dispatcher.staff.console.room import CONSOLE, LANGUAGE, SEAL, SITTING, Console, Sitting, sitting, words
from dispatcher.staff.console.words import LANGUAGES, LEVELS, MODES, ROLES, Words
from dispatcher.staff.rules import WORDS as ACTS

__all__ = [
    "CONSOLE",
    "LANGUAGE",
    "SEAL",
    "SITTING",
    "Console",
    "Sitting",
    "fragment",
    "render",
    "sealed",
    "sitting",
    "words",
]

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".png": "image/png"}

NAVIGATION: Sequence[tuple[str, str, str]] = (
    ("/", "状況板", "Board"),
    ("/compose", "作成", "Compose"),
    ("/areas", "区域", "Areas"),
    ("/approve", "承認", "Approve"),
    ("/alerts", "配信板", "Delivery"),
    ("/safety", "安否", "Safety"),
    ("/shelters", "避難所", "Shelters"),
    ("/progress", "経過", "Log"),
    ("/admin", "管理", "Admin"),
)


async def render(request: web.Request, page: str, /, *, status: int = 200, **values: Any) -> web.Response:
    """A page of `pages/` with what the frame needs and `values`."""
    console = request.app[CONSOLE]
    who = request.get(SITTING)
    t = words(request)
    seal = Markup('<input type="hidden" name="{}" value="{}">').format(SEAL, who.csrf) if who else Markup()
    html = (
        _pages()
        .get_template(page)
        .render(
            console=console,
            t=t,
            lang=t.language,
            sitting=who,
            seal=seal,
            now=console.clock.now(),
            strip=_strip(console, t),
            navigation=[(path, t(ja, en)) for path, ja, en in NAVIGATION if _leads_somewhere(request, path)],
            here=request.path,
            otherwise=_otherwise(request, t),
            attention=await attention(request.app[WATCH], who.person, t) if who else None,
            **values,
        )
    )
    return packed(request, html.encode(), "text/html; charset=utf-8", status)


def _otherwise(request: web.Request, t: Words) -> str:
    """This page in the other language; where it was posted to, the front page."""
    here = str(request.rel_url.update_query(lang=t("en", "ja")))
    return here if request.method == "GET" and is_local(here) else t("/?lang=en", "/?lang=ja")


def sealed(who: Sitting) -> Markup:
    """The hidden field by which a form is known to be this session's."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(SEAL, who.csrf)


def fragment(console: Console, page: str, t: Words, /, *, seal: str = "", **values: Any) -> str:
    """A piece of a page, as the page itself includes it: what is sent when it has changed. One for many bears no seal."""
    # In whole minutes, so that a piece in which only time has passed is the same piece.
    now = console.clock.now().replace(second=0, microsecond=0)
    html: str = _pages().get_template(page).render(console=console, t=t, now=now, seal=seal, sitting=None, **values)
    return html


@cache
def _pages() -> Environment:
    made = environment(_HERE / "pages")
    made.tests["counted_by"] = lambda kind, console: console.counts(kind)
    made.globals |= {"asset": asset, "LEVELS": LEVELS, "ROLES": ROLES, "SEAL": SEAL, "ACTS": ACTS, "SYSTEMS": systems()}
    made.globals["COHORTS"] = {language: cohorts(language) for language in LANGUAGES}
    return made


def packed(request: web.Request, body: bytes, media_type: str, status: int = 200) -> web.Response:
    """An answer, zipped where the browser takes it: a tablet on a poor link.

    A page bears the form's seal, which a stranger could guess from zipped lengths if they could make this browser ask with its
    cookie; SameSite=Strict is what keeps them from that.
    """
    response = web.Response(status=status, headers={"Content-Type": media_type, "Vary": "Accept-Encoding, Cookie"})
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        body = gzip.compress(body, compresslevel=5, mtime=0)
        response.headers["Content-Encoding"] = "gzip"
    response.body = body
    return response


def _strip(console: Console, t: Words) -> Mapping[str, str]:
    name = "halt" if console.desk.halted else console.mode
    ja, en, sentence, sentence_en = MODES[name]
    return {"name": name, "word": t(ja, en), "sentence": t(sentence, sentence_en), "mode": console.mode}


def _leads_somewhere(request: web.Request, path: str) -> bool:
    return any(resource.canonical == path for resource in request.app.router.resources())


@dataclass(frozen=True, slots=True)
class _Asset:
    plain: bytes
    zipped: bytes
    media_type: str
    tag: str


def _assets() -> Mapping[str, _Asset]:
    found = {}
    for file in sorted((_HERE / "static").iterdir()):
        plain = file.read_bytes()
        zipped = gzip.compress(plain, compresslevel=9, mtime=0)
        found[file.name] = _Asset(plain, zipped, _TYPES[file.suffix], hashlib.sha256(plain).hexdigest()[:12])
    return found


ASSETS = _assets()


def asset(name: str) -> str:
    """Where a file of `static/` stands; the address changes with its content, so a browser may keep it for ever."""
    return f"/static/{ASSETS[name].tag}/{name}"


async def static(request: web.Request) -> web.Response:
    """One file of `static/`, to anybody: there is nothing of anybody's in it."""
    found = ASSETS.get(request.match_info["name"])
    if found is None or found.tag != request.match_info["tag"]:
        raise web.HTTPNotFound
    is_zipped = "gzip" in request.headers.get("Accept-Encoding", "")
    headers = {
        "Content-Type": found.media_type,
        "Cache-Control": "public, max-age=31536000, immutable",
        "Vary": "Accept-Encoding",
        **({"Content-Encoding": "gzip"} if is_zipped else {}),
    }
    return web.Response(body=found.zipped if is_zipped else found.plain, headers=headers)
