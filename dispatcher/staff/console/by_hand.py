"""手で伝えるもの: the announcer's script and the fields to paste, on a page that also prints; after the issue, with a box to tick.

Before the issue it is made from the draft as it would go out now; afterwards from the message that the ledger holds, so what is
read aloud is what was approved. A tick says who did it and when, and can be taken back; both stand in the ledger.

Source: issue "For systems without a link"; dispatcher/staff/by_hand.py.
"""

from aiohttp import web

from dispatcher.errors import InvalidInput
from dispatcher.model.draft import Draft
from dispatcher.staff.by_hand import prepare
from dispatcher.staff.console.frame import render
from dispatcher.staff.console.posted import fields
from dispatcher.staff.console.room import CONSOLE, sitting


async def of_draft(request: web.Request) -> web.Response:
    """As it would be read out now."""
    console, by = request.app[CONSOLE], sitting(request).person
    draft, prepared = await console.desk.preview(by, request.match_info["id"])
    hands = prepare(prepared.alert, console.path.city)
    return await render(request, "by_hand.html", draft=draft, hands=hands, ticks=(), findings={}, posted={}, at="")


async def of_alert(request: web.Request) -> web.Response:
    """What was approved, with what has been done by hand so far."""
    return await _show(request)


async def tick(request: web.Request) -> web.Response:
    """やった: by whom, and when."""
    console, by, posted = request.app[CONSOLE], sitting(request).person, await fields(request)
    identifier, system = request.match_info["id"], request.match_info["system"]
    version = posted.get("_version", "")
    try:
        if posted.get("_undo"):
            await console.desk.untick(by, identifier, system, version=int(version) if version.isdigit() else 0)
        else:
            await console.desk.tick(
                by,
                identifier,
                system,
                who=posted.get("who", ""),
                at=posted.get("at", ""),
                version=int(version) if version.isdigit() else 0,
            )
    except InvalidInput as refused:
        return await _show(request, refused=refused, system=system)
    raise web.HTTPSeeOther(f"/alerts/{identifier}/by-hand#{system}")


async def _show(request: web.Request, refused: InvalidInput | None = None, system: str = "") -> web.Response:
    console, by = request.app[CONSOLE], sitting(request).person
    identifier = request.match_info["id"]
    draft = Draft.from_body(*await console.path.ledger.draft(identifier))
    found = {(system, f.where): f for f in refused.findings} if refused else {}
    return await render(
        request,
        "by_hand.html",
        status=422 if refused else 200,
        draft=draft,
        hands=await console.desk.by_hand(by, identifier),
        ticks={tick.system: tick for tick in await console.desk.ticks(by, identifier)},
        findings=found,
        posted=dict(await fields(request)) if refused else {},
        at=system,
    )


ROUTES = [
    web.get("/drafts/{id}/by-hand", of_draft),
    web.get("/alerts/{id}/by-hand", of_alert),
    web.post("/alerts/{id}/by-hand/{system}", tick),
]
