"""The demo city on this machine alone: behind each channel its world (drills/world/<kind>.py), and a drill node that reaches them.

Source: design.md §10.
"""

import asyncio
import importlib
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from config.cities import load
from config.site import Site, bind_site
from dispatcher import node
from dispatcher.clock import Clock, SystemClock
from dispatcher.staff.sessions import new_token
from drills.staff import APPROVER, SUBMITTER, Staff
from drills.world import World, email_list, ip_terminal, wifi_multicast
from drills.world.facilities import Facilities
from drills.world.ports import free_port
from drills.world.residents import Residents

CITY, HOME = "mitaka", "大沢"


@dataclass(frozen=True, slots=True)
class Stage:
    """A node that is up with its worlds, and the staff at its door."""

    site: Site
    node: node.Node[Any]
    worlds: Mapping[str, World]
    staff: Staff
    clock: Clock
    residents: Residents | None
    """Who is asked whether they are safe; None: nobody is."""


@asynccontextmanager
async def stage(
    state: Path,
    seed: int = 1,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    clock: Clock | None = None,
    has_residents: bool = False,
) -> AsyncIterator[Stage]:
    """Inside `async with`, the city is there. `changes`: by kind, what a channel's settings say instead of its world's.

    Raises (on entering):
        OSError: a port that was free a moment ago is taken.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        worlds: dict[str, World] = {}
        for kind in node.kinds():
            folder = state / "world" / kind
            folder.mkdir(parents=True)
            worlds[kind] = importlib.import_module(f"drills.world.{kind}").World(folder, load(CITY), seed)
        residents = _residents(worlds, seed, clock) if has_residents else None
        stations = worlds["wifi_multicast"]
        assert isinstance(stations, wifi_multicast.World)
        stations.wall = lambda: clock.now().timestamp()
        for world in worlds.values():
            await stack.enter_async_context(world)
        first = _facilities(worlds, state, seed, clock)
        channels = {kind: {**world.settings(), **(changes or {}).get(kind, {})} for kind, world in worlds.items()}
        tokens = {name: new_token() for name in (SUBMITTER, APPROVER)}
        hashes = {name: token_hash for name, (_, token_hash) in tokens.items()}
        site = await asyncio.to_thread(_site, channels, hashes, state, first.settings())
        running = await stack.enter_async_context(node.running(site, clock))
        await stack.enter_async_context(first.acting())
        staff = Staff(f"http://{site.control.listen}", {name: token for name, (token, _) in tokens.items()})
        yield Stage(site, running, worlds, staff, clock, residents)


def _residents(worlds: Mapping[str, World], seed: int, clock: Clock) -> Residents:
    mail, terminals = worlds["email_list"], worlds["ip_terminal"]
    assert isinstance(mail, email_list.World)
    assert isinstance(terminals, ip_terminal.World)
    quarters = {code: quarter.names["ja"] for code, quarter in load(CITY).quarters.items() if quarter.group == HOME}
    return Residents(mail, terminals, seed, quarters, clock)


def _facilities(worlds: Mapping[str, World], state: Path, seed: int, clock: Clock) -> Facilities:
    mail, terminals = worlds["email_list"], worlds["ip_terminal"]
    assert isinstance(mail, email_list.World)
    assert isinstance(terminals, ip_terminal.World)
    return Facilities(state, load(CITY), mail, terminals, seed, clock)


def _site(
    channels: Mapping[str, Mapping[str, Any]], hashes: Mapping[str, str], state: Path, facilities: Mapping[str, Any]
) -> Site:
    """A site file, written and read as any other."""
    url = channels["website"]["url"]
    described = {
        "mode": "drill",
        "node": "demo",
        "state_dir": str(state / "node"),
        "city": CITY,
        "residents": {"listen": urlsplit(url).netloc, "url": url},
        "control": {"listen": f"127.0.0.1:{free_port()}"},
        "staff": [
            {"name": SUBMITTER, "roles": ["originator"], "token_hash": hashes[SUBMITTER]},
            {"name": APPROVER, "roles": ["approver"], "token_hash": hashes[APPROVER]},
        ],
        "safety": {"key": {"file": str(_key(state / "safety.key"))}},
        "facilities": dict(facilities),
        "channels": dict(channels),
    }
    text = yaml.safe_dump(described, allow_unicode=True, sort_keys=False).encode()
    return bind_site(text, "demo.yaml", state, {kind: channel.Settings for kind, channel in node.kinds().items()})


def _key(path: Path) -> Path:
    path.touch(mode=0o600)
    path.write_text(secrets.token_urlsafe(48))
    return path
