"""`todoke doctor`: everything that keeps a message from going out, looked at before it has to go out.

One line for each thing: how it is, what was seen, what to do. Nothing is changed and nothing is sent to residents. A site
file that cannot be used is itself a finding, and the machine below it is examined all the same.

Source: issue "Operators".
"""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from config.operators import Operators
from config.site import Site
from dispatcher.clock import SystemClock
from dispatcher.errors import ConfigError
from dispatcher.operators.command import DONE, PARTLY, answering, command, shown, site_of
from dispatcher.operators.doctor import keys, machine, node, people
from dispatcher.operators.doctor.clocks import clocks
from dispatcher.operators.doctor.finding import Finding, State, broken
from dispatcher.operators.kept import Head, head_of

__all__ = ["add"]


def add(commands: Any) -> None:
    parser = command(
        commands,
        "doctor",
        _doctor,
        "節点と機械を調べる (examine node and machine: clock, disk, ports, fonts, keys, ledger, channels)",
        "todoke doctor --site site.yaml --token-file my.token",
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="your own token, to ask the running node's channels"
    )
    answering(parser)


def _doctor(args: argparse.Namespace) -> int:
    try:
        findings = asyncio.run(_of_site(site_of(args), args.token_file))
    except ConfigError as error:
        wrong = [
            broken(f"設定 {p.file}:{p.line} {p.path}", p.reason, "直してください (mend it)") for p in error.problems
        ]
        head, _ = head_of(args.site)
        findings = [*wrong, *asyncio.run(_of_head(head))]
    shown(args, {"findings": [finding.as_json() for finding in findings]}, [finding.line() for finding in findings])
    return DONE if all(finding.state is State.GOOD for finding in findings) else PARTLY


async def _of_site(site: Site, token_file: Path | None) -> Sequence[Finding]:
    clock = SystemClock()
    is_up, pid = await node.is_running(site.dsn, site.node)
    return [
        *await clocks(site.operators, site.dsn, clock),
        node.state(site.state_dir),
        *machine.disks(site.state_dir, site.dsn, site.operators),
        await node.ledger(site.dsn),
        *machine.ports(site, is_running=is_up, pid=pid),
        *machine.fonts(site),
        *keys.permissions(site),
        keys.seal(site),
        *keys.ends(site, clock.now()),
        *await people.rosters(site),
        *await people.seals(site),
        *people.facilities(site, clock.now()),
        *people.doubts(site),
        *await asyncio.to_thread(node.channels, site, token_file, is_up=is_up),
    ]


async def _of_head(head: Head) -> Sequence[Finding]:
    """What can be examined where only the node's own part of the site file can be read."""
    return [
        node.state(head.state_dir),
        *machine.disks(head.state_dir, head.dsn, Operators()),
        await node.ledger(head.dsn),
    ]
