"""名簿の取込み: a file is tried, every bad row is said, and what it would change stands in figures; a second press imports it.

Nobody chooses a file twice at night: what was tried is kept for the second press, packed, in this process's memory and in no
folder, for the session that tried it and a quarter of an hour. Whatever else the press must be bound to (the file, the roster that
it would replace) stands in the fingerprint, which the desk compares.

Source: design.md §8; issue "CSV import with a dry run that lists every bad row"; dispatcher/staff/rostering.py.
"""

import asyncio
from collections import OrderedDict
from pathlib import PurePath
from typing import Any

from aiohttp import web
from aiohttp.web_request import FileField

from dispatcher.clock import Clock
from dispatcher.errors import Finding, InvalidInput, StaleHash
from dispatcher.staff.console.frame import render
from dispatcher.staff.console.posted import ROSTER, ROSTER_BYTES, fields
from dispatcher.staff.console.room import CONSOLE, sitting, words
from dispatcher.staff.rostering import FILE, packed
from dispatcher.staff.rules import Act, allowed
from dispatcher.tracking.roster.person import COLUMNS, NEEDED
from dispatcher.tracking.roster.reading import MOST_SHOWN

KEPT_S = 900.0
KEPT_AT_MOST = 2
LONGEST_NAME = 60


class Tried:
    """Files that were found good, by the session that tried them: one each, and few at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, str, bytes]] = OrderedDict()

    def keep(self, session: str, fingerprint: str, file: bytes) -> None:
        self.forget(session)
        self._kept[session] = self._clock.monotonic() + KEPT_S, fingerprint, file
        while len(self._kept) > KEPT_AT_MOST:
            self._kept.popitem(last=False)

    def of(self, session: str, fingerprint: str) -> bytes | None:
        """None: it is not here, or no more."""
        self.forget()
        _, kept, file = self._kept.get(session, (0.0, "", b""))
        return file if file and kept == fingerprint else None

    def forget(self, session: str = "") -> None:
        """This session's, and whatever has been kept long enough."""
        now_s = self._clock.monotonic()
        for key in [key for key, (until_s, _, _) in self._kept.items() if key == session or until_s <= now_s]:
            del self._kept[key]


TRIED = web.AppKey("tried", Tried)


async def look(request: web.Request) -> web.Response:
    """Where a file is chosen, and what one must be like."""
    request.app[TRIED].forget()
    return await _show(request, is_imported=request.query.get("imported") == "1")


async def check(request: web.Request) -> web.Response:
    """Everything that is wrong with the file, or what it would change and the button that does it."""
    console, who = request.app[CONSOLE], sitting(request)
    given = (await request.post()).get("csv")
    if not isinstance(given, FileField):
        chosen = InvalidInput([Finding(FILE, "ファイルを選んでください (choose a file)")])
        return await _show(request, status=422, refused=chosen)
    data, name = await asyncio.to_thread(given.file.read), _called(given.filename)
    try:
        changes = await console.desk.check_roster(who.person, data, name)
    except InvalidInput as refused:
        return await _show(request, status=422, refused=refused, name=name)
    request.app[TRIED].keep(who.session.id, changes.fingerprint, await asyncio.to_thread(packed, data))
    return await _show(request, changes=changes, name=name)


async def take(request: web.Request) -> web.Response:
    """The second press: what was tried, all of it or nothing."""
    console, who, t = request.app[CONSOLE], sitting(request), words(request)
    typed, tried = await fields(request), request.app[TRIED]
    file = tried.of(who.session.id, typed.get("_fingerprint", ""))
    if file is None:
        gone = t(
            "試したファイルは、15分たったか、ほかのファイルを試したので手放しました。何も変えていません。もう一度選んで試してください。",
            "The file that was tried is kept for 15 minutes, and was let go. Nothing was changed: choose it again.",
        )
        return await _show(request, status=409, stale=gone)
    try:
        await console.desk.import_roster(who.person, file, typed["_fingerprint"], mode=typed.get("_mode", ""))
    except StaleHash:
        other = t(
            "試したあとで、だれかが名簿を入れ替えました。何も変えていません。もう一度試して、違いを見てください。",
            "Somebody replaced the roster since the trial. Nothing was changed: try it again and look at the difference.",
        )
        return await _show(request, status=409, stale=other)
    tried.forget(who.session.id)
    raise web.HTTPSeeOther(f"{ROSTER}?imported=1")


async def _show(
    request: web.Request, *, status: int = 200, refused: InvalidInput | None = None, **values: Any
) -> web.Response:
    console, by = request.app[CONSOLE], sitting(request).person
    return await render(
        request,
        "roster.html",
        status=status,
        findings=refused.findings if refused else (),
        has_roster=console.desk.roster is not None,
        may=not allowed(by.name, by.roles, Act.ROSTER, console.path.mode),
        columns=[(name, japanese, name in NEEDED) for name, japanese in COLUMNS.items()],
        most_mb=ROSTER_BYTES // 1_000_000,
        most_shown=MOST_SHOWN,
        **{"changes": None, "name": "", "stale": "", "is_imported": False, **values},
    )


def _called(name: str) -> str:
    """A file's own name as findings show it: no folder of somebody's machine, nothing that cannot be printed."""
    shown = "".join(c for c in PurePath(name.replace("\\", "/")).name if c.isprintable())
    return shown[:LONGEST_NAME] or FILE


ROUTES = (
    web.get(ROSTER, look),
    web.post(f"{ROSTER}/check", check),
    web.post(f"{ROSTER}/import", take),
)
