"""The roster's page through real HTTP, without a script: tried, every bad row said, imported by a second press bound to the trial."""

import asyncio
import gzip
import io
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import async_playwright

from tests.servers.chromium import CHROMIUM
from tests.servers.console import APPROVER, WRITER, console
from tests.servers.residents import ALSO

pytestmark = pytest.mark.asyncio(loop_scope="module")
SCREENS = Path(__file__).parents[3] / "out" / "screens"
HEAD = "宛名番号,氏名,住所,メール\n"
TWO = HEAD + "R1,住民0001,大沢2-6-18,r1@example.jp\nR2,住民0002,下連雀3-24-3,\n"
PAGE, CHECK, IMPORT = "/safety/roster", "/safety/roster/check", "/safety/roster/import"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("roster-page")
    key = folder / "safety"
    key.write_text("the site's key of thirty-two letters")
    key.chmod(0o600)
    async with console(folder, also=ALSO, safety={"key": {"file": str(key)}}) as opened:
        yield opened


async def tried(browser, data, name="meibo.csv"):
    """The page's own form with this file in it."""
    form = aiohttp.FormData((await browser.get(PAGE)).form(CHECK), quote_fields=False)
    form.add_field("csv", data, filename=name, content_type="text/csv")
    return await browser.post(CHECK, form)


async def people(room):
    return sorted([person.person_id async for person in room.node.desk.roster.everybody()])


async def test_a_file_is_tried_in_figures_and_a_second_press_imports_just_that(room):
    async with room.signed_in(APPROVER) as browser:
        assert PAGE in (await browser.get("/safety")).text
        page = await tried(browser, TWO.encode("cp932"))
        assert page.status == 200
        assert "Shift_JIS" in page.words
        assert await people(room) == [], "nothing is written by a trial"
        page = await browser.send(page, IMPORT)
        assert "取り込みました" in page.words
        assert await people(room) == ["R1", "R2"]
        moved = HEAD + "R1,住民0001,大沢1-6-18,r1@example.jp\nR3,住民0003,下連雀3-24-3,\n"
        page = await tried(browser, gzip.compress(moved.encode("utf-8-sig")), "meibo.csv.gz")
        said = " ".join(page.words.split())
        for figure in ("新しい人1", "いなくなる人1", "転居した人1", "同じ人0"):
            assert figure in said
        assert "一部だけのファイルではありませんか" in said
        again = page.form(IMPORT)
        await browser.send(page, IMPORT)
        assert await people(room) == ["R1", "R3"]
        twice = await browser.post(IMPORT, again)
        assert (twice.status, "手放しました" in twice.words) == (409, True)


async def test_every_bad_row_is_said_with_file_line_and_what_is_accepted_and_nothing_is_imported(room):
    before = await people(room)
    async with room.signed_in(APPROVER) as browser:
        page = await tried(browser, (HEAD + "R 1,住民0001,大沢2-6-18,\nR2,住民0002,どこか,\n").encode())
        assert page.status == 422
        rows = ["".join(row.itertext()) for row in page.tree.xpath("//tbody/tr")]
        assert any(row.startswith("meibo.csv:2: person_id 宛名番号") and "32字まで" in row for row in rows)
        assert any(row.startswith("meibo.csv:3: address 住所") and "大沢2-6-18" in row for row in rows)
        assert "直す所 2" in page.words
        assert not page.tree.xpath(f'//form[@action="{IMPORT}"]')
        half = TWO.encode() + "R3,住民0003,大沢2-6-18,\n".encode("cp932")
        mixed = await tried(browser, half, "C:\\Users\\職員A\\名簿<b>.csv")
        assert (mixed.status, "名簿<b>.csv:4" in mixed.words) == (422, True)
        assert "職員A\\" not in mixed.text
        assert "<b>.csv" not in mixed.text
        assert "ファイルを選んでください" in (await browser.post(CHECK, (await browser.get(PAGE)).form(CHECK))).words
    assert await people(room) == before


async def test_a_trial_is_worth_nothing_to_another_session_or_after_the_roster_has_changed(room):
    async with room.signed_in(APPROVER) as browser:
        page = await tried(browser, (TWO + "R7,住民0007,大沢1-1-1,\n").encode())
        fields = page.form(IMPORT)
        async with room.signed_in(WRITER) as other:
            seal = (await other.get(PAGE)).form("/signout")["_seal"]
            assert (await other.post(IMPORT, {**fields, "_seal": seal})).status == 409
        by = await room.person(APPROVER)
        welfare = type(by)(by.name, ("welfare",))
        third = (TWO + "R8,住民0008,大沢1-1-1,\n").encode()
        first = await room.node.desk.check_roster(welfare, third)
        await room.node.desk.import_roster(welfare, third, first.fingerprint)
        late = await browser.post(IMPORT, fields)
        assert (late.status, "入れ替えました" in late.words) == (409, True)
        assert await people(room) == ["R1", "R2", "R8"]


async def test_nobody_but_the_role_welfare_tries_a_file_and_a_stranger_sends_none(room):
    async with room.signed_in(WRITER) as browser, room.browser() as stranger:
        page = await browser.get(PAGE)
        assert (page.status, "福祉" in page.words) == (200, True)
        assert PAGE not in (await browser.get("/safety")).text
        form = aiohttp.FormData({"_seal": page.form("/signout")["_seal"]})
        form.add_field("csv", TWO.encode(), filename="meibo.csv")
        refused = await browser.post(CHECK, form)
        assert (refused.status, "権限がありません" in refused.words) == (403, True)
        assert (await stranger.get(PAGE)).status == 303
        form = aiohttp.FormData({"_seal": "x"})
        form.add_field("csv", io.BytesIO(b"0" * 13_000_000), filename="meibo.csv")
        assert (await stranger.post(CHECK, form)).status == 401


async def test_a_file_beyond_the_limit_is_refused_before_it_is_read(room):
    host, port = room.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {CHECK} HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: {room.url}\r\nContent-Length: 64000001\r\n"
    writer.write(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode())
    async with asyncio.timeout(20):
        answer = await reader.readuntil(b"</main>")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert "64 MB までです" in answer.decode()


async def test_a_file_full_of_findings_is_still_a_light_page(room):
    async with room.signed_in(APPROVER) as browser:
        page = await tried(browser, (HEAD + "".join(f"R {n},住民{n:04},どこか,\n" for n in range(600))).encode())
        assert (page.status, "直す所 1,000 より多く" in page.words) == (422, True)
        assert int(page.headers["Content-Length"]) <= 40_000


async def test_the_page_with_a_trial_or_with_findings_is_for_everybody(room):
    async with room.signed_in(APPROVER), async_playwright() as drives:
        browser = await drives.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        await page.context.add_cookies([{"name": "todoke-loopback", "value": room.tokens[APPROVER], "url": room.url}])
        SCREENS.mkdir(parents=True, exist_ok=True)
        for language, name, file in (("ja", "findings", HEAD + "R 1,住民0001,どこか,\n"), ("en", "trial", TWO)):
            await page.goto(f"{room.url}{PAGE}?lang={language}")
            await page.set_input_files("#csv", {"name": "meibo.csv", "mimeType": "text/csv", "buffer": file.encode()})
            async with page.expect_navigation():
                await page.locator(f'form[action="{CHECK}"] button').press("Enter")
            found = (await Axe().run(page, options={"resultTypes": ["violations"]})).response["violations"]
            assert not found, [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found]
            for width in (1280, 390):
                await page.set_viewport_size({"width": width, "height": 1400})
                await page.screenshot(path=SCREENS / f"roster-{name}-{width}.png")
                assert await page.evaluate("document.scrollingElement.scrollWidth") <= width
        await browser.close()
