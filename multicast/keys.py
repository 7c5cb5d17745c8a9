"""Who may speak to the group: an offline root, its 30-day sender keys, and what a receiver trusts.

The root key never stands on a networked machine; it signs a certificate of 106 bytes that fits an LCT extension, so a
receiver that knows the root alone learns the sender's key from the packets themselves. A certificate also says whether
its holder speaks for real (Actual) or in drills (Exercise): a drill key cannot sign a live notice.

Source: RFC 8032 (Ed25519); facts.md §Wi-Fi multicast "Authentication"; CAP 1.2 §3.2.1 (status).
"""

import base64
import binascii
import hashlib
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from multicast.key_files import KEY_BYTES, BadKey, read_hex, read_json, read_private, write_private, write_public
from multicast.packet import CERTIFICATE_BYTES, KEY_ID_BYTES, SIGNATURE_BYTES

Status = Literal["Actual", "Exercise"]
STATUSES: Final[tuple[Status, ...]] = ("Actual", "Exercise")
CERTIFICATE_DAYS: Final = 30

_CERTIFICATE_DOMAIN: Final = b"todoke sender certificate 1\0"
_BODY = struct.Struct(">BBII32s")  # version, status, issued, expires (UNIX seconds), public key
_MAX_SENDERS: Final = 8


@dataclass(frozen=True, slots=True)
class Certificate:
    """The root's word that this public key may send until `expires_s` (UNIX seconds)."""

    public: bytes
    status: Status
    issued_s: int
    expires_s: int
    signature: bytes = field(repr=False)

    def body(self) -> bytes:
        return _BODY.pack(1, STATUSES.index(self.status), self.issued_s, self.expires_s, self.public)

    def write(self) -> bytes:
        return self.body() + self.signature


def read_certificate(data: bytes) -> Certificate:
    """A certificate as it stands in a packet; nothing is verified.

    Raises:
        BadKey: not a certificate.
    """
    if len(data) != CERTIFICATE_BYTES:
        raise BadKey(f"a certificate has {CERTIFICATE_BYTES} bytes, not {len(data)}")
    version, status, issued_s, expires_s, public = _BODY.unpack_from(data)
    if version != 1 or status >= len(STATUSES):
        raise BadKey("a certificate of another version")
    return Certificate(public, STATUSES[status], issued_s, expires_s, data[-SIGNATURE_BYTES:])


class RootKey:
    """The offline key of the city."""

    def __init__(self, seed: bytes) -> None:
        self._key = SigningKey(seed)
        self.public = bytes(self._key.verify_key)

    @staticmethod
    def generate() -> "RootKey":
        return RootKey(os.urandom(KEY_BYTES))

    def certify(self, public: bytes, status: Status, issued_s: int, days: float = CERTIFICATE_DAYS) -> Certificate:
        unsigned = Certificate(public, status, issued_s, issued_s + round(days * 86_400), b"")
        signature = self._key.sign(_CERTIFICATE_DOMAIN + unsigned.body()).signature
        return Certificate(public, status, unsigned.issued_s, unsigned.expires_s, signature)

    def save(self, path: Path) -> None:
        """Write the key (0600) and `path`.pub.

        Raises:
            BadKey: a file stands there already.
        """
        write_private(path, {"kind": "todoke-root-key", "seed": bytes(self._key).hex()})
        write_public(path, {"kind": "todoke-root", "public": self.public.hex()})


class SenderKey:
    """The key of one sender, with the root's certificate when there is one. Keeps `multicast.packet.Signer`."""

    def __init__(self, seed: bytes, status: Status, certificate: Certificate | None = None) -> None:
        self._key = SigningKey(seed)
        self.public = bytes(self._key.verify_key)
        self.key_id = key_id_of(self.public)
        self.status: Status = status
        self.certificate = certificate
        if certificate and (certificate.public != self.public or certificate.status != status):
            raise BadKey("the certificate is for another key or another status")

    @staticmethod
    def generate(
        status: Status, root: RootKey | None = None, *, now_s: float, days: float = CERTIFICATE_DAYS
    ) -> "SenderKey":
        seed = os.urandom(KEY_BYTES)
        public = bytes(SigningKey(seed).verify_key)
        return SenderKey(seed, status, root.certify(public, status, int(now_s), days) if root else None)

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message).signature

    def save(self, path: Path) -> None:
        """Write the key (0600) and `path`.pub.

        Raises:
            BadKey: a file stands there already.
        """
        certificate = base64.b64encode(self.certificate.write()).decode() if self.certificate else None
        write_private(
            path,
            {
                "kind": "todoke-sender-key",
                "status": self.status,
                "seed": bytes(self._key).hex(),
                "certificate": certificate,
            },
        )
        write_public(path, {"kind": "todoke-sender", "status": self.status, "public": self.public.hex()})


def key_id_of(public: bytes) -> bytes:
    """The four bytes that name a key in EXT_AUTH. They find it; they prove nothing."""
    return hashlib.sha256(public).digest()[:KEY_ID_BYTES]


def load_root(path: Path) -> RootKey:
    """Raises BadKey: not a root's private key, or readable by others."""
    return RootKey(read_hex(path, read_private(path, "todoke-root-key"), "seed"))


def load_sender(path: Path) -> SenderKey:
    """Raises BadKey: not a sender's private key, readable by others, or its certificate is for another key."""
    values = read_private(path, "todoke-sender-key")
    status, text = values.get("status"), values.get("certificate")
    if status not in STATUSES:
        raise BadKey(f"{path}: status: {status!r}; accepted are {', '.join(STATUSES)}")
    try:
        certificate = read_certificate(base64.b64decode(text, validate=True)) if text else None
        return SenderKey(read_hex(path, values, "seed"), status, certificate)
    except (binascii.Error, TypeError, BadKey) as error:
        raise BadKey(f"{path}: certificate: {error}") from error


@dataclass(frozen=True, slots=True)
class Sender:
    """A sender that a receiver believes, until `expires_s` (None: as long as the receiver is told so)."""

    public: bytes
    status: Status | None
    expires_s: int | None
    _verify: VerifyKey = field(repr=False, compare=False)

    def verify(self, message: bytes, signature: bytes) -> bool:
        try:
            self._verify.verify(message, signature)
        except (BadSignatureError, ValueError):
            return False
        return True


class Trust:
    """Whom a receiver believes: one root and whoever it certifies, or one sender's key and nobody else."""

    def __init__(self, *, root: bytes | None = None, sender: bytes | None = None, status: Status | None = None) -> None:
        if (root is None) == (sender is None):
            raise BadKey("trust takes a root's or a sender's public key, one of the two")
        self._root = _verify_key(root) if root else None
        self._status = status
        self._senders: dict[bytes, Sender] = {}
        if sender:
            self._senders[key_id_of(sender)] = Sender(sender, status, None, _verify_key(sender))

    def sender(self, key_id: bytes, now_s: float) -> Sender | None:
        """Who signs under this key id, if believed at `now_s`."""
        found = self._senders.get(key_id)
        if found and found.expires_s is not None and found.expires_s <= now_s:
            del self._senders[key_id]
            return None
        return found

    def senders(self, now_s: float) -> list[Sender]:
        """Everybody believed at `now_s`: few, for a message that does not name its key."""
        return [sender for key_id in tuple(self._senders) if (sender := self.sender(key_id, now_s))]

    def is_new(self, certificate: bytes) -> bool:
        """Whether looking at this certificate could teach us anything: asked before the dear question."""
        return self._root is not None and all(s.public != certificate[10:42] for s in self._senders.values())

    def admit(self, certificate: bytes, now_s: float) -> Sender | None:
        """The sender that the root certifies here, remembered; None when it is forged, expired or for another status."""
        try:
            read = read_certificate(certificate)
            key = _verify_key(read.public)
        except BadKey:
            return None
        if self._root is None or not read.issued_s < read.expires_s or read.expires_s <= now_s:
            return None
        if self._status is not None and read.status != self._status:
            return None
        try:
            self._root.verify(_CERTIFICATE_DOMAIN + read.body(), read.signature)
        except (BadSignatureError, ValueError):
            return None
        if len(self._senders) >= _MAX_SENDERS:
            self._senders.pop(next(iter(self._senders)))
        sender = Sender(read.public, read.status, read.expires_s, key)
        self._senders[key_id_of(read.public)] = sender
        return sender


def load_trust(path: Path, status: Status | None = None) -> Trust:
    """Trust in the root's or the sender's public key in `path`.

    Raises:
        BadKey: no such file, a private key, or a key of another status than asked for.
    """
    values = read_json(path)
    match values.get("kind"):
        case "todoke-root":
            return Trust(root=read_hex(path, values, "public"), status=status)
        case "todoke-sender":
            said = values.get("status")
            if said not in STATUSES or (status and said != status):
                raise BadKey(f"{path}: status: the key is for {said}, asked for was {status or ' or '.join(STATUSES)}")
            return Trust(sender=read_hex(path, values, "public"), status=said)
        case kind:
            raise BadKey(f"{path}: kind: {kind!r}; accepted is a public key (todoke-root, todoke-sender)")


def _verify_key(public: bytes) -> VerifyKey:
    try:
        return VerifyKey(public)
    except (ValueError, TypeError) as error:
        raise BadKey(f"not a public key: {error}") from error
