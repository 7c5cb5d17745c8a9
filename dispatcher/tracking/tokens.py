"""Tokens: the unguessable word in a link that stands for one person in one event, so that nobody needs to sign in.

A token is derived, not drawn: whoever holds the key can make the same link again for a reminder, and the ledger keeps only a
hash, from which no link can be made. Of a stolen ledger nobody can answer for anybody.

Source: design.md §8 "Answer"; RFC 2104 (HMAC); RFC 4648 §6 (base32); NIST SP 800-107r1 §5.3.4 (an HMAC cut to 128 bits).
"""

import base64
import hashlib
import hmac
import re
from enum import StrEnum

KEY_BYTES = 32
TOKEN_BYTES = 16
_SHAPE = re.compile(r"[a-z2-7]{26}")


class Door(StrEnum):
    """Which page of the residents' site a token opens: the first piece of its path."""

    ANSWER = "a"
    ACKNOWLEDGE = "k"
    REGISTER = "m"
    SHELTER = "s"


class Tokens:
    """Tokens of one key. They never stand in a repr, because nothing of one is kept here."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"a key of {KEY_BYTES} bytes is needed")
        self._key = key

    def derive(self, *parts: str) -> str:
        """The token of these parts, a campaign and a person in it: 26 small letters and digits, 128 bits."""
        # Each part with its length: ("ab", "c") and ("a", "bc") are two people.
        said = b"".join([len(data := part.encode()).to_bytes(4) + data for part in ("token", *parts)])
        digest = hmac.digest(self._key, said, "sha256")[:TOKEN_BYTES]
        return base64.b32encode(digest).decode().rstrip("=").lower()


def written(typed: str) -> str:
    """A token as we write it, of what came in: letters may have been made large on the way; "" where it cannot be one."""
    token = typed.strip().lower() if len(typed) <= 64 else ""
    return token if _SHAPE.fullmatch(token) else ""


def hashed(token: str) -> str:
    """What the ledger keeps of a token: 64 hexadecimal digits. One that cannot be a token has a hash that nobody has."""
    # No key and no salt: 128 random bits are not found by trying, and a key that is rotated would shut out those asked before.
    return hashlib.sha256(b"todoke-token\0" + written(token).encode()).hexdigest()


def link(site_url: str, door: Door, token: str) -> str:
    """The page of this token, where residents reach it."""
    return f"{site_url.rstrip('/')}/{door}/{token}"
