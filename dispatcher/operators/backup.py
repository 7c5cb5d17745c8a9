"""`todoke backup`: a running node's ledger, state and files in one tar that can be carried away.

The ledger is copied as of one moment and audited; what the node keeps in its folders is copied file by file, databases among them
by their own backup. Keys stay at home unless asked for: a backup travels, and whoever finds it must not be able to speak for
the city. The ledger itself holds what staff sign in with, so the file is for its owner's eyes alone in any case.

Source: issue "Operators"; SQLite "Online Backup API".
"""

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from config.site import Site
from dispatcher.clock import SystemClock
from dispatcher.errors import Refused
from dispatcher.ledgers.beside import file_of
from dispatcher.ledgers.copying import copy_out, copy_sqlite, engine_of
from dispatcher.operators.archive import Manifest, member_of, write
from dispatcher.operators.command import DONE, FAILED, answering, command, shown, site_of
from dispatcher.operators.kept import kept
from dispatcher.staff.cli import say

LEDGER = {"sqlite": "ledger.db", "postgresql": "ledger.pgdump"}
SITE = "site.yaml"
STEP_PERCENT = 25


def add(commands: Any) -> None:
    parser = command(
        commands,
        "backup",
        _backup,
        "動いている節点の控えをとる (back up a node, running or not)",
        "todoke backup --site site.yaml --to todoke-20261121.tar",
    )
    parser.add_argument("--to", type=Path, required=True, metavar="FILE.tar")
    parser.add_argument("--with-keys", action="store_true", help="also keys, secrets and the register of terminals")
    answering(parser)


def _backup(args: argparse.Namespace) -> int:
    site = site_of(args)
    if args.to.exists():
        raise Refused(f"{args.to} があります。控えは上書きしません (a backup is never overwritten)")
    with tempfile.TemporaryDirectory(prefix=".todoke-backup-", dir=args.to.absolute().parent) as folder:
        manifest, wrong = asyncio.run(_make(site, args.site, args.to, Path(folder), with_keys=args.with_keys))
    lines = [f"● {args.to}  {len(manifest.members)} 個のファイル (files)"]
    lines += [f"  {node}: {length} 件の記録 (events)" for node, (length, _) in manifest.chains.items()]
    lines += [f"  入れていません (left out): {path}" for path in manifest.left_out]
    lines += [f"✕ {line}" for line in wrong]
    lines.append(
        "▲ 台帳には宛先、プッシュ通知を頼んだ端末、職員の二要素の元が、フォルダには登録メールの名簿が入っています。"
        "鍵と同じように守ってください "
        "(addresses, devices that asked for pushes, what staff sign in with, and who signed up for mail: guard it like a key)"
    )
    lines.append(
        "● 名簿は safety.key で封をしたまま、安否確認の鍵は入れません (the roster is sealed; no campaign's key is in any backup)"
    )
    shown(args, {"file": str(args.to), "manifest": asdict(manifest), "wrong": list(wrong)}, lines)
    return FAILED if wrong else DONE


async def _make(
    site: Site, site_file: Path, to: Path, folder: Path, *, with_keys: bool
) -> tuple[Manifest, tuple[str, ...]]:
    engine = engine_of(site.dsn)
    sources = {LEDGER[engine]: folder / LEDGER[engine], SITE: folder / SITE}
    _copy(site_file, sources[SITE])
    say.complain("台帳を写しています (copying the ledger)")
    facts = await copy_out(site.dsn, sources[LEDGER[engine]], _Percent())
    say.complain(
        "台帳を確かめました (the ledger was audited)" if not facts.wrong else "✕ 台帳に誤りがあります (damaged)"
    )
    left_out: list[str] = []
    for name, file, is_secret in _files(site):
        if is_secret and not with_keys:
            left_out.append(f"{name.removeprefix('files/')} ({file})")
            continue
        copy = folder / str(len(sources))
        try:
            await asyncio.to_thread(_copy, file, copy)
        except FileNotFoundError:
            continue  # it was there a moment ago: the node is at work
        sources[name] = copy
    manifest = Manifest(
        todoke=version("todoke"),
        made_at=SystemClock().now().isoformat(),
        mode=facts.mode,
        node=site.node,
        engine=engine,
        schema=facts.version,
        chains=facts.chains,
        open_deliveries=facts.open_deliveries,
        has_keys=with_keys,
        left_out=left_out,
        members=[member_of(name, source) for name, source in sources.items()],
    )
    say.complain("まとめています (writing the archive)")
    await asyncio.to_thread(write, to, manifest, sources)
    return manifest, facts.wrong


def _files(site: Site) -> Iterator[tuple[str, Path, bool]]:
    """What belongs into a backup beside the ledger: its name there, the file, and whether it is a secret."""
    ledger, state = file_of(site.dsn), site.state_dir.resolve()
    own = {ledger.resolve().with_name(ledger.name + tail) for tail in ("", *COMPANIONS, ".lock")} if ledger else set()
    named = list(kept(site))
    secret = {one.path.resolve() for one in named if one.is_secret}
    for path in _regular(state):
        if path in own:
            continue
        yield f"state/{path.relative_to(state)}", path, path in secret
        own.add(path)
    for one in named:
        if one.is_state and one.path.is_dir() and not one.path.resolve().is_relative_to(state):
            for path in _regular(one.path.resolve()):
                yield f"folders/{one.where}/{path.relative_to(one.path.resolve())}", path, False
        elif one.path.is_file() and one.path.resolve() not in own:
            yield f"files/{one.where}", one.path, one.is_secret
            own.add(one.path.resolve())


COMPANIONS = ("-wal", "-shm", "-journal")
_SQLITE = b"SQLite format 3\0"


def _regular(folder: Path) -> Iterator[Path]:
    """Every file below, without links and without what SQLite keeps beside its own."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.name.endswith(".lock"):
            continue
        if not any(
            path.name.endswith(tail) and path.with_name(path.name.removesuffix(tail)).is_file() for tail in COMPANIONS
        ):
            yield path


def _copy(source: Path, to: Path) -> None:
    with source.open("rb") as file:
        is_database = file.read(len(_SQLITE)) == _SQLITE
    if is_database:
        copy_sqlite(source, to)
    else:
        shutil.copyfile(source, to)
    shutil.copymode(source, to)


class _Percent:
    """Says how far the copying has come, a few times and not a thousand."""

    def __init__(self) -> None:
        self._said = 0

    def __call__(self, done: int, of: int) -> None:
        percent = 100 * done // max(1, of)
        if percent >= self._said + STEP_PERCENT:
            self._said = percent
            say.complain(f"  {percent} %")
