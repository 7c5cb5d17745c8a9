"""Nobody who is asked gets lost: whoever needs somebody stays on a list, and what was said counts, through every odd order of things."""

import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from config.cities import load
from config.ladders import Whom
from config.secret import Secret
from dispatcher.campaigns import ROWS
from dispatcher.errors import Refused
from dispatcher.model.campaign import Answer, Progress, Reply, Source
from dispatcher.model.policy import Contact
from dispatcher.model.question import Heard
from dispatcher.model.report import Reported
from dispatcher.tracking.caring import Somebody, Wish
from dispatcher.tracking.confirmation.case import Case
from dispatcher.tracking.confirmation.keys import KeyRing, Keys
from dispatcher.tracking.confirmation.people import People
from dispatcher.tracking.release import Releases
from dispatcher.tracking.roster import Roster
from tests.contracts.ledger_contract import until
from tests.servers.asking import QUARTER, SECRET, Asks, asking, case, mails

ELSEWHERE = "132040101"


@pytest.fixture
def loop(tmp_path, world):
    """Makes the node, with this relay, on a ledger of its own."""

    @asynccontextmanager
    async def made(*cases, **more) -> AsyncIterator[Asks]:
        dsn = f"sqlite:///{tmp_path / 'todoke.db'}"
        async with asking(tmp_path, {"email_list": dict(world.settings())}, cases, dsn=dsn, **more) as asks:
            yield asks

    return made


async def begun(asks: Asks, count: int, **changes) -> str:
    campaign = await asks.start(**changes)

    async def is_done():
        kept = await asks.ledger.campaigns.get(campaign)
        return kept.body["is_enrolled"] and sum(c.count for c in await asks.ledger.campaigns.totals(campaign)) == count

    await until(is_done)
    return campaign


async def asked_anew(asks: Asks, campaign: str, *others: str) -> None:
    """An aftershock, and everybody is asked again but these."""
    asks.clock.leap(5)
    number = await asks.confirmation.re_ask("職員A", campaign)

    async def is_done():
        found = await everybody(asks, campaign)
        return all(one.round == number for name, one in found.items() if name not in others)

    await until(is_done)


async def climbed(asks: Asks, campaign: str, *steps: tuple[float, int]) -> None:
    """住民0001 is silent for so many minutes each time, and then on this rung."""
    for minutes, rung in steps:
        await asks.leap(minutes)

        async def is_there(rung=rung):
            return (await one(asks, campaign)).rung == rung

        await until(is_there)


async def everybody(asks: Asks, campaign: str, wish: Wish = Wish()) -> dict[str, Somebody]:  # noqa: B008 - frozen
    return {one.name: one async for one in asks.confirmation.people(campaign, wish)}


async def to_visit(asks: Asks, campaign: str) -> set[str]:
    return set(await everybody(asks, campaign, Wish(is_visit=True)))


async def one(asks: Asks, campaign: str, name: str = "住民0001") -> Somebody:
    return (await everybody(asks, campaign))[name]


async def keys(asks: Asks, campaign: str) -> Keys:
    return KeyRing(SECRET).of(await asks.ledger.campaigns.get(campaign))


async def say(asks: Asks, campaign: str, answer: Answer, name: str = "住民0001", link: str = "self", **details) -> None:
    token = (await keys(asks, campaign)).token((await one(asks, campaign, name)).id, link)
    assert await asks.confirmation.answering.answer(token, answer, details, "website") is not None


def typed(asks: Asks, answer: Answer, about: str = "other", **more) -> Reported:
    return Reported(
        f"key-{answer}", answer, False, "website", asks.clock.now(), "住民0001", details={"about": about}, **more
    )


# -- asked anew ------------------------------------------------------------------------------------------------------


async def test_who_said_ok_before_an_aftershock_and_says_so_again_is_heard_again(loop):
    async with loop(case(1)) as asks:
        campaign = await begun(asks, 1)
        await say(asks, campaign, Answer.OK)
        await asked_anew(asks, campaign)
        assert (await one(asks, campaign)).answer is None
        await say(asks, campaign, Answer.OK)
        found = await one(asks, campaign)
        assert (found.answer, found.progress) == (Answer.OK, Progress.ANSWERED)


async def test_who_needs_somebody_stays_on_the_list_when_everybody_is_asked_anew(loop):
    async with loop(*(case(n) for n in range(1, 6))) as asks:
        campaign = await begun(asks, 5)
        await say(asks, campaign, Answer.HELP)
        await say(asks, campaign, Answer.HURT, "住民0002")
        await say(asks, campaign, Answer.HELP, "住民0003")
        await asks.confirmation.resolve("職員A", campaign, (await one(asks, campaign, "住民0003")).id)
        await asked_anew(asks, campaign, "住民0001", "住民0002")
        assert await to_visit(asks, campaign) == {"住民0001", "住民0002"}
        found = await one(asks, campaign, "住民0003")
        assert (found.answer, found.progress) == (None, Progress.REASKED)
        # What staff have seen to does not come back with the next word.
        await say(asks, campaign, Answer.OK, "住民0003")
        assert (await one(asks, campaign, "住民0003")).answer is Answer.OK
        await say(asks, campaign, Answer.OK)
        assert await to_visit(asks, campaign) == {"住民0002"}


async def test_who_has_no_medium_at_all_stays_on_the_visit_list_when_asked_anew(loop, world):
    phone_only = case(1, Contact(Whom.SELF, "phone", "0422-00-0001"))
    by_relative = case(2, *mails(Whom.RELATIVE, "relative@example.jp"))
    async with loop(phone_only, by_relative) as asks:
        campaign = await begun(asks, 2)
        assert await to_visit(asks, campaign) == {"住民0001"}
        await until(lambda: len(world.mails) == 1)
        await asked_anew(asks, campaign)
        assert await to_visit(asks, campaign) == {"住民0001"}
        # And whoever is asked for another is so at once, in every round.
        await until(lambda: len(world.mails) == 2)
        assert (await one(asks, campaign, "住民0002")).progress is Progress.ESCALATED


async def test_a_call_for_help_by_name_that_staff_match_after_an_aftershock_is_heard(loop):
    async with loop(case(1)) as asks:
        campaign = await begun(asks, 1)
        assert await asks.confirmation.answering.report(typed(asks, Answer.HELP))
        assert await asks.confirmation.answering.report(typed(asks, Answer.OK))
        await asked_anew(asks, campaign)
        person = (await one(asks, campaign)).id
        for report in sorted(await asks.confirmation.unmatched(campaign), key=lambda each: each.answer, reverse=True):
            await asks.confirmation.match("職員A", campaign, report.id, person)
            expected = None if report.answer is Answer.OK else Answer.HELP
            assert (await one(asks, campaign)).answer is expected
        assert await to_visit(asks, campaign) == {"住民0001"}


async def test_an_answer_on_a_machine_whose_clock_is_behind_counts_in_the_new_round(loop):
    async with loop(case(1)) as asks:
        campaign = await begun(asks, 1)
        await asked_anew(asks, campaign)
        asks.clock.leap(-2)
        await say(asks, campaign, Answer.OK)
        assert (await one(asks, campaign)).answer is Answer.OK


async def test_a_button_pressed_before_an_aftershock_and_heard_after_it_still_calls_for_help(loop):
    async with loop(*(case(n, Contact(Whom.SELF, "ip_terminal", f"H{n}")) for n in (1, 2))) as asks:
        campaign = await begun(asks, 2)
        pressed = Heard(f"{campaign}/1.0", "ip_terminal", "H1", Answer.HELP, asks.clock.now())
        await asked_anew(asks, campaign)
        await asks.confirmation.hear([pressed, replace(pressed, address="H2", answer=Answer.OK)])
        assert (await one(asks, campaign)).answer is Answer.HELP
        assert (await one(asks, campaign, "住民0002")).answer is None


async def test_an_answer_while_everybody_is_asked_anew_is_kept(loop):
    async with loop(case(1)) as asks:
        campaign = await begun(asks, 1)
        before = await asks.ledger.campaigns.get(campaign)
        row = (await asks.ledger.campaigns.rows(campaign, [(await one(asks, campaign)).id]))[0]
        await asked_anew(asks, campaign)
        hearing = asks.confirmation.answering
        reply = Reply(Answer.HELP, Source.SELF, True, "website", asks.clock.now())
        assert await hearing._take(before, await keys(asks, campaign), row, reply)
        assert (await one(asks, campaign)).answer is Answer.HELP


async def test_of_two_relatives_who_say_the_same_at_the_same_moment_both_are_heard(loop):
    async with loop(case(1)) as asks:
        campaign = await begun(asks, 1)
        kept, hearing, now = await asks.ledger.campaigns.get(campaign), asks.confirmation.answering, asks.clock.now()
        row = (await asks.ledger.campaigns.rows(campaign, [(await one(asks, campaign)).id]))[0]
        for words in ("二階にいます", "足を けがしています"):  # both as they folded it before either was kept
            reply = Reply(Answer.HELP, Source.RELATIVE, False, "website", now, {"note": words})
            assert await hearing._take(kept, await keys(asks, campaign), row, reply)
        found = await asks.confirmation.person(campaign, row.id)
        assert [reply.details["note"] for reply in found.replies] == ["二階にいます", "足を けがしています"]


async def test_asking_anew_twice_at_once_asks_once(loop, world):
    async with loop(*(case(n) for n in range(1, 6))) as asks:
        campaign = await begun(asks, 5)
        await until(lambda: len(world.mails) == 5)
        assert await asks.confirmation.re_ask("職員A", campaign) == 2
        with pytest.raises(Refused):
            await asks.confirmation.re_ask("職員B", campaign)
        await until(lambda: len(world.mails) == 10)

        async def is_again():
            return (await asks.ledger.campaigns.get(campaign)).body["is_enrolled"]

        await until(is_again)
        assert await asks.confirmation.re_ask("職員B", campaign) == 3


async def test_a_round_that_is_closed_while_people_are_written_down_writes_down_no_more(loop):
    others = [case(n, Contact(Whom.SELF, "phone", str(n))) for n in range(4 * ROWS)]
    closed = []

    async def people(_quarters: Sequence[str]) -> AsyncIterator[tuple[str, Case]]:
        for number, each in enumerate(others):
            if number == ROWS + 1 and not closed:
                await asks.confirmation.close("職員A", campaign)
                closed.append(number)
            yield each

    async with loop(roster=people) as asks:
        campaign = await asks.start()

        async def is_enrolling_over():
            return closed and not (await asks.ledger.deliveries(campaign)).get("sending", 0)

        await until(is_enrolling_over)
        assert len(await everybody(asks, campaign)) == ROWS


# -- said again, said by whom ----------------------------------------------------------------------------------------


async def test_who_calls_for_help_again_after_staff_have_seen_to_them_is_on_the_list_again(loop):
    async with loop(case(1)) as asks:
        campaign = await begun(asks, 1)
        await say(asks, campaign, Answer.HELP)
        await asks.confirmation.resolve("職員A", campaign, (await one(asks, campaign)).id)
        assert await to_visit(asks, campaign) == set()
        await say(asks, campaign, Answer.HELP)
        assert await to_visit(asks, campaign) == {"住民0001"}


async def test_an_ok_at_a_shared_terminal_does_not_call_back_who_goes_to_one_of_the_household(loop):
    at_home = Contact(Whom.SELF, "ip_terminal", "H0001")
    async with loop(*(case(n, *mails(Whom.SELF, f"p{n}@example.jp"), at_home) for n in (1, 2))) as asks:
        campaign = await begun(asks, 2)
        await say(asks, campaign, Answer.HELP)
        press = Heard(f"{campaign}/1.0", "ip_terminal", "H0001", Answer.OK, asks.clock.now())
        await asks.confirmation.hear([press])
        found = await one(asks, campaign)
        assert (found.answer, found.is_conflict) == (Answer.HELP, True)
        assert (await one(asks, campaign, "住民0002")).answer is Answer.OK
        assert await to_visit(asks, campaign) == {"住民0001"}


async def test_the_households_terminal_answers_for_who_has_no_medium_of_their_own(loop):
    async with loop(case(1, Contact(Whom.HOUSEHOLD, "ip_terminal", "H0001"))) as asks:
        campaign = await begun(asks, 1)
        await asks.confirmation.hear([Heard(f"{campaign}/1.3", "ip_terminal", "H0001", Answer.HELP, asks.clock.now())])
        assert (await one(asks, campaign)).answer is Answer.HELP


async def test_whoever_is_asked_in_the_place_of_a_refused_contact_has_a_link_that_answers(loop, world):
    world.answers["gone@example.jp"] = "550 5.1.1 no such mailbox"
    relatives = mails(Whom.RELATIVE, "gone@example.jp", "aunt@example.jp")
    async with loop(case(1, *mails(Whom.SELF, "p1@example.jp"), *relatives), case(2, *relatives)) as asks:
        campaign = await begun(asks, 2)
        await climbed(asks, campaign, (11, 1), (20, 3))
        await until(lambda: len([m for m in world.mails if m.recipients == ("aunt@example.jp",)]) == 2)
        await say(asks, campaign, Answer.HELP, "住民0001", "relative.2")
        await say(asks, campaign, Answer.HELP, "住民0002", "relative.1")
        assert await to_visit(asks, campaign) == {"住民0001", "住民0002"}


async def test_in_the_place_of_a_supporter_who_refused_one_who_has_room_holds_the_case(loop, world):
    world.answers["s1@example.jp"] = "550 5.1.1 no such mailbox"
    first, second = (mails(Whom.SUPPORTER, f"s{n}@example.jp", who=f"S{n}") for n in (1, 2))
    third = (Contact(Whom.SUPPORTER, "email_list", "s3@example.jp", "ja", "S3", "住民0103"),)
    full = [case(n, *mails(Whom.SELF, f"p{n}@example.jp"), *second) for n in range(2, 7)]
    async with loop(case(1, *mails(Whom.SELF, "p1@example.jp"), *first, *second, *third), *full) as asks:
        campaign = await begun(asks, 6)
        await climbed(asks, campaign, (11, 1), (35, 4))
        await until(lambda: len([m for m in world.mails if m.recipients == ("s3@example.jp",)]) == 1)
        assert len([m for m in world.mails if m.recipients == ("s2@example.jp",)]) == 5
        assert (await one(asks, campaign)).holder == "住民0103"


async def test_a_household_at_ones_own_terminal_makes_nobody_else_of_the_one_who_presses(loop):
    at_home = [Contact(whom, "ip_terminal", "H0001") for whom in (Whom.SELF, Whom.HOUSEHOLD, Whom.HOUSEHOLD)]
    async with loop(case(1, *mails(Whom.SELF, "p1@example.jp"), *at_home)) as asks:
        campaign = await begun(asks, 1)
        await climbed(asks, campaign, (11, 1), (20, 3))
        await say(asks, campaign, Answer.HELP)
        await asks.confirmation.hear([Heard(f"{campaign}/1.3", "ip_terminal", "H0001", Answer.OK, asks.clock.now())])
        found = await one(asks, campaign)
        assert (found.answer, found.is_conflict) == (Answer.OK, False)


async def test_whoever_types_a_name_and_ok_calls_nobody_back(loop):
    async with loop(case(1), case(2)) as asks:
        campaign = await begun(asks, 2)
        await say(asks, campaign, Answer.HELP)
        assert await asks.confirmation.answering.report(typed(asks, Answer.OK, "self"))
        (report,) = await asks.confirmation.unmatched(campaign)
        await asks.confirmation.match("職員A", campaign, report.id, (await one(asks, campaign)).id)
        found = await one(asks, campaign)
        assert (found.answer, found.is_conflict) == (Answer.HELP, True)


# -- two at once, and settings that change ---------------------------------------------------------------------------


async def test_a_report_by_name_goes_to_the_round_about_safety_in_that_quarter_and_not_to_a_later_daily_touch(loop):
    async with loop(case(1), case(2, cohorts=("watch",))) as asks:
        safety = await begun(asks, 2)
        asks.clock.leap(1)
        other = await begun(asks, 0, quarters=[ELSEWHERE])
        asks.clock.leap(1)
        await begun(asks, 1, kind="watch")
        answering = asks.confirmation.answering
        assert (await answering.asking()).campaign == other
        assert await answering.report(typed(asks, Answer.HELP, quarter=QUARTER))
        assert [each.name for each in await asks.confirmation.unmatched(safety)] == ["住民0001"]


async def test_a_roster_that_changes_half_way_leaves_nobody_without_rungs(loop):
    pupil = case(1, Contact(Whom.GUARDIAN, "phone", "1"), *mails(Whom.GUARDIAN, "g@example.jp"), cohorts=("pupil",))
    others = [case(n, Contact(Whom.SELF, "phone", str(n))) for n in range(2, 2 * ROWS + 2)]
    passes = []

    async def people(_quarters: Sequence[str]) -> AsyncIterator[tuple[str, Case]]:
        passes.append(len(passes))
        if len(passes) == 1:
            yield pupil
        for each in others:
            yield each
        if len(passes) == 1:
            raise OSError("the roster went away, and came back as another one")

    async with loop(roster=people) as asks:
        campaign = await begun(asks, len(others) + 1)
        assert len(passes) == 2
        await climbed(asks, campaign, (11, 1), (50, 4))


async def test_whoever_came_into_the_roster_behind_where_it_was_being_read_is_asked_too(loop):
    city, imported = load("mitaka"), []

    def file(count: int, *more: str) -> io.BytesIO:
        head = "person_id,name,address,terminal"
        old = [f"R{n},住民{n:04d},大沢1-1-{n + 1},{'' if n else 'H0001'}" for n in range(count)]
        return io.BytesIO("\n".join([head, *old, *more, ""]).encode())

    async def replaced(roster: Roster, new: io.BytesIO) -> None:
        await roster.replace("職員A", new, "r.csv", (await roster.check(new, "r.csv")).fingerprint)

    async def people(quarters: Sequence[str]) -> AsyncIterator[tuple[str, Case]]:
        read = 0
        async for each in People(roster, Releases(asks.ledger, asks.clock)).of(quarters):
            yield each
            read += 1
            if read == ROWS + 1 and not imported:
                imported.append(read)
                late = [f"N{n},住民{5000 + n},大沢1-2-{n + 1},{'H0001' if n < 9 else ''}" for n in range(60)]
                await replaced(roster, file(2 * ROWS, *late))

    async with loop(roster=people) as asks:
        roster = Roster(asks.ledger.campaigns, Secret("0123456789abcdef" * 2), city, asks.clock)
        await replaced(roster, file(2 * ROWS))
        campaign = await begun(asks, 2 * ROWS + 60)
        assert imported
        # And each of those at the old terminal is found by its button.
        await asks.confirmation.hear([Heard(f"{campaign}/1.0", "ip_terminal", "H0001", Answer.OK, asks.clock.now())])
        assert len(await everybody(asks, campaign, Wish(answers=frozenset({Answer.OK})))) == 10


async def test_with_another_key_no_rung_is_lost_and_what_is_over_is_destroyed_all_the_same(loop):
    another = b"another" * 10
    async with loop(case(1)) as asks:
        campaign = await begun(asks, 1)
    async with loop(case(1), secret=another) as asks:
        asks.clock.leap(61)
        asks.ledger.wake()

        async def are_waiting():
            return (await asks.ledger.deliveries(campaign)).get("waiting", 0) >= 5

        await until(are_waiting)
    async with loop(case(1)) as asks:
        await climbed(asks, campaign, (62, 1), (11, 3), (16, 5))
        assert await to_visit(asks, campaign) == {"住民0001"}
    async with loop(case(1), secret=another) as asks:
        await asks.confirmation.close("職員A", campaign)
        await asks.confirmation.destroy(campaign)
        assert (await asks.ledger.campaigns.get(campaign)).is_destroyed


async def test_a_round_ends_although_this_machines_clock_is_behind_the_databases(loop):
    async with loop(case(1)) as asks:
        campaign = await begun(asks, 1)
        await asks.confirmation._lifetime.end(campaign, 1)
        assert (await asks.ledger.campaigns.get(campaign)).body["state"] == "closed"
        again = await begun(asks, 1)
        await asked_anew(asks, again)
        await asks.confirmation._lifetime.end(again, 1)
        assert (await asks.ledger.campaigns.get(again)).body["state"] == "open"
        await asks.confirmation._lifetime.end(again, 2)
        assert (await asks.ledger.campaigns.get(again)).body["state"] == "closed"
