"""対象見込み: before anything is sent, whom each medium will reach, by head count and in words; and who by nothing.

A medium that counts nobody says so (数えない), never 0 and never 100 %. What nobody can be reached by name in is named quarter by
quarter, so that a loudspeaker van knows where to drive.

Source: issue "対象見込み"; mockups README "Say what was seen"; design.md §8 "reach ledger".
"""

from aiohttp import web

from dispatcher.staff import areas
from dispatcher.staff.console.area import unreached
from dispatcher.staff.console.frame import render
from dispatcher.staff.console.room import CONSOLE, sitting, words


async def reach(request: web.Request) -> web.Response:
    """The audience of a draft, as the rule would find it now; who is a member is settled when it is sent."""
    console, t, by = request.app[CONSOLE], words(request), sitting(request).person
    draft, _ = await console.desk.preview(by, request.match_info["id"])
    city, language = console.path.city, "en-US" if t.language == "en" else "ja"
    lines = await console.desk.reach(by, draft.quarters)
    counted = [line for line in lines if line.audience.head_count is not None and console.counts(line.channel)]
    return await render(
        request,
        "reach.html",
        draft=draft,
        place=city.say(draft.quarters, language),
        lines=lines,
        counted=counted,
        total=sum(line.audience.head_count or 0 for line in counted),
        quarters=[(code, city.quarters[code].names[language]) for code in draft.quarters],
        unreached=[city.quarters[code].names[language] for code in unreached(lines, draft.quarters)],
        facilities=areas.facilities(city, draft.quarters),
    )


ROUTES = [web.get("/drafts/{id}/reach", reach)]
