"""`todoke systemd-unit`: the unit under which a node runs, with as little of the machine as it needs.

The node may write where its site file says that it writes and nowhere else, may bind a low port only if the site file has one,
and sees no home, no device and no other process. systemd restarts it when it ends or when it no longer says that it lives
(notify.py). A node with an X account, terminals and stations speaks to any address, so the network stays open.

Source: systemd.service(5), systemd.exec(5) "Sandboxing", systemd.unit(5), systemd.syntax(7); `systemd-analyze security`.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from config.site import Site
from dispatcher.errors import Finding, InvalidInput
from dispatcher.ledgers.beside import file_of
from dispatcher.operators.command import DONE, command, site_of
from dispatcher.operators.kept import kept, listeners
from dispatcher.staff.cli import say

WATCHDOG_S = 30
"""Longer than the ten seconds for which a busy SQLite file is waited for."""
START_S = 300
"""A migration of a large ledger is part of starting."""
LOW_PORT = 1024


def add(commands: Any) -> None:
    parser = command(
        commands,
        "systemd-unit",
        _print,
        "systemd の設定を作る (print a hardened unit for this node)",
        "todoke systemd-unit --site /etc/todoke/site.yaml > /etc/systemd/system/todoke.service",
    )
    parser.add_argument("--user", default="todoke", metavar="NAME", help="whom the node runs as (default: todoke)")
    parser.add_argument("--program", type=Path, metavar="FILE", help="default: the todoke beside this Python")


def _print(args: argparse.Namespace) -> int:
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", args.user):
        reason = (
            f"{args.user!r}: 小文字・数字・- と _ の利用者名 (a system user's name: small letters, digits, - and _)"
        )
        raise InvalidInput([Finding("--user", reason)])
    program = args.program or Path(sys.executable).parent / "todoke"
    say.line(unit(site_of(args), args.site.resolve(), program.absolute(), args.user))
    return DONE


def unit(site: Site, file: Path, program: Path, user: str) -> str:
    """The unit's text."""
    needs_database = file_of(site.dsn) is None
    own = dict.fromkeys([site.state_dir, *(one.path for one in kept(site) if one.is_state)])
    low = any(port < LOW_PORT for _, _, port in listeners(site))
    lines = [
        f"# {file} の節点。作った命令: todoke systemd-unit --site {file} (made by that command; make it anew after a change)",
        "[Unit]",
        f"Description=Todoke 届け {site.node} ({site.mode})",
        f"After=network-online.target time-sync.target{' postgresql.service' if needs_database else ''}",
        "Wants=network-online.target",
        "# Restarted for ever: a node that is down says nothing to anybody.",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStartPre=+/usr/bin/install -d -m 0755 -o {user} {' '.join(_word(str(path)) for path in own)}",
        f"ExecStart={_word(str(program))} serve {_word(str(file))}",
        "Restart=always",
        "RestartSec=1",
        f"WatchdogSec={WATCHDOG_S}",
        f"TimeoutStartSec={START_S}",
        "TimeoutStopSec=30",
        f"User={user}",
        "# Web servers and cable operators read what the node writes for them; the ledger and the keys are 0600 by themselves.",
        "UMask=0022",
        f"WorkingDirectory={_path(file.parent)}",
        *(f"ReadWritePaths={_path(path)}" for path in _written(site)),
        "LimitNOFILE=65536",
        "OOMScoreAdjust=-500",
        *_SANDBOX,
        f"CapabilityBoundingSet={'CAP_NET_BIND_SERVICE' if low else ''}",
        f"AmbientCapabilities={'CAP_NET_BIND_SERVICE' if low else ''}",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines)


_SANDBOX = (
    "ProtectSystem=strict",
    "ProtectHome=read-only",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectProc=invisible",
    "ProcSubset=pid",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "NoNewPrivileges=yes",
    "RemoveIPC=yes",
    "KeyringMode=private",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
    "SystemCallErrorNumber=EPERM",
)


def _written(site: Site) -> Iterator[Path]:
    """Where the node writes: its state, what its channels fill, the ledger's folder."""
    ledger = file_of(site.dsn)
    folders = [site.state_dir, *([ledger.parent] if ledger else [])]
    folders += [one.path for one in kept(site) if one.is_state or one.is_filled]
    said: list[Path] = []
    for folder in dict.fromkeys(path.resolve() for path in folders):
        if not any(folder.is_relative_to(other) for other in said):
            said.append(folder)
            yield folder


def _path(path: Path) -> str:
    """As a path stands in a unit: `%` begins a specifier there, and the value ends at the line's end."""
    return str(path).replace("%", "%%")


def _word(text: str) -> str:
    """As one word of a command line stands in a unit."""
    text = text.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[\w@%+=:,./$-]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
