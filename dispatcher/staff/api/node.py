"""The node itself: its state, its media, its halt, its ledger.

Source: design.md §9; issue "停止中", "Operators".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from dispatcher.channel import Probe
from dispatcher.model.draft import Draft
from dispatcher.staff.accounts.roles import Scope
from dispatcher.staff.api import shown
from dispatcher.staff.api.alerts import Done
from dispatcher.staff.api.drafts import InMode, Reason
from dispatcher.staff.api.route import Call, Nothing, asks, changes, looks
from dispatcher.staff.api.shapes import Facets

KINDS_AT_MOST = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ToStop:
    mode: shown.ModeName
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ToTest:
    kinds: Annotated[tuple[Annotated[str, Facets(maxLength=40)], ...], Facets(maxItems=KINDS_AT_MOST)] = ()
    """Which media; all, when none is named."""


@dataclass(frozen=True, slots=True)
class Status:
    mode: shown.ModeName
    drafts: tuple[Draft, ...]
    alerts: tuple[shown.BoardShown, ...]


@dataclass(frozen=True, slots=True)
class Tested:
    channels: Mapping[str, Probe]


@dataclass(frozen=True, slots=True)
class Audited:
    wrong: tuple[str, ...]
    """Empty, if not a byte was altered."""


async def status(call: Call[Nothing, Nothing]) -> Status:
    """いまの状況 (what waits, and what is out there)"""
    waiting, boards = await call.rooms.desk.status(call.who)
    mode = shown.mode_name(call.rooms.desk.mode)
    return Status(mode, tuple(waiting), tuple(map(shown.board, boards)))


async def probe_channels(call: Call[ToTest, Nothing]) -> Tested:
    """媒体の疎通確認 (a link test; nothing reaches residents)"""
    return Tested(await call.rooms.desk.probe(call.who, call.body.kinds))


async def pause(call: Call[ToStop, Nothing]) -> Done:
    """媒体を止める (what is queued waits)"""
    await call.rooms.desk.pause(call.who, call.path["kind"], call.body.reason, mode=call.body.mode)
    return Done("paused")


async def resume(call: Call[InMode, Nothing]) -> Done:
    """媒体を再開する (what waited goes out)"""
    await call.rooms.desk.resume(call.who, call.path["kind"], mode=call.body.mode)
    return Done("resumed")


async def halt(call: Call[ToStop, Nothing]) -> Done:
    """送出を止める。停止中 (nothing goes out any more)"""
    await call.rooms.desk.halt(call.who, call.body.reason, mode=call.body.mode)
    return Done("halted")


async def reopen(call: Call[InMode, Nothing]) -> Done:
    """送出を再開する (open again)"""
    await call.rooms.desk.reopen(call.who, mode=call.body.mode)
    return Done("reopened")


async def audit(call: Call[Nothing, Nothing]) -> Audited:
    """台帳の改変を調べる (recompute the hash chain)"""
    return Audited(tuple(await call.rooms.desk.verify(call.who)))


ROUTES = (
    looks("/status", Scope.READ, status),
    asks("/channels/test", Scope.READ, probe_channels),
    changes("/channels/{kind}/pause", Scope.WRITE, pause),
    changes("/channels/{kind}/resume", Scope.WRITE, resume),
    changes("/halt", Scope.WRITE, halt),
    changes("/reopen", Scope.WRITE, reopen),
    looks("/audit", Scope.READ, audit),
)
