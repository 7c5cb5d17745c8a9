"""The safety loop's keeper in a rehearsal: what stands in the real one is read through it, what is written only says its event.

A campaign that was opened here can be looked at here; nobody is asked in it and nobody answers, so its people are none.

Source: dispatcher/ledgers/rehearsal.py; design.md §9 "--dry-run".
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from dispatcher.campaigns import (
    EVERYBODY,
    Asked,
    Campaign,
    Campaigns,
    Climbing,
    Counted,
    KeptReply,
    NewAsked,
    NewReply,
    RosterRow,
    Taken,
    Wanted,
)
from dispatcher.clock import JST
from dispatcher.errors import NotFound, StaleHash
from dispatcher.ledger import Event, Ledger, NewDelivery


class RehearsedCampaigns(Campaigns):
    """`said` is where its events go: the rehearsal's own list."""

    def __init__(self, real: Ledger, said: list[Event]) -> None:
        self._ledger = real
        self._said = said
        self._here: dict[str, Campaign] = {}
        """Opened or moved here, as they would stand."""

    @property
    def _real(self) -> Campaigns:
        return self._ledger.campaigns

    # -- a campaign --------------------------------------------------------------------------------------------------

    async def open(
        self,
        campaign: str,
        sealed_key: bytes,
        body: Mapping[str, Any],
        event: Event,
        deliveries: Sequence[NewDelivery] = (),
    ) -> Campaign:
        del deliveries
        try:
            await self.get(campaign)
        except NotFound:
            # No moment of its own: nothing of it happens.
            self._here[campaign] = Campaign(campaign, 1, datetime.fromtimestamp(0, JST), dict(body), sealed_key)
            self._said.append(event)
            return self._here[campaign]
        raise StaleHash(f"安否確認 {campaign} はもうあります (there is one of that name already)")

    async def get(self, campaign: str) -> Campaign:
        return self._here[campaign] if campaign in self._here else await self._real.get(campaign)

    async def all(self) -> Sequence[Campaign]:
        return [*self._here.values(), *(c for c in await self._real.all() if c.id not in self._here)]

    async def move(
        self,
        campaign: str,
        expected_version: int,
        body: Mapping[str, Any],
        event: Event,
        deliveries: Sequence[NewDelivery] = (),
    ) -> int:
        del deliveries
        stands = await self.get(campaign)
        if stands.version != expected_version:
            raise StaleHash(f"安否確認 {campaign} はほかの人が先に変えました (changed by somebody else meanwhile)")
        self._here[campaign] = replace(stands, version=expected_version + 1, body=dict(body))
        self._said.append(event)
        return expected_version + 1

    async def destroy(self, campaign: str, expected_version: int, body: Mapping[str, Any], event: Event) -> None:
        await self.move(campaign, expected_version, body, event)

    # -- the people --------------------------------------------------------------------------------------------------

    async def add(
        self, campaign: str, asked: Sequence[NewAsked], deliveries: Sequence[NewDelivery], event: Event
    ) -> int:
        del deliveries
        await self.get(campaign)
        self._said.append(event)
        return len(asked)

    async def rows(self, campaign: str, ids: Sequence[str]) -> Sequence[Asked]:
        return await self._real.rows(campaign, ids)

    async def each(self, campaign: str, wanted: Wanted = EVERYBODY, *, after: str = "") -> AsyncIterator[Asked]:
        async for one in self._real.each(campaign, wanted, after=after):
            yield one

    async def furthest(self, campaign: str, wanted: Wanted, at_most: int, *, after: str = "") -> Sequence[Asked]:
        return await self._real.furthest(campaign, wanted, at_most, after=after)

    async def by_token(self, token_hash: str) -> tuple[Asked, str] | None:
        return await self._real.by_token(token_hash)

    async def climb(
        self, campaign: str, climbing: Climbing, deliveries: Sequence[NewDelivery], event: Event
    ) -> Sequence[str]:
        del deliveries
        up = [
            one.id
            for one in await self._real.rows(campaign, climbing.ids)
            if one.is_silent and one.round == climbing.round
            if climbing.seen.get(one.id, one.rung) == one.rung < climbing.rung
        ]
        self._said.extend([event] if up else [])
        return sorted(up)

    async def mark(
        self,
        campaign: str,
        person: str,
        expected_version: int,
        event: Event,
        *,
        progress: str | None = None,
        holder: str | None = None,
        standing: str | None = None,
        is_conflict: bool | None = None,
    ) -> int:
        del progress, holder, standing, is_conflict
        rows = await self._real.rows(campaign, [person])
        if not rows:
            raise NotFound(f"安否確認 {campaign} にその人はいません (nobody of that id)")
        if rows[0].version != expected_version:
            raise StaleHash("この人のことは、ほかの人が先に変えました (changed by somebody else meanwhile)")
        self._said.append(event)
        return expected_version + 1

    async def open_cases(self, campaign: str) -> Mapping[str, int]:
        return await self._real.open_cases(campaign)

    async def totals(self, campaign: str) -> Sequence[Counted]:
        return await self._real.totals(campaign)

    # -- what was heard ----------------------------------------------------------------------------------------------

    async def reply(self, replies: Sequence[NewReply]) -> Sequence[Taken]:
        for one in replies:
            self._said.append(Event("safety.heard", one.campaign, {"count": 1}))
        return [Taken.NEW] * len(replies)

    async def replies(self, campaign: str, person: str) -> Sequence[KeptReply]:
        return await self._real.replies(campaign, person)

    async def settle(self, campaign: str, reply: str, settled: str, event: Event) -> None:
        del settled
        found = [one for one in await self._real.replies(campaign, "") if one.id == reply]
        if not found:
            raise NotFound("その知らせはありません (no such report without a person)")
        if found[0].settled:
            raise StaleHash("その知らせは、ほかの人が先に確かめました (somebody else settled it)")
        self._said.append(event)

    # -- the roster --------------------------------------------------------------------------------------------------

    async def replace_roster(self, rows: AsyncIterator[RosterRow], event: Event) -> int:
        length = 0
        async for _ in rows:
            length += 1
        self._said.append(event)
        return length

    async def roster(self, quarters: Sequence[str] | None = None) -> AsyncIterator[RosterRow]:
        async for row in self._real.roster(quarters):
            yield row

    async def roster_rows(self, pids: Sequence[str]) -> Sequence[RosterRow]:
        return await self._real.roster_rows(pids)

    async def roster_households(self, households: Sequence[str]) -> Sequence[RosterRow]:
        return await self._real.roster_households(households)
