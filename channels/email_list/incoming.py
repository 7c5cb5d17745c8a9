"""Where the city's mail server hands on what comes back: empty mails that ask for a link, and bounces. The door to aiosmtpd.

It takes mail for these two kinds of address and nothing else, so it relays for nobody. A bounce is durable before it is taken;
many at once become one write. Whoever is slow, long or many is cut off: the city's server tries again, as servers do.

Source: RFC 5321 §4.5.3 (limits), §4.2.4 (421), §7.8; RFC 3834; facts.md §Mail "空メール".
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from dispatcher.errors import StorageFull, Throttled
from dispatcher.log import logger

LARGEST_MAIL_BYTES = 1_000_000
SESSIONS = 64
IDLE_S = 30.0
LONGEST_SESSION_S = 300.0
AT_ONCE = 500
_FULL = "452 4.3.1 Insufficient system storage"
_BUSY = b"421 4.3.2 Too many connections\r\n"

log = logger(__name__)
# aiosmtpd logs addresses, and on a mistake the session with all that came.
logging.getLogger("mail.log").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Came:
    """One mail to a bounce address."""

    token: str
    sender: str
    data: bytes


class Incoming:
    """One listener. `asked(sender, data)` is told of an empty mail; `gave_back` makes bounces durable."""

    def __init__(
        self,
        enrol: str,
        sender: str,
        asked: Callable[[str, bytes], None],
        gave_back: Callable[[Sequence[Came]], Awaitable[None]],
    ) -> None:
        local, _, domain = sender.lower().rpartition("@")
        self._enrol = enrol.lower()
        self._bounce = re.compile(rf"{re.escape(local)}\+b-([0-9a-f]{{24}})@{re.escape(domain)}")
        self._domain = domain
        self._asked = asked
        self._gave_back = gave_back
        self._waiting: list[tuple[Came, asyncio.Future[None]]] = []
        self._some = asyncio.Event()
        self._sessions: set[_Session] = set()

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[tuple[str, int]]:
        """Listen while inside; gives the address, with the port that was found where 0 was asked for.

        Raises:
            OSError: the address is taken.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._greet, host, port)
        address = server.sockets[0].getsockname()
        try:
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(self._write())
                try:
                    yield address[0], address[1]
                finally:
                    writing.cancel()
        finally:
            server.close()
            for session in tuple(self._sessions):
                session.abort()
            await server.wait_closed()

    def _greet(self) -> asyncio.BaseProtocol:
        if len(self._sessions) >= SESSIONS:
            return _Busy()
        return _Session(self, self._sessions, self._domain)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if envelope.rcpt_tos:
            return "452 4.5.3 One recipient a mail"
        if address.lower() != self._enrol and not self._bounce.fullmatch(address.lower()):
            return "550 5.1.1 No such address here"
        envelope.rcpt_tos.append(address.lower())
        return "250 2.1.5 Ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        data = envelope.content if isinstance(envelope.content, bytes) else b""
        (recipient,) = envelope.rcpt_tos
        sender = envelope.mail_from or ""
        try:
            if (bounced := self._bounce.fullmatch(recipient)) is not None:
                await self._settled(Came(bounced[1], sender, data))
            else:
                self._asked(sender, data)
        except StorageFull:
            return _FULL
        except Throttled:
            return "451 4.7.1 Please try again later"
        return "250 2.0.0 Ok"

    async def handle_exception(self, error: Exception) -> str:
        """What aiosmtpd would print with the mail in it."""
        log.error("mail.incoming_failed", reason=type(error).__name__)
        return "451 4.3.0 Please try again later"

    async def _settled(self, came: Came) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((came, future))  # bounded by the number of sessions
        self._some.set()
        await future

    async def _write(self) -> None:
        """Until cancelled: all that wait at a moment, in one write."""
        while True:
            await self._some.wait()
            self._some.clear()
            group, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            failure: Exception | None = None
            try:
                await self._gave_back([came for came, _ in group])
            except StorageFull as full:
                failure = full
            except Exception as mistake:  # noqa: BLE001 - one bad bounce must not end the door
                log.error("mail.incoming_failed", reason=type(mistake).__name__)  # noqa: TRY400 - its trace holds addresses
                failure = StorageFull("not written")
            for _, future in group:
                if not future.done():
                    future.set_exception(failure) if failure else future.set_result(None)


class _Session(SMTP):
    """aiosmtpd's, counted, and over after a while however little comes."""

    def __init__(self, door: Incoming, sessions: "set[_Session]", hostname: str) -> None:
        super().__init__(
            door,
            data_size_limit=LARGEST_MAIL_BYTES,
            enable_SMTPUTF8=False,
            decode_data=False,
            hostname=hostname,
            ident="Todoke",
            timeout=IDLE_S,
            loop=asyncio.get_running_loop(),
        )
        self._all = sessions
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._all.add(self)
        self._end = asyncio.get_running_loop().call_later(LONGEST_SESSION_S, self.abort)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._all.discard(self)
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(error)

    def abort(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            with suppress(OSError):
                transport.abort()


class _Busy(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(_BUSY)
        transport.close()
