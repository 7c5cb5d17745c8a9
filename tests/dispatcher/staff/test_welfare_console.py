"""安否 in the console through real HTTP: what stands there before anybody was asked."""

import pytest
import pytest_asyncio

from tests.servers.console import APPROVER, WRITER, console

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory):
    async with console(tmp_path_factory.mktemp("welfare")) as opened:
        yield opened


async def test_a_site_without_a_roster_says_so_and_asks_nobody(room):
    async with room.signed_in(WRITER) as browser:
        page = await browser.get("/safety")
        assert page.status == 200
        assert "まだ一度も尋ねていません" in page.words
        identifier = await room.issued()
        offered = await browser.get("/safety")
        refused = await browser.post("/safety/begin", {"_seal": offered.form("/signout")["_seal"], "about": identifier})
    assert refused.status == 403
    assert "名簿がありません" in refused.words


async def test_a_release_without_consent_takes_two_people_and_can_be_ended(room):
    async with room.signed_in(APPROVER) as asks, room.signed_in(WRITER) as cannot:
        page = await asks.get("/safety")
        wrong = await asks.send(page, "/safety/release", reason="", hours="99999")
        assert wrong.status == 422
        assert "理由を" in wrong.words
        assert "1〜72 時間" in wrong.words
        page = await asks.send(page, "/safety/release", reason="大雨で支援者が足りない", hours="6")
        assert "二人目の承認待ち" in page.words
        (waiting,) = await room.node.desk.proposed(await room.person(APPROVER))
        yes, said = f"/safety/waiting/{waiting.key}/yes", {"_seal": page.form("/signout")["_seal"], "_mode": "drill"}
        own = await asks.post(yes, said)
        assert own.status == 403
        assert "申請した本人は承認できません" in own.words
        seal = (await cannot.get("/safety")).form("/signout")["_seal"]
        assert (await cannot.post(yes, {**said, "_seal": seal})).status == 403
        assert await room.node.desk.release(await room.person(APPROVER)) is None
