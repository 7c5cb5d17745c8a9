"""`todoke restore`: a backup becomes a ledger and its files again, after everything in it has been verified.

Nothing is touched before the archive, the audit of its ledger and the place where all of it goes have been checked; what stands
in the way is refused, or with `--replace` kept beside under the moment's name. Where a file goes is said by the site file of the
operator, never by the archive: a forged backup can fill the node's own places and no others.

The restored chain ends where the backup was made, so the first event after it says what it was restored from.

Source: issue "Operators"; dispatcher/ledgers/copying.py.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dispatcher.clock import SystemClock
from dispatcher.errors import Refused, Standby
from dispatcher.ledger import Event
from dispatcher.ledgers import open_ledger
from dispatcher.ledgers.beside import file_of, holder, living, look
from dispatcher.ledgers.copying import Facts, check, engine_of, facts_of
from dispatcher.ledgers.migrations import unknown, version_of
from dispatcher.ledgers.schema import alerts
from dispatcher.model.mode import MODES
from dispatcher.operators.archive import Manifest, unpack
from dispatcher.operators.backup import LEDGER
from dispatcher.operators.command import DONE, answering, command, shown
from dispatcher.operators.kept import Head, head_of
from dispatcher.operators.placing import Placing, in_the_way, place, placings_of
from dispatcher.staff.cli import say


def add(commands: Any) -> None:
    parser = command(
        commands,
        "restore",
        _restore,
        "控えから台帳とファイルを戻す (restore a backup; the node must be stopped)",
        "tar -xf todoke-20261121.tar site.yaml && todoke restore todoke-20261121.tar --site site.yaml",
    )
    parser.add_argument("file", type=Path, metavar="FILE.tar")
    parser.add_argument("--replace", action="store_true", help="what stands there is kept beside, not lost")
    answering(parser)


def _restore(args: argparse.Namespace) -> int:
    head, texts = head_of(args.site)
    stamp = f"{SystemClock().now():%Y%m%dt%H%M%S}"
    head.state_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".todoke-restore-", dir=head.state_dir) as folder:
        say.complain("控えを確かめています (verifying the backup)")
        manifest, files = unpack(args.file, Path(folder))
        _belongs(manifest, head)
        asyncio.run(_whole(manifest, files))
        placings = placings_of(files, head, texts)
        asyncio.run(_free(head, placings, replace=args.replace))
        say.complain("戻しています (restoring)")
        before = asyncio.run(_issued(head.dsn))
        aside = asyncio.run(place(head, files[LEDGER[manifest.engine]], placings, stamp))
    say.complain("台帳を確かめています (auditing the ledger)")
    try:
        since, unreadable = asyncio.run(_witness(head, manifest, args.file, before))
    except Refused:
        say.complain(f"前のものはここに残っています (what stood here before is kept): {', '.join(aside) or '-'}")
        raise
    lines = [
        f"● {manifest.made_at} の控えを戻しました (restored)",
        *(f"  前のもの (kept beside): {path}" for path in aside),
    ]
    if manifest.open_deliveries:
        lines.append(
            f"▲ 控えのときに終わっていなかった配信が {manifest.open_deliveries} 件あります。節点を動かすと、期限前のものは続きを"
            "送ります。控えのあとに送れたものは二度届くことがあります (open deliveries go on; some may be said twice)"
        )
    if since:
        lines.append(
            "▲ 控えのあとに出したものが台帳にありません。媒体には出たままです (published since the backup, unknown to the "
            f"restored ledger): {', '.join(since)}"
        )
    if unreadable:
        lines.append(
            "▲ 次の安否確認は、だれに尋ねたかも答えも、もう読めません。鍵はどの控えにもありません。続くなら尋ね直してください "
            f"(their keys are in no backup: nobody reads whom they asked and what was said; ask anew): {', '.join(unreadable)}"
        )
    lines += [f"▲ 控えに入っていません (not in the backup): {name}" for name in manifest.left_out]
    shown(
        args,
        {
            "made_at": manifest.made_at,
            "kept_beside": aside,
            "open_deliveries": manifest.open_deliveries,
            "published_since": since,
            "unreadable_campaigns": unreadable,
        },
        lines,
    )
    return DONE


def _belongs(manifest: Manifest, head: Head) -> None:
    """Is this backup for that node, and for this program?"""
    wrong = [reason] if (reason := unknown(manifest.schema)) else []
    if manifest.mode != head.mode:
        wrong.append(f"控えは {manifest.mode}、サイトは {head.mode} です (a backup of the other mode)")
    if manifest.engine != engine_of(head.dsn):
        wrong.append(f"控えは {manifest.engine}、サイトの台帳は {engine_of(head.dsn)} です (another engine)")
    if wrong:
        raise Refused("\n".join(wrong))


async def _whole(manifest: Manifest, files: Mapping[str, Path]) -> None:
    copy = files.get(LEDGER[manifest.engine])
    if copy is None:
        raise Refused(f"控えに {LEDGER[manifest.engine]} がありません (no ledger in the backup)")
    facts = await check("sqlite" if manifest.engine == "sqlite" else "postgresql", copy)
    if facts is not None:
        _as_it_was(manifest, facts)


def _as_it_was(manifest: Manifest, facts: Facts) -> None:
    wrong = list(facts.wrong)
    if {node: tuple(end) for node, end in manifest.chains.items()} != dict(facts.chains):
        wrong.append("記録の鎖が目録と違います (the chains do not end where the manifest says)")
    if wrong:
        raise Refused("台帳に誤りがあります (the ledger is damaged)\n" + "\n".join(wrong[:50]))


async def _free(head: Head, placings: list[Placing], *, replace: bool) -> None:
    """Is there room for all of it, or may it be made?

    Raises:
        Standby: a node is running on this ledger.
        Refused: something stands there, and `replace` was not said; all of it is named.
    """
    file = file_of(head.dsn)
    if file is not None:
        if who := holder(file):
            raise Standby(f"{file} は使われています (in use): {who}。節点を止めてください (stop the node)")
        taken = [str(file)] if file.exists() else []
    else:
        if names := await look(head.dsn, living):
            raise Standby(f"台帳は使われています (in use): {', '.join(names)}。節点を止めてください (stop the node)")
        taken = ["postgresql"] if await look(head.dsn, _is_there) else []
    taken += in_the_way(placings)
    if taken and not replace:
        raise Refused(
            "すでにあります。--replace を付けると、今のものを隣に残して戻します (exists; --replace keeps it beside)\n"
            + "\n".join(taken[:50])
        )


def _is_there(connection: Any) -> bool:
    return version_of(connection) is not None


async def _witness(head: Head, manifest: Manifest, file: Path, before: AbstractSet[str]) -> tuple[list[str], list[str]]:
    """The ledger is what the manifest says, and its next event says where it came from.

    Returns the alerts of the ledger that stood here `before` and that this one does not know, and the campaigns without a key.
    """
    _as_it_was(manifest, await look(head.dsn, facts_of))
    facts = {"made_at": manifest.made_at, "node": manifest.node, "file": file.name}
    async with open_ledger(head.dsn, mode=MODES[head.mode], node=head.node, clock=SystemClock()) as ledger:
        await ledger.append(Event("ledger.restored", "", facts))
        if wrong := await ledger.verify():
            raise Refused("\n".join(wrong[:50]))
        since = sorted(before - {alert.identifier for alert in await ledger.alerts()})
        return since, sorted(campaign.id for campaign in await ledger.campaigns.all() if not campaign.is_destroyed)


async def _issued(dsn: str) -> AbstractSet[str]:
    """The alerts of the ledger that stands here now; none if there is none, or if it is too damaged to say."""
    try:
        return await look(
            dsn, lambda connection: frozenset(connection.execute(sa.select(alerts.c.identifier)).scalars())
        )
    except Refused:
        return frozenset()
