"""Facilities that must act first: told before the public on two media, until a person there has acknowledged."""

import re

import aiohttp
import pytest

from dispatcher import residents
from dispatcher.errors import InvalidInput, NotFound
from dispatcher.listening import listening
from dispatcher.model.draft import Verb
from dispatcher.model.mode import Drill
from dispatcher.residents.acknowledge import Acknowledge
from dispatcher.tracking.reach import Claimed
from drills.world.ip_terminal import World as Terminals
from tests.servers.console import until
from tests.servers.mailbox import got, recipients, text, token
from tests.servers.opened import SITE
from tests.servers.told_first import line


async def taken(node, identifier="order-1"):
    async def is_so():
        lines = [t for t in await node.ledger.tally(identifier) if t.destinations]
        return lines and all(t.taken == t.destinations for t in lines)

    await until(is_so, f"everybody has {identifier}")


async def line_of(node, facility, identifier="order-1"):
    return next(each for each in await node.reach.facilities(identifier) if each.facility.id == facility)


def page(node):
    """The residents' listener with the facilities' page."""
    routes = Acknowledge(node.facilities, node.path.city, Drill, SITE, node.path.clock).routes()
    return listening(residents.application(routes, None), "127.0.0.1", 0)


# -- told first -----------------------------------------------------------------------------------------------------


async def test_a_facility_is_told_before_the_public_and_with_a_link_of_its_own(city, world):
    async with city(line("F001"), line("F002", quarter="132040101")) as node:
        await node.issue("order-1")
        await taken(node)
        # The outbox claims in the order in which they stand; behind it the relay's connections run side by side.
        assert (await anext(node.ledger.destinations("order-1", "email_list"))).address == "facility:F001:0"
        assert recipients(world)["f001-0@example.jp"] == 1
        assert not {"f001-1@example.jp", "f002-0@example.jp"} & recipients(world).keys()
        links = {link for mail in world.mails for link in re.findall(r"/k/\S+", text(mail))}
        assert len(links) == 1
        assert await node.ledger.verify() == []


async def test_a_facilitys_terminal_is_told_once_and_its_button_acknowledges(city, world, tmp_path):
    async with Terminals(tmp_path, world._city, 1) as terminals:
        tid = next(t.tid for t in terminals._registered if t.quarter == "132040302")
        async with city(line("F001", terminals=tid), ip_terminal=dict(terminals.settings())) as node:
            await node.issue("order-1")
            await until(lambda: is_acknowledged(node, "F001"), "the terminal's button was pressed")
            reached = await line_of(node, "F001")
            assert reached.acknowledged.medium == "ip_terminal"
            assert {on.channel for on in reached.media} == {"ip_terminal", "email_list"}
            told = [d.address async for d in node.ledger.destinations("order-1", "ip_terminal")]
            assert told[0] == tid
            assert len(told) == len(set(told)) == 10


async def is_acknowledged(node, facility):
    return (await line_of(node, facility)).acknowledged is not None


async def test_where_nobody_has_registered_for_mail_a_facility_is_mailed_all_the_same(city, world):
    world.subscribers.write_text("address,quarters,language\nuser0001@example.jp,132040101,ja\n", "utf-8")
    async with city(line("F001")) as node:
        await node.issue("order-1")
        await got(world, "f001-0@example.jp")
        await taken(node)
        assert recipients(world).keys() == {"f001-0@example.jp"}


async def test_a_facility_with_a_telephone_alone_is_to_be_called_from_the_first_minute(city):
    async with city(line("F001", mails=""), line("F002")) as node:
        await node.issue("order-1")
        assert (await line_of(node, "F001")).is_to_call
        assert not (await line_of(node, "F002")).is_to_call
        assert (await node.reach.summary("order-1")).facilities == 2


async def test_a_retraction_goes_first_to_whom_the_order_went_first_although_they_have_moved(city, world, tmp_path):
    async with city(line("F001")) as node:
        await node.issue("order-1")
        await got(world, "f001-0@example.jp")
        register = tmp_path / "facilities.csv"
        register.write_text(register.read_text("utf-8").replace("132040301", "132040101"), "utf-8")
        await node.issue("cancel-1", Verb.RETRACT, "order-1")
        await got(world, "f001-0@example.jp", times=2)
        await taken(node, "cancel-1")
        assert (await line_of(node, "F001", "cancel-1")).claimed is Claimed.TAKEN
        public = [d.address async for d in node.ledger.destinations("cancel-1", "email_list")]
        assert public.count("facility:F001:0") == 1


# -- the link -------------------------------------------------------------------------------------------------------


async def test_looking_at_the_link_changes_nothing_and_pressing_acknowledges_once(city, world):
    async with city(line("F001")) as node, page(node) as (host, port), aiohttp.ClientSession() as client:
        await node.issue("order-1")
        await got(world, "f001-0@example.jp")
        url = f"http://{host}:{port}/k/{token(world, 'f001-0@example.jp')}"
        async with client.get(url) as answer:
            shown = await answer.text()
            assert answer.status == 200
        assert "施設F001" in shown
        assert "【訓練】" in shown
        assert "大沢" in shown
        assert "確認を受け取りました" not in shown
        for scan in (client.head(url), client.post(url), client.post(url, json={"ack": "1"})):
            async with scan as answer:
                assert answer.status in {200, 405}
        assert not await is_acknowledged(node, "F001")
        for _ in range(2):
            async with client.post(url, data={"ack": "1"}) as answer:
                assert "確認を受け取りました" in await answer.text()
        reached = await line_of(node, "F001")
        assert reached.acknowledged.medium == "email_list"
        said = [r for r in await node.ledger.story("order-1") if r.event.name == "receipts.recorded"]
        assert len(said) == 1
        assert await node.reach.unacknowledged("order-1") == []


async def test_a_wrong_token_and_one_of_a_message_that_was_replaced_get_the_same_page(city, world):
    async with city(line("F001")) as node, page(node) as (host, port), aiohttp.ClientSession() as client:
        await node.issue("order-1")
        await got(world, "f001-0@example.jp")
        old = token(world, "f001-0@example.jp")
        await node.issue("cancel-1", Verb.RETRACT, "order-1")
        pages = set()
        for word in (old, "a" * 26, "%00", "x" * 300, "../../etc/passwd"):
            async with client.post(f"http://{host}:{port}/k/{word}", data={"ack": "1"}) as answer:
                assert answer.status == 404
                pages.add(await answer.text())
        assert len(pages) <= 2, "one for tokens, one for what is no address of a page"
        assert not await is_acknowledged(node, "F001")


async def test_who_tries_links_is_told_to_wait_and_the_facility_behind_the_same_address_is_not(city, world):
    async with city(line("F001")) as node, page(node) as (host, port), aiohttp.ClientSession() as client:
        await node.issue("order-1")
        await got(world, "f001-0@example.jp")
        door = f"http://{host}:{port}/k/"
        seen = set()
        while 429 not in seen:
            async with client.get(door + "b" * 26) as answer:
                seen.add(answer.status)
        assert seen == {404, 429}
        async with client.post(door + token(world, "f001-0@example.jp"), data={"ack": "1"}) as answer:
            assert answer.status == 200
        assert await is_acknowledged(node, "F001")


async def test_who_acknowledged_the_first_report_is_asked_again_about_the_second(city, world):
    async with city(line("F001")) as node:
        await node.issue("order-1")
        await got(world, "f001-0@example.jp")
        first = token(world, "f001-0@example.jp")
        assert (await node.facilities.acknowledge(first)).acknowledged_at
        await node.issue("update-1", Verb.RETRACT, "order-1")
        await got(world, "f001-0@example.jp", times=2)
        second = token(world, "f001-0@example.jp")
        assert second != first
        assert not await is_acknowledged(node, "F001") or (await line_of(node, "F001", "update-1")).acknowledged is None
        assert (await node.facilities.acknowledge(second)).alert.identifier == "update-1"
        assert (await line_of(node, "F001", "update-1")).acknowledged


async def test_the_ledger_and_its_events_hold_no_address_and_no_token(city, world, tmp_path):
    async with city(line("F001")) as node:
        await node.issue("order-1")
        await got(world, "f001-0@example.jp")
        word = token(world, "f001-0@example.jp")
        await node.facilities.acknowledge(word)
        await taken(node)
    for file in tmp_path.glob("todoke.db*"):
        data = file.read_bytes()
        assert b"f001-0@example.jp" not in data
        assert word.encode() not in data


# -- the telephone --------------------------------------------------------------------------------------------------


async def test_a_call_that_somebody_answered_acknowledges_and_one_that_nobody_answered_does_not(city):
    async with city(line("F001")) as node:
        await node.issue("order-1")
        tried = await node.facilities.telephoned("職員0001", "order-1", "F001", spoke_with="", note="呼び出しのみ")
        assert tried.acknowledged is None
        reached = await node.facilities.telephoned("職員0002", "order-1", "F001", spoke_with="園長")
        assert reached.acknowledged.medium == "phone"
        assert reached.acknowledged.by == "職員0002"
        assert [(call.by, call.spoke_with) for call in reached.calls] == [("職員0001", ""), ("職員0002", "園長")]
        said = [r.event.facts for r in await node.ledger.story("order-1") if r.event.name == "facility.telephoned"]
        assert len(said) == 2
        assert "園長" not in str(said)
        assert await node.ledger.verify() == []


async def test_a_call_to_nobody_and_words_that_are_no_line_are_refused(city):
    async with city(line("F001"), line("F002", quarter="132040101")) as node:
        await node.issue("order-1")
        with pytest.raises(NotFound):
            await node.facilities.telephoned("職員0001", "order-1", "F002", spoke_with="園長")
        with pytest.raises(NotFound):
            await node.facilities.telephoned("職員0001", "no-such", "F001", spoke_with="園長")
        with pytest.raises(InvalidInput) as wrong:
            await node.facilities.telephoned("職員0001", "order-1", "F001", spoke_with="あ" * 201, note="a\u202eb")
        assert [finding.where for finding in wrong.value.findings] == ["spoke_with", "note"]
        assert (await line_of(node, "F001")).calls == ()
