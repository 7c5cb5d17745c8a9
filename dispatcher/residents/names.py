"""Names and addresses that a stranger gave: they lead to the world and not into a house, and looking one up holds nobody up.

A name may say another address each time it is asked, so it is judged by what it leads to, and what was judged is what is then
called. An IPv6 address that carries an IPv4 one (mapped, NAT64) is judged by the one that it carries; 6to4 and the other ways
around a border router are not called at all. Names are asked of the machine's name servers over sockets of our own and not in
the threads that everything else on this node shares: a server that never answers would hold those one by one.

The only door to dnspython.

Source: RFC 6890; RFC 4291 §2.5.5.2; RFC 6052 §2.1, §3.1; RFC 7526 (6to4's end); OWASP "Server Side Request Forgery Prevention".
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
from aiohttp.abc import AbstractResolver, ResolveResult

LOOK_UP_S = 3.0
NO_SUCH = "not a public address"

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_AROUND = tuple(
    map(
        ipaddress.ip_network,
        # 6to4 and its relays, Teredo, a network's own NAT64, site-local, IPv4-compatible, not given out to anybody.
        ("2002::/16", "192.88.99.0/24", "2001::/32", "64:ff9b:1::/48", "fec0::/10", "::/96", "3fff::/20", "5f00::/16"),
    )
)


def leads_outside(address: str) -> bool:
    """Whether this address (no name) is a machine's in the public network. Raises ValueError for what is no address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        carried = ip.ipv4_mapped
        if ip in _NAT64:
            carried = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if carried is not None:
            return leads_outside(str(carried))
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _AROUND)


class PublicNames(AbstractResolver):
    """What aiohttp asks before it connects."""

    def __init__(self, servers: Sequence[tuple[str, int]] | None = None) -> None:
        """`servers`: name servers to ask, address and port; None: those of this machine, as it says each time."""
        self._servers = servers

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The public addresses of a name.

        Raises:
            OSError: it has none, or nobody said so in LOOK_UP_S.
        """
        kinds = [kind for of, kind in ((socket.AF_INET, "A"), (socket.AF_INET6, "AAAA")) if family in {of, 0}]
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self._addresses(host, kind)) for kind in kinds]
        found = [address for answer in asked for address in answer.result() if leads_outside(address)]
        if not found:
            raise OSError(NO_SUCH)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in found
        ]

    async def _addresses(self, host: str, kind: str) -> list[str]:
        try:
            resolver = dns.asyncresolver.Resolver(configure=self._servers is None)
            if self._servers is not None:
                resolver.nameservers = [dns.nameserver.Do53Nameserver(*server) for server in self._servers]
            answer = await resolver.resolve(host, kind, lifetime=LOOK_UP_S, search=False, raise_on_no_answer=False)
        except (dns.exception.DNSException, OSError):
            return []
        return [record.address for record in answer if record.rdtype in {dns.rdatatype.A, dns.rdatatype.AAAA}]

    async def close(self) -> None:
        """Nothing stays open between two questions."""
