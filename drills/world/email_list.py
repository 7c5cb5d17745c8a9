"""A mail relay on loopback, as strict as a city's: STARTTLS before AUTH, AUTH before mail. And 120 subscribers of the demo city.

Each mail is kept as it came, with the envelope in front of it as `X-Envelope-*`. Faults are asked of it by recipient.

Source: RFC 5321; RFC 3207; RFC 4954; facts.md §Mail.
"""

import asyncio
import logging
import random
import secrets
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from config.city import City
from dispatcher.clock import SystemClock
from drills.world.certificate import certify
from drills.world.ports import free_port

SUBSCRIBERS = 120
LANGUAGES = ("ja", "ja", "ja", "ja", "ja-x-easy", "en-US")
"""As they are drawn: most people here read Japanese."""
ENROL = "touroku@bousai.example.jp"
USER = "todoke"
LOOPBACK = "127.0.0.1"

# aiosmtpd warns at each login of something that it does itself.
logging.getLogger("mail.log").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Received:
    """One mail as the relay took it."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes


class World:
    """The relay and its subscribers."""

    def __init__(self, state_dir: Path, city: City, seed: int) -> None:
        self._dir = state_dir
        self._city = city
        self._chance = random.Random(seed)  # noqa: S311 - simulated people, the same again for the same seed
        self._password = secrets.token_hex(16)
        self._port = free_port()
        self._door = free_port()
        self.incoming_port = free_port()
        """Where empty mails and bounces are handed to."""
        self._server: asyncio.Server | None = None
        self._tls: ssl.SSLContext | None = None
        self._first_byte_at: str | None = None
        self._sessions: set[SMTP] = set()
        self.mails: list[Received] = []
        self.answers: dict[str, str] = {}
        """By recipient: what the relay says to its RCPT instead of 250."""

    async def __aenter__(self) -> Self:
        self._dir.mkdir(parents=True, exist_ok=True)
        key = self._dir / "relay.pem"
        certify(LOOPBACK, self.ca, key)
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(key)
        _secret(self._dir / "password", self._password)
        _secret(self._dir / "links", secrets.token_hex(16))
        self._subscribe()
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def ca(self) -> Path:
        return self._dir / "ca.pem"

    @property
    def subscribers(self) -> Path:
        return self._dir / "subscribers.csv"

    def settings(self) -> Mapping[str, Any]:
        return {
            "subscribers": str(self.subscribers),
            "sender": "kunren@bousai.example.jp",
            "sender_name": "三鷹市（訓練）",
            "list_id": "kunren.bousai.example.jp",
            "secret": {"file": str(self._dir / "links")},
            "unsubscribe_url": f"http://{LOOPBACK}:{self._door}/unsubscribe",
            "listen": f"{LOOPBACK}:{self._door}",
            "incoming": {"listen": f"{LOOPBACK}:{self.incoming_port}", "enrol": ENROL},
            "relay": {
                "host": LOOPBACK,
                "port": self._port,
                "ca": str(self.ca),
                "username": USER,
                "password": {"file": str(self._dir / "password")},
            },
            "timeout": "10 s",
        }

    async def keep(self, folder: Path) -> None:
        """One .eml a mail, named by its recipient."""
        for number, mail in enumerate(self.mails, 1):
            envelope = f"X-Envelope-From: <{mail.sender}>\r\nX-Envelope-To: <{', '.join(mail.recipients)}>\r\n"
            name = mail.recipients[0].partition("@")[0]
            path = folder / f"{number:05d}-{sha256(name.encode()).hexdigest()[:6]}-{name[:40]}.eml".replace("/", "_")
            await asyncio.to_thread(path.write_bytes, envelope.encode() + mail.data)

    def report(self) -> Mapping[str, Any]:
        return {"mails": len(self.mails), "first_byte_at": self._first_byte_at}

    @asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        """Nobody listens inside."""
        await self.stop()
        try:
            yield
        finally:
            await self.start()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._session, LOOPBACK, self._port, reuse_address=True)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for session in self._sessions:
                if isinstance(session.transport, asyncio.Transport):
                    session.transport.abort()
            self._sessions.clear()
            await self._server.wait_closed()
            self._server = None

    def _session(self) -> SMTP:
        session = SMTP(
            self,
            hostname="relay.example.jp",
            enable_SMTPUTF8=False,
            tls_context=self._tls,
            require_starttls=True,
            auth_required=True,
            auth_require_tls=True,
            authenticator=self._is_known,
            loop=asyncio.get_running_loop(),
        )
        self._sessions.add(session)
        return session

    def _is_known(self, _server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        del mechanism
        is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (
            USER.encode(),
            self._password.encode(),
        )
        return AuthResult(success=is_right, handled=False)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self._first_byte_at = self._first_byte_at or SystemClock().now().isoformat()
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        data = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        self.mails.append(Received(envelope.mail_from or "", tuple(envelope.rcpt_tos), data))
        return f"250 2.0.0 Ok: queued as {len(self.mails):08X}"

    def _subscribe(self) -> None:
        quarters = list(self._city.quarters)
        lines = ["address,quarters,language"]
        for number in range(1, SUBSCRIBERS + 1):
            # Every sixth lives in 大沢, so that the demo has somebody to write to.
            at_home = self._chance.choice(quarters if number % 6 else [q for q in quarters if q.startswith("1320403")])
            lines.append(f"user{number:04d}@example.jp,{at_home},{self._chance.choice(LANGUAGES)}")
        self.subscribers.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
