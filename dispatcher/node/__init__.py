"""A site file becomes a running node, `Node[Live]` or `Node[Drill]`: the only place that wires.

One process has one mode, one ledger, one set of credentials. A channel is found by its name, `channels/<kind>.py`; there is no
list to extend.

Source: design.md §4.
"""

import asyncio
import importlib
import pkgutil
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic
from urllib.parse import urlsplit

from config.cities import load
from config.site import Site
from dispatcher.channel import Channel, Limits, Surroundings
from dispatcher.clock import Clock, SystemClock
from dispatcher.errors import Refused, StorageFull
from dispatcher.intake.sources import Sources
from dispatcher.ledger import Event, Ledger
from dispatcher.ledgers import open_ledger
from dispatcher.log import logger
from dispatcher.model.mode import MODES, Drill, Live, M
from dispatcher.node.residents import foremost, residents_listener, safety
from dispatcher.node.staff import open_accounts, staff_listener
from dispatcher.path import Path
from dispatcher.residents import registration
from dispatcher.staff.desk import Desk
from dispatcher.staff.duty import Duty
from dispatcher.staff.gates import Gates
from dispatcher.staff.standing import Standing
from dispatcher.steps.dispatch import CLOCK
from dispatcher.steps.render import Renderer
from dispatcher.tracking.acknowledgement import Acknowledgements, Answers, Facilities, Returned
from dispatcher.tracking.confirmation import Confirmation
from dispatcher.tracking.reach import Reach
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
    """Room after room, each on those before it; they close in the opposite order."""
    site.state_dir.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        ledger = await enter(open_ledger(site.dsn, mode=mode, node=site.node, clock=clock))
        shelters = Shelters(ledger, clock, load(site.city))
        await shelters.read()
        returned, answers = Returned(), Answers()
        channels = await enter(_media(mode, site, ledger, clock, shelters, returned, answers))
        path = _path(mode, site, channels, ledger, clock)

        gates = Gates(ledger, clock)
        await gates.read()
        reach, facilities, doors = foremost(site, path)
        confirmation, roster = safety(site, path, answers, doors, gates)
        registrations: Counter[str] = Counter()
        doors += registration.routes(channels.values(), path.city, mode, clock, registrations)
        following = await enter(residents_listener(site, path, doors, shelters))

        accounts = await enter(open_accounts(site, path))
        desk = Desk(path, gates, accounts.is_fresh_factor)
        desk.pictures = site.state_dir / "pictures"
        desk.reach_ledger, desk.facilities, desk.roster, desk.caring = reach, facilities, roster, confirmation
        desk.answering = confirmation.answering if confirmation else None
        figures, intake = await enter(staff_listener(site, path, desk, accounts))
        if following is not None:
            figures.of_residents(lambda: (following.readers, following.refused, registrations))

        lanes = {CLOCK: TIMERS, **{kind: channel.limits for kind, channel in channels.items()}}
        duty = Duty(site.duty, mode, site.node, clock, accounts.duty_list)
        await enter(
            _working(
                ledger.run(gates.over(lanes, CLOCK), figures.timing(path.attempt)),
                _hasten(path, returned),
                _resume(path, site.node),
                Standing(ledger, clock, gates, duty).run(),
                shelters.run(),
                Sources(intake, site.intake, clock).run(),
            )
        )
        await ledger.append(Event("node.started", "", {"mode": mode.name, "channels": sorted(channels)}))
        log.info("node.started", mode=mode.name, site=site.node)
        yield Node(path, desk, ledger, channels, reach, facilities, confirmation, roster)


@asynccontextmanager
async def _media(
    mode: type[M],
    site: Site,
    ledger: Ledger,
    clock: Clock,
    shelters: Shelters,
    returned: Returned,
    answers: Answers,
) -> AsyncIterator[dict[str, Channel[M, Any]]]:
    """The site's channels, open, each with a folder of its own; what comes back from them goes into `returned` and `answers`."""
    classes, city, web = kinds(), load(site.city), site.residents.url.rstrip("/")
    channels: dict[str, Channel[M, Any]] = {}
    async with AsyncExitStack() as stack:
        for kind, settings in site.channels.items():
            folder = site.state_dir / kind
            folder.mkdir(exist_ok=True)
            around = Surroundings(clock, city, folder, web, site.node, shelters)
            channels[kind] = classes[kind](mode, settings, around)
            await stack.enter_async_context(channels[kind].open(Acknowledgements(ledger, kind, returned, answers)))
        yield channels


def _path(mode: type[M], site: Site, channels: Mapping[str, Channel[M, Any]], ledger: Ledger, clock: Clock) -> Path[M]:
    """The path of a message, with nobody yet who is told first."""
    sender = f"{site.node}@{urlsplit(site.residents.url).hostname or 'localhost'}"
    web = site.residents.url.rstrip("/")
    ends = datetime.fromisoformat(site.drill_ends) if site.drill_ends else None
    return Path(mode, load(site.city), channels, ledger, clock, sender, web, Renderer(channels), ends)


@asynccontextmanager
async def _working(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """What goes on by itself while the node is up; should one of them fail, the node does."""
    async with asyncio.TaskGroup() as tasks:
        begun = [tasks.create_task(each) for each in work]
        try:
            yield
        finally:
            for task in begun:
                task.cancel()


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
            try:
                await path.ledger.hasten(kind)
            except StorageFull as reason:
                returned.add(kind)
                log.warning("ledger.retrying", reason=f"{kind}: {type(reason).__name__}")
        for identifier in returned.take_bounced():
            try:
                for one in path.foremost:
                    await one.given_back(identifier)
            except (StorageFull, Refused) as reason:
                # The next rung looks again at who refused.
                log.warning("ledger.retrying", reason=type(reason).__name__)
        await path.clock.sleep(RETURN_LOOK_S)
