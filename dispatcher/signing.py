"""Files that leave the house with a signature beside them: whoever has the public key can tell that not a byte was altered.

The signature stands in a file of its own, so that the file itself stays what it is, a CSV for any program.

Source: RFC 8032 §5.1 (Ed25519); FIPS 180-4.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

LARGEST_SIGNATURE_BYTES = 10_000
_SIGNED = ("sha256", "size", "about")


class Unsigned(ValueError):  # noqa: N818 - says what was seen
    """Not what was signed, or not by this key; the text says which."""


def signed(data: bytes, about: Mapping[str, Any], seed: bytes) -> dict[str, Any]:
    """The signature of these bytes and of what is said about them; `seed`: 32 bytes that are used for nothing else."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    said = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "about": dict(about)}
    return {**said, "key": key.public_key().public_bytes_raw().hex(), "signature": key.sign(_framed(said)).hex()}


def verified(data: bytes, signature: bytes, key: str) -> Mapping[str, Any]:
    """What was said about these bytes by whoever has the key; `key`: 64 hexadecimal digits, known from elsewhere.

    Raises:
        Unsigned: they are not what was signed, or another signed them.
    """
    try:
        said = json.loads(signature[:LARGEST_SIGNATURE_BYTES])
        known = {name: said[name] for name in _SIGNED}
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
        public.verify(bytes.fromhex(said["signature"]), _framed(known))
    except InvalidSignature as error:
        raise Unsigned("この鍵の署名ではありません (not signed by this key)") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unsigned("署名か鍵の形ではありません (no signature, or no key of 64 hexadecimal digits)") from error
    if known["sha256"] != hashlib.sha256(data).hexdigest():
        raise Unsigned("署名のあとで内容が変わっています (altered after it was signed)")
    about: Mapping[str, Any] = known["about"]
    return about


def _framed(said: Mapping[str, Any]) -> bytes:
    return b"todoke signed file 1\0" + json.dumps(said, sort_keys=True, ensure_ascii=False).encode()
