"""The roster at rest: each person sealed under the site's key, found by codes that nobody makes without it.

The key stands in the site file as `safety.key`, the same on every node of a ledger; what one campaign knows of somebody is
sealed under that campaign's own key instead (confirmation/keys.py).

Source: design.md §8 "The roster is encrypted at rest with a site key".
"""

from config.secret import Secret
from dispatcher.campaigns import RosterRow
from dispatcher.errors import Refused
from dispatcher.sealing import Box, Coder, Unopened
from dispatcher.tracking.roster.person import Person


class RosterSeal:
    """Seals and opens rows of the roster."""

    def __init__(self, key: Secret) -> None:
        secret = key.reveal().encode()
        self._box = Box(secret, "safety roster")
        self._coder = Coder(secret, "safety roster code")
        self._quarters: dict[str, str] = {}

    def pid(self, person_id: str) -> str:
        """What a person is found by."""
        return self._coder.code("person", person_id, size_bytes=16)

    def quarter(self, code: str) -> str:
        # Some dozens of them, and 100,000 people who live there.
        known = self._quarters.get(code)
        if known is None:
            known = self._quarters[code] = self._coder.code("quarter", code)
        return known

    def household(self, head: str) -> str:
        """Of the household whose head has this common ID."""
        return self._coder.code("household", head) if head else ""

    def digest(self, written: bytes) -> str:
        """By which two imports are compared."""
        return self._coder.code("row", written.decode(), size_bytes=16)

    def compared(self, person: Person) -> tuple[str, str]:
        """What of a person's row is compared: its digest, and its quarter."""
        return self.digest(person.written()), self.quarter(person.quarter)

    def close(self, person: Person) -> RosterRow:
        pid, written = self.pid(person.person_id), person.written()
        return RosterRow(
            pid=pid,
            quarter=self.quarter(person.quarter),
            household=self.household(person.household),
            digest=self.digest(written),
            sealed=self._box.close(written, pid.encode()),
        )

    def open(self, row: RosterRow) -> Person:
        """Raises Refused: sealed with another key."""
        try:
            return Person.read(self._box.open(row.sealed, row.pid.encode()))
        except Unopened:
            raise Refused(
                "この節点の safety.key では名簿を開けません。サイトの設定を確かめてください "
                "(this node's safety.key does not open the roster: check the site file)"
            ) from None
