"""What a phone gets from the station itself, with the line to the city dead: the notices, and a form to say how one is.

    GET  /                     the notice that holds, or a list of them
    GET  /notices/{id}/{file}  a file of one, as it was verified
    GET  /report               the form
    POST /report               kept here, sealed to the city; it says "kept" when it is durable, and never "received"

No name resolution, no other server: a phone behind a captive portal has this and nothing else.

Source: RFC 8908 (captive portals); design.md §8.
"""

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from config.words import language_of
from multicast.forwarding import Forwarder
from multicast.phones_page import ANSWERS, LIMITS, Pages
from multicast.sealing import Sealer

BODY_BYTES: Final = 16_384
FIELDS: Final = 32
HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
)
_TYPES: Final = {".html": "text/html", ".txt": "text/plain", ".xml": "application/xml"}


class Phones:
    """The station's door for phones. `notices` gives the folders of those that hold."""

    def __init__(self, notices: Callable[[], Sequence[Path]], *, is_drill: bool) -> None:
        self._notices = notices
        self._pages = Pages(is_drill=is_drill)
        self._post: Post | None = None

    def application(self, post: "Post | None" = None) -> web.Application:
        """Without `post` there is no form."""
        self._post = post
        app = web.Application(client_max_size=BODY_BYTES + 1)
        app.add_routes([web.get("/", self._front), web.get("/notices/{notice}/{file}", self._file)])
        if post:
            app.add_routes([web.get("/report", self._form), web.post("/report", self._take)])
        return app

    async def _front(self, request: web.Request) -> web.Response:
        holding = self._notices()
        if len(holding) == 1:
            return await _shown(holding[0], "index.html")
        names = [folder.name for folder in holding]
        return _page(self._pages.notices(_language(request), names, has_form=self._post is not None))

    async def _file(self, request: web.Request) -> web.Response:
        found = next((folder for folder in self._notices() if folder.name == request.match_info["notice"]), None)
        if found is None:
            raise web.HTTPNotFound(headers=HEADERS)
        return await _shown(found, request.match_info["file"])

    async def _form(self, request: web.Request) -> web.Response:
        return self._ask(request, {})

    async def _take(self, request: web.Request) -> web.Response:
        assert self._post is not None
        fields = await _fields(request)
        if not fields.keys() & {"a", "name"}:
            return self._ask(request, {})
        t = self._pages.words[_language(request)]
        if wrong := [t[key] for key in _wrong(fields)]:
            return self._ask(request, fields, " ".join([t["fix"], *wrong]), 422)
        try:
            await self._post.take(fields)
        except OSError:
            return self._ask(request, fields, t["full"], 503)
        return _page(self._pages.kept(_language(request)))

    def _ask(self, request: web.Request, typed: Mapping[str, str], wrong: str = "", status: int = 200) -> web.Response:
        form = typed.get("form", "")[: LIMITS["form"]] or secrets.token_urlsafe(16)
        return _page(self._pages.form(_language(request), {**typed, "form": form}, wrong), status)


class Post:
    """Where a form goes: sealed, kept, handed over when there is a line."""

    def __init__(self, sealer: Sealer, forwarder: Forwarder, wall: Callable[[], float]) -> None:
        self._sealer = sealer
        self._forwarder = forwarder
        self._wall = wall

    async def take(self, fields: Mapping[str, str]) -> None:
        """Durable on return. The same form twice is one.

        Raises:
            OSError: the disk took nothing, or there is room for no more.
        """
        said = {name: fields[name] for name in (*LIMITS, "about", "a") if fields.get(name)}
        # The form's own random word is in it: without that, names could be tried out on the names of the files.
        key = hashlib.sha256(_json(said)).hexdigest()
        at = datetime.fromtimestamp(self._wall(), UTC).isoformat()
        await self._forwarder.keep(key, self._sealer.seal(_json({**said, "key": key, "at": at})))


@asynccontextmanager
async def serving(application: web.Application, host: str, port: int) -> AsyncIterator[tuple[str, int]]:
    """Serve it while inside; gives the address, with the port that was found where 0 was asked for.

    Raises:
        OSError: the address is taken or not this machine's.
    """
    runner = web.AppRunner(
        application,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=15.0,
        shutdown_timeout=2.0,
        auto_decompress=False,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][0], runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _wrong(fields: Mapping[str, str]) -> list[str]:
    """Keys of the words that say what has to be mended."""
    found = [] if fields.get("name", "").strip() else ["fix_name"]
    if any(len(fields.get(name, "")) > limit for name, limit in LIMITS.items()):
        found.append("fix_long")
    return found if fields.get("a") in ANSWERS else [*found, "fix_state"]


async def _shown(folder: Path, name: str) -> web.Response:
    path = folder / name
    if Path(name).name != name or name.startswith(".") or path.suffix not in _TYPES:
        raise web.HTTPNotFound(headers=HEADERS)
    try:
        body = await asyncio.to_thread(path.read_bytes)
    except OSError:
        raise web.HTTPNotFound(headers=HEADERS) from None
    return web.Response(body=body, content_type=_TYPES[path.suffix], charset="utf-8", headers=HEADERS)


def _page(html: str, status: int = 200) -> web.Response:
    return web.Response(status=status, text=html, content_type="text/html", charset="utf-8", headers=HEADERS)


async def _fields(request: web.Request) -> Mapping[str, str]:
    """A short form as it was typed, of a name that is there twice the first; empty for whatever is no such form."""
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    body = await request.read()
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS)
    except ValueError:
        return {}
    return {name: text.replace("\r\n", "\n") for name, text in reversed(pairs)}


def _language(request: web.Request) -> str:
    wanted = [part.partition(";")[0].strip() for part in request.headers.get("Accept-Language", "").split(",")[:8]]
    return language_of(request.query.get("lang", ""), *wanted)


def _json(said: Mapping[str, str]) -> bytes:
    return json.dumps(said, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")
