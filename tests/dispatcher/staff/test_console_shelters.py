"""避難所 through a real console, a real node and its residents' site: said by staff, seen by residents, handed on to the shelter."""

import asyncio
import json

import aiohttp
import pytest

from dispatcher.clock import SystemClock
from tests.servers.console import WRITER, console

OTHER = "E1320400002111"
NAME = "井の頭コミュニティ・センター"


@pytest.fixture
async def desk(tmp_path):
    async with console(tmp_path) as opened, opened.signed_in(WRITER) as browser, aiohttp.ClientSession() as session:
        yield opened, browser, session


async def read(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url) as answer:
        assert answer.status == 200
        return await answer.text()


async def test_a_state_said_at_the_console_is_seen_by_residents_and_a_stale_one_is_refused(desk):
    opened, browser, session = desk
    site = opened.node.path.web
    page = await browser.open("/shelters")
    assert "まだ、どの避難所についても" in page.words
    form = page.form("/shelters")
    page = await browser.send(page, "/shelters", shelter=OTHER, state="open")
    assert f"{NAME}" in page.words
    assert "開設" in page.words
    async with asyncio.timeout(10):
        while '"state": "open"' not in (said := await read(session, f"{site}/shelters.json")):
            await SystemClock().sleep(0.02)
    (shown,) = [s for s in json.loads(said)["shelters"] if s["state"]]
    assert shown["name"] == NAME
    assert "入れます（開設）" in await read(session, f"{site}/shelters/index.html")
    assert (await browser.post("/shelters", {**form, "shelter": OTHER, "state": "full", "_version": "1"})).status == 303
    late = await browser.post("/shelters", {**form, "shelter": OTHER, "state": "closed", "_version": "1"})
    assert late.status == 409
    async with asyncio.timeout(10):
        while "満員（入れません）" not in await read(session, f"{site}/shelters/index.html"):
            await SystemClock().sleep(0.02)


async def test_a_link_for_the_shelter_is_shown_once_and_opens_its_page(desk):
    _, browser, session = desk
    page = await browser.open("/shelters")
    await browser.send(page, "/shelters", shelter=OTHER, state="before")
    page = await browser.open("/shelters")
    page = await browser.send(page, "/shelters/door")
    (link,) = page.tree.xpath("//p[@class='asis']/a/@href")
    assert NAME in await read(session, link)
    assert link not in (await browser.open("/shelters")).text
    for path in ("/progress", "/"):
        assert link.rpartition("/")[2] not in (await browser.open(path)).text


async def test_what_is_no_shelter_and_no_state_is_refused_in_words(desk):
    _, browser, _ = desk
    form = (await browser.open("/shelters")).form("/shelters")
    for shelter, state, word in (("E0", "open", "no such shelter"), (OTHER, "<b>", "not a state"), ("", "", "")):
        refused = await browser.post("/shelters", {**form, "shelter": shelter, "state": state})
        assert refused.status in {404, 422}
        assert word in refused.text


async def test_where_nobody_is_asked_the_page_to_report_on_says_whom_to_call(desk):
    opened, _, session = desk
    async with session.get(f"{opened.node.path.web}/report") as answer:
        said = await answer.text()
    assert answer.status == 404
    assert opened.node.path.city.contact in said
    assert "tel:119" in said
