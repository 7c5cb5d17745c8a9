"""施設・到達: which facilities have acknowledged, whom to telephone, that it was done; and what each medium has reached by name.

Source: design.md §8 "Acknowledgement", §9; dispatcher/staff/reaching.py.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from dispatcher.staff.accounts.roles import Scope
from dispatcher.staff.api import shown
from dispatcher.staff.api.route import Call, Nothing, changes, looks
from dispatcher.staff.api.shapes import Facets
from dispatcher.tracking.reach import FacilityReach, MediumReach

Line = Annotated[str, Facets(maxLength=200)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToTelephone:
    mode: shown.ModeName
    spoke_with: Line = ""
    """"": nobody answered, which acknowledges nothing."""
    note: Line = ""


@dataclass(frozen=True, slots=True)
class MediumSeen:
    channel: str
    contact: str
    claimed: str
    at: datetime | None
    words: str
    is_refused: bool


@dataclass(frozen=True, slots=True)
class CallMade:
    at: datetime
    by: str
    spoke_with: str
    note: str


@dataclass(frozen=True, slots=True)
class FacilityShown:
    id: str
    name: str
    kind: str
    address: str
    people: int
    phones: tuple[str, ...]
    distance_m: int
    claimed: str
    """The strongest thing that was seen: nothing, sent, taken, delivered, displayed, acknowledged."""
    media: tuple[MediumSeen, ...]
    acknowledged_at: datetime | None
    acknowledged_by: str
    """A channel's kind, or `phone`."""
    calls: tuple[CallMade, ...]
    is_to_call: bool


@dataclass(frozen=True, slots=True)
class FacilitiesShown:
    facilities: tuple[FacilityShown, ...]
    """Those who have not acknowledged, nearest first; then the others."""


@dataclass(frozen=True, slots=True)
class Telephoned:
    facility: FacilityShown


@dataclass(frozen=True, slots=True)
class NotReached:
    channel: str
    address: str
    """Masked."""
    words: str


@dataclass(frozen=True, slots=True)
class ReachShown:
    """Where `is_counted` is false the medium reaches nobody by name: 数えない."""

    facilities: int
    acknowledged: int
    unacknowledged: int
    by_nothing: int
    people_in_unacknowledged: int
    media: tuple[MediumReach, ...]
    not_reached: tuple[NotReached, ...]
    """Of the public, by name, the first of them."""


def _shown(line: FacilityReach) -> FacilityShown:
    facility, acknowledged = line.facility, line.acknowledged
    return FacilityShown(
        facility.id,
        facility.name,
        facility.kind,
        facility.address,
        facility.people,
        facility.phones,
        line.distance_m,
        line.claimed,
        tuple(MediumSeen(m.channel, m.contact, m.claimed, m.at, m.words, m.is_refused) for m in line.media),
        acknowledged.at if acknowledged else None,
        acknowledged.medium if acknowledged else "",
        tuple(CallMade(c.at, c.by, c.spoke_with, c.note) for c in line.calls),
        line.is_to_call,
    )


async def read_reach(call: Call[Nothing, Nothing]) -> ReachShown:
    """到達: 何がだれに名前で届いたか (what each medium has reached by name, and whom nothing has)"""
    found = await call.rooms.desk.reached(call.who, call.id)
    missing = await call.rooms.desk.by_nothing(call.who, call.id)
    return ReachShown(
        found.facilities,
        found.acknowledged,
        found.unacknowledged,
        found.by_nothing,
        found.people_in_unacknowledged,
        found.media,
        tuple(NotReached(p.channel, p.address, p.on.words) for p in missing),
    )


async def list_facilities(call: Call[Nothing, Nothing]) -> FacilitiesShown:
    """先に知らせる施設: 確認がない施設を近い順に (facilities; those without a word nearest first)"""
    return FacilitiesShown(tuple(map(_shown, await call.rooms.desk.foremost(call.who, call.id))))


async def telephone(call: Call[ToTelephone, Nothing]) -> Telephoned:
    """電話済。出た人の名がなければ、出なかった (it was told by telephone, or nobody answered)"""
    body = call.body
    return Telephoned(
        _shown(
            await call.rooms.desk.telephoned(
                call.who,
                call.id,
                call.path["facility"],
                spoke_with=body.spoke_with,
                note=body.note,
                mode=body.mode,
            )
        )
    )


ROUTES = (
    looks("/alerts/{id}/reach", Scope.READ, read_reach),
    looks("/alerts/{id}/facilities", Scope.READ, list_facilities),
    changes("/alerts/{id}/facilities/{facility}", Scope.WRITE, telephone),
)
