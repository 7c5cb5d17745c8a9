"""The roster: whom the city asks whether they are safe. Imported as a file, kept sealed, read a page at a time.

    person.py     one person, and the columns of the file
    reading.py    a file's bytes → people, and everything that is wrong with it, row by row
    sealing.py    a person ↔ a row that says nothing to whoever holds the database

An import is two steps for one person: `check` says what would change and a fingerprint of it; `replace` does just that, and
refuses when the file or the roster is another one by then.

Source: design.md §8; issue "Safety confirmation" (CSV import with a dry run that lists every bad row).
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import BinaryIO

from config.city import City
from config.ladders import ladders
from config.secret import Secret
from dispatcher.campaigns import ROWS, Campaigns, RosterRow
from dispatcher.clock import Clock
from dispatcher.errors import StaleHash
from dispatcher.ledger import Event
from dispatcher.tracking.roster.person import Person
from dispatcher.tracking.roster.reading import Read, people, survey
from dispatcher.tracking.roster.sealing import RosterSeal

__all__ = ["Changes", "Person", "Roster"]


@dataclass(frozen=True, slots=True)
class Changes:
    """What an import would do, or has done. Counts alone, and for the welfare role alone."""

    people: int
    new: int
    changed: int
    """The same quarter, and something else is different."""
    moved: int
    """To another quarter."""
    gone: int
    same: int
    unreachable: int
    """Without mail or terminal, of their own or of anybody of theirs: staff will have to go there."""
    encoding: str
    """`UTF-8` or `Shift_JIS`, as it was recognised."""
    fingerprint: str
    """Of the file and of the roster that it would replace."""


class Roster:
    """The roster of one city on one ledger."""

    def __init__(self, campaigns: Campaigns, key: Secret, city: City, clock: Clock) -> None:
        self._campaigns = campaigns
        self._key = key
        self._seal = RosterSeal(key)
        self._city = city
        self._clock = clock

    def over(self, campaigns: Campaigns) -> "Roster":
        """The same roster, written to another keeper: a rehearsal's."""
        return Roster(campaigns, self._key, self._city, self._clock)

    def pid(self, person_id: str) -> str:
        """What a person is known by to whoever keeps rows of them; nobody finds the way back without the key."""
        return self._seal.pid(person_id)

    # -- looking -----------------------------------------------------------------------------------------------------

    async def everybody(self, quarters: Collection[str] | None = None) -> AsyncIterator[Person]:
        """Everybody (of these quarters, by the gazetteer's codes), in no order that means anything; streamed."""
        codes = None if quarters is None else sorted(map(self._seal.quarter, quarters))
        async for row in self._campaigns.roster(codes):
            yield self._seal.open(row)

    async def some(self, person_ids: Collection[str]) -> Mapping[str, Person]:
        """Those of these people that there are, by their common IDs."""
        asked, found = sorted({self._seal.pid(one) for one in person_ids}), {}
        for start in range(0, len(asked), ROWS):
            for row in await self._campaigns.roster_rows(asked[start : start + ROWS]):
                person = self._seal.open(row)
                found[person.person_id] = person
        return found

    async def households(self, heads: Collection[str]) -> Mapping[str, Sequence[Person]]:
        """By the common ID of its head, everybody of each of these households."""
        asked = sorted({self._seal.household(head) for head in heads if head})
        found: dict[str, list[Person]] = {}
        for start in range(0, len(asked), ROWS):
            for row in await self._campaigns.roster_households(asked[start : start + ROWS]):
                person = self._seal.open(row)
                found.setdefault(person.household, []).append(person)
        return {head: sorted(people, key=_in_order) for head, people in found.items()}

    # -- importing ---------------------------------------------------------------------------------------------------

    async def check(self, file: BinaryIO, name: str) -> Changes:
        """What this file would change; nothing is written. `file` can be read from its beginning more than once.

        It takes about 300 bytes of memory for each person, and never the file's contents.

        Raises:
            InvalidInput: everything that is wrong with it, row by row: `name:line: column`.
        """
        _, changes = await self._compared(file, name)
        return changes

    async def replace(self, by: str, file: BinaryIO, name: str, fingerprint: str) -> Changes:
        """Import it, as `check` said. All of it or nothing.

        Raises:
            InvalidInput: as `check`.
            StaleHash: the file, or the roster, is not the one that was checked.
        """
        read, changes = await self._compared(file, name)
        if changes.fingerprint != fingerprint:
            raise StaleHash(
                "試しのあとで、ファイルか名簿が変わりました。もう一度 check してください "
                "(the file or the roster changed since the dry run: check it again)"
            )
        await self._campaigns.replace_roster(self._rows(file, read), Event("roster.imported", "", {"by": by}))
        return changes

    def _cohorts(self) -> frozenset[str]:
        return frozenset(cohort for ladder in ladders().values() for cohort in ladder.cohorts)

    def _today(self) -> date:
        return self._clock.now().date()

    async def _compared(self, file: BinaryIO, name: str) -> tuple[Read, Changes]:
        """The file gone through once, and how its people differ from the roster's."""
        coming: dict[str, tuple[str, str]] = {}
        unreachable = 0

        def see(person: Person) -> None:
            nonlocal unreachable
            coming[self._seal.pid(person.person_id)] = self._seal.compared(person)
            unreachable += not _is_reachable(person)

        read = await asyncio.to_thread(survey, file, name, self._city, self._cohorts(), self._today(), see)
        whole = hashlib.sha256(read.fingerprint)
        total, changed, moved, gone, same = len(coming), 0, 0, 0, 0
        async for row in self._campaigns.roster():
            whole.update(row.digest.encode())
            digest, quarter = coming.pop(row.pid, ("", ""))
            if not digest:
                gone += 1
            elif digest == row.digest:
                same += 1
            elif quarter != row.quarter:
                moved += 1
            else:
                changed += 1
        return read, Changes(
            people=total,
            new=len(coming),
            changed=changed,
            moved=moved,
            gone=gone,
            same=same,
            unreachable=unreachable,
            encoding=read.encoding,
            fingerprint=whole.hexdigest(),
        )

    async def _rows(self, file: BinaryIO, read: Read) -> AsyncIterator[RosterRow]:
        parts = self._parts(file, read)
        while some := await asyncio.to_thread(_next, parts):
            for row in some:
                yield row

    def _parts(self, file: BinaryIO, read: Read) -> Iterator[Sequence[RosterRow]]:
        """Sealed, so many at a time; reading, cutting and sealing are a thread's work."""
        everybody = people(file, read, self._city, self._cohorts(), self._today())
        while some := [self._seal.close(person) for person in islice(everybody, ROWS)]:
            yield some


def _next(parts: Iterator[Sequence[RosterRow]]) -> Sequence[RosterRow]:
    return next(parts, ())


def _in_order(person: Person) -> tuple[bool, str]:
    """The head first."""
    return person.person_id != person.household, person.person_id


def _is_reachable(person: Person) -> bool:
    return bool(person.mails or person.terminal or person.relative_mails or person.guardians or person.supporters)
