"""取消 ends the questions about what was a mistake; 解除 and 訂正 do not, and whoever needs somebody stays with staff."""

import pytest

from dispatcher import cap
from dispatcher.errors import InvalidInput, Refused
from dispatcher.model.draft import Verb
from dispatcher.staff.cases import Said
from dispatcher.staff.sessions import Person
from dispatcher.steps.accept import Typed
from dispatcher.tracking.caring import Wish
from dispatcher.tracking.confirmation.round import ANSWERED_FOR, Round
from tests.servers.console import ROLES, WRITER, console, until
from tests.servers.residents import ALSO, QUARTERS, VIEWER, WELFARE, residents

WRITES = Person(WRITER, tuple(ROLES[WRITER]))


@pytest.fixture
async def room(tmp_path):
    async with console(tmp_path, also=ALSO) as found:
        found.city = residents(found.node)
        yield found


async def followed(room, identifier: str, verb: Verb) -> str:
    """Send what follows this message."""
    desk = room.node.desk
    draft, issued = await desk.follow(WRITES, verb, identifier, Typed(note="区域の誤り"), mode="drill")
    if issued is None:
        approver = await room.person("職員0002")
        _, prepared = await desk.preview(approver, draft.identifier)
        issued = await desk.approve(approver, draft.identifier, shown=prepared.hash, mode="drill")
    return issued.identifier


async def body_of(room, campaign: str) -> Round:
    return Round.of(await room.node.ledger.campaigns.get(campaign))


async def alert_of(room, identifier: str):
    return cap.read((await room.node.ledger.alert(identifier)).cap_xml)


async def until_closed(room, campaign: str) -> Round:
    async def closed() -> bool:
        return not (await body_of(room, campaign)).is_open

    await until(closed, "the round is over")
    return await body_of(room, campaign)


async def test_a_retraction_ends_the_rounds_about_its_chain_and_no_others_and_says_why(room):
    identifier = await room.issued()
    first = await room.city.asked(about=identifier)
    corrected = await followed(room, identifier, Verb.CORRECT)
    second, other = await room.city.asked(about=corrected), await room.city.asked()
    retraction = await followed(room, corrected, Verb.RETRACT)
    for campaign in (first, second):
        assert (await until_closed(room, campaign)).because == retraction
        assert (await room.node.desk.campaign(VIEWER, campaign)).because == retraction
    assert (await body_of(room, other)).is_open
    said = [r.event for r in await room.node.desk.timeline(VIEWER, first) if r.event.name == "safety.closed"]
    assert [event.facts["because"] for event in said] == [retraction]
    async with room.signed_in(WRITER) as browser:
        assert "取り消されたので、尋ねるのをやめました" in (await browser.open(f"/safety/{first}")).words
        assert "取消で終了" in (await browser.open("/safety")).words


async def test_a_lift_and_a_correction_leave_the_round_going(room):
    identifier = await room.issued()
    campaign = await room.city.asked(about=identifier)
    corrected = await followed(room, identifier, Verb.CORRECT)
    lifted = await followed(room, corrected, Verb.LIFT)
    assert not [d for a in (corrected, lifted) for d in room.city.loop.alongside(await alert_of(room, a))]
    assert (await body_of(room, campaign)).is_open
    # And of what was a mistake from the beginning the lifting is taken back as well.
    await followed(room, lifted, Verb.RETRACT)
    assert (await until_closed(room, campaign)).because


async def test_who_said_help_stays_with_staff_and_nobody_silent_is_visited(room):
    desk, city = room.node.desk, room.city
    identifier = await room.issued()
    campaign = await city.asked(about=identifier)
    await desk.answer_for(WELFARE, campaign, city.ids["住民0001"], Said("help", "self", saw=False, text=""))
    await followed(room, identifier, Verb.RETRACT)
    await until_closed(room, campaign)
    assert [case.name for case in await desk.urgent(WELFARE, campaign, 10)] == ["住民0001"]
    assert [one.name async for one in city.loop.people(campaign, Wish(is_visit=True))] == ["住民0001"]
    assert str((await desk.campaign(WELFARE, campaign)).figures["visiting"]) == "1"
    await desk.take_on(WELFARE, campaign, city.ids["住民0001"])
    await desk.resolve(WELFARE, campaign, city.ids["住民0001"])
    assert not await desk.urgent(WELFARE, campaign, 10)
    with pytest.raises(Refused):
        await desk.answer_for(WELFARE, campaign, city.ids["住民0002"], Said("ok", "self", saw=False, text=""))


async def test_about_what_was_taken_back_no_round_begins_and_one_that_has_begun_asks_nobody(room):
    identifier = await room.issued()
    await followed(room, identifier, Verb.RETRACT)
    with pytest.raises(InvalidInput):
        await room.city.loop.start("職員0001", about=identifier, quarters=QUARTERS, kind="safety")
    # Another node had begun it before the retraction was there and writes it down after the retraction's timer.
    lifetime = room.city.loop._lifetime
    body = lifetime.first_round(
        "safety", QUARTERS, {"ja": "大沢"}, lifetime.clock.now() + ANSWERED_FOR, about=identifier
    )
    await lifetime.open("safety-late", body, "職員0001")
    room.node.ledger.wake()
    assert (await until_closed(room, "safety-late")).because
    assert not await room.node.ledger.campaigns.totals("safety-late")


async def test_the_page_of_rounds_offers_to_ask_about_an_order_and_not_about_its_retraction(room):
    async with room.signed_in(WRITER) as browser:
        offered = '//form[@action="/safety/begin"]/input[@name="about"]/@value'
        order = await room.issued()
        assert (await browser.get("/safety")).tree.xpath(offered) == [order]
        await followed(room, order, Verb.RETRACT)
        assert (await browser.get("/safety")).tree.xpath(offered) == []
