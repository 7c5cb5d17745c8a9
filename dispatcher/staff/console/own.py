"""自分の設定 and 登録: what people do about their own way in; and the page by which somebody new comes in for the first time.

Names of fields that hold a secret begin with _, so that no page which shows again what was typed shows them.

Source: design.md §9; dispatcher/staff/accounts/own.py.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from dispatcher.errors import Finding, InvalidInput, Refused, Unauthenticated
from dispatcher.pages import Markup
from dispatcher.staff.accounts import Scope, Session, qr
from dispatcher.staff.accounts.roles import scopes_of
from dispatcher.staff.accounts.tokens import MAX_DAYS
from dispatcher.staff.console.frame import CONSOLE, render, sitting, words
from dispatcher.staff.console.posted import all_of, fields

Act = Callable[[web.Request, Session, Mapping[str, str]], Awaitable[web.Response]]


# -- 登録 ----------------------------------------------------------------------------------------------------------------


async def enrol(request: web.Request) -> web.Response:
    return await render(request, "enrol.html", code="", enrolling=None, drawn="", enrolled=None, reason="", refused={})


async def begin(request: web.Request) -> web.Response:
    """The code that two admins handed over shows what to set the app up with."""
    return await _enrolling(request, (await fields(request)).get("_enrolment", ""))


async def finish(request: web.Request) -> web.Response:
    """Password and the app's first code together; what is wrong is shown beside the same QR code."""
    posted, own = await fields(request), request.app[CONSOLE].accounts.own
    code, password = posted.get("_enrolment", ""), posted.get("_password", "")
    if password != posted.get("_again", ""):
        return await _enrolling(request, code, [_differ(request)])
    try:
        enrolled = await own.enrol(code, password, posted.get("code", ""))
    except InvalidInput as error:
        return await _enrolling(request, code, error.findings)
    except Unauthenticated as error:
        return await _enrolling(request, code, reason=str(error))
    return await render(
        request, "enrol.html", code="", enrolling=None, drawn="", enrolled=enrolled, reason="", refused={}
    )


async def _enrolling(request: web.Request, code: str, findings: Any = (), *, reason: str = "") -> web.Response:
    enrolling, drawn, status = None, Markup(), 422 if findings else 200
    try:
        enrolling = await request.app[CONSOLE].accounts.own.enrolling(code)
        t = words(request)
        # Drawn by us from our own secret: there is nothing of anybody else's in it.
        drawn = Markup(
            qr.as_svg(enrolling.uri, title=t("認証アプリで読み取るコード", "To scan with the authenticator"))
        )
    except Refused as error:
        reason, status = str(error), error.http_status
    return await render(
        request,
        "enrol.html",
        status=status,
        code=code if enrolling else "",
        enrolling=enrolling,
        drawn=drawn,
        enrolled=None,
        reason=reason,
        refused={f.where: f for f in findings},
    )


def _differ(request: web.Request) -> Finding:
    return Finding("password", words(request)("二度の入力が違います", "The two differ"))


# -- 自分の設定 ----------------------------------------------------------------------------------------------------------


async def own(request: web.Request) -> web.Response:
    return await _show(request)


def _acting(name: str, act: Act) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """An act that only its person may do: with a second factor given within two minutes, or given with it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        posted = await fields(request)
        try:
            return await act(request, await _surely(request, posted), posted)
        except InvalidInput as error:
            return await _show(request, at=name, reason="\n".join(f.reason for f in error.findings), status=422)
        except Refused as error:
            return await _show(request, at=name, reason=str(error), status=error.http_status)

    return handle


async def _surely(request: web.Request, posted: Mapping[str, str]) -> Session:
    console, session = request.app[CONSOLE], sitting(request).session
    if session.is_fresh(console.clock.now()):
        return session
    return await console.accounts.refresh(session, posted.get("_code", ""))


async def _password(request: web.Request, session: Session, posted: Mapping[str, str]) -> web.Response:
    if posted.get("_new", "") != posted.get("_again", ""):
        raise InvalidInput([_differ(request)])
    await request.app[CONSOLE].accounts.own.change_password(session, posted.get("_old", ""), posted.get("_new", ""))
    raise web.HTTPSeeOther("/signin")


async def _recovery(request: web.Request, session: Session, _posted: Mapping[str, str]) -> web.Response:
    return await _show(request, codes=tuple(await request.app[CONSOLE].accounts.own.new_recovery_codes(session)))


async def _app(request: web.Request, session: Session, _posted: Mapping[str, str]) -> web.Response:
    return await _enrolling(request, await request.app[CONSOLE].accounts.own.change_app(session))


async def _token(request: web.Request, session: Session, posted: Mapping[str, str]) -> web.Response:
    days = posted.get("days", "")
    token = await request.app[CONSOLE].accounts.own.new_token(
        session,
        posted.get("title", ""),
        await all_of(request, "scope"),
        int(days) if days.isascii() and days.isdigit() and len(days) < 4 else 0,
    )
    return await _show(request, token=token)


async def _add_passkey(request: web.Request, session: Session, posted: Mapping[str, str]) -> web.Response:
    await request.app[CONSOLE].accounts.own.add_passkey(session, posted.get("_answer", ""), posted.get("title", ""))
    raise web.HTTPSeeOther("/own#passkeys")


async def _remove_passkey(request: web.Request, session: Session, posted: Mapping[str, str]) -> web.Response:
    await request.app[CONSOLE].accounts.own.remove_passkey(session, posted.get("id", ""))
    raise web.HTTPSeeOther("/signin")


async def passkey_options(request: web.Request) -> web.Response:
    """For the script: what `navigator.credentials.create()` needs."""
    session = await _surely(request, await fields(request))
    return web.json_response(dict(await request.app[CONSOLE].accounts.own.passkey_options(session)))


async def revoke_token(request: web.Request) -> web.Response:
    """End one of one's own tokens: that gives nobody anything, so it needs no second factor."""
    await request.app[CONSOLE].accounts.tokens.revoke(sitting(request).person, (await fields(request)).get("id", ""))
    raise web.HTTPSeeOther("/own#tokens")


async def _show(
    request: web.Request,
    *,
    status: int = 200,
    at: str = "",
    reason: str = "",
    codes: tuple[str, ...] = (),
    token: str = "",
) -> web.Response:
    console, who = request.app[CONSOLE], sitting(request)
    session = await console.accounts.session(who.session.token)
    people = {person.name: person for person in await console.accounts.people() if person.state != "site"}
    return await render(
        request,
        "own.html",
        status=status,
        me=people.get(who.person.name) if session.account else None,
        is_fresh=session.is_fresh(console.clock.now()),
        passkeys=await console.accounts.own.passkeys(session),
        tokens=[each for each in await console.accounts.tokens.all() if each.owner == who.person.name],
        scopes=[scope for scope in SCOPES if scope in scopes_of(who.person.roles)],
        scope_words=SCOPES,
        days=MAX_DAYS,
        at=at,
        reason=reason,
        codes=codes,
        token=token,
    )


SCOPES: Mapping[Scope, tuple[str, str]] = {
    Scope.READ: ("見る", "look"),
    Scope.WRITE: ("書く・送る", "write and send"),
    Scope.APPROVE: ("承認する", "approve"),
    Scope.ADMIN: ("管理する", "administer"),
    Scope.INTAKE: ("取り込む", "intake"),
    Scope.METRICS: ("計測値を読む", "read the metrics"),
}

ROUTES = [
    web.get("/enrol", enrol),
    web.post("/enrol", begin),
    web.post("/enrol/finish", finish),
    web.get("/own", own),
    web.post("/own/password", _acting("password", _password)),
    web.post("/own/recovery", _acting("recovery", _recovery)),
    web.post("/own/app", _acting("app", _app)),
    web.post("/own/tokens", _acting("tokens", _token)),
    web.post("/own/tokens/revoke", revoke_token),
    web.post("/own/passkeys", _acting("passkeys", _add_passkey)),
    web.post("/own/passkeys/remove", _acting("passkeys", _remove_passkey)),
    web.post("/own/passkeys/options", passkey_options),
]
