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

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from config.binding import bind, effective
from config.document import read

__all__ = ["Control", "Person", "Residents", "Site", "bind_site", "effective", "load_site"]

_LISTEN = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9.\-]+):\d{1,5}")
LOOPBACK = ("127.", "localhost:", "[::1]:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Residents:
    """The residents' listener."""

    listen: str
    url: str
    """Where residents read it: links in every medium lead there."""

    def problems(self) -> Iterable[tuple[str, str]]:
        if not _LISTEN.fullmatch(self.listen):
            yield "listen", f"{self.listen!r}: write host:port"
        if not self.url.startswith(("http://", "https://")):
            yield "url", f"{self.url!r}: an http or https address is needed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The staff's door; on loopback, because a token crosses it in the clear."""

    listen: str = "127.0.0.1:8181"

    def problems(self) -> Iterable[tuple[str, str]]:
        if not _LISTEN.fullmatch(self.listen):
            yield "listen", f"{self.listen!r}: write host:port"
        elif not self.listen.startswith(LOOPBACK):
            yield "listen", f"{self.listen!r}: a loopback address is needed, 127.0.0.1 or [::1]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody at the desk; `todoke token new NAME` makes the token and its hash."""

    name: str
    roles: tuple[Literal["viewer", "originator", "approver"], ...]
    token_hash: str

    def problems(self) -> Iterable[tuple[str, str]]:
        if not re.fullmatch(r"[0-9a-f]{64}", self.token_hash):
            yield "token_hash", "64 hexadecimal digits are needed, as `todoke token new` prints them"
        if not self.roles:
            yield "roles", "at least one of viewer, originator, approver is needed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything that a node is told."""

    mode: Literal["live", "drill"]
    node: str
    state_dir: Path
    city: str
    residents: Residents
    staff: tuple[Person, ...]
    channels: Mapping[str, Any]
    """Kind → that channel's own settings."""
    control: Control = field(default_factory=Control)
    ledger: str | None = None
    """sqlite:///path or postgresql://…; default: a file in `state_dir`."""

    def problems(self) -> Iterable[tuple[str, str]]:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", self.node):
            yield "node", f"{self.node!r}: small letters, digits and hyphens, 40 at most"
        if self.residents.listen == self.control.listen:
            yield "control", "the residents' and the staff's listener cannot be the same address"
        if not self.channels:
            yield "channels", "at least one channel is needed"
        for what, values in (("name", [p.name for p in self.staff]), ("token", [p.token_hash for p in self.staff])):
            if len(set(values)) != len(values):
                yield "staff", f"two people have the same {what}"
        approvers = [p for p in self.staff if "approver" in p.roles]
        if not approvers or len(self.staff) < 2:
            yield "staff", "two people are needed, one of them an approver: nobody approves what they submitted"


def load_site(path: Path, kinds: Mapping[str, type]) -> Site:
    """The site that this file describes; `kinds` is each kind of channel's settings class.

    Raises:
        ConfigError: everything that is wrong with it. No socket was opened.
    """
    return bind_site(path.read_bytes(), str(path), path.resolve().parent, kinds)


def bind_site(data: bytes, file: str, base: Path, kinds: Mapping[str, type]) -> Site:
    """As load_site, from memory; relative paths start at `base`."""
    return bind(Site, read(data, file), file=file, base=base, kinds={"channels": kinds})
