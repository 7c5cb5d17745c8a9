"""Who may sit at the desk: people, sessions, tokens, and what two admins decide together.

Source: design.md §9; dispatcher/staff/accounts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from config.templates import load_templates
from dispatcher.errors import Refused
from dispatcher.staff.accounts import Listed
from dispatcher.staff.accounts.proposals import Proposal
from dispatcher.staff.accounts.roles import Scope
from dispatcher.staff.accounts.sessions import Session
from dispatcher.staff.accounts.tokens import Issued
from dispatcher.staff.api import shown
from dispatcher.staff.api.alerts import Done
from dispatcher.staff.api.route import Call, Nothing, changes, looks
from dispatcher.staff.api.shapes import Facets


@dataclass(frozen=True, slots=True, kw_only=True)
class ToPropose:
    act: Annotated[str, Facets(maxLength=40)]
    what: Annotated[Mapping[str, Any], Facets(maxProperties=8)]
    """The act's own fields (dispatcher/staff/accounts/acts.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToDecline:
    reason: Annotated[str, Facets(minLength=1, maxLength=400)]


@dataclass(frozen=True, slots=True)
class Me:
    name: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    """What this token is for."""
    mode: shown.ModeName


@dataclass(frozen=True, slots=True)
class People:
    people: tuple[Listed, ...]


@dataclass(frozen=True, slots=True)
class SessionShown:
    id: str
    name: str
    signed_in_at: datetime
    seen_at: datetime
    expires_at: datetime
    remote: str
    agent: str


@dataclass(frozen=True, slots=True)
class SessionsShown:
    sessions: tuple[SessionShown, ...]


@dataclass(frozen=True, slots=True)
class ProposalShown:
    id: str
    act: str
    what: Mapping[str, Any]
    words: str
    by: str
    at: datetime
    expires_at: datetime
    state: str
    decided_by: str
    decided_at: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class ProposalsShown:
    proposals: tuple[ProposalShown, ...]


@dataclass(frozen=True, slots=True)
class Proposed:
    proposal: ProposalShown


@dataclass(frozen=True, slots=True)
class Decided:
    """`handed_over` is shown this once: an enrolment code or a token; "" for most acts."""

    proposal: ProposalShown
    handed_over: str


@dataclass(frozen=True, slots=True)
class TokensShown:
    tokens: tuple[Issued, ...]


@dataclass(frozen=True, slots=True)
class Rotated:
    """Shown this once. The old one goes on for an hour."""

    token: str


@dataclass(frozen=True, slots=True)
class Duty:
    mail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TemplateShown:
    name: str
    level: int | None
    languages: tuple[str, ...]
    hash: str
    is_approved: bool
    """One person may send it alone (緊急発表)."""


@dataclass(frozen=True, slots=True)
class Templates:
    templates: tuple[TemplateShown, ...]


async def me(call: Call[Nothing, Nothing]) -> Me:
    """この鍵の持ち主と使いみち (whose token this is, and what for)"""
    scopes = tuple(sorted(scope.value for scope in call.bearer.scopes))
    return Me(call.who.name, call.who.roles, scopes, shown.mode_name(call.rooms.desk.mode))


async def list_people(call: Call[Nothing, Nothing]) -> People:
    """登録された人 (who may sit at the desk)"""
    return People(tuple(await call.rooms.accounts.people()))


async def list_sessions(call: Call[Nothing, Nothing]) -> SessionsShown:
    """サインイン中の人 (who is signed in, where)"""
    return SessionsShown(tuple(map(_session, await call.rooms.accounts.sessions(call.who))))


async def revoke_session(call: Call[Nothing, Nothing]) -> Done:
    """サインインを終わらせる (end a session)"""
    await call.rooms.accounts.revoke(call.who, call.id)
    return Done("revoked")


async def list_proposals(call: Call[Nothing, Nothing]) -> ProposalsShown:
    """管理の提案 (what admins have proposed)"""
    return ProposalsShown(tuple(map(_proposal, await call.rooms.accounts.proposals.all())))


async def propose(call: Call[ToPropose, Nothing]) -> Proposed:
    """提案する。二人目の管理者が決める (propose; a second admin decides)"""
    return Proposed(_proposal(await call.rooms.accounts.proposals.propose(call.who, call.body.act, call.body.what)))


async def approve_proposal(call: Call[Nothing, Nothing]) -> Decided:
    """提案を承認して行う (approve a proposal; it is done)"""
    done = await call.rooms.accounts.proposals.approve(call.who, call.id)
    return Decided(_proposal(done.proposal), done.handed_over)


async def reject_proposal(call: Call[ToDecline, Nothing]) -> Proposed:
    """提案を却下する (reject a proposal)"""
    return Proposed(_proposal(await call.rooms.accounts.proposals.reject(call.who, call.id, call.body.reason)))


async def list_tokens(call: Call[Nothing, Nothing]) -> TokensShown:
    """鍵の一覧。中身は出ない (tokens, without their secrets)"""
    return TokensShown(tuple(await call.rooms.accounts.tokens.all()))


async def rotate_token(call: Call[Nothing, Nothing]) -> Rotated:
    """この鍵を新しくする。古い鍵は一時間使える (a new token in place of this one, which goes on for an hour)"""
    if not call.bearer.token_id:
        raise Refused("サイトの設定の鍵です。todoke token new で作り直してください (a token of the site file)")
    return Rotated(await call.rooms.accounts.tokens.rotate(call.who, call.bearer.token_id))


async def revoke_token(call: Call[Nothing, Nothing]) -> Done:
    """鍵を取り消す (end a token now)"""
    await call.rooms.accounts.tokens.revoke(call.who, call.id)
    return Done("revoked")


async def read_duty(call: Call[Nothing, Nothing]) -> Duty:
    """当番の宛先 (who is mailed when something fails or waits)"""
    return Duty(tuple(await call.rooms.accounts.duty_list()))


async def list_templates(call: Call[Nothing, Nothing]) -> Templates:
    """ひな形と、一人で出せるか (templates, and whether one person may send them alone)"""
    approved = await call.rooms.accounts.approved_templates()
    return Templates(
        tuple(
            TemplateShown(t.name, t.level, tuple(t.infos), t.digest, t.digest in approved)
            for t in load_templates().values()
            if call.rooms.desk.mode in t.modes
        )
    )


def _proposal(p: Proposal) -> ProposalShown:
    return ProposalShown(
        p.id,
        p.act.value,
        p.what,
        p.words,
        p.by,
        p.at,
        p.expires_at,
        p.state.value,
        p.decided_by,
        p.decided_at,
        p.reason,
    )


def _session(s: Session) -> SessionShown:
    return SessionShown(s.id, s.person.name, s.signed_in_at, s.seen_at, s.expires_at, s.remote, s.agent)


ROUTES = (
    looks("/me", Scope.READ, me),
    looks("/templates", Scope.READ, list_templates),
    looks("/people", Scope.ADMIN, list_people),
    looks("/sessions", Scope.ADMIN, list_sessions),
    changes("/sessions/{id}", Scope.ADMIN, revoke_session, method="DELETE"),
    looks("/duty", Scope.ADMIN, read_duty),
    looks("/proposals", Scope.ADMIN, list_proposals),
    changes("/proposals", Scope.ADMIN, propose, status=201),
    changes("/proposals/{id}/approve", Scope.ADMIN, approve_proposal, hands_over=True),
    changes("/proposals/{id}/reject", Scope.ADMIN, reject_proposal),
    looks("/tokens", Scope.ADMIN, list_tokens),
    changes("/tokens/{id}", Scope.ADMIN, revoke_token, method="DELETE"),
    changes("/token/rotate", Scope.READ, rotate_token, hands_over=True),
)
