"""Asking: what the outbox hands back when it is due, timers and questions alike, is done here.

What a person is asked with is made at the moment of sending, and only for those who are still silent then. A contact that refuses
for good hands on at once, to the next contact or to the next rung.

Source: design.md §5 "Turn", §8; outbox.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic

from config.ladders import Ladder, Whom
from dispatcher.campaigns import Asked, Campaign
from dispatcher.channel import Channel, Recipient, Tell
from dispatcher.clock import Clock
from dispatcher.errors import NotFound
from dispatcher.ledger import Attempted, Claim, Ledger
from dispatcher.model.campaign import Progress
from dispatcher.model.delivery import DeliveryEvent, Outcome, Told
from dispatcher.model.mode import M
from dispatcher.model.policy import Contact, asked_on, instead, is_asked_since, on_rung
from dispatcher.steps.dispatch import CLOCK
from dispatcher.steps.send import send_each
from dispatcher.tracking.confirmation.case import Case
from dispatcher.tracking.confirmation.enrolling import Enrolling
from dispatcher.tracking.confirmation.keys import KeyDiffers, KeyRing, Keys
from dispatcher.tracking.confirmation.outbox import ROOM, Place, link_name, question_to
from dispatcher.tracking.confirmation.round import Round, question
from dispatcher.tracking.confirmation.rungs import Rungs
from dispatcher.tracking.tokens import Door, link

SOONEST_S = 0.1
"""Until a rung's timer comes again for those who had no time to answer yet."""


@dataclass(frozen=True, slots=True)
class Asking(Generic[M]):
    """The half of the loop that asks."""

    mode: type[M]
    ledger: Ledger
    channels: Mapping[str, Channel[M, Any]]
    ladders: Mapping[str, Ladder]
    ring: KeyRing
    clock: Clock
    site_url: str
    enrolling: Enrolling[M]
    rungs: Rungs[M]

    async def attempt(self, claim: Claim) -> Attempted:
        """As Room.attempt (path.py). Raises KeyDiffers."""
        what, *rest = claim.key.rpartition(f":{ROOM}/")[2].split("/")
        try:
            campaign = await self.ledger.campaigns.get(claim.identifier)
            keys = self.ring.of(campaign)
        except KeyDiffers:
            raise
        except NotFound:
            return Attempted(claim, DeliveryEvent.SUPERSEDED)
        body = Round.of(campaign)
        if claim.channel == CLOCK:
            if body.is_open and what == "enrol":
                await self.enrolling.enrol(campaign, keys, int(rest[0]))
            elif body.is_open and what == "rung":
                again = await self.rungs.climb(campaign, body, keys, int(rest[0]), rest[1], int(rest[2]))
                if again is not None:
                    wait_s = max((again - self.clock.now()).total_seconds(), SOONEST_S)
                    return Attempted(claim, DeliveryEvent.DEFERRED, retry_after_s=wait_s)
            return Attempted(claim, DeliveryEvent.TAKEN)
        if not body.is_open:
            return Attempted(claim, DeliveryEvent.SUPERSEDED)
        return await self._ask(claim, campaign, body, keys, ladder=rest[0])

    async def _ask(self, claim: Claim, campaign: Campaign, body: Round, keys: Keys, *, ladder: str) -> Attempted:
        """Put the question to those of the claim who are still silent in this round."""
        places = [Place.read(destination.address) for destination in claim.destinations]
        found = await self.ledger.campaigns.rows(campaign.id, [place.person for place in places])
        rows = {row.id: row for row in found}
        channel = self.channels[claim.channel]
        busy = await self.rungs.busy(body, keys)
        recipients: list[Recipient] = []
        asked: dict[str, tuple[Place, Asked, Case]] = {}
        for place in places:
            row = rows.get(place.person)
            # A visit list is no reason not to ask: who is unreachable by one medium may be by another.
            if row is None or not (row.is_silent or row.progress == Progress.UNREACHABLE) or row.round != place.round:
                continue
            if row.codes.quarter in busy:
                continue
            case = Case.read(keys.open(row.sealed, row.id))
            # After a halt, or a relay that was away, the newest question alone: the others say the same.
            if is_asked_since(self.ladders[row.codes.ladder], case.contacts, place.contact, place.rung, row.rung):
                continue
            recipients.append(self._recipient(keys, place, case.contacts[place.contact]))
            asked[str(place)] = (place, row, case)
        if not recipients:
            return Attempted(claim, DeliveryEvent.SUPERSEDED)
        first, _, case = next(iter(asked.values()))
        at = body.rounds[first.round - 1].at
        if ladder in self.ladders:
            at = body.due(first.round, self.ladders[ladder], first.rung)
        whom = case.contacts[first.contact].whom
        rendering = channel.ask(question(campaign.id, body, self.mode, first.round, first.rung, at, whom))
        refused: list[str] = []
        attempted = await send_each(
            claim, rendering, recipients, channel, self.ledger, self.clock, heard=_noting(refused)
        )
        for key in asked.keys() & set(refused):
            await self._fall_back(campaign, body, keys, *asked[key])
        return attempted

    def _recipient(self, keys: Keys, place: Place, contact: Contact) -> Recipient:
        page = link(self.site_url, Door.ANSWER, keys.token(place.person, link_name(contact, place.contact)))
        return Recipient(str(place), contact.address, contact.language, page)

    async def _fall_back(
        self, campaign: Campaign, body: Round, keys: Keys, place: Place, row: Asked, case: Case
    ) -> None:
        """A contact refused for good: the next one is asked now; where this rung has none left, the next rung is climbed now."""
        ladder = self.ladders[row.codes.ladder]
        if Whom.SUPPORTER in ladder.rungs[place.rung].whom:
            following = await self.rungs.next_supporter(campaign.id, keys, place, row, case)
        else:
            following = instead(ladder, place.rung, case.contacts, place.contact)
        if following is not None:
            what = f"{place.round}/{row.codes.ladder}/{place.rung}/{row.id}.{following}"
            there = [replace(place, contact=following)]
            new = question_to(campaign.id, body, what, case.contacts[following].channel, there)
            await self.ledger.add_deliveries([new])
            self.ledger.wake()
            return
        tried = {str(replace(place, contact=i)) for i in on_rung(ladder, place.rung, case.contacts)}
        if tried - {str(place)} <= set(await self.ledger.refused(campaign.id, sorted(tried))):
            later = (rung for rung in range(place.rung + 1, len(ladder.rungs)) if asked_on(ladder, rung, case.contacts))
            rung = next(later, len(ladder.rungs) - 1)
            await self.rungs.up(campaign, body, keys, row.codes.ladder, place.round, rung, {row.id: case}, is_lost=True)


def _noting(refused: list[str]) -> Tell:
    def note(told: Told) -> None:
        if told.outcome is Outcome.PERMANENT:
            refused.append(told.address)

    return note
