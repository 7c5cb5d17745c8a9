"""Speaks to a node's staff door (dispatcher/staff/api) on behalf of one person.

The standard library's client is enough: one request at a time, from a program that then exits.

Source: RFC 6750; design.md §9.
"""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    """One person at one node."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token

    @classmethod
    def of(cls, node: str | None, token_file: Path | None) -> "Client":
        """From the options or the environment: TODOKE_NODE, TODOKE_TOKEN, TODOKE_TOKEN_FILE.

        Raises:
            Said: there is no token.
        """
        url = node or os.environ.get("TODOKE_NODE") or "http://127.0.0.1:8181"
        file = token_file or (Path(os.environ["TODOKE_TOKEN_FILE"]) if "TODOKE_TOKEN_FILE" in os.environ else None)
        try:
            token = file.read_text(encoding="utf-8").strip() if file else os.environ.get("TODOKE_TOKEN", "")
        except OSError as error:
            raise Said(f"{file}: {error.strerror}", NO_TOKEN) from None
        if not token:
            raise Said("鍵がありません。--token-file か TODOKE_TOKEN_FILE で渡してください (no token)", NO_TOKEN)
        return cls(url, token)

    def get(self, path: str) -> Any:
        return self._ask(path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask(path, body)

    def _ask(self, path: str, body: Mapping[str, Any] | None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the address is the operator's own
            self._url + PREFIX + path,
            data=None if body is None else json.dumps(body, ensure_ascii=False).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - as above
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = _body(error.read())
            raise Said(said.get("detail") or str(error), said.get("exit_code", 1), said) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Said(
                f"{self._url} の節点が答えません。todoke serve は動いていますか (no node): {reason}", NO_NODE
            ) from None


def _body(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
