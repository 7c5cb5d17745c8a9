"""A small OpenID Connect provider on loopback: discovery, authorization code with PKCE, RS256 tokens signed by hand.

It checks what a provider must (client, redirect, verifier, one use of a code), and a test may ask it for a fault.

Source: OpenID Connect Core 1.0 §3.1; Discovery 1.0; RFC 7636 §4.6; RFC 7518 §3.3, §6.3.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from aiohttp import BasicAuth, web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from dispatcher.clock import Clock
from tests.servers.authenticator import b64

CLIENT, SECRET, REDIRECT = "todoke", "s3cret&%", "http://127.0.0.1:8181/directory"


@dataclass
class Provider:
    """`who` is whom it signs in; `spoil` may change claims, `forge` the whole token; `faults` are answers by path."""

    clock: Clock
    url: str = ""
    who: dict[str, Any] = field(default_factory=dict)
    spoil: dict[str, Any] = field(default_factory=dict)
    forge: Callable[["Provider", dict[str, Any]], str] | None = None
    faults: dict[str, web.Response] = field(default_factory=dict)
    describes: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key, self.key_id = _first_key(), "first"

    def change_keys(self) -> None:
        self.key, self.key_id = rsa.generate_private_key(public_exponent=65537, key_size=2048), "second"

    def visit(self, url: str) -> dict[str, str]:
        """What the browser brings back from the directory after its owner signed in there."""
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.url}/authorize"
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert asked["client_id"] == CLIENT
        assert asked["redirect_uri"] == REDIRECT
        assert asked["response_type"] == "code"
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return {"code": code, "state": asked["state"], "iss": self.url}

    async def describe(self, request: web.Request) -> web.Response:
        about = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "authorization_response_iss_parameter_supported": True,
        }
        return web.json_response({**about, **self.describes})

    async def keys(self, request: web.Request) -> web.Response:
        numbers = self.key.public_key().public_numbers()
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.key_id}
        key |= {"n": b64(numbers.n.to_bytes(256, "big")), "e": b64(numbers.e.to_bytes(3, "big"))}
        return web.json_response({"keys": [key, {"kty": "AKP", "kid": "a future kind"}]})

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        auth = BasicAuth.decode(request.headers["Authorization"])
        asked = self._codes.pop(str(form["code"]), None)
        verifier = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        is_client = (auth.login, auth.password) == (CLIENT, urlencode({"": SECRET})[1:])
        if (
            asked is None
            or not is_client
            or b64(verifier) != asked["code_challenge"]
            or form["redirect_uri"] != REDIRECT
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(self.clock.now().timestamp())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"], "sub": "0001"}
        claims = {name: value for name, value in {**claims, **self.who, **self.spoil}.items() if value is not None}
        return web.json_response({"id_token": (self.forge or Provider.signed)(self, claims), "token_type": "Bearer"})

    def signed(self, claims: dict[str, Any], **header: Any) -> str:
        text = _text({"alg": "RS256", "kid": self.key_id, "typ": "JWT", **header}) + "." + _text(claims)
        return f"{text}.{b64(self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def unsigned(self, claims: dict[str, Any]) -> str:
        return f"{_text({'alg': 'none'})}.{_text(claims)}."

    def shared(self, claims: dict[str, Any]) -> str:
        """Signed with the public key as if it were a shared secret: the classic confusion."""
        numbers = self.key.public_key().public_numbers()
        text = _text({"alg": "HS256", "kid": self.key_id}) + "." + _text(claims)
        return f"{text}.{b64(hmac.digest(numbers.n.to_bytes(256, 'big'), text.encode(), 'sha256'))}"

    def strangers(self, claims: dict[str, Any]) -> str:
        """Signed by somebody else, who says the right key's name and brings the own one along."""
        stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        numbers = stranger.public_key().public_numbers()
        own = {"kty": "RSA", "n": b64(numbers.n.to_bytes(256, "big")), "e": "AQAB"}
        text = _text({"alg": "RS256", "kid": self.key_id, "jwk": own}) + "." + _text(claims)
        return f"{text}.{b64(stranger.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    @web.middleware
    async def failing(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.path in self.faults:
            fault = self.faults[request.path]
            return web.Response(status=fault.status, headers=fault.headers, body=fault.body)
        answer: web.StreamResponse = await handler(request)
        return answer


@cache
def _first_key() -> rsa.RSAPrivateKey:
    """Making one takes a quarter of a second; every provider of a run begins with the same."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _text(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@asynccontextmanager
async def providing(clock: Clock) -> AsyncIterator[Provider]:
    """The provider while the block lasts."""
    provider = Provider(clock)
    app = web.Application(middlewares=[provider.failing])
    app.add_routes(
        [
            web.get("/.well-known/openid-configuration", provider.describe),
            web.get("/keys", provider.keys),
            web.post("/token", provider.token),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield provider
    finally:
        await runner.cleanup()
