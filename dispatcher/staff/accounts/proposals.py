"""Proposals: what one admin asks for and a second one does. Nobody changes who may sit at the desk alone.

    pending ──approved by another admin──▶ approved ──carried out──▶ done
       └──rejected by another, withdrawn by the same──▶ rejected      └──(after 24 h, pending)──▶ expired

The second yes is written down before the deed, so that two admins who press at once do it once; should the node stop in between,
the same button, a minute later, does the rest. Both names stand in the chain.

Source: design.md §9.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from dispatcher.clock import Clock
from dispatcher.errors import NotFound, Refused
from dispatcher.ledger import Event, Ledger
from dispatcher.staff.accounts.acts import FORMS, Acts, AdminAct, shaped
from dispatcher.staff.accounts.names import key_of, legible
from dispatcher.staff.rules import Role
from dispatcher.staff.sessions import Person

KIND = "proposal"
LIFE = timedelta(hours=24)
MAX_PENDING = 100
DEED_TAKES = timedelta(minutes=1)
"""Far longer than any deed takes: what is still only approved then was dropped by a node that stopped."""
_ID = re.compile(r"p-[0-9]{8}T[0-9]{6}-[0-9a-f]{6}")


class ProposalState(StrEnum):
    """Where a proposal stands."""

    PENDING = "pending"
    """Waits for a second admin."""
    APPROVED = "approved"
    """Two admins want it; the node has not said that it is done."""
    DONE = "done"
    REJECTED = "rejected"
    EXPIRED = "expired"
    """Nobody gave the second word in time."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One admin act on its way."""

    id: str
    act: AdminAct
    what: Mapping[str, Any]
    by: str
    at: datetime
    expires_at: datetime
    state: ProposalState
    decided_by: str
    decided_at: datetime | None
    reason: str
    """Why it was rejected."""
    version: int

    @property
    def words(self) -> str:
        """The act and its object in one line for people."""
        fields = ", ".join(f"{name}: {_shown(value)}" for name, value in self.what.items())
        return f"{FORMS[self.act].words} — {fields}"


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """A proposal that was done. `handed_over`: an enrolment code or a token, shown this once; "" for most."""

    proposal: Proposal
    handed_over: str


class Proposals:
    """The proposals of one ledger."""

    def __init__(self, ledger: Ledger, clock: Clock, acts: Acts) -> None:
        self._ledger = ledger
        self._clock = clock
        self._acts = acts

    async def propose(self, by: Person, act: str, what: Mapping[str, Any]) -> Proposal:
        """Ask a second admin.

        Raises:
            Refused: not an admin; too many wait already.
            InvalidInput, NotFound: why it could not be done.
        """
        _require_admin(by)
        kind, fields = shaped(act, what)
        await self._acts.check(kind, fields)
        if sum(proposal.state is ProposalState.PENDING for proposal in await self.all()) >= MAX_PENDING:
            raise Refused(
                f"決まっていない提案が{MAX_PENDING}件あります。先に片付けてください (too many proposals wait)"
            )
        now = self._clock.now()
        identifier = f"p-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        body = {
            "act": kind,
            "what": fields,
            "by": by.name,
            "at": now.isoformat(),
            "expires_at": (now + LIFE).isoformat(),
            "state": ProposalState.PENDING,
            "decided_by": "",
            "decided_at": None,
            "reason": "",
        }
        facts = {"by": by.name, "proposal": identifier, "act": kind}
        version = await self._ledger.save_record(KIND, identifier, 0, body, Event("proposal.made", "", facts))
        return self._proposal(identifier, version, body)

    async def approve(self, by: Person, identifier: str) -> CarriedOut:
        """The second yes, and the deed.

        Raises:
            Refused: not an admin; one's own proposal; decided or expired already; it cannot be done any more.
            StaleHash: somebody else decided at this moment.
        """
        _require_admin(by)
        proposal = await self.one(identifier)
        if key_of(by.name) == key_of(proposal.by):
            raise Refused("自分の提案は承認できません。別の管理者が行ってください (another admin must approve)")
        if proposal.state is ProposalState.PENDING:
            await self._acts.check_again(proposal.act, proposal.what)
            proposal = await self._move(proposal, ProposalState.APPROVED, by.name)
        elif self._was_dropped(proposal):
            proposal = await self._move(proposal, ProposalState.APPROVED, by.name)
        else:
            raise Refused(f"{identifier} は {proposal.state} です (is {proposal.state})")
        names = {"proposed_by": proposal.by, "by": by.name, "proposal": identifier}
        handed_over = await self._acts.apply(proposal.act, proposal.what, names)
        return CarriedOut(await self._move(proposal, ProposalState.DONE, by.name), handed_over)

    def _was_dropped(self, proposal: Proposal) -> bool:
        """Approved long enough ago for its deed to be done, and it is not."""
        since = proposal.decided_at
        return (
            proposal.state is ProposalState.APPROVED and since is not None and self._clock.now() - since >= DEED_TAKES
        )

    async def reject(self, by: Person, identifier: str, reason: str) -> Proposal:
        """Another admin's no, or one's own second thought.

        Raises:
            Refused: not an admin; decided already.
        """
        _require_admin(by)
        proposal = await self.one(identifier)
        if proposal.state is not ProposalState.PENDING:
            raise Refused(f"{identifier} は {proposal.state} です (is {proposal.state})")
        return await self._move(proposal, ProposalState.REJECTED, by.name, legible(reason, 500))

    async def one(self, identifier: str) -> Proposal:
        """Raises NotFound."""
        if not _ID.fullmatch(identifier):
            raise NotFound(f"{legible(identifier, 40)} という提案はありません (no such proposal)")
        return self._proposal(identifier, *await self._ledger.read_record(KIND, identifier))

    async def all(self) -> Sequence[Proposal]:
        """Newest first."""
        return [self._proposal(*record) for record in reversed(await self._ledger.records(KIND))]

    async def _move(self, proposal: Proposal, state: ProposalState, by: str, reason: str = "") -> Proposal:
        body = {
            "act": proposal.act,
            "what": dict(proposal.what),
            "by": proposal.by,
            "at": proposal.at.isoformat(),
            "expires_at": proposal.expires_at.isoformat(),
            "state": state,
            "decided_by": by,
            "decided_at": self._clock.now().isoformat(),
            "reason": reason,
        }
        facts = {"by": by, "proposed_by": proposal.by, "proposal": proposal.id, "act": proposal.act, "reason": reason}
        event = Event(f"proposal.{state}", "", facts)
        version = await self._ledger.save_record(KIND, proposal.id, proposal.version, body, event)
        return self._proposal(proposal.id, version, body)

    def _proposal(self, identifier: str, version: int, body: Mapping[str, Any]) -> Proposal:
        state, expires_at = ProposalState(body["state"]), datetime.fromisoformat(body["expires_at"])
        if state is ProposalState.PENDING and self._clock.now() >= expires_at:
            state = ProposalState.EXPIRED
        return Proposal(
            identifier,
            AdminAct(body["act"]),
            body["what"],
            body["by"],
            datetime.fromisoformat(body["at"]),
            expires_at,
            state,
            body["decided_by"],
            datetime.fromisoformat(body["decided_at"]) if body["decided_at"] else None,
            body["reason"],
            version,
        )


def _require_admin(by: Person) -> None:
    if Role.ADMIN not in by.roles:
        raise Refused(f"{by.name} は管理者ではありません (admins only)")
