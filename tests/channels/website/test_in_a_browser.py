"""The site as Chromium shows it: to everybody, while it changes, without a connection, and on the city's own pages."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright, expect

from dispatcher.clock import SystemClock
from dispatcher.listening import listening
from dispatcher.model.mode import Drill
from tests.channels.website.town import OSAWADAI, OTHER, Town, town
from tests.samples import evacuation_order, retraction
from tests.servers.chromium import CHROMIUM
from tests.servers.slow_line import slow_line

NAMES = ("index.html", "easy.html", "en.html", "zh.html", "ko.html")
ORDER = evacuation_order(Drill, sent=SystemClock().now().replace(microsecond=0))
ALERT = f"alerts/{ORDER.identifier}"
MONTH = f"history/{ORDER.sent:%Y-%m}"
SOON_MS = 10_000
SERVICE_WORKERS_PATIENCE_S = 5


def pages_of(name: str) -> tuple[str, ...]:
    """Every page there is in one language."""
    return name, f"{MONTH}/{name}", f"shelters/{name}", f"{ALERT}/{name}"


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Town]:
    async with town(tmp_path, SystemClock()) as there:
        yield there


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@asynccontextmanager
async def page_of(browser: Browser, width: int = 390, **more: str) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": width, "height": 844}, **more)
    page = await context.new_page()
    page.set_default_timeout(SOON_MS)
    try:
        yield page
    finally:
        await context.close()


async def test_every_page_is_for_everybody_in_five_languages_light_and_dark(place: Town, chromium: Browser):
    await place.publish(ORDER)
    for code, state in ((OSAWADAI, "open"), (OTHER, "full")):
        await place.shelters.say(code, state, by="職員0001")
    await place.until("shelters.json", '"full"')
    wrong = []
    # Light and dark differ in a style's variables alone, widths in one column's: each page is met in one of both.
    for number, (width, scheme) in enumerate(((390, "dark"), (1280, "light"))):
        async with page_of(chromium, width, color_scheme=scheme) as page:
            for path in [p for at, n in enumerate(NAMES) for p in pages_of(n)[(at + number) % 2 :: 2]]:
                await page.goto(f"{place.url}/{path}")
                found = await Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]})
                # axe-core 4 does not know this private tag of the language, which BCP 47 §2.2.7 allows.
                broken = [v for v in found.response["violations"] if v["id"] not in {"html-lang-valid", "valid-lang"}]
                wrong += [(path, width, v["id"], v["nodes"][0]["html"][:200]) for v in broken]
                if not await page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
                    wrong.append((path, width, "runs over the edge", ""))
    assert not wrong


async def test_every_first_page_is_small(place: Town):
    await place.publish(ORDER)
    for name in NAMES:
        for path in pages_of(name):
            assert len(gzip.compress((await place.text(path)).encode())) <= 14_000, path


async def test_an_open_page_follows_and_focus_stays_where_it_is(place: Town, chromium: Browser):
    async with page_of(chromium) as page:
        await page.goto(f"{place.url}/index.html")
        await page.wait_for_function("performance.getEntriesByName(new URL('live.js', document.baseURI)).length == 1")
        language = page.get_by_role("link", name="English")
        await language.focus()
        while not place.following.readers:
            await SystemClock().sleep(0.02)
        await place.shelters.say(OSAWADAI, "open", by="職員0001")
        await expect(page.get_by_text("入れます（開設）")).to_be_visible()
        await expect(language).to_be_focused()
        await expect(page.locator("#said")).to_have_text("このページは新しくなりました")
        inside = page.get_by_role("link", name="避難所と避難場所・地図")
        await inside.focus()
        await place.shelters.say(OSAWADAI, "crowded", by="職員0001")
        await expect(page.locator("#said")).to_contain_text("新しいお知らせがあります")
        await expect(inside).to_be_focused()
        await expect(page.get_by_text("入れます（開設）")).to_be_visible()
        await language.focus()
        await expect(page.get_by_text("混んでいます")).to_be_visible()


async def test_the_last_state_opens_without_a_connection_and_says_of_when_it_is(place: Town, chromium: Browser):
    await place.publish(ORDER)
    async with page_of(chromium) as page:
        await page.goto(f"{place.url}/{ALERT}/index.html")
        await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        await page.reload()
        await page.wait_for_function("navigator.serviceWorker.controller !== null")
        await page.goto(f"{place.url}/{ALERT}/index.html")
        await page.context.set_offline(offline=True)
        await page.goto(f"{place.url}/{ALERT}/index.html")
        await expect(page.get_by_text("いますぐ避難").first).to_be_visible()
        offline = page.locator(".off")
        await expect(offline).to_contain_text("通信できません")
        year = str(SystemClock().now().year)
        assert (await offline.locator("time").get_attribute("datetime")).startswith(year)
        await page.goto(f"{place.url}/en.html")
        await expect(page.locator(".off")).to_contain_text("No connection")


async def test_after_a_new_release_an_open_page_goes_on_and_opens_offline_as_the_new_one_says(
    place: Town, chromium: Browser
):
    async with page_of(chromium) as page:
        await page.goto(f"{place.url}/index.html")
        await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        await page.reload()
        await page.wait_for_function("navigator.serviceWorker.controller !== null")
        folder = place.channel._folder
        for file, was, now in (
            ("sw.js", '"site-1"', '"site-2"'),
            ("live.js", '"use strict";', '"use strict"; window.isNew = true;'),
        ):
            folder.write_served(file, folder.read(file).replace(was.encode(), now.encode()))
        await page.evaluate("navigator.serviceWorker.ready.then((registration) => registration.update())")
        await page.wait_for_function("caches.keys().then((names) => names.join() === 'site-2')")
        # For some seconds the browser takes the script that it has just had, without asking anybody.
        async with asyncio.timeout(60):
            while not await page.evaluate("window.isNew"):
                await page.goto(f"{place.url}/index.html")
        await page.context.set_offline(offline=True)
        await page.goto(f"{place.url}/en.html")
        await expect(page.locator(".off")).to_contain_text("No connection")
        assert await page.evaluate("window.isNew")


async def test_pages_that_belong_to_one_person_are_never_kept(place: Town, chromium: Browser):
    token = await place.shelters.open_door(OTHER, by="職員0001")
    async with page_of(chromium) as page:
        await page.goto(f"{place.url}/index.html")
        await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        await page.goto(f"{place.url}/index.html")
        await page.wait_for_function("navigator.serviceWorker.controller !== null")
        await page.goto(f"{place.url}/s/{token}")
        kept = await page.evaluate(
            "caches.keys().then(async names => (await Promise.all(names.map(async n => "
            "(await (await caches.open(n)).keys()).map(r => r.url)))).flat())"
        )
        assert any(url.endswith("/index.html") for url in kept)
        assert not [url for url in kept if token in url]


@asynccontextmanager
async def city_site(script: str) -> AsyncIterator[str]:
    """Another origin, with a policy as strict as they get, and a line that fetches the banner."""

    async def home(_request: web.Request) -> web.Response:
        policy = f"default-src 'none'; script-src {script}; connect-src {script}"
        text = f'<!doctype html><html lang="ja"><title>市</title><h1>市のサイト</h1><script src="{script}/embed.js" defer></script>'
        return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": policy})

    application = web.Application()
    application.router.add_get("/", home)
    async with listening(application, "127.0.0.1", 0) as (_, port):
        yield f"http://127.0.0.1:{port}/"


async def test_the_banner_stands_on_the_citys_own_site_while_something_is_in_force(place: Town, chromium: Browser):
    bad = "<img src=x onerror=alert(1)>"
    hostile = replace(ORDER, info=tuple(replace(i, headline=bad) for i in ORDER.info))
    async with city_site(place.url) as home, page_of(chromium) as page:
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        await page.goto(home)
        await page.wait_for_load_state("networkidle")
        assert await page.locator("[role=status] a").count() == 0
        await place.publish(hostile)
        await page.reload()
        banner = page.locator("[role=status] a")
        await expect(banner).to_contain_text("警戒レベル4")
        await expect(banner).to_contain_text(bad)
        await expect(page.locator("img")).to_have_count(0)
        assert await banner.get_attribute("href") == f"{place.url}/{ALERT}/index.html"
        assert (await banner.bounding_box())["height"] >= 44
        await place.publish(retraction(ORDER))
        await page.reload()
        await page.wait_for_load_state("networkidle")
        await expect(banner).to_have_count(0)
        assert not said


@pytest.mark.parametrize("days", [-400, 400])
async def test_the_banner_goes_by_the_sites_clock_and_stands_without_constructable_sheets(
    place: Town, chromium: Browser, days: int
):
    """Safari before 16.4 has no `adoptedStyleSheets`: there was no banner at all. A phone a year ahead hid an order in force."""
    await place.publish(ORDER)
    async with city_site(place.url) as home, page_of(chromium) as page:
        await page.add_init_script("delete ShadowRoot.prototype.adoptedStyleSheets; delete window.CSSStyleSheet")
        await page.clock.set_fixed_time(SystemClock().now() + timedelta(days=days))
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        await page.goto(home)
        banner = page.locator("[role=status] a")
        await expect(banner).to_contain_text("警戒レベル4")
        assert await banner.evaluate("a => getComputedStyle(a).backgroundColor") == "rgb(170, 0, 170)"
        assert (await banner.bounding_box())["height"] >= 44
        assert not said


async def test_a_slow_line_shows_what_is_kept_and_then_what_came(place: Town, chromium: Browser):
    """After five seconds what was asked for was given up: a page that had never been seen could not be opened at all."""
    await place.publish(ORDER)
    async with slow_line(place.url) as line, page_of(chromium) as page:
        page.set_default_timeout(2 * SOON_MS)
        await page.goto(f"{line.url}/en.html")
        await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        await page.reload()
        await page.wait_for_function("navigator.serviceWorker.controller !== null")
        await page.goto(f"{line.url}/en.html")
        line.is_passing.clear()
        await place.publish(retraction(ORDER))
        await page.goto(f"{line.url}/en.html", wait_until="commit")
        await expect(page.locator(".off")).to_contain_text("No connection")
        await expect(page.get_by_text("Level 4")).to_be_visible()
        line.is_passing.set()
        await expect(page.get_by_text("Cancelled (取消)").first).to_be_visible()
        await expect(page.locator(".off")).to_have_count(0)
        line.is_passing.clear()
        async with asyncio.TaskGroup() as both:
            going = both.create_task(page.goto(f"{line.url}/{ALERT}/en.html"))
            await SystemClock().sleep(SERVICE_WORKERS_PATIENCE_S + 1)
            assert not going.done()
            line.is_passing.set()
        assert going.result().status == 200


async def test_json_for_others_says_what_pages_say(place: Town):
    await place.publish(ORDER)
    (alert,) = json.loads(await place.text("alerts.json"))["alerts"]
    assert alert["identifier"] == ORDER.identifier
    assert alert["verb"] == "issue"
    async with asyncio.timeout(10), place.session.get(f"{place.url}/alerts.json") as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
