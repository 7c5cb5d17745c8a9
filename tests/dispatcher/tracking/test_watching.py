"""見守り on real ledgers of both engines, with a clock that is moved: every day once, never twice, not at night, not beside 安否."""

from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count

import pytest

from config.ladders import Whom
from dispatcher.clock import JST
from dispatcher.errors import InvalidInput
from dispatcher.model.campaign import Answer
from dispatcher.tracking.caring import Wish
from dispatcher.tracking.confirmation.round import Round
from dispatcher.tracking.watching import RECORD, time_of
from tests.contracts.ledger_contract import until
from tests.dispatcher.tracking.test_confirmation import enrolled, mails_to, rung_is, say, text_of
from tests.servers.asking import QUARTER, asking, case, mails

OTHER = "132040302"


def watched(number, *contacts, **changes):
    return case(number, *contacts, cohorts=("watch",), **changes)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def loop(request, tmp_path, world):
    dsn = f"sqlite:///{tmp_path / 'todoke.db'}"
    if request.param == "postgres":
        dsn = request.getfixturevalue("postgres").database()

    @asynccontextmanager
    async def made(*cases):
        async with asking(tmp_path, {"email_list": dict(world.settings())}, cases, dsn=dsn) as asks:
            await at(asks, 8)
            yield asks

    return made


async def at(asks, hour, minute=0):
    """Move the clock on to the next time that it is so late in Japan."""
    now = asks.clock.now().astimezone(JST)
    there = now.replace(hour=hour, minute=minute, second=0)
    if there <= now:
        there += timedelta(days=1)
    await asks.leap((there - now) / timedelta(minutes=1))


async def switched_on(asks, quarters=(QUARTER,)):
    await asks.confirmation.watch("職員A・職員B", quarters=quarters, at="09:00")


async def days(asks):
    return {c.id: Round.of(c) for c in await asks.confirmation.campaigns() if c.id.startswith("watch-2")}


async def until_days(asks, count):
    async def is_so():
        return len(await days(asks)) == count

    await until(is_so)
    return sorted(await days(asks))


def today(asks):
    return f"watch-{asks.clock.now().astimezone(JST):%Y-%m-%d}"


async def test_each_day_at_its_time_those_who_agreed_are_asked_once_and_the_silent_climb(loop, world):
    async with loop(watched(1), watched(2), case(3)) as asks:
        await switched_on(asks)
        assert await days(asks) == {}
        await at(asks, 9)
        await until_days(asks, 1)
        first = today(asks)
        await enrolled(asks, first, 2)
        await until(lambda: len(world.mails) == 2)
        assert {m.recipients[0] for m in world.mails} == {"p0001@example.jp", "p0002@example.jp"}
        assert "お元気ですか" in text_of(world.mails[0])
        assert "【訓練】" in text_of(world.mails[0])
        await say(asks, mails_to(world, "p0001@example.jp")[0], Answer.OK)
        for hour, rung in ((11, 1), (15, 3), (21, 5)):
            await at(asks, hour, 1)
            await rung_is(asks, first, "住民0002", rung)
        assert [one.name async for one in asks.confirmation.people(first, Wish(is_visit=True))] == ["住民0002"]
        await at(asks, 9)
        second = (await until_days(asks, 2))[1]
        assert second == today(asks)
        await enrolled(asks, second, 2)

        async def is_over():
            return not (await days(asks))[first].is_open

        await until(is_over)
        assert sum((await asks.ledger.deliveries(first)).values()) > 0


async def test_a_timer_that_comes_twice_begins_its_day_once_and_the_next_is_parked(loop, world):
    async with loop(watched(1)) as asks:
        await switched_on(asks)
        await at(asks, 9)
        (day,) = await until_days(asks, 1)
        await asks.confirmation._daily.begin_day(
            "1", day.removeprefix("watch-")
        )  # as after kill -9 before it was settled
        assert len(await days(asks)) == 1
        await at(asks, 9)
        await until_days(asks, 2)
        assert not (await asks.confirmation.watching()).missed


async def test_days_slept_through_are_said_and_nobody_is_asked_at_night(loop, world):
    async with loop(watched(1)) as asks:
        await switched_on(asks)
        lost = [str((asks.clock.now().astimezone(JST) + timedelta(days=n)).date()) for n in range(3)]
        asks.clock.leap(2 * 24 * 60)  # the node was down; it is 8:00 of the third day
        await at(asks, 23)

        async def is_said():
            return list((await asks.confirmation.watching()).missed) == lost

        await until(is_said)
        assert await days(asks) == {}
        (said,) = [r.event for r in await asks.ledger.story(limit=500) if r.event.name == "safety.watch-missed"]
        assert said.facts["days"] == lost
        await at(asks, 9)
        assert await until_days(asks, 1) == [today(asks)]


async def test_an_hour_late_it_still_begins(loop, world):
    async with loop(watched(1)) as asks:
        await switched_on(asks)
        await at(asks, 10)
        await until_days(asks, 1)
        assert not (await asks.confirmation.watching()).missed


async def test_a_halted_node_begins_no_day_and_reopened_in_time_it_does(loop, world):
    async with loop(watched(1)) as asks:
        await switched_on(asks)
        await asks.gates.close("*", "職員A", "入れかえ")
        await at(asks, 9)

        async def waits():
            return sum((await asks.ledger.deliveries(RECORD)).values()) == 1 and not await days(asks)

        await until(waits)
        await asks.gates.open("*", "職員A")
        looks = count()

        async def begins():
            # A minute every twenty looks: an attempt that saw the halt may just now be putting itself off by one.
            if next(looks) % 20 == 0:
                asks.clock.leap(1.1)
                asks.ledger.wake()
            return bool(await days(asks))

        await until(begins)
        assert not (await asks.confirmation.watching()).missed


async def test_a_day_that_a_halt_has_swallowed_is_said_and_not_made_up_for(loop, world):
    async with loop(watched(1)) as asks:
        await switched_on(asks)
        await asks.gates.close("*", "職員A", "入れかえ")
        await at(asks, 11, 5)

        async def is_said():
            return len((await asks.confirmation.watching()).missed) == 1

        await until(is_said)
        await asks.gates.open("*", "職員A")
        await at(asks, 9)
        assert await until_days(asks, 1) == [today(asks)]


async def test_it_pauses_where_people_are_asked_whether_they_are_safe_and_nowhere_else(loop, world):
    async with loop(
        watched(1, *mails(Whom.SELF, "one@example.jp")),
        watched(
            2,
            *mails(Whom.SELF, "two@example.jp"),
        ),
    ) as asks:
        await switched_on(asks, (QUARTER, OTHER))
        safety = await asks.start()
        await until(lambda: len(world.mails) == 2)
        await at(asks, 9)
        (day,) = await until_days(asks, 1)
        assert (await days(asks))[day].quarters == (OTHER,)
        await asks.confirmation.close("職員A", safety)
        await at(asks, 9)
        (_, day) = await until_days(asks, 2)
        await enrolled(asks, day, 2)
        await until(lambda: sum("お元気ですか" in text_of(m) for m in world.mails) == 2)
        count = len(world.mails)
        again = await asks.start()
        await until(lambda: len(world.mails) == count + 2)
        await enrolled(asks, again, 2)
        await at(asks, 11, 1)  # the watch would remind now

        async def has_reminded():
            return [one.rung async for one in asks.confirmation.people(again, Wish())] == [1, 1]

        await until(has_reminded)
        assert [one.rung async for one in asks.confirmation.people(day, Wish())] == [0, 0]


async def test_switched_off_it_is_over_at_once_and_switched_on_anew_it_goes_on_tomorrow(loop, world):
    async with loop(watched(1)) as asks:
        await switched_on(asks)
        await at(asks, 9)
        (day,) = await until_days(asks, 1)
        await asks.confirmation.unwatch("職員A")
        assert not (await days(asks))[day].is_open
        await at(asks, 8)
        await at(asks, 9)
        await switched_on(asks)
        await at(asks, 9)
        assert await until_days(asks, 2) == [day, today(asks)]


async def test_a_timer_of_an_earlier_agreement_begins_nothing(loop):
    async with loop(watched(1)) as asks:
        await switched_on(asks)
        await asks.confirmation.watch("職員A・職員B", quarters=[QUARTER], at="10:30")
        await at(asks, 9, 30)

        async def is_past():
            return sum((await asks.ledger.deliveries(RECORD)).values()) == 2

        await until(is_past)
        assert await days(asks) == {}
        await at(asks, 10, 30)
        await until_days(asks, 1)


@pytest.mark.parametrize("wrong", ["", "25:00", "03:00", "23:00", "九時", "09:00+09:00", "9" * 10_000])
def test_a_time_that_is_none_or_in_the_night_is_refused(wrong):
    with pytest.raises(InvalidInput) as refused:
        time_of(wrong)
    assert [f.where for f in refused.value.findings] == ["time"]
