"""The ladder of a facility that does not answer: its timers outlive the node, and the first acknowledgement ends it."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager

import pytest

from dispatcher.ledger import Claim, Event
from dispatcher.model.delivery import DeliveryState, Priority, Receipt, Received
from dispatcher.model.draft import State, Verb
from dispatcher.steps.dispatch import CLOCK
from dispatcher.tracking.acknowledgement import Acknowledgements, Answers, Returned
from dispatcher.tracking.reach import Claimed, Climbed, rungs_kind
from drills.world.ports import free_port
from tests.servers.console import until
from tests.servers.mailbox import got, parsed, recipients, token
from tests.servers.seats import seats
from tests.servers.told_first import line, register, told_first

SOON_S = 0.4
BATCH = 20
"""Facilities in the one delivery that begins a ladder."""
LANE = 4
"""Deliveries of the mail lane in flight."""


async def reach_of(node, facility, identifier="order-1"):
    return next(each for each in await node.reach.facilities(identifier) if each.facility.id == facility)


async def is_left_to_staff(node, facility="F001"):
    return any(facility in rung.to_call for rung in (await node.reach.climbed("order-1")).values())


async def test_a_facility_that_stays_silent_is_told_by_contact_after_contact_and_then_left_to_the_telephone(
    city, world
):
    async with city(line("F001"), step_s=SOON_S) as node:
        await node.issue("order-1")
        await until(lambda: is_left_to_staff(node), "F001 is left to staff")
        addresses = [f"f001-{contact}@example.jp" for contact in range(3)]
        await got(world, *addresses)
        assert [recipients(world)[address] for address in addresses] == [1, 1, 1]
        (silent,) = await node.reach.facilities("order-1")
        assert (silent.facility.id, silent.rung, silent.is_to_call) == ("F001", 3, True)
        rungs = [r.event.facts for r in await node.ledger.story("order-1") if r.event.name == "facilities.escalated"]
        assert sorted(r["rung"] for r in rungs) == [1, 2, 3]
        assert await node.ledger.verify() == []


async def test_the_first_acknowledgement_ends_the_ladder_of_that_facility_alone(city, world):
    async with city(line("F001"), line("F002")) as node:
        await node.issue("order-1")
        await got(world, "f001-0@example.jp", "f002-0@example.jp")
        await node.room.attempt(timer("order-1", 1))
        await got(world, "f001-1@example.jp", "f002-1@example.jp")
        await node.facilities.acknowledge(token(world, "f002-1@example.jp"))
        for rung in (2, 3):
            await node.room.attempt(timer("order-1", rung))
        climbed = await node.reach.climbed("order-1")
        assert (climbed[2].contacts, climbed[3].to_call) == ({"F001": 2}, ("F001",))
        silent, answered = await node.reach.facilities("order-1")
        assert (silent.facility.id, silent.is_to_call) == ("F001", True)
        assert (answered.facility.id, answered.rung, answered.is_to_call) == ("F002", 1, False)


async def test_a_mail_that_waits_when_its_facility_acknowledges_is_not_sent_any_more(city, world):
    async with city(line("F001")) as node:
        await node.issue("order-1")
        await got(world, "f001-0@example.jp")
        async with world.down():
            await node.room.attempt(timer("order-1", 1))
            await node.facilities.telephoned("職員0001", "order-1", "F001", spoke_with="園長")
        await until(lambda: is_settled(node), "nothing waits but timers")
        assert "f001-1@example.jp" not in recipients(world)


async def is_settled(node):
    states = await node.ledger.deliveries("order-1")
    return states[DeliveryState.WAITING] == 4 and not {DeliveryState.READY, DeliveryState.SENDING} & states.keys()


def timer(identifier, rung):
    """The claim of a rung whose time has come."""
    key = f"{identifier}:{CLOCK}:facility/{rung}"
    return Claim(1, "1", key, identifier, CLOCK, Priority.LEVEL_4, 1, (), is_reclaimed=False)


async def test_a_rung_that_nobody_is_left_for_says_nothing(city, world):
    async with city(line("F001")) as node:
        await node.issue("order-1")
        await node.facilities.telephoned("職員0001", "order-1", "F001", spoke_with="園長")
        for rung in (1, 2, 3):
            assert (await node.room.attempt(timer("order-1", rung))).event == "taken"
        assert await node.reach.climbed("order-1") == {}
        assert [d.address async for d in node.ledger.destinations("order-1", room="facility")] == ["facility:F001:0"]


async def test_a_rung_whose_node_died_on_the_way_comes_to_the_same_again(city):
    async with city(line("F001"), line("F002")) as node:
        await node.issue("order-1")
        await node.room.attempt(timer("order-1", 1))
        before = await node.reach.climbed("order-1")
        await node.facilities.telephoned("職員0001", "order-1", "F001", spoke_with="園長")
        await node.room.attempt(timer("order-1", 1))
        assert await node.reach.climbed("order-1") == before == {1: Climbed({"F001": 1, "F002": 1}, ())}
        told = [d.address async for d in node.ledger.destinations("order-1", room="facility")]
        assert sorted(told) == [f"facility:F00{n}:{contact}" for n in (1, 2) for contact in (0, 1)]


async def test_of_rungs_that_come_due_together_after_an_outage_each_goes_to_a_contact_of_its_own(city):
    async with city(line("F001")) as node:
        await node.issue("order-1")
        async with asyncio.TaskGroup() as together:
            for rung in (1, 2, 3):
                together.create_task(node.room.attempt(timer("order-1", rung)))
        told = {d.address async for d in node.ledger.destinations("order-1", room="facility")}
        assert told == {f"facility:F001:{contact}" for contact in range(3)}


async def test_a_contact_that_refuses_for_good_is_followed_by_the_next_at_once(city, world):
    world.answers["f001-0@example.jp"] = "550 5.1.1 No such user"
    async with city(line("F001"), line("F002", mails="f002-0@example.jp")) as node:
        world.answers["f002-0@example.jp"] = "550 5.1.1 No such user"
        await node.issue("order-1")
        await got(world, "f001-1@example.jp")
        assert not {"f001-0@example.jp", "f001-2@example.jp"} & recipients(world).keys()
        first, second = (await reach_of(node, "F001")).media
        assert (first.claimed, first.is_refused) == (Claimed.NOTHING, True)
        assert "5.1.1" in first.words
        await until(lambda: is_taken(node, "F001"), "the second contact has it")
        assert second.contact == "2"
        left = await reach_of(node, "F002")
        assert left.is_reached_by_nothing
        assert left.is_to_call


async def test_a_mail_that_was_taken_and_comes_back_is_a_refusal_too(city, world):
    async with city(line("F001")) as node:
        await node.issue("order-1")
        await got(world, "f001-0@example.jp")
        await until(lambda: is_taken(node, "F001"), "the relay took it")
        returned = Returned()
        inbox = Acknowledgements(node.ledger, "email_list", returned, Answers())
        now = node.path.clock.now()
        await inbox.record([Received("order-1", "email_list", "facility:F001:0", Receipt.BOUNCED, now, "5.1.1")])
        assert returned.take_bounced() == {"order-1"}
        await node.room.given_back("order-1")
        await got(world, "f001-1@example.jp")
        await node.room.given_back("order-1")
        assert "f001-2@example.jp" not in recipients(world)


async def is_taken(node, facility):
    return (await reach_of(node, facility)).claimed is Claimed.TAKEN


async def test_a_terminal_that_is_not_there_is_followed_by_the_next_contact_at_once(city, world, tmp_path):
    (tmp_path / "terminals.csv").write_text("tid,name,address,quarter,groups,password_hash,mac_key\n")
    (tmp_path / "signing").write_text("1" * 64)
    (tmp_path / "signing").chmod(0o600)
    terminals = {"listen": f"127.0.0.1:{free_port()}", "register": "terminals.csv", "signing_key": {"file": "signing"}}
    async with city(line("F001", terminals="T9999"), ip_terminal=terminals) as node:
        await node.issue("order-1")
        await got(world, "f001-0@example.jp", "f001-1@example.jp")
        refused = next(on for on in (await reach_of(node, "F001")).media if on.channel == "ip_terminal")
        assert (refused.contact, refused.is_refused) == ("T9999", True)


async def test_a_message_that_is_replaced_ends_its_ladder(city):
    async with city(line("F001")) as node:
        await node.issue("order-1")
        assert (await node.ledger.deliveries("order-1"))[DeliveryState.WAITING] == 4
        await node.issue("cancel-1", Verb.RETRACT, "order-1")
        assert DeliveryState.WAITING not in await node.ledger.deliveries("order-1")
        assert (await node.ledger.deliveries("cancel-1"))[DeliveryState.WAITING] == 4
        await node.room.attempt(timer("order-1", 1))
        assert await node.reach.climbed("order-1") == {}


async def test_what_is_lifted_has_no_ladder(city):
    async with city(line("F001")) as node:
        await node.issue("order-1")
        await node.issue("lift-1", Verb.LIFT, "order-1")
        assert (await reach_of(node, "F001", "lift-1")).facility.id == "F001"
        assert (await node.ledger.deliveries("lift-1"))[DeliveryState.WAITING] == 1, "its own end alone"


# -- kill -9 --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def process(folder, dsn, node):
    """A node of its own, killed at the end."""
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.servers.told_first", str(folder), dsn, node),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        while await running.stdout.readline() != b"ready\n":
            assert not running.stdout.at_eof(), "it ended before it was ready"
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


def described(folder, world):
    register(folder, *(line(f"F{n:03d}") for n in range(1, 21)))
    (folder / "channels.json").write_text(json.dumps({"email_list": dict(world.settings())}))


async def nothing_lost(folder, world, dsn, node="last"):
    """With one node that stays up, every contact of every silent facility is told, and all are left to the telephone."""
    async with told_first(folder, {"email_list": dict(world.settings())}, dsn=dsn, node=node) as city:
        await until(lambda: is_left_to_staff(city), "the ladder came to its end", within_s=30)
        addresses = [f"f{n:03d}-{contact}@example.jp" for n in range(1, 21) for contact in range(3)]
        await got(world, *addresses)
        assert len((await city.reach.climbed("order-1"))[3].to_call) == 20
        assert await city.ledger.verify() == []
        return {address: recipients(world)[address] for address in addresses}


async def test_killed_at_every_rung_it_loses_no_timer_and_tells_nobody_twice(world, tmp_path):
    described(tmp_path, world)
    dsn = f"sqlite:///{tmp_path / 'todoke.db'}"
    for contact in range(3):
        async with process(tmp_path, dsn, "last"):
            await got(world, f"f001-{contact}@example.jp")
    told = await nothing_lost(tmp_path, world, dsn)
    assert sum(told.values()) <= len(told) + 3 * (BATCH + LANE), "no more than what was in flight at each kill"
    ids = {(mail.recipients[0], parsed(mail)["Message-ID"]) for mail in world.mails}
    assert len({id_ for _, id_ in ids}) == len(ids) == len(recipients(world)), "a repeat is the same mail again"


@pytest.mark.postgres
async def test_another_node_goes_on_with_the_ladder_of_one_that_was_killed(postgres, world, tmp_path):
    described(tmp_path, world)
    dsn = postgres.database()
    async with process(tmp_path, dsn, "city-hall"):
        await got(world, "f001-0@example.jp")
    told = await nothing_lost(tmp_path, world, dsn, node="fire-station")
    assert sum(told.values()) <= len(told) + BATCH + LANE, "no more than what was in flight"


# -- headquarters ---------------------------------------------------------------------------------------------------


async def test_headquarters_are_told_once_that_facilities_are_left_to_the_telephone(tmp_path):
    async with seats(tmp_path) as s:
        identifier = await s.in_state(State.LIVE)
        await s.standing.look()
        assert not await owed(s)
        body = {"contacts": {}, "to_call": ["F001"]}
        said = Event("facilities.escalated", identifier, {"rung": 3, "to_call": 1})
        await s.ledger.save_record(rungs_kind(identifier), "3", 0, body, said)
        await s.standing.look()
        await s.standing.look()
        assert await owed(s) == ["facilities"]


async def owed(seats):
    return [event.facts["why"] for event in await seats.events("page.owed") if event.facts["why"] == "facilities"]
