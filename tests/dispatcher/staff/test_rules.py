"""The table of who may do what, walked through cell by cell at a real desk: allowed, or refused with the table's own reason."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dispatcher.errors import Refused
from dispatcher.model.draft import State, Verb
from dispatcher.model.mode import MODES
from dispatcher.staff import rulebook, rules
from dispatcher.staff.rules import TABLE, Act, Need, Role, refusal
from dispatcher.staff.sessions import Person
from dispatcher.steps.accept import Typed
from tests.servers.seats import APPROVER, CODE, ORDER, RETURNER, WRITER, Seats, person, seats

SHELTER = "E1320400002111"
OF_A_MESSAGE = [act for act in Act if any(act is of for _, of in TABLE)]
VERBS = {Act.UPDATE: Verb.UPDATE, Act.CORRECT: Verb.CORRECT, Act.LIFT: Verb.LIFT, Act.RETRACT: Verb.RETRACT}


async def do(s: Seats, act: Act, by: Person, identifier: str) -> None:
    """This act on this message, through the desk's own method."""
    desk, mode = s.desk, s.mode
    version, body = await s.ledger.draft(identifier)
    match act:
        case Act.EDIT:
            await desk.edit(by, identifier, version, ORDER, mode=mode)
        case Act.SUBMIT:
            await desk.submit(by, identifier, mode=mode)
        case Act.APPROVE:
            await desk.approve(by, identifier, shown=body["hash"], mode=mode)
        case Act.SEND_BACK:
            await desk.send_back(by, identifier, "理由です", mode=mode)
        case Act.REJECT:
            await desk.reject(by, identifier, "理由です", mode=mode)
        case Act.BREAK_GLASS:
            await desk.break_glass(by, identifier, mode=mode, factor=CODE)
        case Act.CONFIRM:
            await desk.confirm(by, identifier, mode=mode)
        case Act.RETRY:
            await desk.retry(by, identifier, "website")
        case _:
            await desk.follow(by, VERBS[act], identifier, Typed(note="区域の誤り"), mode=mode)


async def made(s: Seats, state: State, act: Act) -> str:
    is_sent = state in {State.DISPATCHING, State.LIVE, State.ENDED, State.CLOSED}
    return await (s.broken_glass(state) if act is Act.CONFIRM and is_sent else s.in_state(state))


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("mode", MODES)
async def test_every_cell_is_allowed_or_refused_with_its_reason(tmp_path: Path, mode: str, role: Role):
    by, wrong = person(role), []
    async with seats(tmp_path, mode) as s:
        for state in State:
            identifier = await made(s, state, Act.EDIT)
            for act in OF_A_MESSAGE:
                reason = refusal(state, act, role, MODES[mode])
                if not reason:
                    identifier = await made(s, state, act)
                try:
                    await do(s, act, by, identifier)
                except Refused as refused:
                    wrong += [] if str(refused) == reason else [(state, act, str(refused), reason)]
                else:
                    wrong += [(state, act, "allowed", reason)] if reason else []
                if not reason:
                    identifier = await made(s, state, Act.EDIT)
    assert not wrong


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("mode", MODES)
async def test_what_is_asked_of_the_node_is_allowed_or_refused_with_its_reason(tmp_path: Path, mode: str, role: Role):
    async with seats(tmp_path, mode) as s:
        by, desk = person(role), s.desk
        asked: dict[Act, Callable[[], Awaitable[object]]] = {
            Act.LOOK: lambda: desk.status(by),
            Act.WRITE: lambda: desk.draft(by, ORDER, mode=mode),
            Act.SHELTER: lambda: desk.say_shelter(by, SHELTER, "open", mode=mode),
            Act.SWITCH: lambda: desk.pause(by, "website", "工事"),
            Act.HALT: lambda: desk.halt(by, "工事"),
            Act.REOPEN: lambda: desk.reopen(by),
        }
        await desk.halt(APPROVER, "はじめから")
        for act, ask in asked.items():
            if reason := refusal(None, act, role, MODES[mode]):
                with pytest.raises(Refused) as refused:
                    await ask()
                assert str(refused.value) == reason
            else:
                await ask()


async def test_who_submitted_it_cannot_approve_return_or_reject_it(tmp_path: Path):
    async with seats(tmp_path) as s:
        draft, _ = await s.desk.draft(APPROVER, ORDER, mode="drill")
        draft, _ = await s.desk.submit(APPROVER, draft.identifier, mode="drill")
        for act in (Act.APPROVE, Act.SEND_BACK, Act.REJECT):
            assert Need.ANOTHER in TABLE[State.PENDING, act].needs
            with pytest.raises(Refused, match="the submitter cannot"):
                await do(s, act, APPROVER, draft.identifier)
        assert {e.facts["act"] for e in await s.events("act.refused")} == {"approve", "send-back", "reject"}


async def test_who_returned_it_cannot_submit_it_even_after_an_edit_and_another_can(tmp_path: Path):
    async with seats(tmp_path) as s:
        identifier = await s.in_state(State.RETURNED)
        with pytest.raises(Refused, match="who returned it cannot submit"):
            await s.desk.submit(RETURNER, identifier, mode="drill")
        version, _ = await s.ledger.draft(identifier)
        await s.desk.edit(RETURNER, identifier, version, ORDER, mode="drill")
        with pytest.raises(Refused, match="who returned it cannot submit"):
            await s.desk.submit(RETURNER, identifier, mode="drill")
        draft, _ = await s.desk.submit(WRITER, identifier, mode="drill")
        assert draft.state is State.PENDING


async def test_who_sent_it_alone_cannot_confirm_it_and_it_is_confirmed_once(tmp_path: Path):
    async with seats(tmp_path) as s:
        identifier = await s.broken_glass(State.LIVE)
        alone = Person(WRITER.name, ("approver",))
        with pytest.raises(Refused, match="the submitter cannot confirm"):
            await s.desk.confirm(alone, identifier, mode="drill")
        assert [d.identifier for d in await s.desk.unconfirmed(APPROVER)] == [identifier]
        await s.desk.confirm(APPROVER, identifier, mode="drill")
        assert not await s.desk.unconfirmed(APPROVER)
        with pytest.raises(Refused, match="does not wait for a confirmation"):
            await s.desk.confirm(RETURNER, identifier, mode="drill")


async def test_somebody_with_two_roles_may_do_what_either_may(tmp_path: Path):
    async with seats(tmp_path) as s:
        both = Person("職員0008", ("viewer", "approver"))
        draft, _ = await s.desk.preview(both, await s.in_state(State.PENDING))
        assert (await s.desk.approve(both, draft.identifier, shown=draft.hash, mode="drill")).state == "live"


def test_the_page_of_rules_is_the_table():
    page = (Path(rules.__file__).parent / "RULES.md").read_text("utf-8")
    assert page == "\n".join(rulebook.markdown()) + "\n", (
        "python -m dispatcher.staff.rulebook > dispatcher/staff/RULES.md"
    )


def test_nobody_of_an_unknown_role_and_nobody_without_one_may_do_anything():
    for roles in ((), ("boss",)):
        for act in Act:
            assert rules.allowed("職員0001", roles, act, MODES["drill"], state=State.LIVE)
