"""Sealing: bytes that nobody reads or alters without the key, and codes that nobody makes without it.

A secret never seals by itself: each purpose derives a key of its own from it, so that what was made for one opens nothing of
another. Whose it is goes in as associated data: nobody's row can be put in another's place. The only door to cryptography's AES
and HKDF.

Source: NIST SP 800-38D §8.2 (96 random bits for each message, ≤ 2^32 messages a key); RFC 5869 (HKDF); RFC 2104; RFC 4648 §6.
"""

import base64
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12


class Unopened(Exception):  # noqa: N818 - says what was seen
    """Another key, another owner, or altered bytes: which of them cannot be told."""


def derived(secret: bytes, purpose: str) -> bytes:
    """The 32-byte key of one purpose."""
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=purpose.encode()).derive(secret)


class Box:
    """Seals and opens under the key of one purpose."""

    __slots__ = ("_cipher",)

    def __init__(self, secret: bytes, purpose: str) -> None:
        self._cipher = AESGCM(derived(secret, purpose))

    def close(self, data: bytes, whose: bytes) -> bytes:
        """Nonce and sealed bytes: NONCE_BYTES + 16 longer than `data`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, whose)

    def open(self, sealed: bytes, whose: bytes) -> bytes:
        """Raises Unopened."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], whose)
        except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
            raise Unopened from None


class Coder:
    """Codes of the key of one purpose: the same for the same thing, comparable and countable, meaningless without the key."""

    __slots__ = ("_key",)

    def __init__(self, secret: bytes, purpose: str) -> None:
        self._key = derived(secret, purpose)

    def code(self, kind: str, value: str, *, size_bytes: int = 10) -> str:
        """16 small letters and digits (26 for 16 bytes); `kind` keeps a quarter from ever having a cohort's code."""
        said = len(kind).to_bytes(4) + kind.encode() + value.encode()
        return base64.b32encode(hmac.digest(self._key, said, "sha256")[:size_bytes]).decode().rstrip("=").lower()
