"""The contract of the ledger: append-only events, what they add up to, and the outbox that moves deliveries on.

One schema and one set of statements serve two engines (`ledgers/sqlite.py`, `ledgers/postgres.py`); tests/contracts/ run
the same suite over both. Everything that changes state and the event that says so stand in one transaction. Whatever a
method has returned for is durable.

The chain: each event carries `sha256(previous hash + canonical bytes of the event)`, one chain for each node, so that any
altered byte is found by `verify`.

Source: design.md §4 "State is folded from the ledger", §5; facts.md §Engine.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from dispatcher.channel import Limits
from dispatcher.errors import Standby
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import DeliveryState, Outcome, Priority, Received, Told

if TYPE_CHECKING:  # their contract speaks of our events and deliveries
    from dispatcher.campaigns import Campaigns

AWAY_S = 2.0
"""Out of reach for longer than that, nobody is kept waiting for the ledger any more."""
UNWITNESSED = frozenset({"session", "throttle", "idempotency", "composing", "push", "push-told"})
"""Kinds of records that `verify` does not vouch for: when somebody was last seen is nobody's evidence."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, in the past tense: `alert.issued`, `delivery.taken`. `facts` is JSON without secrets."""

    name: str
    subject: str
    """The draft's or alert's identifier; "" for the node itself."""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as it stands in the chain."""

    node: str
    sequence: int
    at: datetime
    event: Event
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """One rendering to one batch of destinations, to be written down before anything is sent."""

    key: str
    """Idempotency key, `identifier:channel:batch`; written twice it is one delivery."""
    identifier: str
    """The alert's."""
    channel: str
    priority: Priority
    destinations: tuple[Destination, ...]
    expires_at: datetime | None
    cost: int = 1
    """What it takes from the channel's rate and quota."""
    not_before: datetime | None = None
    """Parked until then."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this node holds now. `destinations` are those with no final outcome yet."""

    id: int
    token: str
    key: str
    identifier: str
    channel: str
    priority: Priority
    attempt: int
    """1 for the first."""
    destinations: tuple[Destination, ...]
    is_reclaimed: bool
    """An earlier attempt's outcome is unknown (a crash, a lost reply): ask the medium before sending again, where it can tell."""


@dataclass(frozen=True, slots=True)
class Attempted:
    """What an attempt on a claim came to. Destinations without a final outcome are still open."""

    claim: Claim
    event: str
    """`taken`, `refused`, `deferred`, `expired` (model/delivery.py DeliveryEvent)."""
    words: str = ""
    retry_after_s: float = 0.0
    is_success: bool = True
    """For the breaker: did the medium answer as it should for anybody?"""
    told: Sequence[Told] = ()
    """Outcomes that `tell` has not been given yet: they are written in the transaction that ends the attempt."""


@dataclass(frozen=True, slots=True)
class IssuedAlert:
    """An alert as it stands in the ledger."""

    identifier: str
    state: str
    """model/draft.py AlertState."""
    verb: str
    priority: Priority
    issued_at: datetime
    expires_at: datetime | None
    cap_xml: bytes
    renderings: Mapping[str, str]
    """Channel → digest that was approved."""
    chain: str
    """Identifier of the first alert of the chain that this one belongs to."""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChannelTally:
    """The board's line for one alert on one channel."""

    channel: str
    destinations: int
    taken: int
    delivered: int
    displayed: int
    acknowledged: int
    failed: int
    """Refused for good, or out of time."""
    superseded: int
    retrying: int
    """Destinations whose last attempt failed for now."""
    first_taken_at: datetime | None
    last_taken_at: datetime | None
    last_words: str
    """The medium's own words for the last failure, "" if there was none."""
    queued: int = 0
    """Destinations whose first attempt has not begun."""
    sending: int = 0
    """Destinations of deliveries that are on their way now."""


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Why nothing that is ready on a channel may start now: `quota` is used up, or the `breaker` is open after failures."""

    why: Literal["quota", "breaker"]
    until: datetime


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """How far one destination of an alert has come."""

    channel: str
    address: str
    name: str
    outcome: Outcome | None
    words: str
    medium_id: str
    receipts: Mapping[str, datetime]
    at: datetime | None = None
    """When the outcome was told."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What operators measure, counted by the ledger itself in one look."""

    deliveries: Mapping[tuple[str, DeliveryState], int]
    """(channel, state) → deliveries that stand there now."""
    tallies: Mapping[str, Mapping[str, int]]
    """Channel → destinations, taken, refused, expired, superseded, delivered, displayed, acknowledged, bounced: of all alerts."""
    due_for_s: float
    """How long the oldest delivery that could be claimed has been waiting; 0 if there is none."""
    leases_s: Mapping[str, float]
    """Node → seconds until it would be taken for dead, by the database's clock."""
    events: Mapping[str, int]
    """Node → length of its chain."""
    commits: int
    """Transactions of this process since it opened the ledger."""
    people: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(kind of campaign, progress) → people of all campaigns whose key is there, rounded down to whole fives."""
    devices: int = 0
    """That asked to be pushed to."""


class Ledger(ABC):
    """Open with `async with`. Safe for concurrent use from one event loop.

    Raises (on opening): Standby, if another live node of the same mode has this SQLite file; ConfigError, if the ledger is
    of the other mode.
    """

    @property
    @abstractmethod
    def campaigns(self) -> "Campaigns":
        """What the safety loop keeps, in the same transactions and the same chain."""

    # -- staff's side ------------------------------------------------------------------------------------------------

    @abstractmethod
    async def save_draft(self, identifier: str, expected_version: int, body: Mapping[str, Any], event: Event) -> int:
        """Write a draft and its event; returns the new version (1 for a new one, when `expected_version` is 0).

        Raises:
            StaleHash: somebody else wrote it meanwhile.
            StorageFull: nothing was written.
        """

    @abstractmethod
    async def draft(self, identifier: str) -> tuple[int, Mapping[str, Any]]:
        """Version and body.

        Raises:
            NotFound: no such draft.
        """

    @abstractmethod
    async def drafts(self) -> Sequence[tuple[str, int, Mapping[str, Any]]]:
        """Identifier, version, body of every draft, newest first."""

    @abstractmethod
    async def save_record(
        self, kind: str, key: str, expected_version: int, body: Mapping[str, Any] | None, event: Event | None
    ) -> int:
        """Write one of the things that staff keep (an account, a saved area, a tick) and its event; returns the new version.

        `expected_version` 0: it is new. `body` None: it goes, and 0 is returned. `event` may be None for kinds in UNWITNESSED
        alone, whose every move would only fill the chain.

        Raises:
            StaleHash: somebody else wrote it meanwhile.
            StorageFull: nothing was written.
        """

    @abstractmethod
    async def read_record(self, kind: str, key: str) -> tuple[int, Mapping[str, Any]]:
        """Version and body.

        Raises:
            NotFound: nothing is kept under this key.
        """

    @abstractmethod
    async def records(
        self, kind: str, *, after: str = "", limit: int | None = None
    ) -> Sequence[tuple[str, int, Mapping[str, Any]]]:
        """Key, version, body of each of this kind, in the order of their keys: those behind `after`, at most `limit` of them."""

    @abstractmethod
    async def issue(
        self,
        alert: IssuedAlert,
        first: Sequence[NewDelivery],
        event: Event,
        *,
        supersedes: Sequence[str] = (),
        follows: Sequence[str] | None = None,
        draft: tuple[str, int, Mapping[str, Any]] | None = None,
    ) -> bool:
        """Alert, its first deliveries (≤ 500), the end of what it supersedes, the draft's new body, the event: one transaction.

        Open deliveries of the alerts in `supersedes` become superseded in the same transaction, so nothing queued of the
        original can overtake its retraction. Returns False if the alert was issued before (nothing is written twice).
        `follows`: every alert of its chain, as its issuer saw it.

        Raises:
            StaleHash: the draft's version is no longer the one given, or the chain has grown beyond `follows`.
            StorageFull: nothing was written.
        """

    @abstractmethod
    async def add_deliveries(self, deliveries: Sequence[NewDelivery]) -> None:
        """The rest of a bulk, ≤ 500 a transaction, behind everything urgent. A key already there is left as it is."""

    @abstractmethod
    async def finish_alert(self, identifier: str, state: str, event: Event) -> None:
        """Move an alert on (live, ended, closed). One that has come further stays, and one superseded too soon is never live."""

    @abstractmethod
    async def append(self, event: Event) -> None:
        """An event with no projection of its own (a probe, a sign-in, a refusal)."""

    # -- the outbox --------------------------------------------------------------------------------------------------

    @abstractmethod
    async def run(
        self, lanes: Mapping[str, Limits], attempt: Callable[[Claim], Awaitable[Attempted]], *, concurrency: int = 256
    ) -> None:
        """Turn and beat until cancelled: claim what is due, most urgent first, and call `attempt` for each claim.

        A claim is made only while this node's lease holds. `attempt` never raises for what a medium does. On
        cancellation running attempts are cancelled and their rows returned.
        """

    @abstractmethod
    async def tell(self, claim: Claim, told: Sequence[Told]) -> None:
        """Outcomes of some destinations of a running attempt; durable on return. Later final outcomes do not undo earlier ones."""

    @abstractmethod
    async def record(self, channel: str, received: Sequence[Received]) -> int:
        """Receipts; durable on return. The same one twice is one; returns how many were new."""

    @abstractmethod
    async def hasten(self, channel: str) -> None:
        """Deliveries waiting on this channel after a failed attempt are due now."""

    @abstractmethod
    def wake(self) -> None:
        """Something was written that the outbox should look at now."""

    # -- looking -----------------------------------------------------------------------------------------------------

    @abstractmethod
    async def alert(self, identifier: str) -> IssuedAlert:
        """Raises NotFound."""

    @abstractmethod
    async def alerts(self, *, only_live: bool = False) -> Sequence[IssuedAlert]:
        """Newest first."""

    @abstractmethod
    async def tally(self, identifier: str) -> Sequence[ChannelTally]:
        """One line a channel, in the order of the channels' names."""

    @abstractmethod
    async def tally_at(self, identifier: str, at: datetime) -> Sequence[ChannelTally]:
        """The board's lines as they stood at a past moment, from what each outcome and receipt bears."""

    @abstractmethod
    async def spread(self, identifier: str) -> Mapping[str, tuple[float, float]]:
        """Channel → seconds from the issuing until half, and until 95 %, of those taken so far were taken."""

    @abstractmethod
    async def held_back(self, limits: Mapping[str, Limits], now: datetime) -> Mapping[str, HeldBack]:
        """Of these channels, those whose ready deliveries may not start, by what was spent and failed on every node."""

    @abstractmethod
    async def story(
        self, subject: str | None = None, *, until: datetime | None = None, limit: int = 500
    ) -> Sequence[Recorded]:
        """The last events of every node, of one draft or alert if `subject` says so, newest first."""

    @abstractmethod
    def destinations(
        self, identifier: str, channel: str | None = None, *, room: str = ""
    ) -> AsyncIterator[DestinationStatus]:
        """Every destination of an alert, streamed; with `room` those alone whose deliveries are that room's (path.py)."""

    @abstractmethod
    async def refused(self, identifier: str, addresses: Sequence[str]) -> Sequence[str]:
        """Those of these destinations that a medium has refused for good."""

    @abstractmethod
    async def deliveries(self, identifier: str) -> Mapping[DeliveryState, int]:
        """How many deliveries stand in which state."""

    @abstractmethod
    def events(self, *, after: int = 0) -> AsyncIterator[Recorded]:
        """This node's chain in order, from the event after that sequence number."""

    @abstractmethod
    async def changed(self, after: int, timeout_s: float) -> int:
        """Wait until this node's chain is longer than `after`, or until the time is out; returns its length."""

    @abstractmethod
    async def living(self) -> frozenset[str]:
        """The nodes of this ledger whose lease holds, by the database's clock."""

    @abstractmethod
    async def figures(self) -> Figures:
        """What operators measure."""

    @abstractmethod
    def still_for_s(self) -> float:
        """Seconds since the one hand that writes last finished something. While `run` runs, the beat gives it something to do."""

    @abstractmethod
    def away_for_s(self) -> float:
        """For how many seconds its database has been out of reach; 0 while it is there. Calls wait meanwhile, they do not fail."""

    @abstractmethod
    async def verify(self) -> Sequence[str]:
        """Recompute every chain and compare the projections that can be; one line for each thing wrong, none if all holds."""


def require_reach(ledger: Ledger) -> None:
    """Nobody waits before an empty page for a database that may be away for long.

    Raises:
        Standby: it is.
    """
    if ledger.away_for_s() > AWAY_S:
        raise Standby(
            "データベースに届きません。いまは何も受け付けられません。つながると自動で続きます。住民のページは見えています "
            "(the database is out of reach: nothing is accepted now, all goes on by itself when it is back)"
        )
