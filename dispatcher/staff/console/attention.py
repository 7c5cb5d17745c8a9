"""What asks for somebody now: what waits for this person, what failed or lags behind, and for how long the alarm is silent.

It is the same list on every page (a bar under the strip), on the board (the first thing read) and for the script that sounds
the alarm. A silence is a person's own, ends by itself after ten minutes, and is written down.

The list is read anew when the ledger has grown; between two events every page shares one reading.

Source: design.md §9; issue "Anything failed or waiting sounds an alarm in the console (with a silence that expires)".
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiohttp import web

from dispatcher.channel import Probe
from dispatcher.errors import NotFound, StaleHash
from dispatcher.ledger import Event, Recorded
from dispatcher.model.draft import STALE_AFTER, Draft, State
from dispatcher.staff.boards import Board
from dispatcher.staff.console.outline import Outline, numbers, outline
from dispatcher.staff.console.room import Console
from dispatcher.staff.console.words import Words
from dispatcher.staff.gates import NODE
from dispatcher.staff.rules import Act, allowed
from dispatcher.staff.sessions import Person

SILENCE = "silence"
SILENT_FOR = timedelta(minutes=10)
REFUSALS = frozenset({"act.refused", "console.refused", "signin.refused", "approval.refused"})
MAX_REFUSED = 50
MAX_DRAFTS = 500
FOLLOWED_BACK = 5000
"""Events that a node which has just come up looks through."""
FRESH_S = 2.0
"""Another node of the same ledger may have written something that this one was not told of."""


@dataclass(frozen=True, slots=True)
class Task:
    """One thing that waits for a person, worst first. `is_bad`: something failed, and not only waits."""

    kind: str
    words: str
    more: str
    href: str
    button: str
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class Attention:
    """What asks for this person, and until when their alarm is silent (None: it sounds)."""

    tasks: tuple[Task, ...]
    silent_until: datetime | None
    worst: Outline | None
    """The live alert of the highest level that this person may take back: the bar at the foot of every page leads there."""

    @property
    def sounds(self) -> bool:
        return bool(self.tasks) and self.silent_until is None


@dataclass(frozen=True, slots=True)
class Reading:
    """What stands in the ledger now: drafts that wait, alerts that live, what one person sent alone, the last link tests."""

    drafts: Sequence[Draft]
    boards: Sequence[tuple[Board, Draft, int]]
    unconfirmed: Sequence[Draft]
    lamps: Mapping[str, tuple[datetime, Probe] | None]
    refused: Sequence[Recorded]
    """What this node refused, newest first."""

    def outlines(self, console: Console, t: Words) -> Sequence[Outline]:
        """Live alerts, the highest level first, then the newest."""
        found = [outline(board, draft, number, console.path.city, t) for board, draft, number in self.boards]
        return sorted(found, key=lambda o: (-(o.draft.level or 0), -o.issued_at.timestamp()))


class Watch:
    """Reads for everybody at once."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._numbers: dict[str, int] = {}
        self._drafts: dict[str, Draft] = {}
        self._reading: Reading | None = None
        self._length = -1
        self._read_s = 0.0
        self._reading_now = asyncio.Lock()
        self._followed: int | None = None
        self._refused: deque[Recorded] = deque(maxlen=MAX_REFUSED)

    async def reading(self, by: Person) -> Reading:
        """What stands now; not older than the last event of this node."""
        async with self._reading_now:
            length = await self.console.path.ledger.changed(0, 0.0)
            now_s = self.console.clock.monotonic()
            if self._reading is None or length != self._length or now_s - self._read_s > FRESH_S:
                self._reading, self._length, self._read_s = await self._read(by), length, now_s
            return self._reading

    async def number(self, identifier: str) -> int:
        """Which report of its chain an alert is."""
        if identifier not in self._numbers:
            issued = await self.console.path.ledger.alerts()
            self._numbers.update(numbers((a.identifier, a.chain) for a in reversed(issued)))
        return self._numbers.get(identifier, 1)

    async def _read(self, by: Person) -> Reading:
        desk = self.console.desk
        drafts, boards = await desk.status(by, only_live=True)
        found = []
        for board in boards:
            draft = await self.draft(board.alert.identifier)
            found.append((board, draft, await self.number(board.alert.identifier)))
        await self._follow_refusals()
        return Reading(drafts, found, await desk.unconfirmed(by), await desk.lamps(by), tuple(self._refused))

    async def _follow_refusals(self) -> None:
        """Along the chain, each event once: to look for them among a million others would take too long."""
        ledger = self.console.path.ledger
        if self._followed is None:
            self._followed = max(0, await ledger.changed(0, 0.0) - FOLLOWED_BACK)
        async for recorded in ledger.events(after=self._followed):
            self._followed = recorded.sequence
            if recorded.event.name in REFUSALS:
                self._refused.appendleft(recorded)

    async def draft(self, identifier: str) -> Draft:
        """What an alert was before it went out; read once, because nobody can change it but who confirms it."""
        draft = self._drafts.get(identifier)
        if draft is None:
            draft = Draft.from_body(*await self.console.path.ledger.draft(identifier))
            if len(self._drafts) >= MAX_DRAFTS:
                self._drafts.clear()
            if draft.broken_glass_by is None or draft.confirmed_by is not None:
                self._drafts[identifier] = draft
        return draft


WATCH = web.AppKey("watch", Watch)


async def attention(watch: Watch, by: Person, t: Words) -> Attention:
    """What asks for this person now."""
    console, reading = watch.console, await watch.reading(by)
    now = console.clock.now()
    tasks = [
        *_trouble(reading, console, t),
        *_waiting(reading, console, by, t, now),
        *_overdue(reading, console, t, now),
        *_closed(console, t),
    ]
    return Attention(
        tuple(sorted(tasks, key=lambda task: not task.is_bad)),
        await silent_until(console, by),
        next((o for o in reading.outlines(console, t) if _may_retract(console, by, o)), None),
    )


def _may_retract(console: Console, by: Person, found: Outline) -> bool:
    state = State(found.board.alert.state)
    is_refused = allowed(by.name, by.roles, Act.RETRACT, console.path.mode, found.draft, state)
    return not found.ends_chain and not is_refused


def _trouble(reading: Reading, console: Console, t: Words) -> Iterator[Task]:
    for found in reading.outlines(console, t):
        for line in found.troubled:
            yield Task(
                line.word,
                f"{t(*console.titles(line.tally.channel))}　{found.event} {found.place}",
                line.tally.last_words,
                f"/alerts/{found.identifier}",
                t("配信板を開く", "Open the board"),
                is_bad=True,
            )
    for kind, last in reading.lamps.items():
        if last is not None and not last[1].is_up:
            yield Task(
                t("つながりません", "No link"),
                t(*console.titles(kind)),
                last[1].words,
                "/#media",
                t("媒体を見る", "See the media"),
                is_bad=True,
            )


def _closed(console: Console, t: Words) -> Iterator[Task]:
    """A medium that was closed stays closed until somebody opens it: it is never left so because nobody thought of it."""
    for kind, gate in console.desk.closed.items():
        if kind != NODE:
            more = f"{gate.by}：{gate.reason}"
            yield Task(
                t("閉じたまま", "Still closed"),
                t(*console.titles(kind)),
                more,
                "/#media",
                t("媒体を見る", "See the media"),
            )


def _waiting(reading: Reading, console: Console, by: Person, t: Words, now: datetime) -> Iterator[Task]:
    mode, city = console.path.mode, console.path.city
    for draft in reading.drafts:
        named = f"{_event(draft, t)}　{city.say(draft.quarters, t('ja', 'en-US'))}"
        page = f"/drafts/{draft.identifier}/approve"
        is_mine = by.name in {draft.author, draft.submitted_by}
        if draft.state is State.PENDING and not allowed(by.name, by.roles, Act.APPROVE, mode, draft):
            left = (draft.submitted_at or now) + STALE_AFTER - now
            said = t(
                "{}が提出。残り {} で時間切れ（自動では送られません）",
                "Submitted by {}; {} left, then it is stale (never sent by itself)",
            )
            more = said.format(draft.submitted_by, t.span(left.total_seconds()))
            yield Task(t("承認待ち", "To approve"), named, more, page, t("読んで決める", "Read and decide"))
        elif draft.state is State.STALE and (is_mine or not allowed(by.name, by.roles, Act.REJECT, mode, draft)):
            more = t("時間切れです。読み直して、もう一度提出します", "Out of time: read it again and resubmit")
            yield Task(t("時間切れ", "Stale"), named, more, f"/drafts/{draft.identifier}", t("読み直す", "Read again"))
        elif draft.state is State.RETURNED and is_mine:
            more = t("理由：", "Because: ") + (draft.reason or "")
            yield Task(t("返されました", "Returned"), named, more, f"/drafts/{draft.identifier}", t("直す", "Mend"))
    for draft in reading.unconfirmed:
        if not allowed(by.name, by.roles, Act.CONFIRM, mode, draft):
            named = f"{_event(draft, t)}　{city.say(draft.quarters, t('ja', 'en-US'))}"
            more = t("{}が1人で発表しました", "Sent by {} alone").format(draft.broken_glass_by)
            page = f"/drafts/{draft.identifier}/approve"
            yield Task(t("事後承認", "To confirm"), named, more, page, t("読んで確かめる", "Read and confirm"))


def _overdue(reading: Reading, console: Console, t: Words, now: datetime) -> Iterator[Task]:
    for found in reading.outlines(console, t):
        if found.is_overdue(now):
            more = t("次の発表の時刻 {} を過ぎました", "The next message was due at {}").format(
                t.clock(found.draft.next_update)
            )
            named = f"{found.event}　{found.place}"
            yield Task(
                t("更新が遅れています", "Update overdue"), named, more, f"/alerts/{found.identifier}", t("開く", "Open")
            )


def _event(draft: Draft, t: Words) -> str:
    wording = draft.wording.get(t("ja", "en-US")) or next(iter(draft.wording.values()))
    return wording.event


async def silent_until(console: Console, by: Person) -> datetime | None:
    """Until when this person's alarm is silent; None when it is not."""
    try:
        _, body = await console.path.ledger.read_record(SILENCE, by.name)
    except NotFound:
        return None
    until = datetime.fromisoformat(body["until"])
    return until if until > console.clock.now() else None


async def silence(console: Console, by: Person) -> datetime:
    """Ten minutes without sound for this person; the bar stays."""
    until = console.clock.now().replace(microsecond=0) + SILENT_FOR
    ledger = console.path.ledger
    try:
        version, _ = await ledger.read_record(SILENCE, by.name)
    except NotFound:
        version = 0
    event = Event("alarm.silenced", "", {"by": by.name, "until": until.isoformat()})
    try:
        await ledger.save_record(SILENCE, by.name, version, {"until": until.isoformat()}, event)
    except StaleHash:
        # The same person pressed it at two browsers at this very moment: one silence is enough.
        return until
    return until
