"""DKIM, where the relay does not sign: what is the same in every mail of an alert is hashed once, what is personal for each.

The template's headers are canonicalised once and the hash over them and over the common part of the body is copied for each mail;
what remains is a few headers, the personal lines and the signature itself. Both RSA and Ed25519 stand in a mail, because not every
receiver verifies the newer one. No time stamp is signed, so a repeat after a crash has the same bytes.

Source: RFC 6376 §3.4.2, §3.4.4 (relaxed), §3.5, §3.7, §5.4 (what to sign); RFC 8463 §3; RFC 8301 (RSA of 1024 bits
or more).
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

if TYPE_CHECKING:
    # hashlib gives its objects no public name of a type.
    from hashlib import _Hash

LEAST_RSA_BITS = 1024
GOOD_RSA_BITS = 2048
"""RFC 8301 §3.2: signers SHOULD use keys of at least so many."""
_PREHASHED = Prehashed(hashes.SHA256())
_SPACE = re.compile(rb"[ \t]+")
_FOLD = "\r\n\t"


class NoKey(ValueError):  # noqa: N818 - says what was seen
    """It is no private key that signs mail; the text says what is accepted."""


@dataclass(frozen=True)
class Key:
    """One key, as `selector._domainkey.domain` publishes its other half."""

    selector: str
    domain: str
    private: RSAPrivateKey | Ed25519PrivateKey

    @classmethod
    def read(cls, selector: str, domain: str, pem: str) -> "Key":
        """Raises NoKey."""
        try:
            private = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError) as error:
            raise NoKey("a private key as PEM, not locked by a password, is accepted") from error
        if isinstance(private, RSAPrivateKey):
            if private.key_size < LEAST_RSA_BITS:
                raise NoKey(f"RSA of {LEAST_RSA_BITS} bits or more is accepted; 2048 are usual")
        elif not isinstance(private, Ed25519PrivateKey):
            raise NoKey("RSA and Ed25519 are accepted")
        return cls(selector, domain, private)

    @property
    def bits(self) -> int:
        """Of an RSA key; an Ed25519 key, which has one length only, counts as a good one."""
        return self.private.key_size if isinstance(self.private, RSAPrivateKey) else GOOD_RSA_BITS

    @cached_property
    def algorithm(self) -> str:
        return "rsa-sha256" if isinstance(self.private, RSAPrivateKey) else "ed25519-sha256"

    def sign(self, digest: bytes) -> bytes:
        """Over the SHA-256 of what is signed (RFC 8463 §3 for Ed25519, which signs the hash itself)."""
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(digest, padding.PKCS1v15(), _PREHASHED)
        return self.private.sign(digest)


class Seal:
    """What the signatures of all mails of one template have in common. `places` stand for what is personal."""

    def __init__(self, template: bytes, keys: Sequence[Key], places: Sequence[bytes], own: bytes) -> None:
        """`own`: the place in the body; b"" if all of it is common."""
        head, _, body = template.partition(b"\r\n\r\n")
        fixed: list[tuple[bytes, bytes]] = []
        self._personal: list[tuple[bytes, bytes]] = []
        for header in re.split(rb"\r\n(?![ \t])", head):
            name, _, value = header.partition(b":")
            is_personal = any(place in value for place in places)
            (self._personal if is_personal else fixed).append((name.strip().lower(), _relaxed(value)))
        self._fixed = hashlib.sha256(b"".join(name + b":" + value + b"\r\n" for name, value in fixed))
        before, _, self._after = body.partition(own) if own else (body, b"", b"")
        self._body = hashlib.sha256(before)
        names = b":".join(name for name, _ in (*fixed, *self._personal)).decode()
        self._keys = [(key, _tags(key, names)) for key in keys]

    def headers(self, values: Mapping[bytes, bytes], own: bytes) -> bytes:
        """The DKIM-Signature headers of the mail in which these values stand in their places, and this in the body's."""
        body = self._body.copy()
        body.update(own + self._after)
        body_hash = base64.b64encode(body.digest()).decode()
        common = self._fixed.copy()
        for name, value in self._personal:
            filled = value
            for place, said in values.items():
                if place:
                    filled = filled.replace(place, said)
            common.update(name + b":" + _relaxed(filled) + b"\r\n")
        return b"".join(_signed(key, tags + body_hash + f";{_FOLD}b=", common.copy()) for key, tags in self._keys)


def _tags(key: Key, names: str) -> str:
    # Two signatures of a mail do not cover each other: each is complete in itself.
    folded = names.replace(":list-", f":{_FOLD} list-")
    return f"v=1; a={key.algorithm}; c=relaxed/relaxed;{_FOLD}d={key.domain}; s={key.selector};{_FOLD}h={folded};{_FOLD}bh="


def _signed(key: Key, value: str, common: "_Hash") -> bytes:
    common.update(b"dkim-signature:" + _relaxed(value.encode()))
    signature = base64.b64encode(key.sign(common.digest())).decode()
    lines = [signature[at : at + 72] for at in range(0, len(signature), 72)]
    return f"DKIM-Signature: {value}{(_FOLD + ' ').join(lines)}\r\n".encode()


def _relaxed(value: bytes) -> bytes:
    return _SPACE.sub(b" ", value.replace(b"\r\n", b"")).strip(b" \t")


def record(key: Key) -> str:
    """The TXT record to publish at `selector._domainkey.domain`."""
    public: Any = key.private.public_key()
    if isinstance(key.private, Ed25519PrivateKey):
        return f"v=DKIM1; k=ed25519; p={base64.b64encode(public.public_bytes_raw()).decode()}"
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"
