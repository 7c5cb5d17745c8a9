"""Who may come in, and what leaves: sessions, forged forms, headers, and every refusal as a page that loses nothing typed.

    headers ─ on every answer: no script, style, frame or form target but our own; nothing is stored
    errors  ─ a rule said no: a page with the reason, and what was typed in it, ready to be sent again
    session ─ cookie → person; a POST must come from our own pages (Origin, Sec-Fetch-Site) and bear the session's seal

What belongs to another application mounted below (the API) passes through untouched: it has guards of its own.

Source: design.md §9; RFC 6265bis §4.1.3 (`__Host-`), §5.6.7 (SameSite); W3C Fetch Metadata; CSP 3; OWASP CSRF prevention.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote, urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from dispatcher.errors import Refused, Unauthenticated
from dispatcher.ledger import require_reach
from dispatcher.listening import is_loopback
from dispatcher.staff.console.frame import render
from dispatcher.staff.console.posted import Held, fields, is_local, limit_bytes
from dispatcher.staff.console.refusals import audit, audit_ended, errors, wants_data
from dispatcher.staff.console.room import LANGUAGE, SEAL, SITTING, Console, Sitting, words
from dispatcher.staff.console.visitor import token_of
from dispatcher.staff.console.words import LANGUAGES, Words

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LANGUAGE_COOKIE = "todoke-language"
YEAR_S = 31_536_000
OPEN = ("/signin", "/static/", "/passkey", "/enrol", "/directory")
"""What anybody may ask for: the way in."""

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


def guards(console: Console) -> tuple[Middleware, ...]:
    """The middlewares, outermost first."""
    return tuple(map(_ours_only, (_headers, errors, _session(console))))


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
        if not request.path.startswith("/static/"):
            require_reach(console.path.ledger)
        try:
            # What a page asks by itself keeps nobody signed in.
            is_person = not (request.method == "GET" and wants_data(request))
            session = await console.accounts.session(token_of(request), is_person=is_person)
            request[SITTING] = Sitting(session, words(request))
        except Unauthenticated:
            await audit_ended(request)
            return await handler(request) if is_open else await _sign_in_first(request)
        if request.method not in {"GET", "HEAD"} and not is_open and not await _is_sealed(request):
            await audit(request, "wrong seal", "")
            return await _from_earlier(request)
        return await handler(request)

    return session


def _is_our_host(console: Console, request: web.Request) -> bool:
    """Another name for our address would be another site's page reaching in (DNS rebinding)."""
    try:
        host = urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return False
    return host == urlsplit(console.url).hostname or is_loopback(host)


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
    limit = limit_bytes(request)
    if request.content_length is None or request.content_length > limit:
        raise web.HTTPRequestEntityTooLarge(limit, request.content_length or -1)


async def _is_sealed(request: web.Request) -> bool:
    given = request.headers.get("X-Todoke-Seal") or (await fields(request)).get(SEAL, "")
    return hmac.compare_digest(given.encode(errors="replace"), request[SITTING].csrf.encode())


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
