"""A private PostgreSQL for the tests: Debian's own binaries, an unprivileged user, a port and a folder of its own.

Durable as in earnest: `fsync` and `synchronous_commit` stay on, because the tests and the bench are about what survives.

Source: PostgreSQL 15 "initdb", "postgres"; facts.md ("PostgreSQL refuses root").
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dispatcher.clock import SystemClock

USER = "postgres"
"""Made by Debian's package. Nothing of the machine's own cluster is touched."""


def binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3]))
    if not found:
        raise FileNotFoundError("no PostgreSQL under /usr/lib/postgresql: apt-get install postgresql")
    return found[-1].parent


@dataclass
class Postgres:
    """One server; `start` and `kill` may be called as often as a test likes, the data stay."""

    folder: Path
    port: int
    _process: subprocess.Popen[bytes] | None = None
    _names: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))

    def dsn(self, database: str = "postgres", *, also: str = "") -> str:
        """`also` is another host of a multi-host DSN, tried first."""
        return f"postgresql://{USER}@{also and also + ','}127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        command = [
            str(binaries() / "postgres"),
            *("-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "max_connections=60", "-c", "shared_buffers=64MB"),
            *("-c", "logging_collector=off", "-c", "log_min_messages=fatal", "-c", "autovacuum_naptime=5s"),
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **_unprivileged())
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        clock = SystemClock()
        until = clock.monotonic() + 30
        check = [str(binaries() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(check, check=False).returncode:
            if self._process is None or self._process.poll() is not None or clock.monotonic() > until:
                raise RuntimeError((self.folder / "log").read_text(errors="replace"))

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT is PostgreSQL's "fast" shutdown, SIGQUIT its "immediate" one: a crash, with recovery at the next start."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def database(self, tablespace: Path | None = None) -> str:
        """A new, empty database, on a disk of its own if `tablespace` says so; returns its DSN."""
        name = f"todoke{next(self._names)}"
        if tablespace is None:
            self.psql(f"CREATE DATABASE {name}")
        else:
            self.psql(f"CREATE TABLESPACE {name} LOCATION '{tablespace}'")
            self.psql(f"CREATE DATABASE {name} TABLESPACE {name}")
        return self.dsn(name)

    def drop(self, name: str) -> None:
        """A database with a tablespace of its own."""
        self.psql(f"DROP DATABASE {name} WITH (FORCE)")
        self.psql(f"DROP TABLESPACE {name}")

    def psql(self, statement: str, database: str = "postgres") -> str:
        return subprocess.run(
            [str(binaries() / "psql"), "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", self.dsn(database), "-c", statement],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()


@contextmanager
def running() -> Iterator[Postgres]:
    """A new cluster, gone afterwards with its folder."""
    folder = Path(tempfile.mkdtemp(prefix="todoke-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    try:
        subprocess.run(
            [
                *(str(binaries() / "initdb"), "-D", str(folder / "data"), "-U", USER, "-A", "trust"),
                *("-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"),
            ],
            check=True,
            capture_output=True,
            cwd=folder,
            **_unprivileged(),
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = Postgres(folder, port)
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> dict[str, object]:
    return {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for a whole run; each test takes a `database()` of its own (tests/conftest.py)."""
    with running() as server:
        yield server
