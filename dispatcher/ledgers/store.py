"""The one hand that writes: a queue by urgency, and group commit.

What waits while one transaction commits goes together into the next, so a thousand terminals' receipts cost one fsync.
Functions that fail together are tried again one by one, so nobody's failure becomes a neighbour's; that costs nothing as
long as nothing fails, where a savepoint for each would cost two round trips on PostgreSQL for each.

Whether a commit whose reply was lost has happened is not guessed: the chain says it. Its head stands in the same
transaction, and only this node writes it.

Source: design.md §5.5, §5.6; facts.md §Engine ("A lost COMMIT reply …").
"""

import asyncio
import heapq
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from itertools import count
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from dispatcher.clock import Clock
from dispatcher.errors import Standby
from dispatcher.ledgers.chain import Head
from dispatcher.ledgers.dialect import Dialect
from dispatcher.ledgers.schema import chains
from dispatcher.ledgers.transaction import Transaction
from dispatcher.log import logger

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - an item
Work = Callable[[Transaction], T]
log = logger(__name__)

GROUP = 64
"""Functions in one transaction at most."""
WAITING = 4096
"""Callers that wait for the writer at most; more wait at the door."""
ITEMS = 1000
"""Items of gathered calls in one function at most, so that an urgent alert waits for few."""


class Urgency(IntEnum):
    """What goes first when several wait."""

    STAFF = 0
    """Before the outbox, so that its turn in the same transaction claims at once what staff have just issued."""
    OUTBOX = 1
    """Lease, claim, complete."""
    RECEIPT = 2
    BULK = 3
    """Always alone in its transaction, and behind whatever else waits."""


class ConnectionLost(Exception):  # noqa: N818 - says what was seen
    """The database went away; whether the last transaction was committed is not known."""


@dataclass(order=True, slots=True)
class _Job:
    urgency: Urgency
    number: int
    work: Work[Any] = field(compare=False)
    starting: Callable[[], None] = field(compare=False)
    result: "asyncio.Future[Any]" = field(compare=False)


class Store(ABC):
    """Runs functions of a Transaction durably. An engine (sqlite.py, postgres.py) says how one transaction is made."""

    def __init__(self, dialect: Dialect, clock: Clock) -> None:
        self.dialect = dialect
        self.clock = clock
        self.head = Head("")
        self.news = asyncio.Event()
        """Set whenever a commit may have left something to claim."""
        self.grown = asyncio.Condition()
        """Notified whenever this node's chain has grown."""
        self._jobs: list[_Job] = []
        self._numbers = count()
        self._some = asyncio.Event()
        self.room = asyncio.Semaphore(WAITING)
        self.commits = 0
        """Transactions since it was opened."""
        self._moved_at_s = clock.monotonic()
        self._lost_at_s: float | None = None
        self._is_closed = False

    @abstractmethod
    async def commit(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in one transaction; durable on return.

        Raises:
            ConnectionLost: and whether it was committed is not known.
            StorageFull: nothing was written.
        """

    @abstractmethod
    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` on a snapshot, beside the writer."""

    @abstractmethod
    async def reconnect(self) -> None:
        """Return when there is a connection again."""

    @abstractmethod
    async def forget(self) -> None:
        """Return when the engine's own files hold nothing any more of what was taken away, as far as that is its to do."""

    @abstractmethod
    async def tend(self) -> None:
        """Until cancelled, what the engine needs beside: hear other nodes' news, keep the log short."""

    async def write(self, work: Work[T], urgency: Urgency = Urgency.STAFF) -> T:
        """Run `work` in a transaction, maybe with others; durable on return. It may run more than once, and counts once.

        Raises:
            StorageFull: nothing was written.
            Standby: the ledger is closed.
        """
        async with self.room:
            return await self.submit(work, urgency)

    def submit(
        self, work: Work[T], urgency: Urgency, *, starting: Callable[[], None] = lambda: None
    ) -> "asyncio.Future[T]":
        """As `write`, without waiting. `starting` is called, on the loop, before `work` runs for the first time."""
        if self._is_closed:
            raise Standby("the ledger is closed")
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._jobs, _Job(urgency, next(self._numbers), work, starting, result))
        self._some.set()
        return result

    async def serve(self) -> None:
        """Until cancelled; what still waits then is refused."""
        try:
            while True:
                await self._some.wait()
                group = self._take()
                if group:
                    await self._serve(group)
                    self.moved()
                    # Those who got their results now may have more to write, and go together into the next.
                    await self.clock.sleep(0)
                else:
                    self._some.clear()
        finally:
            self.shut()

    def moved(self) -> None:
        """The writer has done something, or has tried to: it does not hang."""
        self._moved_at_s = self.clock.monotonic()

    def still_for_s(self) -> float:
        return self.clock.monotonic() - self._moved_at_s

    def away_for_s(self) -> float:
        """As Ledger.away_for_s. The beat is what notices, where nobody else writes."""
        lost_at_s = self._lost_at_s
        return 0.0 if lost_at_s is None else self.clock.monotonic() - lost_at_s

    def shut(self) -> None:
        """Refuse what waits and what still comes."""
        self._is_closed = True
        self._refuse(self._jobs)

    @staticmethod
    def _refuse(jobs: Sequence[_Job]) -> None:
        for job in jobs:
            if not job.result.done():
                job.result.set_exception(Standby("the ledger is closed"))
                job.result.exception()  # whoever still waits raises it; nobody is no reason for asyncio to complain

    def _take(self) -> list[_Job]:
        group: list[_Job] = []
        while self._jobs and len(group) < GROUP:
            if group and self._jobs[0].urgency is Urgency.BULK:
                break
            job = heapq.heappop(self._jobs)
            if not job.result.done():
                job.starting()
                group.append(job)
                if job.urgency is Urgency.BULK:
                    break
        return group

    async def _serve(self, group: Sequence[_Job]) -> None:
        """Commit the group, or else each of its functions alone."""
        try:
            results = await self._settled(group)
        except asyncio.CancelledError:
            self._refuse(group)
            raise
        except Exception as failure:  # noqa: BLE001 - it belongs to the caller, who gets it
            if len(group) > 1:
                for job in group:
                    await self._serve([job])
            elif not group[0].result.done():
                group[0].result.set_exception(failure)
                group[0].result.exception()  # as above
            return
        for job, result in zip(group, results, strict=True):
            if not job.result.done():
                job.result.set_result(result)

    async def _settled(self, group: Sequence[_Job]) -> Sequence[Any]:
        """The results of one committed transaction, however often the connection is lost on the way."""
        while True:
            done = _Done()
            try:
                await self.commit(partial(self._together, group=group, done=done))
            except ConnectionLost as lost:
                log.warning("ledger.retrying", reason=str(lost))
                self._lost_at_s = self.clock.monotonic()
                await self.reconnect()
                self._lost_at_s = None
                if done.head in {None, self.head} or not await self._happened(done.head):
                    continue
            await self._follow(done)
            return done.results

    def _together(self, connection: sa.Connection, group: Sequence[_Job], done: "_Done") -> None:
        t = Transaction(connection, self.dialect, self.head, self.clock.now())
        done.results = [job.work(t) for job in group]
        t.flush()
        done.head, done.has_work = t.head, t.has_work

    async def _happened(self, head: Head | None) -> bool:
        """Is that where the chain in the database ends?"""
        where = sa.select(chains.c.length, chains.c.hash).where(chains.c.node == self.head.node)
        while True:
            try:
                row = await self.commit(lambda connection: connection.execute(where).one())
            except ConnectionLost:
                await self.reconnect()
            else:
                return head is not None and (row.length, row.hash) == (head.length, head.hash)

    async def _follow(self, done: "_Done") -> None:
        self.commits += 1
        if done.has_work:
            self.news.set()
        if done.head is not None and done.head != self.head:
            self.head = done.head
            async with self.grown:
                self.grown.notify_all()


@dataclass(slots=True)
class _Done:
    """What a transaction came to, once it is committed."""

    results: Sequence[Any] = ()
    head: Head | None = None
    has_work: bool = False


class Gathering(Generic[I, T]):
    """Calls with one item or thousands, made one function of a Transaction for as many as wait.

    `work` gets the items in order and returns a result for each.
    """

    def __init__(self, store: Store, work: Callable[[Transaction, Sequence[I]], Sequence[T]], urgency: Urgency) -> None:
        self._store = store
        self._work = work
        self._urgency = urgency
        self._open: tuple[list[I], asyncio.Future[Sequence[T]]] | None = None

    async def add(self, items: Sequence[I]) -> Sequence[T]:
        """The results for these items, when they are durable."""
        if len(items) > ITEMS:
            parts = [items[start : start + ITEMS] for start in range(0, len(items), ITEMS)]
            return [result for part in parts for result in await self.add(part)]
        async with self._store.room:
            if self._open is None or len(self._open[0]) + len(items) > ITEMS:
                self._open = self._begin()
            gathered, results = self._open
            start = len(gathered)
            gathered.extend(items)
            # Shielded, because a caller that gives up takes nothing from the others.
            return (await asyncio.shield(results))[start : start + len(items)]

    def _begin(self) -> tuple[list[I], "asyncio.Future[Sequence[T]]"]:
        gathered: list[I] = []

        def close() -> None:
            if self._open is not None and self._open[0] is gathered:
                self._open = None

        return gathered, self._store.submit(lambda t: self._work(t, gathered), self._urgency, starting=close)
