"""Coming in through the city's own directory: OpenID Connect, authorization code with PKCE. The only door to joserfc.

One secret in the browser's cookie stands for the whole way there and back: `state`, `nonce` and the PKCE verifier are derived from
it. So the node keeps nothing meanwhile, nobody can fill it up by setting out, and an answer that was begun in another browser is
worth nothing. One issuer is believed, by its exact name and its own keys; who comes back without a second factor, or without one
of the groups that the site file names, does not come in.

Source: OpenID Connect Core 1.0 §3.1.2, §3.1.3.7; Discovery 1.0 §4.3; RFC 7636 §4; RFC 9207 §2.4; RFC 9700 §2.1; RFC 8725 §3.
"""

import base64
import hashlib
import hmac
import json
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiohttp
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from config.directory import Directory, is_safe
from dispatcher.clock import Clock
from dispatcher.errors import InvalidInput, Refused, Unauthenticated
from dispatcher.staff.accounts.names import legible, named
from dispatcher.staff.sessions import Person

ALGORITHMS = ("RS256", "PS256", "ES256", "Ed25519", "EdDSA")
"""Public keys only: never `none`, never a shared secret (RFC 8725 §3.1)."""
TIMEOUT = aiohttp.ClientTimeout(total=10)
MAX_ANSWER_BYTES = 256_000
KEPT_S = 3600.0
"""How long the issuer's description is believed without asking again."""
KEYS_AGAIN_S = 60.0
"""An unknown key is asked for once in this time: whoever sends tokens with invented ones cannot drive us."""
LEEWAY_S = 60
MAX_AGE_S = 600
FAILED = "市の認証基盤からの返事を受け入れられません。もう一度サインインしてください (the directory's answer is not accepted)"


@dataclass(frozen=True, slots=True)
class Leaving:
    """Where to send the browser, and what it carries in a cookie (ten minutes, HttpOnly, SameSite=Lax) until it is back."""

    url: str
    cookie: str


@dataclass(frozen=True, slots=True)
class _Issuer:
    authorize: str
    token: str
    keys: str
    names_itself: bool
    """Says `iss` beside the code (RFC 9207)."""
    at_s: float


class Issuer:
    """The directory that the site file names. Open with `async with`."""

    def __init__(self, settings: Directory, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._known: _Issuer | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def __aenter__(self) -> Self:
        context = ssl.create_default_context(cafile=self._settings.ca)
        connector = aiohttp.TCPConnector(ssl=context, limit=8)
        self._http = aiohttp.ClientSession(
            connector=connector,
            timeout=TIMEOUT,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def begin(self) -> Leaving:
        """The way to the directory.

        Raises:
            Refused: it cannot be reached, or does not describe itself as it should.
        """
        issuer, cookie = await self._issuer(), secrets.token_urlsafe(32)
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._settings.redirect_url,
            "scope": "openid profile",
            "state": _derived(cookie, "state"),
            "nonce": _derived(cookie, "nonce"),
            "code_challenge": _b64(hashlib.sha256(_derived(cookie, "verifier").encode()).digest()),
            "code_challenge_method": "S256",
        }
        return Leaving(f"{issuer.authorize}{'&' if '?' in issuer.authorize else '?'}{urlencode(query)}", cookie)

    async def finish(self, query: Mapping[str, str], cookie: str) -> Person:
        """Who came back, with the roles that their groups mean.

        Raises:
            Unauthenticated: the answer is not one to the question that this browser asked, or its token is not right.
            Refused: the directory knows them, but they have no role here, no name, or gave no second factor.
        """
        issuer = await self._issuer()
        if not secrets.compare_digest(
            query.get("state", "").encode("utf-8", "replace"), _derived(cookie, "state").encode()
        ):
            raise Unauthenticated(FAILED)
        if query.get("iss", "" if issuer.names_itself else self._settings.issuer) != self._settings.issuer:
            raise Unauthenticated(FAILED)
        if "error" in query or not query.get("code"):
            raise Unauthenticated(f"{FAILED} {legible(query.get('error', 'no code'), 80)}")
        return self._person(await self._claims(await self._exchanged(issuer, query["code"], cookie), cookie))

    # -- asking the issuer -------------------------------------------------------------------------------------------

    async def _issuer(self) -> _Issuer:
        now_s = self._clock.monotonic()
        if self._known is None or now_s - self._known.at_s >= KEPT_S:
            found = await self._asked("GET", self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
            places = [found.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
            if found.get("issuer") != self._settings.issuer or not all(
                isinstance(place, str) and is_safe(place.partition("?")[0]) for place in places
            ):
                raise Refused(
                    f"{self._settings.issuer} は自分を正しく名乗りません (the issuer does not describe itself)"
                )
            authorize, token, keys = map(str, places)
            names_itself = found.get("authorization_response_iss_parameter_supported") is True
            self._known = _Issuer(authorize, token, keys, names_itself, now_s)
        return self._known

    async def _exchanged(self, issuer: _Issuer, code: str, cookie: str) -> str:
        """The ID token for this code."""
        form = {
            "grant_type": "authorization_code",
            "code": legible(code, 4096),
            "redirect_uri": self._settings.redirect_url,
            "code_verifier": _derived(cookie, "verifier"),
            "client_id": self._settings.client_id,
        }
        headers = {}
        if self._settings.client_secret is not None:
            pair = f"{quote(self._settings.client_id, safe='')}:{quote(self._settings.client_secret.reveal(), safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        try:
            answer = await self._asked("POST", issuer.token, data=form, headers=headers)
        except _NotTaken:
            raise Unauthenticated(FAILED) from None
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise Unauthenticated(FAILED)
        return token

    async def _asked(self, method: str, url: str, **more: Any) -> Mapping[str, Any]:
        """One JSON object from the issuer; never from where it redirects to, never more than it needs.

        Raises:
            Refused: it cannot be reached, or what it says is not JSON. _NotTaken: it says no.
        """
        try:
            async with self._http.request(method, url, allow_redirects=False, **more) as answer:
                body = await answer.content.read(MAX_ANSWER_BYTES + 1)
                while len(body) <= MAX_ANSWER_BYTES and (chunk := await answer.content.read(MAX_ANSWER_BYTES)):
                    body += chunk
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = type(error).__name__
            raise Refused(f"市の認証基盤につながりません (the directory cannot be reached): {reason}") from None
        if 400 <= status < 500:
            raise _NotTaken(f"市の認証基盤が断りました (the directory says no): {status}")
        try:
            found = json.loads(body) if status == 200 and len(body) <= MAX_ANSWER_BYTES else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Refused(f"市の認証基盤の返事が読めません (the directory's answer cannot be read): {status}")
        return found

    async def _issuers_keys(self, *, is_again: bool) -> KeySet | None:
        """The issuer's keys; None where they were asked for again only just now."""
        now_s = self._clock.monotonic()
        if self._keys is not None:
            age_s = now_s - self._keys[0]
            if is_again and age_s < KEYS_AGAIN_S:
                return None
            if not is_again and age_s < KEPT_S:
                return self._keys[1]
        found = await self._asked("GET", (await self._issuer()).keys)
        try:
            keys = KeySet.import_key_set({"keys": found["keys"]})
        except Exception:  # noqa: BLE001 - a key set can be wrong in as many ways as the library has exceptions
            raise Refused("市の認証基盤の鍵が読めません (the directory's keys cannot be read)") from None
        self._keys = (now_s, keys)
        return keys

    # -- judging what it says ----------------------------------------------------------------------------------------

    async def _claims(self, token: str, cookie: str) -> Mapping[str, Any]:
        """What the token claims, once its signature and everything that ties it to this sign-in hold."""
        keys = await self._issuers_keys(is_again=False)
        try:
            claims = self._read(token, keys)
        except Unauthenticated:
            # The issuer may have changed its keys since they were last asked for.
            claims = self._read(token, await self._issuers_keys(is_again=True))
        audience = claims["aud"]
        is_ours = audience == self._settings.client_id or (
            isinstance(audience, list)
            and self._settings.client_id in audience
            and (len(audience) == 1 or claims.get("azp") == self._settings.client_id)
        )
        nonce = claims["nonce"]
        is_answer = isinstance(nonce, str) and secrets.compare_digest(
            nonce.encode("utf-8", "replace"), _derived(cookie, "nonce").encode()
        )
        is_new = claims["iat"] >= self._clock.now().timestamp() - MAX_AGE_S - LEEWAY_S
        if not (
            is_ours and is_answer and is_new and claims.get("azp", self._settings.client_id) == self._settings.client_id
        ):
            raise Unauthenticated(FAILED)
        return claims

    def _read(self, token: str, keys: KeySet | None) -> Mapping[str, Any]:
        if keys is None or len(token) > MAX_ANSWER_BYTES:
            raise Unauthenticated(FAILED)
        needed = {name: {"essential": True} for name in ("aud", "exp", "iat", "nonce", "sub")}
        registry = jwt.JWTClaimsRegistry(
            now=int(self._clock.now().timestamp()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self._settings.issuer},
            **needed,  # type: ignore[arg-type]  # the library's TypedDict, spelt out
        )
        try:
            claims = jwt.decode(token, keys, algorithms=ALGORITHMS).claims
            registry.validate(claims)
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise Unauthenticated(FAILED) from None
        return claims

    def _person(self, claims: Mapping[str, Any]) -> Person:
        methods = claims.get("amr")
        if not isinstance(methods, list) or not set(self._settings.strong) & {m for m in methods if isinstance(m, str)}:
            raise Refused(
                "市の認証基盤で二つ目の確認（多要素認証）をして入ってください (the directory saw no second factor)"
            )
        groups = claims.get(self._settings.roles_claim)
        groups = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        roles = {role for group in groups if isinstance(group, str) for role in self._settings.roles.get(group, ())}
        given = claims.get(self._settings.name_claim)
        try:
            name, _ = named(given if isinstance(given, str) else "")
        except InvalidInput as error:
            raise Refused(f"市の認証基盤の名前が使えません (the directory's name cannot be used): {error}") from None
        if not roles:
            raise Refused(f"{name} にはこの節点での役割がありません (no group that has a role here)")
        return Person(name, tuple(sorted(roles)))


class _NotTaken(Refused):
    """The issuer answers, and the answer is no."""


def _derived(cookie: str, what: str) -> str:
    """43 characters for one use each; none of them tells another."""
    return _b64(hmac.new(cookie.encode("utf-8", "replace"), what.encode(), hashlib.sha256).digest())


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
