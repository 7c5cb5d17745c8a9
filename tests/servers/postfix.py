"""A private Postfix for the tests: Debian's own binaries, a port, a queue and a configuration of its own; and its two measuring tools.

master wants root, and gives its parts to `postfix` and `nobody` itself. What is delivered goes into a maildir, or nowhere. Port 25 and
the machine's own Postfix are not touched; it is stopped by its process id.

Source: postconf(5), master(5), virtual(8), smtp-sink(1), smtp-source(1).
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from drills.world.ports import free_port

WITHIN_S = 30.0
MASTER = "/usr/lib/postfix/sbin/master"

_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
myhostname = relay.example.jp
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = check_recipient_access inline:{{ {{refused@example.jp = 550 5.1.1 nobody of that name}} }}, permit_mynetworks, reject
smtpd_client_connection_rate_limit = 0
default_transport = {transport}
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
maillog_file =
"""
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
smtp unix - - n - - smtp
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
"""


@dataclass(frozen=True, slots=True)
class Postfix:
    port: int
    folder: Path

    @property
    def maildir(self) -> list[Path]:
        """What was delivered, oldest first."""
        return sorted((self.folder / "mail" / "box" / "new").glob("*"), key=lambda p: p.stat().st_mtime_ns)


@contextmanager
def postfix(domains: str = "example.jp", transport: str = "discard") -> Iterator[Postfix]:
    """Inside, a relay that takes mail for anybody from loopback and keeps what is for `domains`; `transport`: where the rest goes."""
    folder, port = Path(tempfile.mkdtemp(prefix="todoke-postfix-")), free_port()
    folder.chmod(0o755)
    try:
        nobody = pwd.getpwnam("nobody")
        for name, owner in (("conf", "root"), ("queue", "root"), ("data", "postfix"), ("mail", "nobody")):
            (folder / name).mkdir()
            shutil.chown(folder / name, owner)
        settings = {
            "folder": folder,
            "domains": domains,
            "transport": transport,
            "uid": nobody.pw_uid,
            "gid": nobody.pw_gid,
        }
        (folder / "conf" / "main.cf").write_text(_MAIN.format(**settings))
        (folder / "conf" / "master.cf").write_text(_MASTER.format(port=port))
        _queues(folder / "queue")
        master = subprocess.Popen(
            [MASTER, "-c", str(folder / "conf"), "-d"],
            env={**os.environ, "MAIL_CONFIG": str(folder / "conf")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _until_listening(port, master)
            yield Postfix(port, folder)
        finally:
            master.send_signal(signal.SIGTERM)
            master.wait(WITHIN_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def sink() -> Iterator[int]:
    """Inside, Postfix's own receiver that keeps nothing; gives its port."""
    port = free_port()
    process = subprocess.Popen(
        ["smtp-sink", "-u", "nobody", f"127.0.0.1:{port}", "1000"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _until_listening(port, process)
        yield port
    finally:
        process.kill()
        process.wait()


def source(port: int, mails: int, size: int, sessions: int = 10) -> float:
    """Mails a second of Postfix's own sender."""
    began_s = time.perf_counter()
    subprocess.run(
        [
            "smtp-source",
            "-s",
            str(sessions),
            "-m",
            str(mails),
            "-l",
            str(size),
            "-f",
            "a@example.jp",
            "-t",
            "b@example.com",
            f"127.0.0.1:{port}",
        ],
        check=True,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=120,
    )
    return mails / (time.perf_counter() - began_s)


def _queues(queue: Path) -> None:
    """As `postfix check` would make them."""
    for name, mode in {
        **dict.fromkeys(
            (
                "active",
                "bounce",
                "corrupt",
                "defer",
                "deferred",
                "flush",
                "hold",
                "incoming",
                "saved",
                "trace",
                "private",
            ),
            0o700,
        ),
        "maildrop": 0o730,
        "public": 0o710,
        "pid": 0o755,
    }.items():
        path = queue / name
        path.mkdir()
        path.chmod(mode)
        shutil.chown(
            path, "root" if name == "pid" else "postfix", "postdrop" if name in {"maildrop", "public"} else None
        )


def _until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + WITHIN_S
    while process.poll() is None and time.monotonic() < until_s:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0 and probe.recv(3) == b"220":
                return
    raise RuntimeError(f"nobody answers on port {port}, exit code {process.poll()}")
