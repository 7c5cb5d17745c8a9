"""The outbox: turn after turn, and a beat a second. Written once for both engines; the statements are in turn.py and beat.py.

It never ends because a disk is full or a database is away: what cannot be written now is written later, and what was under
way goes on meanwhile.

Source: design.md §5.2, §5.3.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import TypeVar

from dispatcher.channel import Limits
from dispatcher.clock import Clock
from dispatcher.errors import Standby, StorageFull
from dispatcher.ledger import Attempted, Claim
from dispatcher.ledgers.beat import Beaten, beat, hasten, prepare, release
from dispatcher.ledgers.complete import complete
from dispatcher.ledgers.leases import Leases
from dispatcher.ledgers.opening import Identity
from dispatcher.ledgers.store import Store, Urgency
from dispatcher.ledgers.transaction import Transaction
from dispatcher.ledgers.turn import Turned, turn
from dispatcher.log import logger
from dispatcher.model.delivery import DeliveryEvent

T = TypeVar("T")
log = logger(__name__)

SAFE = 0.8
"""Of the lease; after that nothing more is claimed until it is renewed."""
PUT_BACK_S = 1.0
"""So far back the wall clock has to go to be noticed; less is waited for."""
FULL_PAUSE_S = 1.0
"""Before trying again on a full disk."""
LEAVE_TIMEOUT_S = 3.0

Attempt = Callable[[Claim], Awaitable[Attempted]]


class Outbox:
    """One run of it."""

    def __init__(
        self,
        store: Store,
        me: Identity,
        clock: Clock,
        lanes: Mapping[str, Limits],
        attempt: Attempt,
        *,
        beat_s: float,
        concurrency: int,
    ) -> None:
        self._store = store
        self._me = me
        self._clock = clock
        self._lanes = lanes
        self._attempt = attempt
        self._beat_s = beat_s
        self._concurrency = concurrency
        self._finished: list[Attempted] = []
        self._held: dict[int, Claim] = {}
        """By token: claimed, and not yet completed in the ledger."""
        self._tasks: dict[int, asyncio.Task[None]] = {}
        """By token."""
        self._superseded: set[int] = set()
        self._suspects: AbstractSet[int] = frozenset()
        self._leases = Leases(me.lease_s, clock)
        self._wall_s = math.inf
        """The wall clock's lead over the steady one, at the last beat."""
        self._safe_until = -math.inf
        self._alarm_at = math.inf

    async def run(self) -> None:
        """Until cancelled; what is under way then is stopped and put back."""
        try:
            await self._lasting(partial(prepare, limits=self._lanes))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._store.tend())
                tasks.create_task(self._beats())
                tasks.create_task(self._turns(tasks))
        except* Standby as refused:
            raise refused.exceptions[0] from None
        finally:
            await self._leave()

    def supersede(self, identifiers: Collection[str]) -> None:
        """Stop running attempts on these alerts: what they have not told yet is not to go out any more."""
        self._stop([token for token, claim in self._held.items() if claim.identifier in identifiers])

    def _stop(self, tokens: Iterable[int]) -> None:
        for token in tokens:
            task = self._tasks.get(token)
            if task is not None and token not in self._superseded:
                self._superseded.add(token)
                task.cancel()

    # -- turn --------------------------------------------------------------------------------------------------------

    async def _turns(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._store.news.wait()
            self._store.news.clear()
            finished, self._finished = self._finished, []
            turned = await self._lasting(partial(self._turn, finished=finished))
            self._finished[:0] = turned.later
            for attempted in turned.completed:
                self._held.pop(int(attempted.claim.token), None)
            self._report(turned)
            if self._is_safe:  # else they are found as orphans, by this node or by the next
                for claim in turned.claimed.claims:
                    self._held[int(claim.token)] = claim
                    self._tasks[int(claim.token)] = tasks.create_task(self._run(claim))
            if turned.claimed.is_more or self._finished:
                self._store.news.set()
            elif turned.next_look_s <= self._beat_s:
                self._wake_in(turned.next_look_s, tasks)

    def _turn(self, t: Transaction, finished: Sequence[Attempted]) -> Turned:
        free = self._concurrency - len(self._held)
        return turn(t, self._me.incarnation, self._lanes, finished, free if self._is_safe else None)

    @property
    def _is_safe(self) -> bool:
        return self._clock.monotonic() < self._safe_until

    async def _run(self, claim: Claim) -> None:
        token = int(claim.token)
        try:
            attempted = await self._attempt(claim)
        except asyncio.CancelledError:
            if token not in self._superseded:
                raise
            attempted = Attempted(claim, DeliveryEvent.SUPERSEDED)
        except StorageFull as full:
            attempted = Attempted(claim, DeliveryEvent.DEFERRED, words=str(full))
        except Exception as defect:
            # Ours, not the medium's: it must neither stop the other channels nor lose the delivery.
            log.exception("attempt.failed", delivery_id=claim.id, channel=claim.channel)
            attempted = Attempted(claim, DeliveryEvent.DEFERRED, words=type(defect).__name__, is_success=False)
        finally:
            self._superseded.discard(token)
            self._tasks.pop(token, None)
        self._finished.append(attempted)
        self._store.news.set()

    @staticmethod
    def _report(turned: Turned) -> None:
        for lane in turned.claimed.opened:
            log.warning("breaker.opened", channel=lane.channel, open_s=lane.limits.breaker_open_s)
        for attempted, retry_in_s in turned.deferred:
            claim = attempted.claim
            log.info(
                "delivery.deferred",
                delivery_id=claim.id,
                channel=claim.channel,
                identifier=claim.identifier,
                attempt=claim.attempt,
                retry_in_s=retry_in_s,
            )

    def _wake_in(self, delay_s: float, tasks: asyncio.TaskGroup) -> None:
        """Look again then; what is further away than a beat is seen by the beat."""
        at = self._clock.monotonic() + delay_s
        if at < self._alarm_at:
            self._alarm_at = at
            tasks.create_task(self._alarm(at, delay_s))

    async def _alarm(self, at: float, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        if self._alarm_at == at:
            self._alarm_at = math.inf
        self._store.news.set()

    # -- beat --------------------------------------------------------------------------------------------------------

    async def _beats(self) -> None:
        while True:
            began = self._clock.monotonic()
            if self._is_put_back():
                # What failed waits for a moment of the wall clock, which is far away now.
                await self._lasting(partial(hasten, channels=list(self._lanes)))
            beaten = await self._lasting(self._beat)
            self._safe_until = began + SAFE * self._me.lease_s
            self._suspects = beaten.suspects
            self._stop(beaten.superseded)
            if beaten.reclaimed:
                log.warning("ledger.reclaimed", rows=beaten.reclaimed)
            self._store.news.set()
            await self._clock.sleep(self._beat_s)

    def _is_put_back(self) -> bool:
        """The wall clock went back since the last beat, or, at the first, nobody knows."""
        before, self._wall_s = self._wall_s, self._clock.now().timestamp() - self._clock.monotonic()
        return self._wall_s < before - PUT_BACK_S

    def _beat(self, t: Transaction) -> Beaten:
        return beat(t, self._me, self._leases, self._lanes, frozenset(self._held), self._suspects)

    # -- both --------------------------------------------------------------------------------------------------------

    async def _lasting(self, work: Callable[[Transaction], T]) -> T:
        """Write it, however long the disk is full."""
        while True:
            try:
                return await self._store.write(work, Urgency.OUTBOX)
            except StorageFull as full:
                log.warning("ledger.retrying", reason=str(full))
                await self._clock.sleep(FULL_PAUSE_S)

    async def _leave(self) -> None:
        """Complete what has ended and put back the rest. Where that fails, the lease runs out instead."""
        finished, self._finished = self._finished, []
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await self._store.write(partial(complete, limits=self._lanes, finished=finished), Urgency.OUTBOX)
                await self._store.write(partial(release, me=self._me), Urgency.OUTBOX)
        except (TimeoutError, StorageFull, Standby) as failure:
            log.warning("ledger.retrying", reason=type(failure).__name__)
