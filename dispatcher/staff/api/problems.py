"""What the API says when it says no: application/problem+json, one kind of problem for each branch of errors.py and of HTTP.

`type` leads to a page of the node itself that says what the problem means. `findings` name all that is wrong at once: `where` in
the desk's words, `pointer` where the request has it (RFC 6901). `exit_code` is what the command line ends with.

Source: RFC 9457; RFC 6901; RFC 9110 §15; design.md §9 for the exit codes.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from aiohttp import web

from dispatcher import errors
from dispatcher.errors import Finding, InvalidInput, TodokeError

PREFIX = "/api/v1"
"""Where the API is mounted on the staff's listener."""
MEDIA_TYPE = "application/problem+json"
HEADERS: Mapping[str, str] = MappingProxyType({"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})
INVALID, REFUSED, INTERNAL, UNKNOWN = 2, 5, 1, 7


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem. `meaning` says what it means and what to do."""

    name: str
    status: int
    title: str
    meaning: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Located:
    """A finding, and where the request has what it is about (null: nowhere)."""

    where: str
    reason: str
    blocks: bool
    pointer: str | None


@dataclass(frozen=True, slots=True)
class Problem:
    """The body of every answer that says no."""

    type: str
    title: str
    status: int
    detail: str
    exit_code: int
    findings: tuple[Located, ...] = field(default=())


def _of(error: type[TodokeError], name: str, title: str, meaning: str) -> Kind:
    return Kind(name, error.http_status, title, meaning, error.exit_code)


BY_ERROR: Mapping[type[TodokeError], Kind] = MappingProxyType(
    {
        errors.InvalidInput: _of(
            errors.InvalidInput,
            "invalid-input",
            "入力を直してください (invalid input)",
            "findings が示すところをすべて直して送り直してください。何も保存していません (mend every finding; nothing was saved)",
        ),
        errors.Unauthenticated: _of(
            errors.Unauthenticated,
            "unauthenticated",
            "鍵がないか、知らない鍵です (no or unknown token)",
            "Authorization: Bearer に自分の鍵を付けてください (send your own token)",
        ),
        errors.Throttled: _of(
            errors.Throttled,
            "throttled",
            "試行が多すぎます (too many attempts)",
            "Retry-After の秒数だけ待ってください (wait as long as Retry-After says)",
        ),
        errors.NotFound: _of(
            errors.NotFound,
            "not-found",
            "見つかりません (not found)",
            "識別子か宛先を確かめてください (check the identifier or the path)",
        ),
        errors.StaleHash: _of(
            errors.StaleHash,
            "stale",
            "ほかの人が先に変えました (changed meanwhile)",
            "いまの内容を読み直し、もう一度確かめてください (read it again, then decide)",
        ),
        errors.Standby: _of(
            errors.Standby,
            "standby",
            "この節点は待機中です (standby)",
            "当番の節点に送ってください (ask the node that is in charge)",
        ),
        errors.Refused: _of(
            errors.Refused,
            "refused",
            "規則により断りました (refused by a rule)",
            "detail が理由です。権限・状態・モードを確かめてください (the detail says why)",
        ),
        errors.StorageFull: _of(
            errors.StorageFull,
            "storage-full",
            "ディスクに書けません (storage full)",
            "何も受け付けていません。空きを作ってください (nothing was accepted; make room)",
        ),
        errors.TodokeError: _of(
            errors.TodokeError,
            "defect",
            "内部の誤りです (internal error)",
            "こちらの誤りです。記録に残しました (our own mistake; it stands in the log)",
        ),
    }
)

BY_STATUS: Mapping[int, Kind] = MappingProxyType(
    {
        404: BY_ERROR[errors.NotFound],
        405: Kind(
            "method-not-allowed",
            405,
            "この宛先にはないメソッドです (method not allowed)",
            "Allow が使えるメソッドです (Allow names those that are)",
            INVALID,
        ),
        406: Kind(
            "not-acceptable",
            406,
            "求められた形式では答えられません (not acceptable)",
            "Accept に application/json を入れてください (accept application/json)",
            INVALID,
        ),
        408: Kind(
            "too-slow", 408, "本文が届きません (request timeout)", "もう一度送ってください (send it again)", INVALID
        ),
        409: Kind(
            "in-progress",
            409,
            "同じ Idempotency-Key の要求の結果がまだわかりません (outcome not known)",
            "状況を見て、済んでいなければ新しい鍵で送ってください (look first; then use a new key)",
            REFUSED,
        ),
        413: Kind("too-large", 413, "本文が大きすぎます (content too large)", "短くしてください (send less)", INVALID),
        415: Kind(
            "unsupported-media-type",
            415,
            "読めない形式です (unsupported media type)",
            "application/json を、圧縮せずに UTF-8 で送ってください (send application/json in UTF-8)",
            INVALID,
        ),
        500: BY_ERROR[errors.TodokeError],
    }
)
KINDS: Mapping[str, Kind] = MappingProxyType(
    {kind.name: kind for kind in sorted({*BY_ERROR.values(), *BY_STATUS.values()}, key=lambda k: (k.status, k.name))}
)


class Said(Exception):  # noqa: N818 - HTTP's own way of saying no
    """A problem of HTTP itself, before any rule of the desk."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def of(error: TodokeError, body: Any = None) -> Problem:
    """What this branch of the tree says; `body` is the request's, which its findings are pointed into."""
    kind = next(BY_ERROR[branch] for branch in type(error).__mro__ if branch in BY_ERROR)
    findings = error.findings if isinstance(error, InvalidInput) else ()
    detail = str(error) if isinstance(error, errors.Refused | errors.StorageFull) else kind.meaning
    return Problem(
        f"{PREFIX}/problems/{kind.name}",
        kind.title,
        kind.status,
        detail,
        kind.exit_code,
        tuple(located(findings, body)),
    )


def of_status(status: int, detail: str = "") -> Problem:
    kind = BY_STATUS[status]
    return Problem(f"{PREFIX}/problems/{kind.name}", kind.title, kind.status, detail or kind.meaning, kind.exit_code)


def answer(problem: Problem, body: bytes, headers: Mapping[str, str]) -> web.Response:
    """The HTTP answer; `body` is the problem as JSON."""
    headers = {**HEADERS, **headers}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="todoke"'
    return web.Response(body=body, status=problem.status, content_type=MEDIA_TYPE, headers=headers)


# -- where a finding stands in the request --------------------------------------------------------------------------

_ALIAS: Mapping[str, str] = MappingProxyType({"area": "areas", "template": "template"})
_INFO = re.compile(r"info\[([A-Za-z-]+)\]\.?(.*)")


def located(findings: Sequence[Finding], body: Any) -> Iterator[Located]:
    for finding in findings:
        yield Located(finding.where, finding.reason, finding.blocks, pointer(finding.where, body))


def pointer(where: str, body: Any) -> str | None:
    """Where in a request's body the thing that the desk calls `where` stands; None if the body has no such place."""
    if where.startswith("/") or where == "":
        return where
    if not isinstance(body, dict):
        return None
    if info := _INFO.fullmatch(where):
        where = f"words.{info[1]}.{info[2]}" if info[2] else f"words.{info[1]}"
    first, *rest = where.split(".")
    first = _ALIAS.get(first, first)
    if first in body:
        return joined(first, *rest)
    return joined("typed", first, *rest) if isinstance(body.get("typed"), dict) else None


def joined(*tokens: str | int) -> str:
    """A JSON pointer of these reference tokens."""
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)
