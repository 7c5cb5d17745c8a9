"""A ledger that forgets: what stands in another is read through it, what is written to it stands in memory alone.

`--dry-run` is the desk itself, with all its rules, over such a ledger: it says exactly what would happen, because it is what would
happen. Nobody sends anything from here, and nothing outlives the request that it was made for.

Source: design.md §9 "--dry-run".
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from dispatcher.campaigns import Campaigns
from dispatcher.channel import Limits
from dispatcher.errors import Defect, NotFound, StaleHash
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
from dispatcher.ledgers.rehearsed import RehearsedCampaigns
from dispatcher.model.delivery import DeliveryState, Received, Told

Body = Mapping[str, Any]


class Rehearsal(Ledger):
    """`said` is every event that would have been written, in order."""

    def __init__(self, real: Ledger) -> None:
        self._real = real
        self._drafts: dict[str, tuple[int, Body]] = {}
        self._alerts: dict[str, IssuedAlert] = {}
        self._records: dict[tuple[str, str], tuple[int, Body | None]] = {}
        self._new: list[NewDelivery] = []
        self.said: list[Event] = []
        self._campaigns = RehearsedCampaigns(real, self.said)

    @property
    def campaigns(self) -> Campaigns:
        return self._campaigns

    # -- staff's side ------------------------------------------------------------------------------------------------

    async def save_draft(self, identifier: str, expected_version: int, body: Body, event: Event) -> int:
        try:
            version, _ = await self.draft(identifier)
        except NotFound:
            version = 0
        if version != expected_version:
            raise StaleHash(f"{identifier} はほかの人が先に変えました (changed meanwhile)")
        self._drafts[identifier] = version + 1, dict(body)
        self.said.append(event)
        return version + 1

    async def draft(self, identifier: str) -> tuple[int, Body]:
        return self._drafts[identifier] if identifier in self._drafts else await self._real.draft(identifier)

    async def drafts(self) -> Sequence[tuple[str, int, Body]]:
        new = [(identifier, version, body) for identifier, (version, body) in self._drafts.items()]
        return new + [row for row in await self._real.drafts() if row[0] not in self._drafts]

    async def save_record(
        self, kind: str, key: str, expected_version: int, body: Body | None, event: Event | None
    ) -> int:
        try:
            version, _ = await self.read_record(kind, key)
        except NotFound:
            version = 0
        if version != expected_version:
            raise StaleHash(f"{kind} {key} はほかの人が先に変えました (changed meanwhile)")
        self._records[kind, key] = version + 1, body
        if event is not None:
            self.said.append(event)
        return version + 1 if body is not None else 0

    async def read_record(self, kind: str, key: str) -> tuple[int, Body]:
        if (kind, key) not in self._records:
            return await self._real.read_record(kind, key)
        version, body = self._records[kind, key]
        if body is None:
            raise NotFound(f"no {kind} {key}")
        return version, body

    async def records(self, kind: str, *, after: str = "", limit: int | None = None) -> Sequence[tuple[str, int, Body]]:
        kept = {key: (version, body) for key, version, body in await self._real.records(kind, after=after)}
        written = {key: row for (of, key), row in self._records.items() if of == kind and key > after}
        rows = sorted({**kept, **written}.items())
        return [(key, version, body) for key, (version, body) in rows if body is not None][:limit]

    async def issue(
        self,
        alert: IssuedAlert,
        first: Sequence[NewDelivery],
        event: Event,
        *,
        supersedes: Sequence[str] = (),
        follows: Sequence[str] | None = None,
        draft: tuple[str, int, Body] | None = None,
    ) -> bool:
        if alert.identifier in self._alerts:
            return False
        if follows is not None and {a.identifier for a in await self.alerts() if a.chain == alert.chain} - {*follows}:
            raise StaleHash(f"{alert.chain} のあとに別の発表が出ています (another message of its chain went out)")
        if draft is not None:
            identifier, version, body = draft
            if (await self.draft(identifier))[0] != version:
                raise StaleHash(f"{identifier} はほかの人が先に変えました (changed meanwhile)")
            self._drafts[identifier] = version + 1, body
        for each in supersedes:
            self._alerts[each] = replace(await self.alert(each), state="ended")
        self._alerts[alert.identifier] = alert
        self._new += first
        self.said.append(event)
        return True

    async def add_deliveries(self, deliveries: Sequence[NewDelivery]) -> None:
        self._new += deliveries

    async def finish_alert(self, identifier: str, state: str, event: Event) -> None:
        self._alerts[identifier] = replace(await self.alert(identifier), state=state)
        self.said.append(event)

    async def append(self, event: Event) -> None:
        self.said.append(event)

    # -- the outbox: nothing moves here ------------------------------------------------------------------------------

    async def run(
        self, lanes: Mapping[str, Limits], attempt: Callable[[Claim], Awaitable[Attempted]], *, concurrency: int = 256
    ) -> None:
        del lanes, attempt, concurrency
        raise Defect("nothing is sent from a rehearsal")

    async def tell(self, claim: Claim, told: Sequence[Told]) -> None:
        del claim, told
        raise Defect("nothing is sent from a rehearsal")

    async def record(self, channel: str, received: Sequence[Received]) -> int:
        del channel, received
        raise Defect("nothing comes back to a rehearsal")

    async def hasten(self, channel: str) -> None:
        """Nothing waits here."""

    def wake(self) -> None:
        """Nobody sleeps here."""

    # -- looking -----------------------------------------------------------------------------------------------------

    async def alert(self, identifier: str) -> IssuedAlert:
        return self._alerts[identifier] if identifier in self._alerts else await self._real.alert(identifier)

    async def alerts(self, *, only_live: bool = False) -> Sequence[IssuedAlert]:
        real = [a for a in await self._real.alerts(only_live=only_live) if a.identifier not in self._alerts]
        return [a for a in self._alerts.values() if not only_live or a.state == "live"] + real

    async def tally(self, identifier: str) -> Sequence[ChannelTally]:
        if identifier not in self._alerts:
            return await self._real.tally(identifier)
        counts: dict[str, int] = {}
        for delivery in self._new:
            if delivery.identifier == identifier:
                counts[delivery.channel] = counts.get(delivery.channel, 0) + len(delivery.destinations)
        return [ChannelTally(kind, n, 0, 0, 0, 0, 0, 0, 0, None, None, "") for kind, n in sorted(counts.items())]

    async def tally_at(self, identifier: str, at: datetime) -> Sequence[ChannelTally]:
        is_new = identifier in self._alerts
        return await self.tally(identifier) if is_new else await self._real.tally_at(identifier, at)

    async def spread(self, identifier: str) -> Mapping[str, tuple[float, float]]:
        return {} if identifier in self._alerts else await self._real.spread(identifier)

    async def held_back(self, limits: Mapping[str, Limits], now: datetime) -> Mapping[str, HeldBack]:
        return await self._real.held_back(limits, now)

    async def story(
        self, subject: str | None = None, *, until: datetime | None = None, limit: int = 500
    ) -> Sequence[Recorded]:
        return await self._real.story(subject, until=until, limit=limit)

    async def destinations(
        self, identifier: str, channel: str | None = None, *, room: str = ""
    ) -> AsyncIterator[DestinationStatus]:
        if identifier not in self._alerts:
            async for status in self._real.destinations(identifier, channel, room=room):
                yield status
            return
        for delivery in self._new:
            is_theirs = not room or delivery.key.startswith(f"{identifier}:{delivery.channel}:{room}/")
            if delivery.identifier == identifier and channel in {None, delivery.channel} and is_theirs:
                for each in delivery.destinations:
                    yield DestinationStatus(delivery.channel, each.address, each.name, None, "", "", {})

    async def refused(self, identifier: str, addresses: Sequence[str]) -> Sequence[str]:
        return await self._real.refused(identifier, addresses)

    async def deliveries(self, identifier: str) -> Mapping[DeliveryState, int]:
        return await self._real.deliveries(identifier)

    async def events(self, *, after: int = 0) -> AsyncIterator[Recorded]:
        async for recorded in self._real.events(after=after):
            yield recorded

    async def changed(self, after: int, timeout_s: float) -> int:
        return await self._real.changed(after, timeout_s)

    async def living(self) -> frozenset[str]:
        return await self._real.living()

    async def figures(self) -> Figures:
        return await self._real.figures()

    def still_for_s(self) -> float:
        return self._real.still_for_s()

    def away_for_s(self) -> float:
        return self._real.away_for_s()

    async def verify(self) -> Sequence[str]:
        return await self._real.verify()
