"""A site file becomes a running node, `Node[Live]` or `Node[Drill]`: the only place that wires.

One process has one mode, one ledger, one set of credentials. A channel is found by its name, `channels/<kind>.py`; there is no
list to extend.

Source: design.md §4.
"""

import asyncio
import importlib
import pkgutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic
from urllib.parse import urlsplit

from aiohttp.web import AbstractRouteDef

from config.cities import load
from config.facilities import Register
from config.ladders import ladders
from config.site import Site
from dispatcher import residents
from dispatcher.channel import Channel, Limits, Surroundings
from dispatcher.clock import Clock, SystemClock
from dispatcher.errors import Refused, StorageFull
from dispatcher.intake.sources import Sources, post
from dispatcher.intake.taking import Intake, rules_of
from dispatcher.ledger import Event, Ledger
from dispatcher.ledgers import open_ledger
from dispatcher.listening import listening
from dispatcher.log import logger
from dispatcher.model.mode import MODES, Drill, Live, M, Mode
from dispatcher.operators import metrics
from dispatcher.path import Path
from dispatcher.residents import registration, reply, report, unasked
from dispatcher.residents.acknowledge import Acknowledge
from dispatcher.residents.live import Following
from dispatcher.residents.page import Pages
from dispatcher.residents.push import Push
from dispatcher.residents.shelters import ShelterDoors
from dispatcher.residents.webpush import Sender
from dispatcher.staff import api, console
from dispatcher.staff.accounts import Accounts
from dispatcher.staff.accounts.oidc import Issuer
from dispatcher.staff.accounts.roles import Scope
from dispatcher.staff.console.live import LIVE
from dispatcher.staff.desk import Desk
from dispatcher.staff.duty import Duty
from dispatcher.staff.gates import Gates
from dispatcher.staff.sessions import Person
from dispatcher.staff.standing import Standing
from dispatcher.steps.dispatch import CLOCK
from dispatcher.steps.render import Renderer
from dispatcher.tracking.acknowledgement import Acknowledgements, Answers, Facilities, Returned
from dispatcher.tracking.confirmation import ROOM as SAFETY
from dispatcher.tracking.confirmation import Confirmation
from dispatcher.tracking.confirmation.people import People
from dispatcher.tracking.escalation import Escalation
from dispatcher.tracking.reach import ROOM, Reach
from dispatcher.tracking.release import Releases
from dispatcher.tracking.roster import Roster
from dispatcher.tracking.shelters import Shelters

RETURN_LOOK_S = 0.25
"""How often those who came back are looked for."""
RESUME_LOOK_S = 2.0
"""How often a message is looked for that was begun and not written down to its end."""
TIMERS = Limits(concurrency=16)

log = logger("dispatcher.node")


def kinds() -> dict[str, type[Channel[Any, Any]]]:
    """Every kind of channel there is, by name."""
    package = importlib.import_module("channels")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return {name: importlib.import_module(f"channels.{name}").Kind for name in names}


@dataclass(frozen=True, slots=True)
class Node(Generic[M]):
    """A node that is up."""

    path: Path[M]
    desk: Desk[M]
    ledger: Ledger
    channels: Mapping[str, Channel[M, Any]]
    reach: Reach
    facilities: Facilities | None
    """None: the site has no register of facilities."""
    confirmation: Confirmation[M] | None
    """None, as the roster: the site asks nobody whether they are safe."""
    roster: Roster | None


def running(site: Site, clock: Clock | None = None) -> Any:
    """Inside `async with`, a node with its ledger, channels, listeners and outbox; all closed afterwards.

    Raises (on entering):
        Standby: another node has this ledger.
        OSError: a listener's address is taken.
    """
    mode = MODES[site.mode]
    return (
        _running(Live, site, clock or SystemClock()) if mode is Live else _running(Drill, site, clock or SystemClock())
    )


@asynccontextmanager
async def _running(mode: type[M], site: Site, clock: Clock) -> AsyncIterator[Node[M]]:
    city = load(site.city)
    classes = kinds()
    site.state_dir.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(open_ledger(site.dsn, mode=mode, node=site.node, clock=clock))
        channels: dict[str, Channel[M, Any]] = {}
        returned, answers = Returned(), Answers()
        shelters = Shelters(ledger, clock, city)
        await shelters.read()
        for kind, settings in site.channels.items():
            folder = site.state_dir / kind
            folder.mkdir(exist_ok=True)
            around = Surroundings(clock, city, folder, site.residents.url.rstrip("/"), site.node, shelters)
            channels[kind] = classes[kind](mode, settings, around)
            await stack.enter_async_context(channels[kind].open(Acknowledgements(ledger, kind, returned, answers)))
        sender = f"{site.node}@{urlsplit(site.residents.url).hostname or 'localhost'}"
        web = site.residents.url.rstrip("/")
        ends = datetime.fromisoformat(site.drill_ends) if site.drill_ends else None
        path = Path(mode, city, channels, ledger, clock, sender, web, Renderer(channels), ends)
        reach, facilities, doors = _foremost(site, path)
        confirmation, roster = _safety(site, path, answers, doors)
        doors += registration.routes(channels.values(), city, mode, clock)
        people = [Person(p.name, tuple(p.roles), p.token_hash) for p in site.staff]
        directory = await stack.enter_async_context(Issuer(site.directory, clock)) if site.directory else None
        accounts = Accounts(
            ledger,
            clock,
            mode.name,
            people,
            origin=site.control.origin,
            directory=directory,
            key=site.accounts_key,
        )
        gates = Gates(ledger, clock)
        await gates.read()
        desk = Desk(path, gates, accounts.is_fresh_factor)
        desk.pictures = site.state_dir / "pictures"
        desk.caring, desk.roster, desk.answering = (
            confirmation,
            roster,
            confirmation.answering if confirmation else None,
        )
        desk.reach_ledger, desk.facilities = reach, facilities
        await stack.enter_async_context(_residents(site, doors, shelters, mode, ledger, clock))
        staff = console.application(desk, accounts, path, site.control.origin, mails_duty=site.duty is not None)
        staff.add_subapp(api.PREFIX, api.application(api.Rooms(desk, accounts, ledger, clock, city)))
        figures = metrics.Metrics(ledger, clock, mode=mode.name, node=site.node, readers=lambda: staff[LIVE].readers)
        staff.add_subapp(metrics.PATH, metrics.application(figures, _measurers(accounts)))
        intake = Intake(desk, ledger, clock, rules_of(site.city, site.intake.policy, site.intake.oldest))
        if site.intake.post is not None:
            staff.add_subapp(post.PREFIX, post.application(intake, site.intake.post, accounts.bearer))
        await stack.enter_async_context(listening(staff, *_address(site.control.listen)))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        lanes = {CLOCK: TIMERS, **{kind: channel.limits for kind, channel in channels.items()}}
        standing = Standing(ledger, clock, gates, Duty(site.duty, mode, site.node, clock, accounts.duty_list))
        work = [
            tasks.create_task(ledger.run(gates.over(lanes, CLOCK), figures.timing(path.attempt))),
            tasks.create_task(_hasten(path, returned)),
            tasks.create_task(_resume(path, site.node)),
            tasks.create_task(standing.run()),
            tasks.create_task(shelters.run()),
            tasks.create_task(Sources(intake, site.intake, clock).run()),
        ]
        await ledger.append(Event("node.started", "", {"mode": mode.name, "channels": sorted(channels)}))
        log.info("node.started", mode=mode.name, site=site.node)
        try:
            yield Node(path, desk, ledger, channels, reach, facilities, confirmation, roster)
        finally:
            for task in work:
                task.cancel()


def _foremost(site: Site, path: Path[M]) -> tuple[Reach, Facilities | None, list[AbstractRouteDef]]:
    """Who is told first: their room on the path, how they acknowledge, and their pages."""
    register = Register(site.facilities.register, path.city.quarters) if site.facilities else None
    reach = Reach(path.ledger, register, path.city, path.channels)
    if site.facilities is None:
        return reach, None, []
    facilities: Facilities = Facilities(path.ledger, reach, site.facilities.secret, path.clock)
    ladder = ladders()["acknowledgement"]
    room = Escalation(path.ledger, reach, facilities, path.channels, ladder, path.rendering, path.clock, path.web)
    path.rooms[ROOM] = room
    path.foremost.append(room)
    return reach, facilities, [*Acknowledge(facilities, path.city, path.mode, path.web, path.clock).routes()]


def _safety(
    site: Site, path: Path[M], answers: Answers, doors: list[AbstractRouteDef]
) -> tuple[Confirmation[M] | None, Roster | None]:
    """Who is asked whether they are safe: their room on the path, and the residents' pages to answer on."""
    if site.safety is None:
        answers.begin(None)
        return None, None
    roster = Roster(path.ledger.campaigns, site.safety.key, path.city, path.clock)
    secret = site.safety.key.reveal().encode()
    confirmation: Confirmation[M] = Confirmation(
        path.mode,
        path.ledger,
        path.channels,
        People(roster, Releases(path.ledger, path.clock)).of,
        secret,
        path.clock,
        path.city,
        path.web,
    )
    path.rooms[SAFETY] = confirmation
    answers.begin(confirmation.answering)
    pages = Pages(path.city, path.mode)
    doors += reply.routes(confirmation.answering, pages, path.clock)
    doors += report.routes(confirmation.answering, pages, path.clock)
    return confirmation, roster


@asynccontextmanager
async def _residents(
    site: Site, doors: Sequence[AbstractRouteDef], shelters: Shelters, mode: type[Mode], ledger: Ledger, clock: Clock
) -> AsyncIterator[None]:
    """The residents' listener with these doors; and with the site, where this node has one, and all who follow it."""
    pages = site.channels["website"].folder if "website" in site.channels else None
    following = Following(pages, clock) if pages else None
    routes = [*doors, *ShelterDoors(shelters, mode).routes, *(following.routes if following else ())]
    if all(getattr(route, "path", "") != unasked.PATH for route in routes):
        routes += unasked.routes(load(site.city))
    push = None
    if pages and site.push is not None:
        sender = Sender(site.push.key.reveal(), site.push.contact, clock)
        push = Push(ledger, clock, sender, pages, site.node)
        routes += push.routes
    async with AsyncExitStack() as stack:
        if doors or pages:
            host, port = _address(site.residents.listen)
            await stack.enter_async_context(listening(residents.application(routes, pages), host, port))
        if following:
            await stack.enter_async_context(following.open())
        if push:
            await stack.enter_async_context(push.open())
        yield


def _measurers(accounts: Accounts) -> metrics.Allow:
    """Whose token opens the figures."""

    async def allow(token: str) -> None:
        (await accounts.bearer(token)).require(Scope.METRICS)

    return allow


async def _resume(path: Path[M], node: str) -> None:
    while True:
        try:
            await path.resume(node)
        except (StorageFull, Refused) as reason:
            log.warning("ledger.retrying", reason=type(reason).__name__)
        await path.clock.sleep(RESUME_LOOK_S)


async def _hasten(path: Path[M], returned: Returned) -> None:
    while True:
        for kind in returned.take():
            await path.ledger.hasten(kind)
        for identifier in returned.take_bounced():
            try:
                for one in path.foremost:
                    await one.given_back(identifier)
            except (StorageFull, Refused) as reason:
                # The next rung looks again at who refused.
                log.warning("ledger.retrying", reason=type(reason).__name__)
        await path.clock.sleep(RETURN_LOOK_S)


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)
