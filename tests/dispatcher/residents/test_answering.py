"""The doors with the safety loop behind them: what was thanked for is kept, and a wrong link costs the ledger what any other does."""

import asyncio
import sqlite3
from collections import Counter
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from functools import partial

import aiohttp
import pytest

from dispatcher import residents
from dispatcher.campaigns import Wanted
from dispatcher.clock import ManualClock, SystemClock
from dispatcher.ledger import Claim
from dispatcher.ledgers import open_ledger
from dispatcher.listening import listening
from dispatcher.model.campaign import Answer, Progress, Source, standing
from dispatcher.model.delivery import Priority
from dispatcher.model.mode import Drill
from dispatcher.residents import reply, report
from dispatcher.residents.page import Pages
from dispatcher.steps.dispatch import CLOCK
from dispatcher.tracking.caring import Wish
from dispatcher.tracking.confirmation.case import read_reply
from dispatcher.tracking.confirmation.hearing import Hearing
from dispatcher.tracking.confirmation.keys import KeyRing
from dispatcher.tracking.confirmation.matching import due_after, look_later
from tests.dispatcher.residents.campaign import CITY, QUARTER, RELATIVE, SECRET, asked, begin, confirmation_on

PAGES = Pages(CITY, Drill)


@asynccontextmanager
async def site_of(answering, clock):
    routes = [*reply.routes(answering, PAGES, clock), *report.routes(answering, PAGES, clock)]
    async with (
        listening(residents.application(routes, None), "127.0.0.1", 0) as (host, port),
        aiohttp.ClientSession(f"http://{host}:{port}") as session,
    ):
        yield session


@pytest.fixture
def dsn(tmp_path):
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def clock():
    return ManualClock(SystemClock().now())


async def text(site, method, path, **more):
    async with site.request(method, path, **more) as answer:
        return answer.status, await answer.text()


async def test_what_was_thanked_for_is_there_after_the_node_was_gone(dsn, clock):
    async with asked(dsn, 3) as campaign, site_of(campaign.confirmation.answering, clock) as site:
        status, page = await text(site, "POST", f"/a/{campaign.token(1)}", data={"a": "help", "note": "二階"})
        assert (status, "届きました" in page) == (200, True)
    async with open_ledger(dsn, mode=Drill, node="here", clock=SystemClock()) as ledger:
        again = confirmation_on(ledger, 3, clock)
        person = await again.person(campaign.id, campaign.person(1))
        assert (person.answer, person.progress) == (Answer.HELP, Progress.ANSWERED)
        assert [(r.source, r.medium, r.details) for r in person.replies] == [(Source.SELF, "website", {"note": "二階"})]
        assert len([row async for row in ledger.campaigns.each(campaign.id, Wanted(progress=("answered",)))]) == 1


async def test_the_same_tap_twice_is_one_answer_and_a_change_is_another(dsn, clock):
    async with asked(dsn, 1) as campaign, site_of(campaign.confirmation.answering, clock) as site:
        for answer in ("hurt", "hurt", "ok"):
            assert (await text(site, "POST", f"/a/{campaign.token(0)}", data={"a": answer}))[0] == 200
        person = await campaign.confirmation.person(campaign.id, campaign.person(0))
        assert [r.answer for r in person.replies] == [Answer.HURT, Answer.OK]
        assert person.answer is Answer.OK


async def test_of_many_answers_that_look_together_each_is_folded_over_all_that_were_kept_before_it(dsn, clock):
    people, said = 6, [("ok", "no"), ("help", "no"), ("hurt", "yes"), ("ok", "yes"), ("help", "yes"), ("hurt", "no")]
    async with (
        asked(dsn, people, contact=RELATIVE) as campaign,
        site_of(campaign.confirmation.answering, clock) as site,
    ):
        async with asyncio.TaskGroup() as tasks:
            for note, (answer, saw) in enumerate(said):
                for number in range(people):
                    form = {"a": answer, "saw": saw, "note": str(note)}
                    path = f"/a/{campaign.token(number, RELATIVE)}"
                    tasks.create_task(text(site, "POST", path, data=form))
        for number in range(people):
            kept = await campaign.ledger.campaigns.replies(campaign.id, campaign.person(number))
            heard = [read_reply(campaign.keys.open(one.sealed, f"reply:{one.id}")) for one in kept]
            assert [one.number for one in kept] == list(range(1, len(said) + 1))
            assert {one.details["note"] for one in heard} == {str(note) for note in range(len(said))}
            for upto, one in enumerate(kept, 1):
                adds_up_to = standing(heard[:upto])
                assert one.standing == campaign.keys.standing(adds_up_to.answer)
                assert one.is_conflict == adds_up_to.is_conflict
            (row,) = await campaign.ledger.campaigns.rows(campaign.id, [campaign.person(number)])
            assert (row.standing, row.is_conflict) == (kept[-1].standing, kept[-1].is_conflict)
            assert (row.replies, row.version) == (len(said), len(said) + 1)


async def test_a_relative_is_asked_about_whom_and_told_nothing_of_how_they_are(dsn, clock):
    async with asked(dsn, 1, contact=RELATIVE) as campaign, site_of(campaign.confirmation.answering, clock) as site:
        token = campaign.token(0, RELATIVE)
        _, page = await text(site, "GET", f"/a/{token}")
        assert "住民0000" in page
        await text(site, "POST", f"/a/{token}", data={"a": "hurt", "saw": "yes"})
        _, again = await text(site, "GET", f"/a/{token}")
        assert again == page
        (said,) = (await campaign.confirmation.person(campaign.id, campaign.person(0))).replies
        assert (said.source, said.saw, said.answer) == (Source.RELATIVE, True, Answer.HURT)


class Counting:
    """The campaigns of a ledger, with every look at them counted."""

    def __init__(self, campaigns):
        self._campaigns = campaigns
        self.looks = Counter()

    def __getattr__(self, name):
        self.looks[name] += 1
        return getattr(self._campaigns, name)


async def test_a_link_guessed_expired_closed_or_of_another_event_costs_the_same_looks_and_says_the_same(dsn, clock):
    async with asked(dsn, 1, clock) as closed:
        await closed.confirmation.close("職員A", closed.id)
        over = await begin(confirmation_on(closed.ledger, 1, clock), closed.ledger)
        clock.advance(timedelta(hours=73).total_seconds())
        now = await begin(confirmation_on(closed.ledger, 1, clock), closed.ledger)
        counting = Counting(closed.ledger.campaigns)
        hearing = Hearing(Drill, counting, KeyRing(SECRET), clock, partial(look_later, closed.ledger, clock))
        seen = []
        async with site_of(hearing, clock) as site:
            for token in ("a" * 26, "nothing", closed.token(0), over.token(0), now.keys.token("nobody", "self")):
                for method, data in (("GET", None), ("POST", {"a": "help"}), ("POST", {"a": "ok", "note": "x" * 999})):
                    counting.looks.clear()
                    answered = await text(site, method, f"/a/{token}", data=data)
                    seen.append((answered, dict(counting.looks)))
            assert all(one == seen[0] for one in seen)
            assert seen[0][0][0] == 404
            assert seen[0][1] == {"by_token": 1, "get": 1}
            assert (await text(site, "GET", f"/a/{now.token(0)}"))[0] == 200


async def test_a_report_by_name_reaches_staff_and_is_one_however_often_it_is_sent(dsn, clock):
    async with asked(dsn, 1) as campaign, site_of(campaign.confirmation.answering, clock) as site:
        for _ in range(2):
            typed = {"a": "help", "name": "住民9999", "birth": "1950-4-1", "form": "f" * 22, "note": "川のそば"}
            assert "市に届きました" in (await text(site, "POST", "/report?about=other", data=typed))[1]
        (said,) = await campaign.confirmation.unmatched(campaign.id)
        assert (said.name, said.birth_date, said.answer) == ("住民9999", "1950-04-01", Answer.HELP)
        assert (said.saw, said.details["note"]) == (False, "川のそば")
        await campaign.confirmation.close("職員A", campaign.id)
        assert "いま、安否の確認はしていません" in (await text(site, "GET", "/report"))[1]


async def test_no_file_of_the_node_holds_a_token_a_name_or_a_word_that_was_typed(dsn, clock, tmp_path):
    async with asked(dsn, 1) as campaign:
        async with site_of(campaign.confirmation.answering, clock) as site:
            await text(site, "POST", f"/a/{campaign.token(0)}", data={"a": "hurt", "note": "川のそばの赤い屋根"})
            await text(site, "POST", "/report", data={"a": "ok", "name": "住民八千八百", "phone": "0422998877"})
        people = [one async for one in campaign.confirmation.people(campaign.id, Wish())]
        assert [one.answer for one in people] == [Answer.HURT]
        secrets = (campaign.token(0), "住民0000", "赤い屋根", "住民八千八百", "0422998877", "0001@example.jp")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in data]


KNOWN = {"name": "住民 ０００1", "birth": "昭和25年4月1日", "quarter": QUARTER, "a": "help"}


@pytest.mark.parametrize(
    ("typed", "finds"),
    [
        (KNOWN, 1),
        (KNOWN | {"birth": "", "phone": "0422-00-0001"}, 1),
        (KNOWN | {"birth": "1950-4-2"}, 0),
        (KNOWN | {"birth": "", "phone": "0422-00-9999"}, 0),
        (KNOWN | {"birth": ""}, 0),
        (KNOWN | {"quarter": ""}, 0),
        (KNOWN | {"name": "住民7777"}, 0),
    ],
    ids=["birth", "phone", "other birth", "other phone", "name alone", "no quarter", "other name"],
)
async def test_a_report_joins_the_one_person_whom_it_is_about_some_time_later(dsn, clock, typed, finds):
    async with asked(dsn, 3, clock) as campaign, site_of(campaign.confirmation.answering, clock) as site:
        assert "市に届きました" in (await text(site, "POST", "/report", data=typed))[1]
        assert len(await campaign.confirmation.unmatched(campaign.id)) == 1
        await campaign.confirmation.attempt(look_of(campaign.id))
        assert len(await campaign.confirmation.unmatched(campaign.id)) == 1 - finds
        person = await campaign.confirmation.person(campaign.id, campaign.person(1))
        assert [(r.answer, r.source) for r in person.replies] == [(Answer.HELP, Source.ANONYMOUS)] * finds


async def test_a_report_that_fits_two_people_is_left_to_staff(dsn, clock):
    async with asked(dsn, 2, clock, is_twin=True) as campaign, site_of(campaign.confirmation.answering, clock) as site:
        await text(site, "POST", "/report", data=KNOWN | {"name": "住民"})
        await campaign.confirmation.attempt(look_of(campaign.id))
        assert len(await campaign.confirmation.unmatched(campaign.id)) == 1


async def test_one_look_a_minute_is_parked_for_all_reports_of_it(dsn, clock):
    async with asked(dsn, 2, clock) as campaign, site_of(campaign.confirmation.answering, clock) as site:
        for number in range(5):
            await text(site, "POST", "/report", data=KNOWN | {"form": f"{number:022d}"})
        _, due = due_after(clock.now())
        assert timedelta(0) < due - clock.now() <= timedelta(minutes=1)
        with closing(sqlite3.connect(dsn.removeprefix("sqlite:///"))) as looked:
            ((parked,),) = looked.execute("SELECT count(*) FROM deliveries WHERE key LIKE '%:safety/match/%'")
        assert parked == 1
        assert len(await campaign.confirmation.unmatched(campaign.id)) == 5
        await campaign.confirmation.attempt(look_of(campaign.id))
        assert await campaign.confirmation.unmatched(campaign.id) == []


def look_of(campaign):
    """The claim of the timer that looks at reports."""
    return Claim(
        id=1,
        token="",
        key=f"{campaign}:{CLOCK}:safety/match/1",
        identifier=campaign,
        channel=CLOCK,
        priority=Priority.ROUTINE,
        attempt=1,
        destinations=(),
        is_reclaimed=False,
    )
