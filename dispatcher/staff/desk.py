"""Everything that staff may ask, one method each, with every rule in it. The doors (console, cli, api) only translate.

A rule that stands in a door can be walked around through another door; here it cannot.

    messages.py    drafting, submitting, approving, 更新 訂正 解除 取消, 緊急発表
    boards.py      what waits, how far it has come, what happened, any past moment
    notebook.py    saved areas, field reports, what was done by hand, forms half written
    reaching.py    facilities, and who has been reached by name
    asking.py      whether residents are asked      rounds.py   how many answered what      welfare.py   residents by name
    rostering.py   the list of people who may be asked            interchange.py   PFIF, out and in
    shelters.py    what each shelter is now                       mailing.py       the list of registered mail
    desk.py        who is asking, and what may go out now: 再送, media closed and opened, 停止中

Source: design.md §3, §9; dispatcher/staff/rules.py is the table of who may do what.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dispatcher.errors import Finding, InvalidInput, Refused
from dispatcher.ledger import Event, Ledger
from dispatcher.model.draft import Draft
from dispatcher.model.mode import M
from dispatcher.staff.boards import Board, Boards
from dispatcher.staff.gates import NODE, Closed, Gates
from dispatcher.staff.interchange import Interchange
from dispatcher.staff.mailing import Mailing
from dispatcher.staff.messages import Messages
from dispatcher.staff.notebook import Notebook
from dispatcher.staff.rostering import Rostering
from dispatcher.staff.rules import Act
from dispatcher.staff.seat import Factors
from dispatcher.staff.sessions import Person
from dispatcher.staff.shelters import ShelterDesk

__all__ = ["Board", "Desk", "as_json"]


class Desk(Messages[M], Boards[M], Notebook[M], ShelterDesk[M], Interchange[M], Rostering[M], Mailing[M]):
    """The desk of one node."""

    def rehearsing(self, ledger: Ledger, factors: Factors) -> "Desk[M]":
        """The same desk over a ledger that forgets, with the accounts of that one: what `--dry-run` asks."""
        gates = Gates(ledger, self._path.clock)
        gates.closed = self._gates.closed
        desk = Desk(replace(self._path, ledger=ledger), gates, factors)
        desk.pictures, desk.is_rehearsal = self.pictures, True
        desk.reach_ledger = self.reach_ledger.over(ledger) if self.reach_ledger is not None else None
        desk.facilities = self.facilities.over(ledger) if self.facilities is not None else None
        desk.roster = self.roster.over(ledger.campaigns) if self.roster is not None else None
        desk.caring = self.caring.over(ledger) if self.caring is not None else None
        desk.answering = desk.caring.answering if desk.caring is not None else None
        return desk

    @property
    def halted(self) -> Closed | None:
        """停止中: since when, by whom and why; None while the node sends."""
        return self._gates.halted

    @property
    def closed(self) -> Mapping[str, Closed]:
        """Channels that are closed now, `*` for the whole node."""
        return self._gates.closed

    async def retry(self, by: Person, identifier: str, kind: str, *, mode: str | None = None) -> None:
        """What waits after a failed attempt on this channel is tried now."""
        draft, state = await self._message(identifier)
        async with self._acting(by, Act.RETRY, draft, state=state, mode=mode):
            self._require_channel(kind)
            await self._path.ledger.append(Event("delivery.retried", identifier, {"by": by.name, "channel": kind}))
            await self._path.ledger.hasten(kind)

    async def pause(self, by: Person, kind: str, reason: str, *, mode: str | None = None) -> None:
        """Close a channel: what is queued waits there, nothing is lost."""
        async with self._acting(by, Act.SWITCH, mode=mode):
            self._require_channel(kind)
            await self._gates.close(kind, by.name, _reason(reason))

    async def resume(self, by: Person, kind: str, *, mode: str | None = None) -> None:
        """Open it again; what waited goes out at once, unless its time has run out."""
        async with self._acting(by, Act.SWITCH, mode=mode):
            self._require_channel(kind)
            await self._gates.open(kind, by.name)

    async def halt(self, by: Person, reason: str, *, mode: str | None = None) -> None:
        """停止中: nothing goes out on any channel and nothing can be approved, also after a restart."""
        async with self._acting(by, Act.HALT, mode=mode):
            await self._gates.close(NODE, by.name, _reason(reason))

    async def reopen(self, by: Person, *, mode: str | None = None) -> None:
        """End 停止中. Channels that were closed by name stay closed."""
        async with self._acting(by, Act.REOPEN, mode=mode):
            await self._gates.open(NODE, by.name)

    def _require_channel(self, kind: str) -> None:
        if kind not in self._path.channels:
            raise Refused(f"{kind}: ありません。あるのは {', '.join(self._path.channels)} (no such channel)")


def _reason(text: str) -> str:
    if len(text.strip()) < 2:
        raise InvalidInput([Finding("reason", "理由を書いてください (say why)")])
    return text.strip()[:500]


def as_json(draft: Draft) -> dict[str, Any]:
    return {**draft.body(), "version": draft.version}
