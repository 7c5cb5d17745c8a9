"""A desk for a test: a real ledger, a real website channel, people of every role, and a clock that only the test moves.

Nothing is sent from here: no outbox runs, so an alert stands as live with its deliveries ready.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path as Folder
from typing import Any

from channels.website import Website
from config.cities import load
from config.site import DutyList
from config.templates import load_templates
from dispatcher import cap
from dispatcher.channel import Surroundings, priority_of
from dispatcher.clock import ManualClock
from dispatcher.ledger import Event, IssuedAlert, Ledger
from dispatcher.ledgers import open_ledger
from dispatcher.model.draft import State, Verb
from dispatcher.model.mode import MODES
from dispatcher.path import Path
from dispatcher.staff.desk import Desk
from dispatcher.staff.duty import Duty
from dispatcher.staff.gates import Gates
from dispatcher.staff.rules import Role
from dispatcher.staff.sessions import Person
from dispatcher.staff.standing import Standing
from dispatcher.steps.accept import Typed
from dispatcher.steps.render import Renderer
from tests.samples import SENT

ORDER = Typed(template="evacuation-order", areas=("大沢",))
WRITER, APPROVER, RETURNER = (
    Person("職員0001", ("originator",)),
    Person("職員0002", ("approver",)),
    Person("職員0003", ("approver",)),
)
CODE = "123456"
"""The second factor of everybody here."""


def person(role: Role) -> Person:
    """Somebody of this role who has not touched anything yet."""
    return Person("職員0009", (role.value,))


@dataclass(frozen=True, slots=True)
class Seats:
    """What a test may reach."""

    desk: Desk[Any]
    ledger: Ledger
    clock: ManualClock
    standing: Standing
    path: Path[Any]

    @property
    def mode(self) -> str:
        return self.path.mode.name

    async def in_state(self, state: State, typed: Typed = ORDER) -> str:
        """A message that has come to be in this state, by what people do."""
        draft, _ = await self.desk.draft(WRITER, typed, mode=self.mode)
        identifier = draft.identifier
        if state is State.DRAFT:
            return identifier
        draft, _ = await self.desk.submit(WRITER, identifier, mode=self.mode)
        match state:
            case State.PENDING:
                return identifier
            case State.RETURNED:
                await self.desk.send_back(RETURNER, identifier, "区域を確かめてください", mode=self.mode)
            case State.REJECTED:
                await self.desk.reject(RETURNER, identifier, "出しません", mode=self.mode)
            case State.STALE:
                self.clock.advance(600)
                await self.standing.look()
            case State.DISPATCHING:
                await self.half_sent(identifier)
            case _:
                await self.desk.approve(APPROVER, identifier, shown=draft.hash, mode=self.mode)
                await self.move(identifier, state)
        return identifier

    async def half_sent(self, identifier: str, **changes: str) -> None:
        """As a node leaves it that stops right after its first transaction: issued, and not yet live."""
        version, body = await self.ledger.draft(identifier)
        _, prepared = await self.desk.preview(APPROVER, identifier)
        alert = IssuedAlert(
            identifier=identifier,
            state=State.DISPATCHING,
            verb=body["verb"],
            priority=priority_of(prepared.alert),
            issued_at=self.clock.now(),
            expires_at=prepared.alert.expires,
            cap_xml=cap.write(prepared.alert),
            renderings={kind: rendering.digest for kind, rendering in prepared.renderings.items()},
            chain=identifier,
            facts={"by": APPROVER.name, "quarters": body["quarters"]},
        )
        sent = {**body, **changes, "state": State.DISPATCHING.value}
        await self.ledger.issue(alert, [], Event("alert.issued", identifier), draft=(identifier, version, sent))

    async def broken_glass(self, state: State) -> str:
        """As in_state, sent by one person alone."""
        draft, _ = await self.desk.draft(WRITER, ORDER, mode=self.mode)
        if state is State.DISPATCHING:
            await self.half_sent(draft.identifier, broken_glass_by=WRITER.name, submitted_by=WRITER.name)
            return draft.identifier
        await self.desk.break_glass(WRITER, draft.identifier, mode=self.mode, factor=CODE)
        await self.move(draft.identifier, state)
        return draft.identifier

    async def move(self, identifier: str, state: State) -> None:
        if state is not State.LIVE:
            await self.ledger.finish_alert(identifier, state, Event(f"alert.{state}", identifier))

    async def state(self, identifier: str) -> State:
        """As the table sees it: the alert's own, once there is one."""
        issued = [a for a in await self.ledger.alerts() if a.identifier == identifier]
        return State(issued[0].state) if issued else State((await self.ledger.draft(identifier))[1]["state"])

    async def events(self, name: str) -> list[Event]:
        return [r.event for r in await self.ledger.story(limit=10_000) if r.event.name == name]


async def _nobody() -> tuple[str, ...]:
    return ()


async def _factor(_by: Person, code: str) -> bool:
    return code == CODE


@asynccontextmanager
async def seats(
    folder: Folder,
    mode: str = "drill",
    until: datetime | None = None,
    templates: tuple[str, ...] = ("evacuation-order",),
    duty: DutyList | None = None,
) -> AsyncIterator[Seats]:
    """Inside, the desk. `templates` are approved by their hash."""
    clock, city, of = ManualClock(SENT), load("mitaka"), MODES[mode]
    settings = Website.Settings(folder=folder / "site", url="http://127.0.0.1:9")
    channel: Any = Website(of, settings, Surroundings(clock, city, folder, "http://127.0.0.1:9"))
    async with open_ledger(f"sqlite:///{folder / 'todoke.db'}", mode=of, node="test", clock=clock) as ledger:
        channels = {"website": channel}
        path: Path[Any] = Path(
            of, city, channels, ledger, clock, "test@localhost", "http://127.0.0.1:9", Renderer(channels), until
        )
        gates = Gates(ledger, clock)
        for name in templates:
            said = Event("template.approved", "", {"name": name})
            await ledger.save_record("approved-template", load_templates()[name].digest, 0, {"by": "職員0004"}, said)
        standing = Standing(ledger, clock, gates, Duty(duty, of, "test", clock, _nobody))
        yield Seats(Desk(path, gates, _factor), ledger, clock, standing, path)


def following(verb: Verb, of: str) -> Typed:
    return Typed(verb=verb, of=of, note="区域の誤り")
