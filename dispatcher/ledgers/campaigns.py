"""The safety loop's keeper on SQL: joins its statements to a store, whichever engine that is.

People and climbs are written with the urgency of receipts, not of a bulk: while thousands answer, a bulk would wait for ever.

Source: design.md §5, §8.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

from dispatcher.campaigns import (
    EVERYBODY,
    ROWS,
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
from dispatcher.ledger import Event, NewDelivery
from dispatcher.ledgers import asking, destruction, hearing, rosters
from dispatcher.ledgers.store import Gathering, Store, Urgency
from dispatcher.ledgers.together import Together
from dispatcher.ledgers.transaction import Transaction


class SqlCampaigns(Campaigns):
    """On an open store that is being served."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._heard = Gathering(store, hearing.reply, Urgency.RECEIPT)
        self._some: Together[Campaign] = Together(self._look_at_campaigns)
        self._links: Together[tuple[Asked, str]] = Together(self._look_at_links)

    # -- a campaign --------------------------------------------------------------------------------------------------

    async def open(
        self,
        campaign: str,
        sealed_key: bytes,
        body: Mapping[str, Any],
        event: Event,
        deliveries: Sequence[NewDelivery] = (),
    ) -> Campaign:
        def open_it(t: Transaction) -> Campaign:
            return asking.open_campaign(t, campaign, sealed_key, body, event, deliveries)

        return await self._store.write(open_it)

    async def get(self, campaign: str) -> Campaign:
        return asking.there(campaign, await self._some.one(campaign))

    async def _look_at_campaigns(self, ids: Sequence[str]) -> Mapping[str, Campaign]:
        return await self._store.read(partial(asking.some, ids=ids))

    async def _look_at_links(self, hashes: Sequence[str]) -> Mapping[str, tuple[Asked, str]]:
        return await self._store.read(partial(asking.by_tokens, hashes=hashes))

    async def all(self) -> Sequence[Campaign]:
        return await self._store.read(asking.all_campaigns)

    async def move(
        self,
        campaign: str,
        expected_version: int,
        body: Mapping[str, Any],
        event: Event,
        deliveries: Sequence[NewDelivery] = (),
    ) -> int:
        def move(t: Transaction) -> int:
            return asking.move_campaign(t, campaign, expected_version, body, event, deliveries)

        return await self._store.write(move)

    async def destroy(self, campaign: str, expected_version: int, body: Mapping[str, Any], event: Event) -> None:
        def destroy_key(t: Transaction) -> None:
            destruction.destroy_key(t, campaign, expected_version, body, event)

        await self._store.write(destroy_key)
        while await self._store.write(partial(destruction.take_rows, campaign=campaign), Urgency.RECEIPT):
            pass
        await self._store.forget()

    # -- the people --------------------------------------------------------------------------------------------------

    async def add(
        self, campaign: str, asked: Sequence[NewAsked], deliveries: Sequence[NewDelivery], event: Event
    ) -> int:
        _require_few(asked)
        people, tokens = asking.rows_of(campaign, asked)

        def add(t: Transaction) -> int:
            return asking.add(t, campaign, people, tokens, deliveries, event)

        return await self._store.write(add, Urgency.RECEIPT)

    async def rows(self, campaign: str, ids: Sequence[str]) -> Sequence[Asked]:
        return await self._store.read(partial(asking.rows, campaign=campaign, ids=ids))

    async def each(self, campaign: str, wanted: Wanted = EVERYBODY, *, after: str = "") -> AsyncIterator[Asked]:
        while page := await self._store.read(
            partial(asking.page, campaign=campaign, wanted=wanted, after=after),
        ):
            for one in page:
                yield one
            after = page[-1].id

    async def furthest(self, campaign: str, wanted: Wanted, at_most: int, *, after: str = "") -> Sequence[Asked]:
        return await self._store.read(
            partial(asking.furthest, campaign=campaign, wanted=wanted, at_most=at_most, after=after)
        )

    async def by_token(self, token_hash: str) -> tuple[Asked, str] | None:
        return await self._links.one(token_hash)

    async def climb(
        self, campaign: str, climbing: Climbing, deliveries: Sequence[NewDelivery], event: Event
    ) -> Sequence[str]:
        _require_few(climbing.ids)

        def climb(t: Transaction) -> Sequence[str]:
            return asking.climb(t, campaign, climbing, deliveries, event)

        return await self._store.write(climb, Urgency.RECEIPT)

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
        given = {"progress": progress, "holder": holder, "standing": standing, "is_conflict": is_conflict}
        changes = {name: value for name, value in given.items() if value is not None}

        def mark(t: Transaction) -> int:
            return asking.mark(t, campaign, person, expected_version, event, changes)

        return await self._store.write(mark)

    async def open_cases(self, campaign: str) -> Mapping[str, int]:
        return await self._store.read(partial(asking.open_cases, campaign=campaign))

    async def totals(self, campaign: str) -> Sequence[Counted]:
        return await self._store.read(partial(asking.totals, campaign=campaign))

    # -- what was heard ----------------------------------------------------------------------------------------------

    async def reply(self, replies: Sequence[NewReply]) -> Sequence[Taken]:
        return await self._heard.add(replies)

    async def replies(self, campaign: str, person: str) -> Sequence[KeptReply]:
        return await self._store.read(partial(hearing.of_person, campaign=campaign, person=person))

    async def settle(self, campaign: str, reply: str, settled: str, event: Event) -> None:
        def settle(t: Transaction) -> None:
            hearing.settle(t, campaign, reply, settled, event)

        await self._store.write(settle)

    # -- the roster --------------------------------------------------------------------------------------------------

    async def replace_roster(self, rows: AsyncIterator[RosterRow], event: Event) -> int:
        before, _ = await self._store.read(rosters.current)
        generation, length = rosters.new_generation(), 0
        try:
            part: list[RosterRow] = []
            async for row in rows:
                part.append(row)
                if len(part) == ROWS:
                    length += await self._write_part(generation, part)
                    part = []
            length += await self._write_part(generation, part) if part else 0
            await self._store.write(
                partial(rosters.switch, generation=generation, length=length, before=before, event=event)
            )
        finally:
            while await self._store.write(rosters.sweep, Urgency.BULK):
                pass
        return length

    async def _write_part(self, generation: int, part: Sequence[RosterRow]) -> int:
        await self._store.write(partial(rosters.write_part, generation=generation, rows=tuple(part)), Urgency.BULK)
        return len(part)

    async def roster(self, quarters: Sequence[str] | None = None) -> AsyncIterator[RosterRow]:
        after = ""
        while page := await self._store.read(partial(rosters.page, quarters=quarters, after=after)):
            for row in page:
                yield row
            after = page[-1].pid

    async def roster_rows(self, pids: Sequence[str]) -> Sequence[RosterRow]:
        return await self._store.read(partial(rosters.some, pids=pids))

    async def roster_households(self, households: Sequence[str]) -> Sequence[RosterRow]:
        return await self._store.read(partial(rosters.households, codes=households))


def _require_few(people: Sequence[Any]) -> None:
    if len(people) > ROWS:
        raise ValueError(f"{len(people)} people in one transaction; {ROWS} at most")
