"""The page on which a message is written, through real HTTP and without a script: nothing typed is lost, whatever is refused."""

import re

import aiohttp
import pytest

from tests.servers.console import APPROVER, OSAWA, WRITER, console, fields, typed

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def composed(writer, **values):
    """A form with template and area, drawn by the node."""
    page = await writer.open("/compose")
    pairs = typed(fields(page, "/compose"), template="elderly-evacuation", area=OSAWA, **values)
    return await writer.post("/compose", pairs)


async def test_a_message_is_composed_saved_edited_and_submitted_without_a_script(room, writer):
    page = await composed(writer, cause="野川の水位が上がっています")
    assert page.status == 200
    assert "野川の水位が上がっています" in page.words
    saved = await writer.post("/compose/save", fields(page, "/compose"))
    assert saved.status == 303
    identifier = re.search(r"/drafts/([^?]+)", saved.headers["Location"])[1]
    page = await writer.open(saved.headers["Location"])
    action = f"/drafts/{identifier}"
    assert dict(fields(page, action))["cause"] == "野川の水位が上がっています"
    edited = typed(fields(page, action), cause="野川があふれそうです", shelters="第七中学校", next_update="23:59")
    done = await writer.post(f"{action}/submit", edited)
    assert done.headers["Location"] == f"{action}/approve"
    draft, prepared = await room.node.desk.preview(await room.person(WRITER), identifier)
    assert draft.state == "pending"
    assert draft.wording["ja"].shelters == "第七中学校"
    assert draft.wording["en-US"].shelters == "第七中学校"
    assert "野川があふれそうです" in draft.wording["ja"].description
    assert f"{draft.next_update:%H:%M}" == "23:59"
    assert prepared.hash == draft.hash
    page = await writer.open(action)
    assert dict(fields(page, action))["shelters"] == "第七中学校"
    assert "承認待ち" in page.words


async def test_a_text_that_nobody_typed_follows_the_area_and_one_that_was_typed_stays(writer):
    page = await composed(writer)
    first = dict(fields(page, "/compose"))
    assert "大沢" in first["words.ja.headline"]
    mine = typed(
        fields(page, "/compose"),
        area=["132041001"],
        words__en_US__short="x",
        **{"words.en-US.short": "Osawa: my own line"},
    )
    after = dict(fields(await writer.post("/compose", mine), "/compose"))
    assert "野崎一丁目" in after["words.ja.headline"]
    assert after["words.en-US.short"] == "Osawa: my own line"
    assert "Nozaki" in after["_was.words.en-US.short"]


async def test_every_finding_stands_at_its_field_and_the_summary_leads_there(writer):
    page = await composed(writer, cause="避難勧告を出しました", next_update="まもなく", expires="1:00 a.m.")
    assert page.status == 200
    for name in ("next_update", "expires"):
        (given,) = page.tree.xpath(f'//*[@id="{name}"]')
        assert given.get("aria-invalid") == "true"
        described = given.get("aria-describedby").split()
        assert any("書いてください" in page.tree.xpath(f'string(//*[@id="{one}"])') for one in described)
        assert page.tree.xpath(f'//*[@id="todo"]//a[@href="#{name}"]')
    refused = await writer.post("/compose/save", fields(page, "/compose"))
    assert refused.status == 422
    assert dict(fields(refused, "/compose"))["cause"] == "避難勧告を出しました"
    assert dict(fields(refused, "/compose"))["next_update"] == "まもなく"
    mended = typed(fields(refused, "/compose"), next_update="", expires="")
    page = await writer.post("/compose", mended)
    (text,) = page.tree.xpath('//textarea[@id="w-ja-description"]')
    assert text.get("aria-invalid") == "true"
    assert "廃止" in page.tree.xpath(f'string(//*[@id="{text.get("aria-describedby").split()[0]}"])')


async def test_a_draft_with_something_to_mend_is_saved_but_not_submitted_and_not_saved_twice(room, writer):
    page = await composed(writer, cause="避難勧告を出しました")
    before = len(await room.node.ledger.drafts())
    refused = await writer.post("/compose/submit", fields(page, "/compose"))
    assert refused.status == 422
    (identifier, _, body), *others = await room.node.ledger.drafts()
    assert len(others) == before
    assert body["state"] == "draft"
    again = await writer.post(f"/drafts/{identifier}/submit", typed(fields(refused, f"/drafts/{identifier}"), cause=""))
    assert again.headers["Location"] == f"/drafts/{identifier}/approve"
    assert len(await room.node.ledger.drafts()) == before + 1


async def test_from_level_4_on_the_order_keeps_its_reviewed_words(writer):
    page = await composed(writer)
    four = await writer.post("/compose", typed(fields(page, "/compose"), template="evacuation-order"))
    assert not four.tree.xpath('//textarea[@name="words.ja.instruction"]')
    assert "危険な場所から全員避難" in four.tree.xpath('string(//*[@id="w-ja-instruction"])')
    forged = typed(fields(four, "/compose"), **{"words.ja.instruction": "各課は庁内メモを確認すること。"})
    refused = await writer.post("/compose/save", forged)
    assert refused.status == 422
    assert "審査済み" in refused.words


async def test_who_may_only_look_sees_a_draft_and_is_offered_no_button(room, writer):
    page = await composed(writer, cause="見るための文です")
    address = (await writer.post("/compose/save", fields(page, "/compose"))).headers["Location"].partition("?")[0]
    draft = address.rpartition("/")[2]
    await room.node.desk.submit(await room.person(WRITER), draft, mode="drill")
    prepared = (await room.node.desk.preview(await room.person(WRITER), draft))[1]
    await room.node.desk.approve(await room.person(APPROVER), draft, shown=prepared.hash, mode="drill")
    seen = await writer.open(address)
    assert seen.status == 200
    assert "見るための文です" in seen.words
    assert "見るだけです" in seen.words
    assert not seen.tree.xpath(f'//button[@formaction="{address}/save"]')
    refused = await writer.post(f"{address}/save", typed(fields(seen, address), cause="あとから"))
    assert refused.status == 403
    assert "あとから" in refused.text, refused.words


async def test_two_who_edit_at_once_see_both_versions_side_by_side_and_nothing_is_lost(room, writer, approver):
    page = await composed(writer, cause="はじめの文です")
    address = (await writer.post("/compose/save", fields(page, "/compose"))).headers["Location"].partition("?")[0]
    mine, theirs = fields(await writer.open(address), address), fields(await approver.open(address), address)
    assert (await approver.post(f"{address}/save", typed(theirs, cause="相手の文です"))).status == 303
    clash = await writer.post(f"{address}/save", typed(mine, cause="自分の文です"))
    assert clash.status == 409
    assert dict(fields(clash, address))["cause"] == "自分の文です"
    table = clash.tree.xpath('string(//*[@id="conflict"])')
    assert "自分の文です" in table
    assert "相手の文です" in table
    over = await writer.post(f"{address}/save", fields(clash, address))
    assert over.status == 303
    draft, _ = await room.node.desk.preview(await room.person(WRITER), address.rpartition("/")[2])
    assert draft.typed["cause"] == "自分の文です"


async def test_what_is_typed_is_kept_by_itself_and_found_again(room, writer, approver):
    page = await composed(writer, cause="書きかけの文です")
    pairs = fields(page, "/compose")
    kept = await writer.post("/compose/keep", pairs, Accept="application/json")
    assert kept.status == 200
    again = typed(pairs, cause="書きかけの文の続きです", _kept="1")
    assert (await writer.post("/compose/keep", again, Accept="application/json")).status == 200
    blank = await writer.open("/compose")
    (link,) = blank.tree.xpath('//a[starts-with(@href, "/compose?key=")]/@href')
    found = await writer.open(link)
    assert dict(fields(found, "/compose"))["cause"] == "書きかけの文の続きです"
    assert not (await approver.open("/compose")).tree.xpath('//a[starts-with(@href, "/compose?key=")]')
    elsewhere = await writer.post("/compose/keep", typed(pairs, cause="別の窓の文です"), Accept="application/json")
    assert elsewhere.status == 200
    assert len((await writer.open("/compose")).tree.xpath('//a[starts-with(@href, "/compose?key=")]')) == 2
    await writer.post("/compose/save", fields(found, "/compose"))
    assert len((await writer.open("/compose")).tree.xpath('//a[starts-with(@href, "/compose?key=")]')) == 1


async def test_a_preview_is_the_rendering_itself_shut_in_a_frame(room, writer):
    page = await composed(writer)
    frames = page.tree.xpath("//iframe")
    assert frames
    assert all(frame.get("sandbox") == "" for frame in frames)
    shown = await writer.get(frames[0].get("src"))
    assert "【訓練】" in shown.text
    assert "sandbox" in shown.headers["Content-Security-Policy"]
    assert "default-src 'none'" in shown.headers["Content-Security-Policy"]
    assert (await writer.get("/previews/" + "0" * 64)).status == 404
    async with room.browser() as stranger:
        assert (await stranger.get(frames[0].get("src"))).status in {303, 401}


async def test_every_page_is_there_in_english_too(room, writer):
    identifier = await room.issued()
    paths = ("/compose?area=132040301", "/areas?area=132040301", f"/drafts/{identifier}", f"/drafts/{identifier}/reach")
    for path in (*paths, f"/alerts/{identifier}/by-hand", f"/progress?alert={identifier}", "/admin"):
        mark = "&" if "?" in path else "?"
        english = await writer.open(f"{path}{mark}lang=en")
        assert english.status == 200, path
        assert english.tree.get("lang") == "en"
        assert (await writer.open(f"{path}{mark}lang=ja")).tree.get("lang") == "ja"


async def test_a_page_stays_under_forty_kilobytes_packed(room, writer):
    page = await composed(writer, cause="あ" * 200)
    saved = (await writer.post("/compose/save", fields(page, "/compose"))).headers["Location"].partition("?")[0]
    async with aiohttp.ClientSession(cookie_jar=writer.session.cookie_jar, auto_decompress=False) as raw:
        for path in (saved, "/areas", f"{saved}/reach", f"{saved}/by-hand", "/progress", "/admin"):
            async with raw.get(room.url + path, headers={"Accept-Encoding": "gzip"}) as answer:
                assert answer.status == 200, path
                assert answer.headers["Content-Encoding"] == "gzip"
                assert len(await answer.read()) < 40_000, path


async def test_nothing_on_these_pages_is_inline(room, writer):
    identifier = await room.issued()
    pages = [
        "/compose",
        "/areas",
        f"/drafts/{identifier}/reach",
        f"/alerts/{identifier}/by-hand",
        "/progress",
        "/admin",
    ]
    for path in pages:
        page = await writer.open(path)
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
    async with console(tmp_path, mode=mode) as room, room.signed_in(WRITER) as writer:
        page = await writer.open("/compose")
        offered = page.tree.xpath('//select[@id="template"]/option/@value')
        assert "evacuation-order" in offered
        assert not [name for name in offered if name.endswith("-lifted") or name == "false-alarm"]


@pytest.mark.parametrize("verb", ["update", "lift"])
async def test_what_follows_begins_with_the_area_before_and_waits_for_a_second_person(room, writer, verb):
    identifier = await room.issued("elderly-evacuation")
    page = await writer.open(f"/compose?of={identifier}&verb={verb}")
    pairs = fields(page, "/compose")
    assert [value for name, value in pairs if name == "area"] == OSAWA
    done = await writer.post("/compose/submit", typed(pairs, cause="野川の水位がさらに上がっています"))
    assert done.status == 303, done.words
    follower = re.search(r"/drafts/([^/]+)/approve", done.headers["Location"])[1]
    draft, _ = await room.node.desk.preview(await room.person(WRITER), follower)
    assert (draft.verb, draft.of, draft.state) == (verb, identifier, "pending")


async def test_a_correction_says_what_was_wrong_and_goes_to_the_page_that_sends_it(room, writer):
    identifier = await room.issued("elderly-evacuation")
    page = await writer.open(f"/compose?of={identifier}&verb=correct")
    refused = await writer.post("/compose/submit", fields(page, "/compose"))
    assert refused.status == 422
    assert refused.tree.xpath('//*[@id="note"]')[0].get("aria-invalid") == "true"
    done = await writer.post("/compose/submit", typed(fields(refused, "/compose"), note="避難先の名前の誤り。"))
    assert done.status == 303, done.words
    follower = re.search(r"/drafts/([^/]+)/approve", done.headers["Location"])[1]
    draft, _ = await room.node.desk.preview(await room.person(WRITER), follower)
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
async def test_hostile_words_are_refused_or_shown_and_never_anything_else(room, writer, text):
    page = await writer.open("/compose")
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
        answer = await writer.post(action, typed(fields(page, "/compose"), **{**good, **said}))
        assert answer.status in {200, 303, 404, 409, 422}, (said, action, answer.words[:200])
        assert "<script>alert" not in answer.text
    assert await room.node.ledger.verify() == []
