"""A message before it goes out: written, looked at, submitted, judged by a second person.

Source: design.md §3 "Draft states", §9.
"""

from dataclasses import dataclass
from typing import Annotated

from dispatcher.errors import Finding
from dispatcher.model.draft import Draft
from dispatcher.staff.accounts.roles import Scope
from dispatcher.staff.api import shown
from dispatcher.staff.api.route import Call, Nothing, asks, changes, looks
from dispatcher.staff.api.shapes import Facets, Without
from dispatcher.steps.accept import Typed

Words = Annotated[Typed, Without("verb", "of", as_="Words")]
Hash = Annotated[str, Facets(pattern="^[0-9a-f]{64}$", description="64 桁の 16 進数 (64 hexadecimal digits)")]
Reason = Annotated[str, Facets(minLength=1, maxLength=400)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToWrite:
    mode: shown.ModeName
    typed: Typed
    """With `verb` and `of`: the draft of an update, a correction, a lifting or a retraction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToTry:
    typed: Typed


@dataclass(frozen=True, slots=True, kw_only=True)
class ToEdit:
    mode: shown.ModeName
    version: Annotated[int, Facets(minimum=1, maximum=1000000000)]
    """The one that was read; somebody else's edit meanwhile is not written over."""
    typed: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class InMode:
    mode: shown.ModeName


@dataclass(frozen=True, slots=True, kw_only=True)
class ToApprove:
    mode: shown.ModeName
    hash: Hash
    """The one that the preview showed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSend:
    mode: shown.ModeName
    version: int | None = None
    """Of the draft that somebody looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToJudge:
    mode: shown.ModeName
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ToBreakGlass:
    mode: shown.ModeName
    factor: Annotated[str, Facets(minLength=6, maxLength=64)]
    """A fresh code of one's own second factor."""


@dataclass(frozen=True, slots=True)
class Drafts:
    drafts: tuple[Draft, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """The draft as it was saved, also with findings that will stop its submission."""

    draft: Draft
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Submitted:
    """What waits, and the hash to approve."""

    draft: Draft
    hash: str | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    draft: Draft


@dataclass(frozen=True, slots=True)
class Sent:
    alert: shown.Alert


async def list_drafts(call: Call[Nothing, Nothing]) -> Drafts:
    """待っているもの (what waits)"""
    waiting, _ = await call.rooms.desk.status(call.who)
    return Drafts(tuple(waiting))


async def write_draft(call: Call[ToWrite, Nothing]) -> Written:
    """起案する (write a draft; nothing goes out)"""
    draft, prepared = await call.rooms.desk.draft(call.who, call.body.typed, mode=call.body.mode)
    return Written(draft, prepared.findings)


async def try_draft(call: Call[ToTry, Nothing]) -> shown.Preview:
    """保存せずに見え方を確かめる (previews; nothing is saved)"""
    return shown.Preview(**shown.preview(await call.rooms.desk.try_draft(call.who, call.body.typed)))


async def preview_draft(call: Call[Nothing, Nothing]) -> shown.DraftPreview:
    """見え方・対象・hash (what each medium would carry, to whom)"""
    draft, prepared = await call.rooms.desk.preview(call.who, call.id)
    return shown.DraftPreview(draft=draft, **shown.preview(prepared))


async def edit_draft(call: Call[ToEdit, Nothing]) -> Written:
    """編集する。提出は取り消される (edit; voids a submission)"""
    body = call.body
    draft, prepared = await call.rooms.desk.edit(call.who, call.id, body.version, body.typed, mode=body.mode)
    return Written(draft, prepared.findings)


async def submit_draft(call: Call[InMode, Nothing]) -> Submitted:
    """提出する (ask a second person to approve)"""
    draft, prepared = await call.rooms.desk.submit(call.who, call.id, mode=call.body.mode)
    return Submitted(draft, draft.hash, prepared.findings)


async def approve_draft(call: Call[ToApprove, Nothing]) -> Sent:
    """承認して送る (send exactly what was submitted)"""
    body = call.body
    return Sent(await call.rooms.desk.approve(call.who, call.id, shown=body.hash, mode=body.mode))


async def send_draft(call: Call[ToSend, Nothing]) -> Sent:
    """訂正・取消を一人で送る (send a correction or a retraction)"""
    body = call.body
    return Sent(await call.rooms.desk.send(call.who, call.id, version=body.version, mode=body.mode))


async def return_draft(call: Call[ToJudge, Nothing]) -> Judged:
    """差し戻す (return it with a reason)"""
    return Judged(await call.rooms.desk.send_back(call.who, call.id, call.body.reason, mode=call.body.mode))


async def reject_draft(call: Call[ToJudge, Nothing]) -> Judged:
    """却下する (reject it for good)"""
    return Judged(await call.rooms.desk.reject(call.who, call.id, call.body.reason, mode=call.body.mode))


async def break_glass(call: Call[ToBreakGlass, Nothing]) -> Sent:
    """一人で緊急に送る (one person, in an emergency)"""
    body = call.body
    return Sent(await call.rooms.desk.break_glass(call.who, call.id, mode=body.mode, factor=body.factor))


ROUTES = (
    looks("/drafts", Scope.READ, list_drafts),
    changes("/drafts", Scope.WRITE, write_draft, status=201),
    asks("/previews", Scope.WRITE, try_draft),
    looks("/drafts/{id}", Scope.READ, preview_draft),
    changes("/drafts/{id}", Scope.WRITE, edit_draft, method="PUT"),
    changes("/drafts/{id}/submit", Scope.WRITE, submit_draft),
    changes("/drafts/{id}/approve", Scope.APPROVE, approve_draft),
    changes("/drafts/{id}/send", Scope.WRITE, send_draft),
    changes("/drafts/{id}/return", Scope.APPROVE, return_draft),
    changes("/drafts/{id}/reject", Scope.APPROVE, reject_draft),
    changes("/drafts/{id}/break-glass", Scope.WRITE, break_glass),
)
