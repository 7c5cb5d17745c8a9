"""The standing 見守り: each day's campaign begins by itself.

Source: design.md §8; tracking/watching.py, which says what is kept of it.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Generic

from config.ladders import Kind
from dispatcher.clock import Clock
from dispatcher.errors import StaleHash
from dispatcher.ledger import Event, Ledger
from dispatcher.model.mode import M
from dispatcher.tracking.confirmation.lifetime import Lifetime
from dispatcher.tracking.confirmation.outbox import ROOM
from dispatcher.tracking.confirmation.round import Round
from dispatcher.tracking.watching import LASTS, Watching, due_days


@dataclass(frozen=True, slots=True)
class Daily(Generic[M]):
    """Begins the days of the watch and ends them."""

    ledger: Ledger
    clock: Clock
    watching: Watching
    lifetime: Lifetime[M]
    is_halted: Callable[[], bool]
    """停止中: nothing goes out."""

    async def watch(self, by: str, *, quarters: Sequence[str], at: str) -> None:
        """As Caring.watch."""
        await self.lifetime.meant("", quarters, Kind.WATCH.value)
        await self.watching.switch_on(by, quarters, at)

    async def unwatch(self, by: str) -> None:
        """As Caring.unwatch."""
        await self.watching.switch_off(by)
        for campaign in await self.ledger.campaigns.all():
            if Round.of(campaign).day:
                await self.lifetime.close(by, campaign.id)

    async def begin_day(self, number: str, said: str) -> bool:
        """Begin the campaign of this day, but for quarters where people are asked whether they are safe.

        False: the node is halted, and the day is to be looked at again. Halted for longer than it may be late, it is missed.
        """
        watch, day = await self.watching.kept(), date.fromisoformat(said)
        if watch is None or not watch.is_on or watch.number != int(number):
            return True
        missed, last = due_days(watch, day, self.clock.now())
        campaign = f"watch-{last}"
        following = watch.timer(ROOM, last + timedelta(days=1))
        begun = {one.id: Round.of(one) for one in await self.ledger.campaigns.all()}
        if campaign in begun:
            missed = [each for each in missed if each != last]
        await self.watching.missed(missed)
        busy = {q for body in begun.values() if body.is_open and body.kind == Kind.SAFETY for q in body.quarters}
        where = [quarter for quarter in watch.quarters if quarter not in busy]
        if campaign in begun or last in missed:
            await self.ledger.add_deliveries([following])
        elif not where:
            await self.ledger.append(Event("safety.watch-paused", "", {"day": str(last)}))
            await self.ledger.add_deliveries([following])
        elif self.is_halted():
            return False
        else:
            text, _ = await self.lifetime.meant("", where, Kind.WATCH.value)
            until = watch.on(last) + LASTS
            body = self.lifetime.first_round(Kind.WATCH.value, where, text, until, day=str(last))
            with suppress(StaleHash):
                await self.lifetime.open(campaign, body, "", [following])
        self.ledger.wake()
        watch = await self.watching.kept()
        if watch is None or not watch.is_on:  # switched off meanwhile
            await self.unwatch("")
        return True
