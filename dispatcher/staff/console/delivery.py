"""配信板: how far one alert has come on each medium, live; who has it and who has not; and the way to take it back.

The figures are pushed as they change, one piece made once for everybody who looks; without a script there is a link to read them
again, and a reload by itself for who asks for it. Retraction stands one key away on every page of a living alert: its confirmation
page names the act, and that page's button sends it, by one person.

Source: mockups `delivery.html`; issue "Console" 6; design.md §3, §8.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from dispatcher.channel import with_banner
from dispatcher.errors import Finding, InvalidInput, Refused
from dispatcher.ledger import DestinationStatus
from dispatcher.model.delivery import Outcome, Receipt
from dispatcher.model.draft import Draft, State, Verb
from dispatcher.staff.console.attention import WATCH
from dispatcher.staff.console.frame import CONSOLE, Console, fragment, render, sitting, words
from dispatcher.staff.console.live import LIVE
from dispatcher.staff.console.outline import Outline, act_words, outline
from dispatcher.staff.console.posted import fields, is_local
from dispatcher.staff.console.words import Words
from dispatcher.staff.masking import masked, without_address
from dispatcher.staff.rules import Act, allowed
from dispatcher.staff.sessions import Person
from dispatcher.steps.accept import Typed

SHOWN_ENDED = 30
SHOWN_DESTINATIONS = 200
RELOAD_S = 30
FOLLOWING: Mapping[Verb, Act] = {Verb.UPDATE: Act.UPDATE, Verb.CORRECT: Act.CORRECT, Verb.LIFT: Act.LIFT}


async def index(request: web.Request) -> web.StreamResponse:
    """What lives, the worst first; then what is over, the newest first."""
    console, watch, t = request.app[CONSOLE], request.app[WATCH], words(request)
    person = sitting(request).person
    living = (await watch.reading(person)).outlines(console, t)
    over = []
    for alert in await console.path.ledger.alerts():
        if alert.state not in {State.DISPATCHING, State.LIVE}:
            over.append(await _outline(request, alert.identifier))
        if len(over) == SHOWN_ENDED:
            break
    return await render(request, "alerts.html", living=living, over=over)


async def _outline(request: web.Request, identifier: str) -> Outline:
    console, watch = request.app[CONSOLE], request.app[WATCH]
    board = await console.desk.board(sitting(request).person, identifier)
    draft, number = await watch.draft(identifier), await watch.number(identifier)
    return outline(board, draft, number, console.path.city, words(request))


async def show(request: web.Request) -> web.StreamResponse:
    """One alert."""
    console, person = request.app[CONSOLE], sitting(request).person
    found = await _outline(request, request.match_info["id"])
    return await render(
        request,
        "delivery.html",
        o=found,
        may=_may(console, person, found),
        followed_by=await _followed_by(console, found),
        kinds=list(console.path.channels),
        is_reloading=request.query.get("auto") == "1",
        reload_s=RELOAD_S,
    )


def _may(console: Console, person: Person, found: Outline) -> Mapping[str, bool]:
    state, mode = State(found.board.alert.state), console.path.mode

    def is_allowed(act: Act) -> bool:
        return not allowed(person.name, person.roles, act, mode, found.draft, state)

    may = {verb.value: is_allowed(act) and not found.ends_chain for verb, act in FOLLOWING.items()}
    return may | {
        "retract": is_allowed(Act.RETRACT) and found.draft.verb is not Verb.RETRACT,
        "retry": is_allowed(Act.RETRY),
        "switch": is_allowed(Act.SWITCH),
    }


async def _followed_by(console: Console, found: Outline) -> str:
    """The later alert of its chain, by identifier; "" if it is the last word."""
    chain = [a for a in await console.path.ledger.alerts() if a.chain == found.board.alert.chain]
    newest = max(chain, key=lambda a: a.issued_at)
    return "" if newest.identifier == found.identifier else newest.identifier


async def events(request: web.Request) -> web.StreamResponse:
    """The moving parts of one alert as they change; the same bytes for everybody who looks in this language."""
    console, t = request.app[CONSOLE], words(request)
    identifier = request.match_info["id"]
    await console.path.ledger.alert(identifier)

    async def make() -> str:
        # Only cells that move are taken out of it, so nobody's buttons stand in what everybody gets.
        return fragment(console, "delivery_live.html", t, o=await _outline(request, identifier), may={"retry": False})

    return await request.app[LIVE].stream(request, ("alert", identifier, t.language), make)


# -- who has it --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recipient:
    """One destination as staff may see it: a mail address never in full."""

    name: str
    state: str
    word: str
    words: str
    seen: Mapping[str, Any]


async def destinations(request: web.Request) -> web.StreamResponse:
    """Who has it and who has not, on one medium; the open ones unless all are asked for."""
    console, t = request.app[CONSOLE], words(request)
    found = await _outline(request, request.match_info["id"])
    kinds = [line.tally.channel for line in found.lines]
    kind = request.query.get("kind", "")
    kind = kind if kind in kinds else next(iter(kinds), "")
    shows_all = request.query.get("show") == "all"
    after = int(said) if (said := request.query.get("after", "0")).isdecimal() and len(said) < 9 else 0
    page: list[Recipient] = []
    count = 0
    async for status in console.path.ledger.destinations(found.identifier, kind):
        if not shows_all and not _is_open(status):
            continue
        count += 1
        if after < count <= after + SHOWN_DESTINATIONS:
            page.append(_recipient(without_address(status), t))
    return await render(
        request,
        "destinations.html",
        o=found,
        kinds=kinds,
        kind=kind,
        shows_all=shows_all,
        page=page,
        count=count,
        after=after,
        size=SHOWN_DESTINATIONS,
    )


def _is_open(status: DestinationStatus) -> bool:
    """Has nothing been heard of it, or only a no?"""
    return status.outcome not in {Outcome.TAKEN, Outcome.DUPLICATE} or Receipt.BOUNCED in status.receipts


def _recipient(status: DestinationStatus, t: Words) -> Recipient:
    seen = {
        word: status.receipts.get(receipt)
        for receipt, word in (
            (Receipt.DELIVERED, "delivered"),
            (Receipt.DISPLAYED, "displayed"),
            (Receipt.ACKNOWLEDGED, "acknowledged"),
        )
    }
    state, word = {
        Outcome.TAKEN: ("done", t("受領", "taken")),
        Outcome.DUPLICATE: ("done", t("受領", "taken")),
        Outcome.TEMPORARY: ("retry", t("再送待ち", "retrying")),
        Outcome.PERMANENT: ("fail", t("失敗", "failed")),
        Outcome.UNKNOWN: ("retry", t("返事なし", "no answer")),
        None: ("wait", t("まだ", "not yet")),
    }[status.outcome]
    if Receipt.BOUNCED in status.receipts:
        state, word = "fail", t("戻りました", "bounced")
    return Recipient(status.name or masked(status.address), state, word, status.words, seen)


# -- acts --------------------------------------------------------------------------------------------------------------


async def retry(request: web.Request) -> web.StreamResponse:
    """What waits after a failure is tried now."""
    identifier = request.match_info["id"]
    await request.app[CONSOLE].desk.retry(sitting(request).person, identifier, request.match_info["kind"])
    return _to(f"/alerts/{identifier}")


async def switch(request: web.Request) -> web.StreamResponse:
    """Close a medium, or open it again."""
    console, typed = request.app[CONSOLE], await fields(request)
    kind, person = typed.get("kind", ""), sitting(request).person
    if request.match_info["act"] == "pause":
        await console.desk.pause(person, kind, typed.get("reason", ""))
    else:
        await console.desk.resume(person, kind)
    went_to = typed.get("_from", "/")
    return _to(went_to if is_local(went_to) else "/")


async def retraction(request: web.Request) -> web.StreamResponse:
    """The page on which 取消 is confirmed: what it would say, and the button that says what it does."""
    return await _retraction(request, note=words(request)(NOTE, NOTE))


NOTE = "誤って発表しました"
"""What was wrong, where nobody has time to write more: at the worst moment one press is enough."""


async def _retraction(
    request: web.Request, *, note: str, status: int = 200, reason: str = "", findings: Sequence[Finding] = ()
) -> web.Response:
    console, t, person = request.app[CONSOLE], words(request), sitting(request).person
    found = await _outline(request, request.match_info["id"])
    typed = Typed(verb=Verb.RETRACT, of=found.identifier, areas=found.draft.quarters, note=note or NOTE)
    prepared = None
    try:
        prepared = await console.desk.try_draft(person, typed)
    except Refused as error:
        reason = reason or str(error)
    retracting: Draft = replace(found.draft, verb=Verb.RETRACT)
    return await render(
        request,
        "retract.html",
        status=status,
        o=found,
        says=with_banner(prepared.alert, console.path.mode).info if prepared else (),
        act=act_words(retracting, console.mode, console.path.city, t),
        may=_may(console, person, found)["retract"],
        followed_by=await _followed_by(console, found),
        note=note,
        reason=reason,
        findings=findings,
    )


async def retract(request: web.Request) -> web.StreamResponse:
    """取消, by one person, now."""
    console, typed = request.app[CONSOLE], await fields(request)
    identifier, note = request.match_info["id"], typed.get("note", "").strip()
    try:
        _, issued = await console.desk.follow(
            sitting(request).person, Verb.RETRACT, identifier, Typed(note=note), mode=typed.get("_mode", "")
        )
    except Refused as error:
        found = error.findings if isinstance(error, InvalidInput) else ()
        said = "" if found else str(error)
        return await _retraction(request, note=note, status=error.http_status, reason=said, findings=found)
    return _to(f"/alerts/{issued.identifier if issued else identifier}")


def _to(where: str) -> web.Response:
    return web.Response(status=303, headers={"Location": where})


ROUTES = (
    web.get("/alerts", index),
    web.get("/alerts/{id}", show),
    web.get("/alerts/{id}/events", events),
    web.get("/alerts/{id}/destinations", destinations),
    web.get("/alerts/{id}/retract", retraction),
    web.post("/alerts/{id}/retract", retract),
    web.post("/alerts/{id}/channels/{kind}/retry", retry),
    web.post("/channels/{act:pause|resume}", switch),
)
