"""Other servers and other readers: nginx over the same folder, the demo's world, a browser."""

import asyncio
import gzip
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import feedparser
import pytest

from channels.website import Settings, Website
from config.cities import load
from dispatcher.clock import SystemClock
from dispatcher.listening import listening
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Outcome
from dispatcher.model.mode import Drill
from dispatcher.residents import application
from drills.world.website import World
from tests.channels.website.site import ORDER, RETRACTED, rig
from tests.contracts.channel_contract import Memory, attempt, surroundings
from tests.servers.chromium import chromium

__all__ = ["rig"]


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
