"""The ledger on PostgreSQL: the contract, and what several nodes and a server that may go away add to it."""

import asyncio
import json
import re
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dispatcher.channel import Limits
from dispatcher.errors import StorageFull
from dispatcher.ledger import Attempted, Claim
from dispatcher.model.delivery import DeliveryState
from tests.contracts.campaigns_contract import CAMPAIGN, KEY, CampaignsContract, opened
from tests.contracts.ledger_contract import (
    ALERT,
    LANE,
    REAL,
    WITHIN_S,
    LedgerContract,
    Place,
    Sender,
    deliveries,
    issued,
    node_process,
    said,
    sending,
    taken,
    until,
)
from tests.servers.postgres import USER, Postgres, running
from tests.servers.recorder import recording
from tests.servers.small_disk import fill, small_disk

pytestmark = pytest.mark.postgres


class Database(Place):
    def __init__(self, server: Postgres, dsn: str) -> None:
        self.server = server
        self.dsn = dsn
        self.name = dsn.rsplit("/", 1)[1]

    def read(self, statement: str) -> list[tuple[Any, ...]]:
        rows = self.server.psql(f"SELECT to_json(r) FROM ({statement}) r", self.name)
        # In pairs, because a column may be asked for twice.
        return [
            tuple(_bytes(value) for _, value in json.loads(row, object_pairs_hook=list)) for row in rows.splitlines()
        ]

    def write(self, statement: str, *values: Any) -> None:
        given = iter(values)
        self.server.psql(re.sub(r"\?", lambda _: _literal(next(given)), statement), self.name)


def _bytes(value: Any) -> Any:
    return bytes.fromhex(value[2:]) if isinstance(value, str) and value.startswith("\\x") else value


def _literal(value: Any) -> str:
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


class TestPostgresCampaigns(CampaignsContract):
    @pytest.fixture
    def place(self, postgres: Postgres) -> Place:
        return Database(postgres, postgres.database())

    async def test_no_table_of_the_server_holds_a_destroyed_key(self, place: Database) -> None:
        async with place.open() as ledger:
            campaigns = await opened(ledger, 300)
            place.write("CHECKPOINT")
            assert held(place, KEY)
            await campaigns.destroy(CAMPAIGN, 1, {}, said("safety.destroyed"))
            place.write("CHECKPOINT")
            assert not held(place, KEY)


def held(place: Database, secret: bytes) -> list[Path]:
    """The files of its tables in which that stands; the server's own log expires by itself."""
    oid = place.server.psql("SELECT oid FROM pg_database WHERE datname = current_database()", place.name)
    folder = place.server.folder / "data" / "base" / oid.strip()
    return [path for path in folder.iterdir() if secret in path.read_bytes()]


class TestPostgres(LedgerContract):
    @pytest.fixture
    def place(self, postgres: Postgres) -> Place:
        return Database(postgres, postgres.database())

    async def test_two_nodes_share_the_work_and_no_delivery_is_sent_twice(self, place: Database) -> None:
        one, two = Sender(), Sender()
        async with place.open(node="east") as east, place.open(node="west") as west:
            await east.issue(issued(), deliveries(500), said())
            lanes = {"website": Limits(concurrency=16)}
            async with sending(east, one, lanes, concurrency=8), sending(west, two, lanes, concurrency=8):
                await until(lambda: self._is(east, taken=500))
            assert sorted(one.addresses + two.addresses) == sorted({*one.addresses, *two.addresses})
            assert one.claims
            assert two.claims
            assert await east.verify() == await west.verify() == []

    async def test_two_nodes_together_keep_a_lane_to_its_concurrency(self, place: Database) -> None:
        in_flight, most = 0, 0

        async def attempt(claim: Claim) -> Attempted:
            nonlocal in_flight, most
            in_flight += 1
            most = max(most, in_flight)
            await REAL.sleep(0)  # the others have their turn meanwhile
            in_flight -= 1
            return taken(claim)

        lanes = {"website": Limits(concurrency=3)}
        async with (
            place.open(node="east") as east,
            place.open(node="west") as west,
            sending(east, attempt, lanes),
            sending(west, attempt, lanes),
        ):
            await east.issue(issued(), deliveries(100), said())
            await until(lambda: self._is(east, taken=100))
        assert most <= 3

    async def test_what_one_node_issues_wakes_the_other(self, place: Database) -> None:
        sender = Sender()
        listens = f"SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = '{place.name}'"
        async with (
            place.open(node="east") as east,
            place.open(node="west", beat_s=60.0, lease_s=600.0) as west,
            sending(west, sender),
        ):
            await until(lambda: bool(place.read(listens)))
            await east.issue(issued(), deliveries(3), said())
            await until(lambda: self._is(east, taken=3))

    async def test_what_another_node_superseded_is_stopped_here(self, place: Database) -> None:
        sender = Sender()
        sender.gate.clear()
        async with place.open(node="east") as east, place.open(node="west", beat_s=0.05) as west, sending(west, sender):
            await east.issue(issued(), deliveries(2), said())
            await until(lambda: len(sender.claims) == 2)
            await east.issue(issued("b"), [], said(subject="b"), supersedes=[ALERT])
            await until(lambda: self._is(east, superseded=2))

    async def test_a_killed_node_is_taken_over_and_nothing_is_lost(self, place: Database) -> None:
        async with recording() as recorder, place.open(node="east", lease_s=0.6, beat_s=0.2) as east:
            await east.issue(issued(), deliveries(300), said())
            sender = Sender()
            with node_process(place.dsn, recorder.port, node="west", slots=8, lease_s=0.6) as west:
                await recorder.until(40)
                west.send_signal(signal.SIGKILL)
                west.wait()
            async with sending(east, sender):
                await until(lambda: self._is(east, taken=300))
            assert recorder.heard.keys() | {f"{c.key} {c.destinations[0].address}" for c in sender.claims} == {
                f"{d.key} {d.destinations[0].address}" for d in deliveries(300)
            }
            assert await east.verify() == []

    async def test_a_node_that_slept_through_its_lease_does_no_harm_when_it_wakes(self, place: Database) -> None:
        async with recording() as recorder, place.open(node="east", lease_s=0.6, beat_s=0.2) as east:
            await east.issue(issued(), deliveries(400), said())
            sender = Sender()
            with node_process(place.dsn, recorder.port, node="west", slots=8, lease_s=0.6) as west:
                await recorder.until(40)
                west.send_signal(signal.SIGSTOP)
                async with sending(east, sender, concurrency=1):
                    await until(lambda: any(claim.is_reclaimed for claim in sender.claims))
                    west.send_signal(signal.SIGCONT)
                    await until(lambda: self._is(east, taken=400))
                await until(lambda: _no_rows(place, "SELECT id FROM deliveries WHERE state = 'sending'"))
            assert await east.deliveries(ALERT) == {DeliveryState.TAKEN: 400}
            assert await east.verify() == []

    async def test_a_commit_whose_reply_is_lost_counts_once(self, place: Database) -> None:
        async with cutting(place.server.port) as relay:
            beside = Database(place.server, f"postgresql://{USER}@127.0.0.1:{relay.port}/{place.name}")
            async with beside.open() as ledger:
                for n in range(12):
                    relay.cut_before_reply = n % 3 != 0
                    assert await ledger.issue(issued(f"a{n}"), deliveries(2, f"a{n}"), said(subject=f"a{n}"))
                assert relay.cuts >= 8
                assert [e.event.subject async for e in ledger.events()] == [f"a{n}" for n in range(12)]
                assert await ledger.verify() == []

    async def test_the_outbox_outlives_a_crash_of_the_server(self, tmp_path: Path) -> None:
        with running() as server:
            place = Database(server, server.database())
            sender = Sender()
            async with place.open() as ledger, sending(ledger, sender, LANE, concurrency=4):
                await ledger.issue(issued(), deliveries(400), said())
                for count in (20, 200):
                    await until(lambda c=count: len(sender.claims) > c)
                    server.stop(signal.SIGQUIT)
                    await asyncio.to_thread(server.start)
                await until(lambda: self._is(ledger, taken=400))
                assert await ledger.verify() == []
            assert len(set(sender.addresses)) == 400

    async def test_of_several_hosts_the_one_that_takes_writes_is_found(self, place: Database) -> None:
        nobody = f"postgresql://{USER}@127.0.0.1:1,127.0.0.1:{place.server.port}/{place.name}"
        async with Database(place.server, nobody).open() as ledger:
            await ledger.append(said())

    async def test_a_full_disk_refuses_whole_and_the_outbox_goes_on_when_there_is_room(
        self, postgres: Postgres
    ) -> None:
        sender = Sender()
        with small_disk(postgres.folder / "small", size_mb=16) as folder:
            shutil.chown(folder, USER)
            place = Database(postgres, postgres.database(tablespace=folder))
            async with place.open() as ledger, sending(ledger, sender):
                ballast = folder / "ballast"
                await ledger.issue(issued("before"), deliveries(5, "before"), said())
                await until(lambda: self._is(ledger, "before", taken=5))
                fill(ballast)
                refused = 0
                for n in range(200):
                    try:
                        await ledger.issue(issued(f"a{n}", cap_xml=bytes(range(250)) * 40), [], said())
                    except StorageFull:
                        refused += 1
                        if refused == 3:
                            break
                assert refused == 3
                ballast.unlink()
                assert await ledger.issue(issued(), deliveries(5), said())
                await until(lambda: self._is(ledger, taken=5))
                assert await ledger.verify() == []
            postgres.drop(place.name)


def _no_rows(place: Database, statement: str) -> bool:
    return not place.read(statement)


class Relay:
    """A line to the server that can lose the reply to a COMMIT: the server has done it, nobody hears so."""

    def __init__(self) -> None:
        self.port = 0
        self.cuts = 0
        self.cut_before_reply = False

    async def carry(self, to_port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above_reader, above_writer = await asyncio.open_connection("127.0.0.1", to_port)
        try:
            async with asyncio.TaskGroup() as tasks:
                down = tasks.create_task(self._down(above_reader, writer))
                up = tasks.create_task(self._up(reader, above_writer))
                await asyncio.wait({down, up}, return_when=asyncio.FIRST_COMPLETED)
                down.cancel()
                up.cancel()
        finally:
            writer.close()
            above_writer.close()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if self.cut_before_reply and b"COMMIT\0" in data:  # CommandComplete, its tag
                    self.cut_before_reply = False
                    self.cuts += 1
                    return
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass


@asynccontextmanager
async def cutting(to_port: int) -> AsyncIterator[Relay]:
    relay = Relay()
    server = await asyncio.start_server(lambda r, w: relay.carry(to_port, r, w), "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        await asyncio.wait_for(server.wait_closed(), WITHIN_S)
