"""A message that is out: its board, now and at any past moment, who has it, what follows it, and what is tried again.

Source: design.md §3 "five verbs", §4 時点遡及, §9.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from dispatcher.ledger import DestinationStatus
from dispatcher.model.draft import Draft, Verb
from dispatcher.staff.accounts.roles import Scope
from dispatcher.staff.api import shown
from dispatcher.staff.api.drafts import InMode, Words
from dispatcher.staff.api.route import Call, Nothing, changes, looks
from dispatcher.staff.api.shapes import Facets


@dataclass(frozen=True, slots=True, kw_only=True)
class ToFollow:
    mode: shown.ModeName
    typed: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class AtMoment:
    at: datetime | None = None
    """The board as it stood then; now, if it is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Until:
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Boards:
    mode: shown.ModeName
    alerts: tuple[shown.BoardShown, ...]


@dataclass(frozen=True, slots=True)
class Destinations:
    destinations: tuple[DestinationStatus, ...]


@dataclass(frozen=True, slots=True)
class Followed:
    """`alert` is null while it waits for a second person."""

    draft: Draft
    hash: str | None
    alert: shown.Alert | None


@dataclass(frozen=True, slots=True)
class Timeline:
    events: tuple[shown.Happened, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """It was done; the board shows it."""

    done: Annotated[str, Facets(description="何をしたか (what was done)")]


async def list_alerts(call: Call[Nothing, Nothing]) -> Boards:
    """出ているもの (what is out there)"""
    _, boards = await call.rooms.desk.status(call.who)
    return Boards(shown.mode_name(call.rooms.desk.mode), tuple(map(shown.board, boards)))


async def read_board(call: Call[Nothing, AtMoment]) -> shown.BoardShown:
    """配信板。at で過去の時点 (the board, also at a past moment)"""
    desk, at = call.rooms.desk, call.query.at
    return shown.board(await desk.board_at(call.who, call.id, at) if at else await desk.board(call.who, call.id))


async def list_destinations(call: Call[Nothing, Nothing]) -> Destinations:
    """宛先ごとの状況 (who has it and who has not)"""
    return Destinations(tuple(await call.rooms.desk.destinations(call.who, call.id)))


async def alert_timeline(call: Call[Nothing, Until]) -> Timeline:
    """この発表の経過 (what happened to it)"""
    return Timeline(shown.happened(await call.rooms.desk.timeline(call.who, call.id, call.query.until)))


async def timeline(call: Call[Nothing, Until]) -> Timeline:
    """経過 (what happened)"""
    return Timeline(shown.happened(await call.rooms.desk.timeline(call.who, None, call.query.until)))


async def update(call: Call[ToFollow, Nothing]) -> Followed:
    """更新: 状況が変わった (the situation changed; waits for an approval)"""
    return await _follow(call, Verb.UPDATE)


async def correct(call: Call[ToFollow, Nothing]) -> Followed:
    """訂正: 文が誤っていた (the text was wrong; goes out at once)"""
    return await _follow(call, Verb.CORRECT)


async def lift(call: Call[ToFollow, Nothing]) -> Followed:
    """解除: 終わった (the event is over; waits for an approval)"""
    return await _follow(call, Verb.LIFT)


async def retract(call: Call[ToFollow, Nothing]) -> Followed:
    """取消: 誤りだった (it was wrong; goes out at once)"""
    return await _follow(call, Verb.RETRACT)


async def _follow(call: Call[ToFollow, Nothing], verb: Verb) -> Followed:
    body = call.body
    draft, alert = await call.rooms.desk.follow(call.who, verb, call.id, body.typed, mode=body.mode)
    return Followed(draft, draft.hash, alert)


async def confirm(call: Call[InMode, Nothing]) -> Done:
    """事後承認 (confirm what one person sent alone)"""
    await call.rooms.desk.confirm(call.who, call.id, mode=call.body.mode)
    return Done("confirmed")


async def retry(call: Call[InMode, Nothing]) -> Done:
    """再送 (try what failed again)"""
    await call.rooms.desk.retry(call.who, call.id, call.path["kind"], mode=call.body.mode)
    return Done("retried")


ROUTES = (
    looks("/alerts", Scope.READ, list_alerts),
    looks("/alerts/{id}", Scope.READ, read_board),
    looks("/alerts/{id}/destinations", Scope.READ, list_destinations),
    looks("/alerts/{id}/timeline", Scope.READ, alert_timeline),
    looks("/timeline", Scope.READ, timeline),
    changes("/alerts/{id}/update", Scope.WRITE, update),
    changes("/alerts/{id}/correct", Scope.WRITE, correct),
    changes("/alerts/{id}/lift", Scope.WRITE, lift),
    changes("/alerts/{id}/retract", Scope.WRITE, retract),
    changes("/alerts/{id}/confirm", Scope.APPROVE, confirm),
    changes("/alerts/{id}/channels/{kind}/retry", Scope.WRITE, retry),
)
