"""`todoke migrate`: what the next start would change in the ledger, as SQL; or that change now, without a node.

A node migrates by itself when it starts. This is for whoever wants to read it first, or to do it at a quiet hour.

Source: dispatcher/ledgers/migrations.py.
"""

import argparse
import asyncio
from typing import Any

from dispatcher.clock import SystemClock
from dispatcher.ledgers import open_ledger
from dispatcher.ledgers.beside import look
from dispatcher.ledgers.copying import engine_of
from dispatcher.ledgers.migrations import due, version_of
from dispatcher.ledgers.schema import VERSION
from dispatcher.model.mode import MODES
from dispatcher.operators.command import DONE, answering, command, shown, site_of


def add(commands: Any) -> None:
    parser = command(
        commands,
        "migrate",
        _migrate,
        "台帳を今の版にする (bring the ledger to this program's version)",
        "todoke migrate --site site.yaml --dry-run",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the SQL and change nothing")
    answering(parser)


def _migrate(args: argparse.Namespace) -> int:
    site = site_of(args)
    before = asyncio.run(look(site.dsn, version_of))
    if before is None:
        shown(args, {"before": None, "now": None, "steps": []}, ["-- 台帳はまだありません (there is no ledger yet)"])
        return DONE
    steps = due(before)
    sql = {step.to: step.sql(engine_of(site.dsn)) for step in steps}
    lines = [f"-- {step.to}: {step.about}\n" + ";\n".join(sql[step.to]) + ";" for step in steps]
    if not args.dry_run:
        asyncio.run(_open(site.dsn, site.mode, site.node))
    head = f"-- 台帳は版 {before}、プログラムは版 {VERSION} (the ledger's version, the program's)"
    done = "-- 何も変えていません (nothing was changed)" if args.dry_run or not steps else "-- 済みました (done)"
    answer = {
        "before": before,
        "now": before if args.dry_run else int(VERSION),
        "steps": [{"to": step.to, "about": step.about, "statements": sql[step.to]} for step in steps],
    }
    shown(args, answer, [head, *lines, done])
    return DONE


async def _open(dsn: str, mode: str, node: str) -> None:
    """Opening is what migrates. Raises Standby where a node is running, ConfigError where the ledger is not for us."""
    async with open_ledger(dsn, mode=MODES[mode], node=node, clock=SystemClock()):
        pass
