"""The console as somebody at headquarters meets it, in a real browser on the demo's stage: six media, a ledger, the staff's door.

* preview: from the last keystroke in 作成 until all six previews on the screen are of it, p95; baseline: the six
  renderings alone, drawn in this process;
* board.event: from the commit of a receipt until the board's figure on the screen, p95; baseline: the commit itself;
* console: p95 of the desk's pages while another process reads the residents' page as fast as it is served; baseline: without it;
* board.4000: the board of an alert with 4,000 events opens, p95; baseline: of one with few.

Source: issue "How fast"; design.md §11 P7.
"""

import asyncio
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from argon2.profiles import CHEAPEST
from playwright.async_api import Page, async_playwright

from dispatcher.clock import SystemClock
from dispatcher.ledger import Event
from dispatcher.log import to_stderr
from dispatcher.model.delivery import Receipt, Received
from dispatcher.staff.accounts import Accounts
from dispatcher.staff.accounts.passwords import Passwords
from dispatcher.staff.sessions import Person
from dispatcher.steps.accept import Typed
from drills.demo import ORDER
from drills.staff import is_settled
from drills.stage import Stage, stage
from tests.bench.row import Row, within
from tests.servers.chromium import CHROMIUM

NAMES = ("preview", "board.event", "console", "board.4000")
KEYSTROKES = 20
RECEIPTS = 20
OPENINGS = 12
EVENTS = 4_000
PAGES = ("/", "/compose", "/alerts/{id}")
LOAD_S = 8.0
OSAWA = [f"13204030{n}" for n in range(1, 7)]
PASSWORD = "そらいろの かさ 三本 と 長ぐつ"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
# All six come in one answer; the page says when they stand on the screen, and one that shows the sentence shows the last letter.
SEEN = """(word) => new Promise((done) => {
  const form = document.querySelector("form[data-live]");
  const look = () => document.getElementById("pv-email_list").textContent.includes(word) && done(Date.now());
  new MutationObserver(look).observe(form, {attributes: true, attributeFilter: ["data-drawn-ms"]});
})"""
MOVED = """([row, count]) => new Promise((done) => {
  const cell = () => document.querySelector(`[data-live="${row}.acknowledged"]`);
  const look = () => cell() && Number(cell().textContent.replace(/\\D/g, '')) >= count && done(Date.now());
  new MutationObserver(look).observe(document.body, {childList: true, subtree: true, characterData: true});
  look();
})"""
LOADING = """
import asyncio, sys, time, aiohttp
async def main(url, seconds):
    end, count = time.monotonic() + seconds, 0
    async def read(session):
        nonlocal count
        while time.monotonic() < end:
            async with session.get(url) as answer:
                await answer.read()
            count += 1
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        for _ in range(32):
            tasks.create_task(read(session))
    print(count)
asyncio.run(main(sys.argv[1], float(sys.argv[2])))
"""


def rows(wanted: set[str]) -> Iterator[Row]:
    to_stderr(logging.ERROR)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield from runner.run(_measured(wanted))


@dataclass(frozen=True, slots=True)
class _Room:
    city: Stage
    page: Page
    url: str
    live: str
    """An alert that is out."""


@asynccontextmanager
async def _room(folder: Path) -> AsyncIterator[_Room]:
    async with stage(folder) as city, async_playwright() as playwright:
        node = city.node
        accounts = Accounts(node.ledger, SystemClock(), "drill", passwords=Passwords(CHEAPEST))
        _, enrolled = await accounts.at_machine.found("職員0101", ["admin", "originator"], PASSWORD)
        order = await city.staff.order(ORDER)
        await city.staff.watch(order.identifier, is_settled)
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        url = f"http://{city.site.control.listen}"
        await page.goto(f"{url}/signin")
        await page.fill("[name=name]", "職員0101")
        await page.fill("[name=password]", PASSWORD)
        await page.fill("[name=code]", enrolled.recovery_codes[0])
        await page.click("form[action='/signin'] button[type=submit], form[action='/signin'] button:not([type=button])")
        await page.wait_for_url(f"{url}/")
        try:
            yield _Room(city, page, url, order.identifier)
        finally:
            await browser.close()


async def _measured(wanted: set[str]) -> list[Row]:
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="todoke-bench-") as folder:
        async with _room(Path(folder)) as room:
            if "preview" in wanted:
                found.append(await _preview(room))
            if "board.event" in wanted:
                found.append(await _event(room))
            if "console" in wanted:
                found.append(await _console(room))
            if "board.4000" in wanted:
                found.append(await _long_board(room))
    return found


async def _preview(room: _Room) -> Row:
    page = room.page
    await page.goto(f"{room.url}/areas")
    await page.evaluate(f"() => {OSAWA}.forEach((code) => {{ document.getElementById('c' + code).checked = true }})")
    await page.click("button[formaction='/areas/use']")
    await page.select_option("#template", "evacuation-order")
    drawn_s, taken_s = [], []
    desk, writer = room.city.node.desk, Person("職員0101", ("originator",))
    for number in range(KEYSTROKES):
        word = f"水位{number:02d}番"
        await page.fill("#cause", f"野川の水位が上がっています。{word[:-1]}")
        await page.wait_for_timeout(400)
        seen = asyncio.ensure_future(page.evaluate(SEEN, word))
        began_s = time.time()
        await page.locator("#cause").press_sequentially(word[-1])
        async with asyncio.timeout(20):
            taken_s.append(await seen / 1000 - began_s)
        alone_s = time.perf_counter()
        await desk.try_draft(writer, Typed(template="evacuation-order", areas=("大沢",), cause=f"野川の水位 {number}"))
        drawn_s.append(time.perf_counter() - alone_s)
    return within("preview", _p95(taken_s), _p95(drawn_s), 0.3, "s, p95")


async def _event(room: _Room) -> Row:
    page, ledger = room.page, room.city.node.ledger
    await page.goto(f"{room.url}/alerts/{room.live}")
    # Facilities acknowledge by themselves, each once, whichever contact it was.
    mails = [d.address async for d in ledger.destinations(room.live, "email_list")]
    people = [address for address in mails if not address.startswith("facility:")][:RECEIPTS]
    before = int(await page.inner_text('[data-live="email_list.acknowledged"]'))
    now = SystemClock().now
    shown_s, committed_s = [], []
    for number, address in enumerate(people, before + 1):
        seen = asyncio.ensure_future(page.evaluate(MOVED, ["email_list", number]))
        began_s = time.perf_counter()
        await ledger.record("email_list", [Received(room.live, "email_list", address, Receipt.ACKNOWLEDGED, now())])
        committed_s.append(time.perf_counter() - began_s)
        at_s = time.time()
        async with asyncio.timeout(20):
            shown_s.append(max(0.0, await seen / 1000 - at_s))
    return within("board.event", _p95(shown_s), _p95(committed_s), 0.5, "s, p95")


async def _console(room: _Room) -> Row:
    idle_s = await _openings(room, PAGES, OPENINGS)
    public = f"{room.city.site.residents.url}/"
    load = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOADING, public, str(LOAD_S), stdout=asyncio.subprocess.PIPE
    )
    busy_s = await _openings(room, PAGES, OPENINGS)
    said, _ = await load.communicate()
    assert int(said) > OPENINGS, "the residents' page was not read beside it"
    return within("console", _p95(busy_s), _p95(idle_s), 0.5, "s, p95")


async def _long_board(room: _Room) -> Row:
    few_s = await _openings(room, ("/alerts/{id}",), OPENINGS)
    ledger = room.city.node.ledger
    for number in range(EVENTS):
        await ledger.append(Event("delivery.retried", room.live, {"by": "職員0101", "channel": "social", "n": number}))
    many_s = await _openings(room, ("/alerts/{id}",), OPENINGS)
    return within("board.4000", _p95(many_s), _p95(few_s), 1.0, "s, p95")


async def _openings(room: _Room, pages: tuple[str, ...], times: int) -> list[float]:
    taken_s = []
    for _ in range(times):
        for path in pages:
            began_s = time.perf_counter()
            answer: Any = await room.page.goto(room.url + path.format(id=room.live), wait_until="load")
            assert answer.status == 200
            taken_s.append(time.perf_counter() - began_s)
    return taken_s


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]
