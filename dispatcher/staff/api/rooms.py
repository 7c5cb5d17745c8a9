"""What the API's functions may ask: the desk and the rooms beside it, all over one ledger.

A rehearsal (`dry_run`) gets the same rooms over a ledger that forgets.

Source: design.md §9.
"""

from dataclasses import dataclass
from typing import Any

from dispatcher.clock import Clock
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

    def rehearsing(self) -> "tuple[Rooms, Rehearsal]":
        """The same rooms over a ledger that forgets, and that ledger."""
        rehearsal = Rehearsal(self.ledger)
        accounts = self.accounts.over(rehearsal)
        return Rooms(self.desk.over(rehearsal, accounts.is_fresh_factor), accounts, rehearsal, self.clock), rehearsal
