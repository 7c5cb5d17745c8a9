"""The safety loop at the size of a city: how long until everybody's question is written down, and how old the board's figures are.

The roster is a stream of people made here; asking, sealing, the outbox's rows and the answers are the real ones, on SQLite. No
medium is attached: at which rate mail leaves is the mail rows' business.

* asks.written: seconds until everybody is written down with the question that goes to them;
* asks.memory: MiB by which the process has grown meanwhile;
* totals.age: seconds that the board's figures take, at the worst of them, while 500 answers a second come in;
* totals.answers: answers a second that were durable meanwhile.

Source: issue "How fast"; design.md §11.
"""

import asyncio
import resource
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvloop

from config.cities import load
from config.ladders import Whom
from dispatcher.channel import Channel, Limits, Probe, Surroundings, Tell
from dispatcher.clock import SystemClock
from dispatcher.ledger import Ledger
from dispatcher.ledgers import open_ledger
from dispatcher.model.alert import Alert
from dispatcher.model.audience import Audience, Destination
from dispatcher.model.campaign import Answer
from dispatcher.model.mode import Drill
from dispatcher.model.rendering import Rendering
from dispatcher.node import TIMERS
from dispatcher.steps.dispatch import CLOCK
from dispatcher.tracking.confirmation import Confirmation
from dispatcher.tracking.confirmation.case import Case
from dispatcher.tracking.confirmation.keys import KeyRing
from tests.bench.row import Row, absolute_at_most, at_least
from tests.servers.asking import QUARTER, SECRET, mails
from tests.servers.opened import SITE

NAMES = ("asks.written", "asks.memory", "totals.age", "totals.answers")
PEOPLE = 100_000
ANSWERS_PER_S = 500
FOR_S = 10.0
CALLERS = 64
"""Residents who answer at the same moment."""
WRITTEN_S, AGE_S, GROWN_MIB = 10.0, 1.0, 100.0
LOOK_EVERY_S = 0.5
WITHIN_S = 300.0
REAL = SystemClock()


class Unsent(Channel[Drill, None]):
    """A medium whose lane is not open: what is written for it waits in the outbox."""

    kind = "email_list"
    title = "unsent"
    asks = True

    @property
    def limits(self) -> Limits:
        return Limits(batch=500)

    async def audience(self, quarters: Sequence[str]) -> Audience:
        return Audience(self.kind, tuple(quarters), None, "everybody")

    async def destinations(self, audience: Audience) -> AsyncIterator[Destination]:
        for quarter in audience.quarters:
            yield Destination(quarter)

    async def probe(self) -> Probe:
        return Probe(is_up=True, words="")

    def _render(self, alert: Alert[Drill], audience: Audience) -> Rendering[Drill]:
        return Rendering(channel=self.kind, identifier=alert.identifier, status=alert.status, texts=(), parts=())

    async def _send(self, rendering: Rendering[Drill], destinations: Sequence[Destination], tell: Tell) -> None:
        raise OSError("no lane is open")


def rows(wanted: set[str], people: int = PEOPLE) -> Iterator[Row]:
    written_s, grown_mib, age_s, rate = uvloop.run(_campaign(people))
    made = {
        "asks.written": absolute_at_most("asks.written", written_s, WRITTEN_S, "s"),
        "asks.memory": absolute_at_most("asks.memory", grown_mib, GROWN_MIB, "MiB"),
        "totals.age": absolute_at_most("totals.age", age_s, AGE_S, "s"),
        "totals.answers": at_least("totals.answers", rate, ANSWERS_PER_S, "answers/s durable", 0.98),
    }
    yield from (row for name, row in made.items() if name in wanted)


async def _roster(people: int) -> AsyncIterator[tuple[str, Case]]:
    for n in range(people):
        contacts = mails(Whom.SELF, f"p{n:06d}@example.jp") + mails(Whom.RELATIVE, f"r{n:06d}@example.jp")
        yield f"R{n:06d}", Case(name=f"住民{n:06d}", quarter=QUARTER, address=f"大沢一丁目{n}", contacts=contacts)


async def _campaign(people: int) -> tuple[float, float, float, float]:
    city = load("mitaka")
    with tempfile.TemporaryDirectory(prefix="todoke-safety-") as folder:
        around = Surroundings(REAL, city, Path(folder), SITE)
        dsn = f"sqlite:///{folder}/ledger.db"
        async with (
            asyncio.timeout(WITHIN_S),
            open_ledger(dsn, mode=Drill, node="bench", clock=REAL) as ledger,
            asyncio.TaskGroup() as tasks,
        ):
            channels: dict[str, Channel[Drill, Any]] = {"email_list": Unsent(Drill, None, around)}
            confirmation = Confirmation(
                Drill, ledger, channels, lambda _quarters: _roster(people), SECRET, REAL, city, SITE
            )
            running = tasks.create_task(ledger.run({CLOCK: TIMERS}, confirmation.attempt))
            before, began = _peak_mib(), REAL.monotonic()
            campaign = await confirmation.start("職員A", about="", quarters=[QUARTER], kind="safety")
            while not (await ledger.campaigns.get(campaign)).body["is_enrolled"]:
                await REAL.sleep(0.05)
            written_s, grown_mib = REAL.monotonic() - began, _peak_mib() - before
            age_s, rate = await _answers(ledger, confirmation, campaign, people)
            running.cancel()
    return written_s, grown_mib, age_s, rate


async def _answers(
    ledger: Ledger, confirmation: Confirmation[Drill], campaign: str, people: int
) -> tuple[float, float]:
    """The oldest that the figures ever were, and how many answers a second were taken, at the pace that was promised."""
    keys = KeyRing(SECRET).of(await ledger.campaigns.get(campaign))
    began = REAL.monotonic()
    numbers = iter(range(min(people, round(ANSWERS_PER_S * FOR_S))))
    ages: list[float] = []
    done = 0

    async def answer() -> None:
        nonlocal done
        for n in numbers:
            await REAL.sleep(max(0.0, began + n / ANSWERS_PER_S - REAL.monotonic()))
            token = keys.token(keys.person(f"R{n:06d}"), Whom.SELF.value)
            assert await confirmation.answering.answer(token, list(Answer)[n % 3], {}, "website")
            done += 1

    async def look() -> None:
        while True:
            started = REAL.monotonic()
            await confirmation.cells(campaign)
            # Until the next look is done, the board shows this one.
            ages.append(REAL.monotonic() - started + LOOK_EVERY_S)
            await REAL.sleep(LOOK_EVERY_S)

    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look())
        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(answer())
        took_s = REAL.monotonic() - began
        looking.cancel()
    return max(ages), done / took_s


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
