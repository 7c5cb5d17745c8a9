"""The city's mail relay: sessions opened by aiosmtplib, kept while they are used, a few at a time.

aiosmtplib does what has to be right once a connection: EHLO, STARTTLS with the certificate checked, AUTH. Then a Session takes the
transport over, at the pace that the relay's EHLO allows.

Source: RFC 5321 §4.5.4; RFC 3207 (STARTTLS); RFC 4954 (AUTH).
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import cast

import aiosmtplib

from channels.email_list.replies import Reply
from channels.email_list.session import Pace, Session
from config.secret import Secret
from dispatcher.clock import Clock
from dispatcher.errors import TemporaryFailure

IDLE_S = 20.0
"""An unused connection is closed before a relay gets tired of it."""


class Tls(StrEnum):
    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    NONE = "none"
    """On loopback only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How the relay is reached."""

    host: str
    port: int
    tls: Tls
    ca: Path | None
    username: str | None
    password: Secret | None
    timeout_s: float
    connections: int
    mails_per_connection: int


class Relay:
    """A pool of sessions; made anew for each opening of the channel."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._access = access
        self._clock = clock
        self._idle: list[tuple[float, Session]] = []
        self._room = asyncio.Semaphore(access.connections)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A greeted session for nobody else.

        Raises:
            TemporaryFailure: nobody there, or it refused us, in its own words.
        """
        async with self._room:
            session = self._kept() or await self._connect()
            try:
                yield session
            except BaseException:
                session.abort()
                raise
            if session.is_over:
                return
            if session.sent >= self._access.mails_per_connection:
                session.quit()
            else:
                self._idle.append((self._clock.monotonic(), session))

    async def check(self) -> Reply:
        """Greet the relay on a connection beside the pool's, so that a link test waits for no mail. Its answer to NOOP.

        Raises:
            TemporaryFailure: nobody there, or it refused us, in its own words.
        """
        session = await self._connect()
        try:
            return await session.check()
        finally:
            session.quit()

    async def tend(self) -> None:
        """Until cancelled, close what nobody uses."""
        while True:
            await self._clock.sleep(IDLE_S / 4)
            self._drop(self._clock.monotonic() - IDLE_S)

    def close(self) -> None:
        self._drop(float("inf"))

    def _drop(self, older_than_s: float) -> None:
        for since_s, session in self._idle:
            if since_s <= older_than_s:
                session.quit()
        self._idle = [(since_s, session) for since_s, session in self._idle if not session.is_over]

    def _kept(self) -> Session | None:
        while self._idle:
            _, session = self._idle.pop()
            if not session.is_over:
                return session
        return None

    async def _connect(self) -> Session:
        access = self._access
        smtp = aiosmtplib.SMTP(
            hostname=access.host,
            port=access.port,
            use_tls=access.tls is Tls.IMPLICIT,
            start_tls=access.tls is Tls.STARTTLS,
            tls_context=self._context() if access.tls is not Tls.NONE else None,
            username=access.username,
            password=access.password.reveal() if access.password else None,
            timeout=access.timeout_s,
            local_hostname="localhost" if access.host in {"127.0.0.1", "::1", "localhost"} else None,
        )
        try:
            await smtp.connect()
            if smtp.is_ehlo_or_helo_needed:
                await smtp.ehlo()
        except (aiosmtplib.SMTPException, OSError) as error:
            smtp.close()
            raise TemporaryFailure(f"中継サーバ {access.host}:{access.port}: {_words(error)}") from error
        except BaseException:
            smtp.close()
            raise
        transport = cast("asyncio.Transport", smtp.transport)
        session = Session(transport, pace=_pace(smtp), patience_s=access.timeout_s)
        transport.set_protocol(session)
        return session

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(
            ssl.Purpose.SERVER_AUTH, cafile=str(self._access.ca) if self._access.ca else None
        )


def _pace(smtp: aiosmtplib.SMTP) -> Pace:
    if not smtp.supports_extension("pipelining"):
        return Pace.STEPWISE
    return Pace.CHUNKED if smtp.supports_extension("chunking") else Pace.PIPELINED


def _words(error: BaseException) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"{error.code} {error.message}"
    return str(error) or type(error).__name__
