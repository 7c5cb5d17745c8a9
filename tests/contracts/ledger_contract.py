"""What every ledger must keep, whichever engine is under it. tests/dispatcher/ledgers/test_<engine>.py extends LedgerContract.

A subclass says where a new, empty ledger stands and how to reach into it from outside, as another process or a tamperer
would. `attempt` functions here are the outbox's callers, which is what steps/send.py is.
"""

import asyncio
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dispatcher.channel import Limits
from dispatcher.clock import JST, Clock, ManualClock, SystemClock
from dispatcher.errors import ConfigError, NotFound, StaleHash, Standby
from dispatcher.ledger import Attempted, ChannelTally, Claim, Event, HeldBack, IssuedAlert, Ledger, NewDelivery
from dispatcher.ledgers import open_ledger
from dispatcher.ledgers.rehearsal import Rehearsal
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import DeliveryState, Outcome, Priority, Receipt, Received, Told
from dispatcher.model.mode import Drill, Live, Mode
from tests.servers.recorder import recording

WITHIN_S = 20.0
"""Everything here ends in this time; it bounds a hang and asserts no speed."""
START = datetime(2026, 9, 14, 2, 41, tzinfo=JST)
ALERT = "mitaka-20260914-1"
LANE = {"website": Limits()}
REAL = SystemClock()


def issued(identifier: str = ALERT, **changes: Any) -> IssuedAlert:
    fields: dict[str, Any] = {
        "identifier": identifier,
        "state": "dispatching",
        "verb": "issue",
        "priority": Priority.LEVEL_4,
        "issued_at": START,
        "expires_at": START + timedelta(hours=6),
        "cap_xml": "<alert>大沢</alert>".encode(),
        "renderings": {"website": "1f3a"},
        "chain": ALERT,
        "facts": {"headline": "大沢の人は いますぐ避難"},
    }
    return IssuedAlert(**fields | changes)


def deliveries(
    count: int,
    identifier: str = ALERT,
    channel: str = "website",
    priority: Priority = Priority.LEVEL_4,
    size: int = 1,
    **changes: Any,
) -> list[NewDelivery]:
    return [
        NewDelivery(
            key=f"{identifier}:{channel}:{batch}",
            identifier=identifier,
            channel=channel,
            priority=priority,
            destinations=tuple(Destination(f"{channel}-{batch}-{n}", f"住民{n:04d}") for n in range(size)),
            **{"expires_at": None} | changes,
        )
        for batch in range(count)
    ]


def said(name: str = "alert.issued", subject: str = ALERT) -> Event:
    return Event(name, subject, {"by": "住民0001"})


def taken(claim: Claim) -> Attempted:
    return Attempted(claim, "taken", told=[Told(d.address, Outcome.TAKEN, "200 OK") for d in claim.destinations])


def deferred(
    claim: Claim, words: str = "503 busy", retry_after_s: float = 0.0, *, is_success: bool = False
) -> Attempted:
    return Attempted(claim, "deferred", words, retry_after_s, is_success)


class Sender:
    """Attempts, as steps/send.py makes them: keeps what it was given, answers as it is told, waits while `gate` is closed."""

    def __init__(self, answer: Callable[[Claim], Attempted] = taken) -> None:
        self.answer = answer
        self.claims: list[Claim] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, claim: Claim) -> Attempted:
        self.claims.append(claim)
        await self.gate.wait()
        return self.answer(claim)

    @property
    def addresses(self) -> list[str]:
        return [destination.address for claim in self.claims for destination in claim.destinations]


async def until(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            answer = holds()
            if answer if isinstance(answer, bool) else await answer:
                return
            await REAL.sleep(0.005)


@asynccontextmanager
async def sending(
    ledger: Ledger,
    attempt: Callable[[Claim], Awaitable[Attempted]],
    lanes: Mapping[str, Limits] = LANE,
    concurrency: int = 256,
) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(ledger.run(lanes, attempt, concurrency=concurrency))
        try:
            yield
        finally:
            run.cancel()


async def turns_pass(ledger: Ledger) -> None:
    """Several turns have been made since: what may be claimed has been."""
    for _ in range(4):
        ledger.wake()
        await ledger.append(Event("probe", ""))


class Place(ABC):
    """Where one ledger stands, with a way in beside it."""

    dsn: str

    @abstractmethod
    def read(self, statement: str) -> list[tuple[Any, ...]]:
        """Raw SQL, from outside."""

    @abstractmethod
    def write(self, statement: str, *values: Any) -> None:
        """Raw SQL from outside, committed. `?` stands for a value."""

    def open(
        self, mode: type[Mode] = Drill, node: str = "hq", clock: Clock = REAL, **times: float
    ) -> AbstractAsyncContextManager[Ledger]:
        return open_ledger(self.dsn, mode=mode, node=node, clock=clock, **times)


class LedgerContract(ABC):
    @pytest.fixture
    @abstractmethod
    def place(self) -> Place: ...

    @pytest.fixture
    async def ledger(self, place: Place) -> AsyncIterator[Ledger]:
        async with place.open() as ledger:
            yield ledger

    # -- drafts and alerts -------------------------------------------------------------------------------------------

    async def test_a_draft_is_written_only_over_the_version_that_was_read(self, ledger: Ledger) -> None:
        assert await ledger.save_draft("d", 0, {"text": "一"}, said("draft.saved", "d")) == 1
        assert await ledger.save_draft("d", 1, {"text": "二"}, said("draft.saved", "d")) == 2
        for stale in (0, 1, 3):
            with pytest.raises(StaleHash):
                await ledger.save_draft("d", stale, {"text": "三"}, said("draft.saved", "d"))
        assert await ledger.draft("d") == (2, {"text": "二"})
        assert [d[:2] for d in await ledger.drafts()] == [("d", 2)]
        assert len([e async for e in ledger.events()]) == 2
        with pytest.raises(NotFound):
            await ledger.draft("other")

    async def test_a_record_is_written_only_over_the_version_that_was_read(self, ledger: Ledger) -> None:
        assert await ledger.save_record("area", "大沢", 0, {"q": ["1"]}, said("area.saved", "")) == 1
        assert await ledger.save_record("area", "大沢", 1, {"q": ["1", "2"]}, said("area.saved", "")) == 2
        assert await ledger.save_record("area", "井口", 0, {}, said("area.saved", "")) == 1
        assert await ledger.save_record("tick", "大沢", 0, {}, said("tick.set", "")) == 1
        for stale in (0, 1, 3):
            with pytest.raises(StaleHash):
                await ledger.save_record("area", "大沢", stale, {}, said("area.saved", ""))
        assert await ledger.read_record("area", "大沢") == (2, {"q": ["1", "2"]})
        assert [r[:2] for r in await ledger.records("area")] == [("井口", 1), ("大沢", 2)]
        assert len([e async for e in ledger.events()]) == 4
        with pytest.raises(NotFound):
            await ledger.read_record("area", "other")

    async def test_records_are_read_a_page_at_a_time(self, ledger: Ledger) -> None:
        """Two hundred thousand devices at once were most of a node's memory."""
        for key in ("b", "d", "a", "c"):
            await ledger.save_record("push", key, 0, {"is": key}, None)
        await ledger.save_record("push", "c", 1, None, None)
        rehearsed = Rehearsal(ledger)
        await rehearsed.save_record("push", "bb", 0, {"is": "bb"}, None)
        for each, all_of_it in ((ledger, ["a", "b", "d"]), (rehearsed, ["a", "b", "bb", "d"])):
            found: list[str] = []
            while page := await each.records("push", after=found[-1] if found else "", limit=2):
                assert len(page) <= 2
                found += [key for key, _, _ in page]
            assert found == all_of_it

    async def test_a_record_that_is_taken_away_may_come_back_and_both_are_vouched_for(self, ledger: Ledger) -> None:
        await ledger.save_record("account", "a", 0, {"n": 1}, said("account.added", ""))
        with pytest.raises(StaleHash):
            await ledger.save_record("account", "a", 2, None, said("account.removed", ""))
        assert await ledger.save_record("account", "a", 1, None, said("account.removed", "")) == 0
        assert await ledger.records("account") == []
        with pytest.raises(NotFound):
            await ledger.read_record("account", "a")
        version = await ledger.save_record("account", "a", 0, {"n": 2}, said("account.added", ""))
        assert await ledger.read_record("account", "a") == (version, {"n": 2})
        assert await ledger.verify() == []

    async def test_only_what_is_nobodys_evidence_is_written_without_an_event(self, ledger: Ledger) -> None:
        version = await ledger.save_record("session", "s", 0, {"seen": 1}, said("session.opened", ""))
        await ledger.save_record("session", "s", version, {"seen": 2}, None)
        assert await ledger.verify() == []
        for _ in range(2):
            assert await ledger.save_record("idempotency", "k", 0, {}, None) == 1, "what was swept away left no row"
            assert await ledger.save_record("idempotency", "k", 1, None, None) == 0
        assert await ledger.records("idempotency") == []
        with pytest.raises(ValueError, match="needs its event"):
            await ledger.save_record("account", "a", 0, {}, None)

    async def test_one_of_two_who_write_the_same_new_record_is_told(self, ledger: Ledger) -> None:
        async def write(n: int) -> int:
            try:
                return await ledger.save_record("proposal", "p", 0, {"n": n}, said("proposal.made", ""))
            except StaleHash:
                return 0

        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(write(n)) for n in range(2)]
        assert sorted(t.result() for t in both) == [0, 1]

    async def test_an_alert_is_issued_once(self, ledger: Ledger) -> None:
        assert await ledger.issue(issued(), deliveries(3), said())
        assert not await ledger.issue(issued(), deliveries(5), said())
        assert await ledger.deliveries(ALERT) == {DeliveryState.READY: 3}
        assert await ledger.alert(ALERT) == issued()
        assert [e.event.name async for e in ledger.events()] == ["alert.issued"]
        with pytest.raises(NotFound):
            await ledger.alert("other")

    async def test_what_is_issued_with_a_stale_draft_is_not_issued_at_all(self, ledger: Ledger) -> None:
        await ledger.save_draft(ALERT, 0, {}, said("draft.saved"))
        with pytest.raises(StaleHash):
            await ledger.issue(issued(), deliveries(3), said(), draft=(ALERT, 7, {"state": "live"}))
        assert await ledger.alerts() == []
        assert await ledger.deliveries(ALERT) == {}
        assert await ledger.issue(issued(), deliveries(3), said(), draft=(ALERT, 1, {"state": "live"}))
        assert await ledger.draft(ALERT) == (2, {"state": "live"})

    async def test_of_two_who_follow_the_same_alert_at_once_one_is_told(self, ledger: Ledger) -> None:
        await ledger.issue(issued(), deliveries(1), said(), follows=[])

        async def follow(identifier: str) -> bool:
            try:
                alert = issued(identifier, chain=ALERT)
                return await ledger.issue(alert, [], said(subject=identifier), supersedes=[ALERT], follows=[ALERT])
            except StaleHash:
                return False

        async with asyncio.TaskGroup() as tasks:
            follows = [tasks.create_task(follow(f"f{n}")) for n in range(3)]
        assert sorted(task.result() for task in follows) == [False, False, True]
        assert len(await ledger.alerts()) == 2
        assert await ledger.verify() == []

    async def test_a_failing_write_takes_none_of_its_neighbours_with_it(self, ledger: Ledger) -> None:
        async def save(n: int) -> bool:
            try:
                await ledger.save_draft(f"d{n}", n % 2 * 5, {"n": n}, said("draft.saved", f"d{n}"))
            except StaleHash:
                return False
            return True

        async with asyncio.TaskGroup() as tasks:
            saves = [tasks.create_task(save(n)) for n in range(40)]
        assert [task.result() for task in saves] == [n % 2 == 0 for n in range(40)]
        assert len(await ledger.drafts()) == 20
        assert await ledger.verify() == []

    async def test_a_key_written_twice_is_one_delivery(self, ledger: Ledger) -> None:
        await ledger.issue(issued(), deliveries(2), said())
        await ledger.add_deliveries(deliveries(1200, size=2))
        await ledger.add_deliveries(deliveries(1200, size=2))
        assert await ledger.deliveries(ALERT) == {DeliveryState.READY: 1200}
        (tally,) = await ledger.tally(ALERT)
        assert tally.destinations == 2 + 1198 * 2
        assert await ledger.verify() == []

    async def test_alerts_move_on_and_the_live_ones_can_be_asked_for(self, ledger: Ledger) -> None:
        await ledger.issue(issued(), [], said())
        await ledger.finish_alert(ALERT, "live", said("alert.live"))
        await ledger.issue(issued("b", issued_at=START + timedelta(hours=1)), [], said(subject="b"))
        await ledger.finish_alert("b", "ended", said("alert.ended", "b"))
        assert [a.identifier for a in await ledger.alerts()] == ["b", ALERT]
        assert [a.identifier for a in await ledger.alerts(only_live=True)] == [ALERT]
        with pytest.raises(NotFound):
            await ledger.finish_alert("other", "live", said())

    # -- sending -----------------------------------------------------------------------------------------------------

    async def test_what_is_issued_is_sent_counted_and_listed(self, ledger: Ledger) -> None:
        sender = Sender()
        async with sending(ledger, sender):
            await ledger.issue(issued(), deliveries(3, size=2), said())
            await until(lambda: self._is(ledger, taken=6))
        (tally,) = await ledger.tally(ALERT)
        assert (tally.destinations, tally.failed, tally.superseded, tally.retrying) == (6, 0, 0, 0)
        assert tally.first_taken_at is not None
        assert await ledger.deliveries(ALERT) == {DeliveryState.TAKEN: 3}
        reached = [d async for d in ledger.destinations(ALERT)]
        assert {(d.outcome, d.words) for d in reached} == {(Outcome.TAKEN, "200 OK")}
        assert sorted(d.address for d in reached) == sorted(sender.addresses)
        assert [d async for d in ledger.destinations(ALERT, "other")] == []
        assert await ledger.verify() == []

    async def test_the_destinations_of_a_room_are_told_from_the_others(self, ledger: Ledger) -> None:
        own = replace(
            deliveries(1)[0], key=f"{ALERT}:website:facility/0", destinations=(Destination("facility:F001:0"),)
        )
        other = replace(own, key=f"{ALERT}:website:facilities", destinations=(Destination("no-room"),))
        await ledger.issue(issued(), [*deliveries(2), own, other], said())
        assert [d.address async for d in ledger.destinations(ALERT, room="facility")] == ["facility:F001:0"]
        assert len([d async for d in ledger.destinations(ALERT)]) == 4
        assert [d async for d in ledger.destinations(ALERT, "email_list", room="facility")] == []
        assert [d.at async for d in ledger.destinations(ALERT, room="facility")] == [None]
        assert await ledger.verify() == []

    async def test_an_order_overtakes_a_running_newsletter(self, ledger: Ledger) -> None:
        sender = Sender()
        sender.gate.clear()
        await ledger.issue(issued("news"), deliveries(20, "news", priority=Priority.NEWSLETTER), said())
        async with sending(ledger, sender, {"website": Limits(concurrency=1)}):
            await until(lambda: len(sender.claims) == 1)
            await ledger.issue(issued(), deliveries(1, priority=Priority.LEVEL_4), said())
            await ledger.issue(issued("r"), deliveries(1, "r", priority=Priority.RETRACTION), said())
            sender.gate.set()
            await until(lambda: len(sender.claims) == 22)
        assert [c.identifier for c in sender.claims[:4]] == ["news", "r", ALERT, "news"]

    async def test_one_hung_channel_does_not_hold_the_others(self, ledger: Ledger) -> None:
        hung = asyncio.Event()
        sent: list[str] = []

        async def attempt(claim: Claim) -> Attempted:
            if claim.channel == "social":
                await hung.wait()
            sent.append(claim.channel)
            return taken(claim)

        both = [*deliveries(20, channel="social"), *deliveries(20)]
        async with sending(ledger, attempt, {"website": Limits(concurrency=2), "social": Limits(concurrency=2)}):
            await ledger.issue(issued(), both, said())
            await until(lambda: len(sent) == 20)
            assert set(sent) == {"website"}
            hung.set()
            await until(lambda: len(sent) == 40)

    async def test_only_who_is_still_open_is_tried_again(self, ledger: Ledger) -> None:
        def half(claim: Claim) -> Attempted:
            if claim.attempt > 1:
                return taken(claim)
            first, second, third, *_ = claim.destinations
            told = [
                Told(first.address, Outcome.TAKEN),
                Told(second.address, Outcome.PERMANENT, "550 no such user"),
                Told(third.address, Outcome.TEMPORARY, "450 later"),
            ]
            return Attempted(claim, "deferred", "two left", told=told)

        sender = Sender(half)
        async with sending(ledger, sender, {"website": Limits(first_backoff_s=0.01)}):
            await ledger.issue(issued(), deliveries(1, size=4), said())
            await until(lambda: self._is(ledger, taken=3, failed=1))
        assert [len(c.destinations) for c in sender.claims] == [4, 2]
        assert [c.attempt for c in sender.claims] == [1, 2]
        outcome = {d.address[-1]: (d.outcome, d.words) async for d in ledger.destinations(ALERT)}
        assert outcome["1"] == (Outcome.PERMANENT, "550 no such user")
        assert outcome["2"][0] is Outcome.TAKEN
        assert (await ledger.tally(ALERT))[0].last_words == "two left"
        assert await ledger.verify() == []

    async def test_who_was_told_as_taken_is_never_sent_to_again_even_when_the_attempt_dies(
        self, ledger: Ledger
    ) -> None:
        told = asyncio.Event()

        async def half(claim: Claim) -> Attempted:
            first, *_ = claim.destinations
            await ledger.tell(claim, [Told(first.address, Outcome.TAKEN)])
            told.set()
            await asyncio.Event().wait()
            raise AssertionError

        await ledger.issue(issued(), deliveries(1, size=3), said())
        async with sending(ledger, half):
            await asyncio.wait_for(told.wait(), WITHIN_S)
        assert await ledger.deliveries(ALERT) == {DeliveryState.READY: 1}
        sender = Sender()
        async with sending(ledger, sender):
            await until(lambda: self._is(ledger, taken=3))
        (claim,) = sender.claims
        assert [d.address[-1] for d in claim.destinations] == ["1", "2"]
        assert claim.is_reclaimed
        assert await ledger.verify() == []

    async def test_a_late_word_undoes_nothing(self, ledger: Ledger) -> None:
        sender = Sender()
        async with sending(ledger, sender):
            await ledger.issue(issued(), deliveries(1), said())
            await until(lambda: self._is(ledger, taken=1))
        (claim,) = sender.claims
        await ledger.tell(
            claim, [Told("website-0-0", Outcome.PERMANENT, "550"), Told("website-0-0", Outcome.DUPLICATE)]
        )
        (tally,) = await ledger.tally(ALERT)
        assert (tally.taken, tally.failed) == (1, 0)
        assert await ledger.verify() == []

    async def test_our_own_mistake_in_one_attempt_costs_no_delivery(self, ledger: Ledger) -> None:
        def broken_once(claim: Claim) -> Attempted:
            if claim.attempt == 1:
                raise KeyError(claim.key)
            return taken(claim)

        async with sending(ledger, Sender(broken_once), {"website": Limits(first_backoff_s=0.01)}):
            await ledger.issue(issued(), deliveries(2), said())
            await until(lambda: self._is(ledger, taken=2))

    async def test_a_refused_delivery_is_over(self, ledger: Ledger) -> None:
        sender = Sender(lambda claim: Attempted(claim, "refused", "403 Forbidden"))
        async with sending(ledger, sender):
            await ledger.issue(issued(), deliveries(2, size=3), said())
            await until(lambda: self._is(ledger, failed=6))
        assert await ledger.deliveries(ALERT) == {DeliveryState.REFUSED: 2}
        assert (await ledger.tally(ALERT))[0].last_words == "403 Forbidden"
        assert await ledger.verify() == []

    # -- time --------------------------------------------------------------------------------------------------------

    async def test_a_delivery_is_tried_until_it_expires_and_not_a_number_of_times(self, place: Place) -> None:
        clock = ManualClock(START)
        sender = Sender(lambda claim: deferred(claim, "still busy", is_success=True))
        lanes = {"website": Limits(first_backoff_s=1, longest_backoff_s=4)}
        async with place.open(clock=clock) as ledger, sending(ledger, sender, lanes):
            await ledger.issue(issued(), deliveries(1, size=2, expires_at=START + timedelta(seconds=60)), said())
            for second in range(60):
                await until(lambda: self._is(ledger, retrying=2))
                assert clock.now() == START + timedelta(seconds=second)
                clock.advance(1.0)
                await turns_pass(ledger)
            await until(lambda: self._is(ledger, failed=2))
            assert len(sender.claims) > 12
            assert await ledger.deliveries(ALERT) == {DeliveryState.EXPIRED: 1}
            assert await ledger.verify() == []

    async def test_a_ready_delivery_expires_even_where_nothing_may_be_sent(self, place: Place) -> None:
        clock = ManualClock(START)
        async with place.open(clock=clock) as ledger, sending(ledger, Sender(), {"website": Limits(concurrency=0)}):
            await ledger.issue(issued(), deliveries(700, expires_at=START + timedelta(seconds=5))[:500], said())
            clock.advance(2.0)
            await turns_pass(ledger)
            assert await ledger.deliveries(ALERT) == {DeliveryState.READY: 500}
            clock.advance(4.0)
            await until(lambda: self._is(ledger, failed=500))

    async def test_a_parked_delivery_waits_for_its_moment(self, place: Place) -> None:
        clock = ManualClock(START)
        sender = Sender()
        async with place.open(clock=clock) as ledger, sending(ledger, sender):
            await ledger.issue(issued(), deliveries(1, not_before=START + timedelta(seconds=30)), said())
            await turns_pass(ledger)
            assert await ledger.deliveries(ALERT) == {DeliveryState.WAITING: 1}
            await ledger.hasten("website")
            await turns_pass(ledger)
            assert sender.claims == []
            clock.advance(30.5)
            await until(lambda: self._is(ledger, taken=1))

    async def test_somebody_reachable_again_is_not_kept_waiting(self, place: Place) -> None:
        clock = ManualClock(START)
        sender = Sender(lambda c: taken(c) if c.attempt > 1 else deferred(c, "offline", retry_after_s=3600))
        async with place.open(clock=clock) as ledger, sending(ledger, sender, {"website": Limits(breaker_failures=1)}):
            await ledger.issue(issued(), deliveries(1), said())
            await until(lambda: self._is(ledger, retrying=1))
            await turns_pass(ledger)
            assert len(sender.claims) == 1
            await ledger.hasten("website")
            await until(lambda: self._is(ledger, taken=1))

    async def test_a_wall_clock_that_is_put_back_keeps_nothing_waiting_that_failed(self, place: Place) -> None:
        clock = ManualClock(START)
        sender = Sender(lambda c: taken(c) if c.attempt > 1 else deferred(c))
        async with place.open(clock=clock) as ledger, sending(ledger, sender, {"website": Limits(breaker_failures=1)}):
            await ledger.issue(issued(), deliveries(1), said())
            await until(lambda: self._is(ledger, retrying=1))
            clock._now -= timedelta(hours=1)
            clock.advance(1.1)
            await until(lambda: self._is(ledger, taken=1))

    async def test_a_node_that_starts_tries_at_once_what_failed_before(self, place: Place) -> None:
        sender = Sender(lambda c: taken(c) if c.attempt > 1 else deferred(c))
        lanes = {"website": Limits(breaker_failures=1)}
        async with place.open(clock=ManualClock(START)) as ledger, sending(ledger, sender, lanes):
            await ledger.issue(issued(), deliveries(1), said())
            await until(lambda: self._is(ledger, retrying=1))
        # A machine without power has forgotten what time it is.
        a_year_ago = ManualClock(START - timedelta(days=365))
        async with place.open(clock=a_year_ago) as ledger, sending(ledger, sender, lanes):
            await until(lambda: self._is(ledger, taken=1))

    # -- lanes -------------------------------------------------------------------------------------------------------

    async def test_the_rate_is_kept(self, place: Place) -> None:
        clock = ManualClock(START)
        sender = Sender()
        lanes = {"website": Limits(concurrency=10, rate_per_s=2, burst=3)}
        async with place.open(clock=clock) as ledger, sending(ledger, sender, lanes):
            await ledger.issue(issued(), deliveries(8), said())
            await until(lambda: len(sender.claims) == 3)
            await turns_pass(ledger)
            assert len(sender.claims) == 3
            clock.advance(1.0)
            await until(lambda: len(sender.claims) == 5)
            await turns_pass(ledger)
            assert len(sender.claims) == 5

    async def test_the_quota_is_exact_and_keeps_its_reserve_for_orders(self, place: Place) -> None:
        clock = ManualClock(START)
        sender = Sender()
        lanes = {"website": Limits(concurrency=10, quota=5, quota_window_s=900, quota_reserve=2)}
        async with place.open(clock=clock) as ledger, sending(ledger, sender, lanes):
            await ledger.issue(issued("n"), deliveries(9, "n", priority=Priority.ROUTINE), said())
            await until(lambda: len(sender.claims) == 3)
            await turns_pass(ledger)
            assert len(sender.claims) == 3
            await ledger.issue(issued(), deliveries(3), said())
            await until(lambda: len(sender.claims) == 5)
            await turns_pass(ledger)
            assert [c.identifier for c in sender.claims[3:]] == [ALERT, ALERT]
            held = await ledger.held_back(lanes, clock.now())
            assert held == {"website": HeldBack("quota", START + timedelta(seconds=900))}
            assert await ledger.held_back(lanes, START + timedelta(seconds=901)) == {}
            for _ in range(3):  # short of the window's end
                clock.advance(299.0)
                await turns_pass(ledger)
            assert len(sender.claims) == 5
            clock.advance(4.0)
            await until(lambda: len(sender.claims) == 8)
            assert sender.claims[5].identifier == ALERT

    async def test_a_broken_channel_is_left_alone_and_then_tried_with_one(self, place: Place) -> None:
        clock = ManualClock(START)
        sender = Sender(lambda claim: deferred(claim, retry_after_s=1))
        lanes = {"website": Limits(concurrency=1, breaker_failures=4, breaker_open_s=15)}
        async with place.open(clock=clock) as ledger, sending(ledger, sender, lanes):
            await ledger.issue(issued(), deliveries(10), said())
            await until(lambda: place.read("SELECT failures FROM lanes WHERE channel = 'website'") == [(4,)])
            assert len(sender.claims) == 4
            assert (await ledger.held_back(lanes, clock.now()))["website"].why == "breaker"
            for _ in range(14):
                clock.advance(1.0)
                await turns_pass(ledger)
            assert len(sender.claims) == 4
            clock.advance(1.5)
            await until(lambda: place.read("SELECT failures FROM lanes WHERE channel = 'website'") == [(5,)])
            await turns_pass(ledger)
            assert len(sender.claims) == 5, "the trial failed, so the breaker is open again"
            sender.answer = taken
            for _ in range(16):
                clock.advance(1.0)
                await turns_pass(ledger)
            await until(lambda: self._is(ledger, taken=10))

    # -- superseded --------------------------------------------------------------------------------------------------

    async def test_nothing_of_what_is_superseded_goes_out_any_more(self, ledger: Ledger) -> None:
        sender = Sender()
        sender.gate.clear()
        async with sending(ledger, sender, {"website": Limits(concurrency=2)}):
            await ledger.issue(issued(), deliveries(20, size=2), said())
            await until(lambda: len(sender.claims) == 2)
            cancel = issued("cancel", verb="retract", priority=Priority.RETRACTION)
            first = deliveries(2, "cancel", priority=Priority.RETRACTION)
            await ledger.issue(cancel, first, said(subject="cancel"), supersedes=[ALERT])
            await ledger.add_deliveries(deliveries(25, size=2))
            await until(lambda: len(sender.claims) == 4)
            sender.gate.set()
            await until(lambda: self._is(ledger, superseded=50))
            await until(lambda: self._is(ledger, "cancel", taken=2))
        assert [c.identifier for c in sender.claims] == [ALERT, ALERT, "cancel", "cancel"]
        assert await ledger.deliveries(ALERT) == {DeliveryState.SUPERSEDED: 25}
        assert await ledger.verify() == []

    async def test_a_superseded_delivery_that_failed_is_not_put_back(self, ledger: Ledger) -> None:
        await ledger.issue(issued(), deliveries(1), said())
        started = asyncio.Event()

        async def stubborn(claim: Claim) -> Attempted:
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return deferred(claim)
            raise AssertionError

        async with sending(ledger, stubborn):
            await asyncio.wait_for(started.wait(), WITHIN_S)
            await ledger.issue(issued("b"), [], said(subject="b"), supersedes=[ALERT])
            await until(lambda: self._is(ledger, superseded=1))

    # -- receipts ----------------------------------------------------------------------------------------------------

    async def test_a_receipt_counts_once_however_often_it_comes(self, ledger: Ledger) -> None:
        await ledger.issue(issued(), deliveries(1, size=40), said())
        addresses = [f"website-0-{n}" for n in range(40)]

        async def from_terminal(address: str) -> int:
            new = 0
            for receipt in (Receipt.DELIVERED, Receipt.DELIVERED, Receipt.ACKNOWLEDGED):
                new += await ledger.record("website", [Received(ALERT, "website", address, receipt, START)])
            return new

        async with asyncio.TaskGroup() as tasks:
            counts = [tasks.create_task(from_terminal(address)) for address in addresses * 2]
        assert sum(task.result() for task in counts) == 80
        again = [Received(ALERT, "website", address, Receipt.DELIVERED, START) for address in addresses]
        assert await ledger.record("website", again) == 0
        more = [Received(ALERT, "website", f"late-{n}", Receipt.DISPLAYED, START) for n in range(3)]
        assert await ledger.record("website", [*again, *more, *more]) == 3
        (tally,) = await ledger.tally(ALERT)
        assert (tally.delivered, tally.displayed, tally.acknowledged) == (40, 3, 40)
        status = await anext(ledger.destinations(ALERT))
        assert dict(status.receipts) == {"delivered": START, "acknowledged": START}
        assert await ledger.verify() == []

    async def test_thousands_of_receipts_make_few_events(self, ledger: Ledger) -> None:
        many = [Received(ALERT, "website", f"t{n}", Receipt.DELIVERED, START) for n in range(5000)]
        assert await ledger.record("website", many) == 5000
        assert len([e async for e in ledger.events()]) == 5

    # -- events ------------------------------------------------------------------------------------------------------

    async def test_events_follow_each_other_and_can_be_waited_for(self, ledger: Ledger) -> None:
        length = await ledger.changed(-1, 0.0)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(ledger.changed(length, WITHIN_S))
            for n in range(700):
                await ledger.append(Event("probe", "", {"n": n}))
        assert waiting.result() > length
        chain = [e async for e in ledger.events(after=length)]
        assert [e.event.facts["n"] for e in chain] == list(range(700))
        assert all(b.previous_hash == a.hash and b.sequence == a.sequence + 1 for a, b in pairwise(chain))
        assert await ledger.changed(length + 10_000, 0.01) == length + 700

    async def test_the_board_of_a_past_moment_says_what_was_known_then(self, ledger: Ledger) -> None:
        before = REAL.now()
        await self._full_life(ledger)
        now = {line.channel: line for line in await ledger.tally(ALERT)}["website"]
        then, later = await ledger.tally_at(ALERT, before), await ledger.tally_at(ALERT, REAL.now())
        assert [(t.destinations, t.taken, t.failed) for t in then] == [(12, 0, 0)]
        assert [(t.destinations, t.taken, t.failed) for t in later] == [(now.destinations, now.taken, now.failed)]
        assert (later[0].first_taken_at, later[0].last_taken_at) == (now.first_taken_at, now.last_taken_at)
        half, most = (await ledger.spread(ALERT))["website"]
        assert 0 <= half <= most

    async def test_the_story_of_one_alert_is_told_newest_first_up_to_a_moment(self, ledger: Ledger) -> None:
        await ledger.append(said("alert.issued", "a"))
        middle = REAL.now()
        await ledger.append(said("alert.live", "a"))
        await ledger.append(said("alert.issued", "b"))
        assert [r.event.name for r in await ledger.story("a")] == ["alert.live", "alert.issued"]
        assert [r.event.name for r in await ledger.story("a", until=middle)] == ["alert.issued"]
        assert len(await ledger.story(limit=2)) == 2

    async def test_any_altered_value_is_found(self, place: Place) -> None:
        async with place.open() as ledger:
            await self._full_life(ledger)
            assert await ledger.verify() == []
            for table, key, columns in EVIDENCE:
                for column in columns.split():
                    where = f"{column} IS NOT NULL ORDER BY {key} DESC LIMIT 1"
                    ((old, *at),) = place.read(f"SELECT {column}, {key} FROM {table} WHERE {where}")
                    this = " AND ".join(f"{k.strip()} = ?" for k in key.split(","))
                    place.write(f"UPDATE {table} SET {column} = ? WHERE {this}", altered(old), *at)
                    assert await ledger.verify(), f"{table}.{column} was altered from {old!r} unseen"
                    at = [altered(old) if k.strip() == column else v for k, v in zip(key.split(","), at, strict=True)]
                    place.write(f"UPDATE {table} SET {column} = ? WHERE {this}", old, *at)
                    assert await ledger.verify() == [], f"{table}.{column}"

    @pytest.mark.parametrize(
        "table", ["events", "outcomes", "receipts", "deliveries", "alerts", "drafts", "records", "tallies"]
    )
    async def test_any_row_that_is_gone_is_missed(self, place: Place, table: str) -> None:
        key = {t: k for t, k, _ in EVIDENCE}[table].split(",")[-1].strip()
        async with place.open() as ledger:
            await self._full_life(ledger)
            ((last,),) = place.read(f"SELECT max({key}) FROM {table}")
            place.write(f"DELETE FROM {table} WHERE {key} = ?", last)
            assert await ledger.verify()

    # -- leases, crashes, two processes ------------------------------------------------------------------------------

    async def test_a_process_that_lost_its_claim_changes_nothing_when_it_wakes(
        self, place: Place, ledger: Ledger
    ) -> None:
        gates = [asyncio.Event(), asyncio.Event()]

        async def attempt(claim: Claim) -> Attempted:
            await gates[claim.attempt - 1].wait()
            return Attempted(claim, "refused", "too late") if claim.attempt == 1 else taken(claim)

        async with sending(ledger, attempt):
            await ledger.issue(issued(), deliveries(1), said())
            await until(lambda: place.read("SELECT state FROM deliveries") == [("sending",)])
            # As another node's beat does when this one has slept through its lease.
            place.write("UPDATE deliveries SET state = 'ready', owner = NULL, token = NULL")
            ledger.wake()
            await until(lambda: place.read("SELECT attempt FROM deliveries") == [(2,)])
            gates[0].set()
            await turns_pass(ledger)
            assert place.read("SELECT state FROM deliveries") == [("sending",)]
            gates[1].set()
            await until(lambda: self._is(ledger, taken=1))
        assert await ledger.deliveries(ALERT) == {DeliveryState.TAKEN: 1}

    async def test_a_claim_whose_reply_was_lost_comes_back(self, place: Place) -> None:
        sender = Sender()
        async with place.open(lease_s=0.6, beat_s=0.05) as ledger, sending(ledger, sender, {}):
            await ledger.issue(issued(), deliveries(3), said())
            ((me,),) = place.read("SELECT incarnation FROM nodes")
            place.write("UPDATE deliveries SET state = 'sending', owner = ?, token = 77 + id, attempt = 1", me)
            await until(lambda: place.read("SELECT DISTINCT state FROM deliveries") == [("ready",)])
        async with place.open(lease_s=0.6) as ledger, sending(ledger, sender):
            await until(lambda: self._is(ledger, taken=3))
        assert all(claim.is_reclaimed and claim.attempt == 2 for claim in sender.claims)

    async def test_nothing_is_claimed_after_the_lease(self, place: Place) -> None:
        clock = ManualClock(START)
        sender = Sender()
        async with place.open(clock=clock) as ledger, sending(ledger, sender):
            await turns_pass(ledger)
            await until(lambda: place.read("SELECT count(*) FROM nodes") == [(1,)])
            clock._elapsed_s += 2.5  # the process stood still: time passed and nobody woke
            await ledger.issue(issued(), deliveries(1), said())
            await turns_pass(ledger)
            assert sender.claims == []
            clock.advance(1.0)
            await until(lambda: self._is(ledger, taken=1))

    async def test_the_ledger_of_one_mode_is_not_opened_in_the_other(self, place: Place) -> None:
        async with place.open(Drill):
            pass
        with pytest.raises(ConfigError, match="this ledger's mode is drill, not live"):
            async with place.open(Live):
                pass

    async def test_two_processes_are_never_one_node(self, place: Place) -> None:
        async with place.open(lease_s=0.5, beat_s=0.1) as ledger, sending(ledger, Sender()):
            await ledger.append(said("node.started", ""))
            with pytest.raises(Standby, match="hq"):
                async with place.open(lease_s=0.5):
                    pass

    async def test_a_closed_ledger_says_so(self, place: Place) -> None:
        async with place.open() as ledger:
            pass
        with pytest.raises(Standby, match="closed"):
            await ledger.append(said())

    async def test_a_killed_process_loses_nothing(self, place: Place) -> None:
        async with recording() as recorder:
            async with place.open(lease_s=0.5) as ledger:
                await ledger.issue(issued(), deliveries(400, size=2), said())
            for kills in (100, 300):
                with node_process(place.dsn, recorder.port, lease_s=0.5) as process:
                    await recorder.until(kills)
                    process.send_signal(signal.SIGKILL)
            sender = Sender()
            async with place.open(lease_s=0.5) as ledger, sending(ledger, sender):
                await until(lambda: self._is(ledger, taken=800))
                assert await ledger.verify() == []
            sent = recorder.heard.keys() | {f"{c.key} {d.address}" for c in sender.claims for d in c.destinations}
            assert len(sent) == 800
            repeated = sum(count - 1 for count in recorder.heard.values())
            assert repeated <= 2 * 16 * 2, "no more than what was in flight, at either kill"

    # -- what the tests share ----------------------------------------------------------------------------------------

    @staticmethod
    async def _is(ledger: Ledger, identifier: str = ALERT, **counts: int) -> bool:
        lines: Sequence[ChannelTally] = await ledger.tally(identifier)
        return all(sum(getattr(line, name) for line in lines) == count for name, count in counts.items())

    async def _full_life(self, ledger: Ledger) -> None:
        """A little of everything that is evidence."""
        await ledger.save_draft(ALERT, 0, {"text": "大沢"}, said("draft.saved"))
        await ledger.save_record("area", "大沢", 0, {"quarters": ["132040301"]}, said("area.saved", ""))

        def mixed(claim: Claim) -> Attempted:
            if claim.key.endswith(":0"):
                return Attempted(claim, "refused", "403 Forbidden")
            return taken(claim)

        async with sending(ledger, Sender(mixed)):
            expires_at = REAL.now() + timedelta(hours=1)
            first = deliveries(3, size=2, expires_at=expires_at)
            await ledger.issue(issued(), first, said(), draft=(ALERT, 1, {"text": "大沢", "state": "live"}))
            await ledger.add_deliveries(deliveries(6, size=2, expires_at=expires_at))
            await until(lambda: self._is(ledger, taken=10, failed=2))
        await ledger.record("website", [Received(ALERT, "website", "website-1-0", Receipt.DELIVERED, START, "v1")])
        await ledger.finish_alert(ALERT, "live", said("alert.live"))
        await ledger.issue(issued("b"), [], said(subject="b"), supersedes=[ALERT])
        await ledger.append(Event("node.stopped", "", {"words": "さようなら"}))


EVIDENCE = (
    ("events", "node, sequence", "at name subject facts previous_hash hash"),
    ("chains", "node", "length hash"),
    ("drafts", "identifier", "version body"),
    ("records", "kind, key", "kind key version body"),
    ("alerts", "identifier", "state verb priority issued_at expires_at cap_xml renderings chain facts"),
    ("deliveries", "id", "key identifier channel priority destinations size cost expires_at state"),
    ("outcomes", "delivery, address", "outcome words medium_id at is_final address"),
    ("receipts", "identifier, channel, address, receipt", "at words receipt address"),
    ("tallies", "identifier, channel, node", "destinations taken refused delivered first_taken_at last_words"),
)
"""Table, key, and the columns that an event vouches for or that can be computed anew."""


def altered(value: Any) -> Any:
    """The least change that its type allows."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value + 0.001
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    return value[:-1] + ("~" if value[-1] != "~" else "-") if value else "x"


class node_process:  # noqa: N801 - reads as the context manager that it is
    """A node of its own, sending to a recorder; gone at the end, however it went."""

    def __init__(self, dsn: str, port: int, *, node: str = "hq", slots: int = 16, lease_s: float = 3.0) -> None:
        arguments = [dsn, str(port), node, str(slots), str(lease_s)]
        self._command = [sys.executable, "-m", "tests.servers.sending_node", *arguments]

    def __enter__(self) -> subprocess.Popen[bytes]:
        root = Path(__file__).resolve().parents[2]
        self._process = subprocess.Popen(self._command, cwd=root, stderr=subprocess.DEVNULL)
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
