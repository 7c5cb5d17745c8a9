"""systemd's side of the line, played by a real socket: what a real `todoke serve` says on it, and when it falls silent."""

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from dispatcher.clock import SystemClock
from dispatcher.ledger import Event
from dispatcher.ledgers import open_ledger
from dispatcher.model.mode import Drill
from dispatcher.operators.notify import Notifier, supervised

PATIENCE_S = 30


class Supervisor:
    """Receives what a service tells systemd."""

    def __init__(self, name):
        self.name = name
        self.line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.line.settimeout(PATIENCE_S)
        self.line.bind("\0" + name[1:] if name.startswith("@") else name)

    def hear(self):
        return dict(part.split("=", 1) for part in self.line.recv(4096).decode().split("\n"))

    def until(self, key, value=None):
        """Everything heard, up to what says this."""
        heard = [self.hear()]
        while key not in heard[-1] or (value is not None and value not in heard[-1][key]):
            heard.append(self.hear())
        return heard


def started(city_hall, supervisor, watchdog_s):
    return subprocess.Popen(
        [sys.executable, "-m", "dispatcher", "serve", str(city_hall.file)],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "NOTIFY_SOCKET": supervisor.name, "WATCHDOG_USEC": str(int(watchdog_s * 1e6))},
    )


def test_a_node_says_when_it_is_ready_that_it_lives_and_that_it_stops(city_hall, tmp_path):
    supervisor = Supervisor(str(tmp_path / "notify"))
    with closing(supervisor.line), started(city_hall, supervisor, 4) as node:
        try:
            (ready,) = supervisor.until("READY")
            assert ready["READY"] == "1"
            assert city_hall.url in ready["STATUS"]
            with closing(socket.create_connection(("127.0.0.1", int(city_hall.url.rpartition(":")[2])), 5)):
                supervisor.until("WATCHDOG", "1")
            node.send_signal(signal.SIGTERM)
            assert supervisor.until("STOPPING")[-1]["STOPPING"] == "1"
            assert node.wait(PATIENCE_S) == 0
        finally:
            node.kill()


def test_a_node_whose_ledger_does_not_move_says_so_and_no_longer_says_that_it_lives(city_hall, tmp_path):
    supervisor = Supervisor(str(tmp_path / "notify"))
    with closing(supervisor.line), started(city_hall, supervisor, 2) as node:
        try:
            supervisor.until("WATCHDOG")
            with closing(sqlite3.connect(tmp_path / "state" / "todoke.db", timeout=10)) as other:
                other.isolation_level = None
                other.execute("BEGIN IMMEDIATE")  # the disk, as the writer sees it, hangs
                supervisor.until("STATUS", "stands still")
                assert "WATCHDOG" not in supervisor.hear()
                other.execute("ROLLBACK")
            revived = supervisor.until("WATCHDOG")[-1]
            assert city_hall.url in revived["STATUS"]
        finally:
            node.kill()


async def test_an_abstract_socket_is_spoken_to_as_well(tmp_path):
    supervisor = Supervisor(f"@{tmp_path}")
    notifier = Notifier({"NOTIFY_SOCKET": supervisor.name, "WATCHDOG_USEC": "40000"})
    dsn = f"sqlite:///{tmp_path / 'todoke.db'}"
    with closing(supervisor.line):
        async with (
            open_ledger(dsn, mode=Drill, node="test", clock=SystemClock()) as ledger,
            supervised(ledger, SystemClock(), "up", notifier),
        ):
            assert supervisor.hear() == {"READY": "1", "STATUS": "up"}
            assert await asyncio.to_thread(supervisor.hear) == {"WATCHDOG": "1"}
        assert "STOPPING" in supervisor.until("STOPPING")[-1]


async def test_where_nobody_listens_nothing_is_said_and_nothing_fails(tmp_path):
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}, {"NOTIFY_SOCKET": "vsock:2:1"}):
        notifier = Notifier(environment | {"WATCHDOG_USEC": "20000"})
        dsn = f"sqlite:///{tmp_path / 'todoke.db'}"
        async with (
            open_ledger(dsn, mode=Drill, node="test", clock=SystemClock()) as ledger,
            supervised(ledger, SystemClock(), "up", notifier),
        ):
            await ledger.append(Event("link.tested", "", {}))


@pytest.mark.parametrize("environment", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}])
def test_a_watchdog_that_is_not_for_this_process_is_left_alone(environment):
    assert Notifier(environment).watchdog_s == 0


def test_a_status_is_one_line(tmp_path):
    supervisor = Supervisor(str(tmp_path / "notify"))
    with closing(supervisor.line):
        Notifier({"NOTIFY_SOCKET": supervisor.name}).tell(STATUS="one\nREADY=1")
        assert supervisor.hear() == {"STATUS": "one READY=1"}
