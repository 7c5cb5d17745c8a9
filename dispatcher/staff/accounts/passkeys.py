"""Passkeys: WebAuthn, with the person verified by their own device. The only door to py_webauthn.

A passkey is both factors in one: what the device holds, and the finger or PIN that it asks for; and it answers only to the site
that it was made for, so it cannot be typed into a false one. Each challenge is used once, lives two minutes, and is kept in this
process: after a restart the browser simply asks again.

Source: W3C Web Authentication Level 3 §7.1, §7.2, §13.4.3; SP 800-63B-4 §3.2.5 (phishing resistance).
"""

import ipaddress
import json
import secrets
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, parse_client_data_json
from webauthn.helpers.options_to_json_dict import options_to_json_dict
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from dispatcher.clock import Clock
from dispatcher.errors import Refused, Unauthenticated
from dispatcher.staff.accounts.names import legible
from dispatcher.staff.accounts.register import Account, Passkey

LIFE_S = 120.0
MAX_CHALLENGES = 1024
MAX_OF_ONE = 8
"""Open challenges of one address or one person: nobody can crowd the others out."""
MAX_ANSWER_CHARACTERS = 20_000
MAX_PASSKEYS = 8
WRONG = "このパスキーでは入れません (this passkey is not accepted)"


@dataclass(frozen=True, slots=True)
class _Challenge:
    purpose: str
    whose: str
    until_s: float


class Passkeys:
    """The relying party at one origin, as `https://console.example.jp`."""

    def __init__(self, origin: str, clock: Clock) -> None:
        self._origin = origin.rstrip("/")
        self._site = _site(self._origin)
        self._clock = clock
        self._open: OrderedDict[bytes, _Challenge] = OrderedDict()

    def asking(self, remote: str) -> Mapping[str, Any]:
        """Options for `navigator.credentials.get()`: any passkey of this site will do, so no name is asked for or told."""
        options = generate_authentication_options(
            rp_id=self._require_site(),
            challenge=self._challenge("sign-in", remote),
            timeout=int(LIFE_S * 1000),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json_dict(options)

    def credential_of(self, answer: str | Mapping[str, Any]) -> str:
        """Which passkey answers; "" if that cannot be told."""
        identifier = _parsed(answer).get("id")
        return identifier if isinstance(identifier, str) else ""

    def answered(self, answer: str | Mapping[str, Any], account: Account | None) -> Account:
        """The account with the passkey's new count, not yet written down.

        Raises:
            Unauthenticated: whatever is wrong with the answer.
        """
        given = _parsed(answer)
        challenge, _ = self._taken(given, "sign-in")
        passkey = next((p for p in account.passkeys if p.id == given.get("id")), None) if account else None
        if account is None or passkey is None:
            raise Unauthenticated(WRONG)
        try:
            verified = verify_authentication_response(
                credential=given,
                expected_challenge=challenge,
                expected_rp_id=self._require_site(),
                expected_origin=self._origin,
                credential_public_key=base64url_to_bytes(passkey.public_key),
                credential_current_sign_count=passkey.sign_count,
                require_user_verification=True,
            )
            handle = given["response"].get("userHandle")
        except Exception:  # noqa: BLE001 - hostile bytes: the library and its CBOR reader raise whatever they met
            raise Unauthenticated(WRONG) from None
        if handle is not None and handle != account.handle:
            raise Unauthenticated(WRONG)
        used = replace(passkey, sign_count=verified.new_sign_count)
        return replace(account, passkeys=tuple(used if p.id == used.id else p for p in account.passkeys))

    def registering(self, account: Account, site_name: str) -> Mapping[str, Any]:
        """Options for `navigator.credentials.create()`, for somebody who is signed in.

        Raises:
            Refused: as many as one may have.
        """
        if len(account.passkeys) >= MAX_PASSKEYS:
            raise Refused(f"パスキーは{MAX_PASSKEYS}個までです (at most {MAX_PASSKEYS} passkeys)")
        options = generate_registration_options(
            rp_id=self._require_site(),
            rp_name=site_name,
            user_id=base64url_to_bytes(account.handle),
            user_name=account.name,
            challenge=self._challenge("register", account.key),
            timeout=int(LIFE_S * 1000),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(base64url_to_bytes(p.id)) for p in account.passkeys],
        )
        return options_to_json_dict(options)

    def registered(self, answer: str | Mapping[str, Any], account: Account, title: str) -> Passkey:
        """The new passkey.

        Raises:
            Unauthenticated: whatever is wrong with the answer.
        """
        given = _parsed(answer)
        challenge, whose = self._taken(given, "register")
        if whose != account.key:
            raise Unauthenticated(WRONG)
        try:
            verified = verify_registration_response(
                credential=given,
                expected_challenge=challenge,
                expected_rp_id=self._require_site(),
                expected_origin=self._origin,
                require_user_verification=True,
            )
        except Exception:  # noqa: BLE001 - as above
            raise Unauthenticated(WRONG) from None
        return Passkey(
            bytes_to_base64url(verified.credential_id),
            bytes_to_base64url(verified.credential_public_key),
            verified.sign_count,
            title,
            self._clock.now().isoformat(),
        )

    def _require_site(self) -> str:
        if not self._site:
            raise Refused(
                f"パスキーには名前のあるサイトがいります。{self._origin or '（未設定）'} では使えません "
                "(passkeys need https and a host name, or localhost)"
            )
        return self._site

    def _challenge(self, purpose: str, whose: str) -> bytes:
        now_s = self._clock.monotonic()
        for challenge, entry in list(self._open.items()):
            if entry.until_s <= now_s:
                del self._open[challenge]
        mine = [
            challenge for challenge, entry in self._open.items() if (entry.purpose, entry.whose) == (purpose, whose)
        ]
        for challenge in mine[: max(0, len(mine) + 1 - MAX_OF_ONE)]:
            del self._open[challenge]
        if len(self._open) >= MAX_CHALLENGES:
            busiest, _ = Counter(entry.whose for entry in self._open.values()).most_common(1)[0]
            del self._open[next(c for c, entry in self._open.items() if entry.whose == busiest)]
        challenge = secrets.token_bytes(32)
        self._open[challenge] = _Challenge(purpose, whose, now_s + LIFE_S)
        return challenge

    def _taken(self, given: Mapping[str, Any], purpose: str) -> tuple[bytes, str]:
        """The challenge that is answered and whose it was; nobody can answer it again."""
        try:
            challenge = parse_client_data_json(base64url_to_bytes(given["response"]["clientDataJSON"])).challenge
        except Exception:  # noqa: BLE001 - as above
            raise Unauthenticated(WRONG) from None
        entry = self._open.pop(challenge, None)
        if entry is None or entry.until_s <= self._clock.monotonic() or entry.purpose != purpose:
            raise Unauthenticated(WRONG)
        return challenge, entry.whose


def _parsed(answer: str | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(answer, str):
        return dict(answer)
    if len(answer) > MAX_ANSWER_CHARACTERS:
        return {}
    try:
        given = json.loads(answer)
    except (ValueError, RecursionError):
        return {}
    return given if isinstance(given, dict) else {}


def _site(origin: str) -> str:
    """The RP ID: the host, where browsers allow one (§5.1.2: no address; a secure context)."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    if host == "localhost":
        return host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host if parts.scheme == "https" else ""
    return ""


def titled(passkeys: Sequence[Passkey], title: str) -> str:
    """A title that tells this passkey from the others."""
    return legible(title, 40).strip() or f"パスキー{len(passkeys) + 1}"
