"""Asking: everybody of the roster is written down, and whoever is silent goes up the ladder, rung by rung.

One timer for each rung of each ladder of a round stands in the outbox, not one for each person. When it is due, those who are
still silent climb, ROWS of them in one transaction with the deliveries that ask for them: whoever was interrupted goes on where it
stopped, because nobody who has climbed is below the rung any more. What a person is asked with is made at the moment of sending.

    campaign:clock:safety/enrol/<round>                    write down everybody, or ask anew
    campaign:clock:safety/rung/<round>/<ladder>/<rung>     the silent climb
    campaign:clock:safety/end, …/destroy                   no answer is taken any more; the key goes
    campaign:<medium>:safety/<round>/<ladder>/<rung>/…     questions; destinations are <person>/<round>.<rung>.<contact>

Source: design.md §5 "Submit", "Turn", §8.
"""

import asyncio
import hashlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Generic, TypeVar

from config.ladders import Kind, Ladder, Whom
from dispatcher.campaigns import ROWS, SILENT, Asked, Campaign, Campaigns, Climbing, Codes, NewAsked, Wanted
from dispatcher.channel import Channel, Recipient, Tell
from dispatcher.clock import Clock
from dispatcher.errors import NotFound, StaleHash
from dispatcher.ledger import Attempted, Claim, Event, Ledger, NewDelivery
from dispatcher.model.audience import Destination
from dispatcher.model.campaign import Answer, Progress
from dispatcher.model.delivery import DeliveryEvent, Outcome, Priority, Told
from dispatcher.model.mode import M
from dispatcher.model.policy import Contact, asked_on, instead, ladder_of, on_rung
from dispatcher.steps.dispatch import CLOCK
from dispatcher.steps.send import send_each
from dispatcher.tracking.confirmation.case import SOURCES, Case
from dispatcher.tracking.confirmation.keys import KeyDiffers, KeyRing, Keys
from dispatcher.tracking.confirmation.round import OWN, Round, question
from dispatcher.tracking.tokens import Door, hashed, link

T = TypeVar("T")
ROOM = "safety"
TERMINAL = "ip_terminal"
EVERYBODY = "everybody"
"""The cohort of whoever is in none."""
EVERY = "every"
"""Stands for the ladder on rung 0, which is the same moment for all of them."""
KEY_KEPT = timedelta(days=30)
"""From the closing of a campaign until its key is destroyed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a question stands: what the address of its destination says."""

    person: str
    round: int
    rung: int
    contact: int

    def __str__(self) -> str:
        return f"{self.person}/{self.round}.{self.rung}.{self.contact}"

    @classmethod
    def read(cls, address: str) -> "Place":
        person, _, rest = address.partition("/")
        number, rung, contact = rest.split(".")
        return cls(person, int(number), int(rung), int(contact))


@dataclass(frozen=True, slots=True)
class Asking(Generic[M]):
    """The half of the loop that asks."""

    mode: type[M]
    ledger: Ledger
    campaigns: Campaigns
    channels: Mapping[str, Channel[M, Any]]
    ladders: Mapping[str, Ladder]
    ring: KeyRing
    clock: Clock
    site_url: str
    people: Callable[[Sequence[str]], AsyncIterator[tuple[str, Case]]]
    """The roster's people of these quarters, by their common ids."""

    # -- the room ----------------------------------------------------------------------------------------------------

    async def attempt(self, claim: Claim) -> Attempted:
        """As Room.attempt (path.py). Raises KeyDiffers."""
        what, *rest = claim.key.rpartition(f":{ROOM}/")[2].split("/")
        try:
            campaign = await self.campaigns.get(claim.identifier)
            keys = self.ring.of(campaign)
        except KeyDiffers:
            raise
        except NotFound:
            return Attempted(claim, DeliveryEvent.SUPERSEDED)
        body = Round.of(campaign)
        if claim.channel == CLOCK:
            if body.is_open and what == "enrol":
                await self._enrol(campaign, keys, int(rest[0]))
            elif body.is_open and what == "rung":
                await self._climb(campaign, body, keys, int(rest[0]), rest[1], int(rest[2]))
            return Attempted(claim, DeliveryEvent.TAKEN)
        if not body.is_open:
            return Attempted(claim, DeliveryEvent.SUPERSEDED)
        return await self._ask(claim, campaign, body, keys, ladder=rest[0])

    # -- questions ---------------------------------------------------------------------------------------------------

    async def _ask(self, claim: Claim, campaign: Campaign, body: Round, keys: Keys, *, ladder: str) -> Attempted:
        """Put the question to those of the claim who are still silent in this round."""
        places = [Place.read(destination.address) for destination in claim.destinations]
        rows = {row.id: row for row in await self.campaigns.rows(campaign.id, [place.person for place in places])}
        channel = self.channels[claim.channel]
        busy = await self._busy(body, keys)
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
            following = await self._next_supporter(campaign.id, keys, ladder, place, row, case)
        else:
            following = instead(ladder, place.rung, case.contacts, place.contact)
        if following is not None:
            key = f"{place.round}/{row.codes.ladder}/{place.rung}/{row.id}.{following}"
            new = _delivery(
                campaign.id, body, key, case.contacts[following].channel, [replace(place, contact=following)]
            )
            await self.ledger.add_deliveries([new])
            self.ledger.wake()
            return
        tried = {str(replace(place, contact=i)) for i in on_rung(ladder, place.rung, case.contacts)}
        if tried - {str(place)} <= set(await self.ledger.refused(campaign.id, sorted(tried))):
            later = (rung for rung in range(place.rung + 1, len(ladder.rungs)) if asked_on(ladder, rung, case.contacts))
            rung = next(later, len(ladder.rungs) - 1)
            await self._up(campaign, body, keys, row.codes.ladder, place.round, rung, [row], is_lost=True)

    async def _next_supporter(
        self, campaign: str, keys: Keys, ladder: Ladder, place: Place, row: Asked, case: Case
    ) -> int | None:
        """The contact of the next supporter who has room, and the case is theirs; None: there is none left."""
        places: dict[int, str] = {i: str(replace(place, contact=i)) for i in on_rung(ladder, place.rung, case.contacts)}
        refused = {str(place), *await self.ledger.refused(campaign, sorted(places.values()))}
        held = await self.campaigns.open_cases(campaign)
        for i, address in places.items():
            holder = keys.code("holder", case.contacts[i].who or case.contacts[i].address)
            # Whoever has the case may have a second address.
            if address not in refused and (holder == row.holder or held.get(holder, 0) < ladder.most_cases):
                facts = {"round": place.round, "ladder": row.codes.ladder, "rung": place.rung}
                with suppress(StaleHash):  # an answer came in, or staff have taken it on
                    await self.campaigns.mark(
                        campaign, row.id, row.version, Event("safety.climbed", campaign, facts), holder=holder
                    )
                return i
        return None

    # -- rungs -------------------------------------------------------------------------------------------------------

    async def _climb(self, campaign: Campaign, body: Round, keys: Keys, number: int, name: str, rung: int) -> None:
        wanted = Wanted(progress=SILENT, ladder=name, round=number, below_rung=rung)
        async for some in _parts(self.campaigns.each(campaign.id, wanted)):
            busy = await self._busy(body, keys)
            if still := [row for row in some if row.codes.quarter not in busy]:
                await self._up(campaign, body, keys, name, number, rung, still)

    async def _busy(self, body: Round, keys: Keys) -> set[str]:
        """Codes of quarters where the daily touch pauses, because people there are asked whether they are safe."""
        if body.kind != Kind.WATCH:
            return set()
        others = [Round.of(one) for one in await self.campaigns.all()]
        open_ = [other for other in others if other.is_open and other.kind == Kind.SAFETY]
        return {keys.code("quarter", quarter) for other in open_ for quarter in other.quarters}

    async def _up(
        self,
        campaign: Campaign,
        body: Round,
        keys: Keys,
        name: str,
        number: int,
        rung: int,
        rows: Sequence[Asked],
        *,
        is_lost: bool = False,
    ) -> None:
        """These people go up to this rung, with what asks for them there; whoever has nobody on it waits for the next one."""
        ladder = self.ladders[name]
        step = ladder.rungs[rung]
        is_last = rung == len(ladder.rungs) - 1
        cases = {row.id: Case.read(keys.open(row.sealed, row.id)) for row in rows}
        places = {
            id_: [Place(id_, number, rung, i) for i in asked_on(ladder, rung, case.contacts)]
            for id_, case in cases.items()
        }
        holders: dict[str, str] = {}
        if Whom.SUPPORTER in step.whom:
            places, holders = await self._supported(campaign.id, keys, cases, places, rung, ladder)
        going = [id_ for id_, found in places.items() if found or is_last]
        own = set(step.whom) <= OWN
        progress = Progress.REMINDED if own else Progress.ESCALATED
        if is_last and is_lost:
            progress = Progress.UNREACHABLE
        # Who may be asked in the place of another has a link from now on: a refusal comes when nobody climbs.
        may_be = {
            id_: [Place(id_, number, rung, i) for i in on_rung(ladder, rung, cases[id_].contacts)] for id_ in going
        }
        tokens = {
            hashed(keys.token(place.person, link_name(contact, place.contact))): (
                place.person,
                SOURCES[contact.whom].value,
            )
            for place, contact in self._asked(cases, may_be)
        }
        tokens |= await self._buttons(keys, self._asked(cases, may_be) if not own else ())
        climbing = Climbing(number, rung, progress, going, holders, tokens)
        if going:
            deliveries = self._deliveries(campaign.id, body, name, rung, number, self._asked(cases, places))
            event = Event("safety.climbed", campaign.id, {"round": number, "ladder": name, "rung": rung})
            await self.campaigns.climb(campaign.id, climbing, deliveries, event)
            self.ledger.wake()

    async def _supported(
        self,
        campaign: str,
        keys: Keys,
        cases: Mapping[str, Case],
        places: Mapping[str, Sequence[Place]],
        rung: int,
        ladder: Ladder,
    ) -> tuple[dict[str, list[Place]], dict[str, str]]:
        """To each the first of their supporters who has room for one case more, and who that is."""
        held = Counter(await self.campaigns.open_cases(campaign))
        chosen: dict[str, list[Place]] = {}
        holders: dict[str, str] = {}
        for id_, found in places.items():
            chosen[id_] = []
            for i in on_rung(ladder, rung, cases[id_].contacts) if found else ():
                contact = cases[id_].contacts[i]
                holder = keys.code("holder", contact.who or contact.address)
                if held[holder] < ladder.most_cases:
                    held[holder] += 1
                    holders[id_] = holder
                    chosen[id_] = [replace(found[0], contact=i)]
                    break
        return chosen, holders

    def _asked(self, cases: Mapping[str, Case], places: Mapping[str, Sequence[Place]]) -> list[tuple[Place, Contact]]:
        return [(place, cases[id_].contacts[place.contact]) for id_, found in places.items() for place in found]

    async def _buttons(self, keys: Keys, asked: Iterable[tuple[Place, Contact]]) -> dict[str, tuple[str, str]]:
        """By which a terminal's button finds these people, each on the first place of the terminal that nobody has."""
        tokens: dict[str, tuple[str, str]] = {}
        for place, contact in asked:
            if contact.channel == TERMINAL:
                number = 0
                while (at := await self._at(button := hashed(keys.button(contact.address, number)), tokens)) not in {
                    None,
                    place.person,
                }:
                    number += 1
                if at is None:
                    tokens[button] = (place.person, SOURCES[contact.whom].value)
        return tokens

    async def _at(self, button: str, new: Mapping[str, tuple[str, str]]) -> str | None:
        """Who stands at this place of a terminal; None: nobody does yet."""
        if button in new:
            return new[button][0]
        kept = await self.campaigns.by_token(button)
        return kept[0].id if kept else None

    def _deliveries(
        self, campaign: str, body: Round, name: str, rung: int, number: int, asked: Iterable[tuple[Place, Contact]]
    ) -> list[NewDelivery]:
        """One for each medium and for each sort of people asked: about themselves, or about somebody of theirs."""
        sorts: dict[tuple[str, bool], list[Place]] = defaultdict(list)
        for place, contact in asked:
            if contact.channel in self.channels:
                sorts[contact.channel, contact.whom in OWN].append(place)
        made = []
        for (channel, _), places in sorts.items():
            for start in range(0, len(places), self.channels[channel].limits.batch):
                some = places[start : start + self.channels[channel].limits.batch]
                # Named by who is in it: written again after a crash it is the same, and another lot is another one.
                who = hashlib.sha256("\n".join(map(str, some)).encode()).hexdigest()[:16]
                made.append(_delivery(campaign, body, f"{number}/{name}/{rung}/{who}", channel, some))
        return made

    # -- everybody ---------------------------------------------------------------------------------------------------

    async def _enrol(self, campaign: Campaign, keys: Keys, number: int) -> None:
        """Write down everybody of the roster and ask them; or, in a later round, ask those again who are there."""
        body = Round.of(campaign)
        seen: dict[str, set[str]] = {"cohort": set(body.cohorts), "facility": set(body.facilities), "ladder": set()}
        if number == 1:
            await self._write_down(campaign, body, keys, seen)
            # The roster may have become another one half way; a ladder without timers would leave its people to silence.
            seen["ladder"].update(counted.codes.ladder for counted in await self.campaigns.totals(campaign.id))
        else:
            await self._ask_again(campaign, body, keys, number, seen["ladder"])
        while True:
            campaign = await self.campaigns.get(campaign.id)
            body = Round.of(campaign)
            if not body.is_open:
                return
            new = replace(
                body,
                is_enrolled=number == len(body.rounds),
                cohorts=tuple(sorted(seen["cohort"])),
                facilities=tuple(sorted(seen["facility"])),
            )
            timers = [
                timer(
                    campaign.id,
                    body,
                    f"rung/{number}/{name}/{rung.rung}",
                    body.due(number, self.ladders[name], rung.rung),
                )
                for name in sorted(seen["ladder"])
                for rung in self.ladders[name].rungs[1:]
            ]
            event = Event("safety.asked", campaign.id, {"round": number, "ladders": sorted(seen["ladder"])})
            try:
                await self.campaigns.move(campaign.id, campaign.version, new.body(), event, timers)
            except StaleHash:
                continue
            self.ledger.wake()
            return

    async def _write_down(self, campaign: Campaign, body: Round, keys: Keys, seen: Mapping[str, set[str]]) -> None:
        at_terminal: Counter[str] = Counter()
        before: asyncio.Task[None] | None = None

        @lru_cache  # a few sorts of people, and 100,000 of them
        def ladder(cohorts: tuple[str, ...]) -> str:
            return ladder_of(self.ladders, body.ladder_kind, cohorts)

        async with asyncio.TaskGroup() as writers:
            async for some in _parts(self.people(body.quarters)):
                ids = [keys.person(pid) for pid, _ in some]
                there = {row.id for row in await self.campaigns.rows(campaign.id, ids)}
                new: list[NewAsked] = []
                asked: list[tuple[Place, Contact]] = []
                for id_, (_, case) in zip(ids, some, strict=True):
                    try:
                        name = ladder(case.cohorts)
                    except LookupError:
                        continue
                    seen["ladder"].add(name)
                    seen["cohort"].add(cohort_of(self.ladders[name], case))
                    seen["facility"].update(filter(None, [case.facility]))
                    one, theirs = self._new(keys, id_, case, name, at_terminal)
                    if id_ not in there:
                        new.append(one)
                        asked += theirs
                # One lot is written while the next one is sealed, and no more than one.
                if before is not None:
                    await before
                if not Round.of(await self.campaigns.get(campaign.id)).is_open:
                    return
                before = writers.create_task(self._add(campaign.id, body, new, asked))

    async def _add(
        self, campaign: str, body: Round, new: Sequence[NewAsked], asked: Sequence[tuple[Place, Contact]]
    ) -> None:
        if new:
            deliveries = self._deliveries(campaign, body, EVERY, 0, 1, asked)
            await self.campaigns.add(campaign, new, deliveries, Event("safety.added", campaign, {"count": len(new)}))
            self.ledger.wake()

    def _new(
        self, keys: Keys, id_: str, case: Case, name: str, at_terminal: Counter[str]
    ) -> tuple[NewAsked, list[tuple[Place, Contact]]]:
        ladder = self.ladders[name]
        rung, places = first_on(ladder, case.contacts)
        theirs = [(Place(id_, 1, rung, i), case.contacts[i]) for i in places]
        may_be = [(i, case.contacts[i]) for i in on_rung(ladder, rung, case.contacts)]
        tokens = {
            hashed(keys.token(id_, name)): SOURCES[contact.whom].value
            for name, contact in {link_name(contact, i): contact for i, contact in may_be}.items()
        }
        buttons = {c.address: SOURCES[Whom.SELF] for c in case.contacts if c.channel == TERMINAL and c.whom in OWN}
        for _, contact in may_be:
            if contact.channel == TERMINAL:
                buttons.setdefault(contact.address, SOURCES[contact.whom])
        for tid, source in buttons.items():
            tokens[hashed(keys.button(tid, at_terminal[tid]))] = source.value
            at_terminal[tid] += 1
        codes = Codes(
            cohort=keys.code("cohort", cohort_of(ladder, case)),
            quarter=keys.code("quarter", case.quarter),
            facility=keys.code("facility", case.facility),
            restricted=keys.code("restricted", "yes" if case.is_restricted else "no"),
            ladder=name,
        )
        return (
            NewAsked(
                id=id_,
                codes=codes,
                standing=keys.standing(None),
                sealed=keys.close(case.written(), id_),
                tokens=tokens,
                progress=_progress(rung, places, Progress.ASKED),
                rung=rung,
            ),
            theirs,
        )

    async def _ask_again(self, campaign: Campaign, body: Round, keys: Keys, number: int, ladders: set[str]) -> None:
        """Whatever was heard before says nothing of now; but the exempt stay exempt, and who needs somebody stays on their list."""
        quarters = {keys.code("quarter", quarter) for quarter in body.rounds[number - 1].quarters}
        needs = [keys.standing(answer) for answer in (Answer.HURT, Answer.HELP)]
        async for rows in _parts(self.campaigns.each(campaign.id)):
            some = [row for row in rows if not quarters or row.codes.quarter in quarters]
            ladders.update(row.codes.ladder for row in some)
            begun: dict[tuple[int, Progress], list[tuple[Place, Contact]]] = defaultdict(list)
            ids: dict[tuple[int, Progress], list[str]] = defaultdict(list)
            for row in some:
                case = Case.read(keys.open(row.sealed, row.id))
                rung, found = first_on(self.ladders[row.codes.ladder], case.contacts)
                progress = _progress(rung, found, Progress.REASKED)
                ids[rung, progress].append(row.id)
                begun[rung, progress] += [(Place(row.id, number, rung, i), case.contacts[i]) for i in found]
            for (rung, progress), who in ids.items():
                event = Event("safety.reasked", campaign.id, {"round": number})
                climbing = Climbing(number, rung, progress, who, standing=keys.standing(None), needs=needs)
                deliveries = self._deliveries(campaign.id, body, EVERY, 0, number, begun[rung, progress])
                await self.campaigns.climb(campaign.id, climbing, deliveries, event)
            self.ledger.wake()


def first_on(ladder: Ladder, contacts: Sequence[Contact]) -> tuple[int, Sequence[int]]:
    """The rung that somebody begins on: those that nobody stands on are passed over, so who has no medium is asked for at once."""
    on_rungs = ((rung, asked_on(ladder, rung, contacts)) for rung in range(len(ladder.rungs)))
    return next(((rung, found) for rung, found in on_rungs if found), (len(ladder.rungs) - 1, ()))


def _progress(rung: int, found: Sequence[int], own: Progress) -> Progress:
    """Of whoever begins on this rung; `own`: if it is their own."""
    if not found:
        return Progress.UNREACHABLE
    return Progress.ESCALATED if rung else own


def cohort_of(ladder: Ladder, case: Case) -> str:
    """The one that somebody is counted in: what put them on their ladder, else the first that they are in."""
    return next((c for c in case.cohorts if c in ladder.cohorts), next(iter(case.cohorts), EVERYBODY))


def link_name(contact: Contact, number: int) -> str:
    """Of the link that a contact is sent: one for all contacts of one's own, one for each of others'."""
    return contact.whom.value if contact.whom in OWN else f"{contact.whom}.{number}"


def timer(campaign: str, body: Round, what: str, due: datetime | None) -> NewDelivery:
    return NewDelivery(
        key=f"{campaign}:{CLOCK}:{ROOM}/{what}",
        identifier=campaign,
        channel=CLOCK,
        priority=Priority(body.priority),
        destinations=(),
        expires_at=None,
        not_before=due,
    )


def _delivery(campaign: str, body: Round, what: str, channel: str, places: Sequence[Place]) -> NewDelivery:
    return NewDelivery(
        key=f"{campaign}:{channel}:{ROOM}/{what}",
        identifier=campaign,
        channel=channel,
        priority=Priority(body.priority),
        destinations=tuple(Destination(str(place)) for place in places),
        expires_at=body.until,
        cost=len(places),
    )


def _noting(refused: list[str]) -> Tell:
    def note(told: Told) -> None:
        if told.outcome is Outcome.PERMANENT:
            refused.append(told.address)

    return note


async def _parts(source: AsyncIterator[T]) -> AsyncIterator[list[T]]:
    part: list[T] = []
    async for one in source:
        part.append(one)
        if len(part) == ROWS:
            yield part
            part = []
    if part:
        yield part
