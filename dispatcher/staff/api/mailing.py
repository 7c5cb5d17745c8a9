"""Registered mail: the list as a signed file, who is suspended, and the way back.

Source: design.md §9; dispatcher/staff/mailing.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from dispatcher.staff.accounts.roles import Scope
from dispatcher.staff.api import shown
from dispatcher.staff.api.alerts import Done
from dispatcher.staff.api.drafts import Reason
from dispatcher.staff.api.route import Call, Nothing, changes, looks
from dispatcher.staff.api.shapes import Facets


@dataclass(frozen=True, slots=True, kw_only=True)
class ToExportList:
    mode: shown.ModeName
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ToRestore:
    mode: shown.ModeName
    address: Annotated[str, Facets(minLength=3, maxLength=254)]
    reason: Reason


@dataclass(frozen=True, slots=True)
class ListShown:
    csv: str
    """The file: address, quarters, language, topics; whoever left stands in it without a quarter."""
    signature: Mapping[str, Any]
    """What goes beside it: `todoke mail verify` reads it."""
    people: int


@dataclass(frozen=True, slots=True)
class SuspendedShown:
    suspended: Mapping[str, int]
    """Reason → how many: nobody (no such mailbox), filtered, later (full or out of reach)."""


async def export_mail_list(call: Call[ToExportList, Nothing]) -> ListShown:
    """登録メールの名簿を署名つきで書き出す (the list of registered mail, signed)"""
    found = await call.rooms.desk.export_list(call.who, call.body.reason, mode=call.body.mode)
    return ListShown(found.csv, found.signature, found.people)


async def suspended_mail(call: Call[Nothing, Nothing]) -> SuspendedShown:
    """戻ってきたために止めているアドレスの数 (how many addresses are suspended, by the reason)"""
    return SuspendedShown(await call.rooms.desk.suspended(call.who))


async def restore_mail(call: Call[ToRestore, Nothing]) -> Done:
    """止めたアドレスへの配信を再開する (try a suspended address again)"""
    await call.rooms.desk.restore_address(call.who, call.body.address, call.body.reason, mode=call.body.mode)
    return Done("restored")


ROUTES = (
    changes("/mail/export", Scope.ADMIN, export_mail_list, hands_over=True),
    looks("/mail/suspended", Scope.READ, suspended_mail),
    changes("/mail/restore", Scope.ADMIN, restore_mail),
)
