"""A push service on loopback with devices behind it: it checks our signature and opens what was sealed, by RFC 8291 and not by our library.

Source: RFC 8030 §5; RFC 8188 §2; RFC 8291 §3.3, §3.4; RFC 8292 §2.
"""

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dispatcher.listening import listening


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def data(said: str) -> bytes:
    return base64.urlsafe_b64decode(said + "=" * (-len(said) % 4))


class Phone:
    """A browser that subscribed: its keys, and what it was shown."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.public = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.auth = secrets.token_bytes(16)
        self.status = 201
        self.shown: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []

    def open(self, body: bytes) -> dict[str, Any]:
        salt, length = body[:16], body[20]
        theirs = body[21 : 21 + length]
        shared = self.private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs))
        keying = HKDF(hashes.SHA256(), 32, self.auth, b"WebPush: info\0" + self.public + theirs).derive(shared)
        mixed = HKDF.extract(hashes.SHA256(), salt, keying)
        key = HKDFExpand(hashes.SHA256(), 16, b"Content-Encoding: aes128gcm\0").derive(mixed)
        nonce = HKDFExpand(hashes.SHA256(), 12, b"Content-Encoding: nonce\0").derive(mixed)
        record = AESGCM(key).decrypt(nonce, body[21 + length :], None).rstrip(b"\0")
        assert record[-1] == 2, "the last record ends with 2"
        said: dict[str, Any] = json.loads(record[:-1])
        return said


class PushService:
    def __init__(self, url: str) -> None:
        self.url = url
        self.phones: dict[str, Phone] = {}
        self.is_answering = asyncio.Event()
        self.is_answering.set()

    def phone(self) -> tuple[Phone, dict[str, Any]]:
        """A new device, and its subscription as a browser gives it."""
        name, phone = secrets.token_hex(8), Phone()
        self.phones[name] = phone
        keys = {"p256dh": text(phone.public), "auth": text(phone.auth)}
        return phone, {"endpoint": f"{self.url}/push/{name}", "expirationTime": None, "keys": keys, "language": "ja"}

    async def take(self, request: web.Request) -> web.Response:
        phone = self.phones[request.match_info["name"]]
        phone.asked.append(dict(request.headers))
        await self.is_answering.wait()
        if phone.status == 201:
            signed(request.headers["Authorization"], self.url)
            phone.shown.append(phone.open(await request.read()))
        return web.Response(status=phone.status)


def signed(authorization: str, audience: str) -> dict[str, Any]:
    """The claims of a `vapid t=…,k=…`, if they are signed by the key that it names and are for this service."""
    scheme, _, rest = authorization.partition(" ")
    assert scheme == "vapid"
    parts = dict(piece.strip().split("=", 1) for piece in rest.split(","))
    head, body, signature = parts["t"].split(".")
    raw = data(signature)
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data(parts["k"]))
    pair = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    key.verify(pair, f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
    claims: dict[str, Any] = json.loads(data(body))
    assert claims["aud"] == audience
    assert claims["sub"].startswith("mailto:")
    return {**claims, "k": parts["k"]}


@asynccontextmanager
async def push_service() -> AsyncIterator[PushService]:
    application = web.Application()
    service = PushService("")
    application.router.add_post("/push/{name}", service.take)
    async with listening(application, "127.0.0.1", 0) as (_, port):
        service.url = f"http://127.0.0.1:{port}"
        yield service
