"""管理: who may sit here, from where they do, what two admins change, keys by their dates, templates, is the ledger whole?

Nothing here is done by one admin but ending a session, which gives nobody anything. Everything else is a proposal that a second
admin approves; what comes out of it (an enrolment code, a machine's token) is shown once, to the one who said the second yes.

Source: issue "管理"; design.md §9; dispatcher/staff/accounts/acts.py.
"""

import asyncio
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import web

import config.templates
from config.secret import Secret
from config.templates import Template, load_templates
from dispatcher.channel import Channel
from dispatcher.clock import JST
from dispatcher.errors import Finding, InvalidInput, Refused
from dispatcher.operators.kept import walk
from dispatcher.staff.accounts import FORMS, PEOPLES, AdminAct, CarriedOut, Proposal, ProposalState
from dispatcher.staff.console.frame import render
from dispatcher.staff.console.posted import all_of, fields
from dispatcher.staff.console.room import CONSOLE, sitting
from dispatcher.staff.rules import Role

TEMPLATES = Path(config.templates.__file__).parent
SHOWN_DECIDED = 20
_STATES: Mapping[ProposalState, tuple[str, str, str]] = {
    ProposalState.PENDING: ("wait", "二人目を待っています", "waits for a second admin"),
    ProposalState.APPROVED: ("run", "実行の途中", "being carried out"),
    ProposalState.DONE: ("done", "実行しました", "done"),
    ProposalState.REJECTED: ("off", "取り下げ・却下", "rejected"),
    ProposalState.EXPIRED: ("off", "期限切れ", "expired"),
}


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A template as it stands, against what two admins approved for one person's use (緊急発表)."""

    template: Template
    is_approved: bool
    text: str
    difference: tuple[tuple[str, str], ...]
    """(`+`, `-` or ` `, line) against the text that was approved last; empty where that is not kept or is the same."""


@dataclass(frozen=True, slots=True)
class Key:
    """A medium's key by its dates alone; what it says is nobody's business here."""

    channel: str
    where: str
    """Its place in the site file, below the channel."""
    since: datetime | None
    """When its file was written; None for one that stands in no file."""
    former_until: datetime | None
    """A former one is still believed until then."""
    ends: datetime | None


async def admin(request: web.Request) -> web.Response:
    return await _show(request)


async def propose(request: web.Request) -> web.Response:
    """An admin act, to be approved by another admin."""
    console, by, posted = request.app[CONSOLE], sitting(request).person, await fields(request)
    act = request.match_info["act"]
    try:
        await console.accounts.proposals.propose(by, act, await _what(request, act))
    except InvalidInput as refused:
        return await _show(request, act=act, posted=posted, findings=refused.findings)
    raise web.HTTPSeeOther("/admin?proposed=1#proposals")


async def approve(request: web.Request) -> web.Response:
    """The second yes. What is handed over stands on this page and never again."""
    console, by = request.app[CONSOLE], sitting(request).person
    done = await console.accounts.proposals.approve(by, request.match_info["id"])
    if done.proposal.act is AdminAct.TEMPLATE:
        name, digest = done.proposal.what["template"], done.proposal.what["hash"]
        template = load_templates().get(name)
        if template is not None and template.digest == digest:
            text = await asyncio.to_thread((TEMPLATES / f"{name}.yaml").read_text, "utf-8")
            await console.desk.keep_text(by, name, digest, text)
    return await _show(request, done=done)


async def reject(request: web.Request) -> web.Response:
    console, by = request.app[CONSOLE], sitting(request).person
    reason = (await fields(request)).get("reason", "").strip()
    await console.accounts.proposals.reject(by, request.match_info["id"], reason or "理由なし (no reason given)")
    raise web.HTTPSeeOther("/admin#proposals")


async def revoke(request: web.Request) -> web.Response:
    """End a session: one's own, or any as an admin."""
    console, by = request.app[CONSOLE], sitting(request).person
    await console.accounts.revoke(by, request.match_info["id"])
    raise web.HTTPSeeOther("/admin?revoked=1#sessions")


async def verify(request: web.Request) -> web.Response:
    """監査の検証: every chain computed anew."""
    console, by = request.app[CONSOLE], sitting(request).person
    return await _show(request, wrong=tuple(await console.desk.verify(by)))


async def _what(request: web.Request, act: str) -> Mapping[str, Any]:
    """The act's fields as a form gives them, each turned into its type."""
    if act not in FORMS:
        raise Refused(f"{act[:40]}: ありません。あるのは {', '.join(FORMS)} (no such act)")
    posted = await fields(request)
    what: dict[str, Any] = {}
    for name, kind in FORMS[AdminAct(act)].fields.items():
        text = posted.get(name, "").strip()
        if kind is list:
            ticked = [one for one in await all_of(request, name) if one.strip()]
            what[name] = ticked if name != "mail" else [line.strip() for line in text.splitlines() if line.strip()]
        elif kind is int:
            what[name] = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else text
        elif kind is bool:
            what[name] = text == "1"
        else:
            what[name] = text
    return what


def keys_of(channels: Mapping[str, Channel[Any, Any]], now: datetime) -> list[Key]:
    """Every secret of every channel, and every key that ends on a date."""
    found = []
    for kind, channel in channels.items():
        ends = dict(getattr(channel.settings, "ends", tuple)())
        for setting in walk(channel.settings):
            secret = setting.value if isinstance(setting.value, Secret) else None
            if secret is None and setting.where not in ends:
                continue
            path = secret.path if secret is not None else Path(str(setting.value))
            since = datetime.fromtimestamp(path.stat().st_mtime, JST) if path is not None and path.is_file() else None
            formers = [former.until for former in secret.formers if former.holds(now)] if secret is not None else []
            found.append(Key(kind, setting.where, since, max(formers, default=None), ends.get(setting.where)))
    return found


async def _reviewed(request: web.Request, approved: frozenset[str], asked: str) -> list[Reviewed]:
    """Every template; of the one that is asked for also its text, and how it differs from what was approved last."""
    console, by = request.app[CONSOLE], sitting(request).person
    found = []
    for name, template in load_templates().items():
        text = ""
        difference: tuple[tuple[str, str], ...] = ()
        if name == asked:
            text = await asyncio.to_thread((TEMPLATES / f"{name}.yaml").read_text, "utf-8")
            before = await console.desk.kept_text(by, name, besides=template.digest)
            difference = _difference(before, text) if before else ()
        found.append(Reviewed(template, template.digest in approved, text, difference))
    return sorted(found, key=lambda one: (-(one.template.level or 0), one.template.name))


def _difference(before: str, text: str) -> tuple[tuple[str, str], ...]:
    lines = difflib.ndiff(before.splitlines(), text.splitlines())
    return tuple((line[0], line[2:]) for line in lines if line[0] != "?")


async def _show(
    request: web.Request,
    *,
    act: str = "",
    posted: Mapping[str, str] | None = None,
    findings: Sequence[Finding] = (),
    done: CarriedOut | None = None,
    wrong: Sequence[str] | None = None,
) -> web.Response:
    console, by = request.app[CONSOLE], sitting(request).person
    accounts = console.accounts
    is_admin = Role.ADMIN in by.roles
    proposals: Sequence[Proposal] = await accounts.proposals.all() if is_admin else ()
    open_ones = [p for p in proposals if p.state in {ProposalState.PENDING, ProposalState.APPROVED}]
    asked = request.query.get("template", "")
    return await render(
        request,
        "admin.html",
        status=422 if findings else 200,
        is_admin=is_admin,
        people=await accounts.people(),
        sessions=await accounts.sessions(by),
        mine=sitting(request).session.id,
        open_ones=open_ones,
        decided=[p for p in proposals if p not in open_ones][:SHOWN_DECIDED],
        states=_STATES,
        forms=FORMS,
        roles=[role.value for role in Role if role in PEOPLES],
        tokens=await accounts.tokens.all() if is_admin else (),
        keys=await asyncio.to_thread(keys_of, console.path.channels, console.clock.now()) if is_admin else (),
        templates=await _reviewed(request, await accounts.approved_templates(), asked),
        asked=asked,
        duty=await accounts.duty_list() if is_admin else (),
        maintenance=await accounts.maintenance(),
        act=act,
        posted=posted or {},
        refused={f.where.removeprefix("what."): f for f in findings},
        done=done,
        wrong=wrong,
        was_proposed="proposed" in request.query,
        was_revoked="revoked" in request.query,
    )


ROUTES = [
    web.get("/admin", admin),
    web.post("/admin/proposals/{id:p-[0-9A-Za-z-]{1,60}}/approve", approve),
    web.post("/admin/proposals/{id:p-[0-9A-Za-z-]{1,60}}/reject", reject),
    web.post("/admin/propose/{act:[a-z]{1,20}}", propose),
    web.post("/admin/sessions/{id:[0-9a-f]{64}}/revoke", revoke),
    web.post("/admin/verify", verify),
]
