"""What node and terminal say to each other: the topics, the signed notice down, the sealed receipt up.

Both are one JSON object that people can read in mosquitto_sub, and both end with their proof: the last members of a notice are
`kid` and `sig` (Ed25519), the last of a receipt is `mac` (HMAC-SHA256 under the terminal's own key). The proof covers the
*bytes* before it, so nobody has to agree on how JSON is written, and no broker in between can forge 確認.

What makes a notice old is said per thread (the message and all that follows it): an order that arrives after its own retraction
is old, a second order that waited behind a more urgent one is not. `seq` rises with every message of a thread.

Source: channels/ip_terminal/FORMAT.md; facts.md §IP notification terminals; RFC 8032 (Ed25519); RFC 2104 (HMAC); RFC 8259.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ROOT: Final = "mt/1"
KEY_BYTES: Final = 32
"""Of a signing key's seed, a public key, a terminal's MAC key."""
LARGEST_NOTICE_BYTES: Final = 65_536
MOST_SIGNATURES: Final = 5
"""On one notice: the current key's, and those of the keys that it replaced."""
LARGEST_RECEIPT_BYTES: Final = 1_024
ASK: Final = "ask"
"""What a question says of itself where an alert says its verb."""
BUTTONS: Final = ("safe", "injured", "rescue")
"""無事, けが, 助けて: what the labels of a question are named by, and what an answer says (State)."""
LONGEST_ID: Final = 200
"""Characters of an alert's identifier."""

_NOTICE_DOMAIN: Final = b"todoke terminal notice 1\0"
_RECEIPT_DOMAIN: Final = b"todoke terminal receipt 1\0"


class Forged(ValueError):  # noqa: N818 - says what was seen
    """Bytes that nobody we trust has signed, or that are no notice or receipt at all."""


# -- topics --------------------------------------------------------------------------------------------------------


def topic_of(tid: str) -> str:
    """What is meant for this terminal alone."""
    return f"{ROOT}/dn/t/{tid}"


def down_topics(tid: str, quarter: str, groups: tuple[str, ...] = ()) -> frozenset[str]:
    """Every topic that a terminal may subscribe to."""
    return frozenset(
        {f"{ROOT}/dn/all", f"{ROOT}/dn/area/{quarter}", topic_of(tid), *(f"{ROOT}/dn/grp/{g}" for g in groups)}
    )


def up_topic(tid: str) -> str:
    """What a terminal publishes to is one level below."""
    return f"{ROOT}/up/{tid}"


class Up(StrEnum):
    """What a terminal may publish, the last level of `mt/1/up/{tid}/…`."""

    RECEIPT = "rcpt"
    ANSWER = "ans"
    """An answer to a question, sealed as a receipt is."""
    STATE = "state"
    """Retained, and the will: `online`, `offline`, or words like `battery 40 %`."""
    HEARTBEAT = "hb"

    def topic(self, tid: str) -> str:
        return f"{up_topic(tid)}/{self.value}"


# -- the notice ----------------------------------------------------------------------------------------------------


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
    signature = base64.b64encode(key.sign(_NOTICE_DOMAIN + head)).decode()
    return head + _notice_tail(key_id_of(key.public_key().public_bytes_raw()), signature)


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
            self._key.verify(base64.b64decode(encoded[:-2], validate=True), _NOTICE_DOMAIN + head)
        except (InvalidSignature, binascii.Error):
            raise Forged("the signature is not of these bytes") from None
        try:
            return _notice(json.loads(head + b"}"))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Forged("signed, and yet no notice of version 1") from error

    def _mine(self, payload: bytes) -> tuple[bytes, bytes]:
        """What this key has signed, and its signature with what ends the object: the last one, or one further inside."""
        for _ in range(MOST_SIGNATURES):
            head, tail = payload[:-_NOTICE_TAIL_BYTES], payload[-_NOTICE_TAIL_BYTES:]
            before, _, encoded = tail.rpartition(b'"sig":"')
            if not encoded.endswith(b'"}') or not before.startswith(b',"kid":"'):
                break
            if before + b'"sig":"' == _notice_tail(self.key_id, "")[:-2]:
                return head, encoded
            payload = head + b"}"
        raise Forged(f"no signature of key {self.key_id}")


def key_id_of(public: bytes) -> str:
    """Sixteen hexadecimal digits that name a public key."""
    return hashlib.sha256(public).hexdigest()[:16]


def _notice_tail(key_id: str, signature: str) -> bytes:
    return f',"kid":"{key_id}","sig":"{signature}"}}'.encode()


_NOTICE_TAIL_BYTES: Final = len(_notice_tail("0" * 16, base64.b64encode(bytes(64)).decode()))


def _notice(values: Mapping[str, Any]) -> Notice:
    if values["v"] != 1:
        raise ValueError(values["v"])
    level = values["level"]
    return Notice(
        mid=_text(values["mid"]),
        thread=_text(values["thread"]),
        seq=_whole(values["seq"]),
        verb=_text(values["kind"]),
        status=_text(values["status"]),
        priority=_whole(values["prio"]),
        level=None if level is None else _whole(level),
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


# -- the receipt ---------------------------------------------------------------------------------------------------


class State(StrEnum):
    """What a terminal says of a notice (model/delivery.py Receipt says the same to the node)."""

    DELIVERED = "delivered"
    DISPLAYED = "displayed"
    ACKNOWLEDGED = "acknowledged"
    SAFE = "safe"
    INJURED = "injured"
    RESCUE = "rescue"


ANSWERS: Final = frozenset({State.SAFE, State.INJURED, State.RESCUE})
"""States that answer a question, and come by `Up.ANSWER`; all others are receipts."""


class TerminalReceipt(NamedTuple):
    """One receipt or answer, unique by (mid, tid, state), an answer also by its time.

    A repeat of it changes nothing, so a replay by a thief does not either.
    """

    mid: str
    tid: str
    state: State
    at: datetime
    counter: int
    """Rises by one with each receipt of this terminal, so that a gap is seen."""

    def seal(self, mac_key: bytes) -> bytes:
        """The payload, sealed with the terminal's own key."""
        values = {
            "mid": self.mid,
            "tid": self.tid,
            "st": self.state.value,
            "ts": self.at.isoformat(),
            "ctr": self.counter,
        }
        head = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()[:-1]
        return head + _receipt_tail(_mac(mac_key, head))


def read_receipt(payload: bytes, tid: str, mac_key: bytes, *, is_answer: bool = False) -> TerminalReceipt:
    """What terminal `tid` says: a receipt, or an answer where one is expected.

    Raises:
        Forged: not sealed with its key, another terminal's, or not what was expected.
    """
    if len(payload) > LARGEST_RECEIPT_BYTES:
        raise Forged(f"a receipt of more than {LARGEST_RECEIPT_BYTES} bytes")
    head, tail = payload[:-_RECEIPT_TAIL_BYTES], payload[-_RECEIPT_TAIL_BYTES:]
    if not hmac.compare_digest(tail, _receipt_tail(_mac(mac_key, head))):
        raise Forged("not sealed with this terminal's key")
    try:
        text = head.decode() + "}"
        values, end = _READ(text)
        receipt = TerminalReceipt(
            mid=values["mid"],
            tid=values["tid"],
            state=_STATES[values["st"]],
            at=datetime.fromisoformat(values["ts"]),
            counter=_whole(values["ctr"]),
        )
        is_possible = 0 < len(receipt.mid) <= LONGEST_ID and receipt.mid.isprintable() and receipt.at.tzinfo is not None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Forged("sealed, and yet no receipt") from error
    if not is_possible or receipt.tid != tid or end != len(text):
        raise Forged("sealed, and yet a receipt of another terminal or of no message")
    if (receipt.state in ANSWERS) != is_answer:
        raise Forged("a receipt where an answer belongs, or an answer where a receipt does")
    return receipt


_READ: Final = json.JSONDecoder().raw_decode
_STATES: Final[Mapping[str, State]] = {state.value: state for state in State}


def _mac(key: bytes, head: bytes) -> str:
    return hmac.digest(key, _RECEIPT_DOMAIN + head, "sha256")[:16].hex()


def _receipt_tail(mac: str) -> bytes:
    return b',"mac":"%b"}' % mac.encode()


_RECEIPT_TAIL_BYTES: Final = len(_receipt_tail("0" * 32))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    value.encode()  # JSON can write half a character (a lone surrogate), which no store would take
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError(value)
    return value


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError(value)
    return moment
