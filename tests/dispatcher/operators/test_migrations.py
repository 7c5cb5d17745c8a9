"""A ledger that version 1 made is opened by today's program: everything is still there, on both engines.

tests/data/ledgers/version-1-*.sql were written by the program of that version: an evacuation order that the website took, with a
receipt and the timer of its end, and a draft that waits for a second person.
"""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from dispatcher import cap
from dispatcher.clock import SystemClock
from dispatcher.errors import ConfigError, Refused
from dispatcher.ledger import Event
from dispatcher.ledgers import open_ledger
from dispatcher.ledgers.beside import look
from dispatcher.ledgers.migrations import STEPS, version_of
from dispatcher.ledgers.schema import VERSION, metadata
from dispatcher.model.delivery import DeliveryState
from dispatcher.model.draft import Draft, State
from dispatcher.model.mode import Drill, Live

DATA = Path(__file__).parents[2] / "data" / "ledgers"


class Place:
    """Where a ledger can stand, and how its owner would reach into it."""

    def __init__(self, dsn, run):
        self.dsn = dsn
        self.run = run

    def open(self, mode=Drill):
        return open_ledger(self.dsn, mode=mode, node="test", clock=SystemClock(), lease_s=1.0, beat_s=0.3)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def empty(request, tmp_path):
    if request.param == "sqlite":
        file = tmp_path / "todoke.db"

        def run(statements):
            with closing(sqlite3.connect(file)) as connection:
                connection.executescript(statements)

        return Place(f"sqlite:///{file}", run)
    server = request.getfixturevalue("postgres")
    dsn = server.database()
    return Place(dsn, lambda statements: server.psql(statements, dsn.rpartition("/")[2]))


@pytest.fixture
def old(empty):
    """A ledger of version 1, with what was in it."""
    empty.run((DATA / f"version-1-{'sqlite' if 'sqlite' in empty.dsn else 'postgresql'}.sql").read_text("utf-8"))
    return empty


def columns(connection):
    found = sa.inspect(connection)
    return {
        table: (
            {(c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(table)},
            sorted(found.get_pk_constraint(table)["constrained_columns"]),
            sorted(index["name"] or "" for index in found.get_indexes(table)),
        )
        for table in found.get_table_names()
    }


def test_the_steps_lead_to_the_programs_own_version_one_by_one():
    assert [step.to for step in STEPS] == list(range(2, int(VERSION) + 1))


async def test_everything_of_version_1_is_found_again_and_the_chain_goes_on(old):
    async with old.open() as ledger:
        waiting, issued = [Draft.from_body(version, body) for _, version, body in await ledger.drafts()]
        assert (waiting.state, issued.state) == (State.PENDING, State.DISPATCHING)
        alert = await ledger.alert(issued.identifier)
        assert "大沢" in cap.read(alert.cap_xml).info[0].place
        tally = next(line for line in await ledger.tally(alert.identifier) if line.channel == "website")
        assert (tally.destinations, tally.taken, tally.displayed) == (1, 1, 1)
        assert await ledger.deliveries(alert.identifier) == {DeliveryState.TAKEN: 1, DeliveryState.WAITING: 1}
        length = [recorded.sequence async for recorded in ledger.events()][-1]
        assert (
            await ledger.save_record("area", "大沢", 0, {"quarters": ["132040301"]}, Event("area.saved", "大沢")) == 1
        )
        assert [recorded.sequence async for recorded in ledger.events()] == list(range(1, length + 2))
        assert await ledger.verify() == []
    assert await look(old.dsn, version_of) == int(VERSION)
    async with old.open() as ledger:
        assert [key for key, _, _ in await ledger.records("area")] == ["大沢"]


async def test_a_migrated_ledger_has_the_tables_of_a_new_one(old, tmp_path):
    async with old.open():
        pass
    if "sqlite" in old.dsn:
        other = f"sqlite:///{tmp_path / 'new.db'}"
        async with open_ledger(other, mode=Drill, node="city-hall", clock=SystemClock()):
            pass
        assert await look(old.dsn, columns) == await look(other, columns)
    else:
        migrated = await look(old.dsn, columns)
        old.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        async with old.open():
            pass
        assert await look(old.dsn, columns) == migrated
    assert set(await look(old.dsn, columns)) == set(metadata.tables)


async def test_a_ledger_of_a_newer_program_is_refused_and_left_as_it_is(old):
    old.run("UPDATE meta SET value = '99' WHERE key = 'version'")
    with pytest.raises(ConfigError, match="newer todoke made this ledger of version 99"):
        async with old.open():
            pass
    with pytest.raises(Refused, match="99"):
        await look(old.dsn, version_of)
    old.run("UPDATE meta SET value = '1' WHERE key = 'version'")
    assert "records" not in await look(old.dsn, columns)


async def test_a_ledger_of_the_other_mode_is_not_migrated_by_being_tried(old):
    with pytest.raises(ConfigError, match="mode"):
        async with old.open(Live):
            pass
    assert await look(old.dsn, version_of) == 1


async def test_a_step_that_fails_leaves_the_ledger_as_it_was(old):
    old.run("CREATE TABLE records (something TEXT)")
    with pytest.raises(sa.exc.DBAPIError, match="records"):
        async with old.open():
            pass
    assert await look(old.dsn, version_of) == 1


@pytest.mark.postgres
async def test_two_nodes_that_start_at_once_migrate_once(postgres):
    dsn = postgres.database()
    postgres.psql((DATA / "version-1-postgresql.sql").read_text("utf-8"), dsn.rpartition("/")[2])

    async def start(name):
        async with open_ledger(dsn, mode=Drill, node=name, clock=SystemClock()) as ledger:
            return await ledger.verify()

    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(start(name)) for name in ("city-hall", "fire-station")]
    assert [task.result() for task in both] == [[], []]
    assert await look(dsn, version_of) == int(VERSION)


@pytest.fixture
def with_old(city_hall):
    """A site whose ledger is of version 1."""
    (city_hall.folder / "state").mkdir()
    with closing(sqlite3.connect(city_hall.folder / "state" / "todoke.db")) as connection:
        connection.executescript((DATA / "version-1-sqlite.sql").read_text("utf-8"))
    return city_hall


def test_a_dry_run_prints_the_sql_and_changes_nothing_and_a_run_does_it(with_old, capsys):
    assert with_old.todoke("migrate", "--dry-run") == 0
    printed = capsys.readouterr().out
    assert "CREATE TABLE records" in printed
    assert "nothing was changed" in printed
    assert with_old.todoke("migrate", "-o", "json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["before"], answer["now"]) == (1, int(VERSION))
    assert with_old.todoke("migrate", "--dry-run", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["steps"] == []


async def test_a_node_migrates_by_itself_and_a_ledger_that_it_holds_is_migrated_by_nobody_else(with_old, capsys):
    async with with_old.up() as node:
        assert await node.ledger.verify() == []
        assert "ledger.migrated" in capsys.readouterr().err
        assert await with_old.beside("migrate") == 6
        assert "node test" in capsys.readouterr().err
        assert await with_old.beside("migrate", "--dry-run") == 0
