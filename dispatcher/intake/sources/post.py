"""CAP or JMA by HTTP POST, at the staff's listener: a token of scope `intake`, and the signature that the site file pins.

    POST /intake     Authorization: Bearer …     Content-Type: application/cap+xml (application/xml, text/xml)
    200  {"decision", "reason", "type", "status", "template", "draft"}     what the telegram came to, written down
    4xx  application/problem+json {"type", "title", "status", "detail", "findings"}

A body is read only from whom the token lets in, and never more of it than a message may have.

Source: RFC 9110 §15; RFC 9457; RFC 6750; design.md §9.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web

from config.intake.settings import Post
from dispatcher.errors import InvalidInput, TodokeError, Unauthenticated
from dispatcher.intake.jma import MAX_BYTES
from dispatcher.intake.signature import Trust
from dispatcher.intake.taking import Intake, Taken
from dispatcher.staff.accounts.roles import Scope
from dispatcher.staff.accounts.tokens import Bearer

PREFIX = "/intake"
"""Where it is mounted."""
BODY_WITHIN_S = 15.0
AT_ONCE = 4
"""Messages that are read at the same time; a reader holds each whole."""
_TYPES = frozenset({"application/cap+xml", "application/xml", "text/xml"})
_PROBLEM = "application/problem+json"
Find = Callable[[str], Awaitable[Bearer]]
"""Who comes with a token (accounts.Tokens.find); raises Unauthenticated."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(intake: Intake[Any], settings: Post, find: Find) -> web.Application:
    """The application, to be mounted at PREFIX."""
    app = web.Application(middlewares=[_problems])
    app.router.add_post("", _Door(intake, Trust(settings.signers), find).post)
    return app


class _Door:
    def __init__(self, intake: Intake[Any], trust: Trust, find: Find) -> None:
        self._intake = intake
        self._trust = trust
        self._find = find
        self._room = asyncio.Semaphore(AT_ONCE)

    async def post(self, request: web.Request) -> web.Response:
        bearer = await self._bearer(request)
        if request.content_type not in _TYPES or request.headers.get("Content-Encoding", "identity") != "identity":
            raise web.HTTPUnsupportedMediaType(
                text=f"{', '.join(sorted(_TYPES))} を圧縮せずに送ってください (not packed)"
            )
        async with self._room:
            try:
                async with asyncio.timeout(BODY_WITHIN_S):
                    data = await _body(request)
            except TimeoutError:
                raise web.HTTPRequestTimeout(text="本文が届きません (the body did not arrive)") from None
            taken = await self._intake.take(data, f"post {bearer.person.name}", self._trust)
        return _answered(taken)

    async def _bearer(self, request: web.Request) -> Bearer:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("鍵がありません。Authorization: Bearer … を付けてください (no token)")
        bearer = await self._find(token.strip())
        bearer.require(Scope.INTAKE)
        return bearer


async def _body(request: web.Request) -> bytes:
    """One byte more than a message may have is enough to refuse it."""
    data = bytearray()
    async for chunk in request.content.iter_chunked(65_536):
        data += chunk
        if len(data) > MAX_BYTES:
            break
    return bytes(data)


def _answered(taken: Taken) -> web.Response:
    decision = taken.decision
    body = {
        "decision": decision.outcome,
        "reason": decision.reason,
        "type": decision.type,
        "status": taken.telegram.status,
        "template": decision.template,
        "draft": taken.draft,
    }
    return web.json_response(body, dumps=_text)


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except TodokeError as error:
        findings = [asdict(finding) for finding in error.findings[:100]] if isinstance(error, InvalidInput) else []
        return _problem(error.http_status, type(error).__name__, str(error)[:2000], findings)
    except web.HTTPException as error:
        return _problem(error.status, error.reason, (error.text or error.reason)[:2000], [])


def _problem(status: int, title: str, detail: str, findings: list[dict[str, Any]]) -> web.Response:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "findings": findings}
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return web.json_response(body, status=status, content_type=_PROBLEM, headers=headers, dumps=_text)


def _text(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False)
