"""避難所: what each shelter is now, said with one press; residents see it within a second. Enterable ones stand first.

Source: issue "The residents' site"; dispatcher/staff/shelters.py.
"""

from aiohttp import web

from dispatcher.model.shelter import STATE_WORDS, ShelterState
from dispatcher.staff.console.frame import render
from dispatcher.staff.console.posted import fields
from dispatcher.staff.console.room import CONSOLE, sitting

PATH = "/shelters"
_ORDER = list(ShelterState)


async def look(request: web.Request) -> web.Response:
    """Every shelter, those spoken of first."""
    return await _show(request)


async def say(request: web.Request) -> web.Response:
    """What one of them is from now on."""
    console, by, posted = request.app[CONSOLE], sitting(request).person, await fields(request)
    version = posted.get("_version", "")
    await console.desk.say_shelter(
        by,
        posted.get("shelter", ""),
        posted.get("state", ""),
        version=int(version) if version.isdigit() else None,
        mode=console.mode,
    )
    raise web.HTTPSeeOther(PATH)


async def open_door(request: web.Request) -> web.Response:
    """A new link for the people at one of them, said once."""
    console, by, posted = request.app[CONSOLE], sitting(request).person, await fields(request)
    code = posted.get("shelter", "")
    link = await console.desk.open_shelter_door(by, code, mode=console.mode)
    return await _show(request, link=link, code=code)


async def _show(request: web.Request, link: str = "", code: str = "") -> web.Response:
    console, by = request.app[CONSOLE], sitting(request).person
    seen = await console.desk.shelters(by)
    spoken = [s for s in seen if s.standing]
    spoken.sort(key=lambda s: (_ORDER.index(s.standing.state) if s.standing else 0, s.facility.name))
    return await render(
        request,
        "shelters.html",
        spoken=spoken,
        silent=[s for s in seen if not s.standing],
        states=STATE_WORDS,
        link=link,
        at=next((s for s in seen if s.facility.code == code), None),
    )


ROUTES = [web.get(PATH, look), web.post(PATH, say), web.post(f"{PATH}/door", open_door)]
