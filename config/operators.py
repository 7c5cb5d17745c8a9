"""`operators:` of a site file: what `todoke doctor` compares with, and from when on it asks for something to be done.

    operators:
      ntp: [ntp.nict.jp, 192.0.2.1:123]
      peers: [https://bousai-2.example.jp]
      most_off: 500 ms
      least_free: 5 GB
      warn_before: 30 d

Source: RFC 5905 §7.3 for what NTP's servers say; RFC 9110 §6.6.1 (Date) for what peers say.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from config.units import Bytes, Seconds

_SERVER = re.compile(r"(?:\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    ntp: tuple[str, ...] = ()
    """Time servers, HOST or HOST:PORT; they are asked, never followed."""
    peers: tuple[str, ...] = ()
    """Residents' addresses of the other nodes: their clocks are compared with this one's."""
    most_off: Seconds = 0.5
    """How far the clock may be from a time server's; a peer, which says whole seconds, may be two seconds farther."""
    least_free: Bytes = 2_000_000_000
    """Room on the disk of the ledger."""
    warn_before: Seconds = 14 * 86_400.0
    """How long before a key or certificate ends that is said."""

    def problems(self) -> Iterable[tuple[str, str]]:
        for server in self.ntp:
            found = _SERVER.fullmatch(server)
            if found is None or not 0 < int(found[1] or 123) < 65_536:
                yield "ntp", f"{server!r}: HOST or HOST:PORT is accepted"
        for peer in self.peers:
            try:
                url = urlsplit(peer)
                is_site = url.scheme in {"http", "https"} and bool(url.hostname) and (url.port or 1) > 0
            except ValueError:
                is_site = False
            if not is_site:
                yield "peers", f"{peer!r}: http://HOST[:PORT] or https://… is accepted"
        if not self.most_off > 0:
            yield "most_off", "more than 0 ms is needed"
