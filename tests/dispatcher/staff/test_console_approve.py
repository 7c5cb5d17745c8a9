"""承認 through real HTTP: what is shown is what is sent, nobody approves alone what needs two, and an old page sends nothing."""

from dataclasses import replace

import pyotp
import pytest

from config.templates import load_templates
from dispatcher.model.draft import Verb
from dispatcher.model.mode import Drill
from dispatcher.staff.console.difference import pieces, rows
from dispatcher.staff.console.outline import act_words, short_place
from dispatcher.staff.console.words import Words
from dispatcher.steps.accept import Typed
from tests.servers.console import APPROVER, WRITER

pytestmark = pytest.mark.asyncio(loop_scope="module")


def sending(draft):
    return f"/drafts/{draft}/approve"


async def state(room, draft):
    return (await room.node.desk.preview(await room.person(APPROVER), draft))[0].state


async def test_what_is_read_is_ticked_and_sent_by_a_button_that_names_the_act(room, approver):
    draft = await room.pending(areas=("大沢",))
    page = await approver.open(sending(draft))
    button = page.tree.xpath("//button[contains(@class, 'act')]")[0]
    assert button.text_content() == "訓練：大沢6町丁目へ避難指示を発表"
    assert page.form(sending(draft))["_act"] == "訓練：大沢6町丁目へ避難指示を発表"
    assert len(page.tree.xpath("//form[contains(@action, '/approve')]//button[contains(@class, 'act')]")) == 1
    assert "最初の報です" in page.words
    assert "警戒レベル4 避難指示 大沢の人は いますぐ避難" in page.words
    assert "数えないもの：ウェブサイト" in page.words
    assert "残り 9分" in page.words
    assert "read" not in page.form(sending(draft)), "nobody has ticked it for them"
    unread = await approver.send(page, sending(draft))
    assert unread.status == 422
    assert "しるしを付けてください" in unread.words
    assert await state(room, draft) == "pending"
    out = await approver.send(page, sending(draft), read="yes")
    assert out.url.endswith(f"/alerts/{draft}")
    assert (await room.node.ledger.alert(draft)).facts["by"] == APPROVER
    twice = await approver.send(page, sending(draft), read="yes")
    assert twice.status == 403
    assert "出していません" in twice.words


async def test_all_renderings_stand_folded_on_the_page(room, approver):
    draft = await room.pending(areas=("牟礼",))
    page = await approver.open(sending(draft))
    folded = page.tree.xpath("//details[summary[contains(., '媒体ごとの文')]]")[0]
    assert folded.get("open") is None
    links = folded.xpath(".//article//a/@href")
    assert len(links) >= 3, "a page of the site in each language"
    shown = await approver.get(links[0])
    assert shown.status == 200
    assert "牟礼" in shown.text


async def test_who_submitted_it_reads_why_they_cannot_approve_it(room, writer):
    draft = await room.pending(areas=("北野",))
    page = await writer.open(sending(draft))
    assert not page.tree.xpath(f"//form[@action='{sending(draft)}']")
    assert "承認" in page.words
    assert "may not approve" in page.words


async def test_a_page_that_has_grown_old_approves_nothing_and_shows_what_changed(room, approver):
    desk, person = room.node.desk, await room.person(WRITER)
    draft = await room.pending(areas=("井口",))
    page = await approver.open(sending(draft))
    version = (await desk.preview(person, draft))[0].version
    typed = Typed(template="evacuation-order", areas=("井口", "野崎"))
    await desk.edit(person, draft, version, typed, mode="drill")
    edited = await approver.send(page, sending(draft), read="yes")
    assert edited.status == 403
    assert "出していません" in edited.words
    await desk.submit(person, draft, mode="drill")
    stale = await approver.send(page, sending(draft), read="yes")
    assert stale.status == 409
    assert "開いたあとに変わったところ" in stale.words
    changed = stale.tree.xpath("//section[@role='alert']//ins")
    assert any("野崎" in ins.text for ins in changed)
    assert await state(room, draft) == "pending"
    fresh = await approver.send(stale, sending(draft), read="yes")
    assert fresh.url.endswith(f"/alerts/{draft}"), "the page that came back binds to what it shows"


@pytest.mark.parametrize("shown", ["", "0" * 64, "\u3042", "' or 1=1"])
async def test_a_hash_that_was_never_shown_approves_nothing(room, approver, shown):
    draft = await room.pending(areas=("野崎",))
    page = await approver.open(sending(draft))
    refused = await approver.send(page, sending(draft), read="yes", _hash=shown, _shown="[1, {")
    assert refused.status in {409, 422}
    assert await state(room, draft) == "pending"


async def test_a_live_form_approves_nothing_on_a_drill_node(room, approver):
    draft = await room.pending(areas=("野崎",))
    page = await approver.open(sending(draft))
    refused = await approver.send(page, sending(draft), read="yes", _mode="live")
    assert refused.status == 403
    assert await state(room, draft) == "pending"


async def test_it_is_returned_with_a_reason_or_not_at_all(room, approver, writer):
    draft = await room.pending(areas=("中原",))
    page = await approver.open(sending(draft))
    action = f"/drafts/{draft}/return"
    unsaid = await approver.send(page, action)
    assert unsaid.status == 422
    assert "理由" in unsaid.words
    half = await approver.post(action, {**page.form(action), "why": "", "note": "", "_version": "99"})
    assert half.status == 409
    back = await approver.send(page, action, why="区域が違う", note="六丁目は入りません")
    assert back.status == 200
    found = (await room.node.desk.preview(await room.person(WRITER), draft))[0]
    assert (found.state, found.reason) == ("returned", "区域が違う：六丁目は入りません")
    assert "区域が違う：六丁目は入りません" in (await writer.open(sending(draft))).words


async def test_what_was_written_otherwise_after_it_was_returned_is_shown_to_the_next_approver(room, approver):
    desk, person = room.node.desk, await room.person(WRITER)
    draft = await room.pending(areas=("下連雀",))
    await desk.send_back(await room.person(APPROVER), draft, "川の名前がない", mode="drill")
    version = (await desk.preview(person, draft))[0].version
    typed = Typed(template="evacuation-order", areas=("下連雀",), cause="仙川の水位が上がっています")
    await desk.edit(person, draft, version, typed, mode="drill")
    await desk.submit(person, draft, mode="drill")
    page = await approver.open(sending(draft))
    assert "前に提出したものからの違い" in page.words
    assert "川の名前がない" in page.words
    assert any("仙川" in ins.text for ins in page.tree.xpath("//ins"))


async def test_it_is_rejected_for_good(room, approver):
    draft = await room.pending(areas=("中原",))
    page = await approver.open(sending(draft))
    fields = {**page.form(f"/drafts/{draft}/return"), "why": "いまは要らない"}
    done = await approver.post(f"/drafts/{draft}/reject", fields)
    assert done.status == 303
    assert await state(room, draft) == "rejected"


async def test_an_update_is_shown_against_what_went_out_before(room, approver):
    first = await room.issued(areas=("深大寺",))
    desk, person = room.node.desk, await room.person(WRITER)
    typed = Typed(verb=Verb.UPDATE, of=first, areas=("深大寺", "野崎"), cause="野川の水位が急に上がっています")
    draft, _ = await desk.draft(person, typed, mode="drill")
    await desk.submit(person, draft.identifier, mode="drill")
    page = await approver.open(sending(draft.identifier))
    assert "前回（第1報）からの違い" in page.words
    assert "第2報" in page.words
    assert any("野崎" in ins.text for ins in page.tree.xpath("//ins"))
    assert any("急" in ins.text for ins in page.tree.xpath("//ins"))
    replaced = [gone.tail for gone in page.tree.xpath("//del[following-sibling::*[1][self::ins]]")]
    assert replaced
    assert set(replaced) == {" → "}, "what went and what came do not run together"
    assert page.tree.xpath("//button[contains(@class, 'act')]")[0].text_content().endswith("避難指示の更新を発表")


async def test_in_a_drill_every_text_that_is_to_be_approved_or_retracted_says_so(room, writer, approver):
    draft = await room.pending(areas=("新川",))
    page = await approver.open(sending(draft))
    said = {row[0].text: row[1].text_content() for row in page.tree.xpath("//table[contains(@class, 'diff')]/tbody/tr")}
    assert said["見出し"].startswith("【訓練】")
    issued = await room.issued(areas=("新川",))
    retraction = await writer.open(f"/alerts/{issued}/retract")
    papers = {paper.get("lang"): paper.text_content() for paper in retraction.tree.xpath("//div[@class='paper']")}
    assert {"ja", "ja-x-easy", "en-US"} <= papers.keys()
    for language, said in papers.items():
        assert said.startswith(Drill.banner(language))


async def test_a_correction_is_sent_by_the_one_person_who_wrote_it(room, writer):
    first = await room.issued(areas=("上連雀",))
    desk, person = room.node.desk, await room.person(WRITER)
    typed = Typed(
        verb=Verb.CORRECT, of=first, note="橋の名前が違っていました", cause="野川の御狩野橋で水があふれそうです"
    )
    draft, _ = await desk.draft(person, typed, mode="drill")
    page = await writer.open(sending(draft.identifier))
    button = page.tree.xpath("//button[contains(@class, 'act')]")[0].text_content()
    assert button.startswith("訓練：上連雀")
    assert button.endswith("避難指示を訂正")
    assert "橋の名前が違っていました" in page.words
    stale = await writer.send(page, sending(draft.identifier), read="yes", _version="0")
    assert stale.status == 409
    out = await writer.send(page, sending(draft.identifier), read="yes")
    assert out.url.endswith(f"/alerts/{draft.identifier}")
    assert (await room.node.ledger.alert(draft.identifier)).verb == "correct"


async def test_one_person_alone_needs_an_approved_template_and_a_new_code_and_is_confirmed_by_another(
    room, writer, approver
):
    draft = await room.pending(template="emergency-safety", areas=("大沢",))
    action = f"/drafts/{draft}/break-glass"
    page = await writer.open(sending(draft))
    assert page.tree.xpath(f"//details//form[@action='{action}']"), "folded away: it is the exception"
    code = room.app_code(WRITER)
    unapproved = await writer.send(page, action, read="yes", code=code)
    assert unapproved.status == 403
    assert "承認されていません" in unapproved.words
    template = load_templates()["emergency-safety"]
    proposals = room.accounts.proposals
    first, second = await room.person(WRITER), await room.person(APPROVER)
    proposal = await proposals.propose(first, "template", {"template": template.name, "hash": template.digest})
    await proposals.approve(second, proposal.id)
    wrong = await writer.send(page, action, read="yes", code="000000")
    assert wrong.status in {401, 403}
    assert await state(room, draft) == "pending"
    out = await writer.send(page, action, read="yes", code=pyotp.TOTP(room.apps[WRITER]).now())
    assert out.url.endswith(f"/alerts/{draft}"), out.words
    assert "事後承認待ち" in out.words
    waiting = await approver.open("/")
    assert any("事後承認" in b.text_content() for b in waiting.tree.xpath("//*[@data-live='mine']//b"))
    unread = await approver.send(await approver.open(sending(draft)), f"/drafts/{draft}/confirm")
    assert unread.status == 422
    done = await approver.send(unread, f"/drafts/{draft}/confirm", read="yes")
    assert done.url.endswith(f"/alerts/{draft}")
    assert "事後承認待ち" not in done.words
    assert not (await writer.open(sending(draft))).tree.xpath(f"//form[@action='/drafts/{draft}/confirm']")


async def test_what_nobody_drafted_is_not_found(approver):
    assert (await approver.get("/drafts/nothing/approve")).status == 404
    page = await approver.open("/")
    seal = page.form("/signout")["_seal"]
    for action in ("approve", "return", "reject", "confirm", "break-glass"):
        assert (await approver.post(f"/drafts/nothing/{action}", {"_seal": seal, "read": "yes"})).status == 404, action


@pytest.mark.parametrize(
    ("before", "after", "came"),
    [
        (
            "次の発表は20分ごろ",
            "次の発表は30分ごろ",
            [("same", "次の発表は"), ("del", "20"), ("ins", "30"), ("same", "分ごろ")],
        ),
        ("野川", "野川", [("same", "野川")]),
        ("", "大沢", [("ins", "大沢")]),
        ("大沢", "", [("del", "大沢")]),
        ("", "", []),
        (
            "Evacuate now",
            "Evacuate at once",
            [("same", "Evacuate "), ("del", "now"), ("ins", "at"), ("ins", " "), ("ins", "once")],
        ),
    ],
)
async def test_differences_are_told_word_by_word(before, after, came):
    told = [(p.kind, p.text) for p in pieces(before, after)]
    assert "".join(text for kind, text in told if kind != "del") == after
    assert "".join(text for kind, text in told if kind != "ins") == before
    if len(came) < 5:
        assert told == came


async def test_a_text_of_any_length_is_compared_in_no_time():
    told = list(pieces("あ1" * 20_000, "い2" * 20_000))
    assert [p.kind for p in told] == ["del", "ins"]
    assert [r.label for r in rows(None, {"区域": "大沢", "空": ""})] == ["区域"]


async def test_places_and_acts_are_short_enough_for_a_button(room):
    city, ja, en = room.node.path.city, Words("ja"), Words("en")
    codes = {name: tuple(q.code for q in city.find(name)) for name in ("大沢", "野崎", "大沢一丁目")}
    assert short_place(codes["大沢"], city) == "大沢6町丁目"
    assert short_place(codes["大沢"] + codes["野崎"], city).startswith("大沢ほか")
    assert short_place(codes["大沢一丁目"], city) == "大沢一丁目"
    assert short_place(tuple(city.quarters), city) == "三鷹市の全域"
    draft, _ = await room.node.desk.draft(
        await room.person(WRITER), Typed(template="evacuation-order", areas=("三鷹市",)), mode="drill"
    )
    said = {verb: "".join(act_words(replace(draft, verb=verb), "live", city, ja)) for verb in Verb}
    assert said[Verb.ISSUE] == "本番：三鷹市の全域へ避難指示を発表"
    assert said[Verb.RETRACT] == "本番：三鷹市の全域の避難指示を取消"
    assert len(set(said.values())) == len(Verb)
    assert all("".join(act_words(replace(draft, verb=verb), "live", city, en)).startswith("LIVE: ") for verb in Verb)


@pytest.mark.parametrize(
    ("seconds", "ja", "en"),
    [
        (0, "0秒", "0 s"),
        (0.44, "0.4秒", "0.4 s"),
        (59, "59秒", "59 s"),
        (1390, "23分10秒", "23 min 10 s"),
        (4320, "1時間12分", "1 h 12 min"),
        (90_000, "1日1時間", "1 d 1 h"),
        (-5, "0秒", "0 s"),
    ],
)
async def test_spans_are_said_as_people_say_them(seconds, ja, en):
    assert (Words("ja").span(seconds), Words("en").span(seconds)) == (ja, en)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0件"),
        (43, "43件"),
        (1_106, "およそ1千100件"),
        (14_212, "およそ1万4千件"),
        (190_000, "19万件"),
        (189_916, "およそ19万件"),
    ],
)
async def test_a_number_is_said_by_its_order_of_magnitude(count, said):
    assert Words("ja").about(count) == said
