"""Who may come in, and what leaves: sessions, forged forms, headers, and every refusal as a page that loses nothing typed.

    headers ─ on every answer: no script, style, frame or form target but our own; nothing is stored
    errors  ─ a rule said no: a page with the reason, and what was typed in it, ready to be sent again
    session ─ cookie → person; a POST must come from our own pages (Origin, Sec-Fetch-Site) and bear the session's seal

A form whose session ended meanwhile, or that was opened in an earlier one, is not thrown away: it is carried through the
sign-in and shown again, filled in (`Held`). It is sent only when somebody presses the button again.

What belongs to another application mounted below (the API) passes through untouched: it has guards of its own.

Source: design.md §9; RFC 6265bis §4.1.3 (`__Host-`), §5.6.7 (SameSite); W3C Fetch Metadata; CSP 3; OWASP CSRF prevention.
"""

import hashlib
import hmac
import json
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from dispatcher.errors import Finding, InvalidInput, Refused, TodokeError, Unauthenticated
from dispatcher.ledger import Event
from dispatcher.log import logger
from dispatcher.pages import TemplateError
from dispatcher.staff.console.frame import CONSOLE, LANGUAGE, SEAL, SITTING, Console, Sitting, render, words
from dispatcher.staff.console.words import LANGUAGES, Words

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FORM_BYTES = 1_000_000
"""Of a form without a file; no message of ours comes near it."""
UPLOAD_BYTES = 12_000_000
"""Of a form with one picture (≤ 10 MB)."""
AUDIT_EVERY_S = 10.0
AUDITED_PLACES = 1024
DAY_S = 86_400.0
LANGUAGE_COOKIE = "todoke-language"
YEAR_S = 31_536_000
OPEN = ("/signin", "/static/", "/passkey", "/enrol", "/directory")
"""What anybody may ask for: the way in."""
HELD = "_held"
"""The field in which a form is carried through the sign-in."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: then browsers send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

_APPROVAL = re.compile(r"/drafts/[^/]+/(approve|break-glass)")

log = logger("dispatcher.staff.console")


def guards(console: Console) -> tuple[Middleware, ...]:
    """The middlewares, outermost first."""
    return tuple(map(_ours_only, (_headers, _errors, _session(console))))


def cookie_name(console: Console) -> str:
    """`__Host-` binds the cookie to this very host and to https; on plain http (loopback only) browsers refuse that prefix."""
    return "__Host-todoke" if console.is_secure else "todoke-loopback"


def set_cookie(console: Console, response: web.StreamResponse, token: str) -> None:
    """Until the browser is closed; the session itself ends on the server, by its own clock."""
    response.set_cookie(
        cookie_name(console), token, path="/", secure=console.is_secure, httponly=True, samesite="Strict"
    )


def forget_cookie(console: Console, response: web.StreamResponse) -> None:
    response.del_cookie(cookie_name(console), path="/", secure=console.is_secure, httponly=True, samesite="Strict")


def token_of(request: web.Request) -> str:
    """The session's token as the browser sent it, or ""."""
    return request.cookies.get(cookie_name(request.app[CONSOLE]), "")


def remote_of(request: web.Request) -> str:
    """Whose address it is: behind our own proxy on loopback, the one that the proxy added last."""
    peer = request.remote or ""
    forwarded = request.headers.get("X-Forwarded-For", "").rsplit(",", 1)[-1].strip()
    return forwarded if forwarded and _is_loopback(peer) else peer


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _ours_only(middleware: Middleware) -> Middleware:
    @web.middleware
    async def only(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.apps and request.match_info.apps[-1] is not request.app:
            return await handler(request)
        if len(request.match_info.apps) > 1:
            return await handler(request)
        return await middleware(request, handler)

    return only


async def _headers(request: web.Request, handler: Handler) -> web.StreamResponse:
    asked = request.query.get("lang", "")
    kept = request.cookies.get(LANGUAGE_COOKIE, "")
    request[LANGUAGE] = next((x for x in (asked, kept) if x in LANGUAGES), "ja")
    response = await handler(request)
    if not response.prepared:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["Server"] = "todoke"
        if asked in LANGUAGES and asked != kept:
            response.set_cookie(LANGUAGE_COOKIE, asked, path="/", max_age=YEAR_S, httponly=True, samesite="Strict")
    return response


# -- refusals ----------------------------------------------------------------------------------------------------------


async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except TodokeError as error:
        return await refused(request, error)
    except web.HTTPException as error:
        if error.status < 400:
            return web.Response(status=error.status, headers={"Location": error.headers.get("Location", "/")})
        t = words(request)
        said = {404: t("そのページはありません。", "There is no such page."), 413: t("大きすぎます。", "Too large.")}
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
    held = await Held.of(request) if request.method == "POST" and request.body_exists else None
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


# -- sessions and forged forms -----------------------------------------------------------------------------------------


def _session(console: Console) -> Middleware:
    async def session(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not _is_our_host(console, request):
            raise web.HTTPMisdirectedRequest
        if request.method not in {"GET", "HEAD"}:
            await _bounded(request)
            if not is_same_origin(request):
                await audit(request, "forged origin", request.headers.get("Origin", "")[:100])
                t = words(request)
                raise Refused(
                    t("よそのページから送られたので受け付けません", "Sent from another site: not accepted")
                    + " (origin)"
                )
        is_open = request.path.startswith(OPEN)
        try:
            # What a page asks by itself keeps nobody signed in.
            is_person = not (request.method == "GET" and wants_data(request))
            session = await console.accounts.session(token_of(request), is_person=is_person)
            request[SITTING] = Sitting(session, words(request))
        except Unauthenticated:
            await _audit_ended(request)
            return await handler(request) if is_open else await _sign_in_first(request)
        if request.method not in {"GET", "HEAD"} and not is_open and not await _is_sealed(request):
            await audit(request, "wrong seal", "")
            return await _from_earlier(request)
        return await handler(request)

    return session


async def _audit_ended(request: web.Request) -> None:
    """A cookie that opens nothing: replayed, guessed, or of a page that was left open, which asks again and again."""
    token = token_of(request)
    digest, now_s = hashlib.sha256(token.encode()).hexdigest(), request.app[CONSOLE].clock.monotonic()
    if token and request.app[SPARING].is_due("token", digest, now_s, every_s=DAY_S):
        await audit(request, "ended session", "")


def _is_our_host(console: Console, request: web.Request) -> bool:
    """Another name for our address would be another site's page reaching in (DNS rebinding)."""
    try:
        host = urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return False
    return host == urlsplit(console.url).hostname or _is_loopback(host)


def is_same_origin(request: web.Request) -> bool:
    """Does a POST come from a page of ours? Every browser of today says so, with one header or the other."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is None and origin is None:
        return False
    if site is not None and site != "same-origin":
        return False
    try:
        return origin is None or (
            urlsplit(origin).netloc == request.host and urlsplit(origin).scheme in {"http", "https"}
        )
    except ValueError:
        return False


async def _bounded(request: web.Request) -> None:
    limit = UPLOAD_BYTES if request.content_type == "multipart/form-data" else FORM_BYTES
    if request.content_length is None or request.content_length > limit:
        raise web.HTTPRequestEntityTooLarge(limit, request.content_length or -1)


async def _is_sealed(request: web.Request) -> bool:
    given = request.headers.get("X-Todoke-Seal") or (await fields(request)).get(SEAL, "")
    return hmac.compare_digest(given.encode(), request[SITTING].csrf.encode())


async def fields(request: web.Request) -> Mapping[str, str]:
    """What a form says, field by field; of one that is there twice the last. Files are not among them.

    Raises:
        InvalidInput: it is no form.
    """
    return {name: value for name, value in (await _posted(request)).items() if isinstance(value, str)}


async def all_of(request: web.Request, name: str) -> tuple[str, ...]:
    """Every value of a field that may be there many times (a ticked box each)."""
    return tuple(value for value in (await _posted(request)).getall(name, ()) if isinstance(value, str))


async def _posted(request: web.Request) -> Any:
    try:
        return await request.post()
    except (ValueError, LookupError, AssertionError) as error:
        raise InvalidInput([Finding("form", f"読めない書式です (not a form): {error}")]) from None


@dataclass(frozen=True, slots=True)
class Held:
    """A form on its way through a refusal or the sign-in: where it was going, and every field in order."""

    action: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    async def of(cls, request: web.Request) -> "Held":
        """The form that this request bears, without its seal."""
        try:
            posted = (await _posted(request)).items()
        except InvalidInput:
            posted = ()
        kept = tuple((k, v) for k, v in posted if isinstance(v, str) and k != SEAL)
        return cls(request.path_qs, kept)

    @classmethod
    def read(cls, text: str) -> "Held | None":
        """As `text` wrote it; None if it is not ours."""
        try:
            body = json.loads(text)
            action = str(body["action"])
            kept = tuple((str(name), str(value)) for name, value in body["fields"])
        except (ValueError, LookupError, TypeError, RecursionError):
            return None
        return cls(action, kept) if is_local(action) else None

    def text(self) -> str:
        return json.dumps({"action": self.action, "fields": self.fields}, ensure_ascii=False)

    @property
    def label(self) -> str:
        """What the pressed button said."""
        return dict(self.fields).get("_act", "")

    @property
    def typed(self) -> tuple[tuple[str, str], ...]:
        """What a person wrote; a name that is there many times comes once, with all its values."""
        names = dict.fromkeys(name for name, _ in self.fields if not name.startswith("_"))
        return tuple((n, "\n".join(v for k, v in self.fields if k == n)) for n in names)

    @property
    def page(self) -> str:
        """Where its page stands: each form goes to its own page's address or below it."""
        return self.action.partition("?")[0]

    @property
    def must_look(self) -> bool:
        """An approval is never carried over: whoever signed in now looks at the message first."""
        return _APPROVAL.fullmatch(self.page) is not None

    def is_many(self, name: str) -> bool:
        return sum(n == name for n, _ in self.fields) > 1

    @property
    def carried(self) -> tuple[tuple[str, str], ...]:
        """What goes along unseen: fields that nobody typed, and those with many values."""
        return tuple((n, v) for n, v in self.fields if n.startswith("_") or self.is_many(n))


def is_local(path: str) -> bool:
    """An address on this very site, and no way of writing another one."""
    return path.startswith("/") and not path.startswith("//") and not set(path) & set("\\\r\n\t\0")


async def _sign_in_first(request: web.Request) -> web.StreamResponse:
    t = words(request)
    if wants_data(request):
        return web.json_response({"error": "signed out", "signin": "/signin"}, status=401)
    if request.method in {"GET", "HEAD"}:
        went_to = request.path_qs if is_local(request.path_qs) else "/"
        raise web.HTTPSeeOther(f"/signin?next={quote(went_to)}" if went_to != "/" else "/signin")
    held = await Held.of(request)
    reason = t(
        "サインインの期限が切れていました。書いたものは残っています。サインインすると元に戻ります。",
        "Your session had ended. What you typed is kept: sign in and it comes back.",
    )
    return await render(request, "signin.html", status=401, held=held, reason=reason, went_to="/", name="")


async def _from_earlier(request: web.Request) -> web.StreamResponse:
    t: Words = words(request)
    reason = t(
        "この画面は前のサインインのときに開いたものです。書いたものは残っています。確かめて、もう一度押してください。",
        "This page was opened in an earlier session. What you typed is kept: check it and press again.",
    )
    if wants_data(request):
        return web.json_response({"error": reason, "session": "/session"}, status=403)
    return await render(
        request, "refused.html", status=403, code=403, reason=reason, findings=(), held=await Held.of(request)
    )
