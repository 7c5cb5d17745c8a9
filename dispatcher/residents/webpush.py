"""Web Push to one device: the message sealed for it alone, signed as ours, handed to the push service that the browser named.

The only door to http_ece and py_vapid. An address comes from whoever subscribes, so it is never trusted: HTTPS to a public
address only, looked at again when its name is resolved (names.py), no redirect, a few bytes of the answer at most.

Source: RFC 8030 §5 (TTL, Urgency, Topic), §7.3; RFC 8188; RFC 8291 §3; RFC 8292 §2, §3.
"""

import asyncio
import base64
import binascii
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import http_ece  # type: ignore[import-untyped]  # it has no types
import py_vapid  # type: ignore[import-untyped]  # it has no types

from dispatcher.clock import Clock
from dispatcher.errors import Finding, InvalidInput
from dispatcher.residents.names import PublicNames, leads_outside

LONGEST_ENDPOINT = 1024
TOKEN_S = 12 * 3600
TIMEOUT_S = 20.0
FIRST_TRIES, FURTHER_TRIES = 64, 16
"""Under way at once: what has failed before never takes the place of what has not been tried."""
NAMES_S = 60
"""How long a name that was judged leads where it led: it is called there and nowhere else."""
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}")


class Heard(StrEnum):
    """What the push service said."""

    TAKEN = "taken"
    GONE = "gone"
    """The device subscribes no more: never again."""
    LATER = "later"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Device:
    """One browser that subscribed. Nothing of it stands in a repr."""

    endpoint: str = field(repr=False)
    key: bytes = field(repr=False)
    """p256dh: 65 bytes, an uncompressed point."""
    auth: bytes = field(repr=False)
    """16 bytes."""
    language: str = "ja"


def device(said: Mapping[str, Any], *, is_loopback_fine: bool = False) -> Device:
    """What a browser sent as its subscription.

    Raises:
        InvalidInput: everything that is wrong with it; it is not quoted.
    """
    keys = said.get("keys")
    keys = keys if isinstance(keys, Mapping) else {}
    findings = [
        Finding("endpoint", "https:// で始まる公開の住所が要ります (a public https address is needed)")
        for _ in (1,)
        if not is_public(said.get("endpoint"), is_loopback_fine=is_loopback_fine)
    ]
    found = {}
    for name, length in (("p256dh", 65), ("auth", 16)):
        found[name] = _bytes(keys.get(name))
        if len(found[name]) != length:
            findings.append(Finding(f"keys.{name}", f"{length} バイトの base64url が要ります ({length} bytes needed)"))
    if len(found["p256dh"]) == 65 and not _is_a_point(found["p256dh"]):
        findings.append(Finding("keys.p256dh", "P-256 の点ではありません (not a point of P-256)"))
    language = said.get("language", "ja")
    if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
        findings.append(Finding("language", "ja、en のように書いてください (a language tag)"))
    if findings:
        raise InvalidInput(findings)
    return Device(str(said["endpoint"]), found["p256dh"], found["auth"], str(language))


def is_public(endpoint: object, *, is_loopback_fine: bool = False) -> bool:
    """Whether this may be a push service's address at all; its name is judged again when it is resolved."""
    if not isinstance(endpoint, str) or len(endpoint) > LONGEST_ENDPOINT or not endpoint.isascii():
        return False
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment or any(c <= " " for c in endpoint):
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return parts.scheme == "https" and port in {None, 443} and "." in host and not host[-1].isdigit()
    if address.is_loopback:
        return is_loopback_fine and parts.scheme in {"http", "https"}
    return parts.scheme == "https" and port in {None, 443} and leads_outside(host)


class Sender:
    """Signs and sends; `async with` it. `pem` is the city's own VAPID key, `contact` a mailto: or https: of who runs this."""

    def __init__(self, pem: str, contact: str, clock: Clock, names: PublicNames | None = None) -> None:
        self._vapid = py_vapid.Vapid02.from_pem(pem.encode())
        self._contact = contact
        self._clock = clock
        self._names = names or PublicNames()
        self._session: aiohttp.ClientSession | None = None

    @property
    def public_key(self) -> str:
        """As browsers want it: base64url of the uncompressed point."""
        numbers = self._vapid.public_key.public_numbers()
        return _text(b"\4" + numbers.x.to_bytes(32) + numbers.y.to_bytes(32))

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            connector=aiohttp.TCPConnector(
                limit=FIRST_TRIES + FURTHER_TRIES, resolver=self._names, ttl_dns_cache=NAMES_S
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def send(
        self, to: Device, message: Mapping[str, str], *, ttl_s: int, topic: str, timeout_s: float = TIMEOUT_S
    ) -> Heard:
        """One message to one device; what came of it. Never raises for what the service does."""
        assert self._session is not None
        headers = {
            "TTL": str(ttl_s),
            "Urgency": "high",
            "Topic": topic,
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "Authorization": self._authorization(to.endpoint),
        }
        try:
            body = seal(json.dumps(message, ensure_ascii=False).encode(), to)
            async with (
                asyncio.timeout(timeout_s),
                self._session.post(to.endpoint, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                status = answer.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            return Heard.LATER
        except ValueError:
            return Heard.REFUSED
        if 200 <= status < 300:
            return Heard.TAKEN
        if status in {404, 410}:
            return Heard.GONE
        return Heard.LATER if status == 429 or status >= 500 else Heard.REFUSED

    def _authorization(self, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        expires = int(self._clock.now().timestamp()) + TOKEN_S
        claims = {"aud": f"{parts.scheme}://{parts.netloc}", "sub": self._contact, "exp": expires}
        # `sign` changes what it is given.
        return str(self._vapid.sign(dict(claims))["Authorization"])


def seal(content: bytes, to: Device) -> bytes:
    """For this device alone, with a key that is used once.

    Raises:
        ValueError: its key is no point of the curve.
    """
    once = py_vapid.Vapid02()
    once.generate_keys()
    sealed: bytes = http_ece.encrypt(
        content, private_key=once.private_key, dh=to.key, auth_secret=to.auth, version="aes128gcm"
    )
    return sealed


def _is_a_point(key: bytes) -> bool:
    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    x, y = int.from_bytes(key[1:33]), int.from_bytes(key[33:])
    return key[0] == 4 and max(x, y) < p and (y * y - (x * x * x - 3 * x + b)) % p == 0


def _bytes(text: object) -> bytes:
    """base64url with or without padding; b"" for what is none."""
    if not isinstance(text, str) or len(text) > 200:
        return b""
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
