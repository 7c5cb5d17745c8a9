"""The desk's rules that are more than a cell of the table: time, the second factor, two who edit at once, closed media, who is told."""

import email
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from config.site import DutyList
from dispatcher.errors import InvalidInput, Refused, StaleHash
from dispatcher.ledger import Event
from dispatcher.ledgers import open_ledger
from dispatcher.model.draft import STALE_AFTER, State, Verb
from dispatcher.model.mode import Drill
from dispatcher.staff.gates import Gates
from dispatcher.steps.accept import Typed
from drills.world.ports import free_port
from tests.contracts.ledger_contract import LANE, Sender, deliveries, issued, said, sending, turns_pass, until
from tests.samples import SENT
from tests.servers.seats import APPROVER, CODE, ORDER, RETURNER, WRITER, seats


class Inbox:
    """A real SMTP server that keeps what it gets."""

    def __init__(self) -> None:
        self.mails: list[email.message.EmailMessage] = []

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - aiosmtpd's name
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 ok"


@asynccontextmanager
async def duty_room() -> AsyncIterator[tuple[DutyList, Inbox]]:
    inbox, port = Inbox(), free_port()
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield (
            DutyList(
                to=("duty@example.jp",),
                sender="node@example.jp",
                console="https://console.example.jp",
                host="127.0.0.1",
                port=port,
                tls="none",
            ),
            inbox,
        )
    finally:
        controller.stop()


# -- time -------------------------------------------------------------------------------------------------------------


async def test_what_waits_for_ten_minutes_is_stale_paged_once_and_never_approved_as_it_stands(tmp_path: Path):
    async with duty_room() as (duty, inbox), seats(tmp_path, duty=duty) as s:
        identifier = await s.in_state(State.PENDING)
        draft, _ = await s.desk.preview(APPROVER, identifier)
        for seconds in (0, STALE_AFTER.total_seconds() - 1):
            s.clock.advance(seconds)
            await s.standing.look()
            await s.standing.look()
        assert await s.state(identifier) is State.PENDING
        assert ["承認を待っています" in mail["Subject"] for mail in inbox.mails] == [True]
        s.clock.advance(1)
        for _ in range(3):
            await s.standing.look()
        assert await s.state(identifier) is State.STALE
        assert not await s.ledger.alerts()
        with pytest.raises(Refused, match="時間切れ"):
            await s.desk.approve(APPROVER, identifier, shown=draft.hash, mode="drill")
        _, mail = inbox.mails
        assert "10分" in mail["Subject"]
        assert "訓練" in mail["Subject"]
        assert identifier in mail.get_content()
        assert mail["Auto-Submitted"] == "auto-generated"
        again, _ = await s.desk.submit(WRITER, identifier, mode="drill")
        assert (await s.desk.approve(APPROVER, identifier, shown=again.hash, mode="drill")).state == "live"


async def test_a_mail_that_the_relay_did_not_take_is_tried_again_and_what_is_settled_meanwhile_is_not_told(
    tmp_path: Path,
):
    async with duty_room() as (duty, inbox):
        away = replace(duty, port=free_port())
        async with seats(tmp_path, duty=away) as s:
            first, second = await s.in_state(State.PENDING), await s.in_state(State.PENDING)
            await s.standing.look()
            s.standing._duty._to = duty
            await s.standing.look()
            assert not inbox.mails, "no mail waits for a relay that has just failed"
            await s.desk.reject(APPROVER, first, "出しません", mode="drill")
            s.clock.advance(31)
            for _ in range(3):
                await s.standing.look()
            assert [second in mail.get_content() for mail in inbox.mails] == [True]


async def test_an_update_that_was_promised_and_did_not_come_is_told_once(tmp_path: Path):
    async with duty_room() as (duty, inbox), seats(tmp_path, duty=duty) as s:
        await s.in_state(State.LIVE, replace(ORDER, next_update="30 min"))
        s.clock.advance(29 * 60)
        await s.standing.look()
        assert not inbox.mails
        s.clock.advance(61)
        for _ in range(3):
            await s.standing.look()
        assert ["次の発表" in mail["Subject"] for mail in inbox.mails] == [True]


async def test_who_has_not_rehearsed_for_a_month_is_reminded_once_a_month(tmp_path: Path):
    async with duty_room() as (duty, inbox), seats(tmp_path, duty=duty) as s:
        await s.in_state(State.LIVE)
        s.clock.advance(timedelta(days=32).total_seconds())
        for _ in range(3):
            await s.standing.look()
        reminders = [mail for mail in inbox.mails if "1か月" in mail["Subject"]]
        assert len(reminders) == 1
        assert WRITER.name in reminders[0].get_content()


async def test_newer_words_of_the_weather_agency_are_shown_before_a_text_is_repeated(tmp_path: Path):
    async with seats(tmp_path) as s:
        identifier = await s.in_state(State.LIVE)
        follow = Typed(verb=Verb.UPDATE, of=identifier)
        _, prepared = await s.desk.draft(WRITER, follow, mode="drill")
        assert [f.reason for f in prepared.findings if "the same words again" in f.reason]
        draft, _ = await s.desk.draft(WRITER, replace(follow, cause="水位が下がりました"), mode="drill")
        s.clock.advance(60)
        body = {"at": s.clock.now().isoformat(), "title": "指定河川洪水予報", "quarters": ["132040301"]}
        await s.ledger.save_record("upstream", "e1", 0, body, Event("upstream.heard", "", {}))
        _, prepared = await s.desk.preview(WRITER, draft.identifier)
        (finding,) = [f for f in prepared.findings if "newer upstream" in f.reason]
        assert not finding.blocks
        assert "指定河川洪水予報" in finding.reason
        elsewhere = replace(follow, cause="水位が下がりました", areas=("下連雀",))
        assert not [f for f in (await s.desk.try_draft(WRITER, elsewhere)).findings if "newer" in f.reason]


# -- one person at night ----------------------------------------------------------------------------------------------


async def test_one_person_sends_alone_and_an_approver_is_paged_three_times_until_one_confirms(tmp_path: Path):
    async with duty_room() as (duty, inbox), seats(tmp_path, duty=duty) as s:
        draft, _ = await s.desk.draft(WRITER, ORDER, mode="drill")
        alert = await s.desk.break_glass(WRITER, draft.identifier, mode="drill", factor=CODE)
        assert alert.state == "live"
        told = []
        for seconds in (0, 59, 1, 59, 1, 300):
            s.clock.advance(seconds)
            await s.standing.look()
            told.append(len([m for m in inbox.mails if "事後承認" in m["Subject"]]))
        assert told == [1, 1, 2, 2, 3, 3]
        second, _ = await s.desk.draft(WRITER, ORDER, mode="drill")
        await s.desk.break_glass(WRITER, second.identifier, mode="drill", factor=CODE)
        await s.standing.look()
        await s.desk.confirm(APPROVER, second.identifier, mode="drill")
        s.clock.advance(600)
        await s.standing.look()
        assert len([m for m in inbox.mails if second.identifier in m.get_content() and "事後承認" in m["Subject"]]) == 1


@pytest.mark.parametrize(
    ("typed", "code", "because"),
    [
        (ORDER, "000000", "second factor is not right"),
        (replace(ORDER, template="elderly-evacuation"), CODE, "template not approved"),
        (replace(ORDER, words={"ja": {"description": "野川があふれそうです"}}), CODE, "own words"),
    ],
)
async def test_alone_only_with_a_fresh_factor_an_approved_template_and_its_own_words(
    tmp_path: Path, typed: Typed, code: str, because: str
):
    async with seats(tmp_path) as s:
        draft, _ = await s.desk.draft(WRITER, typed, mode="drill")
        with pytest.raises(Refused, match=because):
            await s.desk.break_glass(WRITER, draft.identifier, mode="drill", factor=code)
        assert not await s.ledger.alerts()
        (event,) = await s.events("act.refused")
        assert event.facts["act"] == "break-glass"
        assert code not in str(event.facts)


# -- edits ------------------------------------------------------------------------------------------------------------


async def test_an_edit_voids_the_submission_and_the_old_hash_approves_nothing(tmp_path: Path):
    async with seats(tmp_path) as s:
        identifier = await s.in_state(State.PENDING)
        before, _ = await s.desk.preview(APPROVER, identifier)
        edited, _ = await s.desk.edit(WRITER, identifier, before.version, replace(ORDER, areas=("井口",)), mode="drill")
        assert edited.state is State.DRAFT
        assert edited.last_submitted  # what the next approver compares with
        with pytest.raises(Refused):
            await s.desk.approve(APPROVER, identifier, shown=before.hash, mode="drill")
        again, _ = await s.desk.submit(WRITER, identifier, mode="drill")
        with pytest.raises(StaleHash):
            await s.desk.approve(APPROVER, identifier, shown=before.hash, mode="drill")
        assert (await s.desk.approve(APPROVER, identifier, shown=again.hash, mode="drill")).facts["by"] == APPROVER.name


async def test_of_two_who_edit_at_once_the_second_is_told_and_the_first_stands(tmp_path: Path):
    async with seats(tmp_path) as s:
        identifier = await s.in_state(State.DRAFT)
        version, _ = await s.ledger.draft(identifier)
        await s.desk.edit(WRITER, identifier, version, replace(ORDER, cause="一人目の文です"), mode="drill")
        with pytest.raises(StaleHash, match="changed by somebody else"):
            await s.desk.edit(APPROVER, identifier, version, replace(ORDER, cause="二人目の文です"), mode="drill")
        draft, _ = await s.desk.preview(WRITER, identifier)
        assert draft.typed["cause"] == "一人目の文です"


async def test_what_was_returned_says_why_and_what_was_typed_is_still_there(tmp_path: Path):
    async with seats(tmp_path) as s:
        identifier = await s.in_state(State.RETURNED, replace(ORDER, cause="野川の水位が上がっています"))
        draft, _ = await s.desk.preview(WRITER, identifier)
        assert (draft.reason, draft.returned_by) == ("区域を確かめてください", RETURNER.name)
        assert draft.typed == {"template": "evacuation-order", "areas": ["大沢"], "cause": "野川の水位が上がっています"}
        with pytest.raises(InvalidInput, match="say why"):
            await s.desk.send_back(RETURNER, await s.in_state(State.PENDING), " ", mode="drill")


async def test_previews_while_typing_save_nothing(tmp_path: Path):
    async with seats(tmp_path) as s:
        before = await s.ledger.changed(0, 0)
        prepared = await s.desk.try_draft(WRITER, ORDER)
        assert prepared.renderings["website"].texts
        with pytest.raises(InvalidInput):
            await s.desk.try_draft(WRITER, Typed())
        assert await s.ledger.changed(0, 0) == before


async def test_what_was_previewed_a_keystroke_ago_is_not_drawn_again(tmp_path: Path):
    async with seats(tmp_path) as s:
        s.clock.advance(60 - s.clock.now().second)
        first = await s.desk.try_draft(WRITER, ORDER)
        s.clock.advance(59)
        again = await s.desk.try_draft(WRITER, ORDER)
        assert again.hash == first.hash
        assert all(again.renderings[kind] is drawn for kind, drawn in first.renderings.items())
        s.clock.advance(1)
        later = await s.desk.try_draft(WRITER, ORDER)
        assert (later.alert.sent - first.alert.sent).total_seconds() == 60
        assert later.hash != first.hash


async def test_a_retraction_that_may_not_go_out_leaves_no_draft_behind(tmp_path: Path):
    async with seats(tmp_path, "live") as s:
        identifier = await s.in_state(State.LIVE)
        with pytest.raises(InvalidInput):
            await s.desk.follow(WRITER, Verb.RETRACT, identifier, Typed(note="訓練でした"), mode="live")
        assert [d[0] for d in await s.ledger.drafts()] == [identifier]


async def test_a_correction_is_sent_only_as_it_was_shown(tmp_path: Path):
    async with seats(tmp_path) as s:
        identifier = await s.in_state(State.LIVE)
        typed = Typed(verb=Verb.CORRECT, of=identifier, note="避難所の名前の誤り")
        draft, _ = await s.desk.draft(WRITER, typed, mode="drill")
        s.clock.advance(5)
        with pytest.raises(StaleHash):
            await s.desk.send(WRITER, draft.identifier, mode="drill", version=draft.version + 1)
        assert (await s.desk.send(WRITER, draft.identifier, mode="drill", version=draft.version)).verb == "correct"
        assert (await s.ledger.alert(identifier)).state == "ended"
        with pytest.raises(Refused):
            await s.desk.send(WRITER, draft.identifier, mode="drill")


async def test_a_correction_of_the_text_does_not_change_whom_it_is_for(tmp_path: Path):
    async with seats(tmp_path) as s:
        identifier = await s.in_state(State.LIVE)
        for areas in (("大沢", "井口"), ("大沢一丁目",), ("井口",)):
            typed = Typed(verb=Verb.CORRECT, of=identifier, note="区域の誤り", areas=areas)
            with pytest.raises(InvalidInput) as refused:
                await s.desk.follow(WRITER, Verb.CORRECT, identifier, typed, mode="drill")
            assert [(f.where, "更新にして" in f.reason) for f in refused.value.findings] == [("area", True)]
        same = Typed(verb=Verb.CORRECT, of=identifier, note="避難所の名前の誤り", areas=("大沢",))
        _, alert = await s.desk.follow(WRITER, Verb.CORRECT, identifier, same, mode="drill")
        assert alert is not None


# -- closed media -----------------------------------------------------------------------------------------------------


async def test_a_closed_channel_keeps_what_is_queued_and_sends_it_when_it_is_opened(tmp_path: Path):
    sender = Sender()
    dsn = f"sqlite:///{tmp_path / 'todoke.db'}"
    async with seats(tmp_path / "desk") as s, open_ledger(dsn, mode=Drill, node="test", clock=s.clock) as ledger:
        gates = Gates(ledger, s.clock)
        await gates.close("website", "職員0001", "工事")
        async with sending(ledger, sender, gates.over(LANE, "clock")):
            await ledger.issue(issued(), deliveries(3), said())
            await turns_pass(ledger)
            assert sender.claims == []
            await gates.open("website", "職員0002")
            await until(lambda: len(sender.claims) == 3)
        with pytest.raises(Refused, match="not closed"):
            await gates.open("website", "職員0002")


async def test_a_window_that_two_admins_opened_closes_every_output(tmp_path: Path):
    async with seats(tmp_path) as s:
        body = {"is_open": True, "reason": "入れかえ", "by": "職員0003", "at": SENT.isoformat()}
        await s.ledger.save_record("maintenance", "now", 0, body, Event("maintenance.opened", "", {}))
        await s.standing.look()
        assert s.desk.halted is not None
        identifier = await s.in_state(State.PENDING)
        draft, _ = await s.desk.preview(APPROVER, identifier)
        with pytest.raises(Refused, match="halted"):
            await s.desk.approve(APPROVER, identifier, shown=draft.hash, mode="drill")


async def test_a_refused_destination_is_told_to_the_duty_list_once_a_channel(tmp_path: Path):
    async with duty_room() as (duty, inbox), seats(tmp_path, duty=duty) as s:
        identifier = await s.in_state(State.LIVE)

        def refused(claim):
            return replace(Sender().answer(claim), event="refused", told=(), words="403 Forbidden")

        async with sending(s.ledger, Sender(refused), LANE):
            await until(lambda: _failed(s, identifier))
        for _ in range(3):
            await s.standing.look()
        assert len([m for m in inbox.mails if "届けられなかった" in m["Subject"]]) == 1


async def _failed(s, identifier: str) -> bool:
    return any(line.failed for line in await s.ledger.tally(identifier))


async def test_a_duty_relay_that_does_not_answer_stops_nothing(tmp_path: Path):
    async with duty_room() as (duty, _):
        dead = replace(duty, port=free_port())
    async with seats(tmp_path, duty=dead) as s:
        identifier = await s.in_state(State.PENDING)
        s.clock.advance(600)
        await s.standing.look()
        await s.standing.look()
        assert await s.state(identifier) is State.STALE
        assert not await s.events("page.told"), "nobody was told"
