"""The node itself: its ledger, its state folder, and what its channels say when they are asked.

A channel is asked through the running node, which holds its connections: a second program beside it would see less, and would
take the terminals' place. While no node runs, there is nobody to ask.

Source: dispatcher/channel.py "probe"; dispatcher/ledgers/audit.py.
"""

import re
from pathlib import Path

import sqlalchemy as sa

from config.site import Site
from dispatcher.errors import NotFound, TodokeError
from dispatcher.ledgers.audit import verify, verify_ends
from dispatcher.ledgers.beside import file_of, holder, living, look
from dispatcher.ledgers.migrations import due, version_of
from dispatcher.ledgers.schema import chains
from dispatcher.operators.doctor.finding import Finding, broken, good, mend
from dispatcher.staff.cli import say
from dispatcher.staff.cli.client import Client, Said

WHOLE = 20_000
"""Events up to which the whole ledger is audited; a longer one is audited whole by `todoke audit verify`."""
LAST = 5_000
_PID = re.compile(r"process ([0-9]{1,10})")


async def is_running(dsn: str, name: str) -> tuple[bool, int | None]:
    """Is this node up, and under which process number, where that is known?"""
    file = file_of(dsn)
    if file is not None:
        who = holder(file)
        pid = _PID.search(who)
        return bool(who), int(pid[1]) if pid else None
    try:
        return name in await look(dsn, living), None
    except TodokeError:
        return False, None


async def ledger(dsn: str) -> Finding:
    """Does it open, is it this program's, and does it say what it said?"""
    what = "台帳 ledger"
    try:
        return await look(dsn, _examined)
    except NotFound as none:
        if file_of(dsn) is not None:
            return good(what, f"まだありません。最初の起動で作ります (made at the first start): {none}")
        return broken(what, str(none), "PostgreSQL と接続先を確かめてください (check PostgreSQL and the DSN)")
    except TodokeError as error:
        return broken(what, str(error), "控えから戻してください: todoke restore (restore a backup)")


def _examined(connection: sa.Connection) -> Finding:
    what = "台帳 ledger"
    version = version_of(connection)
    if version is None:
        return good(what, "まだありません。最初の起動で作ります (made at the first start)")
    number = connection.execute(sa.select(sa.func.coalesce(sa.func.sum(chains.c.length), 0))).scalar_one()
    is_whole = number <= WHOLE
    wrong = verify(connection) if is_whole else verify_ends(connection, LAST)
    if wrong:
        to_do = "todoke audit verify で全部を見て、控えと比べてください (see all of it, compare with a backup)"
        return broken(what, f"{len(wrong)} 件の誤り (wrong): {wrong[0]}", to_do)
    checked = "全部" if is_whole else f"各鎖の終わりの {LAST} 件"
    words = f"開けます。{number} 件の記録、{checked}を確かめました (opens; audited: {'all' if is_whole else 'the last events'})"
    if due(version):
        return mend(
            what,
            f"{words}。版 {version} は次の起動で新しくなります (migrated at the next start)",
            "todoke migrate --dry-run",
        )
    return good(what, words)


def state(folder: Path) -> Finding:
    """Is the node's own folder there, and is it a folder?"""
    what = f"フォルダ state_dir {folder}"
    if folder.is_dir():
        return good(what, "あります (is there)")
    if folder.exists():
        return broken(what, "フォルダではありません (no folder)", "名前を変えてください (name another one)")
    return good(what, "まだありません。最初の起動で作ります (made at the first start)")


def channels(site: Site, token_file: Path | None, *, is_up: bool) -> list[Finding]:
    """A link test of each channel, by the node; nothing is sent to residents."""
    if not is_up:
        words = "節点が動いていないので、たずねていません (not asked: the node is not running)"
        return [mend("媒体 channels", words, "todoke serve のあとで、もう一度 (again after todoke serve)")]
    try:
        probes = Client.of(f"http://{site.control.listen}", token_file).ask("/channels/test", {"kinds": []})["channels"]
    except Said as said:
        to_do = "--token-file に自分の鍵を渡してください (give your own token)"
        return [mend("媒体 channels", f"節点にたずねられません (not asked): {said}", to_do)]
    return [
        good(_name(kind), probe["words"])
        if probe["is_up"]
        else broken(_name(kind), probe["words"], "todoke channels test で見直してください (look again)")
        for kind, probe in probes.items()
    ]


def _name(kind: str) -> str:
    return f"媒体 channel {say.NAMES.get(kind, kind)}"
