"""A node for the bench, in a process of its own, whose attempts do nothing: what is measured is the ledger.

python -m tests.bench._node DSN NODE SLOTS      says "ready", starts at the first line it reads, stops at the next
"""

import asyncio
import sys

from dispatcher.channel import Limits
from dispatcher.clock import SystemClock
from dispatcher.ledger import Attempted, Claim
from dispatcher.ledgers import open_ledger
from dispatcher.model.delivery import Outcome, Told
from dispatcher.model.mode import Drill

CHANNEL = "website"


async def nothing(claim: Claim) -> Attempted:
    return Attempted(claim, "taken", told=[Told(d.address, Outcome.TAKEN) for d in claim.destinations])


async def main(dsn: str, node: str, slots: int) -> None:
    async with open_ledger(dsn, mode=Drill, node=node, clock=SystemClock()) as ledger:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(ledger.run({CHANNEL: Limits(concurrency=4 * slots)}, nothing, concurrency=slots))
            await asyncio.to_thread(sys.stdin.readline)
            run.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
