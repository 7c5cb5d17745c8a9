"""施設・到達: which facilities have said that they read it, whom to telephone, and whom each medium has reached by name.

Everybody at the desk sees facilities, because they are places and not people; what is written down is who called and who answered.

Source: issue "Reach ledger", "Escalation"; design.md §8 "Acknowledgement"; dispatcher/tracking/reach.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dispatcher.errors import Refused
from dispatcher.model.mode import M
from dispatcher.staff.masking import masked
from dispatcher.staff.rules import Act
from dispatcher.staff.seat import Seat
from dispatcher.staff.sessions import Person
from dispatcher.tracking.acknowledgement import Facilities
from dispatcher.tracking.reach import FacilityReach, PersonReach, Reach, Summary

BY_NOTHING_AT_MOST = 200
"""Addresses of the public on one page."""


class Reaching(Seat[M]):
    """The part of the desk that knows who has been reached."""

    reach_ledger: Reach | None = None
    facilities: Facilities | None = None
    """None where the site has no register of facilities."""

    @property
    def _reached(self) -> Reach:
        return self.reach_ledger or Reach(self._path.ledger, None, self._path.city, self._path.channels)

    def facility_names(self) -> Mapping[str, str]:
        """By the register's ids; empty where there is none."""
        return {facility.id: facility.name for facility in self._reached.known().values()}

    async def reached(self, by: Person, identifier: str) -> Summary:
        """The facilities' counts and each medium's. Raises NotFound."""
        async with self._acting(by, Act.LOOK):
            return await self._reached.summary(identifier)

    async def foremost(self, by: Person, identifier: str) -> Sequence[FacilityReach]:
        """Every facility that was addressed first: who has not acknowledged, nearest first, then who has. Raises NotFound."""
        async with self._acting(by, Act.LOOK):
            return await self._reached.facilities(identifier)

    async def by_nothing(self, by: Person, identifier: str, at_most: int = BY_NOTHING_AT_MOST) -> Sequence[PersonReach]:
        """Addresses of the public, masked, of which no medium has said that it took the message. Raises NotFound."""
        async with self._acting(by, Act.LOOK):
            found: list[PersonReach] = []
            async for each in self._reached.people(identifier, only_by_nothing=True):
                shown = masked(each.address)
                words = each.on.words.replace(each.address, shown)
                found.append(replace(each, address=shown, on=replace(each.on, contact=shown, words=words)))
                if len(found) == at_most:
                    break
            return found

    async def telephoned(
        self, by: Person, identifier: str, facility: str, *, spoke_with: str, note: str = "", mode: str | None = None
    ) -> FacilityReach:
        """電話済. `spoke_with` "": nobody answered, which acknowledges nothing. Raises as `Facilities.telephoned`."""
        async with self._acting(by, Act.REPORT, mode=mode):
            if self.facilities is None:
                raise Refused(
                    "この節点には施設の台帳がありません。サイトの設定 facilities を書いてください (no register)"
                )
            return await self.facilities.telephoned(by.name, identifier, facility, spoke_with=spoke_with, note=note)
