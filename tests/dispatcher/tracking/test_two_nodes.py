"""Two nodes on PostgreSQL ask together; one or the other is killed with kill -9 at each step of a campaign, and the other goes on."""

import asyncio
import json
import random
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from dispatcher.clock import SystemClock
from dispatcher.ledgers import open_ledger
from dispatcher.model.mode import Drill
from dispatcher.steps.send import GROUP
from dispatcher.tracking.confirmation.keys import KeyRing
from tests.contracts.ledger_contract import until
from tests.servers.asking import SECRET
from tests.servers.killed_campaign import CONNECTIONS, LAST_RUNG, answer_some, counted, describe, is_kept, node

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120)]
PEOPLE = 520
"""More than one transaction of them."""
REAL = SystemClock()


@pytest.fixture
def database(postgres):
    return postgres.database()


@pytest.fixture
def look(postgres, database):
    def rows(statement):
        found = postgres.psql(f"SELECT to_json(r) FROM ({statement}) r", database.rsplit("/", 1)[1])
        return [tuple(json.loads(row).values()) for row in found.splitlines()]

    return rows


@asynccontextmanager
async def looking(database):
    async with open_ledger(database, mode=Drill, node="looking", clock=REAL) as ledger:
        yield ledger


async def seen(look, statement, rows):
    """Sooner or later. Each look is a process of its own, so there are not too many of them."""
    async with asyncio.timeout(60):
        while look(statement) != rows:
            await REAL.sleep(0.2)


async def said(process, line):
    process.stdin.write(f"{line}\n".encode())
    async with asyncio.timeout(20):
        return (await process.stdout.readline()).decode().strip()


async def test_whichever_node_is_killed_while_people_are_asked_the_other_goes_on(tmp_path, world, database, look):
    describe(tmp_path, world, people=PEOPLE, step_s=1.5)
    kills = 0
    async with AsyncExitStack() as stack:
        async with node(tmp_path, database, "east") as (east, campaign):
            west, same = await stack.enter_async_context(node(tmp_path, database, "west"))
            assert same == campaign
            await seen(look, "SELECT count(*) > 0 FROM asked", [(True,)])
            east.kill()
            kills += 1
        again, _ = await stack.enter_async_context(node(tmp_path, database, "east"))
        await seen(look, "SELECT count(*) > 0 FROM asked WHERE rung > 0", [(True,)])
        west.kill()
        kills += 1
        left = f"SELECT count(*) FROM asked WHERE rung < {LAST_RUNG} AND progress != 'answered'"
        await seen(look, left, [(0,)])
        await seen(look, "SELECT count(*) FROM deliveries WHERE state = 'sending'", [(0,)])
        assert again.returncode is None
    assert look("SELECT count(*) FROM asked") == [(PEOPLE,)]
    repeats, most_questions = counted(world)
    assert repeats <= kills * GROUP * CONNECTIONS
    assert most_questions <= 2, "the question and one reminder"
    async with looking(database) as ledger:
        assert await ledger.verify() == []


async def test_an_answer_the_end_and_the_destruction_outlive_the_node_that_took_them(tmp_path, world, database, look):
    describe(tmp_path, world, people=60, step_s=3600.0)
    kept = {}
    async with AsyncExitStack() as stack:
        async with node(tmp_path, database, "east") as (east, campaign):
            west, _ = await stack.enter_async_context(node(tmp_path, database, "west"))
            await until(lambda: len(world.mails) == 60)
            await answer_some(east, world, kept, random.Random(4))
            east.kill()
        assert kept
        async with looking(database) as ledger:
            keys = KeyRing(SECRET).of(await ledger.campaigns.get(campaign))
            for token, answer in kept.items():
                assert await is_kept(ledger, keys, token, answer)
        async with node(tmp_path, database, "east") as (east, _):
            east.stdin.write(b"close\n")
            await seen(look, "SELECT count(*) FROM events WHERE name = 'safety.closed'", [(1,)])
            east.kill()
        assert await said(west, "close") == "closed"
        async with node(tmp_path, database, "east") as (east, _):
            east.stdin.write(b"destroy\n")
            await seen(look, "SELECT count(*) FROM campaign_keys", [(0,)])
            east.kill()
        assert await said(west, "destroy") == "destroyed"
    assert look(
        "SELECT (SELECT count(*) FROM asked) a, (SELECT count(*) FROM replies) b, (SELECT count(*) FROM links) c"
    ) == [(0, 0, 0)]
    assert look("SELECT count(*) FROM events WHERE name = 'safety.closed'") == [(1,)]
    async with looking(database) as ledger:
        assert await ledger.verify() == []
