"""What each medium will show, read from its own rendering: the very bytes that will be handed over, and what can be measured.

Nothing here draws a medium again. A picture is shown as the picture, a page stands in a sandboxed frame, a text as it is; beside
it the weight of a post, how long a television page stands, how long a terminal speaks. What has not been saved yet is kept in
memory under its hash, so that a frame or a picture can ask for it.

Source: design.md §6 "render"; mockups `compose.html`; HTML Living Standard §4.8.5 (`sandbox`).
"""

import csv
import hashlib
import io
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from aiohttp import web

from config.words import language_name
from dispatcher.errors import Finding, NotFound
from dispatcher.model.rendering import Part, Rendering
from dispatcher.path import Prepared
from dispatcher.staff.console.room import Console
from dispatcher.staff.console.words import Words

KEPT_BYTES = 32_000_000
"""Of parts that can be asked for; a message has about half a megabyte, most of it television."""
POST_WEIGHT = 280
"""X's own limit for one post."""
READ_PER_S = {"ja": 5.0, "ja-x-easy": 4.0}
"""Characters that a terminal's voice says in a second: 300 a minute; slower where the words are meant to be easy."""
READ_PER_S_OTHERWISE = 14.0
"""Letters of English at 150 words a minute."""
SHOWN_AT_ONCE = 1
"""Pieces of a preview that stand open; the rest is folded."""
SANDBOX = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'self'"
PLAIN = "default-src 'none'; sandbox; frame-ancestors 'self'"
_LIVELY = re.compile(rb'<script\b[^>]*></script>\n?|<link rel="(?:icon|manifest)"[^>]*>\n?')
"""What a page of the site would run or fetch: here it may not, and a browser would complain of each."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing that a person meets: a post, a television page, a mail, a page of the site."""

    kind: str
    """`text`, `picture` or `page`."""
    label: str
    language: str
    words: str = ""
    heading: str = ""
    """What stands apart above the words: a subject."""
    source: str = ""
    """Where the bytes are, for a picture or a page."""
    measure: str = ""
    share: int | None = None
    """Of the limit, in percent."""


@dataclass(frozen=True, slots=True)
class Preview:
    kind: str
    title: str
    state: str
    """`done`, `retry` (to be looked at), `fail` (to be mended), `off` (nobody to reach)."""
    said: str
    measure: str
    pieces: tuple[Piece, ...]
    findings: tuple[Finding, ...]

    @property
    def first(self) -> tuple[Piece, ...]:
        return self.pieces[:SHOWN_AT_ONCE]

    @property
    def rest(self) -> tuple[Piece, ...]:
        return self.pieces[SHOWN_AT_ONCE:]


class Shown:
    """The parts of what was previewed last, each under the hash of its bytes: what did not change keeps its address."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, Part] = OrderedDict()
        self._size = 0

    def keep(self, part: Part) -> str:
        """Keep it for a while; returns where it can be asked for."""
        key = hashlib.sha256(part.media_type.encode() + b"\0" + part.data).hexdigest()
        if key not in self._kept:
            self._kept[key] = part
            self._size += len(part.data)
        self._kept.move_to_end(key)
        while self._size > self._most_bytes:
            self._size -= len(self._kept.popitem(last=False)[1].data)
        return f"/previews/{key}"

    def part(self, key: str) -> Part:
        """Raises NotFound: it was never shown, or so much was shown since that it is gone."""
        if key not in self._kept:
            raise NotFound(
                "この見え方はもう残っていません。もう一度「見え方を確かめる」を押してください (preview again)"
            )
        return self._kept[key]


SHOWN = web.AppKey("shown", Shown)


async def part(request: web.Request) -> web.Response:
    """One part of a rendering, shut in: it may run nothing and fetch nothing."""
    found = request.app[SHOWN].part(request.match_info["key"])
    is_page = found.media_type.startswith("text/html")
    is_picture = found.media_type in {"image/png", "image/jpeg"}
    headers = {
        "Content-Type": found.media_type if is_page or is_picture else "text/plain; charset=utf-8",
        "Content-Security-Policy": SANDBOX if is_page else PLAIN,
        "X-Frame-Options": "SAMEORIGIN",
        # Its address is the hash of what it is.
        "Cache-Control": "private, max-age=600, immutable",
    }
    return web.Response(body=_LIVELY.sub(b"", found.data) if is_page else found.data, headers=headers)


ROUTES = [web.get("/previews/{key:[0-9a-f]{64}}", part)]


def previews(console: Console, prepared: Prepared[Any], shown: Shown, t: Words) -> tuple[Preview, ...]:
    """One for each channel of the node, also for those that reach nobody there."""
    return tuple(_preview(kind, console, prepared, shown, t) for kind in console.path.channels)


def _preview(kind: str, console: Console, prepared: Prepared[Any], shown: Shown, t: Words) -> Preview:
    rendering = prepared.renderings.get(kind)
    if rendering is None:
        said = t("この区域には宛先がありません", "nobody to reach in this area")
        return Preview(kind, t(*console.titles(kind)), "off", said, "", (), ())
    pieces = tuple(_pieces(kind, rendering, shown, t))
    blocking = [f for f in rendering.findings if f.blocks]
    measure, said = _SAID.get(kind, _said)(rendering, pieces, t)
    state = "done"
    if rendering.findings:
        state = "fail" if blocking else "retry"
        said = t("直すと送れます", "mend it to send") if blocking else t("確かめてください", "please check")
    return Preview(kind, t(*console.titles(kind)), state, said, measure, pieces, rendering.findings)


# -- pieces, by what they are made of --------------------------------------------------------------------------------


def _pieces(kind: str, rendering: Rendering[Any], shown: Shown, t: Words) -> Iterator[Piece]:
    special = _PIECES.get(kind)
    if special is not None:
        yield from special(rendering, shown, t)
        return
    pages = [p for p in rendering.parts if p.media_type.startswith("text/html")]
    for page in pages:
        language = _language_of(page)
        yield Piece("page", language_name(language), language, source=shown.keep(page), measure=_size(page))
    if not pages:
        for text in rendering.texts:
            yield Piece("text", language_name(text.language), text.language, words=text.words)


def _posts(rendering: Rendering[Any], shown: Shown, t: Words) -> Iterator[Piece]:
    del shown
    posts = json.loads(rendering.part("thread.json"))["posts"]
    for number, post in enumerate(posts, 1):
        weight = int(post["weight"])
        yield Piece(
            "text",
            f"{number}/{len(posts)}",
            post["language"],
            words=post["text"],
            measure=t(
                f"重み {weight} / {POST_WEIGHT}　残り {POST_WEIGHT - weight}",
                f"weight {weight} / {POST_WEIGHT}, {POST_WEIGHT - weight} left",
            ),
            share=min(100, round(100 * weight / POST_WEIGHT)),
        )


def _television(rendering: Rendering[Any], shown: Shown, t: Words) -> Iterator[Piece]:
    rows = list(csv.DictReader(io.StringIO(rendering.part("pages.csv").decode())))
    named = {part.name: part for part in rendering.parts}
    for number, row in enumerate(rows, 1):
        form = t("L字画面", "L-shape") if row["kind"] == "lshape" else t("全画面", "full screen")
        yield Piece(
            "picture",
            f"{form} {number} / {len(rows)}",
            row["language"],
            words=f"{row['head']}\n{row['text']}",
            source=shown.keep(named[row["image"]]),
            measure=t(f"{row['dwell_seconds']}秒 × {row['loops']}回", f"{row['dwell_seconds']} s × {row['loops']}"),
        )


def _mails(rendering: Rendering[Any], shown: Shown, t: Words) -> Iterator[Piece]:
    del shown
    sizes = {part.name: part for part in rendering.parts}
    for text in rendering.texts:
        subject, _, body = text.words.partition("\n")
        mail = sizes.get(f"mail-{text.language}.eml")
        yield Piece(
            "text",
            language_name(text.language),
            text.language,
            words=body,
            heading=t(f"件名：{subject}", f"Subject: {subject}"),
            measure=t(f"件名 {len(subject)}字", f"subject {len(subject)} characters")
            + (f"・{_size(mail)}" if mail else ""),
        )


def _spoken(rendering: Rendering[Any], shown: Shown, t: Words) -> Iterator[Piece]:
    del shown
    for text in rendering.texts:
        seconds = seconds_to_read(text.words, text.language)
        measure = t(f"読み上げ およそ{seconds}秒", f"about {seconds} s to read aloud")
        yield Piece("text", language_name(text.language), text.language, words=text.words, measure=measure)


_PIECES: Mapping[str, Callable[[Rendering[Any], Shown, Words], Iterator[Piece]]] = MappingProxyType(
    {"social": _posts, "cable_tv": _television, "email_list": _mails, "ip_terminal": _spoken}
)


def seconds_to_read(text: str, language: str) -> int:
    """How long a voice takes for it, in whole seconds; spaces and marks are not said."""
    said = len(re.sub(r"[\W_]", "", text))
    return max(1, round(said / READ_PER_S.get(language, READ_PER_S_OTHERWISE)))


# -- one line for each medium ----------------------------------------------------------------------------------------


def _said(rendering: Rendering[Any], pieces: Sequence[Piece], t: Words) -> tuple[str, str]:
    """Measure and state, where nothing better is known."""
    size = sum(len(p.data) for p in rendering.parts)
    count = len({text.language for text in rendering.texts} or pieces)
    return f"{size / 1000:.1f} KB", t(f"{count}言語", f"{count} languages")


def _said_posts(_: Rendering[Any], pieces: Sequence[Piece], t: Words) -> tuple[str, str]:
    if len(pieces) == 1:
        return pieces[0].measure, t("1投稿に収まります", "fits one post")
    return "", t(f"{len(pieces)}投稿に分かれます", f"a thread of {len(pieces)} posts")


def _said_television(rendering: Rendering[Any], pieces: Sequence[Piece], t: Words) -> tuple[str, str]:
    rows = csv.DictReader(io.StringIO(rendering.part("pages.csv").decode()))
    loop_s = sum(float(row["dwell_seconds"]) for row in rows)
    return t(f"ひと回り {loop_s:.0f}秒", f"one loop {loop_s:.0f} s"), t(f"{len(pieces)}画面", f"{len(pieces)} pages")


def _said_mails(_: Rendering[Any], pieces: Sequence[Piece], t: Words) -> tuple[str, str]:
    return pieces[0].measure if pieces else "", t("送れます", "ready")


def _said_spoken(_: Rendering[Any], pieces: Sequence[Piece], t: Words) -> tuple[str, str]:
    return pieces[0].measure if pieces else "", t("読み上げられます", "can be read aloud")


_SAID: Mapping[str, Callable[[Rendering[Any], Sequence[Piece], Words], tuple[str, str]]] = MappingProxyType(
    {"social": _said_posts, "cable_tv": _said_television, "email_list": _said_mails, "ip_terminal": _said_spoken}
)


def _size(found: Part) -> str:
    return f"{len(found.data) / 1000:.1f} KB"


def _language_of(page: Part) -> str:
    """The language that a page declares."""
    found = re.search(rb'<html[^>]* lang="([A-Za-z0-9-]{1,20})"', page.data[:2000])
    return found[1].decode() if found else "ja"
