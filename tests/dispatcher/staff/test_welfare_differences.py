"""What could be subtracted: two figures of one row, two plans, two moments. Outside the role welfare nothing comes of it."""

from dataclasses import replace

import pytest

from config.ladders import Whom
from dispatcher.model.campaign import Answer, Progress
from dispatcher.staff.cases import Said
from dispatcher.staff.counting import exact, hidden
from dispatcher.staff.rounds import FIGURES, _rows
from dispatcher.staff.sessions import Person
from dispatcher.tracking.caring import Cell
from tests.servers.asking import mails
from tests.servers.console import ROLES, WRITER, console
from tests.servers.residents import ALSO, HIDDEN, QUARTERS, WELFARE, residents

WRITES = Person(WRITER, tuple(ROLES[WRITER]))
WELFARE_WRITES = Person(WELFARE.name, ("welfare", *ROLES[WRITER]))
HEARD = Progress.ANSWERED


def cell(count, answer, progress=HEARD, *, is_visited=False, is_conflict=False):
    return Cell(QUARTERS[0], "", "", False, answer, progress, is_conflict, is_visited, count)


def row(see, *cells):
    (only,) = _rows(cells, lambda each: each.quarter, {}, see)
    return {name: str(only.figures[name]) for name in FIGURES}


def test_one_who_calls_for_help_is_not_the_rest_of_the_asked_nor_of_those_to_visit():
    unreachable = cell(8, None, Progress.UNREACHABLE, is_visited=True)
    tables = [
        row(hidden, cell(20, Answer.OK), unreachable, cell(count, Answer.HELP, is_visited=True)) for count in (1, 2, 4)
    ]
    assert tables[0] == tables[1] == tables[2]
    assert (tables[0]["asked"], tables[0]["visiting"], tables[0]["help"]) == ("29–32", "9–12", "<5")


def test_who_is_silent_and_not_yet_escalated_is_not_the_rest_of_two_figures():
    tables = [
        row(hidden, cell(98, None, Progress.ESCALATED), cell(count, None, Progress.REMINDED)) for count in (1, 2, 4)
    ]
    assert tables[0] == tables[1] == tables[2]
    assert (tables[0]["silent"], tables[0]["escalated"]) == ("99–102", "98")


def test_the_role_welfare_sees_each_row_add_up():
    seen = row(exact, cell(20, Answer.OK), cell(8, None), cell(3, Answer.HELP, is_visited=True), cell(2, Answer.HURT))
    assert (seen["asked"], seen["visiting"]) == ("33", "3")


@pytest.fixture
async def room(tmp_path):
    async with console(tmp_path, also=ALSO) as found:
        found.city = residents(found.node)
        yield found


async def test_a_plan_counts_as_a_round_does_and_two_plans_leave_nothing_to_subtract(room):
    desk = room.node.desk
    both = await desk.plan(WRITES, about="", quarters=list(QUARTERS))
    first = await desk.plan(WRITES, about="", quarters=[QUARTERS[0]])
    assert (str(first.people), str(both.people)) == ("7", "8–11")
    assert (both.leaves_some, both.nobody) == (True, None)
    # Who is under 閲覧制限 is in none of it: a plan of their quarter would say that they live there.
    whole = await desk.plan(WELFARE_WRITES, about="", quarters=list(QUARTERS))
    assert (str(whole.people), str(whole.nobody)) == ("9", "9")
    assert sum(case.quarter in QUARTERS for _, case in room.city.people) == 10


async def test_a_plan_says_outside_welfare_by_which_media_and_not_how_many_by_each(room):
    # Six of the seven of this quarter have a mail address: with their number the rest would be exactly one.
    for n, (pid, each) in enumerate(room.city.people[1:7], start=1):
        room.city.people[n] = pid, replace(each, contacts=mails(Whom.SELF, f"{pid}@example.jp"))
    asked = {"about": "", "quarters": [QUARTERS[0]]}
    seen, whole = [await room.node.desk.plan(who, **asked) for who in (WRITES, WELFARE_WRITES)]
    assert (str(seen.people), [count for _, count in seen.lines], seen.nobody) == ("7", [None], None)
    assert ([str(count) for _, count in whole.lines], str(whole.nobody)) == (["6"], "1")


async def test_whom_somebody_visits_are_those_in_need_and_nobody_who_is_safe_or_seen_to(room):
    city, desk = room.city, room.node.desk
    campaign = await city.asked()
    for name, answer in (("住民0001", "help"), ("住民0002", "ok"), ("住民0003", "hurt")):
        await desk.take_on(WELFARE, campaign, city.ids[name])
        await desk.answer_for(WELFARE, campaign, city.ids[name], Said(answer, "self", saw=False, text=""))
    await desk.resolve(WELFARE, campaign, city.ids["住民0003"])
    listed = [case.name for sheet in await desk.visits(WELFARE, campaign) for case in sheet.cases]
    assert len(listed) == 7
    assert not {"住民0002", "住民0003", HIDDEN.name} & set(listed)
    assert str((await desk.campaign(WELFARE, campaign)).figures["visiting"]) == "7"
