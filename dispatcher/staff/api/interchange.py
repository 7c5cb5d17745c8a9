"""PFIF 1.4, out and in. What goes out is the answer to a question, kept nowhere.

Source: design.md §8; dispatcher/staff/interchange.py.
"""

import base64
from dataclasses import dataclass
from typing import Annotated

from dispatcher.errors import Finding, InvalidInput
from dispatcher.staff.accounts.roles import Scope
from dispatcher.staff.api import shown
from dispatcher.staff.api.route import Call, Nothing, asks, changes
from dispatcher.staff.api.shapes import Facets
from dispatcher.staff.interchange import Heard
from dispatcher.staff.lookups import Why
from dispatcher.tracking.pfif import MOST_BYTES

CHARACTERS = MOST_BYTES * 4 // 3 + 4
Reason = Annotated[str, Facets(enum=list(Why), description="理由。記録されます (why; it is written down)")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToExportPeople:
    reason: Reason


@dataclass(frozen=True, slots=True)
class Exported:
    pfif: bytes
    """PFIF 1.4, packed with gzip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToHear:
    mode: shown.ModeName
    reason: Reason
    pfif: Annotated[str, Facets(maxLength=CHARACTERS, contentEncoding="base64", description="PFIF 1.4")]


async def export_pfif(call: Call[ToExportPeople, Nothing]) -> Exported:
    """安否をPFIFで渡す。閲覧制限の人は入らない（福祉だけ） (people's states as PFIF 1.4)"""
    return Exported(await call.rooms.desk.export_pfif(call.who, call.id, reason=call.body.reason))


async def import_pfif(call: Call[ToHear, Nothing]) -> Heard:
    """PFIFを知らせとして受け取る（福祉だけ） (take somebody else's PFIF as reports)"""
    body = call.body
    try:
        data = base64.b64decode(body.pfif, validate=True)
    except ValueError:
        raise InvalidInput([Finding("/pfif", "base64 で書いてください (base64 is needed)")]) from None
    return await call.rooms.desk.import_pfif(call.who, data, reason=body.reason, mode=body.mode)


ROUTES = (
    asks("/safety/{id}/pfif", Scope.WRITE, export_pfif),
    changes("/pfif", Scope.WRITE, import_pfif, max_bytes=CHARACTERS + 1000),
)
