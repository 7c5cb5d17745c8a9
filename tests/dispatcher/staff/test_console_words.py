"""The pages about words and places, through real HTTP and without a script: nothing typed is lost, whatever is refused."""

import asyncio
import io
import re

import aiohttp
import pytest
import pytest_asyncio
from PIL import Image

from dispatcher.errors import StaleHash
from dispatcher.steps.accept import Typed
from tests.servers.console import APPROVER, WRITER, console

OSAWA = [f"1320403{n:02d}" for n in range(1, 7)]


def fields(page, action):
    """Every field of the form, as pairs: an area has many."""
    (form,) = page.tree.xpath(f'//form[@action="{action}"]')
    # A browser leaves out the line break after <textarea>; this parser does not.
    return [(name, value.removeprefix("\n")) for name, value in form.form_values()]


def typed(pairs, **values):
    """The same form with other words in these fields."""
    names = {name.replace("__", "."): value for name, value in values.items()}
    kept = [(name, value) for name, value in pairs if name not in names]
    return [
        *kept,
        *((name, one) for name, value in names.items() for one in (value if isinstance(value, list) else [value])),
    ]


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory):
    """One node for all tests of this file, with its two people signed in: each test leaves it as it may be found."""
    ready, done = asyncio.get_running_loop().create_future(), asyncio.Event()

    async def keep():
        # A node is opened and closed in one and the same task.
        async with (
            console(tmp_path_factory.mktemp("words")) as here,
            here.signed_in(WRITER) as browser,
            here.signed_in(APPROVER) as other,
        ):
            ready.set_result((here, browser, other))
            await done.wait()

    keeping = asyncio.ensure_future(keep())
    await asyncio.wait({keeping, ready}, return_when=asyncio.FIRST_COMPLETED)
    yield ready.result() if ready.done() else await keeping
    done.set()
    await keeping


@pytest.fixture
def here(house):
    return house[0]


@pytest.fixture
def browser(house):
    return house[1]


@pytest.fixture
def other(house):
    return house[2]


async def composed(browser, **values):
    """A form with template and area, drawn by the node."""
    page = await browser.open("/compose")
    pairs = typed(fields(page, "/compose"), template="elderly-evacuation", area=OSAWA, **values)
    return await browser.post("/compose", pairs)


# -- 作成 ------------------------------------------------------------------------------------------------------------


async def test_a_message_is_composed_saved_edited_and_submitted_without_a_script(here, browser):
    page = await composed(browser, cause="野川の水位が上がっています")
    assert page.status == 200
    assert "野川の水位が上がっています" in page.words
    saved = await browser.post("/compose/save", fields(page, "/compose"))
    assert saved.status == 303
    identifier = re.search(r"/drafts/([^?]+)", saved.headers["Location"])[1]
    page = await browser.open(saved.headers["Location"])
    action = f"/drafts/{identifier}"
    assert dict(fields(page, action))["cause"] == "野川の水位が上がっています"
    edited = typed(fields(page, action), cause="野川があふれそうです", shelters="第七中学校", next_update="23:59")
    done = await browser.post(f"{action}/submit", edited)
    assert done.headers["Location"] == f"{action}/approve"
    draft, prepared = await here.node.desk.preview(await here.person(WRITER), identifier)
    assert draft.state == "pending"
    assert draft.wording["ja"].shelters == "第七中学校"
    assert draft.wording["en-US"].shelters == "第七中学校"
    assert "野川があふれそうです" in draft.wording["ja"].description
    assert f"{draft.next_update:%H:%M}" == "23:59"
    assert prepared.hash == draft.hash
    page = await browser.open(action)
    assert dict(fields(page, action))["shelters"] == "第七中学校"
    assert "承認待ち" in page.words


async def test_a_text_that_nobody_typed_follows_the_area_and_one_that_was_typed_stays(browser):
    page = await composed(browser)
    first = dict(fields(page, "/compose"))
    assert "大沢" in first["words.ja.headline"]
    mine = typed(
        fields(page, "/compose"),
        area=["132041001"],
        words__en_US__short="x",
        **{"words.en-US.short": "Osawa: my own line"},
    )
    after = dict(fields(await browser.post("/compose", mine), "/compose"))
    assert "野崎一丁目" in after["words.ja.headline"]
    assert after["words.en-US.short"] == "Osawa: my own line"
    assert "Nozaki" in after["_was.words.en-US.short"]


async def test_every_finding_stands_at_its_field_and_the_summary_leads_there(browser):
    page = await composed(browser, cause="避難勧告を出しました", next_update="まもなく", expires="1:00 a.m.")
    assert page.status == 200
    for name in ("next_update", "expires"):
        (given,) = page.tree.xpath(f'//*[@id="{name}"]')
        assert given.get("aria-invalid") == "true"
        described = given.get("aria-describedby").split()
        assert any("書いてください" in page.tree.xpath(f'string(//*[@id="{one}"])') for one in described)
        assert page.tree.xpath(f'//*[@id="todo"]//a[@href="#{name}"]')
    refused = await browser.post("/compose/save", fields(page, "/compose"))
    assert refused.status == 422
    assert dict(fields(refused, "/compose"))["cause"] == "避難勧告を出しました"
    assert dict(fields(refused, "/compose"))["next_update"] == "まもなく"
    mended = typed(fields(refused, "/compose"), next_update="", expires="")
    page = await browser.post("/compose", mended)
    (text,) = page.tree.xpath('//textarea[@id="w-ja-description"]')
    assert text.get("aria-invalid") == "true"
    assert "廃止" in page.tree.xpath(f'string(//*[@id="{text.get("aria-describedby").split()[0]}"])')


async def test_a_draft_with_something_to_mend_is_saved_but_not_submitted_and_not_saved_twice(here, browser):
    page = await composed(browser, cause="避難勧告を出しました")
    before = len(await here.node.ledger.drafts())
    refused = await browser.post("/compose/submit", fields(page, "/compose"))
    assert refused.status == 422
    (identifier, _, body), *others = await here.node.ledger.drafts()
    assert len(others) == before
    assert body["state"] == "draft"
    again = await browser.post(
        f"/drafts/{identifier}/submit", typed(fields(refused, f"/drafts/{identifier}"), cause="")
    )
    assert again.headers["Location"] == f"/drafts/{identifier}/approve"
    assert len(await here.node.ledger.drafts()) == before + 1


async def test_from_level_4_on_the_order_keeps_its_reviewed_words(browser):
    page = await composed(browser)
    four = await browser.post("/compose", typed(fields(page, "/compose"), template="evacuation-order"))
    assert not four.tree.xpath('//textarea[@name="words.ja.instruction"]')
    assert "危険な場所から全員避難" in four.tree.xpath('string(//*[@id="w-ja-instruction"])')
    forged = typed(fields(four, "/compose"), **{"words.ja.instruction": "各課は庁内メモを確認すること。"})
    refused = await browser.post("/compose/save", forged)
    assert refused.status == 422
    assert "審査済み" in refused.words


async def test_who_may_only_look_sees_a_draft_and_is_offered_no_button(here, browser):
    page = await composed(browser, cause="見るための文です")
    address = (await browser.post("/compose/save", fields(page, "/compose"))).headers["Location"].partition("?")[0]
    draft = address.rpartition("/")[2]
    await here.node.desk.submit(await here.person(WRITER), draft, mode="drill")
    prepared = (await here.node.desk.preview(await here.person(WRITER), draft))[1]
    await here.node.desk.approve(await here.person(APPROVER), draft, shown=prepared.hash, mode="drill")
    seen = await browser.open(address)
    assert seen.status == 200
    assert "見るための文です" in seen.words
    assert "見るだけです" in seen.words
    assert not seen.tree.xpath(f'//button[@formaction="{address}/save"]')
    refused = await browser.post(f"{address}/save", typed(fields(seen, address), cause="あとから"))
    assert refused.status == 403
    assert "あとから" in refused.text, refused.words


async def test_two_who_edit_at_once_see_both_versions_side_by_side_and_nothing_is_lost(here, browser, other):
    page = await composed(browser, cause="はじめの文です")
    address = (await browser.post("/compose/save", fields(page, "/compose"))).headers["Location"].partition("?")[0]
    mine, theirs = fields(await browser.open(address), address), fields(await other.open(address), address)
    assert (await other.post(f"{address}/save", typed(theirs, cause="相手の文です"))).status == 303
    clash = await browser.post(f"{address}/save", typed(mine, cause="自分の文です"))
    assert clash.status == 409
    assert dict(fields(clash, address))["cause"] == "自分の文です"
    table = clash.tree.xpath('string(//*[@id="conflict"])')
    assert "自分の文です" in table
    assert "相手の文です" in table
    over = await browser.post(f"{address}/save", fields(clash, address))
    assert over.status == 303
    draft, _ = await here.node.desk.preview(await here.person(WRITER), address.rpartition("/")[2])
    assert draft.typed["cause"] == "自分の文です"


async def test_what_is_typed_is_kept_by_itself_and_found_again(here, browser, other):
    page = await composed(browser, cause="書きかけの文です")
    pairs = fields(page, "/compose")
    kept = await browser.post("/compose/keep", pairs, Accept="application/json")
    assert kept.status == 200
    again = typed(pairs, cause="書きかけの文の続きです", _kept="1")
    assert (await browser.post("/compose/keep", again, Accept="application/json")).status == 200
    blank = await browser.open("/compose")
    (link,) = blank.tree.xpath('//a[starts-with(@href, "/compose?key=")]/@href')
    found = await browser.open(link)
    assert dict(fields(found, "/compose"))["cause"] == "書きかけの文の続きです"
    assert not (await other.open("/compose")).tree.xpath('//a[starts-with(@href, "/compose?key=")]')
    elsewhere = await browser.post("/compose/keep", typed(pairs, cause="別の窓の文です"), Accept="application/json")
    assert elsewhere.status == 200
    assert len((await browser.open("/compose")).tree.xpath('//a[starts-with(@href, "/compose?key=")]')) == 2
    await browser.post("/compose/save", fields(found, "/compose"))
    assert len((await browser.open("/compose")).tree.xpath('//a[starts-with(@href, "/compose?key=")]')) == 1


async def test_a_preview_is_the_rendering_itself_shut_in_a_frame(here, browser):
    page = await composed(browser)
    frames = page.tree.xpath("//iframe")
    assert frames
    assert all(frame.get("sandbox") == "" for frame in frames)
    shown = await browser.get(frames[0].get("src"))
    assert "【訓練】" in shown.text
    assert "sandbox" in shown.headers["Content-Security-Policy"]
    assert "default-src 'none'" in shown.headers["Content-Security-Policy"]
    assert (await browser.get("/previews/" + "0" * 64)).status == 404
    async with here.browser() as stranger:
        assert (await stranger.get(frames[0].get("src"))).status in {303, 401}


async def test_every_page_is_there_in_english_too(here, browser):
    identifier = await here.issued()
    paths = ("/compose?area=132040301", "/areas?area=132040301", f"/drafts/{identifier}", f"/drafts/{identifier}/reach")
    for path in (*paths, f"/alerts/{identifier}/by-hand", f"/progress?alert={identifier}", "/admin"):
        mark = "&" if "?" in path else "?"
        english = await browser.open(f"{path}{mark}lang=en")
        assert english.status == 200, path
        assert english.tree.get("lang") == "en"
        assert (await browser.open(f"{path}{mark}lang=ja")).tree.get("lang") == "ja"


async def test_a_page_stays_under_forty_kilobytes_packed(here, browser):
    page = await composed(browser, cause="あ" * 200)
    saved = (await browser.post("/compose/save", fields(page, "/compose"))).headers["Location"].partition("?")[0]
    async with aiohttp.ClientSession(cookie_jar=browser.session.cookie_jar, auto_decompress=False) as raw:
        for path in (saved, "/areas", f"{saved}/reach", f"{saved}/by-hand", "/progress", "/admin"):
            async with raw.get(here.url + path, headers={"Accept-Encoding": "gzip"}) as answer:
                assert answer.status == 200, path
                assert answer.headers["Content-Encoding"] == "gzip"
                assert len(await answer.read()) < 40_000, path


async def test_nothing_on_these_pages_is_inline(here, browser):
    identifier = await here.issued()
    pages = [
        "/compose",
        "/areas",
        f"/drafts/{identifier}/reach",
        f"/alerts/{identifier}/by-hand",
        "/progress",
        "/admin",
    ]
    for path in pages:
        page = await browser.open(path)
        assert page.status == 200, path
        assert not page.tree.xpath("//*[@style] | //style | //script[not(@src)]"), path
        assert not [name for e in page.tree.iter() for name in e.attrib if name.startswith("on")], path
        labelled = set(page.tree.xpath("//label/@for"))
        for control in page.tree.xpath("//main//input[not(@type='hidden')] | //main//select | //main//textarea"):
            has_label = control.get("id") in labelled or control.get("aria-label") or control.xpath("ancestor::label")
            assert has_label, (path, control.get("name"), control.get("id"))
        ids = page.tree.xpath("//@id")
        assert len(set(ids)) == len(ids), (path, sorted({i for i in ids if ids.count(i) > 1}))
        for given in page.tree.xpath("//@aria-describedby"):
            assert set(given.split()) <= set(ids), (path, given)


@pytest.mark.parametrize("mode", ["live", "drill"])
async def test_the_templates_offered_are_those_of_the_mode(tmp_path, mode):
    async with console(tmp_path, mode=mode) as here, here.signed_in(WRITER) as browser:
        page = await browser.open("/compose")
        offered = page.tree.xpath('//select[@id="template"]/option/@value')
        assert "evacuation-order" in offered
        assert not [name for name in offered if name.endswith("-lifted") or name == "false-alarm"]


@pytest.mark.parametrize("verb", ["update", "lift"])
async def test_what_follows_begins_with_the_area_before_and_waits_for_a_second_person(here, browser, verb):
    identifier = await here.issued("elderly-evacuation")
    page = await browser.open(f"/compose?of={identifier}&verb={verb}")
    pairs = fields(page, "/compose")
    assert [value for name, value in pairs if name == "area"] == OSAWA
    done = await browser.post("/compose/submit", typed(pairs, cause="野川の水位がさらに上がっています"))
    assert done.status == 303, done.words
    follower = re.search(r"/drafts/([^/]+)/approve", done.headers["Location"])[1]
    draft, _ = await here.node.desk.preview(await here.person(WRITER), follower)
    assert (draft.verb, draft.of, draft.state) == (verb, identifier, "pending")


async def test_a_correction_says_what_was_wrong_and_goes_to_the_page_that_sends_it(here, browser):
    identifier = await here.issued("elderly-evacuation")
    page = await browser.open(f"/compose?of={identifier}&verb=correct")
    refused = await browser.post("/compose/submit", fields(page, "/compose"))
    assert refused.status == 422
    assert refused.tree.xpath('//*[@id="note"]')[0].get("aria-invalid") == "true"
    done = await browser.post("/compose/submit", typed(fields(refused, "/compose"), note="避難先の名前の誤り。"))
    assert done.status == 303, done.words
    follower = re.search(r"/drafts/([^/]+)/approve", done.headers["Location"])[1]
    draft, _ = await here.node.desk.preview(await here.person(WRITER), follower)
    assert (draft.verb, draft.state, draft.note) == ("correct", "draft", "避難先の名前の誤り。")


HOSTILE = [
    "\x00",
    "\u202e" * 50,
    "<script>alert(1)</script>",
    "{place!r}",
    "%s%n",
    "あ" * 8_000,
    "'; DROP TABLE drafts; --",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_words_are_refused_or_shown_and_never_anything_else(here, browser, text):
    page = await browser.open("/compose")
    names = (
        "template",
        "hazard",
        "cause",
        "shelters",
        "next_update",
        "expires",
        "note",
        "_version",
        "_verb",
        "_key",
        "_of",
    )
    alone = [("/compose/save", {name: text}) for name in names]
    together = [(action, dict.fromkeys(names, text)) for action in ("/compose", "/compose/areas", "/compose/submit")]
    for action, said in alone + together:
        good = {"template": "elderly-evacuation", "area": OSAWA}
        answer = await browser.post(action, typed(fields(page, "/compose"), **{**good, **said}))
        assert answer.status in {200, 303, 404, 409, 422}, (said, action, answer.words[:200])
        assert "<script>alert" not in answer.text
    assert await here.node.ledger.verify() == []


# -- 区域 ------------------------------------------------------------------------------------------------------------


async def test_an_area_is_chosen_in_the_middle_of_a_message_and_every_word_comes_back(browser):
    page = await browser.open("/compose")
    pairs = typed(fields(page, "/compose"), template="elderly-evacuation", cause="野川の\n水位が上がっています")
    page = await browser.post("/compose/areas", pairs)
    for change, chosen in (
        ("group:大沢", OSAWA),
        ("ungroup:大沢", []),
        ("group:野崎", None),
        ("none", []),
        ("group:大沢", OSAWA),
    ):
        page = await browser.post("/compose/areas", [*fields(page, "/compose/areas"), ("_change", change)])
        ticked = page.tree.xpath("//input[@name='area'][@checked]/@value")
        assert chosen is None or ticked == chosen
    assert len(page.tree.xpath("//svg//path[starts-with(@id, 'm')]")) == 62
    back = await browser.post("/compose", fields(page, "/compose/areas"))
    got = fields(back, "/compose")
    assert [value for name, value in got if name == "area"] == OSAWA
    assert dict(got)["cause"].replace("\r\n", "\n") == "野川の\n水位が上がっています"
    assert not {"_change", "radius_m", "polygon", "centre"} & {name for name, _ in got}


async def test_circle_polygon_and_saved_areas_work_without_a_script(browser):
    page = await browser.open("/areas")
    circle = typed(fields(page, "/areas"), centre="132040302", radius_m="300", _change="circle")
    page = await browser.post("/areas", circle)
    around = page.tree.xpath("//input[@name='area'][@checked]/@value")
    assert "132040302" in around
    page = await browser.post("/areas", typed(fields(page, "/areas"), area_name="野川沿い", _change="save"))
    assert "保存しました" in page.words
    page = await browser.post("/areas", typed(fields(page, "/areas"), _change="none"))
    assert not page.tree.xpath("//input[@name='area'][@checked]")
    page = await browser.post("/areas", typed(fields(page, "/areas"), _change="saved:野川沿い"))
    assert page.tree.xpath("//input[@name='area'][@checked]/@value") == around
    twice = await browser.post("/areas", typed(fields(page, "/areas"), area_name="野川沿い", _change="save"))
    assert twice.status == 409
    assert twice.tree.xpath("//input[@name='area'][@checked]/@value") == around
    page = await browser.post("/areas", typed(fields(page, "/areas"), _change="remove:野川沿い"))
    assert "消しました" in page.words
    polygon = "35.69,139.50 35.69,139.54 35.65,139.54 35.65,139.50"
    page = await browser.post("/areas", typed(fields(page, "/areas"), area=[], polygon=polygon, _change="polygon"))
    assert set(OSAWA) <= set(page.tree.xpath("//input[@name='area'][@checked]/@value"))
    wrong = await browser.post("/areas", typed(fields(page, "/areas"), polygon="ここ", _change="polygon"))
    assert wrong.status == 422
    assert wrong.tree.xpath('//*[@id="polygon"]')[0].get("aria-invalid") == "true"
    whole = await browser.post("/areas", typed(fields(page, "/areas"), polygon="", _change="all"))
    assert len(whole.tree.xpath("//input[@name='area'][@checked]")) == 62


async def test_no_choice_is_never_the_whole_city(browser):
    page = await browser.open("/areas")
    refused = await browser.post("/areas/use", fields(page, "/areas"))
    assert refused.status == 422
    assert "全域ではありません" in refused.words
    used = await browser.post("/areas/use", typed(fields(page, "/areas"), area=["132041001"]))
    assert used.headers["Location"] == "/compose?area=132041001"
    begun = await browser.open(used.headers["Location"])
    assert [value for name, value in fields(begun, "/compose") if name == "area"] == ["132041001"]


async def test_the_map_asks_no_other_machine_for_anything(browser):
    page = await browser.open("/areas")
    (opener,) = page.tree.xpath('//*[@id="open-large"]')
    for address in (opener.get("data-js"), opener.get("data-css"), opener.get("data-geojson"), "/areas/ties.css"):
        answer = await browser.get(address)
        assert answer.status == 200, address
    assert not re.findall(r'(?:src|href|data-[a-z]+)="(?:https?:)?//', page.text)
    assert (await browser.get("/areas/leaflet/leaflet-src.js")).status == 404


# -- 対象見込み・手で伝えるもの --------------------------------------------------------------------------------------------


async def test_reach_says_not_counted_where_the_medium_counts_nobody(here, browser):
    draft, _ = await here.node.desk.draft(
        await here.person(WRITER), Typed(template="evacuation-order", areas=("大沢",)), mode="drill"
    )
    page = await browser.open(f"/drafts/{draft.identifier}/reach")
    assert "数えない" in page.words
    assert "大沢" in page.words
    assert "メールも端末も1つもない町丁目が 6" in page.words


async def test_what_is_done_by_hand_is_ticked_with_a_name_and_a_time(here, browser):
    identifier = await here.issued()
    path = f"/alerts/{identifier}/by-hand"
    page = await browser.open(path)
    assert page.words.count("まだ") >= 3
    assert "おおさわ" in page.words
    wrong = await browser.post(f"{path}/l_alert", {**page.form(f"{path}/l_alert"), "at": "25:00"})
    assert wrong.status == 422
    assert wrong.tree.xpath('//*[@id="at-l_alert"]')[0].get("aria-invalid") == "true"
    done = await browser.send(page, f"{path}/l_alert", who="情報班")
    assert "情報班" in done.words
    ticks = {t.system: t for t in await here.node.desk.ticks(await here.person(WRITER), identifier)}
    assert (ticks["l_alert"].who, ticks["l_alert"].by) == ("情報班", WRITER)
    twice = await browser.post(f"{path}/l_alert", page.form(f"{path}/l_alert"))
    assert twice.status == StaleHash.http_status
    undone = await browser.send(done, f"{path}/l_alert", _undo="1")
    assert "情報班" not in undone.words


# -- 経過 ------------------------------------------------------------------------------------------------------------


def photograph():
    out = io.BytesIO()
    Image.new("RGB", (800, 600), (40, 80, 120)).save(out, "JPEG")
    return out.getvalue()


async def reported(here, browser, photo=None, name="x.jpg", **said):
    page = await browser.open("/progress")
    form = aiohttp.FormData(default_to_multipart=True)
    given = {
        **page.form("/progress/reports"),
        "text": "水が護岸を越えています。",
        "place": "大沢二丁目",
        "source": "消防団",
        **said,
    }
    given.pop("photo", None)
    for field, value in given.items():
        form.add_field(field, value or "")
    if photo is not None:
        form.add_field("photo", io.BytesIO(photo), filename=name, content_type="image/jpeg")
    body = form()
    headers = {"Origin": here.url, "Sec-Fetch-Site": "same-origin"}
    out = io.BytesIO()

    class Into:
        async def write(self, data):
            out.write(data)

    await body.write(Into())
    headers |= {"Content-Type": body.content_type}
    async with browser.session.post(
        here.url + "/progress/reports", data=io.BytesIO(out.getvalue()), headers=headers
    ) as answer:
        return await browser._page(answer)


async def test_a_report_with_a_picture_stands_in_the_log_and_becomes_a_draft(here, browser):
    page = await reported(here, browser, photograph())
    assert page.status == 200, page.words
    assert "水が護岸を越えています。" in page.words
    source = page.tree.xpath("//main//img/@src")[0]
    async with browser.session.get(here.url + source) as answer:
        assert answer.content_type == "image/jpeg"
        assert (await answer.read()).startswith(b"\xff\xd8")
    (link, *_) = page.tree.xpath('//a[starts-with(@href, "/compose?report=")]/@href')
    begun = dict(fields(await browser.open(link), "/compose"))
    assert begun["cause"] == "水が護岸を越えています"
    assert begun["area"] == "132040302"


async def test_a_report_that_is_refused_keeps_its_words_and_says_why_at_each_field(here, browser):
    before = await here.node.desk.reports(await here.person(WRITER))
    page = await reported(here, browser, b"GIF89a no picture", text="あ" * 3000, place="", at="99:99")
    assert page.status == 422
    for name in ("text", "place", "seen", "photo"):
        assert page.tree.xpath(f'//*[@id="{name}"]')[0].get("aria-invalid") == "true", name
    assert page.form("/progress/reports")["text"].strip() == "あ" * 3000
    assert "写真はもう一度選んでください" in page.words
    too_large = await reported(here, browser, b"\xff\xd8" + b"\0" * 11_000_000)
    assert too_large.status == 422
    assert "10 MB" in too_large.words
    assert await here.node.desk.reports(await here.person(WRITER)) == before


async def test_the_log_tells_in_words_what_happened_to_a_message(here, browser):
    identifier = await here.issued()
    page = await browser.open(f"/progress?alert={identifier}")
    for said in ("下書きを書いた", "承認へ提出した", "承認して発表した"):
        assert said in page.words
    assert APPROVER in page.words
    everything = await browser.open("/progress")
    assert identifier not in everything.words, "a message is named by what it says and where"
    assert any("避難指示" in line.text_content() for line in everything.tree.xpath("//ol[@id='log']//p[@class='sub']"))


async def test_the_board_can_be_seen_as_it_stood_and_not_before_it_was(here, browser):
    identifier = await here.issued()
    now = await browser.open(f"/progress?alert={identifier}")
    assert "いま" in now.tree.xpath('string(//*[@id="then"])')
    early = await browser.open(f"/progress?alert={identifier}&at=2026-01-01+10:00")
    assert "まだ出ていません" in early.words
    issued = (await here.node.ledger.alert(identifier)).issued_at
    then = await browser.open(f"/progress?alert={identifier}&at={issued:%Y-%m-%dT%H:%M}:59")
    assert "ウェブサイト" in then.tree.xpath('string(//*[@id="then"])')
    wrong = await browser.open(f"/progress?alert={identifier}&at=<script>")
    assert wrong.status == 200
    assert wrong.tree.xpath('//*[@id="at"]')[0].get("aria-invalid") == "true"
    assert (await browser.get("/progress?alert=nothing")).status == 404


# -- 管理 ------------------------------------------------------------------------------------------------------------


async def test_a_duty_list_that_no_server_mails_says_so(browser):
    assert "duty:（送信に使うサーバー）がありません" in (await browser.open("/admin")).words


async def test_what_changes_people_takes_two_admins(here, browser, other):
    page = await browser.open("/admin")
    wrong = await browser.post("/admin/propose/add", typed(fields(page, "/admin/propose/add"), name="職員0005"))
    assert wrong.status == 422
    done = await browser.post(
        "/admin/propose/add", typed(fields(wrong, "/admin/propose/add"), name="職員0005", roles=["viewer"])
    )
    assert done.status == 303
    mine = await browser.open("/admin")
    assert "別の管理者が承認します" in mine.words
    theirs = await other.open("/admin")
    action = theirs.tree.xpath('//form[contains(@action, "/approve")]/@action')[0]
    assert (await browser.post(action, {"_seal": mine.form("/admin/verify")["_seal"]})).status == 403
    out = await other.post(action, fields(theirs, action))
    assert out.status == 200
    code = out.tree.xpath('string(//*[@id="handed-over"])')
    assert len(code) > 8
    assert code not in (await other.open("/admin")).text
    assert "職員0005" in [p.name for p in await here.accounts.people()]


async def test_a_session_is_ended_from_the_list_and_its_cookie_opens_nothing(here, browser, other):
    async with here.signed_in(APPROVER) as lost:
        page = await browser.open("/admin")
        rows = page.tree.xpath(f'//section[@id="sessions"]//tr[contains(., "{APPROVER}")]//form/@action')
        assert len(rows) == 2
        await browser.post(rows[0], fields(page, rows[0]))
        assert (await lost.get("/admin")).status == 303
        assert (await other.get("/admin")).status == 200


async def test_a_template_is_compared_with_what_was_approved_and_the_ledger_verified(here, browser, other):
    page = await browser.open("/admin?template=evacuation-order")
    assert "いますぐ避難" in page.words
    forms = [
        f
        for f in page.tree.xpath('//form[@action="/admin/propose/template"]')
        if "evacuation-order" in dict(f.form_values()).values()
    ]
    await browser.post("/admin/propose/template", forms[0].form_values())
    theirs = await other.open("/admin")
    action = theirs.tree.xpath('//form[contains(@action, "/approve")]/@action')[0]
    await other.post(action, fields(theirs, action))
    page = await browser.open("/admin")
    assert "使えます" in page.tree.xpath('string(//*[@id="template-evacuation-order"])')
    text = await here.node.desk.kept_text(await here.person(WRITER), "evacuation-order", besides="")
    assert "いますぐ避難" in text
    checked = await browser.post("/admin/verify", fields(page, "/admin/verify"))
    assert "書きかえはありません" in checked.words
