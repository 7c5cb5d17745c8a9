"""The city's own directory, where staff sign in for everything else: an OpenID Connect issuer that the node trusts by name.

    directory:
      issuer: https://sso.city.example.jp/realms/staff
      client_id: todoke
      client_secret: {file: keys/directory}
      redirect_url: https://console.city.example.jp/directory
      roles: {bosai-kian: [originator], bosai-shonin: [approver]}

Source: OpenID Connect Core 1.0 §3.1; RFC 9700 §2.1, §4.4.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from config.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Which issuer, who we are to it, and which of its groups mean which roles."""

    issuer: str
    """Exactly as the issuer writes itself; nothing else is believed."""
    client_id: str
    redirect_url: str
    """Where the browser comes back: the console's /directory."""
    roles: Mapping[
        str, tuple[Literal["viewer", "originator", "approver", "welfare", "coordinator", "admin", "trainee"], ...]
    ]
    """A value of `roles_claim` → our roles. Whoever has none of these does not come in."""
    client_secret: Secret | None = None
    name_claim: str = "preferred_username"
    roles_claim: str = "groups"
    strong: tuple[str, ...] = ("mfa", "otp", "hwk")
    """Values of `amr` (RFC 8176) that count as a second factor; whoever comes with none of them is refused."""
    ca: Path | None = None
    """The certificate authority of the issuer, where it is the city's own."""

    def problems(self) -> Iterable[tuple[str, str]]:
        for field, url in (("issuer", self.issuer), ("redirect_url", self.redirect_url)):
            if not is_safe(url):
                yield field, f"{url!r}: https://… is needed (http:// on loopback only), without a query or a user"
        if not self.client_id.strip():
            yield "client_id", "a client id is needed, as the directory registered it"
        if not self.roles:
            yield "roles", "at least one group is needed: {group: [role]}"
        if not self.strong:
            yield "strong", "at least one value of amr is needed, as mfa"


def is_safe(url: str) -> bool:
    """Whether secrets may cross this address: TLS, or this machine alone."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or parts.query or parts.fragment or parts.username is not None:
        return False
    if parts.scheme == "https":
        return True
    try:
        return parts.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
