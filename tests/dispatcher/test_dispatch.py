"""Who is written down for a message: everybody of the area now, and whom an earlier one of its chain was addressed to."""

import socket
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from config.site import bind_site
from dispatcher import cap
from dispatcher.ledger import Event, IssuedAlert, NewDelivery
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Priority
from dispatcher.model.draft import Draft, State, Verb
from dispatcher.model.mode import Drill
from dispatcher.node import kinds, running
from dispatcher.steps.accept import Typed, accept
from dispatcher.steps.dispatch import TURN, resume
from drills.world.ports import free_port
from tests.samples import evacuation_order
from tests.servers.console import until
from tests.servers.seats import APPROVER, ORDER, WRITER, seats


def site(folder: Path, **channels):
    public = f"127.0.0.1:{free_port()}"
    described = {
        "mode": "drill",
        "node": "test",
        "state_dir": "state",
        "city": "mitaka",
        "residents": {"listen": public, "url": f"http://{public}"},
        "control": {"listen": f"127.0.0.1:{free_port()}"},
        "staff": [
            {"name": "職員0001", "roles": ["originator"], "token_hash": "1" * 64},
            {"name": "職員0002", "roles": ["approver"], "token_hash": "2" * 64},
        ],
        "channels": {"website": {"folder": "site", "url": f"http://{public}"}, **channels},
    }
    data = yaml.safe_dump(described, allow_unicode=True).encode()
    return bind_site(data, "site.yaml", folder, {kind: channel.Settings for kind, channel in kinds().items()})


async def test_a_retraction_also_goes_to_whom_only_the_order_was_addressed(tmp_path):
    async with running(site(tmp_path)) as node:
        clock, city = node.path.clock, node.path.city
        now = clock.now()
        order = accept(
            Typed(template="evacuation-order", areas=("大沢",)),
            city=city,
            mode=Drill,
            now=now,
            author="職員0001",
            identifier="order-1",
        )
        await node.ledger.save_draft("order-1", 0, order.body(), Event("draft.written", "order-1"))
        sample = evacuation_order(node.path.mode, identifier="order-1", sent=now)
        moved = NewDelivery(
            key="order-1:website:0",
            identifier="order-1",
            channel="website",
            priority=Priority.LEVEL_4,
            destinations=(Destination("moved-away"),),
            expires_at=now + timedelta(hours=1),
            not_before=now + timedelta(minutes=30),
        )
        issued = IssuedAlert(
            "order-1", State.LIVE, Verb.ISSUE, Priority.LEVEL_4, now, sample.expires, cap.write(sample), {}, "order-1"
        )
        assert await node.ledger.issue(issued, [moved], Event("alert.issued", "order-1"))
        cancel = accept(
            Typed(areas=("大沢",), verb=Verb.RETRACT, of="order-1", note="区域の誤り"),
            city=city,
            mode=Drill,
            now=now,
            author="職員0001",
            identifier="cancel-1",
            before=order,
        )
        version = await node.ledger.save_draft("cancel-1", 0, cancel.body(), Event("draft.written", "cancel-1"))
        await node.path.issue(replace(cancel, version=version), by="職員0001")
        addressed = {d.address async for d in node.ledger.destinations("cancel-1", "website")}
        assert "moved-away" in addressed
        assert len(addressed) == 2
        assert (await node.ledger.alert("order-1")).state == State.ENDED


def mail(addresses: Path, port: int):
    """A registered-mail channel whose relay never answers."""
    (addresses.parent / "secret").write_text("a" * 64)
    (addresses.parent / "secret").chmod(0o600)
    return {
        "subscribers": str(addresses),
        "sender": "kunren@example.jp",
        "sender_name": "三鷹市（訓練）",
        "list_id": "kunren.example.jp",
        "secret": {"file": "secret"},
        "unsubscribe_url": "https://kunren.example.jp/unsubscribe",
        "listen": f"127.0.0.1:{free_port()}",
        "relay": {"host": "127.0.0.1", "port": port, "tls": "none"},
    }


async def _begun(node) -> None:
    """As a node leaves it that is killed after the first transaction of a dispatch."""
    clock = node.path.clock
    typed = Typed(template="evacuation-order", areas=("大沢",))
    order = accept(typed, city=node.path.city, mode=Drill, now=clock.now(), author="職員0001", identifier="order-1")
    version = await node.ledger.save_draft("order-1", 0, order.body(), Event("draft.written", "order-1"))
    prepared = await node.path.prepare(order, clock.now())
    members = node.path.channels["email_list"].destinations(prepared.audiences["email_list"])
    destinations = tuple([member async for member in members][:500])
    first = NewDelivery("order-1:email_list:0", "order-1", "email_list", Priority.LEVEL_4, destinations, order.expires)
    issued = IssuedAlert(
        "order-1",
        State.DISPATCHING,
        Verb.ISSUE,
        Priority.LEVEL_4,
        clock.now(),
        order.expires,
        cap.write(prepared.alert),
        {kind: rendering.digest for kind, rendering in prepared.renderings.items()},
        "order-1",
        {"by": "職員0002"},
    )
    body = {**order.body(), "state": State.DISPATCHING.value}
    await node.ledger.issue(issued, [first], Event("alert.issued", "order-1"), draft=("order-1", version, body))


async def _is_live(ledger) -> bool:
    return (await ledger.alert("order-1")).state == State.LIVE


async def test_a_message_that_was_begun_and_not_ended_is_written_down_to_its_end(tmp_path):
    """A node killed after the first 500 addresses never wrote to the rest, and its board showed all taken."""
    addresses = tmp_path / "subscribers.csv"
    rows = "".join(f"s{n}@example.jp,132040301,ja\n" for n in range(1200))
    addresses.write_text("address,quarters,language\n" + rows, "utf-8")
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        described = site(tmp_path, email_list=mail(addresses, silent.getsockname()[1]))
        async with running(described) as node:
            await _begun(node)
        async with running(described) as node:
            ledger = node.ledger
            await until(lambda: _is_live(ledger), "the order is live")
            addressed = [d.address async for d in ledger.destinations("order-1", "email_list")]
            assert len(addressed) == len(set(addressed)) == 1200
            assert [d.address async for d in ledger.destinations("order-1", "website")]
            assert await ledger.verify() == []


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def test_a_bulk_whose_node_never_returns_is_written_down_by_another(engine, tmp_path, request):
    """The rest of it belonged to nobody: who was not among the first addresses never heard of the order."""
    addresses = tmp_path / "subscribers.csv"
    rows = "".join(f"s{n}@example.jp,132040301,ja\n" for n in range(1200))
    addresses.write_text("address,quarters,language\n" + rows, "utf-8")
    dsn = None if engine == "sqlite" else request.getfixturevalue("postgres").database()
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        described = replace(site(tmp_path, email_list=mail(addresses, silent.getsockname()[1])), ledger=dsn)
        async with running(replace(described, node="east")) as node:
            await _begun(node)
        async with running(replace(described, node="west")) as node:
            ledger = node.ledger
            await until(lambda: _is_live(ledger), "the order is live")
            addressed = [d.address async for d in ledger.destinations("order-1", "email_list")]
            assert len(addressed) == len(set(addressed)) == 1200
            told = [r.event.facts["from"] for r in await ledger.story("order-1") if r.event.name == "alert.taken-over"]
            assert told == ["east"]
            assert await ledger.verify() == []


async def test_a_living_nodes_bulk_is_left_to_it_and_one_that_was_taken_over_stops_writing(tmp_path, postgres):
    """Both would address the same people in batches of their own, and many would get every mail twice."""
    addresses = tmp_path / "subscribers.csv"
    rows = "".join(f"s{n}@example.jp,132040301,ja\n" for n in range(1200))
    addresses.write_text("address,quarters,language\n" + rows, "utf-8")
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        described = replace(
            site(tmp_path, email_list=mail(addresses, silent.getsockname()[1])), ledger=postgres.database(), node="east"
        )
        async with running(described) as node:
            ledger, path = node.ledger, node.path
            path.dispatching.add("order-1")  # as while it writes
            await _begun(node)
            west = replace(path, dispatching=set())
            await west.resume("west")
            assert (await ledger.alert("order-1")).state == State.DISPATCHING
            before = [d.address async for d in ledger.destinations("order-1", "email_list")]
            await ledger.save_record(TURN, "order-1", 0, {"node": "west"}, Event("alert.taken-over", "order-1"))
            prepared = await path.prepare(Draft.from_body(*await ledger.draft("order-1")), path.clock.now())
            audiences, renderings = prepared.audiences, prepared.renderings
            await resume(prepared.alert, audiences, renderings, path.channels, ledger, chain=(), turn=0)
            assert [d.address async for d in ledger.destinations("order-1", "email_list")] == before
            assert (await ledger.alert("order-1")).state == State.DISPATCHING


async def test_what_was_superseded_while_it_was_written_down_does_not_become_live(tmp_path):
    """A long bulk that ended after its retraction stood as live again."""
    async with seats(tmp_path) as s:
        identifier = await s.in_state(State.LIVE)
        _, alert = await s.desk.follow(WRITER, Verb.RETRACT, identifier, Typed(note="区域の誤り"), mode="drill")
        await s.ledger.finish_alert(identifier, State.LIVE, Event("alert.live", identifier))
        assert [a.identifier for a in await s.ledger.alerts(only_live=True)] == [alert.identifier]


async def test_a_clock_that_is_put_back_alters_no_ledger(tmp_path):
    """The audit took the last move by its time, and called the ledger altered."""
    async with seats(tmp_path) as s:
        identifier = await s.in_state(State.LIVE)
        s.clock.advance(-3600)
        await s.desk.follow(WRITER, Verb.RETRACT, identifier, Typed(note="区域の誤り"), mode="drill")
        assert await s.ledger.verify() == []


async def test_who_subscribes_between_submission_and_approval_voids_nothing(tmp_path):
    """The head count was part of the hash: anybody with a mail address could keep an order from being approved."""
    addresses = tmp_path / "subscribers.csv"
    addresses.write_text("address,quarters,language\ns1@example.jp,132040301,ja\n", "utf-8")
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        async with running(site(tmp_path, email_list=mail(addresses, silent.getsockname()[1]))) as node:
            draft, _ = await node.desk.draft(WRITER, ORDER, mode="drill")
            draft, _ = await node.desk.submit(WRITER, draft.identifier, mode="drill")
            with addresses.open("a", encoding="utf-8") as register:
                register.write("s2@example.jp,132040301,ja\n")
            await until(lambda: _counts(node, 2), "the register is read again")
            await node.desk.approve(APPROVER, draft.identifier, shown=draft.hash, mode="drill")
            assert len([d async for d in node.ledger.destinations(draft.identifier, "email_list")]) == 2


async def test_a_register_that_cannot_be_read_takes_only_its_own_medium_away(tmp_path):
    """With the subscribers' file gone, no order for any area could be issued, not even on the city's site."""
    addresses = tmp_path / "subscribers.csv"
    addresses.write_text("address,quarters,language\ns1@example.jp,132040301,ja\n", "utf-8")
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        async with running(site(tmp_path, email_list=mail(addresses, silent.getsockname()[1]))) as node:
            addresses.write_text("address,quarters,language\ns2@example.jp,132040101,ja\n", "utf-8")
            await until(lambda: _counts(node, 0), "the register is read again")
            draft, _ = await node.desk.draft(WRITER, ORDER, mode="drill")
            draft, prepared = await node.desk.submit(WRITER, draft.identifier, mode="drill")
            assert set(prepared.audiences) == {"website"}
            await node.desk.approve(APPROVER, draft.identifier, shown=draft.hash, mode="drill")


async def _counts(node, people: int) -> bool:
    return (await node.path.channels["email_list"].audience(("132040301",))).head_count == people
