"""What comes in reaches the desk as a draft, follows its event, and goes out alone only where a policy says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from config.intake import load_policy
from dispatcher.errors import InvalidInput
from dispatcher.intake.decide import Outcome
from dispatcher.intake.drafting import INTAKE
from dispatcher.intake.taking import Intake, rules_of
from dispatcher.model.draft import Draft, State, Verb
from dispatcher.staff.rules import Act, Role, refusal
from dispatcher.steps.accept import Typed
from tests.dispatcher.intake.telegrams import MITAKA, NONE, R06_RAIN, EarlyWarning, Quake, Tornado, Tsunami, Weather
from tests.samples import SENT
from tests.servers.seats import APPROVER, WRITER, Seats, seats

LIFTED = ((MITAKA, (("大雨警報", "03", "解除"),)),)
WORSE = ((MITAKA, (("レベル４大雨危険警報", "43", "警報から危険警報"),)),)
SPECIAL = Weather(title=R06_RAIN, says=((MITAKA, (("レベル５大雨特別警報", "33", "発表"),)),))


class Room:
    """A desk and the intake before it."""

    def __init__(self, at: Seats, policy: str):
        self.at = at
        rules = replace(rules_of("mitaka", "people-only"), policy=load_policy(policy))
        self.intake = Intake(at.desk, at.ledger, at.clock, rules)

    async def take(self, telegram: Weather):
        return await self.intake.take(telegram.xml(), "test")

    async def draft(self, identifier: str) -> Draft:
        return Draft.from_body(*await self.at.ledger.draft(identifier))

    async def drafts(self) -> list[Draft]:
        return [Draft.from_body(version, body) for _, version, body in await self.at.ledger.drafts()]

    async def issue(self, identifier: str) -> None:
        submitted, _ = await self.at.desk.submit(WRITER, identifier, mode=self.at.mode)
        await self.at.desk.approve(APPROVER, identifier, shown=submitted.hash, mode=self.at.mode)


@asynccontextmanager
async def room(folder, mode="live", policy="people-only", templates=()) -> AsyncIterator[Room]:
    async with seats(folder, mode, templates=templates) as at:
        yield Room(at, policy)


async def test_a_warning_becomes_a_draft_that_a_person_can_submit_as_it_stands(tmp_path):
    async with room(tmp_path) as r:
        taken = await r.take(Weather(title=R06_RAIN, says=((MITAKA, (("レベル４大雨危険警報", "43", "発表"),)),)))
        draft = await r.draft(taken.draft)
        assert (draft.author, draft.state, draft.verb) == ("intake", State.DRAFT, Verb.ISSUE)
        assert (draft.template, len(draft.quarters), draft.level) == ("weather-danger-warning", 62, None)
        assert draft.wording["ja"].description.startswith("14日2時41分、気象庁がレベル4大雨危険警報を発表しました。")
        assert "大雨の 危険警報" in draft.wording["ja-x-easy"].description
        assert "announced: Level 4 heavy rain danger warning" in draft.wording["en-US"].description
        assert not await r.at.ledger.alerts()
        await r.issue(taken.draft)
        assert [a.identifier for a in await r.at.ledger.alerts()] == [taken.draft]


@pytest.mark.parametrize("telegram", [Weather(), Tornado(), Quake(), EarlyWarning(), Tsunami(), SPECIAL])
async def test_whatever_it_is_its_draft_has_no_finding_that_stops_it(telegram, tmp_path):
    async with room(tmp_path) as r:
        taken = await r.take(telegram)
        _, prepared = await r.at.desk.preview(APPROVER, taken.draft)
        assert prepared.blocking == ()
        assert all(
            "{" not in words.description.replace("{issued}", "")
            for words in (await r.draft(taken.draft)).wording.values()
        )


async def test_an_earthquake_is_told_as_one(tmp_path):
    async with room(tmp_path) as r:
        words = (await r.draft((await r.take(Quake())).draft)).wording
        assert "震度５弱の地震の情報を発表しました（東京都多摩東部）" in words["ja"].description
        assert "震度5弱の 地震の お知らせを 出しました" in words["ja-x-easy"].description
        assert "seismic intensity 5 lower" in words["en-US"].description


async def test_a_notice_holds_as_long_as_its_telegram(tmp_path):
    async with room(tmp_path) as r:
        tornado = await r.draft((await r.take(Tornado(minutes=45))).draft)
        assert tornado.expires == SENT + timedelta(minutes=45)
        assert tornado.next_update == tornado.expires
        early = await r.draft((await r.take(EarlyWarning())).draft)
        assert early.expires == SENT + timedelta(minutes=30)


async def test_a_draft_that_nobody_touched_is_written_anew(tmp_path):
    async with room(tmp_path) as r:
        first = await r.take(Weather())
        second = await r.take(Weather().later(0.1, says=WORSE))
        assert second.draft == first.draft
        assert (await r.draft(first.draft)).template == "weather-danger-warning"
        assert len(await r.drafts()) == 1


async def test_a_draft_that_somebody_touched_is_left_alone_and_told_to_be_old(tmp_path):
    async with room(tmp_path) as r:
        first = await r.take(Weather())
        draft = await r.draft(first.draft)
        typed = Typed(template=draft.template, areas=("大沢",), cause="野川の水位が上がっています")
        await r.at.desk.edit(WRITER, draft.identifier, draft.version, typed, mode="live")
        r.at.clock.advance(60)
        second = await r.take(Weather().later(1, says=WORSE))
        assert second.draft != first.draft
        kept = await r.draft(first.draft)
        assert kept.wording["ja"].description.startswith("野川の水位が上がっています")
        assert len(kept.quarters) == 6
        _, prepared = await r.at.desk.preview(APPROVER, first.draft)
        assert any("newer upstream data" in f.reason for f in prepared.findings)
        _, prepared = await r.at.desk.preview(APPROVER, second.draft)
        assert not any("newer upstream data" in f.reason for f in prepared.findings)


async def test_a_correction_that_makes_it_another_kind_of_message_is_an_update_for_two_people(tmp_path):
    async with room(tmp_path) as r:
        warning = Weather(event_id="JPTK260001", serial="1")
        first = await r.take(warning)
        await r.issue(first.draft)
        worse = await r.take(warning.later(5, serial="1", info_type="訂正", says=WORSE))
        draft = await r.draft(worse.draft)
        assert (draft.verb, draft.of, draft.template) == (Verb.UPDATE, first.draft, "weather-danger-warning")


async def test_what_is_on_the_air_is_updated_corrected_and_lifted_by_drafts(tmp_path):
    async with room(tmp_path) as r:
        warning = Weather(event_id="JPTK260001", serial="1")
        first = await r.take(warning)
        await r.issue(first.draft)
        r.at.clock.advance(600)
        corrected = await r.take(warning.later(5, serial="1", info_type="訂正"))
        updated = await r.take(warning.later(6, serial="2", says=WORSE))
        lifted = await r.take(warning.later(9, serial="3", says=LIFTED))
        said = [await r.draft(t.draft) for t in (corrected, updated, lifted)]
        assert [(d.verb, d.of, d.state) for d in said] == [
            (Verb.CORRECT, first.draft, State.DRAFT),
            (Verb.UPDATE, first.draft, State.DRAFT),
            (Verb.LIFT, first.draft, State.DRAFT),
        ]
        assert said[0].note == "気象庁が元の電文を訂正しました"
        assert said[2].template == "weather-warning-lifted"
        # Not one of them went out: the one alert stands as it was issued.
        assert [a.identifier for a in await r.at.ledger.alerts()] == [first.draft]
        await r.issue(lifted.draft)
        assert {a.verb for a in await r.at.ledger.alerts()} == {"issue", "lift"}


async def test_a_retraction_is_a_draft_and_never_sent_alone_even_by_a_policy(tmp_path):
    async with room(tmp_path, policy="seconds-count", templates=("weather-special-warning",)) as r:
        special = replace(SPECIAL, event_id="JPTK260001", serial="1")
        sent = await r.take(special)
        r.at.clock.advance(60)
        taken = await r.take(special.later(1, serial="2", info_type="取消"))
        draft = await r.draft(taken.draft)
        assert (draft.verb, draft.of, draft.state) == (Verb.RETRACT, sent.draft, State.DRAFT)
        assert len(await r.at.ledger.alerts()) == 1
        await r.at.desk.send(WRITER, taken.draft, mode="live")  # one person, one key
        assert (await r.at.ledger.alerts())[0].verb == "retract"


async def test_where_nothing_is_on_the_air_there_is_nothing_to_lift_or_take_back(tmp_path):
    async with room(tmp_path) as r:
        first = await r.take(Weather(event_id="A", serial="1"))
        for later in ({"says": LIFTED}, {"info_type": "取消"}):
            taken = await r.take(Weather(event_id="A", serial="1").later(5, serial="2", **later))
            assert taken.draft is None
        assert [d.identifier for d in await r.drafts()] == [first.draft]


async def test_after_a_lifting_the_event_may_begin_again(tmp_path):
    async with room(tmp_path) as r:
        first = await r.take(Weather())
        await r.issue(first.draft)
        r.at.clock.advance(1200)
        lifted = await r.take(Weather().later(5, says=LIFTED))
        await r.issue(lifted.draft)
        again = await r.draft((await r.take(Weather().later(10))).draft)
        assert (again.verb, again.of, again.author) == (Verb.ISSUE, None, "intake")


async def test_two_telegrams_of_one_event_are_told_once(tmp_path):
    async with room(tmp_path) as r:
        warning = Tsunami()
        information = Tsunami(title="津波情報a", serial="1").later(0.5)
        first, second = await r.take(warning), await r.take(information)
        assert second.draft == first.draft
        await r.issue(first.draft)
        r.at.clock.advance(300)
        third = await r.draft((await r.take(Tsunami(title="津波情報a", serial="2").later(3))).draft)
        assert (third.verb, third.of) == (Verb.UPDATE, first.draft)


async def test_a_policy_sends_what_it_names_and_says_who_did(tmp_path):
    async with room(tmp_path, policy="seconds-count", templates=("weather-special-warning",)) as r:
        taken = await r.take(SPECIAL)
        assert taken.decision.outcome is Outcome.SENT
        (alert,) = await r.at.ledger.alerts()
        assert alert.identifier == taken.draft
        draft = await r.draft(taken.draft)
        assert (draft.submitted_by, draft.state) == ("intake", State.DISPATCHING)
        (issued,) = await r.at.events("alert.issued")
        assert issued.facts["by"] == "方針 seconds-count"
        (said,) = await r.at.events("intake.taken")
        assert (said.facts["policy"], said.facts["decision"]) == ("seconds-count", "sent")


async def test_a_policy_speaks_only_in_texts_that_the_city_has_approved(tmp_path):
    async with room(tmp_path, policy="seconds-count") as r:
        taken = await r.take(SPECIAL)
        assert not await r.at.ledger.alerts()
        assert (await r.draft(taken.draft)).state is State.DRAFT
        assert await r.at.events("page.owed")


async def test_a_halted_node_sends_nothing_by_a_policy_either(tmp_path):
    async with room(tmp_path, policy="seconds-count", templates=("weather-special-warning",)) as r:
        await r.at.desk.halt(APPROVER, "点検のため")
        taken = await r.take(SPECIAL)
        assert not await r.at.ledger.alerts()
        assert (await r.draft(taken.draft)).state is State.PENDING


async def test_what_was_written_down_and_not_sent_is_never_sent_by_the_same_telegram_again(tmp_path):
    """As the ledger stands after a crash between the two: the draft is there, the telegram is known, nothing went out."""
    async with room(tmp_path, policy="seconds-count") as r:
        await r.take(SPECIAL)
    async with room(tmp_path, policy="seconds-count", templates=("weather-special-warning",)) as r:
        again = await r.take(SPECIAL)
        assert again.decision.outcome is Outcome.IGNORED
        assert not await r.at.ledger.alerts()
        assert [d.state for d in await r.drafts()] == [State.DRAFT]


async def test_on_a_drill_node_a_drill_is_a_draft_and_what_is_real_is_not(tmp_path):
    async with room(tmp_path, "drill") as r:
        real, drill = await r.take(Weather()), await r.take(Weather(status="訓練"))
        assert (real.draft, real.decision.outcome) == (None, Outcome.IGNORED)
        assert drill.decision.outcome is Outcome.DRILL
        await r.issue(drill.draft)
        (alert,) = await r.at.ledger.alerts()
        assert b"<status>Exercise</status>" in alert.cap_xml
    async with room(tmp_path / "live") as r:
        assert (await r.take(Weather(status="訓練"))).draft is None
        assert await r.drafts() == []


async def test_after_a_restart_a_telegram_that_was_taken_is_known(tmp_path):
    async with room(tmp_path) as r:
        await r.take(Weather())
    async with room(tmp_path) as r:
        again = await r.take(Weather())
        assert (again.decision.outcome, again.draft) == (Outcome.IGNORED, None)
        assert len(await r.drafts()) == 1
        assert await r.at.ledger.verify() == []


async def test_many_at_once_are_taken_one_after_the_other(tmp_path):
    async with room(tmp_path) as r, asyncio.TaskGroup() as tasks:
        for serial in range(1, 9):
            telegram = Weather(event_id="A", serial=str(serial))
            tasks.create_task(r.take(replace(telegram, reported=SENT + timedelta(seconds=serial))))
    async with room(tmp_path) as r:
        assert len(await r.drafts()) == 1


async def test_what_is_refused_is_written_down_with_its_reason_and_nothing_else_is(tmp_path):
    async with room(tmp_path) as r:
        for data in (b"<not", b"<Report/>", b"x" * 5_000_000):
            with pytest.raises(InvalidInput):
                await r.intake.take(data, "post 県")
        refused = await r.at.events("intake.refused")
        assert len(refused) == 3
        assert all(e.facts["source"] == "post 県" and e.facts["reasons"] for e in refused)
        assert await r.drafts() == []


async def test_what_is_none_of_the_citys_business_leaves_no_trace(tmp_path):
    async with room(tmp_path) as r:
        await r.take(Weather(says=((MITAKA, (NONE,)),)))
        await r.take(Weather(title="府県天気予報"))
        assert await r.at.events("intake.taken") == []
        assert await r.at.ledger.records("upstream") == []


async def test_events_long_past_are_forgotten(tmp_path):
    async with room(tmp_path) as r:
        await r.take(Weather(event_id="A", serial="1"))
        r.at.clock.advance(4 * 86_400)
        await r.take(Weather(event_id="B", serial="1").later(4 * 1440))
        assert [body["event"] for _, _, body in await r.at.ledger.records("upstream")] == ["B"]


async def test_somebody_is_told_of_a_new_draft_but_not_of_an_advisory(tmp_path):
    async with room(tmp_path) as r:
        await r.take(Weather(says=((MITAKA, (("雷注意報", "14", "発表"),)),)))
        assert await r.at.events("page.owed") == []
        await r.take(Weather(event_id="A"))
        await r.at.standing.look()
        (told,) = await r.at.events("page.told")
        assert told.facts["why"] == "intake"


@pytest.mark.parametrize("act", [a for a in Act if a not in {Act.WRITE, Act.EDIT}])
def test_the_role_of_another_system_can_write_and_nothing_else(act, tmp_path):
    from dispatcher.model.mode import Live

    assert INTAKE.roles == ("intake",)
    for state in State:
        assert refusal(state, act, Role.INTAKE, Live)
