"""The console's frame through real HTTP: who gets in, what leaves, forged and stale forms, and that nothing typed is ever lost."""

import gzip
import re

import aiohttp
import pytest

from dispatcher.listening import listening
from dispatcher.staff.console import application
from dispatcher.staff.console.frame import ASSETS
from dispatcher.staff.console.posted import Held, is_local
from drills.world.ports import free_port
from tests.servers.console import APPROVER, PASSWORD, WRITER

pytestmark = pytest.mark.asyncio(loop_scope="module")
REPORT = "野川 御狩野橋 で水があふれそうと電話\n2人が屋根の上"


async def test_whoever_is_not_signed_in_is_led_to_the_way_in_and_afterwards_to_where_they_wanted(room):
    async with room.browser() as browser:
        page = await browser.get("/alerts?x=1")
        assert page.status == 303
        assert page.headers["Location"] == "/signin?next=/alerts?x%3D1"
        form = (await browser.open("/alerts?x=1")).form("/signin")
        done = await browser.post(
            "/signin", {**form, "name": WRITER, "password": PASSWORD, "code": room.codes[WRITER].pop()}
        )
        assert done.status == 303
        assert done.headers["Location"] == "/alerts?x=1"
        assert re.search(r"todoke-loopback=[\w-]{43};.* HttpOnly; Path=/; SameSite=Strict", done.headers["Set-Cookie"])


async def test_a_wrong_sign_in_keeps_the_name_and_says_nothing_about_what_was_wrong(room):
    async with room.browser() as browser:
        page = await browser.send(await browser.open("/signin"), "/signin", name=WRITER, password="x" * 20, code="1")
        nobody = await browser.send(await browser.open("/signin"), "/signin", name="職員9999", password="x", code="1")
    assert page.status == nobody.status == 401
    assert page.form("/signin")["name"] == WRITER
    assert "password" not in page.form("/signin") or not page.form("/signin")["password"]
    reason = re.search(r"サインイン (.+?) 名前 ", page.words)
    assert reason
    assert reason[1] in nobody.words


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example/", "/\\evil.example", "/a\r\nSet-Cookie: x=1", ""]
)
async def test_the_way_in_never_leads_to_another_site(room, wanted):
    async with room.browser() as browser:
        page = await browser.open("/signin")
        fields = {**page.form("/signin"), "_next": wanted, "name": "x", "password": "x", "code": "x"}
        again = await browser.post("/signin", fields)
    assert again.form("/signin")["_next"] == "/"
    assert not is_local(wanted)


async def test_a_cookie_replayed_after_signing_out_opens_nothing(room):
    async with room.signed_in(WRITER) as browser:
        cookie = next(c.value for c in browser.session.cookie_jar if c.key == "todoke-loopback")
        page = await browser.open("/")
        out = await browser.send(page, "/signout")
        assert "サインイン" in out.words
        replayed = await browser.get("/", Cookie=f"todoke-loopback={cookie}")
        guessed = await browser.get("/", Cookie=f"todoke-loopback={'A' * 43}")
    assert replayed.status == guessed.status == 303
    assert replayed.headers["Location"] == "/signin"
    async with room.signed_in(APPROVER) as browser:
        assert "終わったサインイン、または知らない鍵" in (await browser.open("/")).words


async def test_a_flood_of_refusals_does_not_fill_the_chain(room):
    async def refused():
        return [r async for r in room.node.ledger.events() if r.event.name == "console.refused"]

    before = len(await refused())
    async with room.browser() as browser:
        for number in range(40):
            await browser.get("/", Cookie=f"todoke-loopback={number:043d}")
            await browser.post("/halt", {"reason": "x"}, Origin="https://evil.example")
        assert len(await refused()) - before <= 4, "one of a kind and place in ten seconds"
        stood = await refused()
        for _ in range(20):
            await browser.get("/calls", Cookie=f"todoke-loopback={'A' * 43}", Accept="application/json")
    assert len(await refused()) - len(stood) <= 1, "a page that was left open asks again and again"


async def test_over_https_the_cookie_is_bound_to_this_very_host(room):
    port = free_port()
    app = application(room.node.desk, room.accounts, room.node.path, "https://console.example.jp")
    async with listening(app, "127.0.0.1", port), aiohttp.ClientSession() as session:
        data = {"name": WRITER, "password": PASSWORD, "code": room.codes[WRITER].pop()}
        headers = {
            "Host": "console.example.jp",
            "Origin": "https://console.example.jp",
            "Sec-Fetch-Site": "same-origin",
        }
        url = f"http://127.0.0.1:{port}/signin"
        async with session.post(url, data=data, headers=headers, allow_redirects=False) as done:
            assert done.status == 303
            assert re.search(
                r"__Host-todoke=[\w-]{43}; HttpOnly; Path=/; SameSite=Strict; Secure|__Host-todoke=.*Secure",
                done.headers["Set-Cookie"],
            )


async def test_the_names_of_no_other_site_reach_in(writer):
    page = await writer.get("/", Host="evil.example")
    assert page.status == 421


EVERY_PAGE = (
    "/",
    "/approve",
    "/alerts",
    "/alerts/{alert}",
    "/alerts/{alert}/destinations",
    "/alerts/{alert}/retract",
    "/drafts/{draft}/approve",
    "/nowhere",
)


async def test_every_page_lets_only_our_own_files_in_and_is_kept_nowhere(room, approver):
    alert, draft = await room.issued(), await room.pending()
    for place in EVERY_PAGE:
        page = await approver.get(place.format(alert=alert, draft=draft))
        assert page.status == (404 if place == "/nowhere" else 200), page.words
        assert page.headers["Content-Security-Policy"].startswith(
            "default-src 'none'; style-src 'self'; script-src 'self'"
        )
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Referrer-Policy"] == "same-origin"
        inline = page.tree.xpath("//style | //*[@style] | //script[not(@src)] | //@*[starts-with(name(), 'on')]")
        assert not inline, (place, inline)
        for form in page.tree.xpath('//form[@method="post"]'):
            assert form.xpath('.//input[@name="_seal"]'), (place, form.get("action"))


async def test_every_page_is_small_and_begins_with_the_strip(room, approver):
    alert, draft = await room.issued(), await room.pending()
    files = sum(len(ASSETS[name].zipped) for name in ("todoke.css", "console.js"))
    for place in EVERY_PAGE:
        page = await approver.get(place.format(alert=alert, draft=draft))
        assert len(gzip.compress(page.text.encode())) + files < 40_000, place
        strip = page.tree.xpath("//body/*[not(@class='skip')]")[0]
        assert "mode-drill" in strip.get("class")
        assert strip.text_content().startswith("訓練")


async def test_a_refusal_has_the_same_headers(room):
    async with room.browser() as browser:
        page = await browser.get("/alerts")
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert page.headers["Cache-Control"] == "no-store"


async def test_files_are_kept_for_ever_under_a_name_that_changes_with_them(writer):
    page = await writer.open("/")
    style = page.tree.xpath("//link[@rel='stylesheet']/@href")[0]
    found = await writer.get(style)
    assert found.status == 200
    assert "immutable" in found.headers["Cache-Control"]
    assert (await writer.get(re.sub("/[0-9a-f]{12}/", "/000000000000/", style))).status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"},
        {"Origin": "https://evil.example", "Sec_Fetch_Site": ""},
        {"Origin": "null", "Sec_Fetch_Site": "same-origin"},
        {"Origin": "", "Sec_Fetch_Site": "same-site"},
        {"Origin": "", "Sec_Fetch_Site": ""},
        {"Origin": "http://[evil", "Sec_Fetch_Site": "same-origin"},
    ],
)
async def test_a_form_from_elsewhere_is_refused_and_written_down(room, writer, headers):
    page = await writer.open("/")
    refused = await writer.post("/halt", {**page.form("/halt"), "reason": "よそから"}, **headers)
    assert refused.status == 403
    assert room.node.desk.halted is None
    board = await writer.open("/")
    assert "よそからの送信" in board.words


async def test_a_form_without_this_sessions_seal_comes_back_with_what_was_typed(room, writer):
    page = await writer.open("/")
    refused = await writer.post("/halt", {**page.form("/halt"), "_seal": "0" * 64, "reason": REPORT})
    assert refused.status == 403
    assert room.node.desk.halted is None
    assert refused.form("/halt")["reason"].replace("\r", "") == REPORT
    assert "もう一度押して" in refused.words


async def test_what_was_typed_when_the_session_ended_comes_back_after_the_sign_in(room):
    async with room.signed_in(WRITER) as browser:
        page = await browser.open("/")
        await room.accounts.sign_out(next(c.value for c in browser.session.cookie_jar if c.key == "todoke-loopback"))
        ended = await browser.post("/halt", {**page.form("/halt"), "reason": REPORT})
        assert ended.status == 401
        assert "書いたものは残っています" in ended.words
        wrong = await browser.send(ended, "/signin", name=WRITER, password="wrong password", code="000000")
        back = await browser.send(wrong, "/signin", name=WRITER, password=PASSWORD, code=room.codes[WRITER].pop())
        assert back.form("/halt")["reason"].replace("\r", "") == REPORT
        assert room.node.desk.halted is None, "nothing is sent by signing in"
        board = await browser.send(back, "/halt")
        assert room.node.desk.halted.reason.replace("\r", "") == REPORT
        assert board.tree.xpath("//*[contains(@class, 'mode-halt')]")[0].text_content().startswith("停止中")
    await room.node.desk.reopen(await room.person(APPROVER))


async def test_an_approval_is_never_carried_through_a_sign_in(room):
    draft = await room.pending()
    async with room.signed_in(APPROVER) as browser:
        page = await browser.open(f"/drafts/{draft}/approve")
        await room.accounts.sign_out(next(c.value for c in browser.session.cookie_jar if c.key == "todoke-loopback"))
        ended = await browser.post(f"/drafts/{draft}/approve", {**page.form(f"/drafts/{draft}/approve"), "read": "yes"})
        assert ended.status == 401
        again = await browser.send(ended, "/signin", name=APPROVER, password=PASSWORD, code=room.codes[APPROVER].pop())
        assert again.url.endswith(f"/drafts/{draft}/approve")
        assert "決める" in again.words
    assert (await room.node.desk.preview(await room.person(APPROVER), draft))[0].state == "pending"


async def test_a_seal_of_an_earlier_session_never_approves(room, approver):
    draft = await room.pending()
    page = await approver.open(f"/drafts/{draft}/approve")
    fields = {**page.form(f"/drafts/{draft}/approve"), "read": "yes", "_seal": "f" * 64}
    refused = await approver.post(f"/drafts/{draft}/approve", fields)
    assert refused.status == 403
    assert not refused.tree.xpath(f'//form[@action="/drafts/{draft}/approve"]')
    assert f'href="/drafts/{draft}/approve"' in refused.text


async def test_the_language_is_remembered(room):
    async with room.browser() as browser:
        assert "Six digits" in (await browser.open("/signin?lang=en")).words
        english = await browser.open("/signin")
        assert english.tree.get("lang") == "en"
        assert "サインイン" in (await browser.open("/signin?lang=ja")).words
        assert (await browser.open("/signin?lang=<script>")).tree.get("lang") == "ja"


async def test_a_script_is_told_in_data_that_the_session_ended(room):
    async with room.browser() as browser:
        for path in ("/calls", "/session"):
            answer = await browser.get(path, Accept="application/json")
            assert answer.status == 401
            assert answer.headers["Content-Type"].startswith("application/json")
        assert (await browser.get("/events", Accept="text/event-stream")).status == 401


async def test_the_api_below_keeps_guards_of_its_own(room):
    async with room.browser() as browser:
        answer = await browser.get("/api/v1/status")
    assert answer.status == 401
    assert "signin" not in answer.headers.get("Location", "")


HOSTILE = [
    b"",
    b"\xff\xfe" * 100,
    b"a" * 5000,
    b"&".join(b"f%d=1" % n for n in range(5000)),
    b"reason=%00%1b%5b2J&_seal=%ED%A0%80",
    b"_held=" + b"%5B" * 3000,
]


@pytest.mark.parametrize("body", HOSTILE)
@pytest.mark.parametrize("path", ["/signin", "/halt", "/silence", "/passkey"])
async def test_hostile_forms_are_refused_and_nothing_falls_over(room, writer, path, body):
    headers = {
        "Origin": writer.url,
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    async with writer.session.post(writer.url + path, data=body, headers=headers, allow_redirects=False) as answer:
        assert answer.status < 500, await answer.text()
    assert room.node.desk.halted is None


async def test_a_form_too_large_or_of_unknown_length_is_not_read(writer):
    headers = {
        "Origin": writer.url,
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": "application/x-www-form-urlencoded",
    }

    async def endless():
        for _ in range(64):
            yield b"a" * 65536

    async with writer.session.post(writer.url + "/halt", data=b"a" * 1_000_001, headers=headers) as answer:
        assert answer.status == 413
    try:
        async with writer.session.post(writer.url + "/halt", data=endless(), headers=headers) as answer:
            assert answer.status == 413
    except aiohttp.ClientConnectionError:
        pass  # it was closed in the middle of what nobody was going to read


async def test_a_held_form_is_read_only_if_it_leads_to_this_site():
    held = Held("/halt?x=1", (("reason", "あ"), ("_act", "止める"), ("area", "1"), ("area", "2")))
    assert Held.read(held.text()) == held
    assert held.label == "止める"
    assert held.typed == (("reason", "あ"), ("area", "1\n2"))
    assert held.carried == (("_act", "止める"), ("area", "1"), ("area", "2"))
    for text in (
        '{"action": "//evil", "fields": []}',
        "[]",
        "nul",
        "[" * 9000,
        '{"action": "/x"}',
        '{"action": "/x", "fields": 3}',
    ):
        assert Held.read(text) is None


async def test_the_other_language_shows_the_same_page(room, approver):
    alert = await room.issued()
    page = await approver.open(f"/alerts/{alert}/destinations?kind=website&show=all")
    (link,) = page.tree.xpath("//*[@class='who']/a[@hreflang='en']/@href")
    english = await approver.open(link)
    assert "Who has it and who has not" in english.words
    assert "all 1" in english.words
    elsewhere = await approver.get("//evil.example/x")
    assert elsewhere.tree.xpath("//*[@class='who']/a[@hreflang]/@href")[0].startswith("/?lang=")
    await approver.open("/?lang=ja")
