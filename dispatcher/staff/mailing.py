"""The desk's part for registered mail: the list as a signed file, and the way back for a suspended address.

The list is the city's own; taking it out is an act of an admin with a reason, and stands in the ledger with its digest and without
a single address.

Source: issue "Registered mail"; design.md §9; dispatcher/staff/rules.py `MAIL_LIST`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from dispatcher.errors import Finding, InvalidInput, NotFound
from dispatcher.ledger import Event
from dispatcher.model.mode import M
from dispatcher.staff.rules import Act
from dispatcher.staff.seat import Seat
from dispatcher.staff.sessions import Person

LONGEST_REASON = 400


@dataclass(frozen=True, slots=True)
class Exported:
    """The list as CSV, and the signature that goes beside it (dispatcher/signing.py)."""

    csv: str = field(repr=False)
    signature: Mapping[str, Any]
    people: int


@runtime_checkable
class ListKeeper(Protocol):
    """A channel that keeps a list of addresses."""

    async def exported(self) -> Exported:
        """Everybody on it now."""
        ...

    async def suspended(self) -> Sequence[tuple[str, int]]:
        """How many get nothing because mail to them came back, by the reason."""
        ...

    async def restore(self, address: str) -> bool:
        """Try this address again; False where it was not suspended."""
        ...


class Mailing(Seat[M]):
    """The part of the desk that speaks of the list."""

    is_rehearsal: bool

    async def export_list(self, by: Person, reason: str, *, mode: str | None = None) -> Exported:
        """The whole list, signed.

        Raises:
            InvalidInput: no reason was given.
            NotFound: this node keeps no list.
        """
        async with self._acting(by, Act.MAIL_LIST, mode=mode):
            said = _reason(reason)
            found = await self._keeper().exported()
            facts = {"by": by.name, "reason": said, "people": found.people, "sha256": found.signature["sha256"]}
            await self._path.ledger.append(Event("mail.exported", "", facts))
            return found

    async def suspended(self, by: Person) -> Mapping[str, int]:
        """How many addresses get nothing because mail to them came back: nobody, filtered, later. Raises NotFound."""
        async with self._acting(by, Act.LOOK):
            return dict(await self._keeper().suspended())

    async def restore_address(self, by: Person, address: str, reason: str, *, mode: str | None = None) -> None:
        """Try a suspended address again.

        Raises:
            InvalidInput: no reason was given.
            NotFound: it is not suspended, or this node keeps no list.
        """
        async with self._acting(by, Act.MAIL_LIST, mode=mode):
            facts = {"by": by.name, "reason": _reason(reason)}
            keeper = self._keeper()
            if not self.is_rehearsal and not await keeper.restore(address.strip()):
                raise NotFound("停止中のアドレスではありません (not suspended)")
            await self._path.ledger.append(Event("mail.restored", "", facts))

    def _keeper(self) -> ListKeeper:
        for channel in self._path.channels.values():
            if isinstance(channel, ListKeeper):
                return channel
        raise NotFound("この節点に登録メールはありません (no registered mail on this node)")


def _reason(text: str) -> str:
    if len(text.strip()) < 2:
        raise InvalidInput([Finding("reason", "理由を書いてください (say why)")])
    return text.strip()[:LONGEST_REASON]
