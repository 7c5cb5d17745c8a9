"""What staff typed, on its way to being an alert: the five verbs, the states as a table, and the draft itself.

    draft → pending → dispatching → live → ended → closed
      ↑________|  ↘ returned · stale → draft, pending      (any edit voids the submission)
                  ↘ rejected

Source: design.md §3 "Staff have five verbs", "Draft states".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from dispatcher.clock import JST
from dispatcher.errors import IllegalTransition
from dispatcher.model.alert import Added, Alert, MsgType, ResponseType


class Verb(StrEnum):
    """What staff do to a message; never one "cancel"."""

    ISSUE = "issue"
    """発表"""
    UPDATE = "update"
    """更新: the situation changed."""
    CORRECT = "correct"
    """訂正: the text was wrong, the order stands."""
    LIFT = "lift"
    """解除: the event is over."""
    RETRACT = "retract"
    """取消: it was wrong."""


WORDS: Mapping[Verb, str] = MappingProxyType(
    {
        Verb.ISSUE: "発表",
        Verb.UPDATE: "更新",
        Verb.CORRECT: "訂正",
        Verb.LIFT: "解除",
        Verb.RETRACT: "取消",
    }
)
MSG_TYPES: Mapping[Verb, MsgType] = MappingProxyType(
    {
        Verb.ISSUE: MsgType.ALERT,
        Verb.UPDATE: MsgType.UPDATE,
        Verb.CORRECT: MsgType.UPDATE,
        Verb.LIFT: MsgType.UPDATE,
        Verb.RETRACT: MsgType.CANCEL,
    }
)
ONE_PERSON = frozenset({Verb.CORRECT, Verb.RETRACT})
"""What one person may send alone: taking back or mending what is out there must not wait for a second one."""
ENDING = frozenset({Verb.LIFT, Verb.RETRACT})
"""What ends the chain: nothing can be updated after it."""


def verb_of(alert: Alert[object]) -> Verb:
    """Which verb made this alert, read from the alert alone, so that every medium says 訂正, 解除 and 取消 of the same ones."""
    if alert.msg_type is MsgType.CANCEL:
        return Verb.RETRACT
    if alert.msg_type is not MsgType.UPDATE:
        return Verb.ISSUE
    if any(ResponseType.ALL_CLEAR in info.response_type for info in alert.info):
        return Verb.LIFT
    if alert.note or any(info.added(Added.CORRECTION) for info in alert.info):
        return Verb.CORRECT
    return Verb.UPDATE


class State(StrEnum):
    """What is known of a message as a whole."""

    DRAFT = "draft"
    """Being written; nobody is asked for anything."""
    PENDING = "pending"
    """Submitted: it waits for a second person, who approves exactly the submitted hash."""
    RETURNED = "returned"
    """差戻し: the approver wants it otherwise and said why; whoever returned it cannot submit it again."""
    REJECTED = "rejected"
    """却下: it will not go out; the reason stands in the ledger."""
    STALE = "stale"
    """It has waited for ten minutes: what it says may be old. It was paged again, and is never approved as it stands."""
    DISPATCHING = "dispatching"
    """Approved and durable; its deliveries are still being written down, the first are already on their way."""
    LIVE = "live"
    """Every delivery is written down and it is the latest word of its chain."""
    ENDED = "ended"
    """Expired, lifted, retracted, or replaced by a later message of its chain."""
    CLOSED = "closed"
    """Ended, and nobody follows it any more."""


STALE_AFTER = timedelta(minutes=10)
CLOCKS_DIFFER = timedelta(minutes=1)
"""So far a submission may seem to lie ahead: two nodes have two clocks."""


class Happening(StrEnum):
    EDITED = "edited"
    SUBMITTED = "submitted"
    RETURNED = "returned"
    REJECTED = "rejected"
    TIMED_OUT = "timed out"
    APPROVED = "approved"
    DISPATCHED = "dispatched"
    ENDED = "ended"
    CLOSED = "closed"


_S, _H = State, Happening
TRANSITIONS: Mapping[tuple[State, Happening], State] = MappingProxyType(
    {
        (_S.DRAFT, _H.EDITED): _S.DRAFT,
        (_S.DRAFT, _H.SUBMITTED): _S.PENDING,
        (_S.DRAFT, _H.APPROVED): _S.DISPATCHING,
        (_S.PENDING, _H.EDITED): _S.DRAFT,
        (_S.PENDING, _H.APPROVED): _S.DISPATCHING,
        (_S.PENDING, _H.RETURNED): _S.RETURNED,
        (_S.PENDING, _H.REJECTED): _S.REJECTED,
        (_S.PENDING, _H.TIMED_OUT): _S.STALE,
        (_S.RETURNED, _H.EDITED): _S.DRAFT,
        (_S.RETURNED, _H.SUBMITTED): _S.PENDING,
        (_S.STALE, _H.EDITED): _S.DRAFT,
        (_S.STALE, _H.SUBMITTED): _S.PENDING,
        (_S.STALE, _H.REJECTED): _S.REJECTED,
        (_S.STALE, _H.APPROVED): _S.DISPATCHING,
        (_S.DISPATCHING, _H.DISPATCHED): _S.LIVE,
        (_S.DISPATCHING, _H.ENDED): _S.ENDED,
        (_S.LIVE, _H.ENDED): _S.ENDED,
        (_S.ENDED, _H.CLOSED): _S.CLOSED,
    }
)


def advance(state: State, happening: Happening) -> State:
    """The state after what happened.

    Raises:
        IllegalTransition: the table has no such move.
    """
    try:
        return TRANSITIONS[state, happening]
    except KeyError:
        raise IllegalTransition(f"a message that is {state} cannot be {happening}") from None


@dataclass(frozen=True, slots=True)
class Wording:
    """The text in one language, every placeholder filled but `{issued}`, which dispatch fills with the time of sending."""

    event: str
    headline: str
    description: str
    instruction: str
    short: str
    shelters: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A complete message before it was approved. Its `identifier` is the alert's, from the first keystroke on."""

    identifier: str
    verb: Verb
    template: str
    category: str
    urgency: str
    severity: str
    certainty: str
    response_type: tuple[str, ...]
    level: int | None
    quarters: tuple[str, ...]
    wording: Mapping[str, Wording]
    """By language, in the order in which they are said."""
    expires: datetime
    next_update: datetime | None
    note: str | None
    """取消, 訂正: what was wrong."""
    of: str | None
    """The alert that it follows, by identifier."""
    author: str
    state: State = State.DRAFT
    submitted_by: str | None = None
    submitted_at: datetime | None = None
    hash: str | None = None
    """What an approval binds to; None until submitted."""
    typed: Mapping[str, Any] = field(default_factory=dict)
    """What was typed, as it was typed, so that a form can be filled with it again."""
    written_at: datetime | None = None
    """When the text was last changed: what the guard against stale text goes by."""
    last_submitted: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The wording of the submission before this text, so that the next approver sees what changed."""
    returned_by: str | None = None
    reason: str | None = None
    """Why it was returned or rejected."""
    broken_glass_by: str | None = None
    """事後承認待ち: one person sent it alone; a second one has to confirm it."""
    confirmed_by: str | None = None
    version: int = 0

    def is_out_of_time(self, now: datetime) -> bool:
        """Whether it has waited too long, or, as the clock was put back, nobody knows how long."""
        return self.submitted_at is not None and not -CLOCKS_DIFFER <= now - self.submitted_at < STALE_AFTER

    def body(self) -> dict[str, Any]:
        """As JSON for the ledger; `version` stands beside it there."""
        return {
            "identifier": self.identifier,
            "verb": self.verb,
            "template": self.template,
            "category": self.category,
            "urgency": self.urgency,
            "severity": self.severity,
            "certainty": self.certainty,
            "response_type": list(self.response_type),
            "level": self.level,
            "quarters": list(self.quarters),
            # A list, because the languages have an order and JSON objects have none.
            "wording": [
                {"language": language, **{f: getattr(w, f) for f in Wording.__slots__}}
                for language, w in self.wording.items()
            ],
            "expires": self.expires.isoformat(),
            "next_update": self.next_update and self.next_update.isoformat(),
            "note": self.note,
            "of": self.of,
            "author": self.author,
            "state": self.state,
            "submitted_by": self.submitted_by,
            "submitted_at": self.submitted_at and self.submitted_at.isoformat(),
            "hash": self.hash,
            "typed": dict(self.typed),
            "written_at": self.written_at and self.written_at.isoformat(),
            "last_submitted": {language: dict(words) for language, words in self.last_submitted.items()},
            "returned_by": self.returned_by,
            "reason": self.reason,
            "broken_glass_by": self.broken_glass_by,
            "confirmed_by": self.confirmed_by,
        }

    @classmethod
    def from_body(cls, version: int, body: Mapping[str, Any]) -> "Draft":
        """The draft that `body` wrote."""

        def moment(text: str | None) -> datetime | None:
            return datetime.fromisoformat(text).astimezone(JST) if text else None

        expires = moment(body["expires"])
        assert expires is not None
        return cls(
            **{
                **body,
                "verb": Verb(body["verb"]),
                "response_type": tuple(body["response_type"]),
                "quarters": tuple(body["quarters"]),
                "wording": {w["language"]: Wording(**{f: w[f] for f in Wording.__slots__}) for w in body["wording"]},
                "expires": expires,
                "next_update": moment(body["next_update"]),
                "state": State(body["state"]),
                "submitted_at": moment(body["submitted_at"]),
                "written_at": moment(body.get("written_at")),
                "version": version,
            }
        )
