"""The way in and out: name, password and second factor, or a passkey; and what was typed before comes back afterwards.

Source: design.md §9; WebAuthn 3 §7.2; SP 800-63B-4 §5.
"""

from aiohttp import web

from dispatcher.errors import Refused
from dispatcher.listening import remote_of
from dispatcher.staff.accounts import Session
from dispatcher.staff.console import visitor
from dispatcher.staff.console.frame import CONSOLE, SITTING, Sitting, render, sitting, words
from dispatcher.staff.console.posted import HELD, Held, fields, is_local

AGENT_CHARACTERS = 200


async def show(request: web.Request) -> web.StreamResponse:
    """The sign-in page; whoever is in already goes on."""
    went_to = _next(request.query.get("next", ""))
    if request.get(SITTING):
        raise web.HTTPSeeOther(went_to)
    return await render(request, "signin.html", held=None, reason="", went_to=went_to, name="")


async def sign_in(request: web.Request) -> web.StreamResponse:
    """A refused sign-in shows the form again with the name in it, and with whatever is being carried through."""
    typed = await fields(request)
    held = Held.read(typed.get(HELD, ""))
    went_to = _next(typed.get("_next", ""))
    console = request.app[CONSOLE]
    remote, agent = remote_of(request), request.headers.get("User-Agent", "")[:AGENT_CHARACTERS]
    try:
        if typed.get("passkey"):
            session = await console.accounts.sign_in_with_passkey(typed["passkey"], remote, agent)
        else:
            name, password, code = (typed.get(field, "") for field in ("name", "password", "code"))
            session = await console.accounts.sign_in(name, password, code, remote, agent)
    except Refused as error:
        return await render(
            request,
            "signin.html",
            status=error.http_status,
            held=held,
            reason=str(error),
            went_to=went_to,
            name=typed.get("name", "")[:AGENT_CHARACTERS],
        )
    return await _welcome(request, session, held, went_to)


async def _welcome(request: web.Request, session: Session, held: Held | None, went_to: str) -> web.Response:
    console = request.app[CONSOLE]
    request[SITTING] = Sitting(session, words(request))
    response: web.Response
    if held is None:
        response = web.Response(status=303, headers={"Location": went_to})
    elif held.must_look:
        response = web.Response(status=303, headers={"Location": held.page})
    else:
        t = words(request)
        reason = t(
            "サインインしました。期限が切れる前に書いたものです。確かめて、もう一度押してください。まだ送られていません。",
            "Signed in. This is what you had typed. Check it and press again: it has not been sent.",
        )
        response = await render(request, "refused.html", code=200, reason=reason, findings=(), held=held)
    visitor.set_cookie(console, response, session.token)
    return response


async def sign_out(request: web.Request) -> web.StreamResponse:
    """The session ends on the server; the cookie alone would be worth nothing afterwards."""
    console = request.app[CONSOLE]
    await console.accounts.sign_out(visitor.token_of(request))
    response = web.Response(status=303, headers={"Location": "/signin"})
    visitor.forget_cookie(console, response)
    return response


async def passkey(request: web.Request) -> web.Response:
    """What the browser asks a passkey with; the same for everybody."""
    return web.json_response(dict(request.app[CONSOLE].accounts.passkey_options(remote_of(request))))


async def whose(request: web.Request) -> web.Response:
    """For a script whose page was opened in an earlier session: who is in now, and the seal to send with."""
    who = sitting(request)
    return web.json_response({"name": who.person.name, "seal": who.csrf})


def _next(asked: str) -> str:
    return asked if is_local(asked) and not asked.startswith("/signin") else "/"


ROUTES = (
    web.get("/signin", show),
    web.post("/signin", sign_in),
    web.post("/signout", sign_out),
    web.post("/passkey", passkey),
    web.get("/session", whose),
)
