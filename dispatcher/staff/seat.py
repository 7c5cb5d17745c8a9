"""A seat at the desk: who is asking, which rule speaks of it, and that a no is written down.

Every method of the desk passes here first. A refusal is an event like any other, so that the board shows what was tried, and a
trainee's try at a live node is known the same night.

Source: design.md §9 "Rules live in the desk"; dispatcher/staff/rules.py.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Generic

from dispatcher.channel import Probe
from dispatcher.errors import InvalidInput, Refused
from dispatcher.ledger import Event
from dispatcher.model.draft import Draft, State
from dispatcher.model.mode import M
from dispatcher.path import Path
from dispatcher.staff.gates import Gates
from dispatcher.staff.rules import Act, allowed
from dispatcher.staff.sessions import Person

Factors = Callable[[Person, str], Awaitable[bool]]
"""Is this code the person's second factor, fresh and not used before?"""


async def no_factor(_by: Person, _code: str) -> bool:
    """Of a node whose people have tokens only."""
    return False


class Seat(Generic[M]):
    """What every part of the desk has: the path, the gates, and the rules."""

    def __init__(self, path: Path[M], gates: Gates | None = None, factors: Factors = no_factor) -> None:
        self._path: Path[M] = path
        self._gates = gates or Gates(path.ledger, path.clock)
        self._factors = factors
        self._probed: dict[str, tuple[datetime, Probe]] = {}
        """Each channel's last link test since this node came up."""

    @property
    def mode(self) -> str:
        return self._path.mode.name

    @asynccontextmanager
    async def _acting(
        self, by: Person, act: Act, draft: Draft | None = None, *, state: State | None = None, mode: str | None = None
    ) -> AsyncIterator[None]:
        """Inside, this person does that; what is refused is written down.

        Raises:
            Refused: a rule says no; `mode` is not the node's.
        """
        try:
            if mode is not None:
                self._require_mode(mode)
            self._require_allowed(by, act, draft, state)
            yield
        except Refused as refused:
            if act is not Act.LOOK and not isinstance(refused, InvalidInput):
                facts = {"by": by.name, "act": act, "because": type(refused).__name__, "words": str(refused)[:300]}
                await self._path.ledger.append(Event("act.refused", draft.identifier if draft else "", facts))
            raise

    def _require_allowed(self, by: Person, act: Act, draft: Draft | None, state: State | None) -> None:
        if reason := allowed(by.name, by.roles, act, self._path.mode, draft, state):
            raise Refused(reason)

    def _require_mode(self, mode: str) -> None:
        if mode != self._path.mode.name:
            name = self._path.mode.name
            raise Refused(f"この節点は{self._path.mode.word}です。--{name} と書いてください (this node is {name})")

    async def _message(self, identifier: str) -> tuple[Draft, State]:
        """A message and the state that the table asks for: the alert's own, once there is one."""
        draft = await self._draft(identifier)
        if draft.state is not State.DISPATCHING:
            return draft, draft.state
        return draft, State((await self._path.ledger.alert(identifier)).state)

    async def _draft(self, identifier: str) -> Draft:
        return Draft.from_body(*await self._path.ledger.draft(identifier))
