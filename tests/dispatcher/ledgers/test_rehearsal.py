"""A ledger that forgets: what stands is read through it, what is written to it is seen by whoever wrote it and by nobody else."""

import pyotp
import pytest

from dispatcher.clock import ManualClock, SystemClock
from dispatcher.errors import Defect, NotFound, StaleHash
from dispatcher.ledger import Event
from dispatcher.ledgers import open_ledger
from dispatcher.ledgers.rehearsal import Rehearsal
from dispatcher.model.mode import Drill
from dispatcher.staff.accounts import Accounts
from dispatcher.staff.sessions import Person


@pytest.fixture
async def real(tmp_path):
    async with open_ledger(
        f"sqlite:///{tmp_path / 'todoke.db'}", mode=Drill, node="test", clock=SystemClock()
    ) as ledger:
        await ledger.save_draft("d", 0, {"text": "一"}, Event("draft.written", "d"))
        await ledger.save_record("area", "大沢", 0, {"q": ["1"]}, Event("area.saved", ""))
        yield ledger


async def everything(ledger):
    events = [each.hash async for each in ledger.events()]
    return events, await ledger.drafts(), await ledger.records("area")


async def test_what_is_written_is_seen_here_and_nowhere_else(real):
    before, rehearsal = await everything(real), Rehearsal(real)
    assert await rehearsal.save_draft("d", 1, {"text": "二"}, Event("draft.edited", "d")) == 2
    assert await rehearsal.save_draft("e", 0, {"text": "三"}, Event("draft.written", "e")) == 1
    assert await rehearsal.save_record("area", "井口", 0, {"q": []}, Event("area.saved", "")) == 1
    assert await rehearsal.save_record("area", "大沢", 1, None, Event("area.removed", "")) == 0
    assert await rehearsal.draft("d") == (2, {"text": "二"})
    assert [identifier for identifier, _, _ in await rehearsal.drafts()] == ["d", "e"]
    assert [key for key, _, _ in await rehearsal.records("area")] == ["井口"]
    with pytest.raises(NotFound):
        await rehearsal.read_record("area", "大沢")
    assert [event.name for event in rehearsal.said] == ["draft.edited", "draft.written", "area.saved", "area.removed"]
    assert await everything(real) == before
    assert await real.verify() == []


async def test_it_refuses_what_the_real_one_would(real):
    rehearsal = Rehearsal(real)
    for stale in (0, 2):
        with pytest.raises(StaleHash):
            await rehearsal.save_draft("d", stale, {}, Event("draft.edited", "d"))
        with pytest.raises(StaleHash):
            await rehearsal.save_record("area", "大沢", stale, {}, Event("area.saved", ""))
    with pytest.raises(NotFound):
        await rehearsal.draft("other")
    assert rehearsal.said == []


async def test_what_was_taken_away_here_may_be_new_again(real):
    rehearsal = Rehearsal(real)
    await rehearsal.save_record("area", "大沢", 1, None, Event("area.removed", ""))
    version = await rehearsal.save_record("area", "大沢", 0, {"q": ["2"]}, Event("area.saved", ""))
    assert await rehearsal.read_record("area", "大沢") == (version, {"q": ["2"]})


async def test_a_rehearsal_burns_no_second_factor(tmp_path):
    clock = ManualClock(SystemClock().now())
    async with open_ledger(f"sqlite:///{tmp_path / 'todoke.db'}", mode=Drill, node="test", clock=clock) as ledger:
        accounts = Accounts(ledger, clock, "drill")
        founded, _ = await accounts.at_machine.found("職員0008", ["admin", "approver"], "野川の水位は 毎朝7時に見る")
        clock.advance(90)
        code = pyotp.parse_uri(founded.uri).at(clock.now())
        person = Person("職員0008", ("admin", "approver"))
        assert await accounts.over(Rehearsal(ledger)).is_fresh_factor(person, code)
        assert await accounts.is_fresh_factor(person, code), "it was not used up by the rehearsal"
        assert not await accounts.is_fresh_factor(person, code)


async def test_nothing_is_ever_sent_from_it(real):
    with pytest.raises(Defect):
        await Rehearsal(real).run({}, lambda claim: claim)
