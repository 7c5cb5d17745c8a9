"""`channels.email_list` of a site file: the register, the sender, the links, the relay, and who wants to be treated gently.

Everything that cannot work is named before a socket opens: an address that a relay would refuse, a password in the clear, a link
that no mail program would follow.

Source: RFC 5321 §4.5.3.1; RFC 8058 §3.1; facts.md §Mail "Japan".
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from channels.email_list.dkim import GOOD_RSA_BITS, Key, NoKey
from channels.email_list.letter import BOUNCE_ADDS
from channels.email_list.relay import Tls
from channels.email_list.subscribers import BadSubscribers, is_address, read
from config.marks import LISTENS, OURS
from config.secret import Secret
from config.units import PerSecond, Seconds

LONGEST_LOCAL = 64 - BOUNCE_ADDS
LONGEST_URL = 300
"""In one line of at most 998 characters with the reader's address and a token."""


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
class DkimSettings:
    """A key that signs where the relay does not; give an RSA one and an Ed25519 one."""

    selector: str
    domain: str
    key: Secret
    """PEM; its other half stands in the DNS at `selector._domainkey.domain`."""

    def problems(self) -> Iterable[tuple[str, str]]:
        if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?", self.selector):
            yield "selector", "letters, digits, - and . are accepted"
        if not is_address(f"a@{self.domain}"):
            yield "domain", "the domain of the sender, or one above it, is accepted"
        try:
            self.signing()
        except NoKey as wrong:
            yield "key", str(wrong)

    def signing(self) -> Key:
        """Raises NoKey."""
        return Key.read(self.selector, self.domain, self.key.reveal())


@dataclass(frozen=True, kw_only=True, slots=True)
class IncomingSettings:
    """Where the city's mail server hands on empty mails (空メール) and bounces."""

    listen: str = field(metadata=LISTENS)
    """host:port; the city's server alone should reach it."""
    enrol: str
    """`touroku@…`: whoever writes there gets a link."""

    def problems(self) -> Iterable[tuple[str, str]]:
        host, _, port = self.listen.rpartition(":")
        if not host or not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
            yield "listen", "host:port is accepted"
        if not is_address(self.enrol):
            yield "enrol", "an ASCII address local@domain is accepted"


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
    secret: Secret = field(metadata=OURS)
    """Makes the links and the bounce addresses; whoever knows it can unsubscribe anybody."""
    unsubscribe_url: str
    """What stands in the mails; the city's web server passes it on to `listen`."""
    listen: str = field(metadata=LISTENS)
    """Where POSTs of `unsubscribe_url` come in: host:port."""
    relay: RelaySettings
    connections: int = 4
    mails_per_connection: int = 1_000
    timeout: Seconds = 30.0
    quiet: Seconds = 60.0
    """How long a domain is left alone after it said 421 or 4.7."""
    domains: tuple[DomainRate, ...] = field(default_factory=tuple)
    incoming: IncomingSettings | None = None
    """Without it nobody signs up by an empty mail, and bounces are the city's own business."""
    dkim: tuple[DkimSettings, ...] = ()
    """Without it the relay signs."""
    filtering: tuple[str, ...] = (
        "docomo.ne.jp",
        "ezweb.ne.jp",
        "au.com",
        "softbank.ne.jp",
        "vodafone.ne.jp",
        "ymobile.ne.jp",
    )
    """Domains that say 550 for a reader's own filter too: of these no single answer is believed."""

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
        sender = self.sender.rpartition("@")[2].lower()
        for key in self.dkim:
            if sender != key.domain.lower() and not sender.endswith(f".{key.domain.lower()}"):
                yield "dkim", f"{key.domain}: the domain of the sender, or one above it, is accepted (DMARC alignment)"
        if self.incoming is not None and self.incoming.enrol.lower() == self.sender.lower():
            yield "incoming", "enrol and sender are two addresses: an answer must not ask for another"
        try:
            for _ in read(self.subscribers):
                pass
        except BadSubscribers as wrong:
            yield from (("subscribers", problem) for problem in wrong.problems)

    def doubts(self, *, is_shared: bool) -> Iterable[tuple[str, str, str]]:
        """Field, what is doubtful, what helps. `is_shared`: other nodes may have the same ledger."""
        for key in self.dkim:
            bits = key.signing().bits
            if bits < GOOD_RSA_BITS:
                words = (
                    f"{key.selector}: RSA {bits} ビットの署名を信じない受け手があります (some receivers distrust it)"
                )
                yield "dkim", words, "openssl genrsa 2048"
        if self.subscribers.stat().st_mode & 0o007:
            words = f"{self.subscribers} をだれでも読めます (anybody on this machine may read the addresses)"
            yield "subscribers", words, f"chmod o= {self.subscribers}"
        if is_shared:
            words = (
                "登録・配信停止・戻りの記録は、この節点のフォルダにだけあります。ほかの節点は知りません "
                "(who signed up, left or bounced is known to this node alone)"
            )
            to_do = (
                "/mail・unsubscribe・incoming は一つの節点へ渡し、その state_dir の控えをとってください "
                "(route them to one node, and keep copies of its state_dir: another can go on with them)"
            )
            yield "register", words, to_do

    def _problems_of_the_letter(self) -> Iterable[tuple[str, str]]:
        if not is_address(self.sender):
            yield "sender", "an ASCII address local@domain is accepted"
        elif len(self.sender.partition("@")[0]) > LONGEST_LOCAL:
            yield "sender", f"up to {LONGEST_LOCAL} characters before the @: a bounce address adds {BOUNCE_ADDS}"
        if any(ord(c) < 32 or ord(c) == 127 for c in self.sender_name):
            yield "sender_name", "no control characters are accepted"
        if not re.fullmatch(r"[A-Za-z0-9.-]{3,200}", self.list_id):
            yield "list_id", "letters, digits, dots and - are accepted"
        if len(self.secret.reveal()) < 16:
            yield "secret", "at least 16 characters are needed"
        url = self.unsubscribe_url
        parts = urlsplit(url)
        if len(url) > LONGEST_URL:
            yield "unsubscribe_url", f"up to {LONGEST_URL} characters are accepted"
        elif not re.fullmatch(r"https?://[!-~]+", url) or not parts.hostname or parts.query or set(url) & set("<>"):
            yield "unsubscribe_url", "https://host/path without a query is accepted"
        elif parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "localhost"}:
            yield "unsubscribe_url", "https is needed (RFC 8058 §3.1), http on loopback only"
