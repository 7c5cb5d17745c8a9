"""What a terminal says of a notice, sealed: a machine's receipt, a person's 確認, an answer to a question.

One JSON object that ends with its proof: the last member is `mac`, HMAC-SHA256 under the terminal's own key over the *bytes*
before it, so that no broker in between can forge 確認.

Source: channels/ip_terminal/FORMAT.md; facts.md §IP notification terminals; RFC 2104 (HMAC); RFC 8259.
"""

import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from channels.ip_terminal.notice import LONGEST_ID, Forged, whole_number

LARGEST_RECEIPT_BYTES: Final = 1_024

_DOMAIN: Final = b"todoke terminal receipt 1\0"


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
        return head + _tail(_mac(mac_key, head))


def read_receipt(payload: bytes, tid: str, mac_key: bytes, *, is_answer: bool = False) -> TerminalReceipt:
    """What terminal `tid` says: a receipt, or an answer where one is expected.

    Raises:
        Forged: not sealed with its key, another terminal's, or not what was expected.
    """
    if len(payload) > LARGEST_RECEIPT_BYTES:
        raise Forged(f"a receipt of more than {LARGEST_RECEIPT_BYTES} bytes")
    head, tail = payload[:-_TAIL_BYTES], payload[-_TAIL_BYTES:]
    if not hmac.compare_digest(tail, _tail(_mac(mac_key, head))):
        raise Forged("not sealed with this terminal's key")
    try:
        text = head.decode() + "}"
        values, end = _READ(text)
        receipt = TerminalReceipt(
            mid=values["mid"],
            tid=values["tid"],
            state=_STATES[values["st"]],
            at=datetime.fromisoformat(values["ts"]),
            counter=whole_number(values["ctr"]),
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
    return hmac.digest(key, _DOMAIN + head, "sha256")[:16].hex()


def _tail(mac: str) -> bytes:
    return b',"mac":"%b"}' % mac.encode()


_TAIL_BYTES: Final = len(_tail("0" * 32))
