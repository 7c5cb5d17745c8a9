"""What the node says to terminals: the signed notice, a message or a question.

It is one JSON object that people can read in mosquitto_sub, and it ends with its proof: the last members are `kid` and `sig`
(Ed25519). The proof covers the *bytes* before it, so nobody has to agree on how JSON is written.

What makes a notice old is said per thread (the message and all that follows it): an order that arrives after its own retraction
is old, a second order that waited behind a more urgent one is not. `seq` rises with every message of a thread.

Source: channels/ip_terminal/FORMAT.md; facts.md §IP notification terminals; RFC 8032 (Ed25519); RFC 8259.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_BYTES: Final = 32
"""Of a signing key's seed, a public key, a terminal's MAC key."""
LARGEST_NOTICE_BYTES: Final = 65_536
MOST_SIGNATURES: Final = 5
"""On one notice: the current key's, and those of the keys that it replaced."""
ASK: Final = "ask"
"""What a question says of itself where an alert says its verb."""
BUTTONS: Final = ("safe", "injured", "rescue")
"""無事, けが, 助けて: what the labels of a question are named by, and what an answer says (receipt.py State)."""
LONGEST_ID: Final = 200
"""Characters of an alert's identifier."""

_DOMAIN: Final = b"todoke terminal notice 1\0"


class Forged(ValueError):  # noqa: N818 - says what was seen
    """Bytes that nobody we trust has signed, or that are no notice or receipt at all."""


@dataclass(frozen=True, slots=True)
class Words:
    """The notice in one language. What stands first bears the drill's banner; "" where the alert says nothing."""

    language: str
    event: str
    headline: str
    place: str
    text: str
    instruction: str = ""
    shelters: str = ""
    sender: str = ""
    contact: str = ""
    buttons: "tuple[str, str, str] | None" = None
    """Of a question: what stands on the buttons safe, injured, rescue. None: the message asks nothing."""

    @property
    def whole(self) -> str:
        """All that a person meets as one piece: the place is said even where the headline does not."""
        parts = (self.headline, self.place, self.text, self.instruction, self.shelters)
        return "\n".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Notice:
    """One message as a terminal gets it."""

    mid: str
    """The alert's identifier."""
    thread: str
    """Identifier of the first message of its chain; its own where it is the first."""
    seq: int
    """Microseconds since 1970 of `sent`: higher is newer, within a thread."""
    verb: str
    """issue, update, correct, lift, retract (model/draft.py Verb), or ask."""
    status: str
    """CAP status: Actual or Exercise."""
    priority: int
    """1 interrupts everything; 9 is a newsletter. Ties: first come."""
    level: int | None
    """警戒レベル, None where the message carries none."""
    sent: datetime
    expires: datetime
    words: tuple[Words, ...]
    """In the order in which they are to be said; at least one."""

    def body(self) -> bytes:
        """The JSON object without its proof."""
        values: dict[str, Any] = {
            "v": 1,
            "mid": self.mid,
            "thread": self.thread,
            "seq": self.seq,
            "kind": self.verb,
            "status": self.status,
            "prio": self.priority,
            "level": self.level,
            "sent": self.sent.isoformat(),
            "exp": self.expires.isoformat(),
            "info": [
                {
                    "lang": w.language,
                    "event": w.event,
                    "headline": w.headline,
                    "place": w.place,
                    "text": w.text,
                    "instruction": w.instruction,
                    "shelters": w.shelters,
                    "sender": w.sender,
                    "contact": w.contact,
                    **({} if w.buttons is None else {"ask": dict(zip(BUTTONS, w.buttons, strict=True))}),
                }
                for w in self.words
            ],
        }
        return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


class Signer:
    """Signs notices with the 32-byte seed of an Ed25519 key.

    While a key is being changed, each former one signs around it, so that the last signature is the one that terminals know
    which have not been told of the new key yet. `formers`: seed, and until when, the newest first.
    """

    def __init__(self, seed: bytes, formers: Sequence[tuple[bytes, datetime]] = ()) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._formers = [(Ed25519PrivateKey.from_private_bytes(former), until) for former, until in formers]
        self.public = self._key.public_key().public_bytes_raw()
        self.key_id = key_id_of(self.public)

    def sign(self, notice: Notice) -> bytes:
        """The payload: the same notice always gives the same bytes."""
        payload = _signed(self._key, notice.body())
        for former, until in self._formers:
            # By the notice's own moment, not by the clock: what was approved is rendered again, byte for byte.
            if notice.sent < until:
                payload = _signed(former, payload)
        return payload


def _signed(key: Ed25519PrivateKey, payload: bytes) -> bytes:
    head = payload[:-1]
    signature = base64.b64encode(key.sign(_DOMAIN + head)).decode()
    return head + _tail(key_id_of(key.public_key().public_bytes_raw()), signature)


class Verifier:
    """Reads what one public key has signed."""

    def __init__(self, public: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(public)
        self.key_id = key_id_of(public)

    def read(self, payload: bytes) -> Notice:
        """The notice in a payload. Whether it is old or expired is the terminal's to judge.

        Raises:
            Forged: too long, another key's, altered, or signed and yet no notice.
        """
        if len(payload) > LARGEST_NOTICE_BYTES:
            raise Forged(f"a notice of more than {LARGEST_NOTICE_BYTES} bytes")
        head, encoded = self._mine(payload)
        try:
            self._key.verify(base64.b64decode(encoded[:-2], validate=True), _DOMAIN + head)
        except (InvalidSignature, binascii.Error):
            raise Forged("the signature is not of these bytes") from None
        try:
            return _notice(json.loads(head + b"}"))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Forged("signed, and yet no notice of version 1") from error

    def _mine(self, payload: bytes) -> tuple[bytes, bytes]:
        """What this key has signed, and its signature with what ends the object: the last one, or one further inside."""
        for _ in range(MOST_SIGNATURES):
            head, tail = payload[:-_TAIL_BYTES], payload[-_TAIL_BYTES:]
            before, _, encoded = tail.rpartition(b'"sig":"')
            if not encoded.endswith(b'"}') or not before.startswith(b',"kid":"'):
                break
            if before + b'"sig":"' == _tail(self.key_id, "")[:-2]:
                return head, encoded
            payload = head + b"}"
        raise Forged(f"no signature of key {self.key_id}")


def key_id_of(public: bytes) -> str:
    """Sixteen hexadecimal digits that name a public key."""
    return hashlib.sha256(public).hexdigest()[:16]


def _tail(key_id: str, signature: str) -> bytes:
    return f',"kid":"{key_id}","sig":"{signature}"}}'.encode()


_TAIL_BYTES: Final = len(_tail("0" * 16, base64.b64encode(bytes(64)).decode()))


def _notice(values: Mapping[str, Any]) -> Notice:
    if values["v"] != 1:
        raise ValueError(values["v"])
    level = values["level"]
    return Notice(
        mid=_text(values["mid"]),
        thread=_text(values["thread"]),
        seq=whole_number(values["seq"]),
        verb=_text(values["kind"]),
        status=_text(values["status"]),
        priority=whole_number(values["prio"]),
        level=None if level is None else whole_number(level),
        sent=_moment(values["sent"]),
        expires=_moment(values["exp"]),
        words=tuple(
            Words(
                language=_text(info["lang"]),
                event=_text(info["event"]),
                headline=_text(info["headline"]),
                place=_text(info["place"]),
                text=_text(info["text"]),
                instruction=_text(info["instruction"]),
                shelters=_text(info["shelters"]),
                sender=_text(info["sender"]),
                contact=_text(info["contact"]),
                buttons=_buttons(info["ask"]) if "ask" in info else None,
            )
            for info in values["info"]
        ),
    )


def _buttons(labels: Any) -> tuple[str, str, str]:
    safe, injured, rescue = (_text(labels[button]) for button in BUTTONS)
    return safe, injured, rescue


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    value.encode()  # JSON can write half a character (a lone surrogate), which no store would take
    return value


def whole_number(value: Any) -> int:
    """Raises TypeError for what is none."""
    if not isinstance(value, int):
        raise TypeError(value)
    return value


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError(value)
    return moment
