"""Speaks to a node's staff door (dispatcher/staff/api) on behalf of one person.

The standard library's client is enough: one request at a time, from a program that then exits.

Source: RFC 6750; draft-ietf-httpapi-idempotency-key-header-07; design.md §9.
"""

import http.client
import json
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

TIMEOUT_S = 60
PREFIX = "/api/v1"
"""Where the node's API is (dispatcher/staff/api)."""
NO_NODE = 1
NO_TOKEN = 7


class Said(Exception):  # noqa: N818 - an answer, and not always a bad one
    """The node said no, or is not there. `exit_code` as in design.md §9."""

    def __init__(self, message: str, exit_code: int, body: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.body = body or {"detail": message, "findings": [], "exit_code": exit_code}


class Client:
    """One person at one node. `is_rehearsing`: every act is asked for as a rehearsal, which writes nothing."""

    def __init__(self, url: str, token: str, *, is_rehearsing: bool = False) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._is_rehearsing = is_rehearsing

    @classmethod
    def of(cls, node: str | None, token_file: Path | None, *, is_rehearsing: bool = False) -> "Client":
        """From the options or the environment: TODOKE_NODE, TODOKE_TOKEN, TODOKE_TOKEN_FILE.

        Raises:
            Said: there is no token.
        """
        url = node or os.environ.get("TODOKE_NODE") or "http://127.0.0.1:8181"
        file = token_file or (Path(os.environ["TODOKE_TOKEN_FILE"]) if "TODOKE_TOKEN_FILE" in os.environ else None)
        try:
            token = file.read_text(encoding="utf-8").strip() if file else os.environ.get("TODOKE_TOKEN", "")
        except (OSError, UnicodeDecodeError) as error:
            raise Said(f"{file}: {getattr(error, 'strerror', None) or 'not UTF-8'}", NO_TOKEN) from None
        if not token:
            raise Said("鍵がありません。--token-file か TODOKE_TOKEN_FILE で渡してください (no token)", NO_TOKEN)
        if not token.isascii() or not token.isprintable():
            raise Said("鍵に使えない文字があります (the token has characters that no token has)", NO_TOKEN)
        return cls(url, token, is_rehearsing=is_rehearsing)

    def get(self, path: str, **query: str | None) -> Any:
        """What stands there. `query`: what is None is left out."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", path + (f"?{urlencode(given)}" if given else ""), None, {})

    def ask(self, path: str, body: Mapping[str, Any]) -> Any:
        """A question that is too long for an address."""
        return self._ask("POST", path, body, {})

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._act("POST", path, body)

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._act("PUT", path, body)

    def delete(self, path: str) -> Any:
        return self._act("DELETE", path, None)

    def take(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """An act that hands over a secret: it is said once, so it is asked for once."""
        return self._ask("POST", path + self._rehearsal(path), body, {})

    def _act(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        """An act is done once: where the answer was lost on its way, the same key asks for the same answer again."""
        path += self._rehearsal(path)
        headers = {"Idempotency-Key": secrets.token_urlsafe(16)}
        try:
            return self._ask(method, path, body, headers)
        except _Lost:
            return self._ask(method, path, body, headers)

    def _rehearsal(self, path: str) -> str:
        if not self._is_rehearsing:
            return ""
        return "&dry_run=true" if "?" in path else "?dry_run=true"

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the address is the operator's own
            self._url + PREFIX + path,
            data=None if body is None else json.dumps(body, ensure_ascii=False).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json", **headers},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - as above
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = _body(error.read())
            raise Said(said.get("detail") or str(error), said.get("exit_code", 1), said) from None
        except (http.client.HTTPException, ConnectionResetError, ConnectionAbortedError) as error:
            raise _Lost(self._no_node(error), NO_NODE) from None
        except (OSError, ValueError) as error:
            raise Said(self._no_node(getattr(error, "reason", error)), NO_NODE) from None

    def _no_node(self, reason: object) -> str:
        return f"{self._url} の節点が答えません。todoke serve は動いていますか (no node): {reason}"


class _Lost(Said):
    """The connection ended before the answer came: whether it was done is not known."""


def _body(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
