"""One delivery for each channel and batch of its audience is written down, in one transaction with the alert, before any is sent.

The first of every channel goes with the alert itself; the rest of a bulk follows, at most 500 a transaction, behind everything
urgent. Whatever was written down will be sent, also when the node dies right after; what was not yet, is written down by the same
node when it is back, or by any other once its lease has run out.

Whom a message goes to before the public (facilities that must act first) stands at the head of that first transaction, and so
at the head of every channel's queue.

A message that follows another one goes to everybody whom the earlier one was addressed to, and to whoever belongs to the area now:
who moved away in between must still hear that it was an error.

Source: design.md §5 "Submit".
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from dispatcher import cap
from dispatcher.channel import Channel, priority_of
from dispatcher.errors import NotFound, StorageFull
from dispatcher.ledger import Event, IssuedAlert, Ledger, NewDelivery
from dispatcher.log import logger
from dispatcher.model.alert import Alert
from dispatcher.model.audience import FACILITY, Audience, Destination
from dispatcher.model.draft import Draft, State
from dispatcher.model.mode import M
from dispatcher.model.rendering import Rendering

CLOCK = "clock"
"""The lane of parked timers: a delivery to nobody, due when an alert's time runs out."""
BULK = 500
TURN = "turn"
"""A record of each message whose rest was taken over: by which node; its version is how often."""

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class First:
    """Whom a message goes to before the public."""

    deliveries: Sequence[NewDelivery] = ()
    """Written down with the message itself; few, because that transaction is short."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the message's row says of them: codes, no names."""

    def addresses(self, kind: str) -> frozenset[str]:
        """Who of this channel is told by them, and so by nothing else."""
        return frozenset(d.address for each in self.deliveries if each.channel == kind for d in each.destinations)


NOBODY = First()


class Foremost(Protocol):
    """Who knows whom a message goes to before the public."""

    def media(self, quarters: Collection[str]) -> Collection[str]:
        """The kinds of channels that reach one of them in these quarters."""
        ...

    def first(self, alert: Alert[Any], renderings: Mapping[str, Rendering[Any]], chain: Sequence[IssuedAlert]) -> First:
        """Theirs of this message; `chain` is what it follows. Nothing is written."""
        ...

    async def given_back(self, identifier: str) -> None:
        """A medium that had taken this message for one of them gave it back."""
        ...


async def dispatch(
    alert: Alert[M],
    draft: Draft,
    audiences: Mapping[str, Audience],
    renderings: Mapping[str, Rendering[M]],
    channels: Mapping[str, Channel[M, Any]],
    ledger: Ledger,
    *,
    by: str,
    approved: datetime,
    chain: Sequence[IssuedAlert],
    foremost: First = NOBODY,
) -> None:
    """Write it all down. Afterwards the alert is live. `chain` is what it follows, oldest first; it supersedes what is not over.

    What cannot be written for want of room once the alert is out is left as `dispatching`, for `resume`.

    Raises:
        StaleHash: somebody changed the draft, or followed the same alert, meanwhile; nothing was written.
        StorageFull: nothing was written.
    """
    rest: list[AsyncIterator[NewDelivery]] = []
    first: list[NewDelivery] = [_timer(alert), *foremost.deliveries]
    for kind, audience in audiences.items():
        members = _without(foremost.addresses(kind), _members(audience, channels[kind], ledger, chain))
        batches = _batches(alert, renderings[kind], members, channels[kind])
        async for delivery in batches:
            first.append(delivery)
            break
        rest.append(batches)
    supersedes = [a.identifier for a in chain if a.state in {State.DISPATCHING, State.LIVE}]
    issued = IssuedAlert(
        identifier=alert.identifier,
        state=State.DISPATCHING,
        verb=draft.verb,
        priority=priority_of(alert),
        issued_at=approved,
        expires_at=alert.expires,
        cap_xml=cap.write(alert),
        renderings={kind: rendering.digest for kind, rendering in renderings.items()},
        chain=chain[0].identifier if chain else alert.identifier,
        facts={
            "by": by,
            "quarters": list(draft.quarters),
            "audiences": {kind: a.words for kind, a in audiences.items()},
            "heads": {kind: a.head_count for kind, a in audiences.items()},
            **foremost.facts,
        },
    )
    event = Event("alert.issued", alert.identifier, {"verb": draft.verb, "by": by, "hash": draft.hash, "of": draft.of})
    body = {**draft.body(), "state": State.DISPATCHING.value}
    await ledger.issue(
        issued,
        first,
        event,
        supersedes=supersedes,
        follows=[a.identifier for a in chain],
        draft=(draft.identifier, draft.version, body),
    )
    try:
        await _finish(alert.identifier, rest, supersedes, ledger, turn=0)
    except StorageFull as full:
        log.warning("ledger.retrying", reason=type(full).__name__)


async def resume(
    alert: Alert[M],
    audiences: Mapping[str, Audience],
    renderings: Mapping[str, Rendering[M]],
    channels: Mapping[str, Channel[M, Any]],
    ledger: Ledger,
    *,
    chain: Sequence[IssuedAlert],
    turn: int,
) -> None:
    """What `dispatch` left undone because a node stopped or the disk was full. Who was addressed already is left alone.

    `turn`: how often it has changed hands (TURN); once it changes again, the rest is another's to write.

    Raises:
        StorageFull: some of it may have been written.
    """
    rest: list[AsyncIterator[NewDelivery]] = []
    for kind, audience in audiences.items():
        addressed = {d.address async for d in ledger.destinations(alert.identifier, kind)}
        members = _without(addressed, _members(audience, channels[kind], ledger, chain))
        # There are no more batches than addresses, so these numbers are new.
        rest.append(_batches(alert, renderings[kind], members, channels[kind], number=len(addressed)))
    supersedes = [a.identifier for a in chain if a.state in {State.DISPATCHING, State.LIVE}]
    await _finish(alert.identifier, rest, supersedes, ledger, turn=turn)


async def _finish(
    identifier: str,
    rest: Sequence[AsyncIterator[NewDelivery]],
    supersedes: Sequence[str],
    ledger: Ledger,
    *,
    turn: int,
) -> None:
    for batches in rest:
        async for more in _parts(batches):
            # A node that slept through its lease would write to those again to whom its successor has written.
            if await _turn_of(identifier, ledger) != turn:
                return
            await ledger.add_deliveries(more)
    if await _turn_of(identifier, ledger) != turn:
        return
    await ledger.finish_alert(identifier, State.LIVE, Event("alert.live", identifier))
    for earlier in supersedes:
        await ledger.finish_alert(earlier, State.ENDED, Event("alert.ended", earlier, {"because": identifier}))


async def _parts(batches: AsyncIterator[NewDelivery]) -> AsyncIterator[list[NewDelivery]]:
    more: list[NewDelivery] = []
    async for delivery in batches:
        more.append(delivery)
        if len(more) == BULK:
            yield more
            more = []
    if more:
        yield more


async def _turn_of(identifier: str, ledger: Ledger) -> int:
    try:
        return (await ledger.read_record(TURN, identifier))[0]
    except NotFound:
        return 0


async def _without(addressed: Collection[str], members: AsyncIterator[Destination]) -> AsyncIterator[Destination]:
    async for destination in members:
        if destination.address not in addressed:
            yield destination


async def _members(
    audience: Audience, channel: Channel[M, Any], ledger: Ledger, chain: Sequence[IssuedAlert]
) -> AsyncIterator[Destination]:
    """Who belongs to the audience now, then who was addressed before; each address once."""
    if not chain:
        async for destination in channel.destinations(audience):
            yield destination
        return
    seen: set[str] = set()
    async for destination in channel.destinations(audience):
        seen.add(destination.address)
        yield destination
    for earlier in chain:
        async for before in ledger.destinations(earlier.identifier, channel.kind):
            if before.address not in seen and not before.address.startswith(f"{FACILITY}:"):
                seen.add(before.address)
                yield Destination(before.address, before.name)


async def _batches(
    alert: Alert[M],
    rendering: Rendering[M],
    members: AsyncIterator[Destination],
    channel: Channel[M, Any],
    *,
    number: int = 0,
) -> AsyncIterator[NewDelivery]:
    batch: list[Destination] = []
    async for destination in members:
        batch.append(destination)
        if len(batch) == channel.limits.batch:
            yield _delivery(alert, rendering, channel, number, batch)
            number, batch = number + 1, []
    if batch:
        yield _delivery(alert, rendering, channel, number, batch)


def _delivery(
    alert: Alert[M], rendering: Rendering[M], channel: Channel[M, Any], number: int, batch: Sequence[Destination]
) -> NewDelivery:
    return NewDelivery(
        key=f"{alert.identifier}:{channel.kind}:{number}",
        identifier=alert.identifier,
        channel=channel.kind,
        priority=priority_of(alert),
        destinations=tuple(batch),
        expires_at=alert.expires,
        cost=channel.cost(rendering, len(batch)),
    )


def _timer(alert: Alert[M]) -> NewDelivery:
    """Due when the alert's time is out: then it has ended, whoever is running."""
    return NewDelivery(
        key=f"{alert.identifier}:{CLOCK}:ended",
        identifier=alert.identifier,
        channel=CLOCK,
        priority=priority_of(alert),
        destinations=(),
        expires_at=None,
        not_before=alert.expires,
    )
