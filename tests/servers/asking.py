"""A node that asks whether people are safe, put together from the real parts, with a ladder of fractions of a second.

As a module it is a process of its own, to be killed: python -m tests.servers.asking FOLDER DSN NODE
"""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from config.cities import load
from config.ladders import Kind, Ladder, Rung, Whom
from dispatcher.clock import SystemClock
from dispatcher.ledger import Ledger
from dispatcher.ledgers import open_ledger
from dispatcher.log import to_stderr
from dispatcher.model.campaign import Answer
from dispatcher.model.mode import Drill
from dispatcher.model.policy import Contact
from dispatcher.node import TIMERS
from dispatcher.staff.gates import Gates
from dispatcher.tracking.acknowledgement import Answers
from dispatcher.tracking.confirmation import Confirmation
from dispatcher.tracking.confirmation.case import Case
from dispatcher.tracking.confirmation.enrolling import People
from drills.world.ports import free_port
from tests.contracts.ledger_contract import until
from tests.servers.opened import SITE, opened, served

SECRET = b"s" * 40
LEASE_S = 1.0
QUARTER = "132040301"


class Leaping(SystemClock):
    """The machine's own time, and so far ahead of it as a test has gone."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self._ahead

    def leap(self, minutes: float) -> None:
        self._ahead += timedelta(minutes=minutes)


def mails(whom: Whom, *addresses: str, who: str = "") -> tuple[Contact, ...]:
    return tuple(Contact(whom, "email_list", address, "ja", who) for address in addresses)


def case(number: int, *contacts: Contact, **changes: Any) -> tuple[str, Case]:
    """住民0001 of 大沢; without contacts, with a mail address and a relative's."""
    own = contacts or (
        *mails(Whom.SELF, f"p{number:04d}@example.jp"),
        *mails(Whom.RELATIVE, f"p{number:04d}-relative@example.jp"),
    )
    return f"R{number:04d}", Case(name=f"住民{number:04d}", quarter=QUARTER, contacts=own, **changes)


def quick(step_s: float) -> Mapping[str, Ladder]:
    """Ask, remind, ask a relative, hand over: a step apart."""
    whom = [Whom.SELF, Whom.SELF, Whom.RELATIVE, Whom.STAFF]
    rungs = tuple(Rung(rung=n, after=n * step_s, whom=(who,)) for n, who in enumerate(whom))
    return {"default": Ladder(title={"ja": "一般", "en": "all"}, kind=Kind.SAFETY, rungs=rungs)}


@dataclass(frozen=True, slots=True)
class Asks:
    ledger: Ledger
    confirmation: Confirmation[Drill]
    channels: Mapping[str, Any]
    clock: Leaping
    gates: Gates

    async def start(self, **changes: Any) -> str:
        fields: dict[str, Any] = {"about": "", "quarters": [QUARTER], "kind": "safety"}
        return await self.confirmation.start("職員A", **fields | changes)

    async def leap(self, minutes: float) -> None:
        """Time passes, once no attempt is under way: one that were would come again so much later."""

        async def is_quiet() -> bool:
            campaigns = await self.confirmation.campaigns()
            return not any([(await self.ledger.deliveries(each.id)).get("sending", 0) for each in campaigns])

        await until(is_quiet)
        self.clock.leap(minutes)
        self.ledger.wake()


@asynccontextmanager
async def asking(
    folder: Path,
    channels: Mapping[str, Mapping[str, Any]],
    cases: Sequence[tuple[str, Case]],
    *,
    dsn: str,
    node: str = "test",
    policies: Mapping[str, Ladder] | None = None,
    secret: bytes = SECRET,
    roster: People | None = None,
) -> AsyncIterator[Asks]:
    """Inside, the outbox runs. `roster`: in the place of one that has `cases`."""
    city, clock = load("mitaka"), Leaping()

    async def people(quarters: Sequence[str]) -> AsyncIterator[tuple[str, Case]]:
        for pid, one in cases:
            if one.quarter in quarters:
                yield pid, one

    answers = Answers()
    async with (
        open_ledger(dsn, mode=Drill, node=node, clock=clock, lease_s=LEASE_S, beat_s=LEASE_S / 8) as ledger,
        opened(folder, channels, ledger, node, clock=clock, city=city, answers=answers) as media,
    ):
        gates = Gates(ledger, clock)
        confirmation = Confirmation(
            Drill,
            ledger,
            media,
            roster or people,
            secret,
            clock,
            city,
            SITE,
            policies,
            is_halted=lambda: gates.halted is not None,
        )
        answers.begin(confirmation.answering)
        async with served(ledger, media, TIMERS, confirmation.attempt, gates):
            yield Asks(ledger, confirmation, media, clock, gates)


async def main(folder: Path, dsn: str, node: str) -> None:
    to_stderr(logging.ERROR)
    told = json.loads((folder / "asking.json").read_text())
    # Several may run at once, and of one that was killed nobody unlinked the listener: each start has ports of its own.
    mail = told["channels"]["email_list"]
    for block in (mail, mail["incoming"]):
        block["listen"] = f"127.0.0.1:{free_port()}"
    cases = [case(n) for n in range(told["people"])]
    async with asking(folder, told["channels"], cases, dsn=dsn, node=node, policies=quick(told["step_s"])) as city:
        campaigns = await city.confirmation.campaigns()
        campaign = campaigns[0].id if campaigns else await city.start()
        print(campaign, flush=True)
        # A line in, a token and what is said by it, or what staff do; a line out, once that is durable.
        while line := await asyncio.to_thread(sys.stdin.readline):
            match line.split():
                case ["close"]:
                    await city.confirmation.close("職員A", campaign)
                    print("closed", flush=True)
                case ["destroy"]:
                    await city.confirmation.destroy(campaign)
                    print("destroyed", flush=True)
                case [token, answer]:
                    page = await city.confirmation.answering.answer(token, Answer(answer), {}, "website")
                    print("kept" if page else "unknown", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
