"""The safety loop on a real ledger with the real mail channel and a relay: who is asked, reminded, handed on, heard of, visited."""

import email
import email.policy
import re
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from config.ladders import Whom
from dispatcher.campaigns import Wanted
from dispatcher.errors import NotFound, Refused
from dispatcher.model.campaign import Answer, Progress, Reply, Source
from dispatcher.model.policy import Contact
from dispatcher.model.question import Heard
from dispatcher.model.report import Reported
from dispatcher.tracking.caring import Wish
from dispatcher.tracking.confirmation.keys import KeyRing
from dispatcher.tracking.confirmation.round import Round
from tests.contracts.ledger_contract import until
from tests.servers.asking import SECRET, Asks, asking, case, mails

LINK = re.compile(r"/a/([a-z2-7]{26})")


@pytest.fixture
def loop(tmp_path, world):
    """Makes the node, with this relay, on a ledger of its own."""

    @asynccontextmanager
    async def made(*cases, **more):
        dsn = f"sqlite:///{tmp_path / 'todoke.db'}"
        async with asking(tmp_path, {"email_list": dict(world.settings())}, cases, dsn=dsn, **more) as asks:
            yield asks

    return made


def mails_to(world, address):
    return [m for m in world.mails if m.recipients == (address,)]


def text_of(mail):
    return email.message_from_bytes(mail.data, policy=email.policy.default).get_content()


def token_of(mail):
    return LINK.search(text_of(mail))[1]


async def enrolled(asks: Asks, campaign: str, count: int) -> None:
    """Everybody is written down, with the timers."""

    async def is_done():
        kept = await asks.ledger.campaigns.get(campaign)
        return kept.body["is_enrolled"] and sum(c.count for c in await asks.ledger.campaigns.totals(campaign)) == count

    await until(is_done)


async def everybody(asks: Asks, campaign: str) -> dict:
    return {one.name: one async for one in asks.confirmation.people(campaign, Wish())}


async def later(asks: Asks, minutes: float) -> None:
    await asks.leap(minutes)


async def rung_is(asks: Asks, campaign: str, name: str, rung: int) -> None:
    async def is_there():
        return (await everybody(asks, campaign))[name].rung == rung

    await until(is_there)


async def stood(asks: Asks, campaign: str, name: str) -> tuple:
    one = (await everybody(asks, campaign))[name]
    return one.answer, one.is_conflict, one.progress


def answering(asks: Asks):
    return asks.confirmation.answering


async def say(asks: Asks, mail, answer: Answer, **details: str) -> None:
    assert await answering(asks).answer(token_of(mail), answer, details, "website") is not None


# -- asking ----------------------------------------------------------------------------------------------------------


async def test_everybody_gets_one_mail_with_a_link_of_their_own(loop, world):
    async with loop(*(case(n) for n in range(1, 8))) as asks:
        campaign = await asks.start()
        await until(lambda: len(world.mails) == 7)
        assert len({token_of(m) for m in world.mails}) == 7
        assert all("【訓練】" in text_of(m) for m in world.mails)
        assert not any("relative" in m.recipients[0] for m in world.mails)
        await enrolled(asks, campaign, 7)
        assert {one.progress for one in (await everybody(asks, campaign)).values()} == {Progress.ASKED}


async def test_each_is_told_in_their_own_language_where_it_was(loop, world):
    words = {"ja-x-easy": "おおさわ", "en-US": "Osawa 1-chome", "zh": "大泽一丁目", "ko": "오사와 1초메"}
    own = {name: Contact(Whom.SELF, "email_list", f"{name}@example.jp", name) for name in words}
    async with loop(*(case(n, contact) for n, contact in enumerate(own.values()))) as asks:
        await asks.start()
        await until(lambda: len(world.mails) == len(words))
        for name, place in words.items():
            assert place in text_of(mails_to(world, f"{name}@example.jp")[0])


async def test_there_is_one_timer_for_each_rung_and_not_one_for_each_person(loop, world):
    async with loop(*(case(n) for n in range(40))) as asks:
        campaign = await asks.start()
        await enrolled(asks, campaign, 40)
        await until(lambda: len(world.mails) == 40)
        assert sum((await asks.ledger.deliveries(campaign)).values()) == 2 + 1 + 5  # enrol, end; one batch; five rungs


async def test_the_silent_alone_are_reminded_and_their_reminder_is_another_mail(loop, world):
    async with loop(case(1), case(2)) as asks:
        campaign = await asks.start()
        await until(lambda: len(world.mails) == 2)
        await enrolled(asks, campaign, 2)
        await say(asks, mails_to(world, "p0001@example.jp")[0], Answer.OK)
        await later(asks, 11)
        await until(lambda: len(mails_to(world, "p0002@example.jp")) == 2)
        await rung_is(asks, campaign, "住民0002", 1)
        assert len(mails_to(world, "p0001@example.jp")) == 1
        first, again = mails_to(world, "p0002@example.jp")
        assert token_of(first) == token_of(again)
        ids = {email.message_from_bytes(m.data)["Message-ID"] for m in (first, again)}
        assert len(ids) == 2
        assert await stood(asks, campaign, "住民0001") == (Answer.OK, False, Progress.ANSWERED)


async def test_after_a_halt_everybody_gets_one_question_the_newest(loop, world):
    own = [f"p2-{which}@example.jp" for which in ("first", "second", "next")]
    async with loop(case(1), case(2, *mails(Whom.SELF, *own))) as asks:
        await asks.gates.close("*", "職員A", "入れかえ")
        campaign = await asks.start()
        await enrolled(asks, campaign, 2)
        for minutes, rungs in ((11, (1, 1)), (10, (1, 2)), (10, (3, 2))):
            await later(asks, minutes)
            for name, rung in zip(("住民0001", "住民0002"), rungs, strict=True):
                await rung_is(asks, campaign, name, rung)
        assert not world.mails
        await asks.gates.open("*", "職員A")

        async def is_all_sent():
            (line,) = [each for each in await asks.ledger.tally(campaign) if each.channel == "email_list"]
            return not (line.queued or line.sending or line.retrying)

        await until(is_all_sent)
        said = {mail.recipients[0]: text_of(mail) for mail in world.mails}
        assert len(world.mails) == len(said) == 5
        assert {to for to, text in said.items() if "再送" in text} == {"p0001@example.jp", *own}


async def test_a_timer_that_overtakes_others_leaves_nobody_unasked(loop, world):
    async with loop(case(1)) as asks:
        await asks.gates.close("*", "職員A", "入れかえ")
        campaign = await asks.start()
        await enrolled(asks, campaign, 1)
        kept = await asks.ledger.campaigns.get(campaign)
        keys = KeyRing(SECRET).of(kept)
        for minutes, rung in ((0, 0), (6, 1), (11, 3)):  # before any timer of those rungs is due
            asks.clock.leap(minutes)
            await asks.confirmation._asking.rungs.climb(kept, Round.of(kept), keys, 1, "default", 3)
            await rung_is(asks, campaign, "住民0001", rung)
        await asks.gates.open("*", "職員A")
        await until(lambda: len(world.mails) == 2)
        assert "再送" in text_of(mails_to(world, "p0001@example.jp")[0])
        assert mails_to(world, "p0001-relative@example.jp")


async def test_a_relative_is_asked_whether_they_know_and_is_told_nothing_of_how_anybody_is(loop, world):
    async with loop(case(1)) as asks:
        campaign = await asks.start()
        await until(lambda: len(world.mails) == 1)
        await enrolled(asks, campaign, 1)
        for minutes, rung in ((11, 1), (20, 3)):
            await later(asks, minutes)
            await rung_is(asks, campaign, "住民0001", rung)
        await until(lambda: len(mails_to(world, "p0001-relative@example.jp")) == 1)
        (mail,) = mails_to(world, "p0001-relative@example.jp")
        assert "住民0001" not in text_of(mail)
        page = await answering(asks).look(token_of(mail))
        assert (page.source, page.name) == (Source.RELATIVE, "住民0001")
        assert "家族" in page.question.in_language("ja").body
        await later(asks, 30)
        await rung_is(asks, campaign, "住民0001", 5)
        visits = [one.name async for one in asks.confirmation.people(campaign, Wish(is_visit=True))]
        assert visits == ["住民0001"]


async def test_a_supporter_holds_five_open_cases_at_most_and_the_next_goes_to_the_next(loop, world):
    supporters = [
        *mails(Whom.SUPPORTER, "s1@example.jp", who="S1"),
        *mails(Whom.SUPPORTER, "s2@example.jp", who="S2"),
    ]
    async with loop(*(case(n, *mails(Whom.SELF, f"p{n}@example.jp"), *supporters) for n in range(12))) as asks:
        campaign = await asks.start()
        await enrolled(asks, campaign, 12)
        for minutes, rung in ((11, 1), (35, 4)):
            await later(asks, minutes)
            await rung_is(asks, campaign, "住民0000", rung)
        await until(lambda: len(mails_to(world, "s1@example.jp")) + len(mails_to(world, "s2@example.jp")) == 10)
        assert len(mails_to(world, "s1@example.jp")) == 5
        await later(asks, 15)

        async def are_all_handed_on():
            cells = await asks.confirmation.cells(campaign)
            return sum(cell.count for cell in cells if cell.is_visited) == 12

        await until(are_all_handed_on)


async def test_a_refused_contact_hands_on_to_the_next_at_once_and_the_last_one_to_whoever_goes_there(loop, world):
    world.answers["gone@example.jp"] = "550 5.1.1 no such mailbox"
    world.answers["also-gone@example.jp"] = "550 5.1.1 no such mailbox"
    async with loop(
        case(1, *mails(Whom.SELF, "gone@example.jp", "also-gone@example.jp", "third@example.jp")),
        case(2, *mails(Whom.SELF, "gone@example.jp"), *mails(Whom.RELATIVE, "relative@example.jp")),
        case(3, *mails(Whom.SELF, "gone@example.jp")),
        case(4, *mails(Whom.GUARDIAN, "guardian@example.jp")),
        case(5, *mails(Whom.RELATIVE, "only@example.jp")),
    ) as asks:
        campaign = await asks.start()
        await until(
            lambda: {m.recipients[0] for m in world.mails} == {f"{n}@example.jp" for n in ("third", "relative", "only")}
        )
        await rung_is(asks, campaign, "住民0003", 5)
        found = await everybody(asks, campaign)
        assert (found["住民0003"].progress, found["住民0004"].progress) == (Progress.UNREACHABLE, Progress.UNREACHABLE)
        assert found["住民0002"].rung == 3
        assert found["住民0001"].progress is Progress.ASKED
        assert found["住民0005"].progress is Progress.ESCALATED
        visits = {one.name async for one in asks.confirmation.people(campaign, Wish(is_visit=True))}
        assert visits == {"住民0003", "住民0004"}


async def test_asked_anew_everybody_begins_again_but_the_exempt(loop, world):
    async with loop(case(1), case(2), case(3)) as asks:
        campaign = await asks.start()
        await until(lambda: len(world.mails) == 3)
        await enrolled(asks, campaign, 3)
        await say(asks, mails_to(world, "p0001@example.jp")[0], Answer.OK)
        exempt = (await everybody(asks, campaign))["住民0003"]
        await asks.confirmation.exempt("職員A", campaign, exempt.id)
        await later(asks, 5)
        assert await asks.confirmation.re_ask("職員A", campaign) == 2
        await until(lambda: len(mails_to(world, "p0001@example.jp")) == 2)
        assert await stood(asks, campaign, "住民0001") == (None, False, Progress.REASKED)
        assert await stood(asks, campaign, "住民0003") == (None, False, Progress.EXEMPT)
        await say(asks, mails_to(world, "p0001@example.jp")[0], Answer.HURT)
        assert await stood(asks, campaign, "住民0001") == (Answer.HURT, False, Progress.ANSWERED)
        await later(asks, 11)
        await until(lambda: len(mails_to(world, "p0002@example.jp")) == 3)
        assert len(mails_to(world, "p0003@example.jp")) == 1
        whole = await asks.confirmation.person(campaign, (await everybody(asks, campaign))["住民0001"].id)
        assert [reply.answer for reply in whole.replies] == [Answer.OK, Answer.HURT]


# -- hearing ---------------------------------------------------------------------------------------------------------


async def test_the_same_answer_twice_is_one_and_a_changed_one_is_another(loop, world):
    async with loop(case(1)) as asks:
        campaign = await asks.start()
        await until(lambda: len(world.mails) == 1)
        for answer in (Answer.OK, Answer.OK, Answer.HURT, Answer.OK):
            await say(asks, world.mails[0], answer)
        one = await asks.confirmation.person(campaign, (await everybody(asks, campaign))["住民0001"].id)
        assert [reply.answer for reply in one.replies] == [Answer.OK, Answer.HURT, Answer.OK]
        assert one.answer is Answer.OK


async def test_contradicting_reports_are_both_kept_and_staff_settle_it(loop, world):
    async with loop(case(1)) as asks:
        campaign = await asks.start()
        await until(lambda: len(world.mails) == 1)
        id_ = (await everybody(asks, campaign))["住民0001"].id
        for answer, source in ((Answer.HELP, Source.RELATIVE), (Answer.OK, Source.HOUSEHOLD)):
            reply = Reply(answer, source, saw=False, medium="phone", at=asks.clock.now())
            await asks.confirmation.report("職員A", campaign, id_, reply)
        assert await stood(asks, campaign, "住民0001") == (Answer.HELP, True, Progress.CONFLICT)
        await asks.confirmation.take_on("職員A", campaign, id_)
        with pytest.raises(Refused):
            await asks.confirmation.take_on("職員B", campaign, id_)
        await asks.confirmation.resolve("職員A", campaign, id_)
        one = await asks.confirmation.person(campaign, id_)
        assert (one.progress, len(one.replies), one.holder) == (Progress.RESOLVED, 2, "職員A")


async def test_a_wrong_link_one_of_another_event_and_one_that_is_over_are_the_same_nothing(loop, world):
    async with loop(case(1)) as asks:
        campaign = await asks.start()
        await until(lambda: len(world.mails) == 1)
        token = token_of(world.mails[0])
        assert await answering(asks).look("a" * 26) is None
        assert await answering(asks).answer("a" * 26, Answer.OK, {}, "website") is None
        asks.clock.leap(73 * 60)
        assert await answering(asks).look(token) is None
        assert await answering(asks).answer(token, Answer.HELP, {}, "website") is None
        asks.ledger.wake()

        async def is_closed():
            return (await asks.ledger.campaigns.get(campaign)).body["state"] == "closed"

        await until(is_closed)
        with pytest.raises(Refused):
            await asks.confirmation.re_ask("職員A", campaign)


async def test_a_button_speaks_for_whoever_is_at_the_terminal_and_a_press_come_twice_is_one(loop, world):
    at_home = Contact(Whom.SELF, "ip_terminal", "H0001")
    cases = [case(n, *mails(Whom.SELF, f"p{n}@example.jp"), at_home) for n in (1, 2)]
    async with loop(*cases, case(3, *mails(Whom.SELF, "p3@example.jp"))) as asks:
        campaign = await asks.start()
        await enrolled(asks, campaign, 3)
        press = Heard(f"{campaign}/1.0", "ip_terminal", "H0001", Answer.HURT, asks.clock.now())
        stranger = replace(press, address="H0009")
        unknown = replace(press, identifier="safety-0/1.0")
        garbled = [
            replace(press, identifier=name) for name in ("", "x/1", f"{campaign}/9.0", f"{campaign}/-1.0", "a/1.0/1.0")
        ]
        await asks.confirmation.answering.hear([press, press, stranger, unknown, *garbled])
        for name in ("住民0001", "住民0002"):
            assert await stood(asks, campaign, name) == (Answer.HURT, False, Progress.ANSWERED)
        assert await stood(asks, campaign, "住民0003") == (None, False, Progress.ASKED)
        one = await asks.confirmation.person(campaign, (await everybody(asks, campaign))["住民0001"].id)
        assert [(reply.source, reply.medium) for reply in one.replies] == [(Source.HOUSEHOLD, "ip_terminal")]


async def test_a_report_by_name_waits_for_staff_and_is_then_that_persons(loop, world):
    async with loop(case(1)) as asks:
        assert not await answering(asks).report(reported(asks))
        campaign = await asks.start()
        await enrolled(asks, campaign, 1)
        assert (await answering(asks).asking()).campaign == campaign
        assert await answering(asks).report(reported(asks))
        assert await answering(asks).report(reported(asks))
        (open_,) = await asks.confirmation.unmatched(campaign)
        assert (open_.name, open_.answer) == ("住民0001", Answer.HELP)
        id_ = (await everybody(asks, campaign))["住民0001"].id
        await asks.confirmation.match("職員A", campaign, open_.id, id_)
        assert await stood(asks, campaign, "住民0001") == (Answer.HELP, False, Progress.ANSWERED)
        assert not await asks.confirmation.unmatched(campaign)


def reported(asks):
    return Reported("key", Answer.HELP, False, "website", asks.clock.now(), "住民0001", details={"about": "other"})


# -- the end ---------------------------------------------------------------------------------------------------------


async def test_thirty_days_after_closing_the_key_goes_by_itself_and_counts_stay(loop, world):
    async with loop(*(case(n) for n in range(6))) as asks:
        campaign = await asks.start()
        await until(lambda: len(world.mails) == 6)
        await enrolled(asks, campaign, 6)
        await say(asks, world.mails[0], Answer.HURT)
        await asks.confirmation.close("職員A", campaign)
        assert await answering(asks).look(token_of(world.mails[1])) is None
        await later(asks, 31 * 24 * 60)

        async def is_destroyed():
            return (await asks.ledger.campaigns.get(campaign)).is_destroyed

        await until(is_destroyed)
        assert await asks.confirmation.cells(campaign) == ()
        with pytest.raises(NotFound):
            await everybody(asks, campaign)
        # One who was hurt would be known by the number alone.
        assert (await asks.ledger.campaigns.get(campaign)).body["counts"] == {
            "help": [0, 0],
            "hurt": [1, 4],
            "silent": [5, 5],
            "ok": [0, 0],
        }
        assert not await asks.ledger.verify()


async def test_what_stands_in_the_store_says_nothing_without_the_key(loop, world):
    async with loop(case(1)) as asks:
        campaign = await asks.start()
        await enrolled(asks, campaign, 1)
        (row,) = [row async for row in asks.ledger.campaigns.each(campaign, Wanted())]
        said = repr(row).encode() + row.sealed
        for clear in ("住民0001", "p0001", "132040301", "R0001"):
            assert clear.encode() not in said
        with pytest.raises(NotFound):
            KeyRing(b"another" * 10).of(await asks.ledger.campaigns.get(campaign))
        assert KeyRing(SECRET).of(await asks.ledger.campaigns.get(campaign)).person("R0001") == row.id
