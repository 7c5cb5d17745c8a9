"""A running node is backed up, lost, and restored: what it had said is there again, and nothing that stands in the way is lost."""

import asyncio
import hashlib
import io
import json
import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from dispatcher.__main__ import main
from dispatcher.ledger import Event
from dispatcher.ledgers.schema import VERSION
from dispatcher.log import to_stderr
from tests.servers.inside import Node, issued, link, posted, with_mail


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def either(request, city_hall):
    """A node on either engine."""
    if request.param == "postgresql":
        city_hall.change(ledger=request.getfixturevalue("postgres").database())
    return city_hall


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory):
    """A node with one alert, stopped, and its backup: made once, and copied for each test."""
    node = Node(tmp_path_factory.mktemp("backed-up"))

    async def work():
        async with node.up() as running:
            await issued(running)

    to_stderr()
    asyncio.run(work())
    assert node.todoke("backup", "--to", str(node.folder / "backup.tar")) == 0
    return node


@pytest.fixture
def quiet(backed_up, city_hall):
    """The same, this test's own."""
    shutil.copytree(backed_up.folder, city_hall.folder, dirs_exist_ok=True)
    text = city_hall.file.read_text("utf-8").replace(str(backed_up.folder), str(city_hall.folder))
    city_hall.file.write_text(text, "utf-8")
    city_hall.backup = city_hall.folder / "backup.tar"
    return city_hall


def manifest(file):
    with tarfile.open(file) as tar:
        return json.load(tar.extractfile("manifest.json"))


def rewritten(backup, change):
    """The same archive, with each member's name and bytes passed through `change`."""
    forged = backup.with_name("forged.tar")
    with tarfile.open(backup) as old, tarfile.open(forged, "w") as new:
        for entry in old:
            for name, data in change(entry.name, old.extractfile(entry).read()):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                new.addfile(info, io.BytesIO(data))
    return forged


def everything_in(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and ".tar" not in p.name}


async def test_a_running_node_is_backed_up_and_comes_back_with_everything_it_had_said(either, tmp_path, capsys):
    backup = tmp_path / "backup.tar"
    async with either.up() as running:
        first = await issued(running)
        assert await either.beside("backup", "--to", str(backup), "-o", "json") == 0
        captured = capsys.readouterr()
        assert "audited" in captured.err
        assert json.loads(captured.out)["wrong"] == []
        assert stat.S_IMODE(backup.stat().st_mode) == 0o600
        later = await issued(running)
        assert await either.beside("restore", str(backup), "--replace") == 6
        assert "stop the node" in capsys.readouterr().err

    assert await either.beside("restore", str(backup)) == 5, "what stands there is never overwritten unasked"
    assert await either.beside("restore", str(backup), "--replace", "-o", "json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert any("before" in path for path in answer["kept_beside"])
    assert answer["open_deliveries"] == 0, "the timer of an alert's end is no delivery"

    async with either.up() as running:
        assert [alert.identifier for alert in await running.ledger.alerts()] == [first]
        names = [recorded.event.name async for recorded in running.ledger.events()]
        assert "ledger.restored" in names
        assert await running.ledger.verify() == []
        page = await either.page()
        assert first in page
        assert later in page, "what residents could read is not taken from them, and the operator is told of it"
        assert answer["published_since"] == [later]
        await issued(running)
    if old := next((path for path in answer["kept_beside"] if "todoke.db" in path), None):
        with closing(sqlite3.connect(old)) as ledger:
            assert (later,) in ledger.execute("SELECT identifier FROM alerts").fetchall()


async def test_a_backup_is_of_one_moment_while_the_node_goes_on_writing(either, tmp_path):
    async with either.up() as running, asyncio.TaskGroup() as tasks:

        async def writing():
            while True:
                await running.ledger.append(Event("link.tested", "", {}))

        busy = tasks.create_task(writing())
        files = [tmp_path / f"backup{number}.tar" for number in range(2)]
        for file in files:
            assert await either.beside("backup", "--to", str(file)) == 0
        busy.cancel()
    first, second = (manifest(file)["chains"]["test"][0] for file in files)
    assert 0 < first < second


async def test_on_an_empty_machine_the_site_file_out_of_the_archive_is_enough(backed_up, quiet, tmp_path, capsys):
    new = tmp_path / "new"
    new.mkdir()
    with tarfile.open(quiet.backup) as tar:
        text = tar.extractfile("site.yaml").read().decode()
    (new / "site.yaml").write_text(text.replace(str(backed_up.folder), str(new)), "utf-8")
    assert await asyncio.to_thread(main, ["restore", str(quiet.backup), "--site", str(new / "site.yaml")]) == 0
    assert "kept beside" not in capsys.readouterr().out
    assert (new / "site" / "index.html").read_bytes() == (tmp_path / "site" / "index.html").read_bytes()
    modes = [stat.S_IMODE((folder / "site" / "index.html").stat().st_mode) for folder in (tmp_path, new)]
    assert modes[0] == modes[1], "a web server may still read it"


async def test_a_restore_names_the_campaigns_that_nobody_can_read_any_more(either, tmp_path, capsys):
    """Their keys are in no backup, and an operator who is not told waits for answers that never show."""
    backup = tmp_path / "backup.tar"
    async with either.up() as running:
        campaigns = running.ledger.campaigns
        await campaigns.open("safety-1", b"a sealed key of this campaign", {}, Event("safety.opened", "safety-1"), [])
        assert await either.beside("backup", "--to", str(backup)) == 0
        assert "no campaign's key" in capsys.readouterr().out
    assert b"a sealed key of this campaign" not in backup.read_bytes()
    assert await either.beside("restore", str(backup), "--replace", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["unreadable_campaigns"] == ["safety-1"]


async def test_who_has_left_the_list_stays_out_after_a_restore(city_hall, capsys):
    with_mail(city_hall)
    async with city_hall.up() as node:
        audience = await node.channels["email_list"].audience(["132040301"])
        assert audience.head_count == 1
        assert await posted(link(city_hall)) == 200
        assert await city_hall.beside("backup", "--to", str(city_hall.folder / "backup.tar"), "--with-keys") == 0
    for folder in ("state", "site"):
        shutil.rmtree(city_hall.folder / folder)
    assert await city_hall.beside("restore", str(city_hall.folder / "backup.tar")) == 0, capsys.readouterr().err
    async with city_hall.up() as node:
        audience = await node.channels["email_list"].audience(["132040301"])
        assert audience.head_count == 0


async def test_a_backup_of_version_1_is_restored_and_brought_to_todays(city_hall, tmp_path):
    old = (Path(__file__).parents[2] / "data" / "ledgers" / "version-1-sqlite.sql").read_text("utf-8")
    (tmp_path / "state").mkdir()
    with closing(sqlite3.connect(tmp_path / "state" / "todoke.db")) as ledger:
        ledger.executescript(old)
    assert await city_hall.beside("backup", "--to", str(tmp_path / "old.tar")) == 0
    assert manifest(tmp_path / "old.tar")["schema"] == "1"
    assert await city_hall.beside("restore", str(tmp_path / "old.tar"), "--replace") == 0
    async with city_hall.up() as running:
        assert await running.ledger.verify() == []


async def test_keys_stay_at_home_unless_asked_for(quiet, tmp_path, capsys):
    register = (
        "tid,name,address,quarter,groups,password_hash,mac_key\n"
        f"T0001,第七中学校,東京都三鷹市大沢2-11-12,132040302,,{'1' * 64},{'2' * 64}\n"
    )
    (tmp_path / "terminals.csv").write_text(register, "utf-8")
    (tmp_path / "terminals.csv").chmod(0o600)
    (tmp_path / "signing").write_text("ab" * 32)
    (tmp_path / "signing").chmod(0o600)
    terminals = {"listen": "127.0.0.1:18883", "register": "terminals.csv", "signing_key": {"file": "signing"}}
    quiet.change(channels={"ip_terminal": terminals})
    closed, open_ = tmp_path / "closed.tar", tmp_path / "open.tar"
    assert await quiet.beside("backup", "--to", str(closed)) == 0
    assert "signing_key" in capsys.readouterr().out, "what is not in it is named"
    assert b"abab" * 8 not in closed.read_bytes()
    assert b"2222" * 8 not in closed.read_bytes()
    assert await quiet.beside("backup", "--to", str(open_), "--with-keys") == 0
    for file in ("signing", "terminals.csv"):
        (tmp_path / file).unlink()
    assert await quiet.beside("restore", str(open_), "--replace") == 0
    assert (tmp_path / "signing").read_text() == "ab" * 32
    assert stat.S_IMODE((tmp_path / "signing").stat().st_mode) == 0o600


async def test_a_second_backup_never_overwrites_the_first(quiet):
    before = quiet.backup.read_bytes()
    assert await quiet.beside("backup", "--to", str(quiet.backup)) == 5
    assert quiet.backup.read_bytes() == before


async def test_a_tampered_ledger_is_backed_up_and_said_to_be_tampered_with(quiet, tmp_path, capsys):
    with closing(sqlite3.connect(tmp_path / "state" / "todoke.db")) as ledger, ledger:
        ledger.execute("UPDATE events SET subject = 'nobody' WHERE sequence = 2")
    assert await quiet.beside("backup", "--to", str(tmp_path / "second.tar")) == 1
    assert "event 2 of test: altered" in capsys.readouterr().out
    assert await quiet.beside("restore", str(tmp_path / "second.tar"), "--replace") == 5


def altered(name, data):
    yield name, data[:-1] + bytes([data[-1] ^ 1]) if name == "ledger.db" else data


def shorter(name, data):
    if name != "ledger.db":
        yield name, data


def longer(name, data):
    yield name, data
    if name == "ledger.db":
        yield "extra", b"extra"


def climbing(name, data):
    if name == "manifest.json":
        values = json.loads(data)
        for member in values["members"]:
            member["name"] = member["name"].replace("state/", "state/../../../")
        yield name, json.dumps(values).encode()
    else:
        yield name.replace("state/", "state/../../../"), data


def elsewhere(name, data):
    """A file for which the operator's own site file names no place."""
    if name == "manifest.json":
        values = json.loads(data)
        site = next(member for member in values["members"] if member["name"] == "site.yaml")
        values["members"].append(site | {"name": "files/channels.website.passwd"})
        yield name, json.dumps(values).encode()
    else:
        yield name, data
        if name == "site.yaml":
            yield "files/channels.website.passwd", data


def other_mode(name, data):
    yield name, data.replace(b'"mode": "drill"', b'"mode": "live"') if name == "manifest.json" else data


def newer(name, data):
    ours = f'"schema": "{VERSION}"'.encode()
    yield name, data.replace(ours, b'"schema": "99"') if name == "manifest.json" else data


def garbled(name, data):
    yield name, b'{"members": 7' if name == "manifest.json" else data


def deep(name, data):
    yield name, b"[" * 100_000 if name == "manifest.json" else data


@pytest.mark.parametrize(
    "change",
    [altered, shorter, longer, climbing, elsewhere, other_mode, newer, garbled, deep],
    ids=lambda f: f.__name__,
)
async def test_an_archive_that_is_not_what_it_says_changes_nothing(quiet, tmp_path, change, capsys):
    (tmp_path / "state" / "a-file").write_text("of the node's own")
    quiet.backup.unlink()
    assert await quiet.beside("backup", "--to", str(quiet.backup)) == 0
    forged = rewritten(quiet.backup, change)
    before = everything_in(tmp_path)
    assert await quiet.beside("restore", str(forged), "--replace") in {2, 5}
    assert capsys.readouterr().err.strip()
    assert everything_in(tmp_path) == before


def test_what_is_no_ledger_is_said_to_be_none(city_hall, tmp_path, capsys):
    to = str(tmp_path / "backup.tar")
    assert city_hall.todoke("backup", "--to", to) == 2, "there is none"
    (tmp_path / "state").mkdir()
    ledger = tmp_path / "state" / "todoke.db"
    for data in (b"", os.urandom(8192)):
        ledger.write_bytes(data)
        assert city_hall.todoke("backup", "--to", to) == 5
        assert "todoke.db" in capsys.readouterr().err
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE something (x)")
    shutil.copyfile(tmp_path / "other.db", ledger)
    assert city_hall.todoke("backup", "--to", to) == 5
    assert city_hall.todoke("migrate") in {0, 5}
    assert not list(tmp_path.glob("backup*"))


def on_a_full_disk(*words):
    return subprocess.run(
        [sys.executable, "-m", "dispatcher", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )


def test_with_a_full_disk_there_is_no_backup_and_no_half_of_one(quiet):
    quiet.backup.unlink()
    done = on_a_full_disk("backup", "--site", quiet.file, "--to", quiet.backup)
    assert done.returncode in {1, 5}
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
    assert not [path for path in quiet.folder.iterdir() if "backup" in path.name]


def test_with_a_full_disk_nothing_is_replaced_by_half_of_a_backup(quiet):
    before = everything_in(quiet.folder)
    done = on_a_full_disk("restore", quiet.backup, "--site", quiet.file, "--replace")
    assert done.returncode in {1, 5}
    assert "Traceback" not in done.stderr
    assert everything_in(quiet.folder) == before


@pytest.mark.postgres
async def test_a_dump_that_breaks_off_half_way_leaves_the_database_as_it_was(city_hall, postgres):
    city_hall.change(ledger=postgres.database())
    async with city_hall.up() as running:
        first = await issued(running)
    backup = city_hall.folder / "backup.tar"
    assert await city_hall.beside("backup", "--to", str(backup)) == 0

    def damaged(data):
        return data[:-4000] + bytes(byte ^ 0x55 for byte in data[-4000:])

    def change(name, data):
        if name == "manifest.json":
            values = json.loads(data)
            for member in values["members"]:
                if member["name"] == "ledger.pgdump":
                    with tarfile.open(backup) as tar:
                        dump = damaged(tar.extractfile("ledger.pgdump").read())
                    member["sha256"] = hashlib.sha256(dump).hexdigest()
            data = json.dumps(values).encode()
        yield name, damaged(data) if name == "ledger.pgdump" else data

    assert await city_hall.beside("restore", str(rewritten(backup, change)), "--replace") == 5
    async with city_hall.up() as running:
        assert [alert.identifier for alert in await running.ledger.alerts()] == [first]
        assert await running.ledger.verify() == []
        await issued(running)


@pytest.mark.parametrize("data", [b"", b"\0" * 10_240, b"not a tar" * 1000, os.urandom(20_000)])
async def test_what_is_no_archive_is_refused(quiet, tmp_path, data):
    (tmp_path / "forged.tar").write_bytes(data)
    assert await quiet.beside("restore", str(tmp_path / "forged.tar"), "--replace") == 5


async def test_a_link_in_an_archive_leads_nowhere(quiet, tmp_path):
    forged = tmp_path / "forged.tar"
    with tarfile.open(quiet.backup) as old, tarfile.open(forged, "w") as new:
        for entry in old:
            if entry.name == "ledger.db":
                entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, "/etc/passwd", 0
            new.addfile(entry, None if entry.size == 0 else old.extractfile(entry))
    assert await quiet.beside("restore", str(forged), "--replace") == 5
