"""A room of accounts on a ledger of its own, with a clock that stands until it is moved: what the tests of sign-in share."""

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pyotp
from argon2.profiles import RFC_9106_LOW_MEMORY

from dispatcher.clock import JST, ManualClock
from dispatcher.ledger import Ledger
from dispatcher.ledgers import open_ledger
from dispatcher.model.mode import MODES
from dispatcher.staff.accounts import Accounts, Session
from dispatcher.staff.accounts.passwords import Passwords
from dispatcher.staff.sessions import Person

START = datetime(2026, 9, 14, 2, 41, tzinfo=JST)
PASSWORD = "野川の水位は 毎朝7時に見る"
QUICK = replace(RFC_9106_LOW_MEMORY, time_cost=1, memory_cost=64, parallelism=1)
"""The same algorithm with little work: the tests ask who comes in, not how long it takes."""
HALL, STRANGER = "192.0.2.10", "203.0.113.7"
ADMIN_1, ADMIN_2 = "職員0001", "職員0002"


@dataclass
class Room:
    """Two admins are founded; `secrets` has the app's secret of everybody who was enrolled here."""

    accounts: Accounts
    ledger: Ledger
    clock: ManualClock
    secrets: dict[str, str]
    recovery: dict[str, Sequence[str]]
    device: Any = None
    """Where a test keeps somebody's authenticator."""

    def code(self, name: str) -> str:
        """What this person's app shows at this moment."""
        return pyotp.TOTP(self.secrets[name]).at(self.clock.now())

    def next_code(self, name: str) -> str:
        """Half a minute later, because a code is taken once."""
        self.clock.advance(30)
        return self.code(name)

    async def sign_in(
        self, name: str, password: str = PASSWORD, code: str | None = None, remote: str = HALL
    ) -> Session:
        code = self.next_code(name) if code is None else code
        return await self.accounts.sign_in(name, password, code, remote, "Firefox")

    async def found(self, *names: str) -> None:
        for name in names:
            enrolling, enrolled = await self.accounts.at_machine.found(name, ["admin", "approver"], PASSWORD)
            self.secrets[name], self.recovery[name] = enrolling.secret, enrolled.recovery_codes

    async def add(self, name: str, *roles: str) -> None:
        """As two admins and the person themself do it."""
        handed_over = await self.decide("add", {"name": name, "roles": list(roles)})
        await self.enrol(name, handed_over)

    async def enrol(self, name: str, handed_over: str) -> None:
        secret = (await self.accounts.own.enrolling(handed_over)).secret
        self.secrets[name] = secret
        enrolled = await self.accounts.own.enrol(handed_over, PASSWORD, self.next_code(name))
        self.recovery[name] = enrolled.recovery_codes

    async def decide(self, act: str, what: dict[str, Any]) -> str:
        """One admin proposes it, the other approves it."""
        proposal = await self.accounts.proposals.propose(admin(ADMIN_1), act, what)
        return (await self.accounts.proposals.approve(admin(ADMIN_2), proposal.id)).handed_over

    async def events(self) -> list[tuple[str, dict[str, Any]]]:
        return [(r.event.name, dict(r.event.facts)) async for r in self.ledger.events()]


def admin(name: str) -> Person:
    return Person(name, ("admin", "approver"))


def accounts_on(ledger: Ledger, clock: ManualClock, mode: str = "drill", **more: Any) -> Accounts:
    return Accounts(ledger, clock, mode, **({"passwords": Passwords(QUICK)} | more))


@asynccontextmanager
async def room_at(dsn: str, mode: str = "drill", *, founders: int = 2, **more: Any) -> AsyncIterator[Room]:
    clock = ManualClock(START)
    async with open_ledger(dsn, mode=MODES[mode], node="hq", clock=clock) as ledger:
        room = Room(accounts_on(ledger, clock, mode, **more), ledger, clock, {}, {})
        await room.found(*itertools.islice((ADMIN_1, ADMIN_2), founders))
        yield room
