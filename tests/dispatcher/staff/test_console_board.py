"""状況板 and 配信板 through real HTTP: what waits for whom, the alarm and its silence, live pieces, and a medium that is down."""

import asyncio
import contextlib
import itertools
import json
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from dispatcher.clock import SystemClock
from dispatcher.listening import listening
from dispatcher.model.draft import Verb
from dispatcher.staff.console import application
from dispatcher.staff.console.live import Live
from dispatcher.staff.console.room import CONSOLE
from dispatcher.staff.sessions import Person
from dispatcher.steps.accept import Typed
from drills.world.ports import free_port
from tests.servers.console import APPROVER, WRITER, console, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def broken(tmp_path_factory):
    """Headquarters whose website answers nobody."""
    nobody = {"url": f"http://127.0.0.1:{free_port()}"}
    async with console(tmp_path_factory.mktemp("broken"), website=nobody) as opened:
        yield opened


def tasks(page):
    return [
        " ".join(todo.text_content().split())
        for todo in page.tree.xpath("//*[@data-live='mine']//*[starts-with(@class, 'todo')]")
    ]


def row(page, kind="website"):
    return page.tree.xpath(f"//tr[@data-row='{kind}']")[0]


async def taken(room, identifier):
    """Wait until every medium has it."""
    person = await room.person(APPROVER)

    async def is_taken():
        lines = (await room.node.desk.board(person, identifier)).lines
        return lines and all(line.taken == line.destinations for line in lines if line.destinations)

    await until(is_taken, f"{identifier} taken")


class Reader:
    """A page that follows: `text/event-stream`, event by event."""

    def __init__(self, answer):
        self.answer = answer
        self._rest = b""

    async def next(self):
        """The next event that bears data: its id and the piece of a page."""
        async with asyncio.timeout(20):
            while True:
                while b"\n\n" in self._rest:
                    block, self._rest = self._rest.split(b"\n\n", 1)
                    fields = dict(
                        line.split(b": ", 1) for line in block.split(b"\n") if b": " in line and line[:1] != b":"
                    )
                    if b"data" in fields:
                        return fields[b"id"].decode(), json.loads(fields[b"data"])
                chunk = await self.answer.content.readany()
                assert chunk, "the stream ended"
                self._rest += chunk


def following(browser, path, last=""):
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
    return browser.session.get(browser.url + path, headers=headers)


async def test_a_submission_waits_for_who_may_approve_it_and_not_for_who_wrote_it(room, writer, approver):
    await room.pending(areas=("牟礼",))
    waiting = [task for task in tasks(await approver.open("/")) if "牟礼" in task]
    assert len(waiting) == 1
    assert waiting[0].startswith("承認待ち")
    assert "職員0001が提出。残り" in waiting[0]
    assert not [task for task in tasks(await writer.open("/")) if "牟礼" in task]


async def test_what_was_returned_waits_for_who_wrote_it_with_the_reason(room, writer, approver):
    draft = await room.pending(areas=("北野",))
    await room.node.desk.send_back(await room.person(APPROVER), draft, "区域が違う", mode="drill")
    assert any(
        "返されました" in task and "区域が違う" in task and "北野" in task for task in tasks(await writer.open("/"))
    )
    assert not any("北野" in task for task in tasks(await approver.open("/")))


async def test_a_live_alert_stands_with_its_level_place_and_the_way_to_take_it_back(room, approver):
    alert = await room.issued(areas=("井口",))
    await taken(room, alert)
    page = await approver.open("/")
    article = page.tree.xpath(f"//article[.//a[@href='/alerts/{alert}']]")[0]
    words = " ".join(article.text_content().split())
    assert "警戒レベル4 避難指示" in words
    assert "井口" in words
    assert "1媒体のうち1つで受領済み" in words
    assert article.xpath(".//*[@data-since]")
    undo = page.tree.xpath("//aside[@class='undo']//a")[0]
    assert undo.get("accesskey") == "k"
    assert undo.get("href").endswith("/retract")
    assert (await approver.get(undo.get("href"))).status == 200


async def test_the_alarm_stands_on_every_page_and_is_silent_for_ten_minutes_for_one_person(room, writer, approver):
    await room.pending(areas=("野崎",))
    page = await approver.open("/alerts")
    assert page.tree.xpath("//*[@data-alarm='1']//section[@class='alarm']")
    assert json.loads((await approver.get("/calls", Accept="application/json")).text)["sounds"] is True
    quiet = await approver.send(page, "/silence")
    assert quiet.url.endswith("/alerts"), "back to where it was pressed"
    assert quiet.tree.xpath("//*[@data-alarm='0']//section[contains(@class, 'is-silent')]")
    told = json.loads((await approver.get("/calls", Accept="application/json")).text)
    assert told["sounds"] is False
    assert told["count"] >= 1, "it is silent, not gone"
    events = [r async for r in room.node.ledger.events() if r.event.name == "alarm.silenced"]
    assert [e.event.facts["by"] for e in events] == [APPROVER]
    version, body = await room.node.ledger.read_record("silence", APPROVER)
    assert version == 1
    assert (room.node.path.clock.now() - events[0].at).total_seconds() < 60
    assert body["until"] > events[0].at.isoformat()


async def test_a_link_test_lights_the_lamps_and_reaches_nobody(room, approver):
    before = await room.node.ledger.alerts()
    page = await approver.send(await approver.open("/"), "/probe")
    lamps = page.tree.xpath("//*[@data-live='media']//tbody/tr")
    assert [lamp.xpath("./th")[0].text for lamp in lamps] == ["ウェブサイト"]
    assert "正常" in lamps[0].text_content()
    assert await room.node.ledger.alerts() == before


async def test_what_a_rule_refused_stands_on_the_board(room, writer, approver):
    draft = await room.pending(areas=("深大寺",))
    path = f"/drafts/{draft}/approve"
    _, prepared = await room.node.desk.preview(await room.person(WRITER), draft)
    seal = (await writer.open("/")).form("/signout")["_seal"]
    refused = await writer.post(path, {"_seal": seal, "read": "yes", "_hash": prepared.hash, "_mode": "drill"})
    assert refused.status == 403
    board = await approver.open("/")
    told = board.tree.xpath("//*[@data-live='refused']//tbody/tr")[0].text_content()
    assert "職員0001" in told
    assert "承認" in told


async def test_a_halted_node_says_so_on_its_strip_and_an_approver_opens_it_again(room, writer, approver):
    page = await writer.send(await writer.open("/"), "/halt", reason="送信所の工事")
    assert page.tree.xpath("//body/*[contains(@class, 'mode-halt')]")[0].text_content().startswith("停止中")
    assert "送信所の工事" in page.words
    draft = await room.pending(areas=("中原",))
    sending = await approver.open(f"/drafts/{draft}/approve")
    refused = await approver.send(sending, f"/drafts/{draft}/approve", read="yes")
    assert refused.status == 403
    assert "停止中" in refused.words
    opened = await approver.send(await approver.open("/"), "/reopen")
    assert opened.tree.xpath("//body/*[contains(@class, 'mode-drill')]")


async def test_the_delivery_board_counts_only_what_was_seen(room, approver):
    alert = await room.issued(areas=("上連雀",))
    await taken(room, alert)
    page = await approver.open(f"/alerts/{alert}")
    line = row(page)
    assert line.get("data-state") == "done"
    words = " ".join(line.text_content().split())
    assert "ウェブサイト 受領 1 / 1 数えない 数えない" in words
    assert page.tree.xpath("//dd[@data-since and @data-exact]")
    assert f"/alerts/{alert}/destinations?kind=website" in page.text
    assert {"更新", "訂正", "解除"} <= {a.text for a in page.tree.xpath("//main//a[@class='btn']")} | {"更新"}
    assert page.tree.xpath("//aside[@class='undo']")


async def test_without_a_script_a_page_reloads_by_itself_for_who_asks_for_it_only(room, approver):
    alert = await room.issued(areas=("下連雀",))
    page = await approver.open(f"/alerts/{alert}")
    assert not page.tree.xpath("//meta[@http-equiv='refresh']")
    assert page.tree.xpath(f"//noscript//a[@href='/alerts/{alert}?auto=1']")
    asked = await approver.open(f"/alerts/{alert}?auto=1")
    assert asked.tree.xpath("//noscript/meta[@http-equiv='refresh']/@content") == ["30"]


async def test_a_follower_gets_what_changed_and_nothing_twice(room, approver, writer):
    alert = await room.issued(areas=("新川",))
    await taken(room, alert)
    path = f"/alerts/{alert}/events"
    async with following(approver, path) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Content-Encoding" not in answer.headers
        reader = Reader(answer)
        first, piece = await reader.next()
        assert 'data-live="website.state"' in piece
        assert "_seal" not in piece, "one piece for everybody bears nobody's seal"
        async with following(writer, path, last=first) as back:
            other = Reader(back)
            await room.node.desk.follow(
                await room.person(APPROVER), Verb.RETRACT, alert, Typed(note="誤り"), mode="drill"
            )
            newest, piece = await reader.next()
            again, _ = await other.next()
    assert newest != first
    assert again != first, "what it had already did not come again"


@asynccontextmanager
async def impatient(room):
    """The same headquarters at another door, where nobody is waited for long and a piece is as large as it is new."""
    port = free_port()
    app = application(room.node.desk, room.accounts, room.node.path, f"http://127.0.0.1:{port}")
    live = Live(app[CONSOLE], slow_s=0.3, session_s=0.1)
    app.cleanup_ctx.append(live.run)
    app.on_shutdown.append(live.close)

    async def large(request):
        count = itertools.count()

        async def make():
            return f"{next(count)}" * 3_000_000

        return await live.stream(request, ("large",), make)

    async def board(request):
        return await live.stream(request, ("board",), lambda: text("standing still"))

    async def text(words):
        return words

    app.router.add_get("/large", large)
    app.router.add_get("/still", board)
    async with listening(app, "127.0.0.1", port):
        yield f"http://127.0.0.1:{port}"


def cookie_of(browser):
    return next(c.value for c in browser.session.cookie_jar if c.key == "todoke-loopback")


async def test_a_stream_ends_with_its_session(room):
    async with room.signed_in(WRITER) as browser, impatient(room) as url:
        headers = {"Accept": "text/event-stream", "Cookie": f"todoke-loopback={cookie_of(browser)}"}
        async with browser.session.get(url + "/still", headers=headers) as answer:
            _, piece = await Reader(answer).next()
            assert piece == "standing still"
            await room.accounts.sign_out(cookie_of(browser))
            async with asyncio.timeout(20):
                while await answer.content.readany():
                    pass


async def test_a_reader_who_does_not_read_is_dropped_and_keeps_nobody_waiting(room, approver):
    async with impatient(room) as url:
        address = url.removeprefix("http://")
        host, _, port = address.partition(":")
        _, deaf = await asyncio.open_connection(host, int(port), limit=1)
        asked = f"GET /large HTTP/1.1\r\nHost: {address}\r\nCookie: todoke-loopback={cookie_of(approver)}\r\n\r\n"
        deaf.write(asked.encode())
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                await deaf.wait_closed() if deaf.is_closing() else await _until_dropped(deaf)
        headers = {"Accept": "text/event-stream", "Cookie": f"todoke-loopback={cookie_of(approver)}"}
        async with approver.session.get(url + "/still", headers=headers) as answer:
            assert (await Reader(answer).next())[1] == "standing still"


async def _until_dropped(writer):
    """Write now and then what nobody waits for; the other side's reset is an error here."""
    while True:
        writer.write(b"\r\n")
        await writer.drain()
        await SystemClock().sleep(0.05)


async def test_a_stranger_cannot_follow_an_alert_that_is_not_there(approver):
    assert (await approver.get("/alerts/nowhere/events", Accept="text/event-stream")).status == 404
    assert (await approver.get("/alerts/nowhere")).status == 404
    assert (await approver.get("/alerts/nowhere/destinations")).status == 404
    assert (await approver.get("/alerts/nowhere/retract")).status == 404


async def test_a_medium_that_is_down_is_said_in_its_own_words_and_can_be_tried_again(broken):
    async with broken.signed_in(APPROVER) as approver, broken.signed_in(WRITER) as writer:
        alert = await broken.issued()

        async def failing():
            page = await approver.open(f"/alerts/{alert}")
            return page if row(page).get("data-state") == "retry" else None

        page = await until(failing, "the board says that it is tried again")
        assert "再送待ち" in row(page).text_content()
        assert row(page).xpath(".//q")[0].text.strip(), "the medium's own words"
        board = await approver.open("/")
        assert any("ウェブサイト" in task and "再送待ち" in task for task in tasks(board))
        assert board.tree.xpath("//*[@data-alarm='1']")
        retried = await writer.send(await writer.open(f"/alerts/{alert}"), f"/alerts/{alert}/channels/website/retry")
        assert retried.status == 200
        closed = await writer.send(retried, "/channels/pause", kind="website", reason="回線の工事")

        async def is_closed():
            page = await writer.open(f"/alerts/{alert}")
            return page if row(page).get("data-state") == "off" else None

        closed = await until(is_closed, "closed")
        assert "回線の工事" in row(closed).text_content()
        reasonless = await writer.send(closed, "/channels/pause", kind="website", reason="")
        assert reasonless.status == 422
        waiting = await approver.open("/")
        assert any(task.startswith("閉じたまま ウェブサイト") for task in tasks(waiting))
        opened = await approver.send(waiting, "/channels/resume")
        assert opened.url == broken.url + "/"
        assert not broken.node.desk.closed
        open_ones = await approver.open(f"/alerts/{alert}/destinations?kind=website")
        assert "まだの宛先 1" in open_ones.words
        probed = await approver.send(await approver.open("/"), "/probe")
        assert any(task.startswith("つながりません") for task in tasks(probed))


async def test_recipients_are_listed_the_open_ones_first_asked_for(room, approver):
    alert = await room.issued(areas=("大沢",))
    await taken(room, alert)
    page = await approver.open(f"/alerts/{alert}/destinations")
    assert "まだの宛先 0" in page.words
    everybody = await approver.open(f"/alerts/{alert}/destinations?show=all&kind=<script>&after=-1")
    assert "すべて 1" in everybody.words
    assert "受領" in everybody.words


async def test_a_retraction_is_one_key_away_and_never_one_key(room, writer):
    alert = await room.issued(areas=("牟礼",))
    await taken(room, alert)
    board = await writer.open(f"/alerts/{alert}")
    page = await writer.open(board.tree.xpath("//aside[@class='undo']//a/@href")[0])
    assert "まだ何も送っていません" in page.words
    assert "【取消】牟礼" in page.words, "what will be said stands there before it is pressed"
    button = page.tree.xpath("//button[contains(@class, 'act')]")[0].text_content()
    assert button == "訓練：牟礼7町丁目の避難指示を取消"
    empty = await writer.send(page, f"/alerts/{alert}/retract", note="")
    assert empty.status == 422
    assert "何が誤りだったか" in empty.words
    drill = await writer.send(page, f"/alerts/{alert}/retract", note="これは訓練でした")
    assert drill.status == 422
    assert drill.form(f"/alerts/{alert}/retract")["note"] == "これは訓練でした"
    gone = await writer.send(page, f"/alerts/{alert}/retract")
    assert gone.status == 200
    retraction = gone.url.rsplit("/", 1)[1]
    assert retraction != alert
    assert (await room.node.ledger.alert(retraction)).verb == "retract"
    old = await writer.open(f"/alerts/{alert}")
    assert "このあとに新しい報が出ています" in old.words
    assert not old.tree.xpath("//aside[@class='undo']")
    assert not gone.tree.xpath("//aside[@class='undo']")
    listed = await writer.open("/alerts")
    assert f"/alerts/{retraction}" in listed.text


async def test_the_way_to_take_back_is_on_every_page_while_an_alert_lives(room, approver):
    await room.issued(template="emergency-safety", areas=("大沢",))
    for path in ("/", "/approve", "/alerts", "/compose", "/areas", "/progress", "/own", "/nowhere"):
        page = await approver.open(path)
        assert len(page.tree.xpath("//aside[@class='undo']//a[@accesskey='k']")) == 1, path
        assert "緊急安全確保 大沢" in page.tree.xpath("//aside[@class='undo']")[0].text_content(), "the worst one"


async def test_a_viewer_looks_at_everything_and_is_offered_nothing_that_sends(room):
    alert, draft = await room.issued(areas=("北野",)), await room.pending(areas=("北野",))
    person = Person("職員0099", ("viewer",))
    session = await room.accounts.sign_in_from_directory(person, remote="127.0.0.1", agent="test")
    async with room.browser() as browser:
        cookie = f"todoke-loopback={session.token}"
        for path in ("/", f"/alerts/{alert}", f"/drafts/{draft}/approve", f"/alerts/{alert}/retract"):
            page = await browser.get(path, Cookie=cookie)
            assert page.status == 200
            assert not page.tree.xpath("//button[contains(@class, 'act')]"), path
        fields = {"_seal": session.csrf, "_mode": "drill", "note": "誤り"}
        refused = await browser.post(f"/alerts/{alert}/retract", fields, Cookie=cookie)
        assert refused.status == 403
        assert "viewer" in refused.words
