"""承認: what would go out, against what went out before; to whom; and the one button that names the act.

Whoever decides sees exactly what the button binds to: the form bears the hash of what was shown, and the words that were shown,
so a page that has grown old is refused with the differences and never sends something else.

    pending     another person approves, returns or rejects it      (who submitted it sees why they cannot)
    訂正 取消     one person sends it from here
    緊急発表      nobody else is there: a fresh second factor
    事後承認      a second person confirms what one sent alone

Source: mockups `approve.html`; design.md §9; issue "Console" 5.
"""

import json
from collections.abc import Mapping, Sequence

from aiohttp import web

from dispatcher import cap
from dispatcher.channel import with_banner
from dispatcher.errors import Finding, InvalidInput, NotFound, Refused, StaleHash
from dispatcher.model.draft import ENDING, ONE_PERSON, STALE_AFTER, Draft, State, Verb
from dispatcher.staff.console.attention import WATCH
from dispatcher.staff.console.case import Case, case_of, since_last_submission
from dispatcher.staff.console.difference import Row, readable, rows
from dispatcher.staff.console.frame import CONSOLE, Console, render, sitting, words
from dispatcher.staff.console.outline import act_words
from dispatcher.staff.console.posted import fields
from dispatcher.staff.console.preview import SHOWN, previews
from dispatcher.staff.console.refusals import refused
from dispatcher.staff.console.words import Words
from dispatcher.staff.rules import Act, allowed
from dispatcher.staff.sessions import Person

SENDING: Mapping[Verb, Act] = {Verb.CORRECT: Act.CORRECT, Verb.RETRACT: Act.RETRACT}
ISSUED = frozenset({State.DISPATCHING, State.LIVE, State.ENDED, State.CLOSED})
REASONS = (
    ("区域が違う", "Wrong area"),
    ("時刻・水位などが古い", "Old figures"),
    ("文が分かりにくい", "Hard to understand"),
    ("いまは要らない", "Not needed now"),
)


# -- pages -------------------------------------------------------------------------------------------------------------


async def index(request: web.Request) -> web.StreamResponse:
    """Everything that waits for somebody's decision."""
    console, who = request.app[CONSOLE], sitting(request)
    reading = await request.app[WATCH].reading(who.person)
    waiting = [d for d in reading.drafts if d.state in {State.PENDING, State.STALE}]
    mine = {
        d.identifier: allowed(who.person.name, who.person.roles, Act.APPROVE, console.path.mode, d) for d in waiting
    }
    return await render(
        request,
        "approvals.html",
        waiting=waiting,
        unconfirmed=reading.unconfirmed,
        why=mine,
        left={d.identifier: _left_s(console, d) for d in waiting},
        place=lambda codes: console.path.city.say(codes, who.words("ja", "en-US")),
    )


async def show(request: web.Request) -> web.StreamResponse:
    return await _show(request)


async def _show(
    request: web.Request,
    *,
    status: int = 200,
    reason: str = "",
    findings: Sequence[Finding] = (),
    changed: Sequence[Row] = (),
    typed: Mapping[str, str] | None = None,
) -> web.Response:
    console, who, t = request.app[CONSOLE], sitting(request), words(request)
    case = await case_of(console, who.person, request.match_info["id"], t)
    draft = case.draft
    mode = console.path.mode
    after = readable(with_banner(case.prepared.alert, mode), t)
    before = readable(with_banner(cap.read(case.previous.cap_xml), mode), t) if case.previous else None
    may, why = _may(console, who.person, case)
    number = await request.app[WATCH].number(draft.identifier) if draft.state in ISSUED else len(case.chain) + 1
    return await render(
        request,
        "approve.html",
        status=status,
        case=case,
        draft=draft,
        info=case.prepared.alert.info_in(t("ja", "en-US")),
        number=number,
        rows=rows(before, after),
        has_before=before is not None,
        since=since_last_submission(draft, t),
        shown=json.dumps(after, ensure_ascii=False),
        act=act_words(draft, console.mode, console.path.city, t, case.original if draft.verb in SENDING else None),
        may=may,
        why=why,
        left_s=_left_s(console, draft),
        previews=previews(console, case.prepared, request.app[SHOWN], t),
        reasons=[t(*pair) for pair in REASONS],
        reason=reason,
        findings=findings,
        changed=changed,
        typed=typed or {},
        is_ending=draft.verb in ENDING,
    )


def _may(console: Console, by: Person, case: Case) -> tuple[Mapping[str, bool], str]:
    """What this person may press here, and why not the first of it."""
    draft, mode = case.draft, console.path.mode
    is_one_person = draft.verb in ONE_PERSON
    sent = State(case.previous.state) if case.previous and draft.state is State.DRAFT else None
    why_not = {
        "approve": allowed(by.name, by.roles, Act.APPROVE, mode, draft),
        "return": allowed(by.name, by.roles, Act.SEND_BACK, mode, draft),
        "reject": allowed(by.name, by.roles, Act.REJECT, mode, draft),
        "confirm": allowed(by.name, by.roles, Act.CONFIRM, mode, draft),
        "glass": "" if is_one_person else allowed(by.name, by.roles, Act.BREAK_GLASS, mode, draft),
        "send": allowed(by.name, by.roles, SENDING[draft.verb], mode, draft, sent) if is_one_person else "two people",
    }
    may = {name: not reason for name, reason in why_not.items()}
    may["glass"] &= not is_one_person
    may["send"] &= is_one_person and draft.state is State.DRAFT
    may["confirm"] &= draft.state in ISSUED
    return may, why_not["send"] if is_one_person and draft.state is State.DRAFT else why_not["approve"]


def _left_s(console: Console, draft: Draft) -> float | None:
    """Until a submission is out of time, in seconds."""
    if draft.state is not State.PENDING or draft.submitted_at is None:
        return None
    return (draft.submitted_at + STALE_AFTER - console.clock.now()).total_seconds()


# -- acts --------------------------------------------------------------------------------------------------------------


async def approve(request: web.Request) -> web.StreamResponse:
    """The button that sends. A page that has grown old comes back with what has changed since it was shown."""
    console, who, typed = request.app[CONSOLE], sitting(request), await fields(request)
    identifier = request.match_info["id"]
    try:
        _require_read(typed, who.words)
        draft, _ = await console.desk.preview(who.person, identifier)
        if draft.verb in ONE_PERSON and draft.state is State.DRAFT:
            _require_version(draft, typed, who.words)
            issued = await console.desk.send(who.person, identifier, mode=console.mode, version=draft.version)
        else:
            issued = await console.desk.approve(
                who.person, identifier, shown=typed.get("_hash"), mode=typed.get("_mode", "")
            )
    except Refused as error:
        return await _again(request, error, typed)
    return _to(f"/alerts/{issued.identifier}")


async def break_glass(request: web.Request) -> web.StreamResponse:
    """緊急発表: nobody else is there."""
    console, who, typed = request.app[CONSOLE], sitting(request), await fields(request)
    identifier = request.match_info["id"]
    try:
        _require_read(typed, who.words)
        draft, _ = await console.desk.preview(who.person, identifier)
        _require_version(draft, typed, who.words)
        issued = await console.desk.break_glass(
            who.person, identifier, mode=typed.get("_mode", ""), factor=typed.get("code", "")
        )
    except Refused as error:
        return await _again(request, error, typed)
    return _to(f"/alerts/{issued.identifier}")


async def put_aside(request: web.Request) -> web.StreamResponse:
    """差戻し, 却下: with the reason for who wrote it."""
    console, who, typed = request.app[CONSOLE], sitting(request), await fields(request)
    identifier, act = request.match_info["id"], request.match_info["act"]
    reason = "：".join(filter(None, (typed.get("why", "").strip(), typed.get("note", "").strip())))
    try:
        _require_version((await console.desk.preview(who.person, identifier))[0], typed, who.words)
        if act == "return":
            await console.desk.send_back(who.person, identifier, reason, mode=typed.get("_mode", ""))
        else:
            await console.desk.reject(who.person, identifier, reason, mode=typed.get("_mode", ""))
    except Refused as error:
        return await _again(request, error, typed)
    return _to("/")


async def confirm(request: web.Request) -> web.StreamResponse:
    """事後承認 of what one person sent alone."""
    console, who, typed = request.app[CONSOLE], sitting(request), await fields(request)
    identifier = request.match_info["id"]
    try:
        _require_read(typed, who.words)
        await console.desk.confirm(who.person, identifier, mode=typed.get("_mode", ""))
    except Refused as error:
        return await _again(request, error, typed)
    return _to(f"/alerts/{identifier}")


async def _again(request: web.Request, error: Refused, typed: Mapping[str, str]) -> web.Response:
    """The page as it stands now, with the reason, what was typed, and what is no longer as it was shown."""
    if isinstance(error, NotFound):
        return await refused(request, error)
    console, who, t = request.app[CONSOLE], sitting(request), words(request)
    case = await case_of(console, who.person, request.match_info["id"], t)
    now = readable(with_banner(case.prepared.alert, console.path.mode), t)
    was = _was_shown(typed.get("_shown", ""))
    changed = [row for row in rows(was, now) if row.is_changed] if was is not None and set(was) & set(now) else []
    found = error.findings if isinstance(error, InvalidInput) else ()
    return await _show(
        request,
        status=error.http_status,
        reason="" if found else str(error),
        findings=found,
        changed=changed if isinstance(error, StaleHash) or case.draft.state is not State.PENDING else (),
        typed=typed,
    )


def _was_shown(text: str) -> dict[str, str] | None:
    """What the page showed, as its form carried it; it is shown to the same person again and decides nothing."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return {str(k): str(v) for k, v in said.items()} if isinstance(said, dict) else None


def _require_read(typed: Mapping[str, str], t: Words) -> None:
    if typed.get("read") != "yes":
        reason = t("読んで確かめたら、しるしを付けてください", "Read it and tick the box") + " (not ticked)"
        raise InvalidInput([Finding("read", reason)])


def _require_version(draft: Draft, typed: Mapping[str, str], t: Words) -> None:
    """What was on the screen is what stands there: for acts that no hash of a submission binds."""
    if typed.get("_version") != str(draft.version):
        said = t(
            "画面を開いたあとに変わっています。もう一度読んでください",
            "It changed after this page was opened: read it again",
        )
        raise StaleHash(f"{said} (version {draft.version})")


def _to(where: str) -> web.Response:
    return web.Response(status=303, headers={"Location": where})


ROUTES = (
    web.get("/approve", index),
    web.get("/drafts/{id}/approve", show),
    web.post("/drafts/{id}/approve", approve),
    web.post("/drafts/{id}/break-glass", break_glass),
    web.post("/drafts/{id}/confirm", confirm),
    web.post("/drafts/{id}/{act:return|reject}", put_aside),
)
