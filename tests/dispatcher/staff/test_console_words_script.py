"""What scripts add to the pages about words and places, in a real browser: previews while typing, a map to press, a slider of time."""

import asyncio

import pytest
import pytest_asyncio

from dispatcher.clock import SystemClock
from tests.servers.chromium import chromium
from tests.servers.console import WRITER, console

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory):
    """A node, and a browser in which WRITER is signed in."""
    ready, done = asyncio.get_running_loop().create_future(), asyncio.Event()

    async def keep():
        # Node and browser are opened and closed in one and the same task.
        async with (
            console(tmp_path_factory.mktemp("script")) as here,
            here.signed_in(WRITER) as browser,
            chromium() as tab,
        ):
            (cookie,) = [c for c in browser.session.cookie_jar if c.key.startswith("todoke-loopback")]
            await tab.call("Network.enable")
            await tab.call("Network.setCookie", name=cookie.key, value=cookie.value, url=here.url, httpOnly=True)
            ready.set_result((here, tab))
            await done.wait()

    keeping = asyncio.ensure_future(keep())
    await asyncio.wait({keeping, ready}, return_when=asyncio.FIRST_COMPLETED)
    yield ready.result() if ready.done() else await keeping
    done.set()
    await keeping


async def until(tab, expression, within_s=20.0):
    """Wait until this is true on the page."""
    clock = SystemClock()
    end_s = clock.monotonic() + within_s
    while clock.monotonic() < end_s:
        if await tab.value(expression):
            return
        await clock.sleep(0.05)
    raise AssertionError(f"not within {within_s} s: {expression}")


async def type_into(tab, identifier, text):
    """As a person does: the focus is there, and every change is told."""
    await tab.value(
        f"(() => {{ const f = document.getElementById({identifier!r}); f.focus(); f.value = {text!r};"
        " f.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


async def test_previews_findings_and_languages_follow_what_is_typed_and_the_focus_stays(house):
    here, tab = house
    await tab.open(f"{here.url}/compose?area=132040301&area=132040302", 1280, 900)
    assert "ひな形と区域を選ぶと出ます" in await tab.value("document.getElementById('previews').textContent")
    await type_into(tab, "template", "elderly-evacuation")
    await until(tab, "document.querySelector('#pv-website iframe') !== null")
    await until(tab, "(document.getElementById('w-en-US-headline')?.value ?? '').includes('Osawa')")
    await type_into(tab, "cause", "避難勧告を出しました")
    await until(tab, "document.getElementById('w-ja-description').getAttribute('aria-invalid') === 'true'")
    assert await tab.value("document.activeElement.id") == "cause"
    assert "避難勧告" in await tab.value("document.getElementById('w-ja-description').value")
    assert await tab.value("document.querySelector('#todo a') !== null")
    await type_into(tab, "cause", "野川の水位が上がっています")
    await until(tab, "!document.getElementById('w-ja-description').hasAttribute('aria-invalid')")
    assert int(await tab.value("document.getElementById('compose').dataset.drawnMs")) > 0


async def test_a_text_that_was_typed_over_stays_while_the_rest_follows(house):
    here, tab = house
    await tab.open(f"{here.url}/compose?area=132040301", 1280, 900)
    await type_into(tab, "template", "elderly-evacuation")
    await until(tab, "document.getElementById('w-en-US-short') !== null")
    await type_into(tab, "w-en-US-short", "Osawa: my own line")
    await type_into(tab, "cause", "野川の水位が上がっています")
    await until(tab, "document.getElementById('w-ja-description').value.includes('野川の水位')")
    assert await tab.value("document.getElementById('w-en-US-short').value") == "Osawa: my own line"


async def test_who_types_fast_has_one_preview_drawn_at_a_time_and_the_last_letter_is_in_the_last(house):
    here, tab = house
    await tab.open(f"{here.url}/compose?area=132040301", 1280, 900)
    await type_into(tab, "template", "elderly-evacuation")
    await until(tab, "document.getElementById('w-ja-description') !== null")
    typed = "野川の水位が上がって、氾濫のおそれがあります"
    for end in range(1, len(typed) + 1):
        await type_into(tab, "cause", typed[:end])
    await until(tab, f"document.getElementById('w-ja-description').value.includes({typed!r})")
    asked = "performance.getEntriesByType('resource').filter(e => e.initiatorType === 'fetch' && e.name.endsWith('/compose'))"
    assert await tab.value(f"{asked}.length") >= 2
    assert await tab.value(f"{asked}.every((e, n, all) => n === 0 || all[n - 1].responseEnd <= e.startTime)")


async def test_what_is_typed_is_kept_without_a_button(house):
    here, tab = house
    await tab.open(f"{here.url}/compose", 1280, 900)
    await type_into(tab, "cause", "自動で残る文です")
    await until(tab, "document.querySelector('[name=_kept]').value !== '0'")
    assert "自動保存" in await tab.value("document.getElementById('live-said').textContent")
    kept = await here.node.desk.half_written(await here.person(WRITER))
    assert "自動で残る文です" in [one.body["cause"] for one in kept]


async def test_a_session_that_ended_is_said_and_the_text_stays_on_the_page(house):
    here, tab = house
    await tab.open(f"{here.url}/compose", 1280, 900)
    await tab.value("document.querySelector('#compose [name=_seal]').value = 'of another session'")
    await type_into(tab, "cause", "消えてはいけない文です")
    await until(tab, "document.getElementById('live-said').classList.contains('is-bad')")
    assert await tab.value("document.getElementById('cause').value") == "消えてはいけない文です"


async def test_the_map_is_pressable_and_ticks_the_same_boxes(house):
    here, tab = house
    await tab.open(f"{here.url}/areas", 1280, 900)
    box = "document.getElementById('c132040302')"
    fill = "getComputedStyle(document.getElementById('m132040302')).fill"
    blank = await tab.value(fill)
    await tab.value("document.getElementById('m132040302').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    assert await tab.value(f"{box}.checked")
    assert await tab.value(fill) != blank
    await until(tab, "document.querySelector('#area-facts dd').textContent === '1'")
    assert (await tab.value("document.querySelector('[data-group=大沢] [data-count]').textContent")).startswith("1 / 6")
    await tab.value("document.querySelector('button[value=\"group:大沢\"]').click()")
    await until(tab, "document.querySelector('#area-facts dd').textContent === '6'")
    assert await tab.value("location.pathname") == "/areas"
    await tab.value("document.querySelector('button[value=none]').click()")
    await until(tab, "document.querySelector('#area-facts dd').textContent === '0'")
    assert await tab.value(fill) == blank


async def test_a_polygon_and_a_circle_are_drawn_on_the_large_map_and_stand_in_the_fields(house):
    here, tab = house
    await tab.open(f"{here.url}/areas", 1280, 900)
    await tab.value("document.getElementById('open-large').click()")
    await until(tab, "document.querySelectorAll('#large-map path').length === 62")

    async def press(right, down):
        at = (
            "(() => { const b = document.getElementById('large-map').getBoundingClientRect();"
            f" return [b.left + b.width * {right}, b.top + b.height * {down}]; }})()"
        )
        await tab.value("document.getElementById('large-map').scrollIntoView({block: 'center'})")
        x, y = await tab.value(at)
        for kind in ("mousePressed", "mouseReleased"):
            await tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    for right, down in ((0.3, 0.4), (0.7, 0.4), (0.5, 0.7)):
        await press(right, down)
    await until(tab, "document.getElementById('polygon').value.split('\\n').length === 3")
    await tab.value("document.querySelector('button[value=polygon]').click()")
    await until(tab, "document.querySelectorAll('input[name=area]:checked').length > 3")
    await until(tab, "document.getElementById('open-large').hidden === false")
    await tab.value("document.getElementById('open-large').click()")
    await until(tab, "document.querySelectorAll('#large-map path').length === 62")
    await tab.value("document.querySelector('[data-draw=circle]').click()")
    await press(0.5, 0.5)
    await press(0.6, 0.5)
    await until(tab, "document.getElementById('centre').value.includes(',')")
    assert int(await tab.value("document.getElementById('radius_m').value")) > 100


async def test_the_board_of_a_past_moment_is_drawn_along_a_slider(house):
    here, tab = house
    identifier = await here.issued()
    await tab.open(f"{here.url}/progress?alert={identifier}", 1280, 900)
    assert await tab.value("document.getElementById('slider').hidden") is False
    await until(tab, "Date.now() - Date.parse(document.getElementById('slider').dataset.from) > 3000")
    await tab.open(f"{here.url}/progress?alert={identifier}", 1280, 900)
    await tab.value(
        "(() => { const r = document.getElementById('range'); r.value = 0;"
        " r.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    await until(tab, "!document.querySelector('#then').textContent.includes('いま　')")
    assert await tab.value("location.search.includes('at=')")


@pytest.mark.parametrize("width", [390, 1280])
async def test_no_page_is_wider_than_the_screen_and_every_target_can_be_hit(house, width):
    here, tab = house
    identifier = await here.issued()
    paths = (
        "/compose",
        "/areas",
        f"/drafts/{identifier}",
        f"/drafts/{identifier}/reach",
        f"/alerts/{identifier}/by-hand",
    )
    for path in (*paths, f"/progress?alert={identifier}", "/admin"):
        await tab.open(here.url + path, width, 900)
        assert await tab.value("document.documentElement.scrollWidth") <= width, path
        small = await tab.value(
            "[...document.querySelectorAll('main button,main a.btn,main select,main summary,main label.chk,main textarea')]"
            ".filter(e => { const r = e.getBoundingClientRect(); return r.width && r.height < 43.5; })"
            ".map(e => e.outerHTML.slice(0, 80))"
        )
        assert small == [], path
