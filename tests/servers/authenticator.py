"""An authenticator in software: makes passkeys and signs with them, as a phone or a security key does.

It builds what a browser would hand over, byte by byte, and each of its habits can be spoilt, so that a test can be the attacker.

Source: W3C Web Authentication Level 3 §5.8.1, §6.1, §6.5.4, §8.7; RFC 9053 §2.1 (ES256), §2.2 (EdDSA).
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """One device with one passkey. `verifies`: asks for the finger or PIN; `counts`: keeps a signature counter."""

    algorithm: int = -7
    verifies: bool = True
    counts: bool = True
    id: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    handle: str = ""
    count: int = 0

    def __post_init__(self) -> None:
        self._key = (
            ec.generate_private_key(ec.SECP256R1()) if self.algorithm == -7 else ed25519.Ed25519PrivateKey.generate()
        )

    def create(self, options: Mapping[str, Any], origin: str) -> dict[str, Any]:
        """What `navigator.credentials.create()` gives, as JSON, with attestation "none"."""
        self.handle = options["user"]["id"]
        assert self.algorithm in {p["alg"] for p in options["pubKeyCredParams"]}
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cbor2.dumps(self._cose())
        data = self._data(options["rp"]["id"], ATTESTED) + attested
        client = self._client("webauthn.create", options["challenge"], origin)
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._credential({"clientDataJSON": b64(client), "attestationObject": b64(attestation)})

    def get(self, options: Mapping[str, Any], origin: str, **spoilt: Any) -> dict[str, Any]:
        """What `navigator.credentials.get()` gives, as JSON. `spoilt` replaces rp_id, type, challenge or user_handle."""
        if self.counts:
            self.count += 1
        data = self._data(spoilt.get("rp_id", options["rpId"]), 0)
        client = self._client(spoilt.get("type", "webauthn.get"), spoilt.get("challenge", options["challenge"]), origin)
        signature = self._sign(data + hashlib.sha256(client).digest())
        response = {"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature)}
        return self._credential({**response, "userHandle": spoilt.get("user_handle", self.handle)})

    def _credential(self, response: Mapping[str, str]) -> dict[str, Any]:
        about = {"id": b64(self.id), "rawId": b64(self.id), "type": "public-key", "clientExtensionResults": {}}
        return {**about, "response": dict(response), "authenticatorAttachment": "platform"}

    def _data(self, rp_id: str, flags: int) -> bytes:
        flags |= PRESENT | (VERIFIED if self.verifies else 0)
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    @staticmethod
    def _client(kind: str, challenge: str, origin: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": False}).encode()

    def _sign(self, data: bytes) -> bytes:
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            return self._key.sign(data, ec.ECDSA(hashes.SHA256()))
        return self._key.sign(data)

    def _cose(self) -> dict[int, Any]:
        public = self._key.public_key()
        if isinstance(public, ec.EllipticCurvePublicKey):
            numbers = public.public_numbers()
            x, y = (n.to_bytes(32, "big") for n in (numbers.x, numbers.y))
            return {1: 2, 3: -7, -1: 1, -2: x, -3: y}
        return {1: 1, 3: -8, -1: 6, -2: public.public_bytes(Encoding.Raw, PublicFormat.Raw)}
