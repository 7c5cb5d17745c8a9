"""A node for the bench, in a process of its own: the residents' doors, the safety loop and a ledger, with people who were asked.

python -m tests.bench._replies_node FILE PEOPLE     prints its port and the people's tokens, ends at the first line it reads
"""

import asyncio
import json
import sys

import uvloop

from dispatcher import residents
from dispatcher.clock import SystemClock
from dispatcher.listening import listening
from dispatcher.model.mode import Drill
from dispatcher.residents import reply
from dispatcher.residents.page import Pages
from tests.dispatcher.residents.campaign import CITY, asked


async def main(file: str, people: int) -> None:
    clock = SystemClock()
    async with asked(f"sqlite:///{file}", people) as campaign:
        routes = reply.routes(campaign.confirmation.answering, Pages(CITY, Drill), clock)
        async with listening(residents.application(routes, None), "127.0.0.1", 0) as (_, port):
            tokens = [campaign.token(number) for number in range(people)]
            print(json.dumps({"port": port, "tokens": tokens}), flush=True)
            await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
