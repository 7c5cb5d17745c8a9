"""IP notification terminals in homes, schools and halls: one signed notice over MQTT, receipts and 確認 coming back.

MQTT ends in the node. A broker in between would say yes to receipts that nobody has written down and would keep a queue that a
thief of a client id can destroy; here the ledger is the queue, and a terminal's PUBACK is what *taken* means. Delivered, displayed
and acknowledged are receipts that each terminal seals with a key of its own, and each is durable before its PUBACK leaves.

Who is addressed is settled by the register, by the quarter of each terminal's address, and each is sent to on its own topic: the
others stay silent. FORMAT.md is what a maker of terminals needs to know.

Source: design.md §6; facts.md §IP notification terminals; FORMAT.md.
"""

import json
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from channels.ip_terminal.endpoint import ConnectionLimits, Endpoint, Health
from channels.ip_terminal.notice import ASK, KEY_BYTES, LARGEST_NOTICE_BYTES, Notice, Signer, Words
from channels.ip_terminal.register import BadRegister, Register, read
from config.document import ConfigError, Problem
from config.marks import LISTENS, OURS, PRIVATE
from config.secret import Secret
from config.units import Seconds
from dispatcher.channel import Channel, Inbox, Limits, Probe, Recipient, Tell, priority_of
from dispatcher.errors import Finding
from dispatcher.listening import host_and_port
from dispatcher.model import marking
from dispatcher.model.alert import Added, Alert, Info
from dispatcher.model.audience import Audience, Destination
from dispatcher.model.delivery import Outcome, Told
from dispatcher.model.draft import ENDING, Verb, verb_of
from dispatcher.model.mode import M
from dispatcher.model.question import Question
from dispatcher.model.rendering import Part, Rendering, Text

NOTICE = "notice.json"
LONGEST_LIFE = timedelta(hours=24)
"""Of a notice whose alert does not say when it ends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """The listener's certificate; with `client_ca`, a terminal's certificate says who it is (its common name is the tid)."""

    certificate: Path
    key: Path = field(metadata=PRIVATE)
    client_ca: Path | None = None

    def problems(self) -> Iterable[tuple[str, str]]:
        for name, path in (("certificate", self.certificate), ("key", self.key), ("client_ca", self.client_ca)):
            if path is not None and not path.is_file():
                yield name, f"{path}: no such file"
                return
        try:
            self.context()
        except (OSError, ssl.SSLError) as error:
            yield "certificate", f"certificate, key and client_ca do not go together: {error}"

    def context(self) -> ssl.SSLContext:
        """Raises OSError or ssl.SSLError: a file cannot be read or is not what it should be."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        if self.client_ca is not None:
            context.load_verify_locations(self.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """`channels.ip_terminal` of a site file.

    ip_terminal:
      listen: 0.0.0.0:8883
      register: terminals.csv
      signing_key: {file: keys/terminals}
      tls:
        certificate: keys/terminals.crt
        key: keys/terminals.key
        client_ca: keys/terminals-ca.crt
    """

    listen: str = field(metadata=LISTENS)
    """Host and port."""
    register: Path = field(metadata=PRIVATE)
    """The terminals (register.py says the columns)."""
    signing_key: Secret = field(metadata=OURS)
    """64 hexadecimal digits (an Ed25519 seed), or a key file of `todoke multicast keygen`."""
    tls: Tls | None = None
    wait: Seconds = 10.0
    """How long an attempt waits for the terminals' PUBACKs."""
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)

    def problems(self) -> Iterable[tuple[str, str]]:
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65_536:
            yield "listen", "host:port is accepted, the port from 1 to 65535"
        try:
            signing_key(self.signing_key)
            former_keys(self.signing_key)
        except ValueError as error:
            yield "signing_key", str(error)
        try:
            read(self.register)
        except BadRegister as wrong:
            for problem in wrong.problems:
                yield "register", problem
        if self.wait <= 0:
            yield "wait", "more than 0 s is accepted"

    def hands_out(self) -> Iterable[tuple[str, str]]:
        """What the other side needs to know of each key of ours: the public key that terminals trust."""
        yield "signing_key", Signer(signing_key(self.signing_key)[0]).public.hex()

    @property
    def address(self) -> tuple[str, int]:
        return host_and_port(self.listen)


def signing_key(secret: Secret) -> tuple[bytes, str | None]:
    """The seed, and the status that the key is for where it says one.

    Raises:
        ValueError: it is neither 64 hexadecimal digits nor a sender's key file.
    """
    text, status = secret.reveal().strip(), None
    if text.startswith("{"):
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            values = {}
        if values.get("kind") == "todoke-sender-key":
            text, status = str(values.get("seed")), values.get("status")
    try:
        seed = bytes.fromhex(text)
    except ValueError:
        seed = b""
    if len(seed) != KEY_BYTES:
        raise ValueError("accepted are 64 hexadecimal digits, or a sender's key of `todoke multicast keygen`")
    return seed, status


def former_keys(secret: Secret) -> list[tuple[bytes, datetime]]:
    """The seeds that signed before, each with the moment until which terminals may know no other."""
    return [(signing_key(Secret(former.text))[0], former.until) for former in secret.formers]


class IpTerminal(Channel[M, Settings]):
    """Notification terminals of one mode: another key, another register, another port than the other mode's."""

    kind: ClassVar[str] = "ip_terminal"
    title: ClassVar[str] = "IP 告知端末"
    title_en: ClassVar[str] = "IP terminals"
    Settings: ClassVar[type[Any]] = Settings
    asks: ClassVar[bool] = True

    @cached_property
    def _signer(self) -> Signer:
        seed, status = signing_key(self.settings.signing_key)
        if status not in {None, self.mode.status}:
            reason = f"the key is for {status}, a node in mode {self.mode.name} signs {self.mode.status} only"
            raise ConfigError(
                [Problem(self.settings.signing_key.source, 1, "channels.ip_terminal.signing_key", reason)]
            )
        return Signer(seed, former_keys(self.settings.signing_key))

    @cached_property
    def _register(self) -> Register:
        return Register(self.settings.register)

    @cached_property
    def _endpoint(self) -> Endpoint:
        return Endpoint(self.kind, self._register, self.settings.limits, self.surroundings.clock)

    @property
    def limits(self) -> Limits:
        return Limits(
            concurrency=64,
            batch=500,
            attempt_timeout_s=self.settings.wait + 20.0,
            first_backoff_s=2.0,
            longest_backoff_s=30.0,
        )

    @property
    def public_key(self) -> bytes:
        """What terminals trust."""
        return self._signer.public

    @property
    def health(self) -> dict[str, Health]:
        """What terminals last said of themselves, by id."""
        return self._endpoint.health

    async def audience(self, quarters: Sequence[str]) -> Audience:
        self._endpoint.refresh()
        count = len(self._register.in_quarters(quarters))
        where = self.surroundings.city.say(quarters, "ja") if quarters else "地域なし"
        return Audience(self.kind, tuple(quarters), count, f"{where}の IP 端末 {count} 台")

    async def destinations(self, audience: Audience) -> AsyncIterator[Destination]:
        self._endpoint.refresh()
        for terminal in self._register.in_quarters(audience.quarters):
            yield Destination(terminal.tid, terminal.name)

    @asynccontextmanager
    async def _listening(self, inbox: Inbox) -> AsyncIterator[None]:
        self._register.refresh()
        _ = self._signer
        unknown = [
            Problem(str(self.settings.register), 1, f"{t.tid}.quarter", f"{t.quarter} is no quarter of this city")
            for t in self._register.terminals.values()
            if t.quarter not in self.surroundings.city.quarters
        ]
        if unknown:
            raise ConfigError(unknown)
        host, port = self.settings.address
        tls = self.settings.tls.context() if self.settings.tls else None
        async with self._endpoint.listening(host, port, tls, inbox):
            yield

    def open(self, inbox: Inbox) -> Any:
        """Inside, terminals may connect.

        Raises:
            OSError: the address is taken.
            ConfigError: the register names a quarter that there is not, or the key is the other mode's.
            BadRegister: the register has become unreadable since the settings were checked.
        """
        return self._listening(inbox)

    async def probe(self) -> Probe:
        if not self._endpoint.is_listening:
            return Probe(is_up=False, words=f"{self.settings.listen} で待ち受けていません")
        there = len(set(self._endpoint.listening_tids()))
        known = len(self._register.terminals)
        words = f"{known} 台のうち {there} 台がつながっています"
        unwell = sum(health.state not in {"", "online"} for health in self.health.values())
        if unwell:
            words += f"、{unwell} 台が不調を知らせています"
        return Probe(is_up=there > 0 or not known, words=words)

    def _render(self, alert: Alert[M], audience: Audience) -> Rendering[M]:
        del audience
        verb = verb_of(alert)
        words = tuple(self._words(info, verb) for info in alert.info)
        notice = Notice(
            mid=alert.identifier,
            thread=alert.references[0].identifier if alert.references else alert.identifier,
            seq=round(alert.sent.timestamp() * 1_000_000),
            verb=verb,
            status=alert.status,
            priority=max(1, priority_of(alert)),
            level=max((info.level for info in alert.info if info.level), default=None),
            sent=alert.sent,
            expires=alert.expires or alert.sent + LONGEST_LIFE,
            words=words,
        )
        payload = self._signer.sign(notice)
        findings = []
        if len(payload) > LARGEST_NOTICE_BYTES:
            findings.append(
                Finding(
                    "ip_terminal",
                    f"端末に送れる大きさ（{LARGEST_NOTICE_BYTES} バイト）を超えます。文を短くしてください。",
                )
            )
        return Rendering(
            channel=self.kind,
            identifier=alert.identifier,
            status=alert.status,
            texts=tuple(Text(w.language, w.whole) for w in words),
            parts=(Part(NOTICE, "application/json", payload),),
            findings=tuple(findings),
        )

    def _words(self, info: Info, verb: Verb) -> Words:
        # What ends an order names no shelter, or somebody would go there.
        names_shelters = verb not in ENDING
        return Words(
            language=info.language,
            event=info.event,
            headline=marking.headline(info, verb, self.mode.banner(info.language)),
            place=info.place,
            text="\n".join(filter(None, (marking.what_was_wrong(info), info.description))),
            instruction=info.instruction or "",
            shelters=(names_shelters and info.added(Added.SHELTERS)) or "",
            sender=info.sender_name or "",
            contact=info.contact or "",
        )

    def _ask(self, question: Question[M]) -> Rendering[M]:
        words = tuple(
            Words(
                language=asking.language,
                event=asking.title,
                headline=asking.title,
                place=asking.about,
                text=asking.body,
                instruction=asking.note,
                buttons=(asking.ok, asking.hurt, asking.help),
            )
            for asking in question.said
        )
        notice = Notice(
            mid=question.identifier,
            thread=question.campaign,
            seq=round(question.asked_at.timestamp() * 1_000_000),
            verb=ASK,
            status=question.status,
            priority=max(1, question.priority),
            level=None,
            sent=question.asked_at,
            expires=question.answer_until,
            words=words,
        )
        return Rendering(
            channel=self.kind,
            identifier=question.identifier,
            status=question.status,
            texts=tuple(Text(w.language, w.whole) for w in words),
            parts=(Part(NOTICE, "application/json", self._signer.sign(notice)),),
        )

    async def _send(self, rendering: Rendering[M], destinations: Sequence[Destination], tell: Tell) -> None:
        await self._offer(rendering, [destination.address for destination in destinations], tell)

    async def _send_each(self, rendering: Rendering[M], recipients: Sequence[Recipient], tell: Tell) -> None:
        # Everybody at one terminal reads the same notice; the second time, the terminal has it already and stays silent.
        await self._offer(rendering, [recipient.address for recipient in recipients], tell)

    async def _offer(self, rendering: Rendering[M], addresses: Sequence[str], tell: Tell) -> None:
        tids = []
        for address in addresses:
            if address in self._register.terminals:
                tids.append(address)
            else:
                tell(Told(address, Outcome.PERMANENT, "この端末は登録にありません"))
        await self._endpoint.send(rendering.identifier, rendering.part(NOTICE), tids, tell, self.settings.wait)


Kind = IpTerminal
