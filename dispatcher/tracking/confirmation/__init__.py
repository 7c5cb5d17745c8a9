"""Safety confirmation: people are asked whether they are safe until each has answered, or somebody goes there.

Two halves that meet in the ledger alone: `Asking` writes people and questions down and moves the silent up the ladder,
`Hearing` takes answers whichever way they come. `Confirmation` is both, with what staff ask of them. It keeps the residents'
contract (tracking/answering.py), the staff's (tracking/caring.py) and that of a room of the outbox (path.py). Nothing that it has
returned for is lost: state is in rows, time is in the outbox, links are derived anew.

Source: design.md §8.
"""

import secrets
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Generic

from config.city import City
from config.ladders import Kind, Ladder, ladders
from dispatcher import cap
from dispatcher.campaigns import Asked, Campaign, Counted, Wanted
from dispatcher.channel import Channel
from dispatcher.clock import Clock
from dispatcher.errors import Finding, IllegalTransition, InvalidInput, NotFound, Refused, StaleHash
from dispatcher.ledger import Attempted, Claim, Event, Ledger
from dispatcher.model.campaign import SILENT, Answer, CaseEvent, Progress, Reply, Source, advance
from dispatcher.model.delivery import DeliveryEvent, Priority
from dispatcher.model.draft import State
from dispatcher.model.mode import M
from dispatcher.model.policy import ladder_of
from dispatcher.model.question import Heard
from dispatcher.tracking.caring import Cell, Plan, Somebody, Unmatched, Wish
from dispatcher.tracking.confirmation.asking import EVERYBODY, KEY_KEPT, ROOM, Asking, first_on, timer
from dispatcher.tracking.confirmation.case import Case
from dispatcher.tracking.confirmation.hearing import Hearing, read_reported
from dispatcher.tracking.confirmation.keys import KeyDiffers, KeyRing, Keys
from dispatcher.tracking.confirmation.matching import WHAT, due_after, matches
from dispatcher.tracking.confirmation.round import ANSWERED_FOR, Round, priority_below
from dispatcher.tracking.confirmation.round import Asked as OneAsking
from dispatcher.tracking.confirmation.round import State as Stands
from dispatcher.tracking.watching import LASTS, Watch, Watching, due_days
from dispatcher.tracking.watching import WHAT as DAILY

__all__ = ["ROOM", "Confirmation"]

People = Callable[[Sequence[str]], AsyncIterator[tuple[str, Case]]]
"""The roster's people of these quarters, each with their common id."""
OUT = frozenset({State.DISPATCHING, State.LIVE})
NO_ID_BYTES = 3
OVER = frozenset({Progress.RESOLVED, Progress.EXEMPT, Progress.CLOSED})
"""To whom nobody goes any more."""
WRONG_KEY_S = 30.0
"""Until a timer is tried again whose campaign this node's safety.key does not open."""
FEW = 5
"""Counts under it are hidden from whoever is not of the role welfare."""
STAFF = "staff:"
"""Before the name of a member of staff who has taken a case on; supporters are held as codes."""


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
    ) -> None:
        self._over: Callable[[Ledger], Confirmation[M]] = lambda other: Confirmation(
            mode, other, channels, people, site_secret, clock, city, site_url, policies
        )
        self._mode: type[M] = mode
        self._ledger, self._clock, self._city = ledger, clock, city
        self._campaigns = ledger.campaigns
        self._people = people
        self._ladders = ladders() if policies is None else policies
        self._ring = KeyRing(site_secret)
        asking_media = {kind: channel for kind, channel in channels.items() if channel.asks}
        self._asking: Asking[M] = Asking(
            mode, ledger, ledger.campaigns, asking_media, self._ladders, self._ring, clock, site_url, people
        )
        self._watching = Watching(ledger, clock, ROOM)
        self._hearing: Hearing[M] = Hearing(mode, ledger.campaigns, self._ring, clock, self._reported)

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
        match claim.key.rpartition(f":{ROOM}/")[2]:
            case what if what.partition("/")[0] == "end":
                await self._end(claim.identifier, int(what.partition("/")[2] or 1))
            case what if what.partition("/")[0] == WHAT:
                await self._match_by_itself(claim.identifier)
            case what if what.partition("/")[0] == DAILY:
                await self._begin_day(*what.split("/")[1:])
            case "destroy":
                await self.destroy(claim.identifier)
            case _:
                return await self._asking.attempt(claim)
        return Attempted(claim, DeliveryEvent.TAKEN)

    async def hear(self, heard: Sequence[Heard]) -> None:
        """As Inbox.hear (channel.py)."""
        await self._hearing.hear(heard)

    @property
    def answering(self) -> Hearing[M]:
        """What the residents' doors use (tracking/answering.py)."""
        return self._hearing

    # -- staff: a campaign (tracking/caring.py) ----------------------------------------------------------------------

    async def plan(self, *, about: str, quarters: Sequence[str], kind: str) -> Plan:
        _, where = await self._meant(about, quarters, kind)
        people: Counter[str] = Counter()
        by_nothing: Counter[str] = Counter()
        media: defaultdict[str, Counter[str]] = defaultdict(Counter)
        async for _, case in self._people(where):
            try:
                ladder = self._ladders[ladder_of(self._ladders, Kind(kind), case.cohorts)]
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
        said, where = await self._meant(about, quarters, kind)
        now = self._clock.now()
        campaign = f"{kind}-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(NO_ID_BYTES)}"
        priority = Priority.ROUTINE if not about else priority_below((await self._ledger.alert(about)).priority)
        body = Round(
            about=about,
            kind=kind,
            status=self._mode.status,
            priority=int(priority),
            quarters=tuple(where),
            said=said,
            until=now + ANSWERED_FOR,
            rounds=(OneAsking(at=now, quarters=()),),
        )
        timers = [timer(campaign, body, "enrol/1", None), timer(campaign, body, "end", body.until)]
        event = Event("safety.opened", campaign, {"by": by, "about": about, "kind": kind})
        await self._campaigns.open(campaign, self._ring.new(campaign), body.body(), event, timers)
        self._ledger.wake()
        return campaign

    async def re_ask(self, by: str, campaign: str, quarters: Sequence[str] = ()) -> int:
        if unknown := [quarter for quarter in quarters if quarter not in self._city.quarters]:
            raise InvalidInput([Finding("quarters", f"{quarter} は市の町丁目ではありません") for quarter in unknown])
        while True:
            kept = await self._campaigns.get(campaign)
            body = Round.of(kept)
            if not body.is_open:
                raise Refused("この安否確認は終わりました。新しく始めてください (it is closed; begin a new one)")
            if not body.is_enrolled:
                raise Refused("まだ全員に尋ね終わっていません。少し待ってください (still asking; wait a moment)")
            new = body.again(self._clock.now(), quarters)
            number = len(new.rounds)
            timers = [timer(campaign, new, f"enrol/{number}", None)]
            if new.until > body.until:
                timers.append(timer(campaign, new, f"end/{number}", new.until))
            event = Event("safety.asked-again", campaign, {"by": by, "round": number})
            try:
                await self._campaigns.move(campaign, kept.version, new.body(), event, timers)
            except StaleHash:
                continue
            self._ledger.wake()
            return number

    async def close(self, by: str, campaign: str) -> None:
        await self._close(campaign, by)

    async def _end(self, campaign: str, number: int) -> None:
        """Its time is over; unless people were asked anew since this timer of a round was parked.

        Not by this machine's clock: where it is behind the database's, which said that the timer is due, none would ever end.
        """
        body = Round.of(await self._campaigns.get(campaign))
        if body.until <= max(asking.at for asking in body.rounds[:number]) + ANSWERED_FOR:
            await self._close(campaign, "")

    async def _close(self, campaign: str, by: str) -> None:
        while True:
            kept = await self._campaigns.get(campaign)
            body = Round.of(kept)
            now = self._clock.now()
            if not body.is_open or kept.is_destroyed:
                return
            new = replace(body, state=Stands.CLOSED.value, closed_at=now)
            event = Event("safety.closed", campaign, {"by": by})
            try:
                destroying = timer(campaign, new, "destroy", now + KEY_KEPT)
                await self._campaigns.move(campaign, kept.version, new.body(), event, [destroying])
            except StaleHash:
                continue
            return

    async def destroy(self, campaign: str) -> None:
        """The key goes, and with it every name and answer; counts stay, those under FEW hidden."""
        kept = await self._campaigns.get(campaign)
        body = Round.of(kept)
        if body.counts is None and not kept.is_destroyed:
            shown: Mapping[str, tuple[int, int]] = {}
            # A ledger that came out of a backup has no key, and nobody can say any more who answered what.
            with suppress(NotFound):
                shown = _counted(await self.cells(campaign))
            body = replace(body, counts=shown, state=Stands.CLOSED.value, closed_at=body.closed_at or self._clock.now())
        self._ring.forget(campaign)
        await self._campaigns.destroy(campaign, kept.version, body.body(), Event("safety.destroyed", campaign, {}))

    async def _meant(self, about: str, quarters: Sequence[str], kind: str) -> tuple[Mapping[str, str], Sequence[str]]:
        """What happened, by language, and where.

        Raises:
            InvalidInput: everything that is wrong with it.
            NotFound: no such alert.
        """
        findings = [
            Finding("quarters", f"{quarter} は市の町丁目ではありません (no quarter of this city)")
            for quarter in quarters
            if quarter not in self._city.quarters
        ]
        if kind not in {Kind.SAFETY, Kind.WATCH}:
            findings.append(Finding("kind", f"{kind!r}: safety か watch です (safety or watch is accepted)"))
        said: Mapping[str, str] = {}
        where = list(quarters)
        if about:
            issued = await self._ledger.alert(about)
            if issued.state not in OUT:
                findings.append(Finding("about", f"{about} は発表中ではありません (not a live alert)"))
            alert = cap.read(issued.cap_xml)
            said = {info.language: f"{info.event} {info.place}" for info in alert.info}
            where = where or list(alert.quarters)
        elif kind == Kind.SAFETY and not where:
            findings.append(Finding("quarters", "発表か地域を選んでください (an alert or quarters are needed)"))
        if findings:
            raise InvalidInput(findings)
        if not said:
            languages = ("ja", "ja-x-easy", "en-US")
            said = (
                {language: self._city.say(where, language) for language in languages}
                if where
                else {"ja": self._city.names["ja"]}
            )
        return said, where or list(self._city.quarters)

    async def campaigns(self) -> Sequence[Campaign]:
        return await self._campaigns.all()

    # -- 見守り (watching.py) ------------------------------------------------------------------------------------------

    async def watching(self) -> Watch | None:
        return await self._watching.kept()

    async def watch(self, by: str, *, quarters: Sequence[str], at: str) -> None:
        await self._meant("", quarters, Kind.WATCH.value)
        await self._watching.switch_on(by, quarters, at)

    async def unwatch(self, by: str) -> None:
        await self._watching.switch_off(by)
        for campaign in await self._campaigns.all():
            if Round.of(campaign).day:
                await self._close(campaign.id, by)

    async def _begin_day(self, number: str, said: str) -> None:
        """Begin the campaign of this day, but for quarters where people are asked whether they are safe."""
        watch, day = await self._watching.kept(), date.fromisoformat(said)
        if watch is None or not watch.is_on or watch.number != int(number):
            return
        missed, last = due_days(watch, day, self._clock.now())
        campaign = f"watch-{last}"
        following = watch.timer(ROOM, last + timedelta(days=1))
        begun = {one.id: Round.of(one) for one in await self._campaigns.all()}
        if campaign in begun:
            missed = [each for each in missed if each != last]
        await self._watching.missed(missed)
        busy = {q for body in begun.values() if body.is_open and body.kind == Kind.SAFETY for q in body.quarters}
        where = [quarter for quarter in watch.quarters if quarter not in busy]
        if campaign in begun or last in missed:
            await self._ledger.add_deliveries([following])
        elif not where:
            await self._ledger.append(Event("safety.watch-paused", "", {"day": str(last)}))
            await self._ledger.add_deliveries([following])
        else:
            text, _ = await self._meant("", where, Kind.WATCH.value)
            now = self._clock.now()
            body = Round(
                about="",
                kind=Kind.WATCH.value,
                status=self._mode.status,
                priority=int(Priority.ROUTINE),
                quarters=tuple(where),
                said=text,
                until=watch.on(last) + LASTS,
                rounds=(OneAsking(at=now, quarters=()),),
                day=str(last),
            )
            timers = [timer(campaign, body, "enrol/1", None), timer(campaign, body, "end", body.until), following]
            event = Event("safety.opened", campaign, {"by": "", "about": "", "kind": Kind.WATCH.value})
            with suppress(StaleHash):
                await self._campaigns.open(campaign, self._ring.new(campaign), body.body(), event, timers)
        self._ledger.wake()
        watch = await self._watching.kept()
        if watch is None or not watch.is_on:  # switched off meanwhile
            await self.unwatch("")

    # -- staff: people -----------------------------------------------------------------------------------------------

    async def cells(self, campaign: str) -> Sequence[Cell]:
        kept = await self._campaigns.get(campaign)
        if kept.is_destroyed:
            return ()
        keys = self._ring.of(kept)
        body: Round = Round.of(kept)
        quarters = {keys.code("quarter", quarter): quarter for quarter in self._city.quarters}
        cohorts = {keys.code("cohort", cohort): cohort for cohort in (EVERYBODY, *body.cohorts)}
        facilities = {keys.code("facility", facility): facility for facility in body.facilities}
        answers = {keys.standing(answer): answer for answer in (None, *Answer)}
        restricted = keys.code("restricted", "yes")
        return [
            Cell(
                quarter=quarters.get(counted.codes.quarter, ""),
                cohort=cohorts.get(counted.codes.cohort, ""),
                facility=facilities.get(counted.codes.facility, ""),
                is_restricted=counted.codes.restricted == restricted,
                answer=answers[counted.standing],
                progress=Progress(counted.progress),
                is_conflict=counted.is_conflict,
                is_visited=self._is_visited(answers[counted.standing], counted),
                count=counted.count,
            )
            for counted in await self._campaigns.totals(campaign)
        ]

    def _is_visited(self, answer: Answer | None, counted: Counted) -> bool:
        """As Cell.is_visited."""
        if answer is Answer.OK or counted.progress in OVER:
            return False
        return (
            answer is not None or counted.is_held or self._is_last(counted.codes.ladder, counted.rung, counted.progress)
        )

    def _is_last(self, ladder: str, rung: int, progress: str) -> bool:
        """Somebody of the staff goes there."""
        return progress == Progress.UNREACHABLE or (
            progress == Progress.ESCALATED and rung == len(self._ladders[ladder].rungs) - 1
        )

    async def people(self, campaign: str, wish: Wish, *, after: str = "") -> AsyncIterator[Somebody]:
        kept = await self._campaigns.get(campaign)
        keys = self._ring.of(kept)
        wanted = Wanted(
            progress=None if wish.progress is None else tuple(wish.progress),
            restricted=None
            if wish.is_restricted is None
            else keys.code("restricted", "yes" if wish.is_restricted else "no"),
            is_conflict=wish.is_conflict,
        )
        answers = None if wish.answers is None else {keys.standing(answer) for answer in wish.answers}
        quarters = None if wish.quarters is None else {keys.code("quarter", quarter) for quarter in wish.quarters}
        async for row in self._campaigns.each(campaign, wanted, after=after):
            if answers is not None and row.standing not in answers:
                continue
            if quarters is not None and row.codes.quarter not in quarters:
                continue
            if wish.is_visit is None or wish.is_visit == self._is_visit(keys, row):
                heard = await self._hearing.replies(keys, campaign, row)
                yield self._somebody(keys, row, heard[-1:])

    async def silent(self, campaign: str, at_most: int, *, after: str = "") -> Sequence[Somebody]:
        keys = self._ring.of(await self._campaigns.get(campaign))
        wanted = Wanted(progress=(*SILENT, Progress.UNREACHABLE), restricted=keys.code("restricted", "no"))
        rows = await self._campaigns.furthest(campaign, wanted, at_most, after=after)
        return [self._somebody(keys, row, (await self._hearing.replies(keys, campaign, row))[-1:]) for row in rows]

    def _is_visit(self, keys: Keys, row: Asked) -> bool:
        if row.progress in OVER:
            return False
        in_need = row.standing in {keys.standing(Answer.HELP), keys.standing(Answer.HURT)}
        return in_need or self._is_last(row.codes.ladder, row.rung, row.progress)

    async def person(self, campaign: str, person: str) -> Somebody:
        keys = self._ring.of(await self._campaigns.get(campaign))
        row = await self._row(campaign, person)
        return self._somebody(keys, row, await self._hearing.replies(keys, campaign, row))

    async def _row(self, campaign: str, person: str) -> Asked:
        rows = await self._campaigns.rows(campaign, [person])
        if not rows:
            raise NotFound("その人はいません (no such person)")
        return rows[0]

    def _somebody(self, keys: Keys, row: Asked, replies: Sequence[Reply]) -> Somebody:
        case = Case.read(keys.open(row.sealed, row.id))
        answers = {keys.standing(answer): answer for answer in (None, *Answer)}
        names = {keys.code("holder", c.who or c.address): c.who for c in case.contacts if c.who}
        return Somebody(
            id=row.id,
            version=row.version,
            name=case.name,
            kana=case.kana,
            quarter=case.quarter,
            address=case.address,
            phones=case.phones,
            language=case.language,
            cohorts=case.cohorts,
            facility=case.facility,
            note=case.note,
            has_consented=case.has_consented,
            is_restricted=case.is_restricted,
            answer=answers[row.standing],
            progress=Progress(row.progress),
            round=row.round,
            rung=row.rung,
            is_conflict=row.is_conflict,
            holder=names.get(row.holder, row.holder.removeprefix(STAFF)),
            moved_at=row.moved_at,
            replies=replies,
        )

    async def report(self, by: str, campaign: str, person: str, reply: Reply) -> None:
        await self._hearing.told(by, campaign, person, reply)

    async def take_on(self, by: str, campaign: str, person: str) -> None:
        row = await self._row(campaign, person)
        if row.holder.startswith(STAFF) and row.holder != STAFF + by:
            raise Refused("ほかの職員が引き受けています (somebody has taken it on already)")
        event = Event("safety.taken-on", campaign, {"by": by, "person": person})
        await self._campaigns.mark(campaign, person, row.version, event, holder=STAFF + by)

    async def resolve(self, by: str, campaign: str, person: str) -> None:
        await self._move(by, campaign, person, CaseEvent.RESOLVED)

    async def exempt(self, by: str, campaign: str, person: str) -> None:
        """They need not be asked."""
        await self._move(by, campaign, person, CaseEvent.EXEMPTED)

    async def _move(self, by: str, campaign: str, person: str, happened: CaseEvent) -> None:
        row = await self._row(campaign, person)
        try:
            progress = advance(Progress(row.progress), happened)
        except IllegalTransition:
            raise Refused("この人については、もう済んでいます (done already)") from None
        event = Event(f"safety.{happened}", campaign, {"by": by, "person": person})
        await self._campaigns.mark(campaign, person, row.version, event, progress=progress, is_conflict=False)

    # -- staff: reports of people known by name ----------------------------------------------------------------------

    async def unmatched(self, campaign: str) -> Sequence[Unmatched]:
        keys = self._ring.of(await self._campaigns.get(campaign))
        found = []
        for kept in await self._campaigns.replies(campaign, ""):
            if not kept.settled:
                said = read_reported(keys.open(kept.sealed, f"reply:{kept.id}"))
                found.append(
                    Unmatched(
                        kept.id,
                        kept.at,
                        said.answer,
                        said.saw,
                        said.medium,
                        said.name,
                        said.birth_date,
                        said.phone,
                        said.quarter,
                        said.details,
                    )
                )
        return found

    async def _reported(self, campaign: Campaign) -> None:
        what, due = due_after(self._clock.now())
        await self._ledger.add_deliveries([timer(campaign.id, Round.of(campaign), what, due)])

    async def _match_by_itself(self, campaign: str) -> None:
        """Reports that are about exactly one person join theirs."""
        kept = await self._campaigns.get(campaign)
        if kept.is_destroyed or not Round.of(kept).is_open:
            return
        reports = {one.id: one for one in await self.unmatched(campaign)}
        found = await matches(self._campaigns, campaign, self._ring.of(kept), list(reports.values()))
        for report, person in found.items():
            said = reports[report]
            reply = Reply(said.answer, Source.ANONYMOUS, said.saw, said.medium, said.at, said.details)
            await self._hearing.told("", campaign, person, reply)
            event = Event("safety.matched", campaign, {"by": "", "report": report, "person": person})
            with suppress(StaleHash):  # staff were faster
                await self._campaigns.settle(campaign, report, person, event)

    async def match(self, by: str, campaign: str, report: str, person: str) -> None:
        event = Event("safety.matched", campaign, {"by": by, "report": report, "person": person})
        if person:
            said = next((one for one in await self.unmatched(campaign) if one.id == report), None)
            if said is None:
                raise NotFound("その知らせはありません (no such open report)")
            now = await self.person(campaign, person)
            # Whoever typed a name says that it is theirs: not enough to call back who is on the way to somebody in need.
            is_self = said.details.get("about") == "self" and now.answer not in {Answer.HURT, Answer.HELP}
            source = Source.SELF if is_self else Source.ANONYMOUS
            reply = Reply(said.answer, source, said.saw, said.medium, said.at, said.details)
            await self._hearing.told(by, campaign, person, reply)
        await self._campaigns.settle(campaign, report, person or "dismissed", event)


def _counted(cells: Sequence[Cell]) -> Mapping[str, tuple[int, int]]:
    """What may stay of a campaign: least and most of each answer, as everybody could see them while it was open.

    Nobody under 閲覧制限 is in it, and a quarter's count under FEW is 1 to FEW - 1: were the exact sum kept, what was seen before
    would tell the rest.
    """
    by_quarter = Counter[tuple[str, str]]()
    for cell in cells:
        if not cell.is_restricted:
            by_quarter[cell.answer or "silent", cell.quarter] += cell.count
    least, most = Counter[str](), Counter[str]()
    for (name, _), count in by_quarter.items():
        least[name] += count if count >= FEW else 1
        most[name] += max(count, FEW - 1)
    return {name: (least[name], most[name]) for name in ("help", "hurt", "silent", "ok")}
