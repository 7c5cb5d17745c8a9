"""A site that a channel keeps and the node's own listener serves, and what is read from there."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path

import aiohttp
import feedparser
import pytest

from channels.website import Settings, Website
from dispatcher import cap
from dispatcher.clock import SystemClock
from dispatcher.listening import listening
from dispatcher.model.delivery import Outcome
from dispatcher.model.mode import Drill, Live
from dispatcher.model.rendering import Rendering
from dispatcher.residents import application
from tests.contracts.channel_contract import Memory, Rig, attempt, members, surroundings
from tests.samples import OSAWA, evacuation_order, retraction

NOW = SystemClock().now().replace(microsecond=0)
ORDER = evacuation_order(Drill, sent=NOW)
RETRACTED = retraction(ORDER)


class Page(HTMLParser):
    """What a page says and in which languages, and what it would make a browser do."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.languages: list[str] = []
        self.tags: Counter[str] = Counter()
        self.links: list[str] = []
        self.words: list[str] = []
        self._unread = 0
        # A word with its reading over it is one word, as it is read.
        self.feed(re.sub(r"<rp>.*?</rp>|<rt>.*?</rt>|</?ruby>", "", data.decode()))

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        found = dict(attrs)
        self.languages += [found["lang"]] if found.get("lang") else []
        self.links += [found["href"]] if found.get("href") else []
        self._unread += tag in {"style", "script"}

    def handle_endtag(self, tag):
        self._unread -= tag in {"style", "script"}

    def handle_data(self, data):
        if not self._unread:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


class Site:
    """A folder behind the residents' listener, which can go away and come back at the same address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._serving = None

    async def start(self) -> None:
        self._serving = listening(application([], self.folder), "127.0.0.1", self.port)
        _, self.port = await self._serving.__aenter__()

    async def stop(self) -> None:
        await self._serving.__aexit__(None, None, None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def get(self, name: str) -> bytes:
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/{name}") as response:
            assert response.status == 200, f"{name}: {response.status}"
            return await response.read()

    async def page(self, name: str) -> Page:
        return Page(await self.get(name))


class WebsiteRig(Rig):
    def __init__(self, site: Site, state_dir: Path) -> None:
        self.site = site
        self.state_dir = state_dir
        self.channel = self.of(Drill)

    def of(self, mode):
        return Website(
            mode, Settings(folder=self.site.folder, url=self.site.url), surroundings(self.state_dir, self.site.url)
        )

    def other_mode(self):
        return self.of(Live)

    async def texts(self) -> Sequence[tuple[str, str]]:
        alerts = json.loads(await self.site.get("alerts.json"))["alerts"]
        found = []
        for alert in alerts:
            for said in alert["said"]:
                page = await self.site.page(alert["page"].replace("index.html", said["page"]))
                found.append((said["language"], page.text))
                found.append((said["language"], (await self.site.page(said["page"])).text))
            for message in alert["messages"]:
                read = cap.read(await self.site.get(message["cap"]))
                found += [(i.language, f"{i.headline} {i.place}") for i in read.info]
        for name in ("feed.atom", "feed.rss") if alerts else ():
            found += [("ja", f"{e.title} {e.summary}") for e in feedparser.parse(await self.site.get(name)).entries]
        return found

    async def tellings(self, rendering: Rendering[Drill]) -> Counter[str]:
        entries = feedparser.parse(await self.site.get("feed.atom")).entries
        return Counter(self.channel.settings.url for e in entries if e.id == rendering.identifier)

    @asynccontextmanager
    async def broken(self) -> AsyncIterator[None]:
        await self.site.stop()
        yield
        await self.site.start()

    async def publish(self, alert) -> Rendering[Drill]:
        rendering = self.channel.render(alert, await self.channel.audience(OSAWA))
        (told,) = await attempt(self.channel, rendering, await members(self.channel))
        assert told.outcome in {Outcome.TAKEN, Outcome.DUPLICATE}
        return rendering


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[WebsiteRig]:
    site = Site(tmp_path / "site")
    await site.start()
    rig = WebsiteRig(site, tmp_path / "state")
    async with rig.channel.open(Memory()):
        yield rig
    await site.stop()
