"""One site file, one node: what it is called, which mode it has, who may sit at its desk, which channels it opens.

    mode: drill
    node: city-hall
    state_dir: state
    city: mitaka
    residents: {listen: 127.0.0.1:8180, url: http://127.0.0.1:8180}
    control: {listen: 127.0.0.1:8181}
    staff:
      - {name: 当直A, roles: [originator], token_hash: …}
      - {name: 当直B, roles: [approver], token_hash: …}
    channels:
      website: {folder: state/site, url: http://127.0.0.1:8180}

Source: design.md §4, §9.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from config.binding import bind, effective
from config.cities import cities
from config.cities import load as load_city
from config.directory import Directory
from config.document import load, parse
from config.facilities import BadFacilities
from config.facilities import Settings as Facilities
from config.facilities import read as read_facilities
from config.intake.settings import Intake
from config.marks import LISTENS
from config.operators import Operators
from config.safety import Safety
from config.secret import Secret

__all__ = ["Control", "Person", "Residents", "Site", "bind_site", "effective", "load_site"]

_LISTEN = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]{2,45})\]|(?P<name>[A-Za-z0-9.-]{1,253})):(?P<port>[0-9]{1,5})")
_DSN = re.compile(r"sqlite:///[^?#]+|postgres(?:ql)?://\S+")


def _listener(text: str, *, is_loopback: bool = False) -> Iterator[str]:
    """What is wrong with host:port as an address to listen at."""
    found = _LISTEN.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        yield f"{text!r}: write host:port or [address]:port, the port from 1 to 65535"
        return
    host = found["six"] or found["name"]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if found["six"] or host.replace(".", "").isdigit():
            yield f"{text!r}: {host} is no address"
        elif is_loopback and host != "localhost":
            yield f"{text!r}: a loopback address is needed, 127.0.0.1 or [::1]"
        return
    if is_loopback and not address.is_loopback:
        yield f"{text!r}: a loopback address is needed, 127.0.0.1 or [::1]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Residents:
    """The residents' listener."""

    listen: str = field(metadata=LISTENS)
    url: str
    """Where residents read it: links in every medium lead there."""

    def problems(self) -> Iterable[tuple[str, str]]:
        yield from (("listen", reason) for reason in _listener(self.listen))
        try:
            url = urlsplit(self.url)
            is_site = url.scheme in {"http", "https"} and bool(url.hostname) and (url.port or 1) > 0
        except ValueError:
            is_site = False
        if not is_site or url.query or url.fragment or url.username is not None:
            yield "url", f"{self.url!r}: http://HOST[:PORT][/PATH] or https://… is needed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The staff's door: console and API; on loopback, because TLS ends before it."""

    listen: str = field(default="127.0.0.1:8181", metadata=LISTENS)
    url: str | None = None
    """Where staff's browsers reach it, https:// through the city's web server; default: the loopback address itself."""

    @property
    def origin(self) -> str:
        """As browsers name it: passkeys and cookies are bound to it."""
        return (self.url or f"http://{self.listen}").rstrip("/")

    def problems(self) -> Iterable[tuple[str, str]]:
        yield from (("listen", reason) for reason in _listener(self.listen, is_loopback=True))
        if self.url is not None and not re.fullmatch(r"https://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?/?", self.url):
            yield "url", f"{self.url!r}: https://HOST[:PORT] is needed, without a path"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody at the desk; `todoke token new NAME` makes the token and its hash."""

    name: str
    roles: tuple[
        Literal["viewer", "originator", "approver", "welfare", "coordinator", "admin", "trainee", "intake"], ...
    ]
    token_hash: str

    def problems(self) -> Iterable[tuple[str, str]]:
        if not self.name.strip():
            yield "name", "a name is needed; the ledger says who did what"
        if not re.fullmatch(r"[0-9a-f]{64}", self.token_hash):
            yield "token_hash", "64 hexadecimal digits are needed, as `todoke token new` prints them"
        if not self.roles:
            yield (
                "roles",
                "at least one of viewer, originator, approver, welfare, coordinator, admin, trainee, intake is needed",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DutyList:
    """Who is told by mail when something failed or waits; `tls: none` on loopback only."""

    to: tuple[str, ...]
    sender: str
    console: str
    """Where the console is, for the mail: a link for staff."""
    host: str
    port: int = 587
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    ca: Path | None = None
    username: str | None = None
    password: Secret | None = None

    def problems(self) -> Iterable[tuple[str, str]]:
        for at, address in [("sender", self.sender), *(("to", address) for address in self.to)]:
            if not re.fullmatch(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,253}", address):
                yield at, f"{address!r}: an address local@domain is needed"
        if not self.to:
            yield "to", "at least one address is needed"
        if self.tls == "none" and self.host not in {"127.0.0.1", "::1", "localhost"}:
            yield "tls", "none is accepted on loopback only"
        if (self.username is None) != (self.password is None):
            yield "username", "username and password go together"


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """Web Push to residents' devices; without this block there is none.

    push:
      key: {file: keys/push.pem}      # openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt
      contact: mailto:bousai@city.example.jp
    """

    key: Secret
    """The city's own VAPID key, a PEM; every device is bound to it and sealed with it, so it is never changed alone."""
    contact: str
    """Whom a push service writes to: mailto: or https:."""

    def problems(self) -> Iterable[tuple[str, str]]:
        if not re.fullmatch(r"mailto:[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,253}|https://[!-~]{1,500}", self.contact):
            yield "contact", f"{self.contact!r}: mailto:LOCAL@DOMAIN or https://… is needed"
        if "PRIVATE KEY" not in self.key.reveal():
            yield "key", "a PEM of a P-256 private key is needed, as openssl writes it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything that a node is told."""

    mode: Literal["live", "drill"]
    node: str
    state_dir: Path
    city: str
    residents: Residents
    channels: Mapping[str, Any]
    """Kind → that channel's own settings."""
    staff: tuple[Person, ...] = ()
    """People with a token and no account, for a beginning and for programs; accounts (`todoke user add`) stand in the ledger."""
    control: Control = field(default_factory=Control)
    ledger: str | None = None
    """sqlite:///path or postgresql://…; default: a file in `state_dir`."""
    duty: DutyList | None = None
    drill_ends: str | None = None
    """RFC 3339. A drill node sends nothing after it, so that nothing rehearsed outlives its drill."""
    operators: Operators = field(default_factory=Operators)
    accounts_key: Secret | None = None
    """Seals what staff's authenticator apps share with the node; the same on every node of a ledger, and never changed alone."""
    directory: Directory | None = None
    """The city's own sign-in, beside the accounts of this node."""
    intake: Intake = field(default_factory=Intake)
    """Telegrams of other services; without a source none is read."""

    safety: Safety | None = None
    """The safety loop; without it nobody is asked, and no roster is kept."""
    push: Push | None = None
    facilities: Facilities | None = None
    """Those that must act first: told before the public, and from contact to contact until somebody there acknowledges."""

    @property
    def dsn(self) -> str:
        """Where the ledger is."""
        return self.ledger or f"sqlite:///{self.state_dir / 'todoke.db'}"

    def problems(self) -> Iterable[tuple[str, str]]:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", self.node):
            yield "node", f"{self.node!r}: small letters, digits and hyphens, 40 at most"
        if self.city not in cities():
            yield "city", f"{self.city!r}: no such city; there are {', '.join(cities())}"
        if self.ledger is not None:
            yield from (("ledger", reason) for reason in _ledger(self.ledger))
        yield from self._facilities()
        yield from self._staffing()
        yield from self._drill_end()
        if self.accounts_key is not None and len(self.accounts_key.reveal()) < 32:
            yield "accounts_key", "32 random characters are needed, as `openssl rand -base64 32` prints them"
        if self.residents.listen == self.control.listen:
            yield "control", "the residents' and the staff's listener cannot be the same address"
        if not self.channels:
            yield "channels", "at least one channel is needed"

    def _facilities(self) -> Iterator[tuple[str, str]]:
        """What the register has wrong about this city; what it has wrong by itself, its own block says."""
        if self.facilities is None or self.city not in cities():
            return
        try:
            read_facilities(self.facilities.register)
        except BadFacilities:
            return
        try:
            read_facilities(self.facilities.register, load_city(self.city).quarters)
        except BadFacilities as wrong:
            yield from (("facilities", problem) for problem in wrong.problems)

    def _drill_end(self) -> Iterator[tuple[str, str]]:
        if self.drill_ends is None:
            return
        if self.mode == "live":
            yield "drill_ends", "a live node holds no drill"
        try:
            is_moment = datetime.fromisoformat(self.drill_ends).tzinfo is not None
        except ValueError:
            is_moment = False
        if not is_moment:
            yield "drill_ends", f"{self.drill_ends!r}: a time like 2026-11-21T12:00:00+09:00 is needed"

    def _staffing(self) -> Iterator[tuple[str, str]]:
        for what, values in (("name", [p.name for p in self.staff]), ("token", [p.token_hash for p in self.staff])):
            if len(set(values)) != len(values):
                yield "staff", f"two people have the same {what}"
        if self.mode == "live" and (trainees := [p.name for p in self.staff if "trainee" in p.roles]):
            yield "staff", f"{', '.join(trainees)}: a trainee sits at a drill node only"
        approvers = {p.name for p in self.staff if "approver" in p.roles}
        writers = {p.name for p in self.staff if "originator" in p.roles} | approvers
        if self.staff and (not approvers or len(writers) < 2):
            yield "staff", "an approver and another who may write are needed: nobody approves what they submitted"


def _ledger(dsn: str) -> Iterator[str]:
    """What is wrong with where the ledger is."""
    if not _DSN.fullmatch(dsn):
        yield "sqlite:///PATH or postgresql://USER@HOST[,HOST]/DATABASE is needed"
    elif re.match(r"postgres(?:ql)?://[^/@]*:[^/@]*@", dsn) or "password=" in dsn:
        yield "a password never stands here; PostgreSQL reads it from the file that PGPASSFILE names"


def load_site(path: Path, kinds: Mapping[str, type]) -> Site:
    """The site that this file describes; `kinds` is each kind of channel's settings class.

    Raises:
        ConfigError: everything that is wrong with it. No socket was opened.
    """
    return bind_site(load(path), str(path), path.resolve().parent, kinds)


def bind_site(data: bytes, file: str, base: Path, kinds: Mapping[str, type]) -> Site:
    """As load_site, from memory; relative paths start at `base`."""
    document, problems = parse(data, file)
    return bind(Site, document, file=file, base=base, kinds={"channels": kinds}, found=problems)
