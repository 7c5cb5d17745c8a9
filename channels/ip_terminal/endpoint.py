"""The broker's end in the node: who is connected, what is being sent to whom, and receipts on their way into the ledger.

An attempt sends to whoever listens and waits for the PUBACKs of those. A terminal that appears while the attempt lasts gets the
notice at once; those still away at its end are told as such, and come up again when the inbox hears that somebody has returned.

Receipts of all connections are gathered while the ledger writes the last lot, and each is acknowledged only after its own lot is
durable: so a burst from 19,500 terminals costs some dozens of commits.

Source: design.md §5.6; facts.md §IP notification terminals; MQTT 3.1.1 §4.4; MQTT 5.0 §4.4.
"""

import asyncio
import contextlib
import itertools
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from channels.ip_terminal.attempt import Attempt
from channels.ip_terminal.connection import Connection
from channels.ip_terminal.packets import Connect, Reason
from channels.ip_terminal.receipt import ANSWERS, State, TerminalReceipt
from channels.ip_terminal.register import BadRegister, Register, Registered
from channels.ip_terminal.topics import Up
from config.units import Bytes, Seconds
from dispatcher.channel import Inbox
from dispatcher.clock import Clock
from dispatcher.errors import StorageFull
from dispatcher.log import logger
from dispatcher.model.campaign import Answer
from dispatcher.model.delivery import Outcome, Receipt, Received, Told
from dispatcher.model.question import Heard

S = TypeVar("S")
LOOK_EVERY_S: Final = 1.0
"""How often the endpoint looks for connections whose patience has run out."""
FULL_PAUSE_S: Final = 0.5
LOT: Final = 1_000
"""Receipts in one write at most: the writer has others to serve."""
SLICE: Final = 100
"""Notices written before the loop may do something else."""
MOST_AT_ONCE: Final = 4
"""Connections of one terminal: its own, and those of whoever looks after it. One more and the oldest goes."""
SPARE_CONNECTIONS: Final = 200
LONGEST_SAYING: Final = 200
MOST_SENT: Final = 1_000
"""Messages that are remembered as sent by this process."""
MOST_UNHEARD_OF: Final = 64
"""Receipts an hour of one terminal for messages that this process has not sent. After a restart they come, and are few; a
terminal in a thief's hand could otherwise fill the ledger with messages that never were."""
UNHEARD_OF_WINDOW_S: Final = 3600.0

_Lot = list[tuple[Connection, int, Received | Heard]]
"""Receipts and answers with where they came from and their packet id."""
_SAYS: Final = {state: Receipt(state.value) for state in State if state not in ANSWERS}
_MEANS: Final = {State.SAFE: Answer.OK, State.INJURED: Answer.HURT, State.RESCUE: Answer.HELP}

log = logger("channels.ip_terminal")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What one connection may take."""

    largest_packet: Bytes = 16_384
    """From a terminal; a receipt has 200 bytes."""
    write_buffer: Bytes = 1_048_576
    """Bytes that a terminal has not read; beyond, it is cut off and comes back."""
    connect_timeout: Seconds = 10.0
    """From the first byte to a CONNECT that says who it is."""
    longest_keepalive: Seconds = 300.0
    """A terminal that is silent for one and a half of its keepalive, or of this, is gone."""


@dataclass(slots=True)
class Health:
    """What a terminal last said of itself."""

    state: str = ""
    heartbeat: str = ""
    heard_at: datetime | None = None


class Endpoint:
    """Every terminal's connection. Opened once, for as long as the node lives."""

    def __init__(self, kind: str, register: Register, limits: ConnectionLimits, clock: Clock) -> None:
        self.limits = limits
        self.register = register
        self.health: dict[str, Health] = {}
        self.now_s = clock.monotonic
        self._kind = kind
        self._clock = clock
        self._inbox: Inbox | None = None
        self._connections: set[Connection] = set()
        self._by_tid: dict[str, list[Connection]] = {}
        self._by_client_id: dict[str, Connection] = {}
        self._attempts: set[Attempt] = set()
        self._receipts: _Lot = []
        self._have_receipts = asyncio.Event()
        self._sent: dict[str, None] = {}
        self._unheard_of: Counter[str] = Counter()
        self._window_s = self.now_s()
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None

    # -- opening and closing ---------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def listening(self, host: str, port: int, tls: ssl.SSLContext | None, inbox: Inbox) -> AsyncIterator[None]:
        """Terminals may connect inside.

        Raises:
            OSError: the address is taken.
        """
        self._inbox = inbox
        more: dict[str, Any] = {"ssl": tls, "ssl_handshake_timeout": self.limits.connect_timeout} if tls else {}
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self, self.now_s()), host, port, backlog=4096, **more
        )
        self._server = server
        try:
            async with asyncio.TaskGroup() as group:
                work = [group.create_task(self._recording(inbox)), group.create_task(self._looking())]
                try:
                    yield
                finally:
                    for task in work:
                        task.cancel()
        finally:
            self._server = None
            server.close()
            for connection in tuple(self._connections):
                connection.end(Reason.SERVER_SHUTTING_DOWN, "the node stops")
            self._receipts.clear()

    @property
    def is_listening(self) -> bool:
        return self._server is not None and self._server.is_serving()

    def listening_tids(self) -> Iterator[str]:
        """Terminals that would get a notice now."""
        return (tid for tid, found in self._by_tid.items() if any(c.is_listening for c in found))

    # -- sending ---------------------------------------------------------------------------------------------------

    async def send(
        self, identifier: str, payload: bytes, tids: Sequence[str], tell: Callable[[Told], None], wait_s: float
    ) -> None:
        """One attempt; every terminal is told of by the end, `wait_s` at most after the last was written to."""
        self._sent[identifier] = None
        if len(self._sent) > MOST_SENT:
            del self._sent[next(iter(self._sent))]
        attempt = Attempt(identifier, payload, tids, tell)
        self._attempts.add(attempt)
        try:
            for number, tid in enumerate(tids, 1):
                self._offer(attempt, tid)
                if number % SLICE == 0:
                    await self._clock.sleep(0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await attempt.settled()
        finally:
            self._attempts.discard(attempt)
        for tid, is_flying in attempt.open():
            words = attempt.words.get(tid)
            if is_flying:
                tell(Told(tid, Outcome.UNKNOWN, f"送りましたが、{wait_s:g} 秒待っても受領の返事がありません"))
            elif words:
                tell(Told(tid, Outcome.UNKNOWN if self._has_blind(tid, identifier) else Outcome.TEMPORARY, words))
            else:
                tell(Told(tid, Outcome.TEMPORARY, "端末がつながっていません"))

    def _offer(self, attempt: Attempt, tid: str) -> None:
        now_s = self.now_s()
        for connection in tuple(self._by_tid.get(tid, ())):
            if connection.is_listening and tid in attempt and not connection.publish(attempt, now_s):
                attempt.words.setdefault(tid, "端末が前のお知らせをまだ受け取っていません")

    def _has_blind(self, tid: str, identifier: str) -> bool:
        return any(connection.blind and identifier in connection.blind for connection in self._by_tid.get(tid, ()))

    # -- what connections ask and say ------------------------------------------------------------------------------

    def arrived(self, connection: Connection) -> bool:
        """False where there are already more than there can be terminals."""
        if len(self._connections) >= 2 * len(self.register.terminals) + SPARE_CONNECTIONS:
            return False
        self._connections.add(connection)
        return True

    def identify(self, certificate: Mapping[str, Any] | None, packet: Connect) -> Registered | None:
        """Who this is: by its certificate's name, where TLS has checked one, or by user name and password."""
        named = _common_name(certificate) if certificate else None
        terminal = self.register.terminals.get(named or packet.username or "")
        if terminal is None or packet.username not in {None, terminal.tid}:
            return None
        if named and packet.password is None:
            return terminal
        return terminal if terminal.admits(packet.password or b"") else None

    def admit(self, connection: Connection, terminal: Registered) -> bool:
        """Make it one of the terminal's connections. Its older one of the same client id goes; False: another terminal has it."""
        older = self._by_client_id.get(connection.client_id)
        if older is not None:
            if older.terminal is None or older.terminal.tid != terminal.tid:
                return False
            older.end(Reason.SESSION_TAKEN_OVER, "taken over by the same terminal")
            self._forget(older)
        same = self._by_tid.setdefault(terminal.tid, [])
        if len(same) >= MOST_AT_ONCE:
            same[0].end(Reason.QUOTA_EXCEEDED, "too many connections of one terminal")
            self._forget(same[0])
        self._by_tid.setdefault(terminal.tid, []).append(connection)
        self._by_client_id[connection.client_id] = connection
        return True

    def new_client_id(self, tid: str) -> str:
        return f"{tid}-{next(self._numbers)}"

    def appeared(self, connection: Connection) -> None:
        """It listens from now on: what is being sent goes to it at once, what waits in the ledger is due."""
        assert connection.terminal is not None
        for attempt in tuple(self._attempts):
            if connection.terminal.tid in attempt:
                self._offer(attempt, connection.terminal.tid)
        if self._inbox is not None:
            self._inbox.reachable()

    def has(self, tid: str) -> bool:
        """The terminal has a connection."""
        return tid in self._by_tid

    def left(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        if connection.terminal is None:
            return
        tid = connection.terminal.tid
        if self._by_client_id.get(connection.client_id) is connection:
            del self._by_client_id[connection.client_id]
        same = self._by_tid.get(tid, [])
        if connection in same:
            same.remove(connection)
            if not same:
                del self._by_tid[tid]
        flights, connection.in_flight = connection.in_flight or {}, None
        for _, attempt in flights.values():
            attempt.lost(tid)

    def said(self, tid: str, up: Up, payload: bytes) -> None:
        """State or heartbeat: kept as health, for staff to look at."""
        words = "".join(c for c in payload[:LONGEST_SAYING].decode(errors="replace") if c.isprintable())
        health = self.health.setdefault(tid, Health())
        health.heard_at = self._clock.now()
        if up is Up.STATE:
            health.state = words
        else:
            health.heartbeat = words

    def refused(self, connection: Connection, reason: str) -> None:
        log.info("terminal.refused", reason=reason, peer=connection.peer)

    def dropped(self, _connection: Connection, reason: str) -> None:
        log.info("terminal.dropped", reason=reason)

    # -- receipts --------------------------------------------------------------------------------------------------

    def is_plausible(self, receipt: TerminalReceipt) -> bool:
        """Of a message that was sent, or one of the few that may have been sent before this process began."""
        if receipt.mid in self._sent:
            return True
        if self.now_s() - self._window_s > UNHEARD_OF_WINDOW_S:
            self._window_s = self.now_s()
            self._unheard_of.clear()
        self._unheard_of[receipt.tid] += 1
        return self._unheard_of[receipt.tid] <= MOST_UNHEARD_OF

    def receipt(self, connection: Connection, packet_id: int, receipt: TerminalReceipt) -> None:
        said: Received | Heard
        if receipt.state in ANSWERS:
            said = Heard(receipt.mid, self._kind, receipt.tid, _MEANS[receipt.state], receipt.at)
        else:
            said = Received(receipt.mid, self._kind, receipt.tid, _SAYS[receipt.state], receipt.at)
        self._receipts.append((connection, packet_id, said))
        self._have_receipts.set()

    async def _recording(self, inbox: Inbox) -> None:
        async with asyncio.TaskGroup() as writers:
            while True:
                await self._have_receipts.wait()
                lot = self._next_lot()
                await self._make_durable(inbox, lot)
                while self._receipts:
                    # The ledger writes the next lot while the terminals of this one hear that theirs is kept.
                    following = self._next_lot()
                    writing = writers.create_task(self._make_durable(inbox, following))
                    await self._clock.sleep(0)
                    self._acknowledge(lot)
                    await writing
                    lot = following
                self._acknowledge(lot)

    def _next_lot(self) -> _Lot:
        lot, self._receipts = self._receipts[:LOT], self._receipts[LOT:]
        if not self._receipts:
            self._have_receipts.clear()
        return lot

    async def _make_durable(self, inbox: Inbox, lot: _Lot) -> None:
        received = [said for _, _, said in lot if isinstance(said, Received)]
        heard = [said for _, _, said in lot if isinstance(said, Heard)]
        if heard:
            await self._insist(inbox.hear, heard)
        if received:
            await self._insist(inbox.record, received)

    async def _insist(self, keep: Callable[[Sequence[S]], Awaitable[None]], said: Sequence[S]) -> None:
        while True:
            try:
                await keep(said)
            except StorageFull:
                # Not acknowledged, not forgotten: connections that have sent their share are not read from.
                await self._clock.sleep(FULL_PAUSE_S)
            else:
                return

    def _acknowledge(self, lot: _Lot) -> None:
        for connection, packet_id, received in lot:
            connection.recorded(packet_id)
            self._prove(received)

    def _prove(self, received: Received | Heard) -> None:
        """A receipt (and an answer) proves what QoS 0 could not."""
        for connection in self._by_tid.get(received.address, ()):
            if connection.blind and received.identifier in connection.blind:
                connection.blind[received.identifier] = True
                for attempt in tuple(self._attempts):
                    if attempt.identifier == received.identifier:
                        attempt.taken(received.address)

    # -- patience --------------------------------------------------------------------------------------------------

    async def _looking(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            self.refresh()
            now_s = self.now_s()
            for connection in tuple(self._connections):
                self._look_at(connection, now_s)

    def _look_at(self, connection: Connection, now_s: float) -> None:
        silent_s = now_s - connection.heard_s
        connection.packets = 0
        if connection.is_over:  # closed a while ago, and still not read to the end by the other side
            connection.abort()
        elif connection.terminal is None:
            if silent_s > self.limits.connect_timeout:
                self.dropped(connection, "did not say who it is")
                connection.abort()
        elif silent_s > 1.5 * connection.keepalive_s and not connection.is_held:
            connection.end(Reason.KEEP_ALIVE_TIMEOUT, "silent for one and a half of its keepalive")
        elif connection.sent_s is not None and now_s - connection.sent_s > self.limits.longest_keepalive:
            connection.end(Reason.UNSPECIFIED_ERROR, "answers and does not acknowledge")

    def refresh(self) -> None:
        """Read the register if it has changed; who is no longer in it, or has another password, loses the connection."""
        try:
            if not self.register.refresh():
                return
        except BadRegister as wrong:
            log.warning("terminal.register_kept", reason=str(wrong))
            return
        for connection in tuple(self._connections):
            was = connection.terminal
            if was is not None:
                now = self.register.terminals.get(was.tid)
                if now is None or (now.password_hash, now.mac_key, now.topics) != (
                    was.password_hash,
                    was.mac_key,
                    was.topics,
                ):
                    connection.end(Reason.NOT_AUTHORIZED, "the register has changed")


def _common_name(certificate: Mapping[str, Any]) -> str | None:
    """The subject's name, as `ssl` gives it."""
    for part in certificate.get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return None
