"""安否: the rounds of asking, and one of them as it stands: what is worst first, then by quarter, then who is silent.

Names are on pages of the role welfare alone, and never in what is pushed to a page that is open: that is counts, the same bytes for
everybody of one role. What each person may see is decided by the desk (staff/welfare.py); here it is only laid out.

Source: mockups `safety.html`; design.md §8; issue "Staff pages".
"""

from collections.abc import Mapping, Sequence

from aiohttp import web

from dispatcher.errors import InvalidInput
from dispatcher.model.draft import Verb
from dispatcher.staff.console import map as city_map
from dispatcher.staff.console.frame import fragment, render
from dispatcher.staff.console.live import LIVE
from dispatcher.staff.console.posted import all_of, fields
from dispatcher.staff.console.room import CONSOLE, sitting, words
from dispatcher.staff.lookups import WHY
from dispatcher.staff.rules import Act, allowed
from dispatcher.staff.welfare import Overview, Row, is_welfare

RELOAD_S = 30
SHOWN_URGENT = 100
SHOWN_SILENT = 50
NEED: Sequence[tuple[str, str]] = (
    ("知らせなし・無事", "nothing known, or safe"),
    ("返事待ちあり", "some are silent"),
    ("返事待ちが半分をこえる", "more than half silent"),
    ("けがの知らせ", "somebody is hurt"),
    ("助けての知らせ", "somebody asks for help"),
)
"""The five tones of the map, least first."""


async def index(request: web.Request) -> web.Response:
    """Every round, the open ones first; what waits for a second person; and how to begin one."""
    return await _index(request)


async def _index(
    request: web.Request, *, posted: Mapping[str, str] | None = None, refused: InvalidInput | None = None
) -> web.Response:
    console, by, t = request.app[CONSOLE], sitting(request).person, words(request)
    desk, language = console.desk, t("ja", "en-US")
    rounds = await desk.campaigns(by, language)
    living = await console.path.ledger.alerts(only_live=True)
    return await render(
        request,
        "safety.html",
        status=422 if refused else 200,
        rounds=sorted(rounds, key=lambda o: (not o.is_open, -o.opened_at.timestamp())),
        waiting=await desk.proposed(by),
        release=await desk.release(by),
        watch=await desk.standing_watch(by),
        living=[
            (a.identifier, console.path.city.say(a.facts["quarters"], language))
            for a in living
            if a.verb != Verb.RETRACT  # nothing happened there
        ],
        quarters=[(code, q.names[language]) for code, q in console.path.city.quarters.items()],
        posted={"reason": "", "hours": "", "time": "", **(posted or {})},
        findings=refused.findings if refused else (),
        may={act.value: _may(request, act) for act in (Act.ASK, Act.AGREE, Act.RELEASE, Act.ROSTER, Act.END_ASKING)},
        name=by.name,
    )


def _may(request: web.Request, act: Act) -> bool:
    console, by = request.app[CONSOLE], sitting(request).person
    return not allowed(by.name, by.roles, act, console.path.mode)


async def begin(request: web.Request) -> web.Response:
    """Whom a round would ask, and the button that asks them; or, pressed there, the round itself."""
    console, by, t = request.app[CONSOLE], sitting(request).person, words(request)
    typed = dict(await fields(request))
    about, kind = typed.get("about", ""), typed.get("kind", "safety")
    quarters = await all_of(request, "area")
    try:
        plan = await console.desk.plan(by, about=about, quarters=quarters, kind=kind, language=t("ja", "en-US"))
        if typed.get("_act") != "ask":
            place = console.path.city.say(plan.quarters, t("ja", "en-US"))
            return await render(request, "safety_plan.html", plan=plan, place=place, about=about, kind=kind)
        went = await console.desk.ask(by, about=about, quarters=quarters, kind=kind, mode=typed.get("_mode", ""))
    except InvalidInput as refused:
        return await _index(request, posted=typed, refused=refused)
    raise web.HTTPSeeOther(f"/safety/{went.campaign}" if went.campaign else "/safety")


async def agree(request: web.Request) -> web.Response:
    """The second person says yes, or no."""
    console, typed = request.app[CONSOLE], await fields(request)
    key, by = request.match_info["key"], sitting(request).person
    if request.match_info["answer"] == "no":
        await console.desk.decline(by, key)
        raise web.HTTPSeeOther("/safety")
    went = await console.desk.agree(by, key, mode=typed.get("_mode", ""))
    raise web.HTTPSeeOther(f"/safety/{went.campaign}" if went.campaign else "/safety")


async def show(request: web.Request) -> web.Response:
    """One round."""
    console, by, t = request.app[CONSOLE], sitting(request).person, words(request)
    campaign, desk, city = request.match_info["id"], console.desk, console.path.city
    overview = await desk.campaign(by, campaign, t("ja", "en-US"))
    sees = is_welfare(by) and not overview.is_destroyed
    urgent = await desk.urgent(by, campaign, SHOWN_URGENT + 1) if sees else ()
    silent = await desk.silent(by, campaign, SHOWN_SILENT + 1, after=request.query.get("after", "")) if sees else ()
    need = {line.code: _need(line) for line in overview.quarters}
    return await render(
        request,
        "campaign.html",
        o=overview,
        is_welfare=sees,
        urgent=urgent[:SHOWN_URGENT],
        more_urgent=len(urgent) > SHOWN_URGENT,
        silent=silent[:SHOWN_SILENT],
        next_silent=silent[SHOWN_SILENT - 1].id if len(silent) > SHOWN_SILENT else "",
        reports=len(await desk.unmatched(by, campaign)) if sees else 0,
        map=city_map.draw(city, t("ja", "en-US")),
        need={code: need.get(code, 0) for code in city.quarters},
        need_words=[t(*each) for each in NEED],
        may={
            "again": overview.is_open and _may(request, Act.ASK_AGAIN),
            "end": overview.is_open and _may(request, Act.END_ASKING),
        },
        reload_s=RELOAD_S,
        whys=[(why.value, t(*said)) for why, said in WHY.items()],
    )


def _need(line: Row) -> int:
    """Which tone a quarter has: by what is certain of it, so that a hidden count shades it no more than 1 would."""
    seen = line.figures
    if seen["help"].most:
        return 4
    if seen["hurt"].most:
        return 3
    if not seen["silent"].most:
        return 0
    return 2 if 2 * seen["silent"].least > seen["asked"].most else 1


async def events(request: web.Request) -> web.StreamResponse:
    """The figures as they change: counts alone."""
    console, by, t = request.app[CONSOLE], sitting(request).person, words(request)
    campaign = request.match_info["id"]
    await console.desk.campaign(by, campaign, t("ja", "en-US"))

    async def make() -> str:
        overview: Overview = await console.desk.campaign(by, campaign, t("ja", "en-US"))
        return fragment(console, "campaign_live.html", t, o=overview)

    # What one may see depends on the role alone, so readers of one role share one piece.
    role = "welfare" if is_welfare(by) else "others"
    return await request.app[LIVE].stream(request, ("safety", campaign, role, t.language), make)


async def again(request: web.Request) -> web.Response:
    """もう一度: everybody is asked anew."""
    console, typed = request.app[CONSOLE], await fields(request)
    campaign = request.match_info["id"]
    await console.desk.ask_again(sitting(request).person, campaign, mode=typed.get("_mode", ""))
    raise web.HTTPSeeOther(f"/safety/{campaign}")


async def end(request: web.Request) -> web.Response:
    """Nobody is asked any more."""
    console, typed = request.app[CONSOLE], await fields(request)
    campaign = request.match_info["id"]
    await console.desk.end_asking(sitting(request).person, campaign, mode=typed.get("_mode", ""))
    raise web.HTTPSeeOther(f"/safety/{campaign}")


async def release(request: web.Request) -> web.Response:
    """災対法49条の11第3項: asked for, with a reason and an end; or ended."""
    console, by, typed = request.app[CONSOLE], sitting(request).person, await fields(request)
    try:
        if typed.get("_act") == "end":
            await console.desk.end_release(by)
        else:
            await console.desk.propose_release(by, reason=typed.get("reason", ""), hours=typed.get("hours", ""))
    except InvalidInput as refused:
        return await _index(request, posted=typed, refused=refused)
    raise web.HTTPSeeOther("/safety#release")


async def watch(request: web.Request) -> web.Response:
    """見守り: asked for, every day at a time; or ended at once."""
    console, by, typed = request.app[CONSOLE], sitting(request).person, await fields(request)
    try:
        if typed.get("_act") == "end":
            await console.desk.end_watch(by, mode=typed.get("_mode", ""))
        else:
            quarters = await all_of(request, "area")
            time, mode = typed.get("time", ""), typed.get("_mode", "")
            await console.desk.propose_watch(by, quarters=quarters, time=time, mode=mode)
    except InvalidInput as refused:
        return await _index(request, posted=typed, refused=refused)
    raise web.HTTPSeeOther("/safety#watch")


ROUTES = (
    web.get("/safety", index),
    web.post("/safety/watch", watch),
    web.post("/safety/begin", begin),
    web.post("/safety/waiting/{key}/{answer:yes|no}", agree),
    web.post("/safety/release", release),
    web.get("/safety/{id}", show),
    web.get("/safety/{id}/events", events),
    web.post("/safety/{id}/again", again),
    web.post("/safety/{id}/end", end),
)
