"""What residents write at a station is sealed to the node before it touches the station's disk: the station cannot read it.

Anybody can seal with the public key, which stands at every station; the private one never leaves the node. A station that is
carried off gives nothing away but how many wrote.

Source: libsodium "Sealed boxes" (X25519, XSalsa20-Poly1305); design.md §8 "Privacy".
"""

import os
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from multicast.key_files import KEY_BYTES, BadKey, read_hex, read_json, read_private, write_private, write_public

_PRIVATE, _PUBLIC = "todoke-answers-key", "todoke-answers"
ROUND_BYTES = 512
"""Lengths are rounded up to it: how long somebody wrote says something too."""


class Unopened(ValueError):  # noqa: N818 - says what was seen
    """Not sealed to this key, or altered since."""


class AnswerKey:
    """The node's."""

    def __init__(self, secret: bytes) -> None:
        self._key = PrivateKey(secret)
        self.public = bytes(self._key.public_key)

    @staticmethod
    def generate() -> "AnswerKey":
        return AnswerKey(os.urandom(KEY_BYTES))

    def open(self, sealed: bytes) -> bytes:
        """Raises Unopened."""
        try:
            return SealedBox(self._key).decrypt(sealed).rstrip(b"\0")
        except (CryptoError, ValueError, TypeError):
            raise Unopened("not sealed to this key") from None

    def save(self, path: Path) -> None:
        """Write the key (0600) and `path`.pub.

        Raises:
            BadKey: a file stands there already.
        """
        write_private(path, {"kind": _PRIVATE, "secret": bytes(self._key).hex()})
        write_public(path, {"kind": _PUBLIC, "public": self.public.hex()})


class Sealer:
    """The station's half."""

    def __init__(self, public: bytes) -> None:
        self._box = SealedBox(PublicKey(public))

    def seal(self, data: bytes) -> bytes:
        """Another result each time, even of the same data. `data` ends in no zero byte: it is JSON."""
        return self._box.encrypt(data.ljust(-len(data) % ROUND_BYTES + len(data), b"\0"))


def load_answer_key(path: Path) -> AnswerKey:
    """Raises BadKey: not the private key for answers, or readable by others."""
    return AnswerKey(read_hex(path, read_private(path, _PRIVATE), "secret"))


def load_sealer(path: Path) -> Sealer:
    """Raises BadKey: not the public key for answers."""
    values = read_json(path)
    if values.get("kind") != _PUBLIC:
        raise BadKey(f"{path}: kind: {values.get('kind')!r}; accepted is the public key for answers ({_PUBLIC})")
    return Sealer(read_hex(path, values, "public"))
