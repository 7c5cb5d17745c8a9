"""The channels of a node that a test puts together from parts: read from a site file, opened over a ledger, served by it.

Not by way of the node itself: a process that is killed after a second should not spend it on reading the console.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from config.city import City
from config.site import bind_site
from dispatcher.channel import Limits, Surroundings
from dispatcher.clock import Clock
from dispatcher.ledger import Attempted, Claim, Ledger
from dispatcher.model.mode import Drill
from dispatcher.staff.gates import Gates
from dispatcher.steps.dispatch import CLOCK
from dispatcher.tracking.acknowledgement import Acknowledgements, Answers, Returned
from drills.world.ports import free_port

SITE = "http://127.0.0.1:9"


@asynccontextmanager
async def opened(
    folder: Path,
    described: Mapping[str, Mapping[str, Any]],
    ledger: Ledger,
    node: str,
    *,
    clock: Clock,
    city: City,
    answers: Answers,
) -> AsyncIterator[Mapping[str, Any]]:
    """By kind. `described`: as under `channels` in a site file."""
    address = f"127.0.0.1:{free_port()}"
    file = {
        "mode": "drill",
        "node": node,
        "state_dir": "state",
        "city": "mitaka",
        "residents": {"listen": address, "url": f"http://{address}"},
        "channels": dict(described),
    }
    classes = {kind: importlib.import_module(f"channels.{kind}").Kind for kind in described}
    settings = {kind: each.Settings for kind, each in classes.items()}
    site = bind_site(yaml.safe_dump(file, allow_unicode=True).encode(), "site.yaml", folder, settings)
    channels: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        for kind, each in site.channels.items():
            state = folder / node / kind
            state.mkdir(parents=True, exist_ok=True)
            channels[kind] = classes[kind](Drill, each, Surroundings(clock, city, state, SITE, node))
            await stack.enter_async_context(channels[kind].open(Acknowledgements(ledger, kind, Returned(), answers)))
        yield channels


@asynccontextmanager
async def served(
    ledger: Ledger,
    channels: Mapping[str, Any],
    timers: Limits,
    attempt: Callable[[Claim], Awaitable[Attempted]],
    gates: Gates | None = None,
) -> AsyncIterator[None]:
    """Inside, the outbox runs, where `gates` let it."""
    lanes: Mapping[str, Limits] = {CLOCK: timers, **{kind: channel.limits for kind, channel in channels.items()}}
    if gates is not None:
        lanes = gates.over(lanes, CLOCK)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(ledger.run(lanes, attempt))
        try:
            yield
        finally:
            running.cancel()
