"""The ledger on SQL: joins the statements to a store, whichever engine that is.

Source: design.md §5.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from dispatcher.campaigns import Campaigns
from dispatcher.channel import Limits
from dispatcher.clock import Clock
from dispatcher.ledger import (
    Attempted,
    ChannelTally,
    Claim,
    DestinationStatus,
    Event,
    Figures,
    HeldBack,
    IssuedAlert,
    Ledger,
    NewDelivery,
    Recorded,
)
from dispatcher.ledgers import alerts, answers, audit, beat, holding, keeping, looking
from dispatcher.ledgers.campaigns import SqlCampaigns
from dispatcher.ledgers.figures import figures
from dispatcher.ledgers.opening import Identity
from dispatcher.ledgers.outbox import Outbox
from dispatcher.ledgers.store import Gathering, Store, Urgency
from dispatcher.ledgers.transaction import Transaction
from dispatcher.model.delivery import DeliveryState, Received, Told

BULK = 500
"""Deliveries in one transaction at most: at 100,000 an urgent alert waited 561 ms, at 500 it waits 13."""
LIVE = ("dispatching", "live")
"""model/draft.py: issued and not ended."""


class SqlLedger(Ledger):
    """One node's ledger, on an open store that is being served."""

    def __init__(self, store: Store, me: Identity, clock: Clock, beat_s: float) -> None:
        self._store = store
        self._me = me
        self._clock = clock
        self._beat_s = beat_s
        self._outbox: Outbox | None = None
        self._told = Gathering(store, answers.tell, Urgency.OUTBOX)
        self._received = Gathering(store, answers.record, Urgency.RECEIPT)
        self._hastened = Gathering(store, beat.hasten, Urgency.RECEIPT)
        self._campaigns = SqlCampaigns(store)

    @property
    def campaigns(self) -> Campaigns:
        return self._campaigns

    # -- staff's side ------------------------------------------------------------------------------------------------

    async def save_draft(self, identifier: str, expected_version: int, body: Mapping[str, Any], event: Event) -> int:
        def save(t: Transaction) -> int:
            return alerts.save_draft(t, identifier, expected_version, body, event)

        return await self._store.write(save)

    async def draft(self, identifier: str) -> tuple[int, Mapping[str, Any]]:
        return await self._store.read(partial(looking.draft, identifier=identifier))

    async def drafts(self) -> Sequence[tuple[str, int, Mapping[str, Any]]]:
        return await self._store.read(looking.all_drafts)

    async def save_record(
        self, kind: str, key: str, expected_version: int, body: Mapping[str, Any] | None, event: Event | None
    ) -> int:
        def save(t: Transaction) -> int:
            return keeping.save(t, kind, key, expected_version, body, event)

        return await self._store.write(save)

    async def read_record(self, kind: str, key: str) -> tuple[int, Mapping[str, Any]]:
        return await self._store.read(partial(keeping.one, kind=kind, key=key))

    async def records(
        self, kind: str, *, after: str = "", limit: int | None = None
    ) -> Sequence[tuple[str, int, Mapping[str, Any]]]:
        return await self._store.read(partial(keeping.of_kind, kind=kind, after=after, limit=limit))

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
        if len(first) > BULK:
            raise ValueError(
                f"{len(first)} first deliveries; an alert begins with {BULK} at most, add_deliveries adds the rest"
            )

        def issue(t: Transaction) -> bool:
            return alerts.issue(t, alert, first, event, supersedes, follows, draft)

        is_new = await self._store.write(issue)
        if self._outbox is not None:
            self._outbox.supersede(frozenset(supersedes))
        return is_new

    async def add_deliveries(self, deliveries: Sequence[NewDelivery]) -> None:
        before: asyncio.Future[None] | None = None
        for start in range(0, len(deliveries), BULK):
            rows = alerts.delivery_rows(deliveries[start : start + BULK])
            part = self._store.submit(partial(alerts.add_deliveries, rows=rows), Urgency.BULK)
            if before is not None:
                await before
            before = part
        if before is not None:
            await before

    async def finish_alert(self, identifier: str, state: str, event: Event) -> None:
        def finish(t: Transaction) -> None:
            alerts.finish_alert(t, identifier, state, event)

        await self._store.write(finish)

    async def append(self, event: Event) -> None:
        await self._store.write(lambda t: t.append(event))

    # -- the outbox --------------------------------------------------------------------------------------------------

    async def run(
        self, lanes: Mapping[str, Limits], attempt: Callable[[Claim], Awaitable[Attempted]], *, concurrency: int = 256
    ) -> None:
        outbox = Outbox(
            self._store, self._me, self._clock, lanes, attempt, beat_s=self._beat_s, concurrency=concurrency
        )
        self._outbox = outbox
        try:
            await outbox.run()
        finally:
            self._outbox = None

    async def tell(self, claim: Claim, told: Sequence[Told]) -> None:
        await self._told.add([(claim, said) for said in told])

    async def record(self, channel: str, received: Sequence[Received]) -> int:
        return sum(
            await self._received.add([r if r.channel == channel else replace(r, channel=channel) for r in received])
        )

    async def hasten(self, channel: str) -> None:
        await self._hastened.add([channel])

    def wake(self) -> None:
        self._store.news.set()

    # -- looking -----------------------------------------------------------------------------------------------------

    async def alert(self, identifier: str) -> IssuedAlert:
        return await self._store.read(partial(looking.alert, identifier=identifier))

    async def alerts(self, *, only_live: bool = False) -> Sequence[IssuedAlert]:
        return await self._store.read(partial(looking.all_alerts, states=LIVE if only_live else None))

    async def tally(self, identifier: str) -> Sequence[ChannelTally]:
        return await self._store.read(partial(looking.tally, identifier=identifier))

    async def tally_at(self, identifier: str, at: datetime) -> Sequence[ChannelTally]:
        return await self._store.read(partial(looking.tally_at, identifier=identifier, at=at))

    async def spread(self, identifier: str) -> Mapping[str, tuple[float, float]]:
        return await self._store.read(partial(looking.spread, identifier=identifier))

    async def held_back(self, limits: Mapping[str, Limits], now: datetime) -> Mapping[str, HeldBack]:
        return await self._store.read(partial(holding.held_back, limits=limits, now=now.timestamp()))

    async def story(
        self, subject: str | None = None, *, until: datetime | None = None, limit: int = 500
    ) -> Sequence[Recorded]:
        return await self._store.read(partial(looking.story, subject=subject, until=until, limit=limit))

    async def destinations(
        self, identifier: str, channel: str | None = None, *, room: str = ""
    ) -> AsyncIterator[DestinationStatus]:
        after: int | None = 0
        while after is not None:
            page = partial(looking.some_destinations, identifier=identifier, channel=channel, after=after, room=room)
            after, some = await self._store.read(page)
            for status in some:
                yield status

    async def refused(self, identifier: str, addresses: Sequence[str]) -> Sequence[str]:
        return await self._store.read(partial(looking.refused, identifier=identifier, addresses=addresses))

    async def deliveries(self, identifier: str) -> Mapping[DeliveryState, int]:
        return await self._store.read(partial(looking.delivery_states, identifier=identifier))

    async def events(self, *, after: int = 0) -> AsyncIterator[Recorded]:
        while some := await self._store.read(partial(looking.some_events, node=self._me.node, after=after)):
            for recorded in some:
                yield recorded
            after = some[-1].sequence

    async def changed(self, after: int, timeout_s: float) -> int:
        try:
            async with asyncio.timeout(timeout_s), self._store.grown:
                await self._store.grown.wait_for(lambda: self._store.head.length > after)
        except TimeoutError:
            pass
        return self._store.head.length

    async def living(self) -> frozenset[str]:
        return await self._store.read(partial(beat.living, dialect=self._store.dialect))

    async def figures(self) -> Figures:
        return await self._store.read(partial(figures, commits=self._store.commits))

    def still_for_s(self) -> float:
        return self._store.still_for_s()

    def away_for_s(self) -> float:
        return self._store.away_for_s()

    async def verify(self) -> Sequence[str]:
        return await self._store.read(audit.verify)
