"""Every refusal: as a page that loses nothing typed, and, where somebody tried what they may not, as an event that the board shows.

Source: design.md §9; RFC 9110 §15.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from aiohttp import web

from dispatcher.errors import Finding, InvalidInput, TodokeError
from dispatcher.ledger import Event
from dispatcher.listening import remote_of
from dispatcher.log import logger
from dispatcher.pages import TemplateError
from dispatcher.staff.console.frame import render
from dispatcher.staff.console.posted import Held, limit_bytes
from dispatcher.staff.console.room import CONSOLE, SITTING, words
from dispatcher.staff.console.visitor import token_of

AUDIT_EVERY_S = 10.0
AUDITED_PLACES = 1024
DAY_S = 86_400.0

log = logger("dispatcher.staff.console")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except TodokeError as error:
        return await refused(request, error)
    except web.HTTPException as error:
        if error.status < 400:
            return web.Response(status=error.status, headers={"Location": error.headers.get("Location", "/")})
        t, most_mb = words(request), limit_bytes(request) // 1_000_000
        said = {
            404: t("そのページはありません。", "There is no such page."),
            408: t("届きませんでした。もう一度送ってください。", "It did not arrive. Send it again."),
            413: t(f"大きすぎます。{most_mb} MB までです。", f"Too large: {most_mb} MB at most."),
        }
        response = await _refusal(request, error.status, said.get(error.status, error.reason), ())
        response.headers.update({k: v for k, v in error.headers.items() if k == "Allow"})
        return response
    except ConnectionError:
        # Whoever asked went on to something else while they were asking: nobody is there to be answered.
        return web.Response(status=400)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        OSError,
        RuntimeError,
        TemplateError,
        TypeError,
        ValueError,
    ) as error:
        log.exception("listener.failed", listener="console", reason=type(error).__name__)
        t = words(request)
        said_so = t(
            "内部の誤りです。記録しました。何も送っていません。",
            "An internal error. It was recorded; nothing was sent.",
        )
        return await _refusal(request, 500, said_so, ())


async def refused(request: web.Request, error: TodokeError) -> web.Response:
    """The page of a refusal: every finding, and what was typed, ready to be sent again."""
    findings = error.findings if isinstance(error, InvalidInput) else ()
    return await _refusal(request, error.http_status, str(error), findings)


async def _refusal(request: web.Request, status: int, reason: str, findings: Sequence[Finding]) -> web.Response:
    if wants_data(request):
        return web.json_response(
            {"error": reason, "findings": [[f.where, f.reason] for f in findings]},
            status=status,
            dumps=lambda body: json.dumps(body, ensure_ascii=False),
        )
    is_whole = request.method == "POST" and request.body_exists and status != HTTPStatus.REQUEST_TIMEOUT
    held = await Held.of(request) if is_whole else None
    return await render(
        request, "refused.html", status=status, code=status, reason=reason, findings=findings, held=held
    )


def wants_data(request: web.Request) -> bool:
    """Asked by a script of ours and not by a person's own navigation."""
    accepted = request.headers.get("Accept", "")
    return "application/json" in accepted or "text/event-stream" in accepted


class Sparing:
    """Lets the first refusal of a kind and place through, then one in `AUDIT_EVERY_S`: a flood must not fill the chain."""

    def __init__(self) -> None:
        self._last_s: OrderedDict[tuple[str, str], float] = OrderedDict()

    def is_due(self, kind: str, place: str, now_s: float, every_s: float = AUDIT_EVERY_S) -> bool:
        last_s = self._last_s.get((kind, place))
        if last_s is not None and now_s - last_s < every_s:
            return False
        self._last_s[kind, place] = now_s
        self._last_s.move_to_end((kind, place))
        if len(self._last_s) > AUDITED_PLACES:
            self._last_s.popitem(last=False)
        return True


SPARING = web.AppKey("sparing", Sparing)


async def audit(request: web.Request, what: str, because: str) -> None:
    """Write a refused attempt down; the board shows it."""
    console, remote = request.app[CONSOLE], remote_of(request)[:64]
    if not request.app[SPARING].is_due(what, remote, console.clock.monotonic()):
        return
    who = request.get(SITTING)
    facts = {
        "what": what,
        "because": because,
        "path": request.path[:200],
        "remote": remote,
        "by": who.person.name if who else "",
    }
    await console.path.ledger.append(Event("console.refused", "", facts))


async def audit_ended(request: web.Request) -> None:
    """A cookie that opens nothing: replayed, guessed, or of a page that was left open, which asks again and again."""
    token = token_of(request)
    digest, now_s = hashlib.sha256(token.encode()).hexdigest(), request.app[CONSOLE].clock.monotonic()
    if token and request.app[SPARING].is_due("token", digest, now_s, every_s=DAY_S):
        await audit(request, "ended session", "")
