"""Nine mis-sends that happened in Japan and in Hawaii, and what makes each of them impossible at this desk.

Source: issue "nine real mis-sends"; each test's name has the place, its docstring what went wrong there.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from config.document import ConfigError
from config.site import bind_site
from config.templates import load_templates
from dispatcher.errors import InvalidInput, ModeLeak, Refused
from dispatcher.ledger import Claim
from dispatcher.model.delivery import DeliveryEvent, Priority
from dispatcher.model.draft import State, Verb
from dispatcher.model.mode import Drill, Live, require
from dispatcher.node import kinds
from dispatcher.staff.rules import Act, Role, refusal
from dispatcher.staff.sessions import Person
from dispatcher.steps.accept import Typed
from tests.samples import SENT, evacuation_order
from tests.servers.seats import APPROVER, ORDER, WRITER, seats

SITE = """
mode: {mode}
node: test
state_dir: state
city: mitaka
residents: {{listen: "127.0.0.1:8180", url: "http://127.0.0.1:8180"}}
staff:
  - {{name: 職員0001, roles: [originator], token_hash: {a}}}
  - {{name: 職員0002, roles: [approver], token_hash: {b}}}
  - {{name: 職員0003, roles: [trainee], token_hash: {c}}}
channels:
  website: {{folder: site, url: "http://127.0.0.1:8180"}}
"""


def found(refused: InvalidInput) -> str:
    return "\n".join(str(finding) for finding in refused.findings)


async def test_genkai_a_drill_template_does_not_come_up_in_live_compose(tmp_path: Path):
    """玄海町 2023: the text of a drill was sent as a real one."""
    assert "drill-announcement" in load_templates()
    async with seats(tmp_path, "live") as s:
        with pytest.raises(InvalidInput, match="drill-announcement") as refused:
            await s.desk.draft(WRITER, replace(ORDER, template="drill-announcement"), mode="live")
        assert "evacuation-order" in found(refused.value)  # what there is instead
        for cause in ("訓練です。野川が氾濫したと想定", "This is a drill"):
            draft, _ = await s.desk.draft(WRITER, replace(ORDER, cause=cause), mode="live")
            with pytest.raises(InvalidInput, match="words of a drill"):
                await s.desk.submit(WRITER, draft.identifier, mode="live")
    async with seats(tmp_path / "drill", "drill") as s:
        draft, _ = await s.desk.draft(WRITER, replace(ORDER, template="drill-announcement"), mode="drill")
        assert (await s.desk.submit(WRITER, draft.identifier, mode="drill"))[0].state is State.PENDING


async def test_watari_nothing_of_a_drill_goes_out_after_its_end(tmp_path: Path):
    """亘理町 2016: a send that a drill had scheduled went out after the drill."""
    ends = SENT + timedelta(hours=1)
    async with seats(tmp_path, "drill", until=ends) as s:
        identifier = await s.in_state(State.LIVE)
        alert = await s.ledger.alert(identifier)
        assert alert.expires_at == ends
        waiting = await s.in_state(State.PENDING)
        s.clock.advance(3600)
        claim = Claim(1, "1", "k", identifier, "website", Priority.LEVEL_4, 1, (), is_reclaimed=False)
        attempted = await s.path.attempt(claim)
        assert attempted.event == DeliveryEvent.EXPIRED
        draft, _ = await s.desk.preview(APPROVER, waiting)
        with pytest.raises(Refused, match="the drill is over"):
            await s.desk.approve(APPROVER, waiting, shown=draft.hash, mode="drill")
        with pytest.raises(Refused):
            await s.desk.follow(WRITER, Verb.CORRECT, identifier, Typed(note="区域の誤り"), mode="drill")


async def test_kitakata_a_text_of_one_character_is_stopped(tmp_path: Path):
    """喜多方市 2023: a body of one character reached everyone."""
    async with seats(tmp_path, "live") as s:
        for field in ("headline", "description", "instruction"):
            words = {"ja": {field: "あ"}}
            typed = Typed(template="elderly-evacuation", areas=("大沢",), words=words)
            draft, _ = await s.desk.draft(WRITER, typed, mode="live")
            with pytest.raises(InvalidInput, match="too short to be a message") as refused:
                await s.desk.submit(WRITER, draft.identifier, mode="live")
            assert f"info[ja].{field}" in found(refused.value)


async def test_nabari_an_internal_memo_does_not_go_out_at_the_highest_class(tmp_path: Path):
    """名張市 2017: free text of an internal memo went out at the highest class."""
    async with seats(tmp_path, "live") as s:
        for field in ("headline", "instruction", "event", "short"):
            words = {"ja": {field: "各課の担当者は本部に集まってください"}}
            with pytest.raises(InvalidInput, match="reviewed words stand"):
                await s.desk.draft(WRITER, replace(ORDER, words=words), mode="live")
        draft, _ = await s.desk.draft(WRITER, replace(ORDER, cause="庁内限り。各課は配備につくこと"), mode="live")
        with pytest.raises(InvalidInput, match="an internal memo"):
            await s.desk.submit(WRITER, draft.identifier, mode="live")


async def test_ofunato_an_operation_check_sends_nothing_and_cannot_be_typed_either(tmp_path: Path):
    """大船渡市 2025: an operation check was made on the live path."""
    async with seats(tmp_path, "live") as s:
        await s.desk.probe(WRITER, [])
        assert not await s.ledger.alerts()
        assert not await s.ledger.drafts()
        for cause in ("動作確認です", "送信テストです。テスト送信", "試験放送です"):
            draft, _ = await s.desk.draft(WRITER, replace(ORDER, cause=cause), mode="live")
            with pytest.raises(InvalidInput, match="words of a drill or a test"):
                await s.desk.submit(WRITER, draft.identifier, mode="live")


async def test_minamisoma_a_change_window_closes_every_output_at_once_and_outlives_a_restart(tmp_path: Path):
    """南相馬市 2017: a change window left outputs open, and a test message went out through them."""
    async with seats(tmp_path, "live") as s:
        waiting = await s.in_state(State.PENDING)
        await s.desk.halt(WRITER, "設備の入れかえ")
        limits = s.path.channels["website"].limits
        gated = s.desk._gates.over({"website": limits, "new": limits, "clock": limits}, "clock")
        assert [gated[kind].concurrency for kind in ("website", "new")] == [0, 0]
        assert gated["clock"].concurrency > 0
        draft, _ = await s.desk.preview(APPROVER, waiting)
        with pytest.raises(Refused, match="halted"):
            await s.desk.approve(APPROVER, waiting, shown=draft.hash, mode="live")
    async with seats(tmp_path, "live", templates=()) as s:
        await s.standing.look()
        assert s.desk.halted is not None
        assert s.desk.halted.reason == "設備の入れかえ"
        await s.desk.pause(APPROVER, "website", "まだ工事中")
        await s.desk.reopen(APPROVER)
        assert s.desk.halted is None
        assert set(s.desk._gates.closed) == {"website"}  # what was closed by name is opened by name


async def test_yamaguchi_a_correction_never_calls_a_real_mistake_a_drill(tmp_path: Path):
    """山口市 2019: a rehearsal was pressed live, and the correction called it a drill."""
    async with seats(tmp_path, "live") as s:
        identifier = await s.in_state(State.LIVE)
        for note in ("先ほどの情報は訓練でした", "it was only a drill"):
            with pytest.raises(InvalidInput, match=r"an error, not a drill|words of a drill"):
                await s.desk.follow(WRITER, Verb.RETRACT, identifier, Typed(note=note), mode="live")
            assert (await s.ledger.alert(identifier)).state == "live"
        _, alert = await s.desk.follow(WRITER, Verb.RETRACT, identifier, Typed(note="区域の誤り"), mode="live")
        assert alert is not None
        text = alert.cap_xml.decode()
        assert "訓練" not in text
        assert "誤" in text


async def test_higashiizu_a_trainee_has_no_right_on_a_live_node(tmp_path: Path):
    """東伊豆町 2025: a trainee's account had a right on the live system."""
    for act in Act:
        for state in (None, *State):
            assert refusal(state, act, Role.TRAINEE, Live)
    trainee = Person("職員0007", ("trainee",))
    async with seats(tmp_path, "live") as s:
        with pytest.raises(Refused, match="on a drill node only"):
            await s.desk.draft(trainee, ORDER, mode="live")
        (event,) = await s.events("act.refused")
        assert event.facts["by"] == "職員0007"  # and the board shows that it was tried
    settings = {kind: channel.Settings for kind, channel in kinds().items()}
    text = SITE.format(mode="live", a="1" * 64, b="2" * 64, c="3" * 64).encode()
    with pytest.raises(ConfigError, match="a trainee sits at a drill node only"):
        bind_site(text, "site.yaml", tmp_path, settings)
    text = SITE.format(mode="drill", a="1" * 64, b="2" * 64, c="3" * 64).encode()
    assert await asyncio.to_thread(bind_site, text, "site.yaml", tmp_path, settings)


async def test_hawaii_the_words_for_a_test_and_for_the_real_thing_are_never_the_same(tmp_path: Path):
    """Hawaii 2018: the menu had the same words for the test and for the real alert, and nothing else asked."""
    async with seats(tmp_path / "live", "live") as live, seats(tmp_path / "drill", "drill") as drill:
        for s, other in ((live, "drill"), (drill, "live")):
            identifier = await s.in_state(State.PENDING)
            draft, prepared = await s.desk.preview(APPROVER, identifier)
            with pytest.raises(Refused, match="this node is"):  # whoever believes to sit at the other node
                await s.desk.approve(APPROVER, identifier, shown=draft.hash, mode=other)
            texts = [text.words for r in prepared.renderings.values() for text in r.texts]
            banners = [
                any(mark in words for mark in ("【訓練】", "[DRILL]", "【演习】", "【훈련】")) for words in texts
            ]
            assert all(banners) if s is drill else not any(banners)
        with pytest.raises(ModeLeak):
            require(Live, evacuation_order(Drill))
        taken = await live.in_state(State.PENDING)
        shown, _ = await live.desk.preview(APPROVER, taken)
        with pytest.raises(Refused):  # a hash of the one is nothing at the other
            await drill.desk.approve(APPROVER, taken, shown=shown.hash, mode="drill")
