"""One node's site as residents meet it: the folder, the shelters' doors and the live line, over a ledger of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from channels.website import Website
from config.cities import load
from dispatcher import residents
from dispatcher.channel import Surroundings
from dispatcher.clock import Clock, SystemClock
from dispatcher.ledgers import open_ledger
from dispatcher.listening import listening
from dispatcher.model.delivery import Outcome
from dispatcher.model.mode import Drill
from dispatcher.residents.live import Following
from dispatcher.residents.shelters import ShelterDoors
from dispatcher.tracking.shelters import Shelters
from tests.contracts.channel_contract import Memory, attempt, members
from tests.samples import OSAWA

CITY = load("mitaka")
OSAWADAI = next(f.code for f in CITY.facilities if f.name.startswith("大沢台小学校") and f.kind == "designated_shelter")
OTHER = "E1320400002111"


class Town:
    """The site, the shelters' doors and the live line of one node, with a ledger of its own."""

    def __init__(
        self,
        shelters: Shelters,
        channel: Website[Drill],
        following: Following,
        url: str,
        session: aiohttp.ClientSession,
    ) -> None:
        self.shelters = shelters
        self.channel = channel
        self.following = following
        self.url = url
        self.session = session

    async def publish(self, alert: Any) -> None:
        rendering = self.channel.render(alert, await self.channel.audience(OSAWA))
        (told,) = await attempt(self.channel, rendering, await members(self.channel))
        assert told.outcome in {Outcome.TAKEN, Outcome.DUPLICATE}

    async def text(self, name: str) -> str:
        async with self.session.get(f"{self.url}/{name}") as answer:
            assert answer.status == 200
            return await answer.text()

    async def until(self, name: str, words: str) -> str:
        """The page, as soon as it says this."""
        async with asyncio.timeout(10):
            while words not in (text := await self.text(name)):
                await SystemClock().sleep(0.02)
            return text


@asynccontextmanager
async def town(folder: Path, clock: Clock) -> AsyncIterator[Town]:
    site = folder / "site"
    async with open_ledger(f"sqlite:///{folder / 'todoke.db'}", mode=Drill, node="a", clock=clock) as ledger:
        shelters = Shelters(ledger, clock, CITY)
        following = Following(site, SystemClock())
        doors = residents.application([*ShelterDoors(shelters, Drill).routes, *following.routes], site)
        async with listening(doors, "127.0.0.1", 0) as (_, port), aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}"
            around = Surroundings(clock, CITY, folder, url, "a", shelters)
            channel: Website[Drill] = Website(Drill, Website.Settings(folder=site, url=url), around)
            async with channel.open(Memory()), following.open():
                yield Town(shelters, channel, following, url, session)
