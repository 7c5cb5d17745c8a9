"""A campaign as a node has it, with people who were asked and the links that they were sent."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from config.cities import load
from config.ladders import Whom
from dispatcher.channel import Limits
from dispatcher.clock import Clock, SystemClock
from dispatcher.ledger import Ledger
from dispatcher.ledgers import open_ledger
from dispatcher.model.mode import Drill
from dispatcher.model.policy import Contact
from dispatcher.steps.dispatch import CLOCK
from dispatcher.tracking.confirmation import Confirmation
from dispatcher.tracking.confirmation.case import Case
from dispatcher.tracking.confirmation.keys import KeyRing, Keys
from dispatcher.tracking.confirmation.outbox import link_name

SECRET = bytes(range(32))
QUARTER = "132040301"
MAIL = Contact(Whom.SELF, "email_list", "0001@example.jp")
RELATIVE = Contact(Whom.RELATIVE, "email_list", "relative@example.jp")
CITY = load("mitaka")


@dataclass(frozen=True)
class Asked:
    """`of` a person's number."""

    confirmation: Confirmation[Drill]
    ledger: Ledger
    id: str
    keys: Keys

    def token(self, number: int, contact: Contact = MAIL) -> str:
        return self.keys.token(self.person(number), link_name(contact, 0))

    def person(self, number: int) -> str:
        return self.keys.person(pid(number))


def pid(number: int) -> str:
    return f"pid{number:06d}"


def confirmation_on(
    ledger: Ledger, count: int, clock: Clock, contact: Contact = MAIL, *, is_twin: bool = False
) -> Confirmation[Drill]:
    async def people(quarters: Sequence[str]) -> AsyncIterator[tuple[str, Case]]:
        del quarters
        for number in range(count):
            yield (
                pid(number),
                Case(
                    name="住民" if is_twin else f"住民{number:04d}",
                    birth_date="1950-04-01",
                    phones=(f"0422-00-{number:04d}",),
                    quarter=QUARTER,
                    contacts=(contact,),
                ),
            )

    return Confirmation(Drill, ledger, {}, people, SECRET, clock, CITY, "http://127.0.0.1")


@asynccontextmanager
async def asked(
    dsn: str, count: int, clock: Clock | None = None, contact: Contact = MAIL, *, is_twin: bool = False
) -> AsyncIterator[Asked]:
    """So many people of one quarter, all written down; twins have one name and one birth date."""
    async with open_ledger(dsn, mode=Drill, node="here", clock=SystemClock()) as ledger:
        confirmation = confirmation_on(ledger, count, clock or SystemClock(), contact, is_twin=is_twin)
        yield await begin(confirmation, ledger)


async def begin(confirmation: Confirmation[Drill], ledger: Ledger) -> Asked:
    id_ = await confirmation.start("職員A", about="", quarters=[QUARTER], kind="safety")
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(ledger.run({CLOCK: Limits()}, confirmation.attempt))
        while not (kept := await ledger.campaigns.get(id_)).body["is_enrolled"]:
            await SystemClock().sleep(0.01)
        run.cancel()
    return Asked(confirmation, ledger, id_, KeyRing(SECRET).of(kept))
