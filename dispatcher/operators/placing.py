"""Where the files of a backup go, and how they get there: each to a place that the site file names, all of them in a moment.

Source: restore.py, which decides whether.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from config import former
from dispatcher.errors import Refused
from dispatcher.ledgers.beside import file_of, look
from dispatcher.ledgers.copying import put_back, restore_database, set_aside
from dispatcher.ledgers.migrations import version_of
from dispatcher.ledgers.sqlite import alone
from dispatcher.operators.backup import COMPANIONS, LEDGER, SITE
from dispatcher.operators.kept import Head


@dataclass(frozen=True, slots=True)
class Placing:
    """One file on its way."""

    name: str
    source: Path
    target: Path


def placings_of(files: Mapping[str, Path], head: Head, texts: Mapping[str, Path]) -> list[Placing]:
    """Where each file of the backup goes. A name that leads out of its place is refused."""
    placings, nowhere = [], []
    for name, source in files.items():
        root, _, rest = name.partition("/")
        target: Path | None = None
        if name in {SITE, *LEDGER.values()}:
            continue
        if root == "state":
            target = _below(head.state_dir, rest)
        elif root == "folders":
            where, _, rest = rest.partition("/")
            target = _below(texts[where], rest) if where in texts else None
        elif root == "files":
            target = texts.get(rest) or _former(rest, texts)
        if target is None:
            nowhere.append(f"{name}: サイトの設定に行き先がありません (the site file names no place for it)")
        else:
            placings.append(Placing(name, source, target))
    if nowhere:
        raise Refused("\n".join(nowhere))
    return placings


def _former(where: str, texts: Mapping[str, Path]) -> Path | None:
    """What a secret was before stands beside it."""
    path = texts.get(where.removesuffix(former.SUFFIX)) if where.endswith(former.SUFFIX) else None
    return former.beside(path) if path is not None else None


def _below(folder: Path, rest: str) -> Path | None:
    parts = PurePosixPath(rest).parts
    if not parts or rest.startswith("/") or ".." in parts or "\0" in rest:
        return None
    return folder.joinpath(*parts)


def in_the_way(placings: list[Placing]) -> list[str]:
    return [str(p.target) for p in placings if os.path.lexists(p.target) and not _same(p.source, p.target)]


def _same(one: Path, other: Path) -> bool:
    if other.is_symlink() or not other.is_file() or one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as a, other.open("rb") as b:
        return hashlib.file_digest(a, "sha256").digest() == hashlib.file_digest(b, "sha256").digest()


async def place(head: Head, copy: Path, placings: list[Placing], stamp: str) -> list[str]:
    """Everything to where it belongs; returns what was there and where it is kept now.

    Everything is brought close first, and then changes places in a moment: a full disk stops it before anything has moved.
    What was there is kept beside the state folder and not in it: a web server may serve what lies there, and the next backup
    would take it along.
    """
    before = head.state_dir.with_name(f"{head.state_dir.name}.before-{stamp}")
    file = file_of(head.dsn)
    changing = [placing for placing in placings if not _same(placing.source, placing.target)]
    if file is not None:
        changing.insert(0, Placing(f"ledger/{file.name}", copy, file))
    coming: list[Path] = []
    aside: list[str] = []
    try:
        for placing in changing:
            coming.append(placing.target.with_name(f".{placing.target.name}.coming"))
            _bring(placing, coming[-1], is_ledger=placing.target == file)
        if file is None:
            aside += await _place_database(head.dsn, copy, f"before_{stamp}")
        with alone(file, "restore") if file is not None else nullcontext():
            for placing, near in zip(changing, coming, strict=True):
                for tail in ("", *(COMPANIONS if placing.target == file else ())):
                    aside += _keep(placing.target.with_name(placing.target.name + tail), before / (placing.name + tail))
                near.rename(placing.target)
    finally:
        for near in coming:
            near.unlink(missing_ok=True)
    if file is not None:
        _give(file.with_name(file.name + ".lock"), file.parent)
    return aside


async def _place_database(dsn: str, copy: Path, schema: str) -> list[str]:
    had = await look(dsn, version_of) is not None
    if had:
        await set_aside(dsn, schema)
    try:
        await restore_database(dsn, copy)
    except Refused:
        if had:
            await put_back(dsn, schema)
        raise
    return [f"postgresql: schema {schema}"] if had else []


def _keep(path: Path, beside: Path) -> list[str]:
    if not os.path.lexists(path):
        return []
    beside.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.move(path, beside)
    return [str(beside)]


def _bring(placing: Placing, near: Path, *, is_ledger: bool) -> None:
    """Copy it into the folder where it belongs, for whoever that folder belongs to: from there it appears whole."""
    near.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(placing.source, near)
    if is_ledger:
        near.chmod(0o600)
    with near.open("rb") as file:
        os.fsync(file.fileno())
    _give(near, near.parent)


def _give(path: Path, like: Path) -> None:
    """The operator may be root, the node is not."""
    if os.geteuid() == 0:
        owner = like.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
