"""The pages of 安否 as a browser draws them: for everybody's use, at a desk and on a phone, in both languages, light.

Pictures of each are kept under out/screens/, for people to look at.
"""

from pathlib import Path

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import async_playwright

from dispatcher.model.campaign import Answer
from dispatcher.staff.asking import Went
from dispatcher.staff.cases import Said
from dispatcher.tracking.answering import Reported
from tests.servers.chromium import CHROMIUM
from tests.servers.console import APPROVER, PASSWORD, WRITER, console
from tests.servers.residents import ALSO, HIDDEN, QUARTERS, WELFARE, residents

pytestmark = pytest.mark.asyncio(loop_scope="module")
SCREENS = Path(__file__).parents[3] / "out" / "screens"
WIDE, NARROW, HEIGHT, HIGHEST = 1280, 390, 844, 6000
HEAVIEST_BYTES = 40 * 1024
REGISTER = """\
id,name,kind,address,quarter,lat,lon,people,language,terminals,mails,phones
F001,大沢台小学校,school,大沢1-1-1,132040301,,,412,ja,,,0422-00-0001 0422-00-0002
F002,大沢保育園,nursery,大沢2-1-1,132040302,,,96,ja,,,0422-00-0003
"""
PAGES = {
    "supporters": "/safety/{campaign}/supporters",
    "safety": "/safety",
    "campaign": "/safety/{campaign}",
    "case": "/safety/{campaign}/people/{person}",
    "visits": "/safety/{campaign}/visits",
    "sealed": "/safety/{campaign}/sealed",
    "unmatched": "/safety/{campaign}/reports",
    "facilities": "/alerts/{alert}/facilities",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def night(tmp_path_factory):
    """A round about an alert, with answers of every kind; and a browser."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "facilities.csv").write_text(REGISTER, "utf-8")
    (folder / "key").write_text("k" * 48)
    (folder / "key").chmod(0o600)
    foremost = {"register": str(folder / "facilities.csv"), "secret": {"file": str(folder / "key")}}
    async with console(folder, also=ALSO, facilities=foremost) as room:
        city, desk = residents(room.node), room.node.desk
        alert = await room.issued(areas=("大沢一丁目", "大沢二丁目"))
        campaign = await city.asked(alert)
        for name, answer, source in (
            ("住民0001", "help", "self"),
            ("住民0002", "hurt", "relative"),
            ("住民0003", "ok", "self"),
            ("住民0004", "help", "self"),
            ("住民0004", "ok", "relative"),
            (HIDDEN.name, "help", "self"),
        ):
            said = Said(answer, source, saw=False, text="二階にいます" if answer == "help" else "")
            await desk.answer_for(WELFARE, campaign, city.ids[name], said)
        await desk.take_on(WELFARE, campaign, city.ids["住民0002"])
        reported = Reported(
            "r1", Answer.HURT, False, "website", room.node.path.clock.now(), "住民0005", details={"note": "腕"}
        )
        await city.loop.answering.report(reported)
        went: Went = await desk.ask(await room.person(APPROVER), about="", quarters=QUARTERS, kind="watch")
        async with async_playwright() as drives:
            browser = await drives.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            who = {"person": city.ids["住民0004"], "silent": city.ids["住民0009"]}
            names = {"campaign": campaign, "alert": alert, **who}
            yield room, browser, names
            await browser.close()
        assert went.waits_as


async def signed_in(room, browser, name):
    session = await room.accounts.sign_in(name, PASSWORD, room.codes[name].pop(), "127.0.0.1", "test")
    context = await browser.new_context(viewport={"width": WIDE, "height": HEIGHT})
    await context.add_cookies([{"name": "todoke-loopback", "value": session.token, "url": room.url}])
    return await context.new_page()


async def see_no_violation(page):
    found = (await Axe().run(page, options={"resultTypes": ["violations"]})).response["violations"]
    assert not found, [
        (rule["id"], node["html"][:200], node["failureSummary"]) for rule in found for node in rule["nodes"]
    ]


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_of_residents_is_for_everybody_and_light(night, name):
    room, browser, names = night
    page = await signed_in(room, browser, APPROVER)
    heavy = []
    page.on("response", lambda answer: heavy.append(answer) if answer.request.resource_type == "document" else None)
    await page.goto(room.url + PAGES[name].format(**names))
    assert int(heavy[0].headers["content-length"]) <= HEAVIEST_BYTES
    assert heavy[0].status == 200
    await see_no_violation(page)
    SCREENS.mkdir(parents=True, exist_ok=True)
    for width in (WIDE, NARROW):
        await page.set_viewport_size({"width": width, "height": HEIGHT})
        height = await page.evaluate("document.scrollingElement.scrollHeight")
        await page.set_viewport_size({"width": width, "height": min(height, HIGHEST)})
        await page.screenshot(path=SCREENS / f"welfare-{name}-{width}.png")
        assert await page.evaluate("document.scrollingElement.scrollWidth") <= width
        assert not await page.evaluate(
            "[...document.querySelectorAll('main td')].some(e => e.scrollHeight > e.clientHeight + 2)"
        )
    await page.goto(room.url + PAGES[name].format(**names) + "?lang=en")
    await see_no_violation(page)
    await page.context.close()


async def test_an_english_page_calls_groups_and_systems_by_english_names(night):
    room, _, names = night
    async with room.signed_in(APPROVER) as browser:
        groups = await browser.get(f"/safety/{names['campaign']}?lang=en")
        rows = groups.tree.xpath('//table[@aria-labelledby="cohorts"]/tbody/tr/th')
        assert [row.text_content() for row in rows] == ["everybody"]
        for path in ("/", f"/alerts/{names['alert']}/by-hand"):
            page = await browser.get(path)
            assert "Municipal loudspeakers" in page.words
            assert "防災行政無線" not in " ".join(page.tree.xpath("//h2//text() | //th//text() | //@aria-label"))
        assert "要支援者" not in (await browser.get(f"/safety/{names['campaign']}/sealed")).words
        assert "要支援者" in (await browser.get(f"/safety/{names['campaign']}/sealed?lang=ja")).words


async def test_the_log_calls_rounds_and_messages_by_what_they_ask_and_say_and_lists_by_their_names(night):
    room, _, names = night
    async with room.signed_in(APPROVER) as browser:
        await browser.get(f"/safety/{names['campaign']}?lang=ja")
        log = await browser.get("/progress")
        said = " ".join(log.tree.xpath('//ol[@id="log"]//text()'))
        assert "安否の確認　大沢一丁目" in said
        assert "第1報" in said
        assert names["campaign"] not in said
        assert names["alert"] not in said
        assert "住民の一覧を見た" not in said, "each page of 安否 is one, and nobody would find the rest"
        said = " ".join((await browser.get("/progress?all=1")).tree.xpath('//ol[@id="log"]//text()'))
        assert "住民の一覧を見た：すぐ動く人" in said


async def test_what_reaches_everybody_or_ends_a_round_is_not_one_press_away(night):
    room, _, names = night
    async with room.signed_in(APPROVER) as browser:
        page = await browser.get(f"/safety/{names['campaign']}")
        for act in ("again", "end"):
            assert page.tree.xpath(f'//details[not(@open)]//form[@action="/safety/{names["campaign"]}/{act}"]')


async def test_relatives_can_be_called_from_the_page_of_somebody_who_is_silent(night):
    room, _, names = night
    async with room.signed_in(APPROVER) as browser:
        page = await browser.get(f"/safety/{names['campaign']}/people/{names['silent']}")
        assert "親族の電話" in page.words
        assert page.tree.xpath('//a[starts-with(@href, "tel:030000")]')


async def test_whoever_need_not_be_asked_is_exempt_by_a_press_that_nobody_makes_by_chance(night):
    room, _, names = night
    one = f"/safety/{names['campaign']}/people/{names['silent']}"
    async with room.signed_in(APPROVER) as browser:
        page = await browser.get(one)
        assert page.tree.xpath(f'//details[not(@open)]//form[@action="{one}/exempt"]')
        page = await browser.send(page, f"{one}/exempt")
        assert "対象外" in page.words
        assert not page.tree.xpath(f'//form[@action="{one}/exempt" or @action="{one}/take" or @action="{one}/resolve"]')
        assert page.form(f"{one}/answer"), "a word of theirs is heard all the same"


async def test_a_welfare_officer_answers_for_somebody_without_a_script_and_a_search_needs_a_reason(night):
    room, _, names = night
    async with room.signed_in(APPROVER) as browser:
        page = await browser.get(f"/safety/{names['campaign']}")
        assert "まだだれも動いていません" in page.words
        refused = await browser.send(page, f"/safety/{names['campaign']}/search", _words="住民0006", reason="")
        assert refused.status == 422
        assert "見る理由を選んでください" in refused.words
        found = await browser.send(page, f"/safety/{names['campaign']}/search", _words="住民0006", reason="called")
        assert "住民0006" in found.words
        (link,) = [a for a in found.tree.xpath("//main//td//a/@href") if "/people/" in a]
        case = await browser.get(link)
        unsaid = await browser.send(case, f"{link}/answer", answer="ok", source="self", saw="1")
        assert unsaid.status == 422
        assert "電話か訪問かを選んでください" in unsaid.words
        done = await browser.send(case, f"{link}/answer", answer="ok", source="self", by="visit", saw="1")
        assert "無事" in done.words
        (heard,) = done.tree.xpath("//table[@aria-labelledby='heard']/tbody/tr")
        assert "訪問" in heard.text_content()
        assert "電話" not in heard.text_content()
        wrong = await browser.post(f"{link}/answer", {**case.form(f"{link}/answer"), "answer": "fine"})
        assert wrong.status == 422


async def test_who_approves_is_told_how_many_facilities_hear_first(night):
    room, _, _ = night
    draft = await room.pending(areas=("大沢一丁目", "大沢二丁目"))
    async with room.signed_in(APPROVER) as browser:
        page = await browser.get(f"/drafts/{draft}/approve")
    assert "はじめに知らせる施設：2 か所" in page.words


async def test_somebody_else_sees_counts_and_nobody_by_name(night):
    room, browser, names = night
    page = await signed_in(room, browser, WRITER)
    await page.goto(room.url + f"/safety/{names['campaign']}")
    text = await page.inner_text("main")
    assert "5未満" in text
    assert "住民0001" not in text
    await page.screenshot(path=SCREENS / "welfare-others-1280.png", full_page=True)
    await page.context.close()


async def test_a_facility_that_was_told_by_telephone_leaves_the_list_and_one_that_did_not_answer_stays(night):
    room, _, names = night
    async with room.signed_in(APPROVER) as browser:
        path = f"/alerts/{names['alert']}/facilities"
        page = await browser.get(path)
        assert "確認がない施設 近い順に電話する（2）" in page.words
        page = await browser.send(page, f"{path}/F001", spoke_with="教頭")
        assert "確認がない施設 近い順に電話する（1）" in page.words
        assert "教頭" in page.words
        page = await browser.send(page, f"{path}/F002", _act="nobody")
        assert "確認がない施設 近い順に電話する（1）" in page.words
        assert "出ない" in page.words
