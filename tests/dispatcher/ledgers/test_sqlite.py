"""The ledger on SQLite: the contract, and what is SQLite's own."""

import asyncio
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects.sqlite import dialect

from dispatcher.clock import SystemClock
from dispatcher.errors import ConfigError, Standby, StorageFull
from dispatcher.ledgers import open_ledger
from dispatcher.ledgers.asking import _TOTALS
from dispatcher.model.mode import Drill
from tests.contracts.campaigns_contract import CampaignsContract
from tests.contracts.ledger_contract import (
    ALERT,
    LedgerContract,
    Place,
    Sender,
    deliveries,
    issued,
    said,
    sending,
    until,
)


class File(Place):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.dsn = f"sqlite:///{path}"

    def read(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path, timeout=10)) as connection:
            return connection.execute(statement).fetchall()

    def write(self, statement: str, *values: Any) -> None:
        with closing(sqlite3.connect(self.path, timeout=10)) as connection, connection:
            connection.execute(statement, values)


class TestSqlite(LedgerContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return File(tmp_path / "ledger.db")

    async def test_a_second_node_on_the_file_is_told_who_has_it(self, place: File) -> None:
        async with place.open(node="city-hall"):
            with pytest.raises(Standby, match="city-hall"):
                async with place.open(node="annex"):
                    pass
        async with place.open(node="annex"):
            pass

    async def test_a_child_that_outlives_the_node_does_not_hold_the_file(self, place: File) -> None:
        async with place.open():
            child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
        try:
            async with place.open():
                pass
        finally:
            child.communicate(b"\n")

    async def test_a_full_disk_refuses_whole_and_the_outbox_goes_on_when_there_is_room(self, place: File) -> None:
        sender = Sender()
        async with place.open() as ledger, sending(ledger, sender):
            await ledger.issue(issued("before"), deliveries(5, "before"), said())
            await until(lambda: TestSqlite._is(ledger, "before", taken=5))
            refused = 0
            with disk_full_at(place.path):
                for n in range(200):
                    try:
                        await ledger.issue(issued(f"a{n}", cap_xml=b"x" * 5000), deliveries(50, f"a{n}"), said())
                    except StorageFull:
                        refused += 1
                        if refused == 3:
                            break
            assert refused == 3
            whole = {a.identifier for a in await ledger.alerts()}
            assert await ledger.issue(issued(), deliveries(5), said())
            for identifier in (whole | {ALERT}) - {"before"}:
                count = 5 if identifier == ALERT else 50
                await until(lambda i=identifier, c=count: TestSqlite._is(ledger, i, taken=c))
            assert await ledger.verify() == []

    async def test_bytes_altered_in_the_file_itself_are_found(self, place: File) -> None:
        async with place.open() as ledger:
            await self._full_life(ledger)
        with closing(sqlite3.connect(place.path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        whole = place.path.read_bytes()
        for text in (b"403 Forbidden", b"website-2-1", "さようなら".encode(), "住民0001".encode()):
            at = whole.index(text)
            place.path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
            async with place.open() as ledger:
                assert await ledger.verify(), text.decode()
        place.path.write_bytes(whole)
        async with place.open() as ledger:
            assert await ledger.verify() == []

    @pytest.mark.parametrize("dsn", ["", "sqlite:///", "mysql://x/y", "ledger.db"])
    async def test_what_is_no_ledger_is_refused_with_what_is(self, dsn: str) -> None:
        with pytest.raises(ConfigError, match="accepted are sqlite:///path"):
            async with open_ledger(dsn, mode=Drill, node="hq", clock=SystemClock()):
                pass

    async def test_a_thousand_callers_share_few_commits(self, place: File) -> None:
        async with place.open() as ledger, asyncio.TaskGroup() as tasks:
            for n in range(1000):
                tasks.create_task(ledger.append(said("probe", str(n))))
        assert place.read("SELECT count(*) FROM events") == [(1000,)]


class TestSqliteCampaigns(CampaignsContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return File(tmp_path / "ledger.db")

    async def test_the_figures_of_a_whole_city_are_read_off_an_index_without_sorting_its_people(
        self, place: File
    ) -> None:
        statement = str(_TOTALS.compile(dialect=dialect())).replace("?", "'c1'")
        async with place.open():
            # (id, parent, unused, what): the inner look stands under the one that puts its cells together.
            plan = place.read(f"EXPLAIN QUERY PLAN {statement}")
        (inner,) = (step[0] for step in plan if step[3].startswith(("CO-ROUTINE", "MATERIALIZE")))
        (people,) = (step[3] for step in plan if step[1] == inner)
        assert people == "SEARCH asked USING COVERING INDEX asked_round (campaign=?)"


@contextmanager
def disk_full_at(path: Path, room_bytes: int = 100_000) -> Iterator[None]:
    """The kernel lets no file of this process grow further than that: a full disk as the program sees it."""
    log = path.with_name(path.name + "-wal")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + room_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
