"""What the API's functions may ask: the desk and the rooms beside it, all over one ledger.

A rehearsal (`dry_run`) gets the same rooms over a ledger that forgets.

Source: design.md §9.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from config.city import City
from dispatcher.clock import Clock
from dispatcher.errors import Finding, InvalidInput
from dispatcher.ledger import Ledger
from dispatcher.ledgers.rehearsal import Rehearsal
from dispatcher.staff.accounts import Accounts
from dispatcher.staff.desk import Desk


@dataclass(frozen=True, slots=True)
class Rooms:
    """One node's headquarters."""

    desk: Desk[Any]
    accounts: Accounts
    ledger: Ledger
    clock: Clock
    city: City

    def quarters(self, names: Sequence[str], where: str) -> tuple[str, ...]:
        """Codes of the quarters that these names of quarters, groups or the city stand for.

        Raises:
            InvalidInput: every name that the gazetteer does not know.
        """
        codes: dict[str, None] = {}
        findings = []
        for number, name in enumerate(names):
            try:
                codes |= dict.fromkeys(quarter.code for quarter in self.city.find(name))
            except LookupError as error:
                findings.append(Finding(f"/{where}/{number}", str(error)))
        if findings:
            raise InvalidInput(findings)
        return tuple(codes)

    def rehearsing(self) -> "tuple[Rooms, Rehearsal]":
        """The same rooms over a ledger that forgets, and that ledger."""
        rehearsal = Rehearsal(self.ledger)
        accounts = self.accounts.over(rehearsal)
        return Rooms(
            self.desk.rehearsing(rehearsal, accounts.is_fresh_factor), accounts, rehearsal, self.clock, self.city
        ), rehearsal
