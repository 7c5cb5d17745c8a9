"""The residents' side of a node: who is told first, who is asked whether they are safe, and the listener with all their pages.

Source: design.md §4, §8.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp.web import AbstractRouteDef

from config.facilities import Register
from config.ladders import ladders
from config.site import Site
from dispatcher import residents
from dispatcher.listening import host_and_port, listening
from dispatcher.model.mode import M
from dispatcher.path import Path
from dispatcher.residents import reply, report, unasked
from dispatcher.residents.acknowledge import Acknowledge
from dispatcher.residents.devices import Devices
from dispatcher.residents.live import Following
from dispatcher.residents.page import Pages
from dispatcher.residents.push import Push
from dispatcher.residents.shelters import ShelterDoors
from dispatcher.residents.webpush import Sender
from dispatcher.staff.gates import Gates
from dispatcher.tracking.acknowledgement import Answers, Facilities
from dispatcher.tracking.confirmation import ROOM as SAFETY
from dispatcher.tracking.confirmation import Confirmation
from dispatcher.tracking.confirmation.people import People
from dispatcher.tracking.escalation import Escalation
from dispatcher.tracking.reach import ROOM, Reach
from dispatcher.tracking.release import Releases
from dispatcher.tracking.roster import Roster
from dispatcher.tracking.shelters import Shelters


def foremost(site: Site, path: Path[M]) -> tuple[Reach, Facilities | None, list[AbstractRouteDef]]:
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


def safety(
    site: Site, path: Path[M], answers: Answers, doors: list[AbstractRouteDef], gates: Gates
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
        is_halted=lambda: gates.halted is not None,
    )
    path.rooms[SAFETY] = confirmation
    path.alongside.append(confirmation.alongside)
    answers.begin(confirmation.answering)
    pages = Pages(path.city, path.mode)
    doors += reply.routes(confirmation.answering, pages, path.clock)
    doors += report.routes(confirmation.answering, pages, path.clock)
    return confirmation, roster


@asynccontextmanager
async def residents_listener(
    site: Site, path: Path[M], doors: Sequence[AbstractRouteDef], shelters: Shelters
) -> AsyncIterator[Following | None]:
    """The residents' listener with these doors; and with the site, where this node has one, and all who follow it."""
    pages = site.channels["website"].folder if "website" in site.channels else None
    following: Following | None = Following(pages, path.clock) if pages else None
    routes = [*doors, *ShelterDoors(shelters, path.mode).routes, *(following.routes if following else ())]
    if all(getattr(route, "path", "") != unasked.PATH for route in routes):
        routes += unasked.routes(path.city)
    push = None
    if pages and site.push is not None:
        sender = Sender(site.push.key.reveal(), site.push.contact, path.clock)
        devices = Devices(path.ledger, path.clock, site.push.key.reveal())
        push = Push(path.ledger, path.clock, sender, devices, pages, site.node)
        routes += push.routes
    async with AsyncExitStack() as stack:
        if doors or pages:
            host, port = host_and_port(site.residents.listen)
            await stack.enter_async_context(listening(residents.application(routes, pages, path.ledger), host, port))
        if following:
            await stack.enter_async_context(following.open())
        if push:
            await stack.enter_async_context(push.open())
        yield following
