"""What the city's shelters are now, as staff and the shelters themselves said last; every node of a ledger sees the same.

A state stands in the ledger before anybody is told of it, with who said it. Whoever shows shelters (the site) follows `states`
here and need not know the ledger. Who is at a shelter has a page of its own, behind a link that staff make and hand over; the
ledger keeps a hash of it, and a new link ends the old one.

Source: issue "The residents' site"; design.md §5 (what was acknowledged has been committed).
"""

import asyncio
import base64
import secrets
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from config.city import City, Facility
from dispatcher.clock import Clock
from dispatcher.errors import Finding, InvalidInput, NotFound, StorageFull
from dispatcher.ledger import Event, Ledger
from dispatcher.log import logger
from dispatcher.model.shelter import STATE_WORDS, ShelterStanding, ShelterState
from dispatcher.tracking.tokens import TOKEN_BYTES, hashed

KIND, DOOR = "shelter", "shelter-door"
LOOK_S = 0.5
"""How late this node may be about what was said at another one."""

log = logger(__name__)


class Shelters:
    """The states of one city's shelters, kept up by `run`."""

    def __init__(self, ledger: Ledger, clock: Clock, city: City) -> None:
        self._ledger = ledger
        self._clock = clock
        self._places = {f.code: f for f in city.facilities}
        self._states: Mapping[str, ShelterStanding] = MappingProxyType({})
        self._generation = 0
        self._moved = asyncio.Condition()

    @property
    def states(self) -> Mapping[str, ShelterStanding]:
        """By the facility's code; one that is absent was never spoken of."""
        return self._states

    @property
    def places(self) -> Mapping[str, Facility]:
        return self._places

    async def changed(self, after: int) -> int:
        """Wait until `states` is another than at that generation (0 at the start); returns the generation."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._generation != after)
            return self._generation

    async def run(self) -> None:
        """Follow the ledger until cancelled."""
        length = 0
        while True:
            try:
                await self.read()
            except StorageFull as reason:
                log.warning("ledger.retrying", reason=type(reason).__name__)
            length = await self._ledger.changed(length, LOOK_S)

    async def read(self) -> None:
        """Take over what the ledger says."""
        found = {
            code: ShelterStanding(ShelterState(body["state"]), datetime.fromisoformat(body["at"]), version)
            for code, version, body in await self._ledger.records(KIND)
            if code in self._places
        }
        if found != self._states:
            async with self._moved:
                self._states = MappingProxyType(found)
                self._generation += 1
                self._moved.notify_all()

    async def say(self, code: str, state: str, *, by: str, version: int | None = None) -> ShelterStanding:
        """Write down that this shelter is so from now on; durable, and in `states`, on return.

        `version` is the one that whoever says it saw; None for who stands at the shelter itself and need not have looked.

        Raises:
            NotFound: no such shelter.
            InvalidInput: no such state.
            StaleHash: somebody else has said something since that version.
            StorageFull: nothing was written.
        """
        self._require(code)
        if state not in set(ShelterState):
            accepted = ", ".join(f"{word} {name}" for name, word in STATE_WORDS.items())
            raise InvalidInput([Finding("state", f"{state[:40]}: {accepted} のどれかです (not a state)")])
        if version is None:
            version = await self._version(KIND, code)
        said: dict[str, Any] = {"state": state, "at": self._clock.now().isoformat(timespec="seconds")}
        event = Event("shelter.said", "", {"shelter": code, "state": state, "by": by})
        version = await self._ledger.save_record(KIND, code, version, said, event)
        await self.read()
        return ShelterStanding(ShelterState(state), datetime.fromisoformat(said["at"]), version)

    async def open_door(self, code: str, *, by: str) -> str:
        """The token of this shelter's own page; whatever token it had opens nothing any more.

        Raises:
            NotFound: no such shelter.
            StorageFull: nothing was written; the old one still holds.
        """
        self._require(code)
        token = base64.b32encode(secrets.token_bytes(TOKEN_BYTES)).decode().rstrip("=").lower()
        event = Event("shelter.door_opened", "", {"shelter": code, "by": by})
        body = {"token_hash": hashed(token), "at": self._clock.now().isoformat(timespec="seconds")}
        await self._ledger.save_record(DOOR, code, await self._version(DOOR, code), body, event)
        return token

    async def behind(self, token: str) -> Facility | None:
        """Whose page this token opens; None for one that opens nothing. Costs the same for any."""
        wanted = hashed(token)
        code = {str(body["token_hash"]): code for code, _, body in await self._ledger.records(DOOR)}.get(wanted, "")
        return self._places.get(code)

    def _require(self, code: str) -> None:
        if code not in self._places:
            raise NotFound(f"{code[:40]}: そのような避難所はありません (no such shelter)")

    async def _version(self, kind: str, code: str) -> int:
        try:
            version, _ = await self._ledger.read_record(kind, code)
        except NotFound:
            return 0
        return version
