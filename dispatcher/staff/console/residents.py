"""One resident's page, looking somebody up, the lists on paper, and reports that match nobody yet: for the role welfare alone.

What was typed to search with travels in a form and never in an address, because addresses stand in histories and logs. The visit
list is a page to print: by quarter, with boxes to tick and room to write; people under 閲覧制限 stand on a sheet of their own.

Source: mockups `safety.html`; design.md §8 "Privacy"; issue "visit list on paper".
"""

from collections.abc import Sequence

from aiohttp import web

from dispatcher.errors import Finding, InvalidInput
from dispatcher.staff.console.frame import render
from dispatcher.staff.console.posted import fields
from dispatcher.staff.console.room import CONSOLE, sitting, words
from dispatcher.staff.lookups import WHY
from dispatcher.staff.welfare import Case, Said

FOUND_AT_MOST = 20


async def person(request: web.Request) -> web.Response:
    return await _person(request)


async def _person(
    request: web.Request, *, posted: Said | None = None, findings: Sequence[Finding] = ()
) -> web.Response:
    console, by, t = request.app[CONSOLE], sitting(request).person, words(request)
    campaign = request.match_info["id"]
    case = await console.desk.case(by, campaign, request.match_info["person"])
    return await render(
        request,
        "case.html",
        status=422 if findings else 200,
        o=await console.desk.campaign(by, campaign, t("ja", "en-US")),
        c=case,
        posted=posted or Said("", "", saw=False, text="", by=""),
        findings=findings,
        back=f"/safety/{campaign}/sealed" if case.is_restricted else f"/safety/{campaign}",
    )


async def answer(request: web.Request) -> web.Response:
    """What somebody said on the phone or at the door."""
    console, by, typed = request.app[CONSOLE], sitting(request).person, await fields(request)
    said = Said(
        typed.get("answer", ""),
        typed.get("source", ""),
        saw=typed.get("saw") == "1",
        text=typed.get("text", ""),
        by=typed.get("by", ""),
    )
    campaign, who = request.match_info["id"], request.match_info["person"]
    try:
        await console.desk.answer_for(by, campaign, who, said)
    except InvalidInput as refused:
        return await _person(request, posted=said, findings=refused.findings)
    raise web.HTTPSeeOther(f"/safety/{campaign}/people/{who}")


async def take(request: web.Request) -> web.Response:
    """引き受ける."""
    campaign, who = request.match_info["id"], request.match_info["person"]
    await request.app[CONSOLE].desk.take_on(sitting(request).person, campaign, who)
    raise web.HTTPSeeOther(f"/safety/{campaign}/people/{who}")


async def resolve(request: web.Request) -> web.Response:
    """It is settled."""
    campaign, who = request.match_info["id"], request.match_info["person"]
    await request.app[CONSOLE].desk.resolve(sitting(request).person, campaign, who)
    raise web.HTTPSeeOther(f"/safety/{campaign}")


async def exempt(request: web.Request) -> web.Response:
    """They need not be asked."""
    campaign, who = request.match_info["id"], request.match_info["person"]
    await request.app[CONSOLE].desk.exempt(sitting(request).person, campaign, who)
    raise web.HTTPSeeOther(f"/safety/{campaign}/people/{who}")


async def search(request: web.Request) -> web.Response:
    """Who it may be; without a reason nothing is looked at."""
    console, by, t = request.app[CONSOLE], sitting(request).person, words(request)
    typed, campaign = await fields(request), request.match_info["id"]
    findings: Sequence[Finding] = ()
    found: Sequence[Case] = ()
    try:
        found = await console.desk.look_up(
            by, campaign, typed.get("_words", ""), reason=typed.get("reason", ""), at_most=FOUND_AT_MOST
        )
    except InvalidInput as refused:
        findings = refused.findings
    return await render(
        request,
        "found.html",
        status=422 if findings else 200,
        o=await console.desk.campaign(by, campaign, t("ja", "en-US")),
        found=found,
        most=FOUND_AT_MOST,
        findings=findings,
        typed={"_words": "", "reason": "", **typed},
        whys=[(why.value, t(*said)) for why, said in WHY.items()],
    )


async def visits(request: web.Request) -> web.Response:
    """The visit list, a sheet a quarter."""
    return await _sheets(request, is_sealed=False)


async def supporters(request: web.Request) -> web.Response:
    """The same for supporters: those who agreed to it, or all while a release is in force."""
    return await _sheets(request, is_sealed=False, for_supporters=True)


async def sealed(request: web.Request) -> web.Response:
    """封: those whose whereabouts nobody else may know."""
    return await _sheets(request, is_sealed=True)


async def _sheets(request: web.Request, *, is_sealed: bool, for_supporters: bool = False) -> web.Response:
    console, by, t = request.app[CONSOLE], sitting(request).person, words(request)
    campaign = request.match_info["id"]
    return await render(
        request,
        "visits.html",
        o=await console.desk.campaign(by, campaign, t("ja", "en-US")),
        sheets=await console.desk.visits(by, campaign, is_sealed=is_sealed, for_supporters=for_supporters),
        for_supporters=for_supporters,
        release=await console.desk.release(by),
        is_sealed=is_sealed,
        reports=await console.desk.unmatched(by, campaign, is_sealed=True) if is_sealed else (),
        by=by.name,
    )


async def reports(request: web.Request) -> web.Response:
    """Reports that match nobody on the list yet, each with those whom it may be about."""
    console, by, t = request.app[CONSOLE], sitting(request).person, words(request)
    campaign = request.match_info["id"]
    return await render(
        request,
        "unmatched.html",
        o=await console.desk.campaign(by, campaign, t("ja", "en-US")),
        reports=await console.desk.unmatched(by, campaign),
    )


async def match(request: web.Request) -> web.Response:
    """It is about this person, or about nobody of ours."""
    console, by, typed = request.app[CONSOLE], sitting(request).person, await fields(request)
    campaign = request.match_info["id"]
    await console.desk.match(by, campaign, request.match_info["report"], typed.get("person", ""))
    went_to = "sealed" if typed.get("_sealed") else "reports"
    raise web.HTTPSeeOther(f"/safety/{campaign}/{went_to}")


_PERSON = "/safety/{id}/people/{person}"
ROUTES = (
    web.get(_PERSON, person),
    web.post(f"{_PERSON}/answer", answer),
    web.post(f"{_PERSON}/take", take),
    web.post(f"{_PERSON}/resolve", resolve),
    web.post(f"{_PERSON}/exempt", exempt),
    web.post("/safety/{id}/search", search),
    web.get("/safety/{id}/visits", visits),
    web.get("/safety/{id}/supporters", supporters),
    web.get("/safety/{id}/sealed", sealed),
    web.get("/safety/{id}/reports", reports),
    web.post("/safety/{id}/reports/{report}", match),
)
