"""kill -9 at every step of a campaign: nobody is asked twice beyond what was under way, no answer and no timer is lost."""

import asyncio
import email
import json
import random
import re
import sqlite3
import sys
from collections import Counter
from contextlib import asynccontextmanager, closing

import pytest

from dispatcher.clock import SystemClock
from dispatcher.ledgers import open_ledger
from dispatcher.model.mode import Drill
from dispatcher.steps.send import GROUP
from dispatcher.tracking.confirmation.keys import KeyRing
from dispatcher.tracking.tokens import hashed
from tests.servers.asking import SECRET

PEOPLE = 150
STEP_S = 1.5
KILLS = 5
REAL = SystemClock()
LINK = re.compile(rb"/a/([a-z2-7]{26})")


@pytest.mark.timeout(120)
async def test_kill_9_at_every_step_of_a_campaign_loses_no_answer_and_no_timer(tmp_path, world):
    chance = random.Random(4)
    settings = {**world.settings(), "connections": 2}
    described = {"channels": {"email_list": settings}, "people": PEOPLE, "step_s": STEP_S}
    (tmp_path / "asking.json").write_text(json.dumps(described))
    dsn = f"sqlite:///{tmp_path / 'todoke.db'}"
    kept: dict[str, str] = {}
    for _ in range(KILLS):
        async with node(tmp_path, dsn) as (process, _):
            await REAL.sleep(chance.uniform(0.05, 0.9))
            await answer_some(process, world, kept, chance)
            process.kill()
    assert kept
    async with node(tmp_path, dsn) as (process, campaign):
        await asyncio.wait_for(all_on_the_last_rung(tmp_path / "todoke.db", campaign), 40)
        await answer_some(process, world, kept, chance)

    async with open_ledger(dsn, mode=Drill, node="after", clock=REAL) as ledger:
        assert not await ledger.verify()
        keys = KeyRing(SECRET).of(await ledger.campaigns.get(campaign))
        rows = [row async for row in ledger.campaigns.each(campaign)]
        assert len(rows) == PEOPLE
        for token, said in kept.items():
            row, _ = await ledger.campaigns.by_token(hashed(token))
            assert (row.progress, row.standing) == ("answered", keys.standing(said)), "an answer that was thanked for"
        answered = {row.id for row in rows if row.progress == "answered"}
        assert all(row.rung == 3 for row in rows if row.id not in answered), "a timer that was lost"

    sent = Counter(email.message_from_bytes(mail.data)["Message-ID"] for mail in world.mails)
    assert sum(sent.values()) - len(sent) <= KILLS * GROUP * settings["connections"]
    rungs = Counter(mail.recipients[0] for mail in {m.data: m for m in world.mails}.values())
    assert max(rungs.values()) <= 2, "asked, reminded, and not once more"


async def answer_some(process, world, kept, chance) -> None:
    """A few who have their mail answer; what is thanked for is remembered."""
    found = {match[1].decode() for mail in list(world.mails) if (match := LINK.search(decoded(mail.data)))}
    for token in sorted(found - kept.keys())[:6]:
        said = chance.choice(["ok", "hurt", "help"])
        process.stdin.write(f"{token} {said}\n".encode())
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        if line == b"kept\n":
            kept[token] = said


def decoded(data: bytes) -> bytes:
    return email.message_from_bytes(data).get_payload(decode=True)


async def all_on_the_last_rung(path, campaign) -> None:
    with closing(sqlite3.connect(path)) as outside:
        waiting = "SELECT count(*) FROM asked WHERE campaign = ? AND rung < 3 AND progress != 'answered'"
        there = "SELECT count(*) FROM asked WHERE campaign = ?"
        while (
            outside.execute(waiting, (campaign,)).fetchone()[0]
            or outside.execute(there, (campaign,)).fetchone()[0] < PEOPLE
        ):
            await REAL.sleep(0.05)


@asynccontextmanager
async def node(folder, dsn):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.servers.asking", str(folder), dsn, "asking"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 40)
        assert line, "the node did not start"
        yield process, line.decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
