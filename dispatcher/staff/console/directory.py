"""The way in through the city's own directory: out to it with a cookie, back from it with an answer.

The cookie that goes along is Lax, because the answer comes from another site. The session's own is Strict, and a browser that is
still being led from another site would not send it: so the answer to the answer is a page, which then goes on by itself.

Source: OpenID Connect Core 1.0 §3.1.2; RFC 6265bis §5.2 (same-site requests and redirects); dispatcher/staff/accounts/oidc.py.
"""

from aiohttp import web

from dispatcher.errors import NotFound, Refused
from dispatcher.listening import remote_of
from dispatcher.staff.accounts.oidc import Issuer
from dispatcher.staff.console import visitor
from dispatcher.staff.console.frame import CONSOLE, SITTING, Console, Sitting, render, words

LIFE_S = 600


async def leave(request: web.Request) -> web.StreamResponse:
    """Out to the directory."""
    console = request.app[CONSOLE]
    try:
        leaving = await _issuer(console).begin()
    except Refused as error:
        return await _refused(request, error)
    response = web.Response(status=303, headers={"Location": leaving.url})
    response.set_cookie(
        _cookie(console),
        leaving.cookie,
        path="/",
        max_age=LIFE_S,
        secure=console.is_secure,
        httponly=True,
        samesite="Lax",
    )
    return response


async def arrive(request: web.Request) -> web.StreamResponse:
    """Back from the directory: who it is, or why not."""
    console = request.app[CONSOLE]
    agent = request.headers.get("User-Agent", "")
    try:
        person = await _issuer(console).finish(request.query, request.cookies.get(_cookie(console), ""))
        session = await console.accounts.sign_in_from_directory(person, remote_of(request), agent)
    except Refused as error:
        return await _refused(request, error)
    request[SITTING] = Sitting(session, words(request))
    response = await render(request, "arrived.html")
    visitor.set_cookie(console, response, session.token)
    _forget(console, response)
    return response


def _issuer(console: Console) -> Issuer:
    if console.accounts.directory is None:
        raise NotFound("市の認証基盤は設定されていません (no directory is set up)")
    return console.accounts.directory


async def _refused(request: web.Request, error: Refused) -> web.StreamResponse:
    response = await render(
        request, "signin.html", status=error.http_status, held=None, reason=str(error), went_to="/", name=""
    )
    _forget(request.app[CONSOLE], response)
    return response


def _cookie(console: Console) -> str:
    return "__Host-todoke-directory" if console.is_secure else "todoke-loopback-directory"


def _forget(console: Console, response: web.StreamResponse) -> None:
    response.del_cookie(_cookie(console), path="/", secure=console.is_secure, httponly=True, samesite="Lax")


ROUTES = (web.get("/directory/leave", leave), web.get("/directory", arrive))
