"""What the doctor sees on a machine where something is wrong, and what it says to do; each fault is a real one."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from aiohttp import web

from dispatcher.clock import SystemClock
from dispatcher.ledgers.audit import verify_ends
from dispatcher.ledgers.beside import look
from dispatcher.listening import listening
from dispatcher.operators.doctor.machine import filesystem_of, owner_of
from drills.world.ports import free_port
from multicast.keys import RootKey, SenderKey
from tests.dispatcher.operators.test_sntp import answer, serving
from tests.servers.inside import issued


async def examined(city_hall, capsys, *words):
    """Exit code, and each finding by what it is about."""
    capsys.readouterr()
    code = await city_hall.beside("doctor", "-o", "json", *words)
    return code, {f["what"]: f for f in json.loads(capsys.readouterr().out)["findings"]}


def about(findings, word):
    found = [finding for what, finding in findings.items() if word in what]
    assert found, f"{word} in {list(findings)}"
    return found[0]


@pytest.fixture
def token(city_hall, tmp_path):
    (tmp_path / "my.token").write_text(city_hall.tokens["職員0001"])
    return str(tmp_path / "my.token")


async def test_a_sound_node_has_nothing_to_mend(city_hall, tmp_path, token, capsys):
    clock = SystemClock()
    async with serving(lambda q: [answer(q, clock.now().timestamp())]) as (address, _):
        (tmp_path / "accounts").touch(0o600)
        (tmp_path / "accounts").write_text("0" * 44)
        operators = {"ntp": [address], "peers": [city_hall.url], "least_free": "1 MB"}
        city_hall.change(operators=operators, accounts_key={"file": str(tmp_path / "accounts")})
        async with city_hall.up() as node:
            await issued(node)
            code, findings = await examined(city_hall, capsys, "--token-file", token)
            assert [f for f in findings.values() if f["state"] != "good"] == []
            assert code == 0
            assert about(findings, "channel ウェブサイト")["words"].startswith(city_hall.url)
            assert "audited: all" in about(findings, "台帳 ledger")["words"]
            assert str(os.getpid()) in about(findings, "residents.listen")["words"]
            assert await city_hall.beside("doctor", "--token-file", token) == 0
            lines = capsys.readouterr().out.splitlines()
            assert all(line.startswith("● 良好") for line in lines)


async def test_before_the_first_start_it_says_what_there_will_be_and_that_nobody_could_be_asked(city_hall, capsys):
    code, findings = await examined(city_hall, capsys)
    assert code == 4
    assert "stand in clear" in about(findings, "accounts_key")["words"]
    assert about(findings, "台帳 ledger")["state"] == "good"
    assert about(findings, "residents.listen")["words"] == "空いています (free)"
    assert about(findings, "channels")["state"] == "mend"


async def test_a_clock_that_is_off_is_broken_and_a_server_that_is_silent_is_to_be_mended(city_hall, capsys):
    clock = SystemClock()
    gone = f"127.0.0.1:{free_port()}"
    async with serving(lambda q: [answer(q, clock.now().timestamp() + 10)]) as (address, _):
        city_hall.change(operators={"ntp": [address, gone]})
        _, findings = await examined(city_hall, capsys)
    assert about(findings, address)["state"] == "broken"
    assert "behind" in about(findings, address)["words"]
    assert "chrony" in about(findings, address)["to_do"]
    assert about(findings, gone)["state"] == "mend"


async def test_a_peer_whose_clock_differs_is_seen_by_its_answers(city_hall, capsys):
    async def head(_request):
        said = time.time() - 60
        return web.Response(headers={"Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(said))})

    peer = web.Application()
    peer.router.add_route("*", "/", head)
    async with listening(peer, "127.0.0.1", 0) as (host, port):
        gone = f"http://127.0.0.1:{free_port()}"
        city_hall.change(operators={"peers": [f"http://{host}:{port}", gone]})
        _, findings = await examined(city_hall, capsys)
    assert about(findings, str(port))["state"] == "broken"
    assert "ahead" in about(findings, str(port))["words"]
    assert about(findings, gone)["state"] == "mend"


async def test_an_address_that_somebody_else_has_is_named_with_its_holder(city_hall, capsys):
    port = int(city_hall.door.rpartition(":")[2])
    holding = f"import socket; s = socket.create_server(('127.0.0.1', {port})); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        _, findings = await examined(city_hall, capsys)
        other.communicate(b"\n")
    assert about(findings, "control.listen")["state"] == "broken"
    assert str(other.pid) in about(findings, "control.listen")["words"]
    assert owner_of(port) is None


async def test_an_address_of_another_machine_cannot_be_listened_at(city_hall, capsys):
    city_hall.change(residents={"listen": "192.0.2.1:8180", "url": city_hall.url})
    _, findings = await examined(city_hall, capsys)
    assert about(findings, "residents.listen")["state"] == "broken"


async def test_a_full_disk_is_broken(city_hall, capsys):
    city_hall.change(operators={"least_free": "900000 GB"})
    _, findings = await examined(city_hall, capsys)
    assert about(findings, "ディスク disk")["state"] == "broken"


def test_the_filesystem_of_a_folder_is_that_of_the_nearest_mount(tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(
        "1 0 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n"
        f"2 1 0:40 / {tmp_path}/a\\040share rw - nfs4 server:/x rw\n"
        "3 1 0:41 / /elsewhere rw - tmpfs tmpfs rw\n"
    )
    assert filesystem_of(tmp_path / "a share" / "state", table) == "nfs4"
    assert filesystem_of(tmp_path, table) == "ext4"


async def test_secrets_that_others_may_read_are_named_with_the_command_that_helps(city_hall, tmp_path, capsys):
    async with city_hall.up():
        pass
    ledger = tmp_path / "state" / "todoke.db"
    _, findings = await examined(city_hall, capsys)
    assert about(findings, "permissions")["state"] == "good", "a new ledger is for the node alone"
    ledger.chmod(0o640)
    _, findings = await examined(city_hall, capsys)
    assert about(findings, "permissions ledger") == {
        "what": "権限 permissions ledger",
        "state": "mend",
        "words": f"{ledger} をほかの利用者が読めます (others may read it: 640)",
        "to_do": f"chmod 600 {ledger}",
    }


def station_key(folder, days):
    key = folder / "multicast-key"
    for old in (key, folder / "multicast-key.pub"):
        old.unlink(missing_ok=True)
    SenderKey.generate("Exercise", RootKey.generate(), now_s=time.time(), days=days).save(key)
    return key


@pytest.mark.parametrize(("days", "state"), [(30, "good"), (3, "mend"), (-1, "broken")])
async def test_a_senders_key_that_ends_soon_or_has_ended_is_said_in_time(city_hall, tmp_path, days, state, capsys):
    (tmp_path / "station").write_text("0123456789abcdef")
    (tmp_path / "station").chmod(0o600)
    place = {"name": "mitaka", "interface": "127.0.0.1", "secret": {"file": "station"}}
    wifi = {"key": str(station_key(tmp_path, days)), "reports": f"127.0.0.1:{free_port()}", "stations": [place]}
    city_hall.change(channels={"wifi_multicast": wifi})
    _, findings = await examined(city_hall, capsys)
    assert about(findings, "wifi_multicast.key")["state"] == state


@pytest.mark.parametrize(("days", "state"), [(90, "good"), (3, "mend"), (-1, "broken")])
async def test_a_certificate_that_ends_soon_or_has_ended_is_said_in_time(city_hall, tmp_path, days, state, capsys):
    at = datetime.now(UTC)  # noqa: TID251 - a certificate is of the world's time
    issued_cert = trustme.CA().issue_cert(
        "127.0.0.1", not_before=at - timedelta(days=30), not_after=at + timedelta(days=days)
    )
    issued_cert.cert_chain_pems[0].write_to_path(tmp_path / "terminals.crt")
    issued_cert.private_key_pem.write_to_path(tmp_path / "terminals.key")
    (tmp_path / "terminals.key").chmod(0o600)
    (tmp_path / "terminals.csv").write_text("tid,name,address,quarter,groups,password_hash,mac_key\n")
    (tmp_path / "terminals.csv").chmod(0o600)
    (tmp_path / "signing").write_text("ab" * 32)
    (tmp_path / "signing").chmod(0o600)
    terminals = {
        "listen": f"127.0.0.1:{free_port()}",
        "register": "terminals.csv",
        "signing_key": {"file": "signing"},
        "tls": {"certificate": "terminals.crt", "key": "terminals.key"},
    }
    city_hall.change(channels={"ip_terminal": terminals})
    _, findings = await examined(city_hall, capsys)
    assert about(findings, "ip_terminal.tls.certificate")["state"] == state
    assert about(findings, "permissions")["state"] == "good"


async def test_a_key_that_cannot_be_used_is_broken(city_hall, tmp_path, capsys):
    (tmp_path / "station").write_text("0123456789abcdef")
    (tmp_path / "station").chmod(0o600)
    (tmp_path / "bad").write_text("{}")
    place = {"name": "mitaka", "interface": "127.0.0.1", "secret": {"file": "station"}}
    wifi = {"key": "bad", "reports": f"127.0.0.1:{free_port()}", "stations": [place]}
    city_hall.change(channels={"wifi_multicast": wifi})
    code, findings = await examined(city_hall, capsys)
    assert code == 4
    assert any(f["state"] == "broken" and "todoke-sender-key" in f["words"] for f in findings.values())


async def test_a_ledger_that_was_altered_is_broken_even_if_only_its_end_is_looked_at(city_hall, tmp_path, capsys):
    async with city_hall.up() as node:
        await issued(node)
    dsn = f"sqlite:///{tmp_path / 'state' / 'todoke.db'}"
    assert await look(dsn, lambda connection: verify_ends(connection, 4)) == []
    with closing(sqlite3.connect(tmp_path / "state" / "todoke.db")) as ledger, ledger:
        ledger.execute("UPDATE events SET at = '2020' WHERE sequence = (SELECT max(sequence) - 1 FROM events)")
    _, findings = await examined(city_hall, capsys)
    assert about(findings, "台帳 ledger")["state"] == "broken"
    assert any("altered" in line for line in await look(dsn, lambda connection: verify_ends(connection, 4)))
    with closing(sqlite3.connect(tmp_path / "state" / "todoke.db")) as ledger, ledger:
        ledger.execute("DELETE FROM events WHERE sequence = (SELECT max(sequence) FROM events)")
    assert any("left at another" in line for line in await look(dsn, lambda connection: verify_ends(connection, 4)))


async def test_a_ledger_that_is_none_is_broken(city_hall, tmp_path, capsys):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "todoke.db").write_bytes(os.urandom(8192))
    code, findings = await examined(city_hall, capsys)
    assert code == 4
    assert about(findings, "台帳 ledger")["state"] == "broken"
    assert "restore" in about(findings, "台帳 ledger")["to_do"]


async def test_a_site_file_that_cannot_be_used_is_a_finding_and_the_machine_is_examined_all_the_same(city_hall, capsys):
    city_hall.file.write_text(city_hall.file.read_text("utf-8").replace("city: mitaka", "city: atlantis"), "utf-8")
    code, findings = await examined(city_hall, capsys)
    assert code == 4
    assert "atlantis" in about(findings, " city")["words"]
    assert about(findings, "ディスク disk")
    assert about(findings, "台帳 ledger")


async def test_without_a_token_the_running_node_is_not_asked_and_that_is_said(city_hall, monkeypatch, capsys):
    monkeypatch.delenv("TODOKE_TOKEN", raising=False)
    monkeypatch.delenv("TODOKE_TOKEN_FILE", raising=False)
    async with city_hall.up():
        _, findings = await examined(city_hall, capsys)
    assert about(findings, "channels")["state"] == "mend"
    assert "--token-file" in about(findings, "channels")["to_do"]


@pytest.mark.postgres
async def test_a_database_that_is_away_is_broken_and_one_that_is_there_has_its_clock_compared(
    city_hall, postgres, capsys
):
    city_hall.change(ledger=postgres.database())
    async with city_hall.up():
        _, findings = await examined(city_hall, capsys)
        assert about(findings, "台帳 ledger")["state"] == "good"
        assert about(findings, "clock PostgreSQL")["state"] == "good"
    city_hall.change(ledger=f"postgresql://postgres@127.0.0.1:{free_port()}/none")
    _, findings = await examined(city_hall, capsys)
    assert about(findings, "台帳 ledger")["state"] == "broken"
