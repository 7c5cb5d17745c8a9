"""What the console's script adds, in Debian's Chromium: figures that move, a focus that does not, an alarm that is told."""

import pytest
import pytest_asyncio

from tests.servers.chromium import chromium
from tests.servers.console import APPROVER, PASSWORD, WRITER, console, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory):
    async with console(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tab(room):
    """The approver's browser."""
    async with chromium() as opened:
        session = await room.accounts.sign_in(APPROVER, PASSWORD, room.codes[APPROVER].pop(), "127.0.0.1", "test")
        await opened.call("Network.setCookie", name="todoke-loopback", value=session.token, url=room.url, httpOnly=True)
        yield opened


async def shows(tab, expression, what):
    await until(lambda: tab.value(expression), what)


async def test_the_board_moves_by_itself_and_the_focus_stays_where_it_is(room, tab):
    await tab.open(room.url + "/", 1280, 900)
    await tab.value("document.querySelector('nav a[href=\"/alerts\"]').focus()")
    await room.pending(areas=("牟礼",))
    await shows(tab, "document.querySelector('[data-live=mine]').textContent.includes('牟礼')", "what waits has come")
    assert await tab.value("document.activeElement.getAttribute('href')") == "/alerts"
    await shows(tab, "document.title.startsWith('(1)')", "the title counts what waits")
    await shows(tab, "document.querySelector('.alarm')?.textContent.includes('牟礼')", "the bar names it")


async def test_a_piece_with_the_focus_in_it_waits_until_it_is_let_go(room, tab):
    await room.pending(areas=("北野",))
    await tab.open(room.url + "/", 1280, 900)
    await tab.value("document.querySelector('[data-live=mine] a').focus()")
    before = await tab.value("document.activeElement.getAttribute('href')")
    await room.pending(areas=("井口",))
    await shows(tab, "document.querySelector('[data-live=drafts]').textContent.includes('井口')", "another piece moved")
    assert await tab.value("document.activeElement.getAttribute('href')") == before
    assert not await tab.value("document.querySelector('[data-live=mine]').textContent.includes('井口')")
    await tab.value("document.activeElement.blur()")
    await shows(tab, "document.querySelector('[data-live=mine]').textContent.includes('井口')", "it was let go")


async def test_the_delivery_board_moves_and_tells_a_screen_reader_in_one_sentence(room, tab):
    alert = await room.issued(areas=("大沢",))
    await tab.open(f"{room.url}/alerts/{alert}", 1280, 900)
    await shows(tab, "document.querySelector('tr[data-row=website]').dataset.state === 'done'", "taken")
    await shows(tab, "document.querySelector('[data-say]').textContent.includes('1媒体で受領')", "said")
    assert await tab.value("getComputedStyle(document.querySelector('.when-open')).visibility") == "hidden"
    assert await tab.value("document.querySelector('[data-print]').hidden") is False


async def test_the_times_run(room, tab):
    alert = await room.issued(areas=("野崎",))
    await tab.open(f"{room.url}/alerts/{alert}", 1280, 900)
    first = await tab.value("document.querySelector('dd[data-exact]').textContent")
    await shows(tab, f"document.querySelector('dd[data-exact]').textContent !== '{first}'", "a second has gone by")


async def test_no_page_is_wider_than_its_screen_and_nothing_to_press_is_small(room, tab):
    alert, draft = await room.issued(areas=("大沢", "野崎", "井口")), await room.pending(areas=("中原",))
    for place in (
        "/",
        "/approve",
        f"/drafts/{draft}/approve",
        "/alerts",
        f"/alerts/{alert}",
        f"/alerts/{alert}/destinations?show=all",
        f"/alerts/{alert}/retract",
        "/nowhere",
    ):
        for width in (390, 1280):
            await tab.open(room.url + place, width, 900)
            assert await tab.value("document.documentElement.scrollWidth") <= width, (place, width)
            small = await tab.value(
                "[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary')]"
                ".filter(e => e.offsetParent && !e.closest('.skip') && getComputedStyle(e).display !== 'inline'"
                " && e.type !== 'checkbox' && e.getBoundingClientRect().height < 44)"
                ".map(e => e.outerHTML.slice(0, 80))"
            )
            assert not small, (place, width, small)


async def test_a_page_without_its_script_is_whole(room, tab):
    draft = await room.pending(areas=("深大寺",))
    await tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        await tab.call("Page.navigate", url=f"{room.url}/drafts/{draft}/approve")
        await shows(
            tab, f"location.pathname.endsWith('{draft}/approve') && document.readyState === 'complete'", "there"
        )
        assert "訓練：深大寺" in await tab.value("document.querySelector('.act').textContent")
        await tab.value("document.querySelector('#read').click()")
        await tab.value("document.querySelector('.act').click()")
        await shows(tab, f"location.pathname === '/alerts/{draft}'", "it is out")
    finally:
        await tab.call("Emulation.setScriptExecutionDisabled", value=False)
    assert (await room.node.ledger.alert(draft)).facts["by"] == APPROVER != WRITER
