"""What concerns people: is there a roster to ask, do its keys open it, is the register of facilities one of this year?

Nothing of anybody is shown: rows are counted, one of them is opened to try the key, and a file is as old as its last change.

Source: design.md §8; config/safety.py; config/facilities.py.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa

from config.site import Site
from dispatcher.campaigns import Campaign, RosterRow
from dispatcher.errors import NotFound, Refused, TodokeError
from dispatcher.ledgers.asking import all_campaigns
from dispatcher.ledgers.beside import file_of, look
from dispatcher.ledgers.migrations import due, version_of
from dispatcher.ledgers.rosters import page
from dispatcher.ledgers.schema import roster
from dispatcher.operators.doctor.finding import Finding, broken, good, mend
from dispatcher.tracking.confirmation.keys import KeyRing
from dispatcher.tracking.confirmation.round import Round
from dispatcher.tracking.roster.sealing import RosterSeal

T = TypeVar("T")

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


async def seals(site: Site) -> list[Finding]:
    """Whether this site's key opens the roster and what is being asked, and what no key opens any more."""
    if site.safety is None:
        return []
    try:
        row, campaigns = await look(site.dsn, _sealed)
    except TodokeError:
        return []  # the ledger's own line says so
    what, asking = "安否の鍵 safety.key", [one for one in campaigns if not one.is_destroyed and Round.of(one).is_open]
    shut = [one.id for one in asking if one.sealed_key and not _opens(KeyRing(_secret(site)).of, one)]
    if row is not None and not _opens(RosterSeal(site.safety.key).open, row):
        shut.insert(0, "名簿 roster")
    if shut:
        to_do = "台帳とともに使っていた safety.key に戻してください (put back the key that this ledger was used with)"
        found = [broken(what, f"この鍵では開きません (another key: it opens none of these): {', '.join(shut)}", to_do)]
    else:
        found = [good(what, "封をしたものが開きます (opens what is sealed)")] if row or asking else []
    if keyless := [one.id for one in asking if not one.sealed_key]:
        words = f"控えから戻した安否確認の鍵はありません。だれも読めません (no key came out of the backup): {', '.join(keyless)}"
        found.append(
            mend(
                "安否確認 campaigns",
                words,
                "todoke safety close; todoke safety start（尋ね直す） (close it and ask anew)",
            )
        )
    return found


def _sealed(connection: sa.Connection) -> tuple[RosterRow | None, Sequence[Campaign]]:
    version = version_of(connection)
    if version is None or due(version):
        return None, ()
    return next(iter(page(connection, None, "")), None), all_campaigns(connection)


def _secret(site: Site) -> bytes:
    return site.safety.key.reveal().encode() if site.safety else b""


def _opens(opening: Callable[[T], object], sealed: T) -> bool:
    try:
        opening(sealed)
    except Refused:
        return False
    return True


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
