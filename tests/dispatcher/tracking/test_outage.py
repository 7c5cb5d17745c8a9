"""A node that was away while every rung came due: the silent have time to answer between two rungs, and nobody is forgotten."""

import sqlite3
from contextlib import asynccontextmanager, closing

import pytest

from config.ladders import Whom
from dispatcher.model.campaign import Answer
from dispatcher.tracking.caring import Wish
from dispatcher.tracking.confirmation.keys import KeyRing
from tests.contracts.ledger_contract import until
from tests.servers.asking import SECRET, asking, case, mails

PEOPLE = 4


@pytest.fixture
def node(tmp_path, world):
    """Makes the node so many minutes later, with this relay, on the ledger of the one before."""

    @asynccontextmanager
    async def made(minutes=0.0):
        channels = {"email_list": dict(world.settings())}
        own = [mails(Whom.SELF, *(f"p{n}-{which}@example.jp" for which in "abc")) for n in range(PEOPLE)]
        cases = [case(n, *own[n], *mails(Whom.RELATIVE, f"relative{n}@example.jp")) for n in range(PEOPLE)]
        async with asking(tmp_path, channels, cases, dsn=f"sqlite:///{tmp_path / 'todoke.db'}") as asks:
            asks.clock.leap(minutes)
            asks.ledger.wake()
            yield asks

    return made


@pytest.fixture
def nothing_is_due(tmp_path):
    """Every timer has been heard, and those that are left are to come later."""

    async def heard(asks):
        def is_so():
            with closing(sqlite3.connect(tmp_path / "todoke.db")) as ledger:
                due = "SELECT count(*) FROM deliveries WHERE state IN ('ready', 'sending') OR due_at <= ? AND state = 'waiting'"
                return ledger.execute(due, (asks.clock.now().timestamp(),)).fetchone() == (0,)

        await until(is_so)

    return heard


async def rungs(asks, campaign):
    return {one.name: one.rung async for one in asks.confirmation.people(campaign, Wish())}


async def to_visit(asks, campaign):
    return {one.name async for one in asks.confirmation.people(campaign, Wish(is_visit=True))}


async def test_after_an_hour_away_the_silent_are_reminded_first_and_climb_only_when_they_had_time_to_answer(
    node, nothing_is_due
):
    async with node() as asks:
        campaign = await asks.start()
        await nothing_is_due(asks)
        everybody = set(await rungs(asks, campaign))
        assert len(everybody) == PEOPLE
    async with node(70) as asks:
        await nothing_is_due(asks)
        assert set((await rungs(asks, campaign)).values()) == {1}
        assert await to_visit(asks, campaign) == set()
        token = KeyRing(SECRET).of(await asks.ledger.campaigns.get(campaign)).token
        (first,) = [one async for one in asks.confirmation.people(campaign, Wish()) if one.name == "住民0000"]
        assert await asks.confirmation.answering.answer(token(first.id, "self"), Answer.OK, {}, "website")
        silent = everybody - {"住民0000"}
        # Half of ten, of ten, of fifteen and of fifteen minutes; a minute before each of them nobody has moved.
        for minutes, rung in ((5, 2), (5, 3), (7.5, 4), (7.5, 5)):
            # Nobody is on rung 4 but supporters, whom these people have not: they wait for the last one.
            for wait, expected in ((minutes - 1, rung - 1), (1.1, rung)):
                await asks.leap(wait)
                await nothing_is_due(asks)
                found = {one: at for one, at in (await rungs(asks, campaign)).items() if one in silent}
                assert set(found.values()) == {3 if expected == 4 else expected}
                assert await to_visit(asks, campaign) == (silent if expected == 5 else set())
