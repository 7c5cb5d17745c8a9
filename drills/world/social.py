"""An X API v2 stand-in: a real HTTP server that is as strict as X about what a post may be, and fails when asked to.

It checks the OAuth 1.0a signature over X's own origin (tweepy signs for that, wherever the request goes), the nonce, the
time, the weighted length and duplicates, shows the timeline as X does (escaped, addresses as t.co), and writes every post to
posts.jsonl. Faults are asked of it by name, for the next requests.

Source: RFC 5849 §3.4; docs.x.com "Create Post", "User Posts timeline by User ID", "Error troubleshooting"; facts.md §Social.
"""

import asyncio
import base64
import hashlib
import hmac
import html
import json
import shutil
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.parse import parse_qsl, quote, unquote

from aiohttp import web

from channels.social.thread import is_postable, weight
from config.city import City
from dispatcher.clock import SystemClock

ORIGIN = "https://api.twitter.com"
WINDOW_S = 300
"""How far a request's time may be from ours."""
ACCOUNT = "todoke_kunren"


class Fault(StrEnum):
    """What the next request meets."""

    HTML_503 = "html_503"
    """An HTML page, nothing posted."""
    HTML_503_POSTED = "html_503_posted"
    """The same page, and the post was made."""
    RATE_LIMIT = "rate_limit"
    SILENT = "silent"
    """No answer at all, nothing posted."""
    SILENT_POSTED = "silent_posted"
    """The post is made and the answer never comes."""
    CUT_POSTED = "cut_posted"
    """The post is made and the connection drops."""
    SUSPENDED = "suspended"
    GARBLED = "garbled"
    """A 2xx whose JSON is of another form."""


def signature(method: str, url: str, parameters: list[tuple[str, str]], consumer_secret: str, token_secret: str) -> str:
    """HMAC-SHA1 over the base string, base64. `parameters` are oauth_* without the signature, and the query's."""
    encoded = sorted((_encode(k), _encode(v)) for k, v in parameters)
    base = "&".join([method.upper(), _encode(url), _encode("&".join(f"{k}={v}" for k, v in encoded))])
    key = f"{_encode(consumer_secret)}&{_encode(token_secret)}"
    return base64.b64encode(hmac.new(key.encode(), base.encode(), hashlib.sha1).digest()).decode()


def _encode(text: str) -> str:
    return quote(text, safe="-._~")


class World:
    """X with one account, on loopback."""

    def __init__(self, state_dir: Path, city: City, seed: int) -> None:
        del city
        self._dir = state_dir
        self._clock = SystemClock()
        digest = hashlib.sha256(f"social {seed}".encode()).hexdigest()
        self.user_id = str(int(digest[:15], 16))
        self.account = ACCOUNT
        self._keys = {
            "consumer_key": digest[:25],
            "consumer_secret": digest[8:58],
            "access_token": f"{self.user_id}-{digest[20:60]}",
            "access_token_secret": digest[16:61],
        }
        self.posts: list[dict[str, Any]] = []
        self.reset_in_s = 2
        """What a rate limit claims."""
        self.requests: list[tuple[str, str]] = []
        """(method, path) of every request that was answered or not."""
        self._faults: dict[str, deque[Fault | None]] = {"POST": deque(), "GET": deque()}
        self._nonces: set[tuple[str, str]] = set()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._first_byte_at: str | None = None

    async def __aenter__(self) -> Self:
        self._dir.mkdir(parents=True, exist_ok=True)
        for name, value in self._keys.items():
            path = self._dir / name
            path.touch(mode=0o600)
            path.write_text(value)
        if self._log.exists():
            self.posts = [json.loads(line) for line in self._log.read_text("utf-8").splitlines()]
        self._log.touch()
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    def settings(self) -> Mapping[str, Any]:
        return {
            "account": self.account,
            **{name: {"file": str(self._dir / name)} for name in self._keys},
            "api_url": self.url,
            "languages": ["ja", "ja-x-easy", "en-US"],
        }

    async def keep(self, folder: Path) -> None:
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        await asyncio.to_thread(shutil.copyfile, self._log, folder / "posts.jsonl")

    def report(self) -> Mapping[str, Any]:
        return {"posts": len(self.posts), "first_byte_at": self._first_byte_at}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def keys(self) -> Mapping[str, str]:
        return self._keys

    def ask(self, fault: Fault, times: int = 1, method: str = "POST") -> None:
        """The next `times` requests of that method meet the fault."""
        self._faults[method].extend([fault] * times)

    def ask_after(self, posts: int, fault: Fault) -> None:
        """That many posts go well, the next meets the fault."""
        self._faults["POST"].extend([*[None] * posts, fault])

    def delete(self, post_id: str) -> None:
        """As a person would by hand."""
        self.posts = [post for post in self.posts if post["id"] != post_id]

    @asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        """Nobody listens inside."""
        await self._stop()
        try:
            yield
        finally:
            await self._start()

    @property
    def _log(self) -> Path:
        return self._dir / "posts.jsonl"

    async def _start(self) -> None:
        app = web.Application(client_max_size=64 * 1024)
        app.router.add_post("/2/tweets", self._create)
        app.router.add_get("/2/users/me", self._me)
        app.router.add_get("/2/users/{id}/tweets", self._timeline)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _create(self, request: web.Request) -> web.StreamResponse:
        self._first_byte_at = self._first_byte_at or self._clock.now().isoformat()
        self._authenticate(request)
        fault = await self._meet(request)
        body = await request.json()
        if not isinstance(body, dict) or not isinstance(body.get("text"), str) or not body["text"].strip():
            _refuse(400, "Invalid Request", "One or more parameters to your request was invalid.")
        text = body["text"].strip()
        if not is_postable(text):
            words = (
                "Your Tweet text is too long." if weight(text) > 280 else "Your Tweet text contains invalid characters."
            )
            _refuse(400, "Bad Request", words)
        if any(post["text"] == text for post in self.posts):
            _refuse(403, "Forbidden", "You are not allowed to create a Tweet with duplicate content.")
        above = (body.get("reply") or {}).get("in_reply_to_tweet_id")
        if above is not None and all(post["id"] != above for post in self.posts):
            _refuse(403, "Forbidden", "You attempted to reply to a Tweet that is deleted or not visible to you.")
        post = self._keep_post(text, above)
        if fault is Fault.SILENT_POSTED:
            await asyncio.Event().wait()
        if fault is Fault.CUT_POSTED:
            assert request.transport is not None
            request.transport.abort()
        if fault is Fault.HTML_503_POSTED:
            _html_503()
        if fault is Fault.GARBLED:
            return web.json_response({"data": [post["id"]]}, status=201)
        return web.json_response(
            {"data": {"edit_history_tweet_ids": [post["id"]], "id": post["id"], "text": _shown(text)[0]}}, status=201
        )

    async def _me(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        await self._meet(request)
        return web.json_response({"data": {"id": self.user_id, "name": self.account, "username": self.account}})

    async def _timeline(self, request: web.Request) -> web.StreamResponse:
        self._authenticate(request)
        await self._meet(request)
        if request.match_info["id"] != self.user_id:
            _refuse(404, "Not Found", "Could not find user.")
        wanted = int(request.query.get("max_results", "10"))
        if not 5 <= wanted <= 100:
            _refuse(400, "Invalid Request", "max_results must be between 5 and 100")
        data = []
        for post in reversed(self.posts[-wanted:]):
            text, urls = _shown(post["text"])
            data.append(
                {"id": post["id"], "text": text, "created_at": post["created_at"]}
                | ({"entities": {"urls": urls}} if urls else {})
            )
        return web.json_response(({"data": data} if data else {}) | {"meta": {"result_count": len(data)}})

    def _keep_post(self, text: str, above: str | None) -> dict[str, Any]:
        now = self._clock.now()
        post = {
            "id": str(1_900_000_000_000_000_000 + len(self.posts) + int(now.timestamp() * 1000)),
            "created_at": now.isoformat(timespec="milliseconds"),
            "author": self.account,
            "text": text,
            "in_reply_to": above,
        }
        self.posts.append(post)
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(post, ensure_ascii=False) + "\n")
        return post

    async def _meet(self, request: web.Request) -> Fault | None:
        """The fault asked for this request, if it comes after the post; those that come before never return."""
        self.requests.append((request.method, request.path))
        faults = self._faults[request.method]
        fault = faults.popleft() if faults else None
        if fault is Fault.HTML_503:
            _html_503()
        if fault is Fault.RATE_LIMIT:
            reset = int(self._clock.now().timestamp()) + self.reset_in_s
            _refuse(
                429,
                "Too Many Requests",
                "Too Many Requests",
                {"x-rate-limit-reset": str(reset), "x-rate-limit-remaining": "0"},
            )
        if fault is Fault.SUSPENDED:
            _refuse(403, "Forbidden", "Your account is suspended and is not permitted to access this feature.")
        if fault is Fault.SILENT:
            await asyncio.Event().wait()
        return fault

    def _authenticate(self, request: web.Request) -> None:
        """Raises: HTTPUnauthorized, as X says it, unless the signature, nonce and time are right."""
        scheme, _, fields = request.headers.get("Authorization", "").partition(" ")
        given = {
            unquote(name.strip()): unquote(value.strip().strip('"'))
            for name, _, value in (field.partition("=") for field in fields.split(","))
        }
        query = parse_qsl(request.url.raw_query_string, keep_blank_values=True)
        signed = [(k, v) for k, v in given.items() if k not in {"realm", "oauth_signature"}] + query
        expected = signature(
            request.method,
            ORIGIN + request.url.raw_path,
            signed,
            self._keys["consumer_secret"],
            self._keys["access_token_secret"],
        )
        at = given.get("oauth_timestamp", "")
        nonce = (at, given.get("oauth_nonce", ""))
        is_right = (
            scheme == "OAuth"
            and given.get("oauth_consumer_key") == self._keys["consumer_key"]
            and given.get("oauth_token") == self._keys["access_token"]
            and given.get("oauth_signature_method") == "HMAC-SHA1"
            and given.get("oauth_version", "1.0") == "1.0"
            and hmac.compare_digest(given.get("oauth_signature", "").encode(), expected.encode())
            and at.isdigit()
            and abs(int(at) - datetime.timestamp(self._clock.now())) <= WINDOW_S
            and nonce not in self._nonces
        )
        if not is_right:
            _refuse(401, "Unauthorized", "Unauthorized")
        self._nonces.add(nonce)


def _shown(text: str) -> tuple[str, list[dict[str, str]]]:
    """The text as the API shows it: addresses shortened, then & < > escaped; and what the short ones stand for."""
    urls = []
    for word in text.split():
        if word.startswith(("http://", "https://")):
            short = f"https://t.co/{hashlib.sha256(word.encode()).hexdigest()[:10]}"
            urls.append({"url": short, "expanded_url": word})
            text = text.replace(word, short)
    return html.escape(text, quote=False), urls


def _refuse(status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> NoReturn:
    body = json.dumps({"title": title, "detail": detail, "type": "about:blank", "status": status})
    classes: dict[int, type[web.HTTPException]] = {
        400: web.HTTPBadRequest,
        401: web.HTTPUnauthorized,
        403: web.HTTPForbidden,
        404: web.HTTPNotFound,
        429: web.HTTPTooManyRequests,
    }
    raise classes[status](text=body, content_type="application/json", headers=headers)


def _html_503() -> NoReturn:
    raise web.HTTPServiceUnavailable(text="<html><body><h1>Over capacity</h1></body></html>", content_type="text/html")
