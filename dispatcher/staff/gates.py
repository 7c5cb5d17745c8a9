"""What may go out now: a channel can be closed, and so can the whole node (停止中); both outlive a restart.

A closed channel's deliveries stay queued, not lost and not failed; what is under way ends. In a change window everything is
closed at once and opened again by name, so that no output is left open because nobody thought of it (南相馬市 2017).

Source: design.md §3, §9; issue "停止中".
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from dispatcher.channel import Limits
from dispatcher.clock import Clock
from dispatcher.errors import NotFound, Refused, StaleHash
from dispatcher.ledger import Event, Ledger

KIND = "gate"
WINDOW = "maintenance"
"""Kind of record: two admins have opened a change window (accounts/acts.py); it closes everything as long as it is open."""
NODE = "*"
"""The gate of the whole node."""


@dataclass(frozen=True, slots=True)
class Closed:
    """Who closed it, when and why."""

    by: str
    at: datetime
    reason: str


class Gates:
    """Of one node. `read()` takes over what another node of the same ledger has closed or opened."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self.closed: Mapping[str, Closed] = {}

    @property
    def halted(self) -> Closed | None:
        return self.closed.get(NODE)

    async def read(self) -> None:
        kept = await self._ledger.records(KIND)
        window = await self._ledger.records(WINDOW)
        before = self.closed
        self.closed = {
            key: Closed(body["by"], datetime.fromisoformat(body["at"]), body["reason"]) for key, _, body in kept
        }
        for _, _, body in window:
            if body["is_open"]:
                self.closed = {
                    NODE: Closed(body["by"], datetime.fromisoformat(body["at"]), body["reason"]),
                    **self.closed,
                }
        if before.keys() - self.closed.keys():
            self._ledger.wake()

    async def close(self, key: str, by: str, reason: str) -> None:
        """Close it; closing what is closed keeps the first reason."""
        body = {"by": by, "at": self._clock.now().isoformat(), "reason": reason}
        event = Event("gate.closed", "", {"gate": key, "by": by, "reason": reason})
        # What another node or a change window holds closed is no gate of this one's: the record alone tells.
        with suppress(StaleHash):
            await self._ledger.save_record(KIND, key, 0, body, event)
        await self.read()

    async def open(self, key: str, by: str) -> None:
        """Open it; what waited goes out at once."""
        try:
            version, _ = await self._ledger.read_record(KIND, key)
        except NotFound:
            if key in self.closed:
                raise Refused("保守時間です。管理で終えてください (maintenance: two admins end it)") from None
            raise Refused("閉じていません (it is not closed)") from None
        await self._ledger.save_record(KIND, key, version, None, Event("gate.opened", "", {"gate": key, "by": by}))
        await self.read()

    def over(self, lanes: Mapping[str, Limits], always_open: str) -> Mapping[str, Limits]:
        """The lanes as the outbox sees them at each turn: a closed one takes nothing. `always_open`: the lane of timers."""
        return _Gated(lanes, self, always_open)


class _Gated(Mapping[str, Limits]):
    def __init__(self, lanes: Mapping[str, Limits], gates: Gates, always_open: str) -> None:
        self._lanes = lanes
        self._gates = gates
        self._always_open = always_open

    def __getitem__(self, kind: str) -> Limits:
        limits = self._lanes[kind]
        closed = self._gates.closed
        if kind != self._always_open and (kind in closed or NODE in closed):
            return replace(limits, concurrency=0)
        return limits

    def __iter__(self) -> Iterator[str]:
        return iter(self._lanes)

    def __len__(self) -> int:
        return len(self._lanes)
