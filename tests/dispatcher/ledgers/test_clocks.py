"""Clocks that jump: the database's, by which leases are written down, and a node's own, by which messages go.

To a lease, a database whose clock is put forward by an hour is the same as one that ends an hour sooner.
"""

import signal

import pytest

from dispatcher.channel import Limits
from dispatcher.ledger import Ledger
from dispatcher.model.delivery import DeliveryState
from tests.contracts.ledger_contract import ALERT, Sender, deliveries, issued, node_process, said, sending, until
from tests.dispatcher.ledgers.test_postgres import Database
from tests.servers.postgres import Postgres
from tests.servers.recorder import recording

HOUR_S = 3600
LANES = {"website": Limits(concurrency=16)}


@pytest.fixture
def place(postgres: Postgres) -> Database:
    return Database(postgres, postgres.database())


def put_the_databases_clock(place: Database, forward_s: int) -> None:
    place.write(f"UPDATE nodes SET lease_until = lease_until - {forward_s}")


def leases(place: Database) -> dict[str, float]:
    return dict(place.read("SELECT name, lease_until FROM nodes"))


async def are_taken(ledger: Ledger, count: int) -> bool:
    return await ledger.deliveries(ALERT) == {DeliveryState.TAKEN: count}


@pytest.mark.postgres
async def test_a_clock_of_the_database_put_forward_takes_no_work_from_a_node_that_lives(place: Database) -> None:
    one, two = Sender(), Sender()
    one.gate.clear()
    two.gate.clear()
    async with (
        place.open(node="east", beat_s=0.5) as east,
        place.open(node="west", beat_s=0.5) as west,
        sending(east, one, LANES, concurrency=8),
        sending(west, two, LANES, concurrency=8),
    ):
        await east.issue(issued(), deliveries(16), said())
        await until(lambda: len(one.claims) + len(two.claims) == 16)
        put_the_databases_clock(place, HOUR_S)
        for _ in range(3):
            before = leases(place)
            await until(lambda before=before: all(leases(place).get(name, 0) > before[name] for name in before))
        one.gate.set()
        two.gate.set()
        await until(lambda: are_taken(east, 16))
        assert place.read("SELECT count(*) FROM deliveries WHERE is_reclaimed") == [(0,)]
        assert len(one.claims) + len(two.claims) == 16
        assert await east.verify() == []


@pytest.mark.postgres
async def test_a_clock_of_the_database_put_back_keeps_no_dead_node_alive(place: Database) -> None:
    async with recording() as recorder, place.open(node="east", lease_s=2.0, beat_s=0.3) as east:
        await east.issue(issued(), deliveries(40), said())
        with node_process(place.dsn, recorder.port, node="west", slots=8, lease_s=2.0) as west:
            await recorder.until(10)
            west.send_signal(signal.SIGKILL)
            west.wait()
        put_the_databases_clock(place, -HOUR_S)
        async with sending(east, Sender()):
            await until(lambda: are_taken(east, 40))


@pytest.mark.postgres
async def test_nor_does_it_keep_a_killed_node_from_coming_back(place: Database) -> None:
    async with recording() as recorder:
        async with place.open(node="hq") as before:
            await before.issue(issued(), deliveries(9), said())
        with node_process(place.dsn, recorder.port, node="hq", lease_s=0.6) as killed:
            await recorder.until(1)
            killed.send_signal(signal.SIGKILL)
            killed.wait()
    put_the_databases_clock(place, -HOUR_S)
    async with place.open(node="hq", lease_s=0.6) as again:
        await again.append(said())
