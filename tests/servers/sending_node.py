"""A node as a process of its own, to be killed: it opens a ledger and sends what it claims to a recorder.

python -m tests.servers.sending_node DSN PORT NODE SLOTS LEASE_S
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dispatcher.channel import Limits
from dispatcher.clock import SystemClock
from dispatcher.ledger import Attempted, Claim
from dispatcher.ledgers import open_ledger
from dispatcher.model.delivery import Outcome, Told
from dispatcher.model.mode import Drill

CHANNEL = "website"


async def main(dsn: str, port: int, node: str, slots: int, lease_s: float) -> None:
    clock = SystemClock()
    lines: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue(slots)
    for _ in range(slots):
        lines.put_nowait(await asyncio.open_connection("127.0.0.1", port))

    @asynccontextmanager
    async def line() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        one = await lines.get()
        try:
            yield one
        finally:
            lines.put_nowait(one)

    async def attempt(claim: Claim) -> Attempted:
        async with line() as (reader, writer):
            for destination in claim.destinations:
                writer.write(f"{claim.key} {destination.address}\n".encode())
                assert await reader.readline() == b"yes\n"
        told = [Told(destination.address, Outcome.TAKEN, "yes") for destination in claim.destinations]
        return Attempted(claim, "taken", told=told)

    async with open_ledger(dsn, mode=Drill, node=node, clock=clock, lease_s=lease_s, beat_s=lease_s / 3) as ledger:
        await ledger.run({CHANNEL: Limits(concurrency=slots)}, attempt, concurrency=slots)


if __name__ == "__main__":
    dsn, port, node, slots, lease_s = sys.argv[1:]
    asyncio.run(main(dsn, int(port), node, int(slots), float(lease_s)))
