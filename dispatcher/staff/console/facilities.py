"""施設・到達: the facilities that must act first, the silent ones nearest first with their telephone; and who has it by name.

A facility is called from the top of the list down; 電話済 with the name of who answered is an acknowledgement, without it is a try.

Source: issue "Escalation", "Reach ledger"; design.md §8; mockups README "Say what was seen".
"""

from aiohttp import web

from dispatcher.errors import InvalidInput
from dispatcher.staff.console.attention import WATCH
from dispatcher.staff.console.frame import render
from dispatcher.staff.console.outline import Outline, outline
from dispatcher.staff.console.posted import fields
from dispatcher.staff.console.room import CONSOLE, sitting, words
from dispatcher.staff.reaching import BY_NOTHING_AT_MOST
from dispatcher.staff.rules import Act, allowed


async def show(request: web.Request) -> web.Response:
    return await _show(request)


async def _show(request: web.Request, *, of: str = "", refused: InvalidInput | None = None) -> web.Response:
    console, by, t = request.app[CONSOLE], sitting(request).person, words(request)
    identifier, desk = request.match_info["id"], console.desk
    found = await _outline(request, identifier)
    lines = await desk.foremost(by, identifier)
    return await render(
        request,
        "facilities.html",
        status=422 if refused else 200,
        o=found,
        waiting=[line for line in lines if line.acknowledged is None],
        done=[line for line in lines if line.acknowledged is not None],
        summary=await desk.reached(by, identifier),
        by_nothing=[(each, each.name or each.address) for each in await desk.by_nothing(by, identifier)],
        most=BY_NOTHING_AT_MOST,
        may_call=not allowed(by.name, by.roles, Act.REPORT, console.path.mode),
        wrong_at=of,
        findings=refused.findings if refused else (),
        claims={
            "nothing": t("届いていない", "nothing"),
            "sent": t("送信", "sent"),
            "taken": t("受領", "taken"),
            "delivered": t("機器が受信", "delivered"),
            "displayed": t("表示", "displayed"),
            "acknowledged": t("人の確認", "acknowledged"),
        },
    )


async def _outline(request: web.Request, identifier: str) -> Outline:
    console, watch = request.app[CONSOLE], request.app[WATCH]
    board = await console.desk.board(sitting(request).person, identifier)
    draft, number = await watch.draft(identifier), await watch.number(identifier)
    return outline(board, draft, number, console.path.city, words(request))


async def telephoned(request: web.Request) -> web.Response:
    """電話済, or nobody answered."""
    console, by, typed = request.app[CONSOLE], sitting(request).person, await fields(request)
    identifier, facility = request.match_info["id"], request.match_info["facility"]
    spoke_with = typed.get("spoke_with", "").strip()
    if typed.get("_act") == "nobody":
        spoke_with = ""
    elif not spoke_with:
        spoke_with = words(request)("名前を聞かず", "name not asked")
    try:
        await console.desk.telephoned(by, identifier, facility, spoke_with=spoke_with, note=typed.get("note", ""))
    except InvalidInput as refused:
        return await _show(request, of=facility, refused=refused)
    raise web.HTTPSeeOther(f"/alerts/{identifier}/facilities")


ROUTES = (
    web.get("/alerts/{id}/facilities", show),
    web.post("/alerts/{id}/facilities/{facility}", telephoned),
)
