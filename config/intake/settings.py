"""`intake:` of a site file: where telegrams come from, whom they are believed from, and what may go out alone.

    intake:
      policy: seconds-count                 # config/intake/policies.yaml; default: people-only
      folders: [{path: inbox/jma, every: 2 s}]
      feeds:
        - {url: "https://www.data.jma.go.jp/developer/xml/feed/extra.xml", every: 60 s}
        - {url: "https://alerts.example.jp/cap.atom", signers: [keys/pref.crt]}
      post: {signers: [keys/pref.crt]}      # CAP by POST, with a token of scope `intake`

A signer is a certificate that was handed over in person; what stands inside a message proves nothing.

Source: design.md §7; RFC 4287; XML Signature 1.1 §8.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from config.document import ConfigError
from config.intake import load_policy
from config.units import Seconds

SOONEST_S = 0.1
MOST_SOURCES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder that somebody's receiver writes `*.xml` into, each whole (written elsewhere and moved)."""

    path: Path
    every: Seconds = 5.0
    signers: tuple[Path, ...] = ()

    def problems(self) -> Iterable[tuple[str, str]]:
        yield from _pace(self.every)
        yield from _pinned(self.signers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """An Atom feed whose entries link to telegrams on the same host."""

    url: str
    every: Seconds = 60.0
    signers: tuple[Path, ...] = ()
    """CAP from here is read only if one of these signed it. JMA's telegrams are not signed: there the TLS name is the proof."""
    ca: Path | None = None
    """Who vouches for the host's TLS name; default: the machine's own list."""

    def problems(self) -> Iterable[tuple[str, str]]:
        yield from _pace(self.every)
        yield from _pinned(self.signers)
        url = _url(self.url)
        if url is None:
            yield "url", f"{self.url!r}: https://HOST[:PORT]/PATH is needed"
        elif url.scheme == "http" and not _is_loopback(url.hostname or ""):
            yield "url", f"{self.url!r}: https is needed; http is accepted on loopback only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """CAP by HTTP POST at the staff's listener."""

    signers: tuple[Path, ...] = ()
    """Given: a message is read only if one of these signed it, beside the token."""

    def problems(self) -> Iterable[tuple[str, str]]:
        yield from _pinned(self.signers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    policy: str = "people-only"
    oldest: Seconds = 6 * 3600.0
    """A telegram older than this makes no draft: a feed that was read again must not repeat last night."""
    folders: tuple[Folder, ...] = ()
    feeds: tuple[Feed, ...] = ()
    post: Post | None = None

    def problems(self) -> Iterable[tuple[str, str]]:
        try:
            load_policy(self.policy)
        except ConfigError as error:
            yield from (("policy", problem.reason) for problem in error.problems)
        if not self.oldest > 0:
            yield "oldest", "more than 0 s is needed"
        if len(self.folders) + len(self.feeds) > MOST_SOURCES:
            yield "feeds", f"at most {MOST_SOURCES} sources are accepted"


def _pace(every_s: float) -> Iterable[tuple[str, str]]:
    if every_s < SOONEST_S:
        yield "every", f"at least {SOONEST_S * 1000:.0f} ms is needed"


def _pinned(signers: tuple[Path, ...]) -> Iterable[tuple[str, str]]:
    for path in signers:
        try:
            text = path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            yield "signers", f"{path}: {getattr(error, 'strerror', None) or 'not a PEM file'}"
            continue
        if text.count("-----BEGIN CERTIFICATE-----") != 1:
            yield "signers", f"{path}: a PEM file with one certificate is needed"


def _url(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text)
        is_whole = url.scheme in {"http", "https"} and bool(url.hostname) and (url.port or 1) > 0
    except ValueError:
        return None
    return url if is_whole and url.username is None and not url.fragment else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
