"""The pages of what happened and of who may do what, through real HTTP and without a script."""

import io

import aiohttp
import pytest
from PIL import Image

from tests.servers.console import APPROVER, WRITER, fields, typed

pytestmark = pytest.mark.asyncio(loop_scope="module")


def photograph():
    out = io.BytesIO()
    Image.new("RGB", (800, 600), (40, 80, 120)).save(out, "JPEG")
    return out.getvalue()


async def reported(room, writer, photo=None, name="x.jpg", **said):
    page = await writer.open("/progress")
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
    headers = {"Origin": room.url, "Sec-Fetch-Site": "same-origin"}
    out = io.BytesIO()

    class Into:
        async def write(self, data):
            out.write(data)

    await body.write(Into())
    headers |= {"Content-Type": body.content_type}
    async with writer.session.post(
        room.url + "/progress/reports", data=io.BytesIO(out.getvalue()), headers=headers
    ) as answer:
        return await writer._page(answer)


async def test_a_report_with_a_picture_stands_in_the_log_and_becomes_a_draft(room, writer):
    page = await reported(room, writer, photograph())
    assert page.status == 200, page.words
    assert "水が護岸を越えています。" in page.words
    source = page.tree.xpath("//main//img/@src")[0]
    async with writer.session.get(room.url + source) as answer:
        assert answer.content_type == "image/jpeg"
        assert (await answer.read()).startswith(b"\xff\xd8")
    (link, *_) = page.tree.xpath('//a[starts-with(@href, "/compose?report=")]/@href')
    begun = dict(fields(await writer.open(link), "/compose"))
    assert begun["cause"] == "水が護岸を越えています"
    assert begun["area"] == "132040302"


async def test_a_report_that_is_refused_keeps_its_words_and_says_why_at_each_field(room, writer):
    before = await room.node.desk.reports(await room.person(WRITER))
    page = await reported(room, writer, b"GIF89a no picture", text="あ" * 3000, place="", at="99:99")
    assert page.status == 422
    for name in ("text", "place", "seen", "photo"):
        assert page.tree.xpath(f'//*[@id="{name}"]')[0].get("aria-invalid") == "true", name
    assert page.form("/progress/reports")["text"].strip() == "あ" * 3000
    assert "写真はもう一度選んでください" in page.words
    too_large = await reported(room, writer, b"\xff\xd8" + b"\0" * 11_000_000)
    assert too_large.status == 422
    assert "10 MB" in too_large.words
    assert await room.node.desk.reports(await room.person(WRITER)) == before


async def test_the_log_tells_in_words_what_happened_to_a_message(room, writer):
    identifier = await room.issued()
    page = await writer.open(f"/progress?alert={identifier}")
    for said in ("下書きを書いた", "承認へ提出した", "承認して発表した"):
        assert said in page.words
    assert APPROVER in page.words
    everything = await writer.open("/progress")
    assert identifier not in everything.words, "a message is named by what it says and where"
    assert any("避難指示" in line.text_content() for line in everything.tree.xpath("//ol[@id='log']//p[@class='sub']"))


async def test_the_board_can_be_seen_as_it_stood_and_not_before_it_was(room, writer):
    identifier = await room.issued()
    now = await writer.open(f"/progress?alert={identifier}")
    assert "いま" in now.tree.xpath('string(//*[@id="then"])')
    early = await writer.open(f"/progress?alert={identifier}&at=2026-01-01+10:00")
    assert "まだ出ていません" in early.words
    issued = (await room.node.ledger.alert(identifier)).issued_at
    then = await writer.open(f"/progress?alert={identifier}&at={issued:%Y-%m-%dT%H:%M}:59")
    assert "ウェブサイト" in then.tree.xpath('string(//*[@id="then"])')
    wrong = await writer.open(f"/progress?alert={identifier}&at=<script>")
    assert wrong.status == 200
    assert wrong.tree.xpath('//*[@id="at"]')[0].get("aria-invalid") == "true"
    assert (await writer.get("/progress?alert=nothing")).status == 404


async def test_a_duty_list_that_no_server_mails_says_so(writer):
    assert "duty:（送信に使うサーバー）がありません" in (await writer.open("/admin")).words


async def test_what_changes_people_takes_two_admins(room, writer, approver):
    page = await writer.open("/admin")
    wrong = await writer.post("/admin/propose/add", typed(fields(page, "/admin/propose/add"), name="職員0005"))
    assert wrong.status == 422
    done = await writer.post(
        "/admin/propose/add", typed(fields(wrong, "/admin/propose/add"), name="職員0005", roles=["viewer"])
    )
    assert done.status == 303
    mine = await writer.open("/admin")
    assert "別の管理者が承認します" in mine.words
    theirs = await approver.open("/admin")
    action = theirs.tree.xpath('//form[contains(@action, "/approve")]/@action')[0]
    assert (await writer.post(action, {"_seal": mine.form("/admin/verify")["_seal"]})).status == 403
    out = await approver.post(action, fields(theirs, action))
    assert out.status == 200
    code = out.tree.xpath('string(//*[@id="handed-over"])')
    assert len(code) > 8
    assert code not in (await approver.open("/admin")).text
    assert "職員0005" in [p.name for p in await room.accounts.people()]


async def test_a_session_is_ended_from_the_list_and_its_cookie_opens_nothing(room, writer, approver):
    async with room.signed_in(APPROVER) as lost:
        page = await writer.open("/admin")
        rows = page.tree.xpath(f'//section[@id="sessions"]//tr[contains(., "{APPROVER}")]//form/@action')
        assert len(rows) == 2
        await writer.post(rows[0], fields(page, rows[0]))
        assert (await lost.get("/admin")).status == 303
        assert (await approver.get("/admin")).status == 200


async def test_a_template_is_compared_with_what_was_approved_and_the_ledger_verified(room, writer, approver):
    page = await writer.open("/admin?template=evacuation-order")
    assert "いますぐ避難" in page.words
    forms = [
        f
        for f in page.tree.xpath('//form[@action="/admin/propose/template"]')
        if "evacuation-order" in dict(f.form_values()).values()
    ]
    await writer.post("/admin/propose/template", forms[0].form_values())
    theirs = await approver.open("/admin")
    action = theirs.tree.xpath('//form[contains(@action, "/approve")]/@action')[0]
    await approver.post(action, fields(theirs, action))
    page = await writer.open("/admin")
    assert "使えます" in page.tree.xpath('string(//*[@id="template-evacuation-order"])')
    text = await room.node.desk.kept_text(await room.person(WRITER), "evacuation-order", besides="")
    assert "いますぐ避難" in text
    checked = await writer.post("/admin/verify", fields(page, "/admin/verify"))
    assert "書きかえはありません" in checked.words
