"""What concerns people: is there a roster to ask, do its keys open it, is the register of facilities one of this year?

Nothing of anybody is read: rows are counted, and a file is as old as its last change.

Source: design.md §8; config/safety.py; config/facilities.py.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from config.site import Site
from dispatcher.errors import NotFound, TodokeError
from dispatcher.ledgers.beside import file_of, look
from dispatcher.ledgers.migrations import due, version_of
from dispatcher.ledgers.schema import roster
from dispatcher.operators.doctor.finding import Finding, good, mend

OLD = timedelta(days=365)
"""Who answers the telephone of a school or a care home changes with each April."""


async def rosters(site: Site) -> list[Finding]:
    """Whether there is somebody to ask; nothing where the site asks nobody."""
    if site.safety is None:
        return []
    what = "名簿 roster"
    try:
        people = await look(site.dsn, _people)
    except NotFound:
        people = 0
    except TodokeError as error:
        return [mend(what, f"見られません (not seen): {error}", "台帳の行を見てください (see the ledger's line)")]
    if people:
        return [good(what, f"{people} 行が封をして置かれています (rows, sealed)")]
    return [
        mend(
            what,
            "安否確認は有効ですが、名簿がありません。だれにも尋ねられません (safety is on and there is nobody to ask)",
            "todoke roster check FILE; todoke roster import FILE",
        )
    ]


def _people(connection: sa.Connection) -> int:
    version = version_of(connection)
    if version is None or due(version):
        return 0
    return int(connection.execute(sa.select(sa.func.count()).select_from(roster)).scalar_one())


def facilities(site: Site, now: datetime) -> Iterator[Finding]:
    """How old the register is of those who must act first."""
    if site.facilities is None:
        return
    what, path = "施設 facilities", site.facilities.register
    if path.stat().st_mode & 0o007:
        seen = f"{path} をだれでも読めます (anybody on this machine may read names and telephones)"
        yield mend(f"{what} register", seen, f"chmod o= {path}")
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC).astimezone(now.tzinfo)
    words = f"{path}: {changed:%Y-%m-%d} から変わっていません (unchanged since)"
    if now - changed > OLD:
        yield mend(
            what, words, "担当者と電話番号を確かめて、保存し直してください (check people and telephones, save it anew)"
        )
    else:
        yield good(what, words)


def doubts(site: Site) -> Iterator[Finding]:
    """What a channel says of its own settings that works and hurts somebody in the end (`Settings.doubts`)."""
    is_shared = file_of(site.dsn) is None
    for kind, settings in site.channels.items():
        for field, words, to_do in getattr(settings, "doubts", _none)(is_shared=is_shared):
            yield mend(f"媒体 channel {kind}.{field}", words, to_do)


def _none(*, is_shared: bool) -> tuple[tuple[str, str, str], ...]:  # noqa: ARG001 - as every doubts
    return ()
