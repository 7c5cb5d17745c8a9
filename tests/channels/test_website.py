"""The site, read by what we did not write: nginx, feedparser, xmllint's schema through CAP, and a reader of HTML."""

import asyncio
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import aiohttp
import feedparser
import pytest
from aiohttp import web

from channels.website import Kind, Settings, Website
from channels.website.entry import Entry, chains, file_name
from config.cities import load
from dispatcher import cap
from dispatcher.clock import ManualClock, SystemClock
from dispatcher.errors import InvalidInput, ModeLeak, TemporaryFailure
from dispatcher.listening import listening
from dispatcher.model.alert import MsgType, Reference
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Outcome
from dispatcher.model.mode import Drill, Live
from dispatcher.model.rendering import Rendering
from dispatcher.residents import application
from drills.world.website import World
from tests.contracts.channel_contract import ChannelContract, Memory, Rig, attempt, members, surroundings
from tests.samples import OSAWA, correction, evacuation_order, lifting, retraction
from tests.servers.chromium import chromium

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


class TestContract(ChannelContract):
    @pytest.fixture
    def rig(self, rig: WebsiteRig) -> WebsiteRig:
        return rig


def test_the_node_finds_the_channel_by_its_kind():
    assert Kind is Website
    assert Kind.kind == "website"
    assert not Kind.counts_people


@pytest.mark.parametrize(
    "url", ["ftp://x", "bousai.example.jp", "http://", "http://x:99999", "http://x/?a", "http://[x"]
)
def test_an_address_that_is_none_is_a_problem(url):
    assert [where for where, _ in Settings(folder=Path("x"), url=url).problems()] == ["url"]
    assert not list(Settings(folder=Path("x"), url="https://bousai.example.jp/a").problems())


async def test_the_index_and_the_feeds_stand_before_the_first_message(rig):
    assert "いま出ている避難情報はありません" in (await rig.site.page("index.html")).text
    for name in ("feed.atom", "feed.rss"):
        feed = feedparser.parse(await rig.site.get(name))
        assert not feed.bozo
        assert feed.entries == []


NAMES = ("index.html", "easy.html", "en.html", "zh.html", "ko.html")


async def test_a_page_is_light_carries_no_script_of_its_own_and_names_its_languages(rig):
    await rig.publish(ORDER)
    for name, language in (("index.html", "ja"), ("easy.html", "ja-x-easy"), ("en.html", "en-US")):
        data = await rig.site.get(f"alerts/{ORDER.identifier}/{name}")
        assert len(gzip.compress(data)) <= 14_000
        page = Page(data)
        assert page.languages[0] == language
        assert {"ja", "ja-x-easy", "en-US", "zh", "ko"} <= set(page.languages)
        assert not {"img", "iframe", "meta refresh"} & set(page.tags)
        assert data.count(b"<script") == data.count(b'<script src="../../live.js" defer></script>') == 1
        assert page.tags["svg"] == 1
        assert b"http-equiv" not in data
        assert b'class="band lv4"' in data
        assert re.search(r"4 (警戒レベル4|Level 4) ", page.text)
    page = await rig.site.page(f"alerts/{ORDER.identifier}/index.html")
    assert "東京都" not in page.text
    assert "大沢台小学校 大沢2-6-18" in page.text


async def test_every_link_on_every_page_leads_somewhere(rig):
    await rig.publish(ORDER)
    await rig.publish(RETRACTED)
    folder = f"alerts/{ORDER.identifier}/"
    for base in ("", folder):
        for name in NAMES:
            for link in (await rig.site.page(base + name)).links:
                # The doors to answer and to register at are rooms of the node's, not files.
                if not link.startswith(("tel:", "data:")) and not link.partition("?")[0].endswith(("report", "mail")):
                    assert await rig.site.get(os.path.normpath(base + link))


async def test_one_address_carries_an_alert_through_all_that_follows(rig):
    address = f"alerts/{ORDER.identifier}/index.html"
    await rig.publish(ORDER)
    first = await rig.site.page(address)
    assert "まず すること" in first.text
    assert "これまでのお知らせ" not in first.text
    await rig.publish(correction(ORDER))
    corrected = await rig.site.page(address)
    assert "訂正" in corrected.text
    assert "前のお知らせの文に誤りがありました" in corrected.text
    assert "これまでのお知らせ" in corrected.text
    await rig.publish(lifting(ORDER))
    lifted = await rig.site.page(address)
    assert "解除" in lifted.text
    assert b"band over" in await rig.site.get(address)
    assert "まず すること" not in lifted.text
    assert lifted.text.count("CAP") == 4


async def test_a_retraction_says_so_on_page_and_index_in_every_language(rig):
    await rig.publish(ORDER)
    await rig.publish(RETRACTED)
    for name, word in (("index.html", "取消"), ("easy.html", "取消"), ("en.html", "Cancelled")):
        page = await rig.site.page(f"alerts/{ORDER.identifier}/{name}")
        assert word in page.text
        index = await rig.site.page(name)
        assert word in index.text
        assert b"band card" not in await rig.site.get(name)


async def test_an_alert_that_expires_is_past_on_the_index_without_any_further_message(rig):
    clock = ManualClock(NOW)
    channel = Website(Drill, rig.channel.settings, replace(rig.channel.surroundings, clock=clock))
    async with channel.open(Memory()):
        rendering = channel.render(ORDER, await channel.audience(OSAWA))
        await attempt(channel, rendering, await members(channel))
        assert b"band card" in await rig.site.get("index.html")
        clock.advance((ORDER.expires - NOW).total_seconds() - 60)
        assert b"band card" in await rig.site.get("index.html")
        clock.advance(120)
        async with asyncio.timeout(20):
            while b"band card" in await rig.site.get("index.html"):
                await SystemClock().sleep(0.02)
        index = await rig.site.page("index.html")
        assert "終わったお知らせ" in index.text
        assert "いま出ている避難情報はありません" in index.text


async def test_what_comes_late_does_not_bring_back_what_was_retracted(rig):
    await rig.publish(RETRACTED)
    await rig.publish(ORDER)
    page = await rig.site.page(f"alerts/{ORDER.identifier}/index.html")
    assert "取消" in page.text
    assert "まず すること" not in page.text
    entries = feedparser.parse(await rig.site.get("feed.atom")).entries
    assert [e.id for e in entries] == [RETRACTED.identifier, ORDER.identifier]


async def test_the_same_messages_give_the_same_bytes_in_any_order(rig, tmp_path):
    alerts = [ORDER, evacuation_order(Drill, identifier="b", sent=NOW), correction(ORDER), lifting(ORDER)]

    def site(order) -> dict[str, bytes]:
        folder = tmp_path / "-".join(a.identifier for a in order)
        channel = Website(Drill, Settings(folder=folder, url="http://x"), surroundings(tmp_path / "s"))
        for alert in order:
            rendering = channel.render(alert, None)
            channel._publisher.publish(rendering)
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    assert site(alerts) == site(alerts[::-1])


async def test_the_feeds_read_in_feedparser_with_the_cap_message_and_its_type(rig):
    await rig.publish(ORDER)
    await rig.publish(evacuation_order(Drill, identifier="second", sent=NOW + timedelta(seconds=5)))
    before = await rig.site.get("feed.atom")
    await rig.publish(RETRACTED)
    atom = feedparser.parse(await rig.site.get("feed.atom"))
    rss = feedparser.parse(await rig.site.get("feed.rss"))
    for feed in (atom, rss):
        assert not feed.bozo
        assert [e.id for e in feed.entries] == [RETRACTED.identifier, "second", ORDER.identifier]
        assert len({e.id for e in feed.entries}) == 3
        for entry in feed.entries:
            (enclosure,) = [link for link in entry.links if link.rel == "enclosure"]
            assert enclosure.type == "application/cap+xml"
            data = await rig.site.get(enclosure.href.removeprefix(rig.site.url + "/"))
            assert int(enclosure.length) == len(data)
            assert cap.check(data).is_valid
            assert cap.read(data).identifier == entry.id
            assert Drill.banner("ja") in entry.title
            assert await rig.site.get(entry.link.removeprefix(rig.site.url + "/"))
    assert atom.feed.updated == RETRACTED.sent.isoformat()
    assert [e.updated for e in atom.entries] == [e.published for e in atom.entries]
    old = {e.id: e for e in feedparser.parse(before).entries}
    assert {e.id: e for e in atom.entries if e.id in old} == old


async def test_many_messages_keep_the_feeds_small_and_the_newest_in_them(tmp_path):
    channel = Website(Drill, Settings(folder=tmp_path / "site", url="http://x"), surroundings(tmp_path / "s"))
    long = replace(ORDER, info=tuple(replace(i, description=(i.description or "") * 60) for i in ORDER.info))
    for number in range(24):
        alert = replace(long, identifier=f"n{number:02d}", sent=NOW + timedelta(minutes=number))
        channel._publisher.publish(channel.render(alert, None))
    for name in ("feed.atom", "feed.rss"):
        data = (tmp_path / "site" / name).read_bytes()
        assert len(data) <= 100_000
        assert feedparser.parse(data).entries[0].id == "n23"


async def test_markup_in_a_text_stays_text(rig):
    bad = "<script>alert(1)</script>\"'&<!--history-->"
    hostile = replace(ORDER, identifier='../x"<y>', info=tuple(replace(i, headline=bad, event=bad) for i in ORDER.info))
    rendering = await rig.publish(hostile)
    data = await rig.site.get(f"alerts/{file_name(hostile.identifier)}/index.html")
    assert Page(data).tags["script"] == 1
    assert bad in Page(data).text
    assert rendering.identifier in {e.id for e in feedparser.parse(await rig.site.get("feed.atom")).entries}
    assert {p.name for p in rig.site.folder.iterdir()} >= {"alerts", "cap"}
    assert not (rig.site.folder.parent / 'x"<y>').exists()


def test_an_alert_without_any_text_is_refused(tmp_path):
    channel = Website(Drill, Settings(folder=tmp_path, url="http://x"), surroundings(tmp_path / "s"))
    with pytest.raises(InvalidInput, match="no text"):
        channel.render(replace(ORDER, info=()), None)


def test_a_chain_is_found_though_each_message_names_only_the_one_before():
    first = Entry.of(ORDER)
    second = Entry.of(correction(ORDER))
    last = lifting(ORDER)
    third = Entry.of(replace(last, references=(Reference(last.sender, second.identifier, second.sent),)))
    other = Entry.of(replace(ORDER, identifier="other", msg_type=MsgType.UPDATE))
    (one, two) = sorted(chains([third, other, second, first]), key=lambda c: -len(c.entries))
    assert (one.root, [e.identifier for e in one.entries]) == (
        ORDER.identifier,
        [first.identifier, second.identifier, third.identifier],
    )
    assert two.root == "other"
    assert Entry.from_bytes(first.to_bytes()) == first


# ---- taken only after it was read back ----


@asynccontextmanager
async def lying(answer) -> AsyncIterator[str]:
    """A web server of another kind than ours: `answer(request)` says what it serves."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await answer(request)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<h1>It works!</h1>", "内容と違います"),
        (200, b"x" * 3_000_000, "内容と違います"),
        (404, b"no", "404 Not Found"),
        (503, b"no", "503 Service Unavailable"),
        (301, b"", "301 Moved Permanently"),
    ],
)
async def test_a_server_that_serves_something_else_is_temporary_in_its_own_words(tmp_path, status, body, words):
    async def answer(request):
        return web.Response(status=status, body=body)

    async with lying(answer) as url:
        channel = Website(Drill, Settings(folder=tmp_path / "site", url=url), surroundings(tmp_path / "s"))
        with pytest.raises(TemporaryFailure, match=words):
            await attempt(channel, channel.render(ORDER, None), [Destination(url)])
        probe = await channel.probe()
        assert not probe.is_up
        assert words in probe.words


async def test_a_cache_that_still_has_the_old_page_is_temporary_until_it_has_the_new_one(tmp_path):
    folder, cached, is_stale = tmp_path / "site", {}, True

    async def answer(request):
        if not is_stale or request.path not in cached:
            cached[request.path] = (folder / request.path[1:]).read_bytes()
        return web.Response(body=cached[request.path])

    async with lying(answer) as url:
        channel = Website(Drill, Settings(folder=folder, url=url), surroundings(tmp_path / "s"))
        await attempt(channel, channel.render(ORDER, None), [Destination(url)])
        with pytest.raises(TemporaryFailure, match="内容と違います"):
            await attempt(channel, channel.render(RETRACTED, None), [Destination(url)])
        is_stale = False
        (told,) = await attempt(channel, channel.render(RETRACTED, None), [Destination(url)])
        assert told.outcome is Outcome.DUPLICATE


async def test_a_server_that_never_answers_is_temporary(tmp_path):
    release = asyncio.Event()

    async def answer(request):
        await release.wait()
        return web.Response()

    async with lying(answer) as url:
        settings = Settings(folder=tmp_path / "site", url=url, timeout=0.3)
        channel = Website(Drill, settings, surroundings(tmp_path / "s"))
        with pytest.raises(TemporaryFailure, match="時間内に"):
            await attempt(channel, channel.render(ORDER, None), [Destination(url)])
        release.set()


async def test_two_messages_at_once_are_both_taken(rig):
    alerts = [evacuation_order(Drill, identifier=f"at-once-{n}", sent=NOW) for n in range(6)]
    async with asyncio.TaskGroup() as group:
        for alert in alerts:
            group.create_task(rig.publish(alert))
    listed = json.loads(await rig.site.get("alerts.json"))["alerts"]
    assert {a["identifier"] for a in listed} == {a.identifier for a in alerts}


# ---- the disk ----

PUBLISHING = """
import sys
from pathlib import Path
from channels.website import Settings, Website
from dispatcher.model.mode import Drill
from tests.contracts.channel_contract import surroundings
from tests.samples import correction, evacuation_order
channel = Website(Drill, Settings(folder=Path(sys.argv[1]), url="http://x"), surroundings(Path(sys.argv[1] + "-state")))
number = 0
while True:
    order = evacuation_order(Drill, identifier=f"n{number}")
    for alert in (order, correction(order)):
        channel._publisher.publish(channel.render(alert, None))
    print(number, flush=True)
    number += 1
"""


def test_after_kill_9_every_file_is_whole_and_what_was_published_is_there(tmp_path):
    folder = tmp_path / "site"
    for kill in range(4):
        process = subprocess.Popen([sys.executable, "-c", PUBLISHING, folder], stdout=subprocess.PIPE, text=True)
        for _ in range(kill + 1):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        done = [*range(kill + 1), *map(int, process.stdout.read().split())]
        process.stdout.close()
        process.wait()
        listed = {a["identifier"] for a in json.loads((folder / "alerts.json").read_bytes())["alerts"]}
        assert {f"n{n}-2" for n in done} <= listed
        for path in folder.rglob("*"):
            if path.suffix == ".gz" and not path.name.startswith("."):
                assert gzip.decompress(path.read_bytes())
            if path.suffix == ".xml" and path.parent.name == "cap" and not path.name.startswith("."):
                assert cap.check(path.read_bytes()).is_valid
        channel = Website(Drill, Settings(folder=folder, url="http://x"), surroundings(tmp_path / "s"))
        channel._publisher.rebuild()
        for path in folder.rglob("*.html"):
            assert "</html>" in path.read_text()


FULL = """
import resource, sys
from pathlib import Path
from channels.website import Settings, Website
from dispatcher.errors import TemporaryFailure
from dispatcher.model.mode import Drill
from tests.contracts.channel_contract import surroundings
from tests.samples import evacuation_order
channel = Website(Drill, Settings(folder=Path(sys.argv[1]), url="http://x"), surroundings(Path(sys.argv[1] + "-state")))
rendering = channel.render(evacuation_order(Drill), None)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try:
    channel._publisher.publish(rendering)
except TemporaryFailure as failure:
    print(failure)
"""


def test_a_disk_that_takes_no_more_is_temporary_and_leaves_nothing_half_written(tmp_path):
    folder = tmp_path / "site"
    said = subprocess.run([sys.executable, "-c", FULL, folder], capture_output=True, text=True, check=True).stdout
    assert "書き込めません: File too large" in said
    assert [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"] == []


def test_a_damaged_entry_does_not_keep_the_others_from_the_residents(tmp_path):
    channel = Website(Drill, Settings(folder=tmp_path / "site", url="http://x"), surroundings(tmp_path / "s"))
    channel._publisher.publish(channel.render(ORDER, None))
    damaged = tmp_path / "site" / ".messages" / "damaged"
    damaged.mkdir()
    for data in (b"", b"{}", b"[1]", b'{"identifier": 1}'):
        (damaged / "entry.json").write_bytes(data)
        channel._publisher.publish(channel.render(RETRACTED, None))
    assert "取消" in (tmp_path / "site" / "index.html").read_text()


def test_a_folder_of_the_other_mode_is_refused(tmp_path):
    def of(mode):
        return Website(mode, Settings(folder=tmp_path / "site", url="http://x"), surroundings(tmp_path / "s"))

    of(Drill)._publisher.publish(of(Drill).render(ORDER, None))
    with pytest.raises(ModeLeak, match="Exercise, not Actual"):
        of(Live)._publisher.rebuild()


# ---- other servers, other readers ----

NGINX = """
daemon off; master_process off; pid {0}/nginx.pid; error_log stderr;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; scgi_temp_path {0}/s;
  types {{ text/html html; application/cap+xml xml; application/atom+xml atom; application/rss+xml rss; application/json json; }}
  server {{ listen 127.0.0.1:{1}; root {2}; gzip_static on; location ~ /\\. {{ return 404; }} }}
}}
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can read: pytest's own are for nobody else."""
    with tempfile.TemporaryDirectory(prefix="todoke-nginx-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


async def test_nginx_serves_the_same_folder_and_is_read_back(tmp_path, open_folder):
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    prefix, folder = open_folder / "nginx", open_folder / "site"
    prefix.mkdir(mode=0o777)
    prefix.chmod(0o777)
    (prefix / "nginx.conf").write_text(NGINX.format(prefix, port, folder))
    url = f"http://127.0.0.1:{port}"
    channel = Website(Drill, Settings(folder=folder, url=url), surroundings(tmp_path / "s", url))
    as_nobody = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    nginx = subprocess.Popen(
        ["nginx", "-p", prefix, "-c", prefix / "nginx.conf"], stderr=subprocess.DEVNULL, **as_nobody
    )
    try:
        async with channel.open(Memory()):
            async with asyncio.timeout(10):
                while not (await channel.probe()).is_up:
                    await SystemClock().sleep(0.05)
            for alert in (ORDER, RETRACTED):
                (told,) = await attempt(channel, channel.render(alert, None), [Destination(url)])
                assert told.outcome is Outcome.TAKEN
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            async with session.get(f"{url}/feed.atom", headers={"Accept-Encoding": "gzip"}) as response:
                assert response.headers["Content-Encoding"] == "gzip"
                assert len(feedparser.parse(gzip.decompress(await response.read())).entries) == 2
            async with session.get(f"{url}/.messages/{ORDER.identifier}/entry.json") as response:
                assert response.status == 404
    finally:
        nginx.terminate()
        nginx.wait()


async def test_the_demos_world_reads_everything_and_keeps_it_as_served(tmp_path):
    async with World(tmp_path / "world", load("mitaka"), 1) as world:
        settings = Settings(folder=Path(world.settings()["folder"]), url=world.settings()["url"])
        channel = Website(Drill, settings, surroundings(tmp_path / "s", world.url))
        async with listening(application([], settings.folder), *world.listen), channel.open(Memory()):
            for alert in (ORDER, RETRACTED):
                await attempt(channel, channel.render(alert, None), [Destination(settings.url)])
            await world.keep(tmp_path / "kept")
        kept = {
            str(p.relative_to(tmp_path / "kept")): p.read_bytes()
            for p in (tmp_path / "kept").rglob("*.*")
            if p.is_file()
        }
        assert len(kept) == world.report()["files_read"] == 6 + 3 + 2
        for name, data in kept.items():
            assert data == (settings.folder / name).read_bytes()
            assert "訓練".encode() in data or b"DRILL" in data
            assert "大沢".encode() in data or b"Osawa" in data


# In a browser


@pytest.mark.parametrize(("width", "height"), [(360, 640), (1280, 800)])
async def test_in_a_browser_the_first_screen_says_what_to_do_and_nothing_runs_over_the_edge(rig, width, height):
    await rig.publish(ORDER)
    async with chromium() as tab:
        for name in ("index.html", "easy.html", "en.html"):
            for path in (name, f"alerts/{ORDER.identifier}/{name}"):
                await tab.open(f"{rig.site.url}/{path}", width, height)
                assert await tab.value("document.documentElement.scrollWidth <= innerWidth"), path
                assert await tab.value("document.scripts.length") == 1
                asked = "performance.getEntriesByType('resource').map(r => new URL(r.name).origin)"
                assert set(await tab.value(asked)) <= {rig.site.url}
                headings = await tab.names("heading")
                assert any(mark in headings[0] for mark in ("訓練", "DRILL", "三鷹市", "みたかし", "Mitaka")), headings
                small = await tab.value(
                    "[...document.querySelectorAll('nav a, .card a, button')].filter(a => a.getClientRects().length"
                    " && Math.min(a.getBoundingClientRect().width, a.getBoundingClientRect().height) < 24).length"
                )
                assert small == 0, "WCAG 2.2 §2.5.8"
        await tab.open(f"{rig.site.url}/alerts/{ORDER.identifier}/index.html", width, height)
        for words in ("レベル4", "避難指示", "大沢"):
            assert await tab.value(
                "(() => { const seen = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); let said = '';"
                " while (seen.nextNode()) { const range = document.createRange(); range.selectNode(seen.currentNode);"
                " if (range.getBoundingClientRect().top < innerHeight) said += seen.currentNode.data; }"
                f" return said.replace(/\\s/g, '').includes('{words}'); }})()"
            ), f"{words} is not on the first screen"
