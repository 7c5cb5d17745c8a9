"""A node for the crash bench, in a process of its own: the real send step, over a medium whose receiver writes everything down.

python -m tests.bench._sender DSN PORT SLOTS      says "ready" when it has the ledger, then sends until it is killed
"""

import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from config.cities import load
from dispatcher.channel import Channel, Limits, Probe, Surroundings, Tell
from dispatcher.clock import SystemClock
from dispatcher.ledger import Attempted, Claim
from dispatcher.ledgers import open_ledger
from dispatcher.log import to_stderr
from dispatcher.model.alert import Alert
from dispatcher.model.audience import Audience, Destination
from dispatcher.model.delivery import Outcome, Told
from dispatcher.model.mode import Drill
from dispatcher.model.rendering import Rendering
from dispatcher.steps.send import send

KIND = "line"


class Line(Channel[Drill, int]):
    """One line up, one line back: the receiver has it when it says so. The settings are its port."""

    kind = KIND
    title = "line"

    @property
    def limits(self) -> Limits:
        return Limits(concurrency=1000, first_backoff_s=0.05, breaker_failures=1_000_000)

    async def audience(self, quarters: Sequence[str]) -> Audience:
        return Audience(KIND, tuple(quarters), None, "everybody")

    async def destinations(self, audience: Audience):
        for quarter in audience.quarters:
            yield Destination(quarter)

    async def probe(self) -> Probe:
        return Probe(is_up=True, words="")

    def _render(self, alert: Alert[Drill], audience: Audience) -> Rendering[Drill]:
        return Rendering(channel=KIND, identifier=alert.identifier, status=alert.status, texts=(), parts=())

    async def _send(self, rendering: Rendering[Drill], destinations: Sequence[Destination], tell: Tell) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.settings)
        try:
            for destination in destinations:
                writer.write(destination.address.encode() + b"\n")
                if await reader.readline() == b"ok\n":
                    tell(Told(destination.address, Outcome.TAKEN, "ok"))
        finally:
            writer.transport.abort()


async def main(dsn: str, port: int, slots: int) -> None:
    to_stderr(logging.ERROR)
    clock = SystemClock()
    channel = Line(Drill, port, Surroundings(clock, load("mitaka"), Path("/"), "http://127.0.0.1"))
    rendering: Rendering[Drill] = Rendering(channel=KIND, identifier="A", status="Exercise", texts=(), parts=())

    async def attempt(claim: Claim) -> Attempted:
        return await send(claim, rendering, channel, ledger, clock)

    async with open_ledger(dsn, mode=Drill, node="crashing", clock=clock) as ledger:
        print("ready", flush=True)
        lanes: dict[str, Any] = {KIND: channel.limits}
        await ledger.run(lanes, attempt, concurrency=slots)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
