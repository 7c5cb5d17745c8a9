"""What somebody tried against the desk who has a right to sit at it and wants more, or is careless, or tired.

Each test is a way that was once open; its docstring says what came out of it.
"""

import socket
from asyncio import TaskGroup
from collections.abc import Coroutine
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.site import DutyList
from dispatcher import cap
from dispatcher.errors import InvalidInput, Refused
from dispatcher.ledger import Event
from dispatcher.model.draft import State, Verb
from dispatcher.staff.accounts import Accounts
from dispatcher.staff.messages import PAGE
from dispatcher.staff.sessions import Person
from dispatcher.steps.accept import Typed
from tests.samples import SENT
from tests.servers.console import until
from tests.servers.seats import APPROVER, ORDER, RETURNER, WRITER, Seats, seats

# -- what one person may send alone ---------------------------------------------------------------------------------


@pytest.mark.parametrize("template", ["emergency-safety", "evacuation-order-lifted", "false-alarm"])
async def test_a_correction_alone_is_of_the_same_kind_of_message(tmp_path: Path, template: str):
    """緊急安全確保 for the whole city went out by one person, as the 訂正 of an order for one quarter; so did a 解除."""
    async with seats(tmp_path, "live") as s:
        identifier = await s.in_state(State.LIVE)
        other = Typed(template=template, areas=("三鷹市",), note="区域の誤り")
        with pytest.raises(InvalidInput, match="template: "):
            await s.desk.follow(WRITER, Verb.CORRECT, identifier, other, mode="live")
        assert (await s.ledger.alert(identifier)).state == "live"
        same = replace(other, template=ORDER.template, areas=())
        _, alert = await s.desk.follow(WRITER, Verb.CORRECT, identifier, same, mode="live")
        assert alert is not None


@pytest.mark.parametrize(
    ("verb", "template"),
    [
        (Verb.ISSUE, "evacuation-order-lifted"),
        (Verb.UPDATE, "evacuation-order-lifted"),
        (Verb.LIFT, "emergency-safety"),
        (Verb.RETRACT, "evacuation-order"),
    ],
)
async def test_a_template_is_used_for_its_own_verb(tmp_path: Path, verb: Verb, template: str):
    """A 発表 said 解除, and a 更新 that said it left its chain open."""
    async with seats(tmp_path) as s:
        of = await s.in_state(State.LIVE) if verb is not Verb.ISSUE else None
        typed = Typed(template=template, areas=("大沢",), verb=verb, of=of, note="区域の誤り")
        with pytest.raises(InvalidInput, match="template is for"):
            await s.desk.draft(WRITER, typed, mode="drill")


async def test_every_verb_but_the_first_says_what_it_follows(tmp_path: Path):
    """A 更新 of nothing was a draft like any other, and a 発表 could replace an alert that was out."""
    async with seats(tmp_path) as s:
        for verb in (Verb.UPDATE, Verb.CORRECT, Verb.LIFT, Verb.RETRACT):
            with pytest.raises(InvalidInput, match="of: "):
                await s.desk.draft(WRITER, replace(ORDER, template=None, verb=verb, note="区域の誤り"), mode="drill")
        identifier = await s.in_state(State.LIVE)
        with pytest.raises(InvalidInput, match="of: "):
            await s.desk.draft(WRITER, replace(ORDER, of=identifier), mode="drill")


# -- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["place", "sender", "contact", "issued", "next_update", "note", "nothing"])
async def test_what_the_city_or_the_clock_fills_in_is_nobodys_to_type(tmp_path: Path, name: str):
    """The headline of an order for one quarter called on 大沢と東京都全域, in the name of another government."""
    async with seats(tmp_path, "live") as s:
        with pytest.raises(InvalidInput, match=rf"words\.ja\.{name}: "):
            await s.desk.draft(WRITER, replace(ORDER, words={"ja": {name: "大沢と東京都全域"}}), mode="live")
        words = {"ja": {"cause": "野川があふれそうです", "shelters": "第七中学校"}}
        draft, _ = await s.desk.draft(WRITER, replace(ORDER, words=words), mode="live")
        assert (await s.desk.submit(WRITER, draft.identifier, mode="live"))[0].state is State.PENDING


@pytest.mark.parametrize("field", ["expires", "next_update"])
@pytest.mark.parametrize(
    "time", ["9999-12-31T23:59:59+00:00", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"]
)
async def test_a_time_at_the_end_of_the_calendar_is_refused_at_its_field(tmp_path: Path, field: str, time: str):
    """It was an internal error."""
    async with seats(tmp_path) as s:
        with pytest.raises(InvalidInput, match=f"{field}: "):
            await s.desk.draft(WRITER, replace(ORDER, **{field: time}), mode="drill")


# -- at the same moment, and at the wrong one -------------------------------------------------------------------------


async def _outcomes(*asked: Coroutine[Any, Any, Any]) -> list[str]:
    """What each came to, all begun at once: "" or the refusal's name."""

    async def one(act: Coroutine[Any, Any, Any]) -> str:
        try:
            await act
        except Refused as refused:
            return type(refused).__name__
        return ""

    async with TaskGroup() as tasks:
        begun = [tasks.create_task(one(act)) for act in asked]
    return [task.result() for task in begun]


async def test_a_retraction_pressed_three_times_goes_out_once(tmp_path: Path):
    """Residents heard it three times."""
    async with seats(tmp_path) as s:
        identifier = await s.in_state(State.LIVE)
        retracting = [
            s.desk.follow(WRITER, Verb.RETRACT, identifier, Typed(note="区域の誤り"), mode="drill") for _ in range(3)
        ]
        came_to = await _outcomes(*retracting)
        assert came_to.count("") == 1
        assert sorted(a.verb for a in await s.ledger.alerts()) == ["issue", "retract"]


async def test_a_retraction_and_an_update_at_once_do_not_both_go_out(tmp_path: Path):
    """The update stood as live beside the retraction of what it updated."""
    async with seats(tmp_path) as s:
        identifier = await s.in_state(State.LIVE)
        typed = Typed(cause="水位が下がりました")
        update, _ = await s.desk.follow(WRITER, Verb.UPDATE, identifier, typed, mode="drill")
        came_to = await _outcomes(
            s.desk.follow(WRITER, Verb.RETRACT, identifier, Typed(note="区域の誤り"), mode="drill"),
            s.desk.approve(APPROVER, update.identifier, shown=update.hash, mode="drill"),
        )
        assert came_to.count("") == 1
        assert len([a for a in await s.ledger.alerts() if a.state == "live"]) == 1


async def test_of_two_who_approve_at_once_the_second_is_told_that_it_was_not_them(tmp_path: Path):
    """Both were told that they had sent it."""
    async with seats(tmp_path) as s:
        identifier = await s.in_state(State.PENDING)
        draft, _ = await s.desk.preview(APPROVER, identifier)
        came_to = await _outcomes(
            *(s.desk.approve(by, identifier, shown=draft.hash, mode="drill") for by in (APPROVER, RETURNER))
        )
        assert sorted(came_to) == ["", "StaleHash"]
        assert len(await s.ledger.alerts()) == 1


async def test_a_clock_that_is_put_back_turns_no_chain_round(tmp_path: Path):
    """The update counted as older than what it updated, and its own retraction was refused as not the latest."""
    async with seats(tmp_path) as s:
        identifier = await s.in_state(State.LIVE)
        s.clock.advance(-3600)
        typed = Typed(cause="水位が下がりました")
        update, _ = await s.desk.follow(WRITER, Verb.UPDATE, identifier, typed, mode="drill")
        await s.desk.approve(APPROVER, update.identifier, shown=update.hash, mode="drill")
        first, second = [await s.ledger.alert(each) for each in (identifier, update.identifier)]
        assert second.issued_at > first.issued_at
        assert cap.read(second.cap_xml).sent > cap.read(first.cap_xml).sent
        _, alert = await s.desk.follow(WRITER, Verb.RETRACT, update.identifier, Typed(note="区域の誤り"), mode="drill")
        assert alert is not None
        assert [a.identifier for a in await s.ledger.alerts() if a.state == "live"] == [alert.identifier]


@pytest.mark.parametrize("seconds", [600, -3600])
async def test_what_waited_too_long_is_not_approved_even_when_nobody_has_looked(tmp_path: Path, seconds: float):
    """A submission of fifty minutes was approved while the housekeeping hung, or after the clock was put back."""
    async with seats(tmp_path) as s:
        identifier = await s.in_state(State.PENDING)
        draft, _ = await s.desk.preview(APPROVER, identifier)
        s.clock.advance(seconds)
        with pytest.raises(Refused, match="時間切れ"):
            await s.desk.approve(APPROVER, identifier, shown=draft.hash, mode="drill")
        await s.standing.look()
        assert await s.state(identifier) is State.STALE


async def test_a_halt_during_a_change_window_outlives_the_window(tmp_path: Path):
    """Who pressed 停止 in a change window saw it end with the window, and everything went out."""
    async with seats(tmp_path) as s:
        window = {"is_open": True, "reason": "入れかえ", "by": "職員0003", "at": SENT.isoformat()}
        said = Event("maintenance.opened", "", {})
        version = await s.ledger.save_record("maintenance", "now", 0, window, said)
        await s.standing.look()
        with pytest.raises(Refused, match="maintenance"):
            await s.desk.reopen(APPROVER)
        await s.desk.halt(WRITER, "誤送信です")
        await s.ledger.save_record("maintenance", "now", version, {**window, "is_open": False}, said)
        await s.standing.look()
        assert s.desk.halted is not None
        assert (s.desk.halted.by, s.desk.halted.reason) == (WRITER.name, "誤送信です")
        await s.desk.reopen(APPROVER)
        assert s.desk.halted is None


# -- who it is --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "other"), [("職員0002", "職員０００２"), ("Sato", "ＳＡＴＯ"), ("職員 0002", "職員\u30000002")]
)
async def test_nobody_is_a_second_person_by_writing_their_name_otherwise(tmp_path: Path, name: str, other: str):
    """Who had a token by one spelling and an account by another approved their own submission, and their own proposal."""
    one, same = (Person(written, ("approver", "admin")) for written in (name, other))
    async with seats(tmp_path, "live") as s:
        draft, _ = await s.desk.draft(one, ORDER, mode="live")
        draft, _ = await s.desk.submit(one, draft.identifier, mode="live")
        for act in (
            s.desk.approve(same, draft.identifier, shown=draft.hash, mode="live"),
            s.desk.send_back(same, draft.identifier, "区域を確かめてください", mode="live"),
        ):
            with pytest.raises(Refused, match="the submitter cannot"):
                await act
        await s.desk.send_back(RETURNER, draft.identifier, "区域を確かめてください", mode="live")
        with pytest.raises(Refused, match="who returned it"):
            await s.desk.submit(replace(RETURNER, name="職員０００３"), draft.identifier, mode="live")
        proposals = Accounts(s.ledger, s.clock, "live").proposals
        proposal = await proposals.propose(one, "maintenance", {"is_open": True, "reason": "工事"})
        with pytest.raises(Refused, match="another admin"):
            await proposals.approve(same, proposal.id)


# -- a node that stops, a disk that is full ---------------------------------------------------------------------------


async def test_what_was_sent_alone_is_paged_though_the_node_stopped_right_after(tmp_path: Path):
    """The page was owed after the alert was out: a node killed in between called nobody, ever."""
    async with seats(tmp_path) as s:
        identifier = await s.broken_glass(State.LIVE)
        for key, version, _ in await s.ledger.records(PAGE):  # as if it had been killed before it wrote this
            await s.ledger.save_record(PAGE, key, version, None, Event("page.owed", ""))
        for seconds in (0, 60, 60, 60):
            s.clock.advance(seconds)
            await s.standing.look()
            await s.standing.look()
        told = [e.facts["rung"] for e in await s.events("page.told") if e.facts["why"] == "break-glass"]
        assert sorted(told) == [1, 2, 3]
        await s.desk.confirm(APPROVER, identifier, mode="drill")
        assert len(await s.events("glass.broken")) == 1


async def test_a_relay_that_hangs_keeps_no_gate_open_that_another_node_has_closed(tmp_path: Path):
    """One look at the gates and one mail took turns: each page that was owed kept the node sending for fifteen seconds."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        duty = DutyList(
            to=("duty@example.jp",),
            sender="node@example.jp",
            console="https://console.example.jp",
            host="127.0.0.1",
            port=silent.getsockname()[1],
            tls="none",
        )
        async with seats(tmp_path, duty=duty) as s, TaskGroup() as tasks:
            await s.in_state(State.PENDING)
            standing = tasks.create_task(s.standing.run())
            await until(lambda: _owed(s), "the page is owed, and its mail hangs")
            body = {"by": "職員0003", "at": SENT.isoformat(), "reason": "誤送信です"}
            await s.ledger.save_record("gate", "*", 0, body, Event("gate.closed", "", {}))
            s.clock.advance(1)
            await until(lambda: _halted(s), "the node has seen it", within_s=10)
            standing.cancel()


async def _owed(s: Seats) -> bool:
    return bool(await s.ledger.records(PAGE))


async def _halted(s: Seats) -> bool:
    return s.desk.halted is not None
