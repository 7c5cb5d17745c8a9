"""A campaign whose node is killed with kill -9 again and again: what was thanked for, and how often people were asked.

The node is a process of its own (asking.py); the relay and the residents who answer are here and outlive it.
"""

import asyncio
import email
import json
import random
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from dispatcher.clock import SystemClock
from dispatcher.ledger import Ledger
from dispatcher.ledgers import open_ledger
from dispatcher.model.campaign import Answer
from dispatcher.model.mode import Drill
from dispatcher.steps.send import GROUP
from dispatcher.tracking.confirmation.case import read_reply
from dispatcher.tracking.confirmation.keys import KeyRing, Keys
from dispatcher.tracking.tokens import hashed
from drills.world.email_list import World
from tests.servers.asking import SECRET

STEP_S = 1.5
SOONEST_S, LATEST_S = 0.05, 0.9
CONNECTIONS = 2
LAST_RUNG = 3
WITHIN_S = 60.0
ANSWERS = 6
"""Between two kills."""
REAL = SystemClock()
LINK = re.compile(rb"/a/([a-z2-7]{26})")


@dataclass(frozen=True, slots=True)
class Survived:
    """What stands after the last kill, when every rung was climbed."""

    people: int
    kept: int
    """Answers that were thanked for."""
    answers_lost: int
    timers_lost: int
    """People who are silent and were not handed on to the last rung."""
    repeats: int
    """Mails that were sent a second time, with the same Message-ID."""
    window: int
    """Mails that may have been under way at the kills."""
    most_questions: int
    """To one address, repeats apart: the question, and one reminder."""
    complaints: int
    """Of the audit."""


async def survive(folder: Path, world: World, *, people: int, kills: int, seed: int) -> Survived:
    """Kill it so often, let it end, and look."""
    chance = random.Random(seed)
    describe(folder, world, people=people, step_s=STEP_S)
    dsn = f"sqlite:///{folder / 'todoke.db'}"
    kept: dict[str, Answer] = {}
    for _ in range(kills):
        async with node(folder, dsn) as (process, _):
            await REAL.sleep(chance.uniform(SOONEST_S, LATEST_S))
            await answer_some(process, world, kept, chance)
            process.kill()
    async with node(folder, dsn) as (process, campaign):
        async with asyncio.timeout(WITHIN_S):
            await _all_climbed(folder / "todoke.db", campaign, people)
        await answer_some(process, world, kept, chance)
    lost = 0
    async with open_ledger(dsn, mode=Drill, node="after", clock=REAL) as ledger:
        complaints = len(await ledger.verify())
        keys = KeyRing(SECRET).of(await ledger.campaigns.get(campaign))
        for token, said in kept.items():
            lost += not await is_kept(ledger, keys, token, said)
        rows = [row async for row in ledger.campaigns.each(campaign)]
    repeats, most_questions = counted(world)
    return Survived(
        people=len(rows),
        kept=len(kept),
        answers_lost=lost,
        timers_lost=sum(row.is_silent and row.rung < LAST_RUNG for row in rows),
        repeats=repeats,
        window=kills * GROUP * CONNECTIONS,
        most_questions=most_questions,
        complaints=complaints,
    )


def describe(folder: Path, world: World, *, people: int, step_s: float) -> None:
    """What the processes are to be, written down for them."""
    settings = {**world.settings(), "connections": CONNECTIONS}
    described = {"channels": {"email_list": settings}, "people": people, "step_s": step_s}
    (folder / "asking.json").write_text(json.dumps(described))


async def is_kept(ledger: Ledger, keys: Keys, token: str, said: Answer) -> bool:
    """Whether it stands among what was heard of this person by this link; a relative's word beside their own changes no standing."""
    found = await ledger.campaigns.by_token(hashed(token))
    if found is None:
        return False
    row, source = found
    kept = await ledger.campaigns.replies(row.campaign, row.id)
    heard = [read_reply(keys.open(one.sealed, f"reply:{one.id}")) for one in kept]
    return any((one.answer, one.source) == (said, source) for one in heard)


def counted(world: World) -> tuple[int, int]:
    """Mails sent a second time with the same Message-ID, and the most questions to one address, those apart."""
    sent = Counter(_id(mail.data) for mail in world.mails)
    questions = Counter(address for address, _ in {(m.recipients[0], _id(m.data)) for m in world.mails})
    return sum(sent.values()) - len(sent), max(questions.values())


def _id(data: bytes) -> str:
    return str(email.message_from_bytes(data)["Message-ID"])


async def answer_some(
    process: asyncio.subprocess.Process, world: World, kept: dict[str, Answer], chance: random.Random
) -> None:
    """A few who have their mail answer; what is thanked for is remembered."""
    assert process.stdin is not None
    assert process.stdout is not None
    bodies = [email.message_from_bytes(mail.data).get_payload(decode=True) for mail in list(world.mails)]
    found = {match[1].decode() for body in bodies if isinstance(body, bytes) and (match := LINK.search(body))}
    for token in sorted(found - kept.keys())[:ANSWERS]:
        said = chance.choice(list(Answer))
        process.stdin.write(f"{token} {said}\n".encode())
        async with asyncio.timeout(WITHIN_S):
            if await process.stdout.readline() == b"kept\n":
                kept[token] = said


async def _all_climbed(path: Path, campaign: str, people: int) -> None:
    """As the ledger says it, looked at from outside."""
    with closing(sqlite3.connect(path)) as outside:
        left = "SELECT count(*) FROM asked WHERE campaign = ? AND rung < ? AND progress != 'answered'"
        there = "SELECT count(*) FROM asked WHERE campaign = ?"
        while (
            outside.execute(there, (campaign,)).fetchone()[0] < people
            or outside.execute(left, (campaign, LAST_RUNG)).fetchone()[0]
        ):
            await REAL.sleep(0.05)


@asynccontextmanager
async def node(folder: Path, dsn: str, name: str = "asking") -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The process, and the campaign that it runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.servers.asking", str(folder), dsn, name),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(WITHIN_S):
            line = await process.stdout.readline()
        assert line, "the node did not start"
        yield process, line.decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
