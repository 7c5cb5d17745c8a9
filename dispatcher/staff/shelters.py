"""The desk's part for shelters: what is known of each, saying what it is now, and a link for whoever is at the shelter.

Source: issue "The residents' site"; dispatcher/staff/rules.py `SHELTER`; dispatcher/tracking/shelters.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from config.city import Facility
from dispatcher.model.mode import M
from dispatcher.model.shelter import ShelterStanding
from dispatcher.staff.rules import Act
from dispatcher.staff.seat import Seat
from dispatcher.staff.sessions import Person
from dispatcher.tracking.shelters import Shelters
from dispatcher.tracking.tokens import Door, link


@dataclass(frozen=True, slots=True)
class ShelterSeen:
    """One shelter as staff see it; `standing` is None where nobody has said anything."""

    facility: Facility
    standing: ShelterStanding | None


class ShelterDesk(Seat[M]):
    """The part of the desk that speaks of shelters."""

    async def shelters(self, by: Person) -> Sequence[ShelterSeen]:
        """Every shelter of the city, in the gazetteer's order."""
        async with self._acting(by, Act.LOOK):
            states = await self._read()
            return [ShelterSeen(place, states.states.get(code)) for code, place in states.places.items()]

    async def say_shelter(
        self, by: Person, code: str, state: str, *, version: int | None = None, mode: str | None = None
    ) -> ShelterSeen:
        """What this shelter is from now on; residents see it within a second. `version` is the one that was looked at.

        Raises as `Shelters.say`.
        """
        async with self._acting(by, Act.SHELTER, mode=mode):
            shelters = self._shelters()
            standing = await shelters.say(code, state, by=by.name, version=version)
            return ShelterSeen(shelters.places[code], standing)

    async def open_shelter_door(self, by: Person, code: str, *, mode: str | None = None) -> str:
        """The address of this shelter's own page, said once; an earlier one opens nothing any more.

        Raises as `Shelters.open_door`.
        """
        async with self._acting(by, Act.SHELTER, mode=mode):
            return link(self._path.web, Door.SHELTER, await self._shelters().open_door(code, by=by.name))

    def _shelters(self) -> Shelters:
        # Over the ledger of this desk: one that only rehearses writes nothing.
        return Shelters(self._path.ledger, self._path.clock, self._path.city)

    async def _read(self) -> Shelters:
        shelters = self._shelters()
        await shelters.read()
        return shelters
