"""Taken only after it was read back: servers that lie, caches that lag, and one that never answers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from channels.website import Settings, Website
from dispatcher.errors import TemporaryFailure
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Outcome
from dispatcher.model.mode import Drill
from tests.channels.website.site import NOW, ORDER, RETRACTED, rig
from tests.contracts.channel_contract import attempt, surroundings
from tests.samples import evacuation_order

__all__ = ["rig"]


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
