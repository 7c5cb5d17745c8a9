"""The console: headquarters' desk in a browser. Thin over `desk`: what a page lets nobody press, the desk refuses as well.

Every page is complete without a script; what scripts add is the clock that runs, the alarm that sounds, and figures that move.
`application` is mounted at `/` of the staff's listener; anything else there (the API) is a sub-application of it.

    room.py frame.py words.py     what every page has       guard.py refusals.py visitor.py   who comes in, what is refused
    attention.py live.py          what waits, what moves    posted.py                         what a form says
    signin.py directory.py own.py the way in and out, and one's own account

    board.py     状況板                          approve.py   承認 (case.py, difference.py)
    compose.py   作成 (form.py, preview.py)      delivery.py  配信板 (outline.py)
    area.py      区域 (map.py, leaflet.py)       progress.py  経過 (happened.py)
    shelters.py  避難所
    reach.py     対象見込み                     admin.py     管理
    by_hand.py   手で伝えるもの                  safety.py    安否 (residents.py)
    facilities.py 施設・到達                     roster.py    名簿の取込み

A page module names its `ROUTES`; a handler reads `sitting(request)`, `fields(request)`, and answers `await render(request, …)`.

Source: design.md §9; mockups README.
"""

from typing import Any

from aiohttp import web

from dispatcher.path import Path
from dispatcher.staff.accounts import Accounts
from dispatcher.staff.console import (
    admin,
    approve,
    area,
    board,
    by_hand,
    compose,
    delivery,
    directory,
    facilities,
    own,
    preview,
    progress,
    reach,
    residents,
    roster,
    safety,
    shelters,
    signin,
)
from dispatcher.staff.console.attention import WATCH, Watch
from dispatcher.staff.console.frame import CONSOLE, Console, static
from dispatcher.staff.console.guard import guards
from dispatcher.staff.console.live import LIVE, Live
from dispatcher.staff.console.posted import ROSTER_BYTES
from dispatcher.staff.console.refusals import SPARING, Sparing
from dispatcher.staff.desk import Desk

__all__ = ["application"]

# One a line: rooms come and go.
ROOMS = (
    signin,
    board,
    approve,
    delivery,
    compose,
    area,
    by_hand,
    shelters,
    preview,
    reach,
    roster,
    safety,
    residents,
    facilities,
    progress,
    admin,
    own,
    directory,
)


def application(
    desk: Desk[Any], accounts: Accounts, path: Path[Any], url: str, *, mails_duty: bool = True
) -> web.Application:
    """The console of one node. `url`: where staff open it; https decides that cookies are bound to it."""
    console = Console(desk, accounts, path, url, mails_duty)
    app = web.Application(middlewares=guards(console), client_max_size=ROSTER_BYTES)
    app[CONSOLE] = console
    app[preview.SHOWN] = preview.Shown()
    app[WATCH] = Watch(console)
    app[SPARING] = Sparing()
    app[roster.TRIED] = roster.Tried(console.clock)
    app[LIVE] = live = Live(console)
    app.cleanup_ctx.append(live.run)
    app.on_shutdown.append(live.close)
    app.router.add_get("/static/{tag:[0-9a-f]{12}}/{name:[a-z0-9.-]+}", static)
    for room in ROOMS:
        app.add_routes(room.ROUTES)
    return app
