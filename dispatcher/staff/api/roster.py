"""The roster: tried, then imported. The answers are counts alone.

Source: design.md §8; dispatcher/staff/rostering.py.
"""

import base64
from dataclasses import dataclass
from typing import Annotated

from dispatcher.errors import Finding, InvalidInput
from dispatcher.staff.accounts.roles import Scope
from dispatcher.staff.api import shown
from dispatcher.staff.api.route import Call, Nothing, asks, changes
from dispatcher.staff.api.shapes import Facets
from dispatcher.tracking.roster import Changes

FILE_CHARACTERS = 64 * 1024 * 1024
"""Of the file in base64; packed with gzip, a million people need half of it."""

Packed = Annotated[
    str, Facets(maxLength=FILE_CHARACTERS, contentEncoding="base64", description="CSV, as it is or packed with gzip")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToCheck:
    csv: Packed


@dataclass(frozen=True, slots=True, kw_only=True)
class ToImport:
    mode: shown.ModeName
    csv: Packed
    fingerprint: Annotated[str, Facets(pattern="^[0-9a-f]{64}$", description="試しが示した指紋 (as the trial said)")]


async def check_roster(call: Call[ToCheck, Nothing]) -> Changes:
    """名簿を試す。何も書かない（福祉だけ） (what a roster would change; every bad row)"""
    return await call.rooms.desk.check_roster(call.who, _file(call.body.csv))


async def import_roster(call: Call[ToImport, Nothing]) -> Changes:
    """名簿を取り込む（福祉だけ） (import a roster that was tried)"""
    body = call.body
    return await call.rooms.desk.import_roster(call.who, _file(body.csv), body.fingerprint, mode=body.mode)


def _file(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise InvalidInput([Finding("/csv", "base64 で書いてください (base64 is needed)")]) from None


ROUTES = (
    asks("/roster/check", Scope.WRITE, check_roster, max_bytes=FILE_CHARACTERS + 1000),
    changes("/roster", Scope.WRITE, import_roster, method="PUT", max_bytes=FILE_CHARACTERS + 1000),
)
