"""READ FIRST. The path of a message: accept → address → approve → dispatch → render → send, then what comes back.

    Draft ──prepare──▶ Prepared (alert, audiences, renderings, findings, hash)     steps accept, address, render, approve
          ──issue────▶ written down, in one transaction with its deliveries        step dispatch
    Claim ──attempt──▶ Attempted (taken, refused, deferred)                        steps render, send
    Claim of a room ─▶ its own: questions, timers, what facilities get first       Room, tracking/
    what comes back    receipts, acknowledgements, answers                         tracking/

Everything before `issue` can be thrown away; everything after it survives kill -9. The rules of who may do what stand in
staff/desk.py; how a medium is reached stands in channels/.

Source: design.md §2.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, cast

from config.city import City
from dispatcher import cap
from dispatcher.channel import Channel
from dispatcher.clock import Clock
from dispatcher.errors import Finding, NotFound, StaleHash
from dispatcher.ledger import Attempted, Claim, Event, IssuedAlert, Ledger, NewDelivery
from dispatcher.model.alert import Alert, Reference
from dispatcher.model.audience import Audience
from dispatcher.model.delivery import DeliveryEvent
from dispatcher.model.draft import Draft, State
from dispatcher.model.mode import M, require
from dispatcher.model.rendering import Rendering
from dispatcher.model.topic import topic_of
from dispatcher.steps.address import address
from dispatcher.steps.approve import alert_of, fingerprint
from dispatcher.steps.dispatch import CLOCK, NOBODY, TURN, First, Foremost, dispatch, resume
from dispatcher.steps.lint import lint
from dispatcher.steps.render import KEPT, Renderer, what_does_not_fit
from dispatcher.steps.send import send

STORY = 100_000
"""Events of one alert that are looked through for its beginning."""
LATER = timedelta(seconds=1)
"""A message is sent at least so long after the one that it follows: CAP's `sent` has no fractions."""


class Room(Protocol):
    """Who keeps deliveries of their own in the one outbox: questions, timers, what facilities get first.

    A key `identifier:channel:room/rest` belongs to the room that it names.
    """

    async def attempt(self, claim: Claim) -> Attempted:
        """As Path.attempt. Never raises for what a medium does."""
        ...


Alongside = Callable[[Alert[Any]], Sequence[NewDelivery]]
"""What somebody has to do once a message is out: timers, which are neither lost nor come before it."""


@dataclass(frozen=True, slots=True)
class Prepared(Generic[M]):
    """A draft as it would go out at a moment: what staff preview and what an approval binds to."""

    alert: Alert[M]
    audiences: Mapping[str, Audience]
    renderings: Mapping[str, Rendering[M]]
    findings: tuple[Finding, ...]
    hash: str

    @property
    def blocking(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.blocks)


@dataclass(frozen=True, slots=True)
class Path(Generic[M]):
    """The path within one node: one mode, one ledger, one set of channels."""

    mode: type[M]
    city: City
    channels: Mapping[str, Channel[M, Any]]
    ledger: Ledger
    clock: Clock
    sender: str
    """CAP sender: who speaks, as a globally unique name."""
    web: str
    """Where residents read the site."""
    renderer: Renderer[M]
    until: datetime | None = None
    """When the drill is over: nothing of it goes out afterwards, whatever was queued (亘理町 2016). None for live."""

    rooms: dict[str, Room] = field(default_factory=dict)
    """Whose deliveries are theirs to attempt, by the name that stands in a key."""
    issued: "OrderedDict[tuple[str, str], Rendering[M]]" = field(default_factory=OrderedDict)
    """By alert and channel, lately made: an alert that was issued never changes."""
    foremost: list[Foremost] = field(default_factory=list)
    """Who knows whom a message goes to before the public: nobody, or the register of facilities."""
    alongside: list[Alongside] = field(default_factory=list)
    """Who parks a timer of their own in the transaction of a message that goes out."""
    dispatching: set[str] = field(default_factory=set)
    """Alerts that this process is writing down at this moment."""

    @property
    def is_over(self) -> bool:
        return self.until is not None and self.clock.now() >= self.until

    async def prepare(self, draft: Draft, at: datetime) -> Prepared[M]:
        """The draft as it would go out at that moment. Nothing is written.

        Raises:
            InvalidInput: it has no area, or nobody to reach.
        """
        earlier: Sequence[Alert[Any]] = await self._earlier(draft)
        alert: Alert[M] = alert_of(
            draft,
            self.mode,
            self.city,
            sender=self.sender,
            sent=at,
            web=self.web,
            references=tuple(Reference(a.sender, a.identifier, a.sent) for a in earlier),
        )
        topic, also = topic_of([*earlier, alert]), self._first_media(draft.quarters)
        audiences = await address(draft.quarters, self.channels, topic, also=also)
        renderings: Mapping[str, Rendering[M]] = await self.renderer.render(alert, audiences)
        findings = (*lint(alert, now=self.clock.now()), *what_does_not_fit(renderings))
        return Prepared(alert, audiences, renderings, findings, fingerprint(alert, renderings, audiences))

    async def issue(self, draft: Draft, *, by: str) -> Alert[M]:
        """Write the approved draft down with all its deliveries; sending begins at once.

        Raises:
            StaleHash: the draft was changed, or something else of its chain went out, meanwhile; nothing was written.
            StorageFull: nothing was written.
        """
        chain: Sequence[IssuedAlert] = await self.chain(draft)
        if chain and chain[-1].identifier != draft.of:
            raise StaleHash(
                f"{chain[-1].identifier} が先に出ました。見くらべてください (went out meanwhile: look at it again)"
            )
        # Every reader orders a chain by its times, so one that is put back between two messages must not turn them round.
        approved = max([self.clock.now(), *(a.issued_at + LATER for a in chain[-1:])])
        prepared: Prepared[M] = await self.prepare(draft, approved)
        self.dispatching.add(draft.identifier)
        try:
            await dispatch(
                prepared.alert,
                draft,
                prepared.audiences,
                prepared.renderings,
                self.channels,
                self.ledger,
                by=by,
                approved=approved,
                chain=chain,
                foremost=self._first(prepared, chain),
            )
        finally:
            self.dispatching.discard(draft.identifier)
        self.ledger.wake()
        return prepared.alert

    async def resume(self, node: str) -> None:
        """Write down the rest of what was begun and not ended: this node stopped, its disk was full, or who began it is gone."""
        for issued in await self.ledger.alerts(only_live=True):
            if issued.state != State.DISPATCHING or issued.identifier in self.dispatching:
                continue
            turn = await self._turn(issued.identifier, node)
            if turn is None:
                continue
            draft = Draft.from_body(*await self.ledger.draft(issued.identifier))
            alert = cast("Alert[M]", cap.read(issued.cap_xml))
            require(self.mode, alert)
            every: Sequence[IssuedAlert] = await self.chain(draft)
            chain: Sequence[IssuedAlert] = [a for a in every if a.issued_at < issued.issued_at]
            topic = topic_of([cap.read(a.cap_xml) for a in (*chain, issued)])
            audiences = await address(alert.quarters, self.channels, topic, also=self._first_media(alert.quarters))
            renderings: Mapping[str, Rendering[M]] = await self.renderer.render(alert, audiences)
            await resume(alert, audiences, renderings, self.channels, self.ledger, chain=chain, turn=turn)
            self.ledger.wake()

    async def _turn(self, identifier: str, node: str) -> int | None:
        """The turn in which this node writes the rest of it down; None while that is another living node's to do."""
        try:
            turn, body = await self.ledger.read_record(TURN, identifier)
            holder = str(body["node"])
        except NotFound:
            turn, begun = 0, await self.ledger.story(identifier, limit=STORY)
            holder = next((r.node for r in begun if r.event.name == "alert.issued"), "")
        if holder == node:
            return turn
        if holder in await self.ledger.living():
            return None
        taken = Event("alert.taken-over", identifier, {"from": holder})
        try:
            return await self.ledger.save_record(TURN, identifier, turn, {"node": node}, taken)
        except StaleHash:  # a third node was faster
            return None

    async def attempt(self, claim: Claim) -> Attempted:
        """One attempt at one delivery; a timer that came due ends its alert."""
        if claim.channel != CLOCK and self.is_over:
            return Attempted(claim, DeliveryEvent.EXPIRED, "訓練は終わりました (the drill is over)")
        room, is_theirs, _ = claim.key.rpartition(":")[2].partition("/")
        if is_theirs:
            return await self.rooms[room].attempt(claim)
        if claim.channel == CLOCK:
            await self.ledger.finish_alert(
                claim.identifier, State.ENDED, Event("alert.ended", claim.identifier, {"because": "expired"})
            )
            return Attempted(claim, DeliveryEvent.TAKEN)
        rendering = await self.rendering(claim.identifier, claim.channel)
        return await send(claim, rendering, self.channels[claim.channel], self.ledger, self.clock)

    def _first_media(self, quarters: Collection[str]) -> Collection[str]:
        return {kind for one in self.foremost for kind in one.media(quarters)}

    def _first(self, prepared: Prepared[M], chain: Sequence[IssuedAlert]) -> First:
        first: First = next((one.first(prepared.alert, prepared.renderings, chain) for one in self.foremost), NOBODY)
        timers: list[NewDelivery] = [timer for one in self.alongside for timer in one(prepared.alert)]
        return replace(first, deliveries=[*first.deliveries, *timers])

    async def rendering(self, identifier: str, kind: str) -> Rendering[M]:
        """What was approved, rendered from the CAP message that the ledger holds; the same for each of an alert's batches.

        Raises:
            NotFound: no such alert.
        """
        kept = self.issued.get((identifier, kind))
        if kept is None:
            kept = self.issued[identifier, kind] = await self._rendered(identifier, kind)
            while len(self.issued) > KEPT:
                self.issued.popitem(last=False)
        return kept

    async def _rendered(self, identifier: str, kind: str) -> Rendering[M]:
        issued = await self.ledger.alert(identifier)
        alert = cap.read(issued.cap_xml)
        require(self.mode, alert)
        # To ask who belongs to it costs a walk through everybody: once, and not for each batch of them.
        audience = await self.channels[kind].audience(alert.quarters)
        rendering = (await self.renderer.render(cast("Alert[M]", alert), {kind: audience}))[kind]
        if rendering.digest != issued.renderings[kind]:
            await self.ledger.append(Event("rendering.differs", identifier, {"channel": kind}))
        return rendering

    async def chain(self, draft: Draft) -> Sequence[IssuedAlert]:
        """What this draft follows, oldest first; empty for a first message."""
        if draft.of is None:
            return ()
        first = (await self.ledger.alert(draft.of)).chain
        chain = [a for a in await self.ledger.alerts() if a.chain == first and a.identifier != draft.identifier]
        return sorted(chain, key=lambda a: a.issued_at)

    async def _earlier(self, draft: Draft) -> Sequence[Alert[Any]]:
        return [cap.read(a.cap_xml) for a in await self.chain(draft)]
