"""A delivery on its way: its states as a table, what an attempt on one destination came to, and what came back.

A state claims only what was *seen* (送信 is not 到達):

    waiting → ready → sending → taken | refused | expired | superseded

Source: design.md §3 "Draft states …", §6 outcomes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from types import MappingProxyType

from dispatcher.errors import IllegalTransition


class DeliveryState(StrEnum):
    """What the node knows of one delivery (one rendering to one batch of destinations)."""

    WAITING = "waiting"
    """Parked until a moment: backing off, or a timer. Not in the ready index."""
    READY = "ready"
    """Any node of this mode may claim it now."""
    SENDING = "sending"
    """One node holds it under a lease and a fencing token. After a crash its outcome is unknown."""
    TAKEN = "taken"
    """The medium's own machine said yes for every destination that it did not refuse, at least one."""
    REFUSED = "refused"
    """The medium refused every destination for good."""
    EXPIRED = "expired"
    """The alert's time ran out before every destination was taken."""
    SUPERSEDED = "superseded"
    """A later message replaced this one; what was not yet handed over never will be."""


class DeliveryEvent(StrEnum):
    """What happened to it, in the past tense."""

    DUE = "due"
    CLAIMED = "claimed"
    DEFERRED = "deferred"
    RETURNED = "returned"
    TAKEN = "taken"
    REFUSED = "refused"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


_S, _E = DeliveryState, DeliveryEvent
TRANSITIONS: Mapping[tuple[DeliveryState, DeliveryEvent], DeliveryState] = MappingProxyType(
    {
        (_S.WAITING, _E.DUE): _S.READY,
        (_S.WAITING, _E.EXPIRED): _S.EXPIRED,
        (_S.WAITING, _E.SUPERSEDED): _S.SUPERSEDED,
        (_S.READY, _E.CLAIMED): _S.SENDING,
        (_S.READY, _E.EXPIRED): _S.EXPIRED,
        (_S.READY, _E.SUPERSEDED): _S.SUPERSEDED,
        (_S.SENDING, _E.DEFERRED): _S.WAITING,
        (_S.SENDING, _E.RETURNED): _S.READY,
        (_S.SENDING, _E.TAKEN): _S.TAKEN,
        (_S.SENDING, _E.REFUSED): _S.REFUSED,
        (_S.SENDING, _E.EXPIRED): _S.EXPIRED,
        (_S.SENDING, _E.SUPERSEDED): _S.SUPERSEDED,
    }
)
OPEN = frozenset({_S.WAITING, _S.READY, _S.SENDING})


def advance(state: DeliveryState, event: DeliveryEvent) -> DeliveryState:
    """The state after the event.

    Raises:
        IllegalTransition: the table has no such move.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"a delivery that is {state} cannot be {event}") from None


class Priority(IntEnum):
    """Lower goes first, in every lane, at once."""

    RETRACTION = 0
    LEVEL_5 = 1
    LEVEL_4 = 2
    LEVEL_3 = 3
    URGENT = 4
    """Orders that carry no level (tsunami, earthquake) and have severity Extreme or Severe stand with level 4; the rest here."""
    ROUTINE = 6
    NEWSLETTER = 9


RESERVED = Priority.LEVEL_4
"""A channel's quota reserve is kept for this priority and more urgent ones."""


class Outcome(StrEnum):
    """What one attempt came to for one destination. Closed: a channel has no other answer."""

    TAKEN = "taken"
    DUPLICATE = "duplicate"
    """The medium says that it has this one already. Counts as taken."""
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    UNKNOWN = "unknown"
    """Sent, no answer. Never blindly repeated where the medium would say it twice."""


@dataclass(frozen=True, slots=True)
class Told:
    """The outcome for one destination, with the medium's own words (`250 2.0.0 Ok: queued as 4bX`) kept beside ours."""

    address: str
    outcome: Outcome
    words: str = ""
    retry_after_s: float | None = None
    medium_id: str = ""
    """The medium's name for it, where it gives one: a post id, a queue id."""


class Receipt(StrEnum):
    """What came back from the recipient's side, weakest claim first."""

    DELIVERED = "delivered"
    """The recipient's device says that it has it, whole and genuine."""
    DISPLAYED = "displayed"
    """The device shows or speaks it."""
    ACKNOWLEDGED = "acknowledged"
    """A person says that they have read it."""
    BOUNCED = "bounced"
    """The medium took it and later gave it back."""


@dataclass(frozen=True, slots=True)
class Received:
    """One receipt, unique by (identifier, channel, address, receipt): the same one twice is one."""

    identifier: str
    """The alert's."""
    channel: str
    address: str
    receipt: Receipt
    at: datetime
    """When the device says that it happened; the ledger adds its own time."""
    words: str = ""
