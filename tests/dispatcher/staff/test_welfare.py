"""Residents at the desk, with a real safety loop behind it: who may ask, who sees whom, what is written down of it."""

import pytest
import pytest_asyncio

from dispatcher.errors import InvalidInput, NotFound, Refused
from dispatcher.staff.cases import Said
from dispatcher.staff.rules import Role
from dispatcher.staff.sessions import Person
from tests.servers.console import APPROVER, WRITER, console
from tests.servers.residents import HIDDEN, QUARTERS, VIEWER, WELFARE, residents

pytestmark = pytest.mark.asyncio(loop_scope="module")
WRITES, APPROVES = Person(WRITER, ("originator",)), Person(APPROVER, ("approver",))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory):
    async with console(tmp_path_factory.mktemp("welfare")) as opened:
        opened.city = residents(opened.node)
        yield opened


@pytest.fixture
def desk(room):
    return room.node.desk


async def events(room, name):
    return [r.event for r in await room.node.ledger.story(limit=5000) if r.event.name == name]


async def test_about_a_live_alert_one_person_asks_and_within_its_quarters_alone(room, desk):
    identifier = await room.issued(areas=("大沢一丁目",))
    went = await desk.ask(WRITES, about=identifier, quarters=(), mode="drill")
    assert went.campaign
    overview = await desk.campaign(VIEWER, went.campaign)
    assert overview.quarters_asked == (QUARTERS[0],)
    beyond = await desk.ask(WRITES, about=identifier, quarters=QUARTERS, mode="drill")
    assert not beyond.campaign
    assert beyond.waits_as
    await desk.decline(WRITES, beyond.waits_as)


async def test_without_a_live_alert_a_second_person_is_needed_who_did_not_ask_for_it(room, desk):
    went = await desk.ask(APPROVES, about="", quarters=QUARTERS, kind="watch", mode="drill")
    assert [p.key for p in await desk.proposed(VIEWER)] == [went.waits_as]
    with pytest.raises(Refused, match="not the one who asked"):
        await desk.agree(APPROVES, went.waits_as, mode="drill")
    with pytest.raises(Refused, match="may not agree"):
        await desk.agree(WELFARE, went.waits_as, mode="drill")
    began = await desk.agree(Person("職員0006", ("approver",)), went.waits_as, mode="drill")
    assert (await desk.campaign(VIEWER, began.campaign)).kind == "watch"
    with pytest.raises(NotFound):
        await desk.agree(Person("職員0006", ("approver",)), went.waits_as, mode="drill")


async def test_a_standing_watch_takes_two_people_to_begin_and_one_to_stop(desk):
    with pytest.raises(InvalidInput) as refused:
        await desk.propose_watch(WRITES, quarters=(), time="03:00")
    assert [f.where for f in refused.value.findings] == ["area", "time"]
    key = await desk.propose_watch(APPROVES, quarters=QUARTERS, time="09:00")
    with pytest.raises(Refused, match="not the one who asked"):
        await desk.agree(APPROVES, key, mode="drill")
    assert await desk.standing_watch(VIEWER) is None
    await desk.agree(Person("職員0006", ("approver",)), key, mode="drill")
    assert (await desk.standing_watch(VIEWER)).at == "09:00"
    await desk.end_watch(WELFARE)
    assert await desk.standing_watch(VIEWER) is None


async def test_a_halted_node_asks_nobody(desk):
    await desk.halt(APPROVES, "工事")
    try:
        with pytest.raises(Refused, match="halted"):
            await desk.ask(WRITES, about="", quarters=QUARTERS, mode="drill")
    finally:
        await desk.reopen(APPROVES)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.WELFARE])
async def test_names_are_for_the_role_welfare_alone(room, desk, role):
    campaign = await room.city.asked()
    by, somebody = Person("職員0009", (role.value,)), room.city.ids["住民0001"]
    for ask in (
        lambda: desk.urgent(by, campaign, 5),
        lambda: desk.silent(by, campaign, 5),
        lambda: desk.case(by, campaign, somebody),
        lambda: desk.look_up(by, campaign, "住民", reason="inquiry", at_most=5),
        lambda: desk.visits(by, campaign),
        lambda: desk.visits(by, campaign, is_sealed=True),
        lambda: desk.unmatched(by, campaign),
        lambda: desk.answer_for(by, campaign, somebody, Said("ok", "self", saw=False, text="")),
        lambda: desk.match(by, campaign, "r", somebody),
        lambda: desk.take_on(by, campaign, somebody),
        lambda: desk.resolve(by, campaign, somebody),
        lambda: desk.exempt(by, campaign, somebody),
    ):
        with pytest.raises(Refused, match="may not"):
            await ask()


async def test_a_proxy_answer_moves_the_person_and_their_case_is_taken_on_once(room, desk):
    campaign = await room.city.asked()
    who = room.city.ids["住民0003"]
    await desk.answer_for(WELFARE, campaign, who, Said("help", "relative", saw=False, text="二階に\n取り残された"))
    (first,) = await desk.urgent(WELFARE, campaign, 10)
    assert (first.name, first.answer) == ("住民0003", "help")
    case = await desk.case(WELFARE, campaign, who)
    assert [(h.source, h.words, h.by) for h in case.heard] == [("relative", "二階に 取り残された", WELFARE.name)]
    await desk.take_on(WELFARE, campaign, who)
    with pytest.raises(Refused, match="taken it on"):
        await desk.take_on(Person("職員0006", ("welfare",)), campaign, who)
    assert (await desk.case(WELFARE, campaign, who)).holder == WELFARE.name
    await desk.answer_for(WELFARE, campaign, who, Said("ok", "staff", saw=True, text=""))
    assert not await desk.urgent(WELFARE, campaign, 10)
    with pytest.raises(InvalidInput) as wrong:
        await desk.answer_for(WELFARE, campaign, who, Said("fine", "", saw=False, text="a\x00"))
    assert [f.where for f in wrong.value.findings] == ["answer", "source", "text"]


async def test_contradicting_reports_are_both_kept_and_the_graver_holds_until_somebody_saw_them(room, desk):
    campaign = await room.city.asked()
    who = room.city.ids["住民0004"]
    await desk.answer_for(WELFARE, campaign, who, Said("help", "self", saw=False, text=""))
    await desk.answer_for(WELFARE, campaign, who, Said("ok", "relative", saw=False, text=""))
    case = await desk.case(WELFARE, campaign, who)
    assert (case.answer, case.is_conflict, len(case.heard)) == ("help", True, 2)
    assert (await desk.campaign(WELFARE, campaign)).figures["conflict"].least == 1


async def test_a_look_up_needs_a_reason_finds_by_name_address_and_phone_and_is_written_down_without_what_was_typed(
    room, desk
):
    campaign = await room.city.asked()
    with pytest.raises(InvalidInput) as wrong:
        await desk.look_up(WELFARE, campaign, "", reason="", at_most=5)
    assert [f.where for f in wrong.value.findings] == ["reason", "words"]
    for words in ("住民０００5", "0422000005", "5番"):
        found = await desk.look_up(WELFARE, campaign, words, reason="inquiry", at_most=5)
        assert [case.name for case in found] == ["住民0005"]
    said = await events(room, "resident.searched")
    assert {(e.facts["by"], e.facts["reason"]) for e in said} == {(WELFARE.name, "inquiry")}
    assert "住民" not in str(said)


async def test_somebody_under_restriction_stands_on_the_sealed_list_alone_and_is_visited(room, desk):
    campaign = await room.city.asked()
    await desk.answer_for(WELFARE, campaign, room.city.ids[HIDDEN.name], Said("help", "self", saw=False, text=""))
    assert not await desk.urgent(WELFARE, campaign, 10)
    assert not await desk.look_up(WELFARE, campaign, HIDDEN.name, reason="inquiry", at_most=5)
    lists = [case.name for sheet in await desk.visits(WELFARE, campaign) for case in sheet.cases]
    assert HIDDEN.name not in lists
    assert len(lists) == 9
    sealed = [case.name for sheet in await desk.visits(WELFARE, campaign, is_sealed=True) for case in sheet.cases]
    assert sealed == [HIDDEN.name]
    assert (await desk.campaign(WELFARE, campaign)).sealed_urgent == 1


async def test_others_see_the_same_counts_whether_somebody_under_restriction_is_there_or_not(room, desk):
    campaign = await room.city.asked()
    before = await desk.campaign(VIEWER, campaign)
    await desk.answer_for(WELFARE, campaign, room.city.ids[HIDDEN.name], Said("help", "self", saw=False, text=""))
    assert await desk.campaign(VIEWER, campaign) == before
    assert str(before.figures["asked"]) == "8–11"
    assert [str(row.figures["asked"]) for row in before.quarters] == ["7", "<5"]
    assert not before.cohorts
    welfare = await desk.campaign(WELFARE, campaign)
    assert str(welfare.figures["asked"]) == "9"
    assert (welfare.sealed, before.sealed) == (1, 0)
    assert sum(row.figures["asked"].least for row in welfare.cohorts) == 9


async def test_the_log_tells_others_what_staff_did_and_no_pseudonym_and_no_count_of_residents(room, desk):
    campaign = await room.city.asked()
    await desk.case(WELFARE, campaign, room.city.ids["住民0001"])
    story = await desk.timeline(VIEWER, campaign)
    assert "resident.opened" in {one.event.name for one in story}
    told = str([one.event.facts for one in story])
    assert not [pseudonym for pseudonym in room.city.ids.values() if pseudonym in told]
    assert not [
        one for one in story if one.event.name.startswith(("safety.", "resident.")) and "count" in one.event.facts
    ]


async def test_a_round_that_is_over_takes_no_answer_and_staff_may_see_its_cases_to_their_end(room, desk):
    campaign = await room.city.asked()
    who = room.city.ids["住民0001"]
    await desk.end_asking(WRITES, campaign, mode="drill")
    for ask in (
        lambda: desk.answer_for(WELFARE, campaign, who, Said("ok", "self", saw=True, text="")),
        lambda: desk.ask_again(WRITES, campaign, mode="drill"),
        lambda: desk.end_asking(WRITES, campaign, mode="drill"),
    ):
        with pytest.raises(Refused, match="over"):
            await ask()
    await desk.take_on(WELFARE, campaign, who)
    await desk.resolve(WELFARE, campaign, who)
    assert (await desk.case(WELFARE, campaign, who)).progress == "resolved"


async def test_supporters_are_told_of_those_who_agreed_and_of_all_others_while_a_release_is_in_force(room, desk):
    campaign = await room.city.asked()

    async def named():
        sheets = await desk.visits(WELFARE, campaign, for_supporters=True)
        return sorted(case.name for sheet in sheets for case in sheet.cases)

    assert await named() == ["住民0001", "住民0002", "住民0003"]
    key = await desk.propose_release(WELFARE, reason="大雨で支援者が足りない", hours=2)
    assert len(await named()) == 3
    await desk.agree(APPROVES, key, mode="drill")
    release = await desk.release(VIEWER)
    assert (release.by, release.agreed_by, release.reason) == (WELFARE.name, APPROVER, "大雨で支援者が足りない")
    everybody = await named()
    assert len(everybody) == 9
    assert HIDDEN.name not in everybody
    (said,) = await events(room, "roster.released")
    assert said.facts["until"] == release.until.isoformat()
    await desk.end_release(APPROVES)
    assert await desk.release(VIEWER) is None
    assert len(await named()) == 3
