"""作成: one form for a message, beside it what every medium will show, and each finding at its field.

Every button posts the whole form, so the page is complete without a script: 見え方を確かめる draws it again, 区域を選ぶ carries
it through the map and back, 下書きに保存 and 承認へ提出 ask the desk. The script only presses the first of these by itself while
somebody types, and keeps what was typed (`/keep`). Where somebody else saved the draft meanwhile, both versions stand side by
side; the one that is not yet saved is in the fields, and nothing is lost.

Source: issue "作成"; mockups `compose.html`; design.md §7, §9.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from aiohttp import web

from config.templates import LANGUAGES
from config.words import language_name
from dispatcher.errors import Finding, InvalidInput, NotFound, StaleHash
from dispatcher.model.draft import ONE_PERSON, WORDS, Draft, Verb
from dispatcher.path import Prepared
from dispatcher.staff.boards import WAITING
from dispatcher.staff.console import area, preview
from dispatcher.staff.console.form import (
    HAZARDS,
    TEXTS,
    TIMES,
    Filled,
    Form,
    differences,
    hazards_of,
    is_reviewed,
    new_key,
    offered,
    place_of,
)
from dispatcher.staff.console.frame import render
from dispatcher.staff.console.posted import all_of, fields
from dispatcher.staff.console.room import CONSOLE, Console, sitting, words
from dispatcher.staff.console.sheet import Sheet, in_words, sheet_of
from dispatcher.staff.console.words import Words
from dispatcher.staff.notebook import HalfWritten
from dispatcher.staff.rules import Act, allowed

LABELS: Mapping[str, tuple[str, str]] = {
    "headline": ("見出し", "Headline"),
    "description": ("何が起きているか", "What is happening"),
    "instruction": ("どうするか", "What to do"),
    "short": ("1行の文", "One line"),
}


# -- pages -----------------------------------------------------------------------------------------------------------


async def compose(request: web.Request) -> web.Response:
    """A blank form; one begun with an area, a report or an earlier alert; or one that was left half written."""
    console, by = request.app[CONSOLE], sitting(request).person
    asked = request.query
    if key := asked.get("key"):
        kept = await console.desk.form(by, key)
        if kept is None:
            raise NotFound("書きかけは残っていません (nothing half written under this name)")
        return await _show(request, Form.from_body(kept.body), kept=kept)
    form = Form(new_key())
    if of := asked.get("of"):
        verb = asked.get("verb", "")
        before = Draft.from_body(*await console.path.ledger.draft(of))
        form = Form.following(before, Verb(verb) if verb in set(Verb) else Verb.UPDATE, console.clock.now())
    if report := asked.get("report"):
        heard = await console.desk.report(by, report)
        form = replace(form, cause=heard.text.rstrip("。"), quarters=heard.quarters)
    if chosen := [code for code in asked.getall("area", []) if code in console.path.city.quarters]:
        form = replace(form, quarters=tuple(dict.fromkeys(chosen)))
    return await _show(request, form)


async def draft(request: web.Request) -> web.Response:
    """A saved draft, with what this person has typed since and not saved."""
    console, by = request.app[CONSOLE], sitting(request).person
    saved, prepared = await console.desk.preview(by, request.match_info["id"])
    form = Form.of_draft(saved, console.clock.now())
    kept = await console.desk.form(by, saved.identifier) if saved.state in WAITING else None
    if kept is None:
        return await _show(request, form, saved=saved, prepared=prepared)
    mine = Form.from_body(kept.body)
    if mine.version != saved.version:
        return await _conflict(request, mine, saved)
    return await _show(request, mine, saved=saved, kept=kept)


async def shown(request: web.Request) -> web.Response:
    """見え方を確かめる: the same form drawn again. Nothing is saved."""
    return await _show(request, await _posted(request), saved=await _saved(request))


async def choosing(request: web.Request) -> web.Response:
    """区域を選ぶ: the map, carrying the whole form through it and back."""
    form = await _posted(request)
    carried = [
        (name, value) for name, value in (await fields(request)).items() if name not in {"_seal", "_act", "area"}
    ]
    return await area.choose(request, form.quarters, back=_address(request), carried=carried)


async def keep(request: web.Request) -> web.Response:
    """What was typed so far, kept for this person; asked by the script."""
    console, by = request.app[CONSOLE], sitting(request).person
    form = await _posted(request)
    version = (await fields(request)).get("_kept", "")
    try:
        kept = await console.desk.keep_form(by, form.key, form.body(), int(version) if version.isdigit() else 0)
    except StaleHash:
        # The same person writes in two windows: each keeps its own.
        form = replace(form, key=f"{form.key[:60]}.{new_key()[-4:]}") if form.is_new else form
        found = await console.desk.form(by, form.key)
        kept = await console.desk.keep_form(by, form.key, form.body(), found.version if found else 0)
    t = words(request)
    return web.json_response(
        {"key": form.key, "kept": kept.version, "said": t("自動保存", "Saved automatically") + f" {t.second(kept.at)}"}
    )


async def save(request: web.Request) -> web.Response:
    """下書きに保存."""
    form = await _posted(request)
    try:
        saved, _ = await _written(request, form)
    except InvalidInput as refused:
        return await _show(request, form, saved=await _saved(request), refused=refused.findings, status=422)
    except StaleHash:
        return await _conflict(request, form, await _saved(request))
    raise web.HTTPSeeOther(f"/drafts/{saved.identifier}?saved=1")


async def submit(request: web.Request) -> web.Response:
    """承認へ提出: saved, then a second person is asked; 訂正 goes to the page that sends it."""
    console, by = request.app[CONSOLE], sitting(request).person
    form = await _posted(request)
    try:
        saved, prepared = await _written(request, form)
        _require_sound(prepared)
        if saved.verb not in ONE_PERSON:
            await console.desk.submit(by, saved.identifier, mode=console.mode)
    except InvalidInput as refused:
        written = await _draft_of(console, form, request)
        form = replace(form, key=written.identifier, version=written.version) if written is not None else form
        return await _show(request, form, saved=written, refused=refused.findings, status=422)
    except StaleHash:
        return await _conflict(request, form, await _saved(request))
    raise web.HTTPSeeOther(f"/drafts/{saved.identifier}/approve")


async def discard(request: web.Request) -> web.Response:
    """A half-written form is not wanted any more."""
    console, by = request.app[CONSOLE], sitting(request).person
    await console.desk.drop_form(by, (await fields(request)).get("_key", ""))
    raise web.HTTPSeeOther("/compose")


# -- what they have in common ----------------------------------------------------------------------------------------


WRITTEN = web.RequestKey("written", Draft)
"""The draft that this request has saved, so that a refusal after it does not save a second one."""


async def _written(request: web.Request, form: Form) -> tuple[Draft, Prepared[Any]]:
    console, by = request.app[CONSOLE], sitting(request).person
    typed = form.typed(console.clock.now())
    if form.is_new:
        saved, prepared = await console.desk.draft(by, typed, mode=console.mode)
    else:
        saved, prepared = await console.desk.edit(by, form.key, form.version, typed, mode=console.mode)
    request[WRITTEN] = saved
    await console.desk.drop_form(by, form.key)
    return saved, prepared


def _require_sound(prepared: Prepared[Any]) -> None:
    if prepared.blocking:
        raise InvalidInput(prepared.blocking)


async def _draft_of(console: Console, form: Form, request: web.Request) -> Draft | None:
    written: Draft | None = request.get(WRITTEN)
    if written is not None:
        return written
    return Draft.from_body(*await console.path.ledger.draft(form.key)) if not form.is_new else None


async def _posted(request: web.Request) -> Form:
    form = Form.of_fields(await fields(request), await all_of(request, "area"))
    if "id" in request.match_info and form.key != request.match_info["id"]:
        raise NotFound("この下書きの書式ではありません (a form of another draft)")
    return form


async def _saved(request: web.Request) -> Draft | None:
    """The draft that the address names."""
    identifier = request.match_info.get("id")
    return Draft.from_body(*await request.app[CONSOLE].path.ledger.draft(identifier)) if identifier else None


def _address(request: web.Request) -> str:
    identifier = request.match_info.get("id")
    return f"/drafts/{identifier}" if identifier else "/compose"


async def _show(
    request: web.Request,
    form: Form,
    *,
    saved: Draft | None = None,
    prepared: Prepared[Any] | None = None,
    kept: HalfWritten | None = None,
    refused: Sequence[Finding] = (),
    theirs: Form | None = None,
    status: int = 200,
) -> web.Response:
    console, t = request.app[CONSOLE], words(request)
    if form.is_blank and not refused:
        sheet = Sheet(form, None, Filled({}, "", "", ""), None, None, ())
    else:
        sheet = await sheet_of(request, form, prepared)
    if refused and not sheet.blocking:
        sheet = replace(sheet, findings=(*refused, *sheet.findings))
    by = sitting(request).person
    unsaved = () if saved or form.of else [h for h in await console.desk.half_written(by) if h.key.startswith("new-")]
    return await render(
        request,
        "compose.html",
        status=status,
        sheet=sheet,
        form=form,
        saved=saved,
        kept=kept,
        theirs=theirs,
        apart=list(differences(form, theirs, console.path.city)) if theirs else [],
        half_written=[h for h in unsaved if h.key != form.key],
        address=_address(request) if saved is None else f"/drafts/{saved.identifier}",
        templates=offered(console.path.mode, form.verb),
        hazards=hazards_of(sheet.template),
        previews=preview.previews(console, sheet.prepared, request.app[preview.SHOWN], t) if sheet.prepared else (),
        times=in_words(sheet, console, t),
        verb=WORDS[form.verb],
        refusal=allowed(by.name, by.roles, Act.EDIT if saved else Act.WRITE, console.path.mode, saved),
        is_tried=not form.is_blank,
        is_refused=bool(refused),
        was_saved="saved" in request.query,
        **_words_of_the_form(t),
    )


async def _conflict(request: web.Request, mine: Form, saved: Draft | None) -> web.Response:
    """Somebody else saved it meanwhile: both side by side; saving again is over theirs, knowingly."""
    if saved is None:
        raise NotFound("下書きがありません (no such draft)")
    theirs = Form.of_draft(saved, request.app[CONSOLE].clock.now())
    mine = replace(mine, version=saved.version)
    return await _show(request, mine, saved=saved, theirs=theirs, status=409)


def _words_of_the_form(t: Words) -> dict[str, Any]:
    return {
        "LABELS": {name: t(*said) for name, said in LABELS.items()},
        "HAZARDS": {name: t(*said) for name, said in HAZARDS.items()},
        "LANGUAGES": LANGUAGES,
        "TEXTS": TEXTS,
        "TIMES": TIMES,
        "is_reviewed": is_reviewed,
        "language_name": language_name,
        "place_of": place_of,
    }


ROUTES = [
    web.get("/compose", compose),
    web.post("/compose", shown),
    web.post("/compose/areas", choosing),
    web.post("/compose/keep", keep),
    web.post("/compose/save", save),
    web.post("/compose/submit", submit),
    web.post("/compose/discard", discard),
    web.get("/drafts/{id}", draft),
    web.post("/drafts/{id}", shown),
    web.post("/drafts/{id}/areas", choosing),
    web.post("/drafts/{id}/keep", keep),
    web.post("/drafts/{id}/save", save),
    web.post("/drafts/{id}/submit", submit),
]
