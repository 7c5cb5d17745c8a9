"""「いっしょにいる家族全員」: one answer for a household, folded into each case of it, and nothing learned by who gives it."""

from contextlib import asynccontextmanager

import pytest

from dispatcher.model.campaign import Answer, Source
from tests.contracts.ledger_contract import until
from tests.dispatcher.tracking.test_confirmation import enrolled, everybody, mails_to, say, stood, token_of
from tests.servers.asking import asking, case


@pytest.fixture
def loop(tmp_path, world):
    """Three of one household, and one who lives elsewhere."""

    @asynccontextmanager
    async def made(*cases):
        dsn = f"sqlite:///{tmp_path / 'todoke.db'}"
        async with asking(tmp_path, {"email_list": dict(world.settings())}, cases, dsn=dsn) as asks:
            campaign = await asks.start()
            await until(lambda: len(world.mails) == len(cases))
            await enrolled(asks, campaign, len(cases))
            yield asks, campaign, lambda n: mails_to(world, f"p{n:04d}@example.jp")[0]

    return made


def household():
    return [
        case(1, home=("R0002", "R0003")),
        case(2, home=("R0001", "R0003")),
        case(3, home=("R0001", "R0002")),
        case(4),
    ]


async def test_who_answers_for_the_family_answers_for_each_of_it_and_for_nobody_else(loop):
    async with loop(*household()) as (asks, campaign, mail):
        await say(asks, mail(1), Answer.OK, who="family")
        stands = {name: one.answer for name, one in (await everybody(asks, campaign)).items()}
        assert stands == {"住民0001": Answer.OK, "住民0002": Answer.OK, "住民0003": Answer.OK, "住民0004": None}
        other = (await everybody(asks, campaign))["住民0002"]
        (reply,) = other.replies
        assert (reply.source, reply.saw, dict(reply.details)) == (Source.HOUSEHOLD, True, {"who": "family"})


async def test_said_twice_it_is_written_once(loop):
    async with loop(*household()) as (asks, campaign, mail):
        for _ in range(2):
            await say(asks, mail(1), Answer.OK, who="family")
        other = (await everybody(asks, campaign))["住民0003"]
        assert len((await asks.confirmation.person(campaign, other.id)).replies) == 1


@pytest.mark.parametrize(("own", "family"), [(Answer.HELP, Answer.OK), (Answer.OK, Answer.HURT)])
async def test_what_somebody_said_themselves_stays_and_the_contradiction_is_flagged(loop, own, family):
    async with loop(*household()) as (asks, campaign, mail):
        await say(asks, mail(2), own)
        await say(asks, mail(1), family, who="family")
        answer, is_conflict, _ = await stood(asks, campaign, "住民0002")
        assert (answer, is_conflict) == (max(own, family, key=[Answer.OK, Answer.HURT, Answer.HELP].index), True)
        await say(asks, mail(2), Answer.OK, note="もうだいじょうぶ")
        assert (await stood(asks, campaign, "住民0002"))[:2] == (Answer.OK, False)


async def test_for_oneself_alone_it_is_for_nobody_else(loop):
    async with loop(*household()) as (asks, campaign, mail):
        await say(asks, mail(1), Answer.OK, who="self")
        assert (await stood(asks, campaign, "住民0002"))[0] is None


async def test_the_page_is_the_same_with_and_without_a_household(loop):
    async with loop(*household()) as (asks, _, mail):
        with_home, without = [
            await asks.confirmation.answering.answer(token_of(mail(n)), Answer.OK, {"who": "family"}, "website")
            for n in (1, 4)
        ]
        assert (with_home.source, with_home.name, with_home.question) == (
            without.source,
            without.name,
            without.question,
        )
