"""A whole city for a browser: the node with its six media and their receivers, on a loop of its own, and five people who can sign in.

The people are there before any browser is: two admins are founded at the machine, the other two are proposed by one of them,
approved by the other, and enrol themselves, as on a new node.
"""

import asyncio
import csv
import io
import math
import threading
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyotp
import uvloop
from argon2.profiles import CHEAPEST

from config.cities import load
from dispatcher.clock import SystemClock
from dispatcher.model.draft import Verb
from dispatcher.staff.accounts import Accounts
from dispatcher.staff.accounts.passwords import Passwords
from dispatcher.staff.sessions import Person
from dispatcher.steps.accept import Typed
from drills.staff import is_settled
from drills.stage import CITY, Stage, stage

WRITER, APPROVER, ADMIN, OTHER_ADMIN, WELFARE = (f"職員000{number}" for number in range(1, 6))
ROLES: Mapping[str, tuple[str, ...]] = {
    WRITER: ("originator",),
    APPROVER: ("approver",),
    ADMIN: ("admin",),
    OTHER_ADMIN: ("admin",),
    WELFARE: ("welfare",),
}
PASSWORD = "雨のふる日は 長ぐつで 三本の橋をわたる"
MODE = "drill"
STEP_S = 30
START_S = 60.0
POSTS = 2000
"""In 15 minutes; X allows 100, and many nights are packed into one here."""

T = TypeVar("T")


class City:
    """`start` returns when everybody can sign in; `run` is something of the node's own, on its loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._secrets: dict[str, str] = {}
        self._recovery: dict[str, list[str]] = {}
        self._used: dict[str, int] = {}
        self._is_open = threading.Event()
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._work, name="city")
        self.stage: Stage
        self.accounts: Accounts

    @property
    def url(self) -> str:
        return f"http://{self.stage.site.control.listen}"

    @property
    def worlds(self) -> Mapping[str, Any]:
        return self.stage.worlds

    def start(self) -> None:
        self._thread.start()
        assert self._is_open.wait(START_S), "the city did not come up"
        assert not self._failed, self._failed

    def stop(self) -> None:
        if not self._failed:
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(START_S)

    def run(self, work: Coroutine[Any, Any, T], within_s: float = 30.0) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(within_s)

    def person(self, name: str) -> Person:
        return Person(name, ROLES[name])

    def drafted(self, area: str) -> str:
        """An evacuation order that WRITER has written, through another door; its identifier."""
        return self.run(self._drafted(area))

    def pending(self, area: str) -> str:
        """As drafted, and submitted."""
        return self.run(self._pending(area))

    def issued(self, area: str) -> str:
        """As pending, and approved by APPROVER."""
        return self.run(self._issued(area))

    def corrected(self, identifier: str) -> str:
        """A 訂正 of that alert, taken by every medium."""
        return self.run(self._corrected(identifier))

    def quarter(self, name: str) -> str:
        """Its code."""
        return next(code for code, quarter in load(CITY).quarters.items() if quarter.names["ja"] == name)

    def rostered(self, rows: Sequence[Mapping[str, str]]) -> None:
        """The city's roster is these people."""
        self.run(self._rostered(rows))

    def found_nursery(self, name: str, address: str, quarter: str) -> None:
        """A new line in the city's register of facilities: reached by mail alone, and by nobody's simulation."""
        facilities = self.stage.site.facilities
        assert facilities is not None
        row = f"N{address[:4]},{name},nursery,{quarter},{self.quarter(quarter)},,,60,ja,,{address},0422-00-0001"
        with facilities.register.open("a", encoding="utf-8") as file:
            file.write(row + "\n")

    def alerts(self) -> set[str]:
        """Identifiers of everything that ever went out."""
        return {alert.identifier for alert in self.run(self.stage.node.ledger.alerts())}

    def revoke(self, name: str) -> None:
        """As an admin ends every session of somebody."""

        async def end() -> None:
            admin = self.person(ADMIN)
            for session in await self.accounts.sessions(admin):
                if session.person.name == name:
                    await self.accounts.revoke(admin, session.id)

        self.run(end())

    async def _drafted(self, area: str) -> str:
        typed = Typed(template="evacuation-order", areas=(area,))
        draft, _ = await self.stage.node.desk.draft(self.person(WRITER), typed, mode=MODE)
        return draft.identifier

    async def _pending(self, area: str) -> str:
        identifier = await self._drafted(area)
        await self.stage.node.desk.submit(self.person(WRITER), identifier, mode=MODE)
        return identifier

    async def _issued(self, area: str) -> str:
        identifier, desk = await self._pending(area), self.stage.node.desk
        draft, _ = await desk.preview(self.person(APPROVER), identifier)
        await desk.approve(self.person(APPROVER), identifier, shown=draft.hash, mode=MODE)
        return identifier

    async def _corrected(self, identifier: str) -> str:
        desk, by = self.stage.node.desk, self.person(APPROVER)
        draft, _ = await desk.follow(by, Verb.CORRECT, identifier, Typed(note="時刻の誤り"), mode=MODE)
        await self.stage.staff.watch(draft.identifier, is_settled)
        return draft.identifier

    async def _rostered(self, rows: Sequence[Mapping[str, str]]) -> None:
        roster = self.stage.node.roster
        assert roster is not None
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        file = text.getvalue().encode()
        changes = await roster.check(io.BytesIO(file), "roster.csv")
        await roster.replace(WELFARE, io.BytesIO(file), "roster.csv", changes.fingerprint)

    def second_factor(self, name: str) -> str:
        """What this person's app shows and has not been used yet; a recovery code where half a minute would have to pass."""
        # The next step's code is taken as well, and the last one's unless it runs out while it is being typed.
        now_s = SystemClock().now().timestamp()
        first, last = math.floor((now_s + 3) / STEP_S) - 1, math.floor(now_s / STEP_S) + 1
        step = max(first, self._used.get(name, 0) + 1)
        if step > last:
            return self._recovery[name].pop()
        self._used[name] = step
        return pyotp.TOTP(self._secrets[name]).at(step * STEP_S)

    def _work(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._live())
        except BaseException as error:
            self._failed.append(error)
            raise
        finally:
            self._is_open.set()

    async def _live(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        async with stage(self._folder, changes={"social": {"quota": POSTS}}) as self.stage:
            await self._invite()
            self._is_open.set()
            await self._stopped.wait()

    async def _invite(self) -> None:
        """With passwords that cost little to make; the node keeps them again, at its own price, at the first sign-in."""
        running = self.stage.node
        self.accounts = Accounts(running.ledger, SystemClock(), MODE, passwords=Passwords(CHEAPEST))
        for name in (ADMIN, OTHER_ADMIN):
            enrolling, enrolled = await self.accounts.at_machine.found(name, ROLES[name], PASSWORD)
            self._secrets[name], self._recovery[name] = enrolling.secret, list(enrolled.recovery_codes)
        for name in (WRITER, APPROVER, WELFARE):
            what = {"name": name, "roles": list(ROLES[name])}
            proposal = await self.accounts.proposals.propose(self.person(ADMIN), "add", what)
            code = (await self.accounts.proposals.approve(self.person(OTHER_ADMIN), proposal.id)).handed_over
            self._secrets[name] = (await self.accounts.own.enrolling(code)).secret
            enrolled = await self.accounts.own.enrol(code, PASSWORD, self.second_factor(name))
            self._recovery[name] = list(enrolled.recovery_codes)
