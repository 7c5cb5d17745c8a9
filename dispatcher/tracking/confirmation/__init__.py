"""Safety confirmation: people are asked whether they are safe until each has answered, or somebody goes there.

    lifetime.py    a campaign: planned, begun, asked anew, closed, destroyed
    daily.py       the standing 見守り begins one every day
    outbox.py      what the loop leaves in the outbox
    asking.py      what comes due there is done
    enrolling.py   everybody is written down, or begins a new round
    rungs.py       the silent go up the ladder
    hearing.py     answers, whichever way they come; matching.py those of people known by name alone
    tending.py     what staff see of people and do about them
    round.py       a campaign in clear; case.py one person, sealed; keys.py what seals; people.py whom the roster has

They meet in the ledger alone: nothing that one has returned for is lost, because state is in rows, time is in the outbox, links are
derived anew. `Confirmation` joins them and keeps the residents' contract (tracking/answering.py), the staff's (tracking/caring.py)
and that of a room of the outbox (path.py).

Source: design.md §8.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Generic

from config.city import City
from config.ladders import Ladder, ladders
from dispatcher.campaigns import Campaign
from dispatcher.channel import Channel
from dispatcher.clock import Clock
from dispatcher.ledger import Attempted, Claim, Ledger, NewDelivery
from dispatcher.model.alert import Alert
from dispatcher.model.campaign import CaseEvent, Reply
from dispatcher.model.delivery import DeliveryEvent
from dispatcher.model.mode import M
from dispatcher.model.question import Heard
from dispatcher.tracking.caring import Cell, Plan, Somebody, Unmatched, Wish
from dispatcher.tracking.confirmation.asking import Asking
from dispatcher.tracking.confirmation.daily import Daily
from dispatcher.tracking.confirmation.enrolling import Enrolling, People
from dispatcher.tracking.confirmation.hearing import Hearing
from dispatcher.tracking.confirmation.keys import KeyDiffers, KeyRing
from dispatcher.tracking.confirmation.lifetime import Lifetime
from dispatcher.tracking.confirmation.matching import WHAT, Matching, look_later
from dispatcher.tracking.confirmation.outbox import RETRACTED, ROOM
from dispatcher.tracking.confirmation.rungs import Rungs
from dispatcher.tracking.confirmation.tending import Tending
from dispatcher.tracking.watching import WHAT as DAILY
from dispatcher.tracking.watching import Watch, Watching

__all__ = ["ROOM", "Confirmation"]

WRONG_KEY_S = 30.0
"""Until a timer is tried again whose campaign this node's safety.key does not open."""

HALTED_S = 60.0
"""Until a halted node looks again whether it may begin the day's watch."""


class Confirmation(Generic[M]):
    """The safety loop of one node."""

    def __init__(
        self,
        mode: type[M],
        ledger: Ledger,
        channels: Mapping[str, Channel[M, Any]],
        people: People,
        site_secret: bytes,
        clock: Clock,
        city: City,
        site_url: str,
        policies: Mapping[str, Ladder] | None = None,
        *,
        is_halted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._over: Callable[[Ledger], Confirmation[M]] = lambda other: Confirmation(
            mode, other, channels, people, site_secret, clock, city, site_url, policies, is_halted=is_halted
        )
        self._campaigns = campaigns = ledger.campaigns
        steps = ladders() if policies is None else policies
        ring = KeyRing(site_secret)
        media = {kind: channel for kind, channel in channels.items() if channel.asks}
        self._hearing: Hearing[M] = Hearing(mode, campaigns, ring, clock, partial(look_later, ledger, clock))
        self._tending: Tending[M] = Tending(campaigns, steps, ring, city, self._hearing)
        self._matching: Matching[M] = Matching(campaigns, ring, self._hearing, self._tending)
        self._lifetime: Lifetime[M] = Lifetime(mode, ledger, steps, people, ring, clock, city, self._tending.cells)
        self._watching = Watching(ledger, clock, ROOM)
        self._daily: Daily[M] = Daily(ledger, clock, self._watching, self._lifetime, is_halted)
        enrolling: Enrolling[M] = Enrolling(ledger, media, steps, people)
        rungs: Rungs[M] = Rungs(ledger, media, steps, clock)
        self._asking: Asking[M] = Asking(mode, ledger, media, steps, ring, clock, site_url, enrolling, rungs)

    def over(self, ledger: Ledger) -> "Confirmation[M]":
        """The same loop over a ledger that forgets: what a rehearsal asks."""
        return self._over(ledger)

    # -- the outbox and the media ------------------------------------------------------------------------------------

    async def attempt(self, claim: Claim) -> Attempted:
        """As Room.attempt (path.py)."""
        try:
            return await self._attempt(claim)
        except KeyDiffers as differs:
            # Somebody has to see to the site file; until then every rung waits, and no other room's timers do.
            return Attempted(claim, DeliveryEvent.DEFERRED, str(differs), retry_after_s=WRONG_KEY_S)

    async def _attempt(self, claim: Claim) -> Attempted:
        what, *rest = claim.key.rpartition(f":{ROOM}/")[2].split("/")
        match what:
            case "end":
                await self._lifetime.end(claim.identifier, int(rest[0]) if rest else 1)
            case _ if what == RETRACTED:
                await self._lifetime.take_back(claim.identifier)
            case "destroy":
                await self._lifetime.destroy(claim.identifier)
            case _ if what == WHAT:
                await self._matching.match_by_itself(claim.identifier)
            case _ if what == DAILY:
                if not await self._daily.begin_day(*rest):
                    return Attempted(claim, DeliveryEvent.DEFERRED, "停止中です (halted)", retry_after_s=HALTED_S)
            case _:
                if what == "enrol":
                    await self._lifetime.close_if_retracted(claim.identifier)
                return await self._asking.attempt(claim)
        return Attempted(claim, DeliveryEvent.TAKEN)

    def alongside(self, alert: Alert[Any]) -> Sequence[NewDelivery]:
        """As Path.alongside (path.py)."""
        return self._lifetime.alongside(alert)

    async def hear(self, heard: Sequence[Heard]) -> None:
        """As Inbox.hear (channel.py)."""
        await self._hearing.hear(heard)

    @property
    def answering(self) -> Hearing[M]:
        """What the residents' doors use (tracking/answering.py)."""
        return self._hearing

    # -- staff: campaigns (tracking/caring.py says of each what it does) ---------------------------------------------

    async def campaigns(self) -> Sequence[Campaign]:
        return await self._campaigns.all()

    async def plan(self, *, about: str, quarters: Sequence[str], kind: str) -> Plan:
        return await self._lifetime.plan(about=about, quarters=quarters, kind=kind)

    async def start(self, by: str, *, about: str, quarters: Sequence[str], kind: str) -> str:
        return await self._lifetime.start(by, about=about, quarters=quarters, kind=kind)

    async def re_ask(self, by: str, campaign: str, quarters: Sequence[str] = ()) -> int:
        return await self._lifetime.re_ask(by, campaign, quarters)

    async def close(self, by: str, campaign: str) -> None:
        await self._lifetime.close(by, campaign)

    async def destroy(self, campaign: str) -> None:
        await self._lifetime.destroy(campaign)

    async def watching(self) -> Watch | None:
        return await self._watching.kept()

    async def watch(self, by: str, *, quarters: Sequence[str], at: str) -> None:
        await self._daily.watch(by, quarters=quarters, at=at)

    async def unwatch(self, by: str) -> None:
        await self._daily.unwatch(by)

    # -- staff: people -----------------------------------------------------------------------------------------------

    async def cells(self, campaign: str) -> Sequence[Cell]:
        return await self._tending.cells(campaign)

    def people(self, campaign: str, wish: Wish, *, after: str = "") -> AsyncIterator[Somebody]:
        return self._tending.people(campaign, wish, after=after)

    async def silent(self, campaign: str, at_most: int, *, after: str = "") -> Sequence[Somebody]:
        return await self._tending.silent(campaign, at_most, after=after)

    async def person(self, campaign: str, person: str) -> Somebody:
        return await self._tending.person(campaign, person)

    async def report(self, by: str, campaign: str, person: str, reply: Reply) -> None:
        await self._hearing.told(by, campaign, person, reply)

    async def take_on(self, by: str, campaign: str, person: str) -> None:
        await self._tending.take_on(by, campaign, person)

    async def resolve(self, by: str, campaign: str, person: str) -> None:
        await self._tending.move(by, campaign, person, CaseEvent.RESOLVED)

    async def exempt(self, by: str, campaign: str, person: str) -> None:
        """They need not be asked."""
        await self._tending.move(by, campaign, person, CaseEvent.EXEMPTED)

    async def unmatched(self, campaign: str) -> Sequence[Unmatched]:
        return await self._matching.unmatched(campaign)

    async def match(self, by: str, campaign: str, report: str, person: str) -> None:
        await self._matching.match(by, campaign, report, person)
