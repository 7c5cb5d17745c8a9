"""The clock: against time servers, against the other nodes, against the database that they share.

A clock that is wrong signs notices that receivers take for old, ends alerts early, and makes evidence that nobody believes.

Source: RFC 9110 §6.6.1 (Date, whole seconds); facts.md §IP notification terminals ("exp"); sntp.py.
"""

import asyncio
from email.utils import parsedate_to_datetime

import aiohttp
import sqlalchemy as sa

from config.operators import Operators
from dispatcher.clock import Clock
from dispatcher.errors import TodokeError
from dispatcher.ledgers.beside import file_of, look
from dispatcher.ledgers.dialect import Postgres
from dispatcher.operators.doctor.finding import Finding, broken, good, mend
from dispatcher.operators.doctor.sntp import NoTime, ask

TIMEOUT_S = 5.0
WHOLE_SECONDS_S = 2.0
"""What a Date header may be off by: it is cut to the second, and may have been made a second before it was sent."""
SET_IT = "chrony か systemd-timesyncd を動かしてください (run chrony or systemd-timesyncd)"


async def clocks(settings: Operators, dsn: str, clock: Clock) -> list[Finding]:
    """One finding for each that was asked."""
    if not settings.ntp:
        to_do = "サイトの設定の operators.ntp に時刻サーバを書いてください (name a time server there)"
        alone = [mend("時計 clock", "比べる相手がありません (nothing to compare with)", to_do)]
    else:
        alone = []
    async with asyncio.TaskGroup() as tasks:
        asked = [
            *(tasks.create_task(_server(name, settings, clock)) for name in settings.ntp),
            *(tasks.create_task(_peer(url, settings, clock)) for url in settings.peers),
            *([tasks.create_task(_database(dsn, settings, clock))] if file_of(dsn) is None else []),
        ]
    return alone + [task.result() for task in asked]


async def _server(name: str, settings: Operators, clock: Clock) -> Finding:
    what = f"時計 clock {name}"
    try:
        compared = await ask(name, clock)
    except NoTime as none:
        return mend(
            what,
            f"比べられません (not compared): {none}",
            "名前と経路、UDP 123 を確かめてください (check name, route, UDP 123)",
        )
    return _judged(what, compared.offset_s, settings.most_off + compared.delay_s / 2)


async def _peer(url: str, settings: Operators, clock: Clock) -> Finding:
    what = f"時計 clock {url}"
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
            asked_s, began_s = clock.now().timestamp(), clock.monotonic()
            async with session.head(url, allow_redirects=False) as answer:
                took_s = clock.monotonic() - began_s
                said_s = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (aiohttp.ClientError, OSError, TimeoutError, KeyError, ValueError, TypeError) as error:
        return mend(
            what,
            f"比べられません (not compared): {type(error).__name__} {error}".rstrip(),
            "その節点を確かめてください (check that node)",
        )
    offset_s = said_s + 0.5 - (asked_s + took_s / 2)
    return _judged(what, offset_s, settings.most_off + WHOLE_SECONDS_S + took_s / 2)


async def _database(dsn: str, settings: Operators, clock: Clock) -> Finding:
    what = "時計 clock PostgreSQL"
    began_s = clock.monotonic()
    try:
        said_s = await look(dsn, lambda connection: connection.execute(sa.select(Postgres.database_now)).scalar_one())
    except TodokeError as error:
        return broken(what, str(error), "台帳の行を見てください (see the ledger's line)")
    took_s = clock.monotonic() - began_s
    return _judged(what, said_s - clock.now().timestamp() + took_s / 2, settings.most_off + took_s)


def _judged(what: str, offset_s: float, most_s: float) -> Finding:
    side, english = ("遅れ", "behind") if offset_s > 0 else ("進み", "ahead")
    words = f"この機械は {abs(offset_s):.3f} 秒{side} (this machine is {english})"
    return good(what, words) if abs(offset_s) <= most_s else broken(what, words, SET_IT)
