"""What every keeper of campaigns must keep, whichever engine is under it. tests/dispatcher/ledgers/test_<engine>.py extends it.

Codes and sealed bytes stand here as they come: what they mean is the business of dispatcher/sealing.py and its tests.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from dispatcher.campaigns import Campaigns, Climbing, Codes, NewAsked, NewReply, RosterRow, Taken, Wanted
from dispatcher.channel import Limits
from dispatcher.errors import NotFound, StaleHash
from dispatcher.ledger import Event, Ledger, NewDelivery
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Priority
from tests.contracts.ledger_contract import START, Place, Sender, sending, until

CAMPAIGN = "safety-20260914-1"
KEY = b"the campaign's key, sealed"


def person(n: int, **changes: Any) -> NewAsked:
    fields: dict[str, Any] = {
        "id": f"p{n:05d}",
        "codes": Codes("c0", f"q{n % 3}", "", "no", "default"),
        "standing": "silent",
        "sealed": f"sealed {n}".encode(),
        "tokens": {f"hash{n:05d}": "self"},
        "progress": "asked",
    }
    return NewAsked(**fields | changes)


def question(*ids: str, batch: str = "1/0/0") -> NewDelivery:
    return NewDelivery(
        key=f"{CAMPAIGN}:email_list:safety/{batch}",
        identifier=CAMPAIGN,
        channel="email_list",
        priority=Priority.LEVEL_4,
        destinations=tuple(Destination(each) for each in ids),
        expires_at=None,
    )


def answer(n: int, version: int, **changes: Any) -> NewReply:
    fields: dict[str, Any] = {
        "campaign": CAMPAIGN,
        "id": f"r{n:05d}-{version}",
        "person": f"p{n:05d}",
        "expected_version": version,
        "at": START,
        "standing": "ok",
        "sealed": b"sealed answer",
    }
    return NewReply(**fields | changes)


def said(name: str = "safety.asked") -> Event:
    return Event(name, CAMPAIGN, {"by": "職員A"})


async def opened(ledger: Ledger, count: int = 0) -> Campaigns:
    await ledger.campaigns.open(CAMPAIGN, KEY, {"about": "a1"}, said("safety.opened"))
    if count:
        people = [person(n) for n in range(count)]
        assert await ledger.campaigns.add(CAMPAIGN, people, [question(*(p.id for p in people))], said()) == count
    return ledger.campaigns


async def everybody(campaigns: Campaigns, **wanted: Any) -> list[str]:
    return [one.id async for one in campaigns.each(CAMPAIGN, Wanted(**wanted))]


async def roster_of(*rows: RosterRow) -> AsyncIterator[RosterRow]:
    for row in rows:
        yield row


def citizen(n: int, generation: str = "a") -> RosterRow:
    household = f"h{n // 3}" if n % 3 else ""
    return RosterRow(f"pid{n:05d}", f"q{n % 3}", household, f"{generation}{n}", f"sealed {generation} {n}".encode())


ALTERED = (
    # Each touches what another event wrote, so that none is found by another's traces.
    "UPDATE replies SET standing = 'ok' WHERE person = 'p00001'",
    "UPDATE replies SET sealed = (SELECT sealed FROM asked WHERE id = 'p00001') WHERE person = 'p00004'",
    "DELETE FROM replies WHERE person = 'p00005'",
    "UPDATE replies SET settled = 'dismissed' WHERE person = ''",
    "UPDATE asked SET standing = 'ok' WHERE id = 'p00001'",
    "UPDATE asked SET progress = 'exempt' WHERE id = 'p00002'",
    "UPDATE asked SET quarter = 'q9' WHERE id = 'p00003'",
    "DELETE FROM asked WHERE id = 'p00000'",
    "UPDATE links SET person = 'p00003' WHERE person = 'p00001'",
    "INSERT INTO links SELECT 'mine', campaign, person, whose, node, sequence FROM links WHERE person = 'p00004'",
    "UPDATE roster SET quarter = 'q9' WHERE pid = 'pid00001'",
    "DELETE FROM roster WHERE pid = 'pid00599'",
    "UPDATE campaigns SET body = '{}'",
    "UPDATE campaigns SET is_destroyed = (1 = 1)",
    "DELETE FROM campaigns",
)


class CampaignsContract(ABC):
    @pytest.fixture
    @abstractmethod
    def place(self) -> Place: ...

    @pytest.fixture
    async def ledger(self, place: Place) -> AsyncIterator[Ledger]:
        async with place.open() as ledger:
            yield ledger

    # -- a campaign --------------------------------------------------------------------------------------------------

    async def test_a_campaign_is_opened_once_and_moved_over_the_version_that_was_read(self, ledger: Ledger) -> None:
        campaigns = await opened(ledger)
        with pytest.raises(StaleHash):
            await campaigns.open(CAMPAIGN, b"another", {}, said())
        assert await campaigns.move(CAMPAIGN, 1, {"round": 2}, said("safety.reasked")) == 2
        with pytest.raises(StaleHash):
            await campaigns.move(CAMPAIGN, 1, {"round": 3}, said("safety.reasked"))
        with pytest.raises(NotFound):
            await campaigns.move("another", 1, {}, said())
        with pytest.raises(NotFound):
            await campaigns.get("another")
        campaign = await campaigns.get(CAMPAIGN)
        assert (campaign.version, dict(campaign.body), campaign.sealed_key) == (2, {"round": 2}, KEY)
        assert [c.id for c in await campaigns.all()] == [CAMPAIGN]
        assert KEY.decode() not in repr(campaign)
        assert await ledger.verify() == []

    async def test_a_campaign_and_its_first_timer_are_one(self, ledger: Ledger) -> None:
        timer = NewDelivery(f"{CAMPAIGN}:clock:safety/1/1", CAMPAIGN, "clock", Priority.LEVEL_4, (), None)
        sender = Sender()
        async with sending(ledger, sender, {"clock": Limits()}):
            await ledger.campaigns.open(CAMPAIGN, KEY, {}, said("safety.opened"), [timer])
            await until(lambda: len(sender.claims) == 1)
        assert sender.claims[0].key == timer.key
        assert await ledger.verify() == []

    # -- the people --------------------------------------------------------------------------------------------------

    async def test_people_are_written_once_with_the_question_that_goes_to_them(self, ledger: Ledger) -> None:
        campaigns = await opened(ledger, 3)
        again = [person(1), person(7)]
        assert await campaigns.add(CAMPAIGN, again, [question("p00007", batch="1/0/1")], said()) == 1
        assert await everybody(campaigns) == ["p00000", "p00001", "p00002", "p00007"]
        sender = Sender()
        async with sending(ledger, sender, {"email_list": Limits()}):
            await until(lambda: len(sender.addresses) == 4)
        assert sorted(sender.addresses) == await everybody(campaigns)
        (one,) = await campaigns.rows(CAMPAIGN, ["p00001", "nobody"])
        assert (one.sealed, one.codes, one.version, one.replies) == (b"sealed 1", person(1).codes, 1, 0)
        assert b"sealed 1".decode() not in repr(one)
        with pytest.raises(NotFound):
            await campaigns.add("another", [person(1)], [], said())
        with pytest.raises(ValueError, match="500 at most"):
            await campaigns.add(CAMPAIGN, [person(n) for n in range(501)], [], said())
        assert await ledger.verify() == []

    async def test_people_are_streamed_in_order_and_by_what_is_wanted(self, ledger: Ledger) -> None:
        campaigns = await opened(ledger)
        for start in range(0, 1200, 400):
            await campaigns.add(CAMPAIGN, [person(n) for n in range(start, start + 400)], [], said())
        assert await everybody(campaigns) == [f"p{n:05d}" for n in range(1200)]
        assert len(await everybody(campaigns, quarter="q1")) == 400
        assert await everybody(campaigns, progress=["answered"]) == []
        assert len(await everybody(campaigns, below_rung=1, round=1, ladder="default", standing="silent")) == 1200
        after = [one.id async for one in campaigns.each(CAMPAIGN, after="p01197")]
        assert after == ["p01198", "p01199"]

    async def test_who_has_climbed_furthest_stands_first_page_by_page(self, ledger: Ledger) -> None:
        campaigns = await opened(ledger, 60)
        climbing = Climbing(1, 2, "escalated", [f"p{n:05d}" for n in range(40, 50)])
        await campaigns.climb(CAMPAIGN, climbing, [], said())
        await campaigns.climb(CAMPAIGN, replace(climbing, rung=3, ids=["p00047", "p00003"]), [], said())
        await campaigns.mark(CAMPAIGN, "p00030", 1, said(), progress="unreachable")
        await campaigns.mark(CAMPAIGN, "p00031", 1, said(), progress="answered")
        wanted, shown = Wanted(progress=["asked", "escalated", "unreachable"]), []
        while page := await campaigns.furthest(CAMPAIGN, wanted, 7, after=shown[-1] if shown else ""):
            assert len(page) <= 7
            shown += [one.id for one in page]
        assert shown[:3] == ["p00030", "p00003", "p00047"]
        assert shown[3:12] == [f"p{n:05d}" for n in range(40, 50) if n != 47]
        assert sorted(shown) == [f"p{n:05d}" for n in range(60) if n != 31]
        assert [one.id for one in await campaigns.furthest(CAMPAIGN, wanted, 1, after="nobody")] == ["p00030"]

    async def test_a_link_leads_to_one_person_and_says_whose_it_is(self, ledger: Ledger) -> None:
        campaigns = await opened(ledger)
        two = person(1, tokens={"mine": "self", "theirs": "relative"})
        await campaigns.add(CAMPAIGN, [two, person(2)], [], said())
        found = await campaigns.by_token("theirs")
        assert found is not None
        assert (found[0].id, found[1]) == ("p00001", "relative")
        assert await campaigns.by_token("guessed") is None

    async def test_only_the_silent_climb_and_nobody_twice(self, ledger: Ledger) -> None:
        campaigns = await opened(ledger, 4)
        await campaigns.reply([answer(0, 1)])
        ids = [f"p{n:05d}" for n in range(4)]
        first = Climbing(1, 1, "reminded", ids, holders={"p00001": "h1"}, tokens={"new": ("p00001", "supporter")})
        asked = [question(*ids, batch="1/1/0"), question("p00000/relative", batch="1/1/1")]
        assert await campaigns.climb(CAMPAIGN, first, asked, said("safety.climbed")) == ids[1:]
        assert await campaigns.climb(CAMPAIGN, first, asked, said("safety.climbed")) == []
        assert await campaigns.climb(CAMPAIGN, Climbing(2, 2, "reminded", ids), [], said()) == [], "of another round"
        second = Climbing(1, 2, "reminded", ids, seen=dict.fromkeys(ids, 0))
        assert await campaigns.climb(CAMPAIGN, second, [], said()) == [], "they have left that rung meanwhile"
        assert await campaigns.open_cases(CAMPAIGN) == {"h1": 1}
        found = await campaigns.by_token("new")
        assert found is not None
        assert (found[0].progress, found[0].rung, found[0].holder) == ("reminded", 1, "h1")
        sender = Sender()
        async with sending(ledger, sender, {"email_list": Limits()}):
            await until(lambda: len(sender.addresses) == 7)
        assert sorted(sender.addresses) == sorted(ids + ids[1:]), "nothing goes to whom has been heard of"
        assert await ledger.verify() == []

    async def test_staff_move_one_person_over_the_version_that_they_saw(self, ledger: Ledger) -> None:
        campaigns = await opened(ledger, 2)
        assert await campaigns.mark(CAMPAIGN, "p00001", 1, said("safety.taken_on"), holder="h") == 2
        with pytest.raises(StaleHash):
            await campaigns.mark(CAMPAIGN, "p00001", 1, said("safety.resolved"), progress="resolved")
        with pytest.raises(NotFound):
            await campaigns.mark(CAMPAIGN, "nobody", 1, said("safety.resolved"), progress="resolved")
        assert await campaigns.mark(CAMPAIGN, "p00001", 2, said("safety.resolved"), progress="resolved") == 3
        assert await campaigns.open_cases(CAMPAIGN) == {}
        assert await ledger.verify() == []

    async def test_totals_count_everybody_once(self, ledger: Ledger) -> None:
        campaigns = await opened(ledger, 9)
        await campaigns.reply([answer(0, 1, standing="hurt"), answer(1, 1), answer(4, 1, is_conflict=True)])
        counted = {
            (c.codes.quarter, c.standing, c.progress, c.is_conflict): c.count for c in await campaigns.totals(CAMPAIGN)
        }
        assert counted == {
            ("q0", "silent", "asked", False): 2,
            ("q0", "hurt", "answered", False): 1,
            ("q1", "silent", "asked", False): 1,
            ("q1", "ok", "answered", False): 1,
            ("q1", "ok", "answered", True): 1,
            ("q2", "silent", "asked", False): 3,
        }

    async def test_totals_tell_who_is_held_and_not_by_whom_nor_in_which_round(self, ledger: Ledger) -> None:
        campaigns = await opened(ledger, 7)
        again = Climbing(2, 0, "reasked", ["p00000", "p00003"], standing="silent")
        assert await campaigns.climb(CAMPAIGN, again, [], said("safety.reasked")) == ["p00000", "p00003"]
        await campaigns.mark(CAMPAIGN, "p00000", 2, said("safety.taken_on"), progress="asked", holder="h1")
        await campaigns.mark(CAMPAIGN, "p00003", 2, said("safety.taken_on"), progress="asked", holder="h2")
        await campaigns.mark(CAMPAIGN, "p00006", 1, said("safety.taken_on"), holder="h2")
        totals = await campaigns.totals(CAMPAIGN)
        assert {(c.codes.quarter, c.is_held): c.count for c in totals} == {
            ("q0", True): 3,
            ("q1", False): 2,
            ("q2", False): 2,
        }
        assert len(totals) == 3, "one cell for all who stand alike"
        assert await ledger.verify() == []

    # -- what was heard ----------------------------------------------------------------------------------------------

    async def test_a_reply_moves_its_person_and_the_same_one_twice_is_one(self, ledger: Ledger) -> None:
        campaigns = await opened(ledger, 3)
        assert await campaigns.reply([answer(1, 1), answer(2, 1)]) == [Taken.NEW, Taken.NEW]
        assert await campaigns.reply([answer(1, 1)]) == [Taken.SAME]
        assert await campaigns.reply([answer(1, 2, standing="hurt", progress="conflict", is_conflict=True)]) == [
            Taken.NEW
        ]
        (one,) = await campaigns.rows(CAMPAIGN, ["p00001"])
        assert (one.standing, one.progress, one.is_conflict, one.replies, one.version) == (
            "hurt",
            "conflict",
            True,
            2,
            3,
        )
        assert [(r.number, r.standing) for r in await campaigns.replies(CAMPAIGN, "p00001")] == [(1, "ok"), (2, "hurt")]
        assert await ledger.verify() == []

    async def test_who_folded_over_an_older_row_is_told_and_nothing_is_written(self, ledger: Ledger) -> None:
        campaigns = await opened(ledger, 2)
        both = [answer(1, 1, id="first"), answer(1, 1, id="second")]
        assert await campaigns.reply(both) == [Taken.NEW, Taken.STALE]
        assert await campaigns.reply([answer(1, 1, id="second"), answer(9, 1), answer(0, 1, campaign="another")]) == [
            Taken.STALE,
            Taken.GONE,
            Taken.GONE,
        ]
        assert await campaigns.reply([answer(1, 2, id="second")]) == [Taken.NEW]
        assert await ledger.verify() == []

    async def test_a_thousand_who_answer_at_once_share_few_commits(self, ledger: Ledger) -> None:
        campaigns = await opened(ledger)
        for start in (0, 500):
            await campaigns.add(CAMPAIGN, [person(n) for n in range(start, start + 500)], [], said())
        before = (await ledger.figures()).commits
        async with asyncio.TaskGroup() as tasks:
            answers = [tasks.create_task(campaigns.reply([answer(n, 1)])) for n in range(1000)]
        assert [a.result() for a in answers] == [[Taken.NEW]] * 1000
        assert (await ledger.figures()).commits - before < 50
        assert await ledger.verify() == []

    async def test_a_report_without_a_person_waits_until_it_is_settled_once(self, ledger: Ledger) -> None:
        campaigns = await opened(ledger, 1)
        report = answer(0, 0, id="u1", person="", standing="")
        assert await campaigns.reply([report, report]) == [Taken.NEW, Taken.SAME]
        await campaigns.settle(CAMPAIGN, "u1", "p00000", said("safety.matched"))
        with pytest.raises(StaleHash):
            await campaigns.settle(CAMPAIGN, "u1", "dismissed", said("safety.matched"))
        with pytest.raises(NotFound):
            await campaigns.settle(CAMPAIGN, "u2", "dismissed", said("safety.matched"))
        assert [(r.id, r.settled) for r in await campaigns.replies(CAMPAIGN, "")] == [("u1", "p00000")]
        assert await ledger.verify() == []

    # -- the roster --------------------------------------------------------------------------------------------------

    async def test_a_roster_holds_as_a_whole_or_not_at_all(self, ledger: Ledger) -> None:
        campaigns = ledger.campaigns
        assert [row async for row in campaigns.roster()] == []
        old = [citizen(n) for n in range(1201)]
        assert await campaigns.replace_roster(roster_of(*old), said("roster.imported")) == 1201
        assert [row async for row in campaigns.roster()] == old

        async def broken() -> AsyncIterator[RosterRow]:
            for n in range(700):
                yield citizen(n, "b")
            raise ConnectionError

        with pytest.raises(ConnectionError):
            await campaigns.replace_roster(broken(), said("roster.imported"))
        assert [row async for row in campaigns.roster()] == old
        assert await ledger.verify() == []
        new = [citizen(n, "c") for n in range(0, 600, 2)]
        await campaigns.replace_roster(roster_of(*new), said("roster.imported"))
        assert [row async for row in campaigns.roster()] == new
        assert [row async for row in campaigns.roster(["q2"])] == [row for row in new if row.quarter == "q2"]
        assert await campaigns.roster_rows(["pid00002", "pid00003"]) == [citizen(2, "c")]
        assert sorted(row.pid for row in await campaigns.roster_households(["h1", "h2", ""])) == [
            "pid00004",
            "pid00008",
        ]
        assert await ledger.verify() == []

    async def test_of_two_who_import_at_once_nobody_gets_a_mixture(self, ledger: Ledger) -> None:
        async def take(generation: str) -> int:
            rows = roster_of(*(citizen(n, generation) for n in range(600)))
            try:
                return await ledger.campaigns.replace_roster(rows, said("roster.imported"))
            except StaleHash:
                return 0

        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(take(generation)) for generation in "ab"]
        assert 600 in [task.result() for task in both]
        assert len({row.digest[0] async for row in ledger.campaigns.roster()}) == 1
        assert await ledger.verify() == []

    # -- the audit and the end ---------------------------------------------------------------------------------------

    async def test_what_was_quietly_altered_is_found(self, ledger: Ledger, place: Place) -> None:
        campaigns = await opened(ledger)
        for n in range(6):
            await campaigns.add(CAMPAIGN, [person(n)], [], said())
        for n in (1, 4, 5):
            await campaigns.reply([answer(n, 1, standing="help")])
        await campaigns.reply([answer(0, 0, id="u1", person="", standing="")])
        await campaigns.replace_roster(roster_of(*(citizen(n) for n in range(600))), said("roster.imported"))
        found = list(await ledger.verify())
        assert found == []
        for alter in ALTERED:
            place.write(alter)
            before, found = found, list(await ledger.verify())
            assert set(found) - set(before), alter

    async def test_after_the_end_nothing_is_left_but_what_may_be_kept(self, ledger: Ledger, place: Place) -> None:
        campaigns = await opened(ledger)
        for start in (0, 400, 800):
            await campaigns.add(CAMPAIGN, [person(n) for n in range(start, start + 400)], [], said())
        await campaigns.reply([answer(1, 1, standing="help")])
        await campaigns.open("another", b"another key", {}, Event("safety.opened", "another"))
        await campaigns.add("another", [person(1, tokens={"other": "self"})], [], Event("safety.asked", "another"))
        with pytest.raises(StaleHash):
            await campaigns.destroy(CAMPAIGN, 7, {}, said("safety.destroyed"))
        await campaigns.destroy(CAMPAIGN, 1, {"counts": {"help": None}}, said("safety.destroyed"))
        assert await everybody(campaigns) == await campaigns.totals(CAMPAIGN) == []
        assert await campaigns.replies(CAMPAIGN, "p00001") == []
        assert await campaigns.by_token("hash00001") is None
        campaign = await campaigns.get(CAMPAIGN)
        assert (campaign.is_destroyed, dict(campaign.body)) == (True, {"counts": {"help": None}})
        with pytest.raises(NotFound):
            await campaigns.add(CAMPAIGN, [person(1)], [], said())
        assert await campaigns.reply([answer(1, 1)]) == [Taken.GONE]
        await campaigns.destroy(CAMPAIGN, 1, {}, said("safety.destroyed"))
        assert dict((await campaigns.get(CAMPAIGN)).body) == {"counts": {"help": None}}, (
            "done again, it changes nothing"
        )
        assert not (await campaigns.get("another")).is_destroyed
        assert len([one async for one in campaigns.each("another")]) == 1
        assert await ledger.verify() == []

    async def test_a_row_that_comes_back_after_the_end_is_found(self, place: Place) -> None:
        async with place.open() as ledger:
            campaigns = await opened(ledger, 2)
            await campaigns.destroy(CAMPAIGN, 1, {}, said("safety.destroyed"))
        place.write(
            "INSERT INTO links (hash, campaign, person, whose, node, sequence) VALUES (?, ?, ?, ?, ?, ?)",
            *("h", CAMPAIGN, "p", "self", "hq", 2),
        )
        place.write("INSERT INTO campaign_keys (campaign, sealed) VALUES (?, ?)", CAMPAIGN, KEY)
        async with place.open() as ledger:
            assert len(await ledger.verify()) == 2
