"""Asking residents: who may begin, end and repeat it, and for what a second person is needed.

A question goes out to people. About a live alert, within its own quarters, it was authorised when two people approved that alert;
any other question, and a release of the roster without consent (災対法49条の11第3項), waits for a second person.

Source: design.md §8, §9; dispatcher/staff/rules.py and RULES.md.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dispatcher.campaigns import Campaign
from dispatcher.clock import JST
from dispatcher.errors import Finding, InvalidInput, NotFound, Refused
from dispatcher.ledger import Event
from dispatcher.model.draft import State
from dispatcher.model.mode import M
from dispatcher.model.question import Kind
from dispatcher.staff.counting import Figure, exact, hidden, summed
from dispatcher.staff.lookups import require_reason
from dispatcher.staff.rules import Act, Role
from dispatcher.staff.seat import Seat
from dispatcher.staff.sessions import Person, is_same
from dispatcher.tracking.caring import Caring, Plan
from dispatcher.tracking.release import Release, Releases
from dispatcher.tracking.watching import Watch, time_of

PROPOSED = "safety-proposal"
"""Kind of record: what waits for a second person."""
LONGEST_RELEASE_H = 72


@dataclass(frozen=True, slots=True)
class Planned:
    """Whom a question would reach, as everybody at the desk may see it."""

    quarters: tuple[str, ...]
    people: Figure
    lines: Sequence[tuple[str, Figure | None]]
    """Media by which they are asked first, each with how many people; None: that is the role welfare's to know."""
    leaves_some: bool
    """Nothing reaches some of them by name: they stand on the visit list from the beginning."""
    nobody: Figure | None
    """How many these are; None as in `lines`."""
    needs_second: bool


@dataclass(frozen=True, slots=True)
class Went:
    """What became of asking: it began, or waits under a key for a second person."""

    campaign: str = ""
    waits_as: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What waits for a second person."""

    key: str
    act: str
    """`ask`, `release` or `watch`."""
    by: str
    at: datetime
    about: str = ""
    quarters: tuple[str, ...] = ()
    kind: str = ""
    reason: str = ""
    hours: int = 0
    time: str = ""
    """HH:MM of a standing watch."""


def is_welfare(by: Person) -> bool:
    return Role.WELFARE in by.roles


class Asking(Seat[M]):
    """The part of the desk that decides whether residents are asked."""

    caring: Caring | None = None
    """The safety loop; None where this site keeps no roster."""

    @property
    def _loop(self) -> Caring:
        if self.caring is None:
            raise Refused(
                "この節点には住民の名簿がありません。サイトの設定 safety を書いてください (no roster: safety)"
            )
        return self.caring

    async def plan(
        self, by: Person, *, about: str, quarters: Sequence[str], kind: str = Kind.SAFETY, language: str = "ja"
    ) -> Planned:
        """Whom it would ask, counted; nothing is written. `language` is that of the media's names.

        Raises:
            InvalidInput: no quarter, an unknown one, no such kind.
        """
        async with self._acting(by, Act.ASK):
            where = await self._where(about, quarters, kind)
            found: Plan = await self._loop.plan(about=about, quarters=where, kind=kind)
            see = exact if is_welfare(by) else hidden

            # Quarter by quarter, as in every other table: of two plans that differ in one quarter nothing is left to subtract.
            def counted(by_quarter: Mapping[str, int]) -> Figure:
                return summed(see(count) for count in by_quarter.values())

            # Each medium cuts the same people up once more: beside the sum, its count would tell the few whom it does not reach.
            tells = is_welfare(by)
            media = {self._title(kind_, language): found.media[kind_] for kind_ in sorted(found.media)}
            return Planned(
                where,
                counted(found.people),
                [(name, counted(people) if tells else None) for name, people in media.items()],
                leaves_some=any(found.by_nothing.values()),
                nobody=counted(found.by_nothing) if tells else None,
                needs_second=not await self._is_authorised(about, where),
            )

    async def ask(
        self, by: Person, *, about: str, quarters: Sequence[str], kind: str = Kind.SAFETY, mode: str | None = None
    ) -> Went:
        """Begin at once where a live alert has authorised it, else put it before a second person.

        Raises:
            InvalidInput: as `plan`.
        """
        async with self._acting(by, Act.ASK, mode=mode):
            where = await self._where(about, quarters, kind)
            self._require_going()
            if await self._is_authorised(about, where):
                return Went(await self._loop.start(by.name, about=about, quarters=where, kind=kind))
            wanted = {"about": about, "quarters": list(where), "kind": kind}
            return Went(waits_as=await self._propose(by, "ask", wanted))

    async def agree(self, by: Person, key: str, *, mode: str | None = None) -> Went:
        """Be the second person of what waits under this key.

        Raises:
            NotFound: nothing waits there.
            Refused: it was this person who asked for it.
        """
        async with self._acting(by, Act.AGREE, mode=mode):
            version, waits = await self._proposal(key)
            if is_same(by.name, waits.by):
                raise Refused("申請した本人は承認できません。別の人が行ってください (not the one who asked for it)")
            said = {"by": waits.by, "agreed_by": by.name, "act": waits.act}
            if waits.act == "release":
                await self._take_away(key, version, Event("safety.agreed", "", said))
                await self._releases.begin(waits.by, by.name, waits.reason, waits.hours)
                return Went()
            self._require_going()
            await self._take_away(key, version, Event("safety.agreed", "", said))
            names = f"{waits.by}・{by.name}"
            if waits.act == "watch":
                await self._loop.watch(names, quarters=waits.quarters, at=waits.time)
                return Went()
            return Went(await self._loop.start(names, about=waits.about, quarters=waits.quarters, kind=waits.kind))

    async def decline(self, by: Person, key: str) -> None:
        """It does not go out; whoever asked for it may say so as well. Raises NotFound."""
        version, waits = await self._proposal(key)
        async with self._acting(by, Act.ASK if is_same(by.name, waits.by) else Act.AGREE):
            await self._take_away(key, version, Event("safety.declined", "", {"by": by.name, "act": waits.act}))

    async def proposed(self, by: Person) -> Sequence[Proposal]:
        """What waits for a second person, oldest first."""
        async with self._acting(by, Act.LOOK):
            kept = [_proposal(key, body) for key, _, body in await self._path.ledger.records(PROPOSED)]
            return sorted(kept, key=lambda waits: waits.at)

    async def ask_again(
        self, by: Person, campaign: str, quarters: Sequence[str] = (), *, mode: str | None = None
    ) -> int:
        """A new round, as after an aftershock; earlier answers stay and say nothing of now. Returns its number."""
        async with self._acting(by, Act.ASK_AGAIN, mode=mode):
            self._require_going()
            await self._require_open(campaign)
            return await self._loop.re_ask(by.name, campaign, tuple(quarters))

    async def end_asking(self, by: Person, campaign: str, *, mode: str | None = None) -> None:
        """Nobody is asked any more; 30 days later nobody's name can be read."""
        async with self._acting(by, Act.END_ASKING, mode=mode):
            await self._require_open(campaign)
            await self._loop.close(by.name, campaign)

    # -- 見守り ------------------------------------------------------------------------------------------------------

    async def propose_watch(self, by: Person, *, quarters: Sequence[str], time: str, mode: str | None = None) -> str:
        """Ask for 「お元気ですか」 every day at this time, to those who agreed to it (the roster's cohort `watch`) and live there.

        Raises:
            InvalidInput: no quarter, an unknown one, no time from 06:00 to 11:00.
        """
        async with self._acting(by, Act.ASK, mode=mode):
            findings: list[Finding] = []
            where: Sequence[str] = ()
            at = ""
            try:
                where = await self._where("", quarters, Kind.WATCH)
            except InvalidInput as refused:
                findings += refused.findings
            try:
                at = time_of(time)
            except InvalidInput as refused:
                findings += refused.findings
            if findings:
                raise InvalidInput(findings)
            return await self._propose(by, "watch", {"quarters": list(where), "time": at})

    async def end_watch(self, by: Person, *, mode: str | None = None) -> None:
        """At once, by one person: no day begins any more, and today's is over."""
        async with self._acting(by, Act.END_ASKING, mode=mode):
            await self._loop.unwatch(by.name)

    async def standing_watch(self, by: Person) -> Watch | None:
        """The standing watch that is on; None: none is."""
        async with self._acting(by, Act.LOOK):
            kept = await self.caring.watching() if self.caring is not None else None
            return kept if kept and kept.is_on else None

    # -- 災対法49条の11第3項 --------------------------------------------------------------------------------------------

    async def propose_release(self, by: Person, *, reason: str, hours: str | int) -> str:
        """Ask for the roster to be shown to supporters without consent, for so many hours.

        Raises:
            InvalidInput: no reason, or not 1 to LONGEST_RELEASE_H hours.
        """
        async with self._acting(by, Act.RELEASE):
            findings: list[Finding] = []
            why, text = "", str(hours).strip()
            try:
                why = require_reason(reason)
            except InvalidInput as refused:
                findings += refused.findings
            if not (text.isascii() and text.isdecimal() and 1 <= int(text[:4]) <= LONGEST_RELEASE_H):
                findings.append(Finding("hours", f"1〜{LONGEST_RELEASE_H} 時間で書いてください (so many hours)"))
            if findings:
                raise InvalidInput(findings)
            return await self._propose(by, "release", {"reason": why, "hours": int(text)})

    async def end_release(self, by: Person) -> None:
        """End it before its time. Raises NotFound where there is none."""
        async with self._acting(by, Act.RELEASE):
            await self._releases.end(by.name)

    async def release(self, by: Person) -> Release | None:
        """The release that is in force; None if there is none or its time is over."""
        async with self._acting(by, Act.LOOK):
            return await self._releases.current()

    @property
    def _releases(self) -> Releases:
        return Releases(self._path.ledger, self._path.clock)

    # -- within ------------------------------------------------------------------------------------------------------
    async def _one(self, campaign: str) -> Campaign:
        for found in await self._loop.campaigns():
            if found.id == campaign:
                return found
        raise NotFound(f"{campaign[:60]}: そのような安否の確認はありません (no such campaign)")

    async def _require_open(self, campaign: str) -> None:
        if (await self._one(campaign)).body.get("closed_at"):
            raise Refused("この安否の確認は終わっています (this round is over)")

    def _require_going(self) -> None:
        if self._gates.halted:
            raise Refused("停止中です。何も出せません (halted: nothing goes out)")

    async def _where(self, about: str, quarters: Sequence[str], kind: str) -> tuple[str, ...]:
        """The quarters that are asked: those named, else those of the alert."""
        findings = []
        if kind not in set(Kind):
            findings.append(Finding("kind", f"{kind[:20]}: {', '.join(Kind)} のどれかです (no such kind)"))
        alert = await self._path.ledger.alert(about) if about else None
        where = tuple(dict.fromkeys(quarters)) or tuple(alert.facts.get("quarters", ()) if alert else ())
        findings += [
            Finding("area", f"{q[:20]}: この市の町丁目ではありません (no such quarter)")
            for q in where
            if q not in self._path.city.quarters
        ]
        if not where:
            findings.append(Finding("area", "町丁目を一つは選んでください (choose a quarter)"))
        if findings:
            raise InvalidInput(findings)
        return where

    async def _is_authorised(self, about: str, where: Sequence[str]) -> bool:
        """Has a live alert gone out to all of these quarters? Two people have approved that."""
        if not about:
            return False
        alert = await self._path.ledger.alert(about)
        is_alive = alert.state in {State.DISPATCHING, State.LIVE}
        return is_alive and set(where) <= set(alert.facts.get("quarters", ()))

    async def _propose(self, by: Person, act: str, wanted: Mapping[str, Any]) -> str:
        key = secrets.token_hex(6)
        body = {"act": act, "by": by.name, "at": self._path.clock.now().isoformat(), **wanted}
        event = Event("safety.proposed", "", {"by": by.name, "act": act})
        await self._path.ledger.save_record(PROPOSED, key, 0, body, event)
        return key

    async def _proposal(self, key: str) -> tuple[int, Proposal]:
        version, body = await self._path.ledger.read_record(PROPOSED, key)
        return version, _proposal(key, body)

    async def _take_away(self, key: str, version: int, event: Event) -> None:
        await self._path.ledger.save_record(PROPOSED, key, version, None, event)

    def _title(self, kind: str, language: str) -> str:
        channel = self._path.channels.get(kind)
        if channel is None:
            return kind
        return channel.title if language == "ja" else channel.title_en


def _proposal(key: str, body: Mapping[str, Any]) -> Proposal:
    return Proposal(
        key,
        body["act"],
        body["by"],
        datetime.fromisoformat(body["at"]).astimezone(JST),
        body.get("about", ""),
        tuple(body.get("quarters", ())),
        body.get("kind", ""),
        body.get("reason", ""),
        body.get("hours", 0),
        body.get("time", ""),
    )
