"""The roster's people as a campaign asks them: each with their own contacts and, behind them, those of whoever belongs to them.

Of somebody under 閲覧制限 nobody else is asked: whoever they are hidden from may live in the same house. Supporters are told of
those alone who agreed to it in advance, or of everybody else while a release is in force.

Source: 災害対策基本法 第49条の11 第2項, 第3項; 住民基本台帳事務における支援措置; design.md §8.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from config.ladders import Whom
from dispatcher.campaigns import ROWS
from dispatcher.model.policy import Contact
from dispatcher.tracking.confirmation.case import Case
from dispatcher.tracking.release import Releases
from dispatcher.tracking.roster import Person, Roster

MAIL, TERMINAL = "email_list", "ip_terminal"


@dataclass(frozen=True, slots=True)
class People:
    """Reads the roster for campaigns."""

    roster: Roster
    releases: Releases

    async def of(self, quarters: Sequence[str]) -> AsyncIterator[tuple[str, Case]]:
        """Everybody of these quarters, in the order of the roster: the same person always under the same id."""
        part: list[Person] = []
        tells_all = await self.releases.current() is not None
        async for person in self.roster.everybody(quarters):
            part.append(person)
            if len(part) == ROWS:
                for each in await self._cases(part, tells_all=tells_all):
                    yield each
                part = []
        for each in await self._cases(part, tells_all=tells_all):
            yield each

    async def _cases(self, people: Sequence[Person], *, tells_all: bool) -> Sequence[tuple[str, Case]]:
        named = {one for person in people for one in (*person.guardians, *person.supporters) if one}
        others = await self.roster.some(named) if named else {}
        homes = await self.roster.households({person.household for person in people})
        return [
            (
                self.roster.pid(person.person_id),
                replace(
                    _case(person, others, homes.get(person.household, ()), tells_all=tells_all),
                    home=tuple(
                        self.roster.pid(other.person_id)
                        for other in homes.get(person.household, ())
                        if other.person_id != person.person_id and not (person.restricted or other.restricted)
                    ),
                ),
            )
            for person in people
        ]


def _case(person: Person, others: Mapping[str, Person], home: Sequence[Person], *, tells_all: bool) -> Case:
    return Case(
        name=person.name,
        kana=person.kana,
        birth_date=person.birth_date,
        quarter=person.quarter,
        address=person.address,
        phones=person.phones,
        language=person.language,
        cohorts=person.cohorts,
        facility=person.facility,
        note=person.note,
        has_consented=person.consent,
        is_restricted=person.restricted,
        # Whoever they are hidden from may be one of them.
        relative_phones=() if person.restricted else person.relative_phones,
        contacts=tuple(_contacts(person, others, home, tells_all=tells_all)),
    )


def _contacts(
    person: Person, others: Mapping[str, Person], home: Sequence[Person], *, tells_all: bool
) -> Iterator[Contact]:
    yield from _of(person, Whom.SELF)
    for guardian in person.guardians:
        if guardian in others:
            yield from _of(others[guardian], Whom.GUARDIAN)
    if person.restricted:
        return
    for member in home:
        if member.person_id not in {person.person_id, *person.guardians}:
            yield from _of(member, Whom.HOUSEHOLD)
    for mail in person.relative_mails:
        yield Contact(Whom.RELATIVE, MAIL, mail, person.language)
    for supporter in person.supporters if person.consent or tells_all else ():
        if supporter in others:
            yield from _of(
                others[supporter], Whom.SUPPORTER, name="" if others[supporter].restricted else others[supporter].name
            )


def _of(person: Person, whom: Whom, name: str = "") -> Iterator[Contact]:
    # In the order of preference of the ladders: a mail has a link of one's own, a terminal stands where somebody lives.
    for mail in person.mails:
        yield Contact(whom, MAIL, mail, person.language, person.person_id, name)
    if person.terminal:
        yield Contact(whom, TERMINAL, person.terminal, person.language, person.person_id, name)
