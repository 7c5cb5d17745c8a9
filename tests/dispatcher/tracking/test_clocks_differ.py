"""Two nodes whose clocks say different things, and clocks that jump by an hour: nobody is asked twice on a rung, no rung is lost."""

import email
from contextlib import asynccontextmanager

import pytest

from dispatcher.model.campaign import Answer
from drills.world.ports import free_port
from tests.contracts.ledger_contract import until
from tests.servers.asking import asking, case, quick
from tests.servers.killed_campaign import LAST_RUNG, LINK, counted

pytestmark = pytest.mark.postgres
PEOPLE = 40
STEP_S = 0.8


@pytest.fixture
def nodes(tmp_path, world, postgres):
    """Two of one campaign's nodes, side by side."""
    database = postgres.database()

    def node(name):
        mail = dict(world.settings())
        channels = {"email_list": mail | {"listen": free(), "incoming": mail["incoming"] | {"listen": free()}}}
        cases = [case(n) for n in range(PEOPLE)]
        return asking(tmp_path, channels, cases, dsn=database, node=name, policies=quick(STEP_S))

    @asynccontextmanager
    async def both():
        async with node("east") as east, node("west") as west:
            yield east, west

    return both


def free():
    return f"127.0.0.1:{free_port()}"


async def stand(node, campaign):
    return [row async for row in node.ledger.campaigns.each(campaign)]


async def have_climbed(node, campaign):
    rows = await stand(node, campaign)
    return len(rows) == PEOPLE and all(row.rung == LAST_RUNG for row in rows)


async def is_well(node, world):
    repeats, most_questions = counted(world)
    assert repeats == 0
    assert most_questions <= 2, "the question and one reminder"
    assert await node.ledger.verify() == []


@pytest.mark.parametrize("starter", [0, 1], ids=["begun by the right one", "begun by the one that is behind"])
async def test_a_node_ten_minutes_behind_asks_nobody_twice_and_loses_no_rung(nodes, world, starter):
    async with nodes() as both:
        east, west = both
        west.clock.leap(-10)
        campaign = await both[starter].start()
        await until(lambda: have_climbed(east, campaign))
        await is_well(east, world)


async def test_clocks_that_jump_an_hour_ahead_and_back_ask_nobody_twice_and_hear_everybody(nodes, world):
    async with nodes() as (east, west):
        campaign = await east.start()
        await until(lambda: len(world.mails) >= PEOPLE)
        for node in (east, west):
            node.clock.leap(60)
        await until(lambda: have_climbed(east, campaign))
        for node in (east, west):
            node.clock.leap(-60)
        token = LINK.search(email.message_from_bytes(world.mails[0].data).get_payload(decode=True))
        assert token is not None
        assert await west.confirmation.answering.answer(token[1].decode(), Answer.OK, {}, "website")
        assert sum(row.replies for row in await stand(east, campaign)) == 1
        await is_well(east, world)
