"""What residents reach over HTTP: the rooms that answer, and behind them the site's files, on one listener of its own.

    /a/{token}          their answer (reply.py)              /mail, /m/{token}   registered mail (registration.py)
    /report             of somebody by name (report.py),     /s/{token}          a shelter says what it is (shelters.py)
                        or whom to call (unasked.py)         /live               an open page follows (live.py)
    /k/{token}          a facility's 確認 (acknowledge.py)    /push/…             a device is told (push.py, webpush.py)
    all else            the site, prerendered (bulletin.py)

A room gives its routes; what holds for all of them is done here once: small bodies, headers that let no token out, and an
answer in words when something of ours fails, with 119 on it, because somebody may be in need of help just then.

Source: design.md §8, §9; W3C Referrer Policy; CSP 3; RFC 9110 §10.2.3 (Retry-After), §15.5.14.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from aiohttp import web

from dispatcher.errors import StorageFull, Throttled
from dispatcher.ledger import AWAY_S, Ledger
from dispatcher.log import logger
from dispatcher.residents.bulletin import serve

BODY_BYTES = 16_384
"""Of a form; the longest answer with all its words is a quarter of it."""
BODY_S = 20.0
"""In which all of a form has to come, over the slowest line."""
FULL_RETRY_S = 10
AWAY: web.AppKey[Callable[[], float]] = web.AppKey("AWAY")
"""For how long the ledger has been out of reach."""

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": (
            "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
            "frame-ancestors 'none'"
        ),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex",
        # The address of the page is the token.
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
)
"""On every answer of a room, unless the room said otherwise."""

log = logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_TROUBLE = """<!doctype html>
<html lang="ja">
<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title}</title>
<body style="font:1.125rem/1.6 sans-serif;margin:2rem auto;max-width:42rem;padding:0 1rem">
<h1>{title}</h1>
<p>{ja}</p>
<p lang="en">{en}</p>
<p><b>けが・火事・閉じこめのときは <a href="tel:119">119</a> へ。</b> <span lang="en">Injury, fire, trapped: call 119.</span></p>
</body>
</html>
"""


def application(
    routes: Iterable[web.AbstractRouteDef], folder: Path | None, ledger: Ledger | None = None
) -> web.Application:
    """The rooms' routes first, the site's files for all that no room knows; None: this node has no site.

    `ledger`: what the rooms write to. While it is out of reach they say so, and the site stays as it is.
    """
    # aiohttp refuses above its limit and not at it.
    residents = web.Application(client_max_size=BODY_BYTES + 1, middlewares=[_guarded])
    residents[AWAY] = ledger.away_for_s if ledger else lambda: 0.0
    residents.add_routes(routes)
    if folder is not None:
        serve(folder, residents)
    return residents


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    response: web.StreamResponse
    try:
        if _asks_the_ledger(request) and request.app[AWAY]() > AWAY_S:
            response = _later()
        elif await _came(request):
            response = await handler(request)
        else:
            response = trouble(
                408, "届きませんでした", "もう一度送ってください。", "Not received. Please send it again."
            )
            response.force_close()
    except web.HTTPRequestEntityTooLarge:
        response = trouble(413, "長すぎます", "短くして、もう一度送ってください。", "Too long. Please shorten it.")
    except web.HTTPException as known:
        known.headers.update({name: value for name, value in HEADERS.items() if name not in known.headers})
        raise
    except Throttled as busy:
        response = trouble(
            429,
            "少し待ってください",
            f"{busy.retry_after_s:.0f}秒たってから、もう一度開いてください。",
            f"Please try again in {busy.retry_after_s:.0f} seconds.",
        )
        response.headers["Retry-After"] = f"{busy.retry_after_s:.0f}"
    except StorageFull:
        response = _later()
    except Exception as mistake:  # noqa: BLE001 - whatever it is, a resident gets words
        log.error("residents.failed", reason=_where(mistake))  # noqa: TRY400 - a trace quotes what was typed
        response = _later()
    if not response.prepared:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
    return response


def _asks_the_ledger(request: web.Request) -> bool:
    return request.method == "POST" or "token" in request.match_info


async def _came(request: web.Request) -> bool:
    """Whether all that was announced came in time; it is kept with the request, so reading it again waits for nothing."""
    try:
        async with asyncio.timeout(BODY_S):
            await request.read()
    except TimeoutError:
        return False
    return True


def trouble(status: int, title: str, ja: str, en: str) -> web.Response:
    """A page for what went wrong, in words; nothing of it depends on who asked."""
    text = _TROUBLE.format(title=title, ja=ja, en=en)
    return web.Response(status=status, text=text, content_type="text/html", charset="utf-8")


def _where(mistake: Exception) -> str:
    """What failed, and at which line of ours; without its words, which may hold what was typed."""
    place = traceback.extract_tb(mistake.__traceback__)[-1]
    return f"{type(mistake).__name__} at {Path(place.filename).name}:{place.lineno}"


def _later() -> web.Response:
    response = trouble(
        503,
        "いま受け付けられません",
        "まだ届いていません。しばらくして、もう一度送ってください。",
        "Not received. Please send it again in a moment.",
    )
    response.headers["Retry-After"] = str(FULL_RETRY_S)
    return response
