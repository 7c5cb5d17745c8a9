"""The staff's HTTP door: translates requests to the desk and its answers to JSON. No rule lives here.

    POST /drafts {typed, mode}              201 draft, findings       POST /drafts/{id}/submit {mode}
    GET  /drafts/{id}/preview                                         POST /drafts/{id}/approve {hash, mode}
    POST /alerts/{id}/{update|correct|lift|retract} {typed, mode}     GET  /alerts/{id}[/destinations]
    GET  /status        GET /channels?kind=…        GET /audit

Every request bears `Authorization: Bearer <token>`. Errors: {"error", "findings": [{"where", "reason", "blocks"}], "exit_code"}.

Source: design.md §9; RFC 9110; RFC 6750.
"""

import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from aiohttp import web

from dispatcher.errors import Finding, InvalidInput, TodokeError, Unauthenticated
from dispatcher.ledger import IssuedAlert
from dispatcher.model.draft import Verb
from dispatcher.model.mode import M
from dispatcher.path import Prepared
from dispatcher.staff.desk import Board, Desk, as_json
from dispatcher.staff.sessions import Person
from dispatcher.steps.accept import Typed

MAX_BODY_BYTES = 2_000_000
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(desk: Desk[M]) -> web.Application:
    """The application; it listens on loopback only (node.py)."""
    app = web.Application(middlewares=[_errors], client_max_size=MAX_BODY_BYTES)
    door = _Door(desk)
    app.add_routes(
        [
            web.post("/drafts", door.draft),
            web.get("/drafts/{id}/preview", door.preview),
            web.post("/drafts/{id}/submit", door.submit),
            web.post("/drafts/{id}/approve", door.approve),
            web.post("/alerts/{id}/{verb:update|correct|lift|retract}", door.follow),
            web.get("/alerts/{id}", door.board),
            web.get("/alerts/{id}/destinations", door.destinations),
            web.get("/status", door.status),
            web.get("/channels", door.channels),
            web.get("/audit", door.audit),
        ]
    )
    return app


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except TodokeError as error:
        findings = error.findings if isinstance(error, InvalidInput) else ()
        body = {"error": str(error), "findings": [asdict(f) for f in findings], "exit_code": error.exit_code}
        return _answer(body, status=error.http_status)


def _answer(body: Any, status: int = 200) -> web.Response:
    return web.json_response(body, status=status, dumps=lambda b: json.dumps(b, ensure_ascii=False, default=_plain))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


class _Door:
    def __init__(self, desk: Desk[Any]) -> None:
        self._desk = desk

    def _who(self, request: web.Request) -> Person:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("鍵がありません。Authorization: Bearer … を付けてください (no token)")
        return self._desk.who(token)

    async def draft(self, request: web.Request) -> web.Response:
        who, body = self._who(request), await _body(request)
        draft, prepared = await self._desk.draft(who, _typed(body), mode=_mode(body))
        return _answer({"draft": as_json(draft), "findings": [asdict(f) for f in prepared.findings]}, status=201)

    async def preview(self, request: web.Request) -> web.Response:
        draft, prepared = await self._desk.preview(self._who(request), request.match_info["id"])
        return _answer({"draft": as_json(draft), **_prepared(prepared)})

    async def submit(self, request: web.Request) -> web.Response:
        who, body = self._who(request), await _body(request)
        draft, prepared = await self._desk.submit(who, request.match_info["id"], mode=_mode(body))
        return _answer(
            {"draft": as_json(draft), "hash": draft.hash, "findings": [asdict(f) for f in prepared.findings]}
        )

    async def approve(self, request: web.Request) -> web.Response:
        who, body = self._who(request), await _body(request)
        shown = body.get("hash")
        alert = await self._desk.approve(
            who, request.match_info["id"], shown=shown if isinstance(shown, str) else None, mode=_mode(body)
        )
        return _answer({"alert": issued_as_json(alert)})

    async def follow(self, request: web.Request) -> web.Response:
        who, body = self._who(request), await _body(request)
        verb = Verb(request.match_info["verb"])
        draft, alert = await self._desk.follow(who, verb, request.match_info["id"], _typed(body), mode=_mode(body))
        return _answer({"draft": as_json(draft), "hash": draft.hash, "alert": alert and issued_as_json(alert)})

    async def board(self, request: web.Request) -> web.Response:
        return _answer(board_as_json(await self._desk.board(self._who(request), request.match_info["id"])))

    async def destinations(self, request: web.Request) -> web.Response:
        listed = await self._desk.destinations(self._who(request), request.match_info["id"])
        return _answer({"destinations": [asdict(d) for d in listed]})

    async def status(self, request: web.Request) -> web.Response:
        waiting, boards = await self._desk.status(self._who(request))
        alerts = [board_as_json(b) for b in boards]
        return _answer({"mode": self._desk.mode, "drafts": [as_json(d) for d in waiting], "alerts": alerts})

    async def channels(self, request: web.Request) -> web.Response:
        probes = await self._desk.probe(self._who(request), request.query.getall("kind", []))
        return _answer({"channels": {kind: asdict(probe) for kind, probe in probes.items()}})

    async def audit(self, request: web.Request) -> web.Response:
        return _answer({"wrong": list(await self._desk.verify(self._who(request)))})


async def _body(request: web.Request) -> Mapping[str, Any]:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise InvalidInput([Finding("body", f"JSON ではありません (not JSON): {error}")]) from None
    if not isinstance(body, dict):
        raise InvalidInput([Finding("body", "JSON のオブジェクトを送ってください (an object is needed)")])
    return body


def _mode(body: Mapping[str, Any]) -> str:
    mode = body.get("mode")
    if mode not in {"live", "drill"}:
        raise InvalidInput([Finding("mode", "--live か --drill を付けてください (say --live or --drill)")])
    return str(mode)


def _typed(body: Mapping[str, Any]) -> Typed:
    """What was typed; every unknown or ill-typed field is named at once."""
    given = body.get("typed") or {}
    if not isinstance(given, dict):
        raise InvalidInput([Finding("typed", "an object is needed")])
    known = {f.name for f in fields(Typed)} - {"verb", "of"}
    findings = [
        Finding(f"typed.{name}", f"ない項目です。あるのは {', '.join(sorted(known))} (unknown field)")
        for name in given.keys() - known
    ]
    values: dict[str, Any] = {}
    for name in given.keys() & known:
        value = given[name]
        if name == "areas":
            if isinstance(value, list) and all(isinstance(v, str) for v in value):
                values[name] = tuple(value)
            else:
                findings.append(Finding("typed.areas", "文字列の並びを書いてください (a list of strings)"))
        elif name == "words":
            if isinstance(value, dict) and all(
                isinstance(of, dict) and all(isinstance(v, str) for v in of.values()) for of in value.values()
            ):
                values[name] = value
            else:
                findings.append(Finding("typed.words", "{言語: {項目: 文}} と書いてください (language → field → text)"))
        elif value is None or isinstance(value, str):
            values[name] = value
        else:
            findings.append(Finding(f"typed.{name}", "文字列を書いてください (a string)"))
    if findings:
        raise InvalidInput(findings)
    return Typed(**values)


def _prepared(prepared: Prepared[Any]) -> dict[str, Any]:
    return {
        "hash": prepared.hash,
        "findings": [asdict(f) for f in prepared.findings],
        "audiences": {kind: {"head_count": a.head_count, "words": a.words} for kind, a in prepared.audiences.items()},
        "renderings": {
            kind: {"texts": [asdict(t) for t in r.texts], "parts": [asdict(p) for p in r.parts]}
            for kind, r in prepared.renderings.items()
        },
    }


def issued_as_json(alert: IssuedAlert) -> dict[str, Any]:
    """An alert without its XML."""
    return {f.name: getattr(alert, f.name) for f in fields(IssuedAlert) if f.name != "cap_xml"}


def board_as_json(board: Board) -> dict[str, Any]:
    lines = [asdict(line) for line in board.lines if line.destinations]
    return {"mode": board.mode, "alert": issued_as_json(board.alert), "channels": lines}
