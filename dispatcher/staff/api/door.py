"""The way of every request: whose token, which scope, what form, is it whole, was it asked before — then the desk.

Whoever is not known is asked for nothing more: a body is read only from a person, and never more of it than its route takes.

Source: design.md §9; RFC 9110 §12.5.1, §15; RFC 6750; draft-ietf-httpapi-idempotency-key-header-07.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from aiohttp import web

from dispatcher.errors import Finding, InvalidInput, Refused, Standby, StorageFull, TodokeError, Unauthenticated
from dispatcher.ledger import Event, require_reach
from dispatcher.log import logger
from dispatcher.staff.accounts.tokens import Bearer
from dispatcher.staff.api import problems
from dispatcher.staff.api.checking import Held
from dispatcher.staff.api.guesses import Guesses
from dispatcher.staff.api.idempotency import HEADER, PATTERN, Answer, Begun, Kept
from dispatcher.staff.api.problems import Said, joined
from dispatcher.staff.api.rooms import Rooms
from dispatcher.staff.api.route import Call, Nothing, Route
from dispatcher.staff.api.shapes import Shapes, bound, read_json
from dispatcher.staff.api.shown import DRAWN

BODY_WITHIN_S = 15.0
MAX_DEPTH = 32
DRY_RUN = "dry_run"
PLACE = r"[0-9A-Za-z][0-9A-Za-z._:@-]{0,119}"
"""What may stand for a {parameter} of a path: identifiers and kinds are of these characters."""
NAME = r"[^\x00-\x1f\x7f/\\]{1,60}"
"""What people call something."""
_JSON = re.compile(r"application/json(?:\s*;\s*charset\s*=\s*\"?utf-8\"?)?\s*", re.IGNORECASE)

_NO_TEXT = re.compile("[\0\ud800-\udfff]")

log = logger("dispatcher.staff.api")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Door:
    """`rooms` is what the routes' functions ask."""

    def __init__(self, rooms: Rooms, kept: Kept) -> None:
        self._rooms = rooms
        self._kept = kept
        self._guesses = Guesses(rooms.ledger, rooms.clock)
        self._shapes = Shapes(DRAWN)

    def handler(self, route: Route) -> Handler:
        """What aiohttp calls for this route."""
        held = Held(self._shapes.schema(route.body)) if route.takes_body else None
        asked = Held(self._query_schema(route))

        async def handle(request: web.Request) -> web.StreamResponse:
            bearer = await self._bearer(request, route)
            require_acceptable(request)
            data, body = await self._body(request, route) if held else (b"", {})
            query, findings = _query(request)
            findings += asked.findings(query)
            findings += held.findings(body) if held else ()
            findings += _unheard(request, route)
            if findings:
                raise _Invalid(findings, body)
            path = _path(request, route)
            is_rehearsal = query.pop(DRY_RUN, "false") == "true"
            rooms, rehearsal = self._rooms.rehearsing() if is_rehearsal else (self._rooms, None)
            asking: dict[str, Any] = {"body": Nothing() if not held else bound(route.body, body)}
            call = Call(rooms=rooms, bearer=bearer, path=path, query=bound(route.query, query), **asking)
            key = request.headers.get(HEADER)
            begun: Begun | None = None
            if key is not None and not is_rehearsal:
                same = b"\0".join((request.method.encode(), request.raw_path.encode(), data))
                earlier = await self._kept.begin(bearer.person.name, key, same)
                if isinstance(earlier, Answer):
                    return _response(earlier)
                begun = earlier
            answer = await self._done(route, call, body, begun)
            if rehearsal is not None and answer.status < 400:
                said = [
                    {"name": e.name, "subject": e.subject, "facts": self._shapes.plain(e.facts)} for e in rehearsal.said
                ]
                answer = Answer(answer.status, _text({**json.loads(answer.body), DRY_RUN: {"events": said}}))
            return _response(answer)

        return handle

    async def _done(self, route: Route, call: Call[Any, Any], body: Any, begun: Begun | None) -> Answer:
        """Ask the desk; what it answers or refuses is kept under the request's key."""
        try:
            answer = Answer(route.status, _text(self._shapes.plain(await route.handle(call), route.answer)))
        except TodokeError as error:
            problem = problems.of(error, body)
            if begun is not None and isinstance(error, StorageFull | Standby):
                await self._kept.forget(begun)  # nothing was done; after a defect nobody knows
            if problem.status >= 500:
                raise
            answer = Answer(problem.status, _text(self._shapes.plain(problem)))
        if begun is not None:
            await self._kept.finish(begun, answer)
        return answer

    async def _bearer(self, request: web.Request, route: Route) -> Bearer:
        require_reach(self._rooms.ledger)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("鍵がありません。Authorization: Bearer … を付けてください (no token)")
        try:
            bearer = await self._rooms.accounts.bearer(token.strip())
        except Unauthenticated:
            await self._guesses.seen(request.remote or "")
            raise
        try:
            bearer.require(route.scope)
        except Refused as refused:
            facts = {"by": bearer.person.name, "act": route.name, "because": "scope", "words": str(refused)}
            await self._rooms.ledger.append(Event("act.refused", "", facts))
            raise
        return bearer

    @staticmethod
    async def _body(request: web.Request, route: Route) -> tuple[bytes, Any]:
        if not _JSON.fullmatch(request.headers.get("Content-Type", "")):
            raise Said(415, "")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Said(415, "圧縮せずに送ってください (send it without a Content-Encoding)")
        data = bytearray()
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                async for chunk in request.content.iter_any():
                    data += chunk
                    if len(data) > route.max_bytes:
                        raise Said(413, f"{route.max_bytes} バイトまでです (at most {route.max_bytes} bytes)")
        except TimeoutError:
            raise Said(408, "") from None
        try:
            body = read_json(bytes(data))
        except ValueError as error:
            raise InvalidInput([Finding("", f"JSON として読めません (not JSON): {error}")]) from None
        if wrong := list(_unprintable(body)):
            raise InvalidInput(wrong)
        return bytes(data), body

    def _query_schema(self, route: Route) -> Any:
        schema = self._shapes.schema(route.query)
        if route.changes:
            schema["properties"] = {**schema["properties"], DRY_RUN: {"type": "string", "enum": ["true", "false"]}}
        return schema

    @web.middleware
    async def errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Whatever says no says it as a problem."""
        headers: dict[str, str] = {}
        try:
            return await handler(request)
        except _Invalid as error:
            problem = problems.of(error, error.body)
        except TodokeError as error:
            problem = problems.of(error)
            if (retry_after_s := getattr(error, "retry_after_s", None)) is not None:
                headers["Retry-After"] = str(max(1, round(retry_after_s)))
            if problem.status == 500:
                log.exception("api.failed", method=request.method, path=request.path)
        except Said as error:
            problem = problems.of_status(error.status, str(error))
        except web.HTTPException as error:
            problem = problems.of_status(error.status if error.status in problems.BY_STATUS else 404)
            headers |= {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        except Exception:
            log.exception("api.failed", method=request.method, path=request.path)
            problem = problems.of_status(500)
        return problems.answer(problem, _text(self._shapes.plain(problem)).encode(), headers)


class _Invalid(InvalidInput):
    """What was wrong with a request, and its body, into which the findings point."""

    def __init__(self, findings: list[Finding], body: Any) -> None:
        super().__init__(findings)
        self.body = body


def place_of(name: str) -> str:
    """The pattern of a path's parameter."""
    return NAME if name == "name" else PLACE


def _path(request: web.Request, route: Route) -> Mapping[str, str]:
    for name in route.parameters:
        if not re.fullmatch(place_of(name), request.match_info[name]):
            raise Said(404, "")
    return dict(request.match_info)


def require_acceptable(request: web.Request) -> None:
    """Raise 406 unless the request takes JSON: an absent Accept takes everything, `q=0` takes a range away."""
    wanted: dict[str, float] = {}
    for each in ",".join(request.headers.getall("Accept", ["*/*"])).split(","):
        name, *parameters = (part.strip().lower() for part in each.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        wanted[name] = float(weight) if re.fullmatch(r"[01](\.\d{0,3})?", weight) else 0.0
    for name in ("application/json", "application/*", "*/*"):
        if name in wanted:
            if wanted[name] > 0:
                return
            break
    raise Said(406, "")


def _query(request: web.Request) -> tuple[dict[str, str], list[Finding]]:
    findings = [
        Finding(name, "一度だけ書いてください (give it once)")
        for name in dict.fromkeys(request.query)
        if len(request.query.getall(name)) > 1
    ]
    return dict(request.query), findings


def _unheard(request: web.Request, route: Route) -> list[Finding]:
    """Headers that would not do what the one who sent them means."""
    key = request.headers.get(HEADER)
    if key is None or (route.may_repeat and re.fullmatch(PATTERN, key)):
        return []
    if not route.may_repeat:
        return [Finding(HEADER, "この宛先では使えません (not accepted here)")]
    return [Finding(HEADER, "1〜200 字の ASCII で書いてください (1 to 200 visible ASCII characters)")]


def _unprintable(body: Any) -> Iterator[Finding]:
    """Half characters and NUL are no text: no ledger could keep them, no medium could carry them."""
    waiting: list[tuple[Any, str, int]] = [(body, "", 0)]
    while waiting:
        value, at, depth = waiting.pop()
        if depth > MAX_DEPTH:
            yield Finding(at, f"{MAX_DEPTH} 段より深い入れ子は読みません (nested deeper than {MAX_DEPTH} levels)")
        elif isinstance(value, str):
            if _NO_TEXT.search(value):
                yield Finding(at, "U+0000 と対のないサロゲートは使えません (NUL or a lone surrogate)")
        elif isinstance(value, Mapping):
            if any(map(_NO_TEXT.search, value)):
                yield Finding(at, "項目名に U+0000 か対のないサロゲートがあります (NUL or a lone surrogate in a name)")
            else:
                waiting += [(item, at + joined(name), depth + 1) for name, item in value.items()]
        elif isinstance(value, list):
            waiting += [(item, at + joined(number), depth + 1) for number, item in enumerate(value)]


def _text(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _response(answer: Answer) -> web.Response:
    media_type = problems.MEDIA_TYPE if answer.status >= 400 else "application/json"
    return web.Response(text=answer.body, status=answer.status, content_type=media_type, headers=problems.HEADERS)
