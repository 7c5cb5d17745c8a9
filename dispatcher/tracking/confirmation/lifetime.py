"""A campaign's lifetime: whom it would ask, its beginning, further rounds, its end, and the destruction of its key.

Source: design.md §8; tracking/caring.py.
"""

import secrets
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic

from config.city import City
from config.ladders import Kind, Ladder
from config.words import MESSAGES
from dispatcher import cap
from dispatcher.channel import priority_of
from dispatcher.clock import Clock
from dispatcher.errors import Finding, InvalidInput, NotFound, Refused, StaleHash
from dispatcher.ledger import Event, IssuedAlert, Ledger, NewDelivery
from dispatcher.model.alert import Alert
from dispatcher.model.delivery import Priority
from dispatcher.model.draft import State, Verb, verb_of
from dispatcher.model.mode import M
from dispatcher.model.policy import first_on, ladder_of
from dispatcher.tracking.caring import Cell, Lot, Plan
from dispatcher.tracking.confirmation.enrolling import People
from dispatcher.tracking.confirmation.keys import KeyRing
from dispatcher.tracking.confirmation.outbox import retraction_timer, timer
from dispatcher.tracking.confirmation.round import ANSWERED_FOR, Asked, Round, priority_below
from dispatcher.tracking.confirmation.round import State as Stands

OUT = frozenset({State.DISPATCHING, State.LIVE})
NO_ID_BYTES = 3
KEY_KEPT = timedelta(days=30)
"""From the closing of a campaign until its key is destroyed."""
FEW = 5
"""Counts under it are hidden from whoever is not of the role welfare."""


@dataclass(frozen=True, slots=True)
class Lifetime(Generic[M]):
    """Plans, opens and ends campaigns."""

    mode: type[M]
    ledger: Ledger
    ladders: Mapping[str, Ladder]
    people: People
    ring: KeyRing
    clock: Clock
    city: City
    cells: Callable[[str], Awaitable[Sequence[Cell]]]
    """Everybody of a campaign, counted."""

    async def plan(self, *, about: str, quarters: Sequence[str], kind: str) -> Plan:
        """As Caring.plan."""
        _, where = await self.meant(about, quarters, kind)
        people: Counter[str] = Counter()
        by_nothing: Counter[str] = Counter()
        media: defaultdict[str, Counter[str]] = defaultdict(Counter)
        async for _, case in self.people(where):
            try:
                ladder = self.ladders[ladder_of(self.ladders, Kind(kind), case.cohorts)]
            except LookupError:
                continue
            if case.is_restricted:
                continue
            people[case.quarter] += 1
            _, asked = first_on(ladder, case.contacts)
            by_nothing[case.quarter] += not asked
            for medium in {case.contacts[i].channel for i in asked}:
                media[medium][case.quarter] += 1
        return Plan(people, media, by_nothing)

    async def start(self, by: str, *, about: str, quarters: Sequence[str], kind: str) -> str:
        """As Caring.start."""
        said, where = await self.meant(about, quarters, kind)
        now = self.clock.now()
        campaign = f"{kind}-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(NO_ID_BYTES)}"
        priority = Priority.ROUTINE if not about else priority_below((await self.ledger.alert(about)).priority)
        body = self.first_round(kind, where, said, now + ANSWERED_FOR, about=about, priority=priority)
        await self.open(campaign, body, by)
        self.ledger.wake()
        return campaign

    def first_round(
        self,
        kind: str,
        quarters: Sequence[str],
        said: Mapping[str, str],
        until: datetime,
        *,
        about: str = "",
        priority: Priority = Priority.ROUTINE,
        day: str = "",
    ) -> Round:
        """A campaign's body as it begins now."""
        return Round(
            about=about,
            kind=kind,
            status=self.mode.status,
            priority=int(priority),
            quarters=tuple(quarters),
            said=said,
            until=until,
            rounds=(Asked(at=self.clock.now(), quarters=()),),
            day=day,
        )

    async def open(self, campaign: str, body: Round, by: str, timers: Sequence[NewDelivery] = ()) -> None:
        """Raises StaleHash: there is one of that name already."""
        first: list[NewDelivery] = [timer(campaign, body, "enrol/1", None), timer(campaign, body, "end", body.until)]
        event = Event("safety.opened", campaign, {"by": by, "about": body.about, "kind": body.kind})
        await self.ledger.campaigns.open(campaign, self.ring.new(campaign), body.body(), event, [*first, *timers])

    async def re_ask(self, by: str, campaign: str, quarters: Sequence[str] = ()) -> int:
        """As Caring.re_ask."""
        if unknown := [quarter for quarter in quarters if quarter not in self.city.quarters]:
            raise InvalidInput([Finding("quarters", f"{quarter} は市の町丁目ではありません") for quarter in unknown])
        while True:
            kept = await self.ledger.campaigns.get(campaign)
            body = Round.of(kept)
            if not body.is_open:
                raise Refused("この安否確認は終わりました。新しく始めてください (it is closed; begin a new one)")
            if not body.is_enrolled:
                raise Refused("まだ全員に尋ね終わっていません。少し待ってください (still asking; wait a moment)")
            new = body.again(self.clock.now(), quarters)
            number = len(new.rounds)
            timers = [timer(campaign, new, f"enrol/{number}", None)]
            if new.until > body.until:
                timers.append(timer(campaign, new, f"end/{number}", new.until))
            event = Event("safety.asked-again", campaign, {"by": by, "round": number})
            try:
                await self.ledger.campaigns.move(campaign, kept.version, new.body(), event, timers)
            except StaleHash:
                continue
            self.ledger.wake()
            return number

    async def end(self, campaign: str, number: int) -> None:
        """Its time is over; unless people were asked anew since this timer of a round was parked.

        Not by this machine's clock: where it is behind the database's, which said that the timer is due, none would ever end.
        """
        body = Round.of(await self.ledger.campaigns.get(campaign))
        if body.until <= max(asking.at for asking in body.rounds[:number]) + ANSWERED_FOR:
            await self.close("", campaign)

    async def close(self, by: str, campaign: str, *, because: str = "") -> None:
        """As Caring.close; nothing where it is closed already. `because`: the message that took back what it asks about."""
        while True:
            kept = await self.ledger.campaigns.get(campaign)
            body = Round.of(kept)
            now = self.clock.now()
            if not body.is_open or kept.is_destroyed:
                return
            new = replace(body, state=Stands.CLOSED.value, closed_at=now, because=because)
            event = Event("safety.closed", campaign, {"by": by, "because": because})
            try:
                destroying = timer(campaign, new, "destroy", now + KEY_KEPT)
                await self.ledger.campaigns.move(campaign, kept.version, new.body(), event, [destroying])
            except StaleHash:
                continue
            return

    # -- what was a mistake (取消; a 解除 ends no round: people may be under what the flood has left) ---------------------

    def alongside(self, alert: Alert[Any]) -> Sequence[NewDelivery]:
        """As Path.alongside: of a retraction, the timer that ends the rounds about what it takes back."""
        return [retraction_timer(alert.identifier, priority_of(alert))] if verb_of(alert) is Verb.RETRACT else []

    async def take_back(self, retraction: str) -> None:
        """End every round about a message of this one's chain."""
        chain = {each.identifier for each in await self._chain(retraction)}
        for kept in await self.ledger.campaigns.all():
            if Round.of(kept).about in chain:
                await self.close("", kept.id, because=retraction)

    async def close_if_retracted(self, campaign: str) -> None:
        """A round that was opened while the retraction went out asks nobody."""
        about = Round.of(await self.ledger.campaigns.get(campaign)).about
        if about and (retraction := await self._retraction_of(about)):
            await self.close("", campaign, because=retraction)

    async def _retraction_of(self, about: str) -> str:
        """What took this message back; "" as long as nothing did."""
        return next((each.identifier for each in await self._chain(about) if each.verb == Verb.RETRACT), "")

    async def _chain(self, identifier: str) -> Sequence[IssuedAlert]:
        beginning = (await self.ledger.alert(identifier)).chain
        return [each for each in await self.ledger.alerts() if each.chain == beginning]

    # -- the end -----------------------------------------------------------------------------------------------------

    async def destroy(self, campaign: str) -> None:
        """The key goes, and with it every name and answer; counts stay, those under FEW hidden."""
        kept = await self.ledger.campaigns.get(campaign)
        body = Round.of(kept)
        if body.counts is None and not kept.is_destroyed:
            shown: Mapping[str, tuple[int, int]] = {}
            # A ledger that came out of a backup has no key, and nobody can say any more who answered what.
            with suppress(NotFound):
                shown = counted(await self.cells(campaign))
            body = replace(body, counts=shown, state=Stands.CLOSED.value, closed_at=body.closed_at or self.clock.now())
        self.ring.forget(campaign)
        await self.ledger.campaigns.destroy(
            campaign, kept.version, body.body(), Event("safety.destroyed", campaign, {})
        )

    async def meant(self, about: str, quarters: Sequence[str], kind: str) -> tuple[Mapping[str, str], Sequence[str]]:
        """What happened, by language, and where.

        Raises:
            InvalidInput: everything that is wrong with it.
            NotFound: no such alert.
        """
        findings = [
            Finding("quarters", f"{quarter} は市の町丁目ではありません (no quarter of this city)")
            for quarter in quarters
            if quarter not in self.city.quarters
        ]
        if kind not in {Kind.SAFETY, Kind.WATCH}:
            findings.append(Finding("kind", f"{kind!r}: safety か watch です (safety or watch is accepted)"))
        said: Mapping[str, str] = {}
        where = list(quarters)
        if about:
            issued = await self.ledger.alert(about)
            if issued.state not in OUT or await self._retraction_of(about):
                findings.append(Finding("about", f"{about} は発表中ではありません (not a live alert)"))
            alert = cap.read(issued.cap_xml)
            said = {info.language: f"{info.event} {info.place}" for info in alert.info}
            where = where or list(alert.quarters)
        elif kind == Kind.SAFETY and not where:
            findings.append(Finding("quarters", "発表か地域を選んでください (an alert or quarters are needed)"))
        if findings:
            raise InvalidInput(findings)
        where = where or list(self.city.quarters)
        return said or {language: self.city.say(where, language) for language in MESSAGES}, where


def counted(cells: Sequence[Cell]) -> Mapping[str, tuple[int, int]]:
    """What may stay of a campaign: least and most of each answer, as everybody could see them while it was open.

    Nobody under 閲覧制限 is in it, and a lot of a quarter that is under FEW is 1 to FEW - 1: were the exact sum kept, what was seen
    before would tell the rest.
    """
    lots = Counter[tuple[str, Lot]]()
    for cell in cells:
        if not cell.is_restricted:
            lots[cell.quarter, cell.lot] += cell.count
    least, most = Counter[str](), Counter[str]()
    for (_, lot), count in lots.items():
        least[lot.said] += count if count >= FEW else 1
        most[lot.said] += max(count, FEW - 1)
    return {name: (least[name], most[name]) for name in ("help", "hurt", "silent", "ok")}
