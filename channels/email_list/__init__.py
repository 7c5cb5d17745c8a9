"""Registered mail: one recipient a mail, written once and filled in, handed to the city's relay over pipelined sessions.

One recipient a mail, because a personal link and one-click unsubscription need it and because one bad address among fifty can fail
the other forty-nine. *Taken* is the relay's 250: from there on the way is mail's own, and bounces come back to a sender that names
whose they are. A repeat after a crash carries the same Message-ID, so that receivers can drop it.

Source: design.md §3, §6; facts.md §Mail; RFC 5321, RFC 8058.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from channels.email_list import letter
from channels.email_list.letter import Letter, Sender
from channels.email_list.relay import Access, Domains, Relay, Tls
from channels.email_list.session import End, Mail
from channels.email_list.subscribers import BadSubscribers, Index, is_address, read
from channels.email_list.unsubscribe import application
from config.secret import Secret
from config.units import PerSecond, Seconds
from dispatcher.channel import Channel, Inbox, Limits, Probe, Tell
from dispatcher.errors import Finding, InvalidInput, TemporaryFailure
from dispatcher.listening import listening
from dispatcher.log import logger
from dispatcher.model.alert import Alert, Info
from dispatcher.model.audience import Audience, Destination
from dispatcher.model.delivery import Outcome, Told
from dispatcher.model.mode import M
from dispatcher.model.rendering import Part, Rendering, Text

PAGE = 1_000
"""Addresses read from the index at once."""
LARGEST_MAIL_BYTES = 100_000
_QUEUED = re.compile(r"queued as (\S{1,80})")

log = logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class RelaySettings:
    """Where mail is handed over. `tls: none` on loopback only."""

    host: str
    port: int = 587
    tls: Tls = Tls.STARTTLS
    ca: Path | None = None
    """The authority that signed the relay's certificate, where the machine does not know it."""
    username: str | None = None
    password: Secret | None = None

    def problems(self) -> Iterable[tuple[str, str]]:
        if not 0 < self.port < 65_536:
            yield "port", "1 to 65535 are accepted"
        if self.tls is Tls.NONE and self.host not in {"127.0.0.1", "::1", "localhost"}:
            yield "tls", "none is accepted on loopback only"
        if (self.username is None) != (self.password is None):
            yield "username", "username and password go together"
        if self.ca is not None and not self.ca.is_file():
            yield "ca", f"{self.ca}: no such file"


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainRate:
    """A receiving domain that wants to be treated gently."""

    domain: str
    rate: PerSecond

    def problems(self) -> Iterable[tuple[str, str]]:
        if not is_address(f"a@{self.domain}"):
            yield "domain", "a domain name like docomo.ne.jp is accepted"
        if not 0 < self.rate <= 10_000:
            yield "rate", "more than 0 and at most 10000 /s"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """`channels.email_list` of a site file.

    email_list:
      subscribers: subscribers.csv
      sender: kunren@bousai.example.jp
      sender_name: 三鷹市（訓練）
      list_id: kunren.bousai.example.jp
      secret: {file: keys/mail-links}
      unsubscribe_url: https://kunren.bousai.example.jp/unsubscribe
      listen: 127.0.0.1:8185
      relay: {host: mail.example.jp, username: todoke, password: {file: keys/mail}}
    """

    subscribers: Path
    sender: str
    sender_name: str
    list_id: str
    secret: Secret
    """Makes the links and the bounce addresses; whoever knows it can unsubscribe anybody."""
    unsubscribe_url: str
    """What stands in the mails; the city's web server passes it on to `listen`."""
    listen: str
    """Where POSTs of `unsubscribe_url` come in: host:port."""
    relay: RelaySettings
    connections: int = 4
    mails_per_connection: int = 1_000
    timeout: Seconds = 30.0
    quiet: Seconds = 60.0
    """How long a domain is left alone after it said 421 or 4.7."""
    domains: tuple[DomainRate, ...] = field(default_factory=tuple)

    def problems(self) -> Iterable[tuple[str, str]]:
        yield from self._problems_of_the_letter()
        host, _, port = self.listen.rpartition(":")
        if not host or not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
            yield "listen", "host:port is accepted"
        if not 1 <= self.connections <= 50:
            yield "connections", "1 to 50 are accepted"
        if self.mails_per_connection < 1:
            yield "mails_per_connection", "1 or more is accepted"
        if not 0 < self.timeout <= 300:
            yield "timeout", "more than 0 s and at most 5 min"
        try:
            for _ in read(self.subscribers):
                pass
        except BadSubscribers as wrong:
            yield from (("subscribers", problem) for problem in wrong.problems)

    def _problems_of_the_letter(self) -> Iterable[tuple[str, str]]:
        if not is_address(self.sender):
            yield "sender", "an ASCII address local@domain is accepted"
        elif len(self.sender.partition("@")[0]) > 40:
            yield "sender", "up to 40 characters before the @: a bounce address adds 23"
        if any(ord(c) < 32 or ord(c) == 127 for c in self.sender_name):
            yield "sender_name", "no control characters are accepted"
        if not re.fullmatch(r"[A-Za-z0-9.-]{3,200}", self.list_id):
            yield "list_id", "letters, digits, dots and - are accepted"
        if len(self.secret.reveal()) < 16:
            yield "secret", "at least 16 characters are needed"
        url = self.unsubscribe_url
        parts = urlsplit(url)
        if not re.fullmatch(r"https?://[!-~]+", url) or not parts.hostname or parts.query or set(url) & set("<>"):
            yield "unsubscribe_url", "https://host/path without a query is accepted"
        elif parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "localhost"}:
            yield "unsubscribe_url", "https is needed (RFC 8058 §3.1), http on loopback only"


class EmailList(Channel[M, Settings]):
    kind: ClassVar[str] = "email_list"
    title: ClassVar[str] = "登録メール"
    Settings: ClassVar[type[Any]] = Settings

    @property
    def limits(self) -> Limits:
        return Limits(
            concurrency=self.settings.connections,
            batch=500,
            attempt_timeout_s=max(120.0, 4 * self.settings.timeout),
            first_backoff_s=2.0,
            longest_backoff_s=60.0,
        )

    async def audience(self, quarters: Sequence[str]) -> Audience:
        count = 0
        if quarters:
            await self._refresh()
            count = await asyncio.to_thread(self._index.count, quarters)
        where = self.surroundings.city.say(quarters, "ja") if quarters else "地域なし"
        return Audience(self.kind, tuple(quarters), count, f"{where}の登録メール {count} 人")

    async def destinations(self, audience: Audience) -> AsyncIterator[Destination]:
        if not audience.quarters:
            return
        await self._refresh()
        last = ""
        while page := await asyncio.to_thread(self._index.members, audience.quarters, last, PAGE):
            for address in page:
                yield Destination(address)
            last = page[-1]

    def open(self, inbox: Inbox) -> AbstractAsyncContextManager[object]:
        """Connections are made when there is mail; the door for unsubscribing stands open.

        Raises (on entering):
            OSError: the address of `listen` is taken.
        """
        del inbox
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        await self._refresh()
        host, _, port = self.settings.listen.rpartition(":")
        async with AsyncExitStack() as stack:
            door = application(self._sender, self._leave)
            await stack.enter_async_context(listening(door, host.strip("[]"), int(port)))
            stack.callback(self._relay.close)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            tending = tasks.create_task(self._relay.tend())
            try:
                yield
            finally:
                tending.cancel()

    async def probe(self) -> Probe:
        clock = self.surroundings.clock
        started_s = clock.monotonic()
        try:
            async with asyncio.timeout(self.settings.timeout), self._relay.session() as session:
                code, words = await session.check()
        except TemporaryFailure as failure:
            return Probe(is_up=False, words=str(failure))
        except TimeoutError:
            return Probe(is_up=False, words=f"{self.settings.timeout:g} 秒待っても答えがありません (no answer)")
        latency_s = clock.monotonic() - started_s
        return Probe(is_up=200 <= code < 300, words=f"中継サーバ: {code} {words}", latency_s=latency_s)

    def _render(self, alert: Alert[M], audience: Audience) -> Rendering[M]:
        del audience
        if not alert.info:
            raise InvalidInput([Finding("info", f"{alert.identifier} has no text in any language")])
        written = [self._written(alert, info) for info in alert.info]
        parts = [part for _, part in written]
        return Rendering(
            channel=self.kind,
            identifier=alert.identifier,
            status=alert.status,
            texts=tuple(text for text, _ in written),
            parts=tuple(parts),
            findings=tuple(
                Finding(part.name, f"{len(part.data)} バイトは長すぎます（{LARGEST_MAIL_BYTES} まで）")
                for part in parts
                if len(part.data) > LARGEST_MAIL_BYTES
            ),
        )

    def _written(self, alert: Alert[M], info: Info) -> tuple[Text, Part]:
        banner = self.mode.banner(info.language)
        lines = [letter.subject(info, alert, banner), *letter.section(info, alert)]
        template = letter.write(alert, info.language, self._sender, banner).template
        return Text(info.language, "\n".join(lines)), Part(f"mail-{info.language}.eml", "message/rfc822", template)

    async def _send(self, rendering: Rendering[M], destinations: Sequence[Destination], tell: Tell) -> None:
        languages = await asyncio.to_thread(self._index.languages, [d.address for d in destinations])
        letters = {part.name: Letter(part.data) for part in rendering.parts}
        first = next(iter(letters))

        def mails() -> Iterator[Mail]:
            for address in (d.address for d in destinations):
                if address not in languages:
                    tell(Told(address, Outcome.PERMANENT, "配信をやめています (unsubscribed)"))
                    continue
                wait_s = self._domains.wait_s(_domain(address))
                if wait_s > 0:
                    words = f"{_domain(address)} は少しずつ送ります (rate of the domain)"
                    tell(Told(address, Outcome.TEMPORARY, words, retry_after_s=wait_s))
                    continue
                language = languages[address]
                written = letters.get(f"mail-{language}.eml") or letters[first]
                yield Mail(
                    self._sender.bounces(address).encode(),
                    address.encode(),
                    written.to(address, rendering.identifier, self._sender, language),
                )

        waiting = mails()
        while (mail := next(waiting, None)) is not None:
            taken = 0

            def ended(mail: Mail, end: End, code: int, words: str) -> None:
                nonlocal taken
                taken += end in {End.TAKEN, End.REFUSED}
                tell(self._told(mail.recipient.decode(), end, code, words))

            async with self._relay.session() as session:
                room = max(1, self.settings.mails_per_connection - session.sent)
                await session.deliver(chain([mail], islice(waiting, room - 1)), ended)
            if not taken:
                code, words = session.last_words
                raise TemporaryFailure(f"中継サーバとの接続が切れました: {code or ''} {words}".rstrip())

    def _told(self, address: str, end: End, code: int, words: str) -> Told:
        said = f"{code} {words}" if code else words
        match end:
            case End.TAKEN:
                queued = _QUEUED.search(words)
                return Told(address, Outcome.TAKEN, said, medium_id=queued[1] if queued else "")
            case End.REFUSED if code >= 500:
                return Told(address, Outcome.PERMANENT, said)
            case End.REFUSED:
                if code == 421 or words.startswith("4.7"):
                    self._domains.said_later(_domain(address))
                return Told(address, Outcome.TEMPORARY, said)
            case End.UNKNOWN:
                return Told(address, Outcome.UNKNOWN, f"送ったあとで接続が切れました {said}".rstrip())
            case End.NOT_SENT:
                return Told(address, Outcome.TEMPORARY, f"送る前に接続が切れました {said}".rstrip())

    async def _refresh(self) -> None:
        try:
            await asyncio.to_thread(self._index.refresh)
        except BadSubscribers as wrong:
            # Yesterday's list is better than none: the board's figures come from it, and the log says why.
            log.warning("channel.failed", channel=self.kind, reason=wrong.problems[0])

    async def _leave(self, address: str) -> None:
        await asyncio.to_thread(self._index.unsubscribe, address, self.surroundings.clock.now().isoformat())

    @cached_property
    def _sender(self) -> Sender:
        s = self.settings
        return Sender(
            name=s.sender_name,
            address=s.sender,
            list_id=s.list_id,
            unsubscribe_url=s.unsubscribe_url,
            secret=s.secret.reveal(),
        )

    @cached_property
    def _index(self) -> Index:
        return Index(self.settings.subscribers, self.surroundings.state_dir)

    @cached_property
    def _domains(self) -> Domains:
        rates = {gentle.domain: gentle.rate for gentle in self.settings.domains}
        return Domains(rates, self.settings.quiet, self.surroundings.clock)

    @cached_property
    def _relay(self) -> Relay:
        s, r = self.settings, self.settings.relay
        return Relay(
            Access(
                host=r.host,
                port=r.port,
                tls=r.tls,
                ca=r.ca,
                username=r.username,
                password=r.password,
                timeout_s=s.timeout,
                connections=s.connections,
                mails_per_connection=s.mails_per_connection,
            ),
            self.surroundings.clock,
        )


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


Kind = EmailList
