"""P6: registered mail, one recipient a mail, against Postfix's own sender into the same receiver.

* mail.sink: mails a second into `smtp-sink`, ÷ `smtp-source -s 10` with mails of the same size; rounds in turns, the best of each;
* mail.postfix: the same into a real Postfix, which writes each mail to its queue;
* mail.memory: MB that the sender grows from the 10,000th to the 100,000th mail; baseline: its whole list as a Python list of mails,
  which is what streaming avoids;
* mail.crash: kill -9 of the durable sender, five times: recipients that got nothing, and repeats beyond what may be under way (64 a
  connection); baseline: the recipients not yet served at the first kill.

Source: design.md §11 P6; facts.md §Mail.
"""

import asyncio
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope

from dispatcher.clock import SystemClock
from dispatcher.ledger import Event, IssuedAlert, NewDelivery
from dispatcher.ledgers import open_ledger
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Priority
from dispatcher.model.mode import Drill
from dispatcher.steps.send import GROUP
from tests.bench._mailer import BATCH, KIND, subscribers
from tests.bench.row import Row, at_least, at_most
from tests.servers.postfix import postfix, sink, source

NAMES = ("mail.sink", "mail.postfix", "mail.memory", "mail.crash")
SIZE = 4_000
"""Bytes of our mail in three languages."""
SESSIONS = 10
ROUNDS = 3
MANY = 100_000
MEMORY_MB = 16.0
CRASHING = 4_000
KILLS = 5
CONNECTIONS = 4
CLOCK = SystemClock()


def rows(wanted: set[str]) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="todoke-bench-") as name:
        folder = Path(name)
        if "mail.sink" in wanted:
            with sink() as port:
                ours, baseline = _in_turns(
                    lambda: _ours(port, 20_000, folder)[0], lambda: source(port, 20_000, SIZE, SESSIONS)
                )
            yield at_least("mail.sink", ours, baseline, "mails/s", 1.0)
        if "mail.postfix" in wanted:
            with postfix(domains="none.example.jp") as relay:
                ours, baseline = _in_turns(
                    lambda: _ours(relay.port, 2_000, folder)[0], lambda: source(relay.port, 2_000, SIZE, SESSIONS)
                )
            yield at_least("mail.postfix", ours, baseline, "mails/s", 1.0)
        if "mail.memory" in wanted:
            with sink() as port:
                grown_mb = _ours(port, MANY, folder)[1]
            whole_mb = 0.9 * MANY * SIZE / 1e6
            holds = grown_mb <= MEMORY_MB
            yield Row(
                "mail.memory",
                grown_mb,
                whole_mb,
                "MB for 90,000 more",
                grown_mb / whole_mb,
                f"≤ {MEMORY_MB:g} MB",
                holds,
            )
        if "mail.crash" in wanted:
            lost, waiting = asyncio.run(_crash(folder, random.Random(20261121)))
            yield at_most("mail.crash", lost, waiting, f"of {CRASHING:,}, {KILLS} kills", 0.0)


def _in_turns(ours: Callable[[], float], baseline: Callable[[], float]) -> tuple[float, float]:
    rounds = [(baseline(), ours()) for _ in range(ROUNDS)]
    return max(o for _, o in rounds), max(b for b, _ in rounds)


def _ours(port: int, count: int, folder: Path) -> tuple[float, float]:
    """Mails a second, and MB grown."""
    subscribers(folder / "subscribers.csv", count)
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench._mailer", "send", str(port), str(count), str(SESSIONS), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=200,
        check=True,
    )
    rate, grown = done.stdout.split()
    return float(rate), float(grown)


class _Recorder:
    """An SMTP receiver that counts who got a mail, before it answers."""

    def __init__(self) -> None:
        self.got: Counter[str] = Counter()

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.got.update(envelope.rcpt_tos)
        return "250 2.0.0 Ok"


async def _crash(folder: Path, chance: random.Random) -> tuple[int, int]:
    """Recipients without a mail plus repeats beyond what may be under way; and how many waited at the first kill."""
    subscribers(folder / "subscribers.csv", CRASHING)
    await _accept(f"sqlite:///{folder}/ledger.db")
    recorder, waiting = _Recorder(), 0
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(recorder, loop=loop), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        for _ in range(KILLS):
            before = len(recorder.got)
            node = await _node(port, folder)
            while len(recorder.got) < before + chance.randrange(100, CRASHING // KILLS - 150):
                await CLOCK.sleep(0.001)
            node.kill()
            await node.wait()
            waiting = waiting or CRASHING - len(recorder.got)
        node = await _node(port, folder)
        async with asyncio.timeout(120):
            while len(recorder.got) < CRASHING:
                await CLOCK.sleep(0.02)
        node.kill()
        await node.wait()
    finally:
        server.close()
    repeats = sum(recorder.got.values()) - len(recorder.got)
    return CRASHING - len(recorder.got) + max(0, repeats - KILLS * CONNECTIONS * GROUP), waiting


async def _accept(dsn: str) -> None:
    now = CLOCK.now()
    expires_at = now + timedelta(hours=6)
    alert = IssuedAlert("A", "live", "issue", Priority.LEVEL_4, now, expires_at, b"<alert/>", {}, "A")
    people = [Destination(f"user{n:06d}@example.com") for n in range(CRASHING)]
    deliveries = [
        NewDelivery(f"A:{at}", "A", KIND, Priority.LEVEL_4, tuple(people[at : at + BATCH]), expires_at)
        for at in range(0, CRASHING, BATCH)
    ]
    async with open_ledger(dsn, mode=Drill, node="mailer", clock=CLOCK) as ledger:
        await ledger.issue(alert, deliveries, Event("alert.issued", "A"))


async def _node(port: int, folder: Path) -> asyncio.subprocess.Process:
    node = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench._mailer", "durable", str(port), str(folder)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert node.stdout is not None
    assert await node.stdout.readline() == b"ready\n"
    return node
