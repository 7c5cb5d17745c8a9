"""`todoke user` at the machine: the first two people of a new node, through the real program and a real terminal."""

import asyncio
import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
from contextlib import contextmanager

import pyotp
import pytest
import structlog

from dispatcher.__main__ import main
from dispatcher.clock import SystemClock
from dispatcher.ledgers import open_ledger
from dispatcher.model.mode import Drill
from dispatcher.staff.accounts import Accounts
from dispatcher.staff.accounts.qr import as_svg, in_terminal
from tests.accounts import ADMIN_1, ADMIN_2, HALL, PASSWORD
from tests.servers.console import APPROVER, WRITER, console
from tests.servers.console import PASSWORD as CONSOLE_PASSWORD

SITE = """\
mode: drill
node: hq
state_dir: state
city: mitaka
residents: {{listen: "127.0.0.1:{port}", url: "http://127.0.0.1:{port}"}}
control: {{listen: "127.0.0.1:{staff}"}}
staff:
  - {{name: 当直A, roles: [originator], token_hash: "{one}"}}
  - {{name: 当直B, roles: [approver], token_hash: "{two}"}}
channels:
  website: {{folder: state/site, url: "http://127.0.0.1:{port}"}}
"""


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(SITE.format(port=9, staff=10, one="1" * 64, two="2" * 64), "utf-8")
    (tmp_path / "password").write_text(PASSWORD + "\n", "utf-8")
    return path


@pytest.fixture
def todoke(capsys, monkeypatch):
    """The program's own entry, without a terminal; what it said, as a finished process."""

    def run(*arguments):
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        capsys.readouterr()
        code = main(["user", *map(str, arguments)])
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    yield run
    structlog.reset_defaults()


def founded(todoke, site, name, *more):
    return todoke("add", name, "--role", "admin", "--role", "approver", "--site", site, *more)


def test_the_first_two_are_added_at_the_machine_and_sign_in(todoke, site, tmp_path):
    shown = founded(todoke, site, ADMIN_1, "--password-file", tmp_path / "password", "-o", "json")
    assert shown.returncode == 0, shown.stderr
    given = json.loads(shown.stdout)
    assert given["name"] == ADMIN_1
    assert len(set(given["recovery_codes"])) == 10
    second = founded(todoke, site, ADMIN_2, "--password-file", tmp_path / "password")
    assert second.returncode == 0, second.stderr
    assert "otpauth://totp/" in second.stdout
    assert second.stdout.count("█") > 100, "a QR code to scan"
    third = founded(todoke, site, "職員0003", "--password-file", tmp_path / "password")
    assert third.returncode == 5
    assert "管理者が2人います" in third.stderr
    listed = todoke("list", "--site", site, "-o", "json")
    assert [(p["name"], p["state"], p["has_app"]) for p in json.loads(listed.stdout)["people"]] == [
        (ADMIN_1, "active", True),
        (ADMIN_2, "active", True),
    ]
    asyncio.run(_signs_in(f"sqlite:///{tmp_path / 'state' / 'todoke.db'}", pyotp.parse_uri(given["otpauth"])))


async def _signs_in(dsn, app):
    clock = SystemClock()
    async with open_ledger(dsn, mode=Drill, node="hq", clock=clock) as ledger:
        session = await Accounts(ledger, clock, "drill").sign_in(ADMIN_1, PASSWORD, app.at(clock.now()), HALL, "")
        assert session.person.roles == ("admin", "approver")
        assert await ledger.verify() == []


def test_beside_a_running_node_the_machine_is_not_the_way(todoke, site, tmp_path):
    with holding(tmp_path / "state"):
        refused = todoke("list", "--site", site)
    assert refused.returncode == 6
    assert "leave --site out" in refused.stderr


@contextmanager
def holding(folder):
    """A ledger that another node has open."""
    folder.mkdir()
    held, done = threading.Event(), threading.Event()

    async def hold():
        async with open_ledger(f"sqlite:///{folder / 'todoke.db'}", mode=Drill, node="annex", clock=SystemClock()):
            held.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(hold()))
    thread.start()
    assert held.wait(30)
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_way_back_at_the_machine(todoke, site, tmp_path):
    founded(todoke, site, ADMIN_1, "--password-file", tmp_path / "password")
    again = todoke("totp", ADMIN_1, "--site", site, "-o", "json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["otpauth"].startswith("otpauth://totp/Todoke")
    (tmp_path / "password").write_text("新しい合言葉は もっと長い", "utf-8")
    word = todoke("password", ADMIN_1, "--site", site, "--password-file", tmp_path / "password")
    assert (word.returncode, word.stderr) == (0, "")
    nobody = todoke("totp", "職員0099", "--site", site)
    assert nobody.returncode == 2
    assert "職員0099" in nobody.stderr


@pytest.mark.parametrize(
    ("password", "said"),
    [
        (b"short\n", "12文字"),
        (b"\xff" * 20, "codec"),
        (b"", "12文字"),
        (b"a" * 10_000_000, "256文字"),
        (None, "No such file"),
    ],
)
def test_a_bad_password_file_is_said_plainly_and_adds_nobody(todoke, site, tmp_path, password, said):
    file = tmp_path / "word"
    if password is not None:
        file.write_bytes(password)
    refused = founded(todoke, site, ADMIN_1, "--password-file", file)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
    assert json.loads(todoke("list", "--site", site, "-o", "json").stdout) == {"people": []}


def test_without_a_terminal_a_password_is_never_waited_for(todoke, site):
    refused = founded(todoke, site, ADMIN_1)
    assert refused.returncode == 2
    assert "--password-file" in refused.stderr


def test_a_password_is_typed_twice_and_never_shown(site):
    ours, theirs = pty.openpty()
    arguments = ["add", ADMIN_1, "--role", "admin", "--site", str(site)]
    command = ["setsid", "--ctty", "--wait", sys.executable, "-m", "dispatcher", "user", *arguments]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    screen = ""
    for typed in (PASSWORD, "ちがうパスワードです", PASSWORD, PASSWORD):
        screen += read_until(ours, "): ")
        os.write(ours, f"{typed}\n".encode())
    screen += read_until(ours, None)
    assert process.wait(60) == 0, screen
    os.close(ours)
    assert "the two differ" in screen
    assert PASSWORD not in screen
    assert "otpauth://" in screen


def read_until(terminal, words):
    """What the program wrote up to these words; up to its end, if None."""
    screen = b""
    while words is None or words.encode() not in screen:
        try:
            more = os.read(terminal, 4096)
        except OSError:
            break
        if not more:
            break
        screen += more
    return screen.decode("utf-8", "replace")


def test_while_the_node_runs_factors_are_not_changed_at_the_machine(todoke, monkeypatch):
    refused = todoke("totp", ADMIN_1)
    assert refused.returncode == 2
    assert "reset" in refused.stderr
    for name in ("TODOKE_TOKEN", "TODOKE_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert todoke("list").returncode == 7


def test_no_argument_takes_a_password(capsys):
    for verb in ("add", "password", "totp"):
        with pytest.raises(SystemExit):
            main(["user", verb, "--help"])
        helped = capsys.readouterr().out
        assert not re.search(r"--password(?!-file)", helped), verb
        assert "example)" in helped


async def test_through_the_running_node_one_admin_proposes_and_another_approves(todoke, tmp_path, monkeypatch):
    for name in ("TODOKE_TOKEN", "TODOKE_TOKEN_FILE", "TODOKE_NODE"):
        monkeypatch.delenv(name, raising=False)
    async with console(tmp_path) as opened:
        tokens = {}
        for name in (WRITER, APPROVER):
            session = await opened.accounts.sign_in(name, CONSOLE_PASSWORD, opened.codes[name].pop(), HALL, "")
            tokens[name] = tmp_path / f"{name}.token"
            tokens[name].write_text(await opened.accounts.own.new_token(session, "端末", ["read", "admin"], 1), "utf-8")

        async def asks(name, *words):
            return await asyncio.to_thread(
                todoke, *words, "--node", opened.url, "--token-file", tokens[name], "-o", "json"
            )

        proposed = await asks(WRITER, "add", "職員0021", "--role", "viewer")
        assert proposed.returncode == 3, proposed.stderr + proposed.stdout
        identifier = json.loads(proposed.stdout)["proposal"]["id"]
        own = await asks(WRITER, "approve", identifier)
        assert own.returncode == 5
        done = await asks(APPROVER, "approve", identifier)
        assert done.returncode == 0, done.stderr + done.stdout
        handed_over = json.loads(done.stdout)["handed_over"]
        assert (await opened.accounts.own.enrolling(handed_over)).name == "職員0021"
        listed = json.loads((await asks(WRITER, "list")).stdout)["people"]
        assert ("職員0021", "enrolling") in [(p["name"], p["state"]) for p in listed]
        proposed = json.loads((await asks(WRITER, "disable", "職員0021")).stdout)["proposal"]["id"]
        assert (await asks(APPROVER, "reject", proposed, "--reason", "まだ要ります")).returncode == 0
        states = {p["id"]: p["state"] for p in json.loads((await asks(WRITER, "proposals")).stdout)["proposals"]}
        assert states == {identifier: "done", proposed: "rejected"}


def test_a_qr_code_reads_as_what_it_says():
    uri = "otpauth://totp/Todoke:%E8%81%B7%E5%93%A10001?secret=ABC&issuer=Todoke"
    svg = as_svg(uri, title="認証アプリの設定 (authenticator set-up)")
    assert svg.startswith("<svg ")
    assert "<title>認証アプリの設定" in svg
    rows = in_terminal(uri).splitlines()
    assert 15 < len(rows) < 40
