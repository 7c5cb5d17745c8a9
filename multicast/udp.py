"""The only socket: a multicast group on one interface, to send to or to listen on, IPv4 and IPv6.

TTL 1, because a notice for one station is nobody else's. A receiver binds to the group's own address and takes only what
its own memberships bring, so that a unicast datagram to the same port is never heard.

Source: RFC 1112 §6, RFC 3493 §5.2, ip(7) and ipv6(7) (IP_MULTICAST_ALL, ip_mreqn).
"""

import ipaddress
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_IP_MULTICAST_ALL: Final = 49  # linux/in.h; the socket module does not name it
_IPV6_MULTICAST_ALL: Final = 29  # linux/in6.h
_RECEIVE_BUFFER_BYTES: Final = 4 << 20
_SEND_BUFFER_BYTES: Final = 1 << 18
_INTERFACES: Final = Path("/proc/net/if_inet6")
_MAX_DATAGRAM_BYTES: Final = 2048  # longer ones come cut, and a cut one fails its length checks


class BadEndpoint(ValueError):  # noqa: N818 - says what was seen
    """A group, port or interface that cannot be used; the text names every reason."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A group address, a UDP port and the interface, by name (`wlan0`) or by one of its addresses."""

    group: str
    port: int
    interface: str

    def __post_init__(self) -> None:
        problems = []
        try:
            if not ipaddress.ip_address(self.group).is_multicast:
                problems.append(f"group: {self.group}: not a multicast address (239.0.0.0/8, ff00::/8)")
        except ValueError:
            problems.append(f"group: {self.group}: not an IP address")
        if not 0 < self.port < 1 << 16:
            problems.append(f"port: {self.port}: accepted are 1 to 65535")
        if not self.interface:
            problems.append("interface: a name or an address is accepted")
        if problems:
            raise BadEndpoint("; ".join(problems))

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.group

    @property
    def header_bytes(self) -> int:
        """IP and UDP headers of each packet."""
        return 48 if self.is_ipv6 else 28

    @property
    def datagram_bytes(self) -> int:
        """The longest UDP payload that an Ethernet of 1,500 bytes carries unfragmented."""
        return 1500 - self.header_bytes


def open_for_sending(endpoint: Endpoint, ttl: int = 1) -> socket.socket:
    """A non-blocking socket connected to the group.

    Raises:
        BadEndpoint: there is no such interface, or the system refuses the group on it.
    """
    sock = _socket(endpoint)
    try:
        index = _interface_index(endpoint)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        if endpoint.is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
            sock.connect((endpoint.group, endpoint.port, 0, index))
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _membership(endpoint, index))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            if _is_address(endpoint.interface):
                sock.bind((endpoint.interface, 0))
            sock.connect((endpoint.group, endpoint.port))
    except OSError as error:
        sock.close()
        raise BadEndpoint(f"interface: {endpoint.interface}: {error.strerror or error}") from error
    except BadEndpoint:
        sock.close()
        raise
    return sock


def open_for_receiving(endpoint: Endpoint) -> socket.socket:
    """A non-blocking socket that has joined the group.

    Raises:
        BadEndpoint: there is no such interface, or the system refuses the group or port on it.
    """
    sock = _socket(endpoint)
    try:
        index = _interface_index(endpoint)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        if endpoint.is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
            sock.bind((endpoint.group, endpoint.port, 0, index))
            request = socket.inet_pton(socket.AF_INET6, endpoint.group) + struct.pack("@I", index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            sock.bind((endpoint.group, endpoint.port))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _membership(endpoint, index))
    except OSError as error:
        sock.close()
        raise BadEndpoint(
            f"group {endpoint.group}, port {endpoint.port}, interface {endpoint.interface}: {error.strerror or error}"
        ) from error
    except BadEndpoint:
        sock.close()
        raise
    return sock


def receive(sock: socket.socket) -> tuple[bytes, str] | None:
    """The next datagram and its sender's address, or None when there is none now."""
    try:
        data, sender = sock.recvfrom(_MAX_DATAGRAM_BYTES)
    except OSError:  # nothing there, or the interface has just gone: the next datagram tells
        return None
    return data, str(sender[0]).partition("%")[0]


def _socket(endpoint: Endpoint) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if endpoint.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(0)
    return sock


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _membership(endpoint: Endpoint, index: int) -> bytes:
    """Struct ip_mreqn: group, local address, interface index; the kernel looks the address up when the index is 0."""
    local = bytes(4) if index else socket.inet_aton(endpoint.interface)
    return struct.pack("@4s4si", socket.inet_aton(endpoint.group), local, index)


def _interface_index(endpoint: Endpoint) -> int:
    name = endpoint.interface
    if not _is_address(name):
        try:
            return socket.if_nametoindex(name)
        except OSError as error:
            there = ", ".join(known for _, known in socket.if_nameindex())
            raise BadEndpoint(f"interface: {name}: no such interface; there are {there}") from error
    wanted = ipaddress.ip_address(name)
    if (wanted.version == 6) != endpoint.is_ipv6:
        raise BadEndpoint(f"interface: {name}: not of the group's address family; a name is accepted for both")
    if not endpoint.is_ipv6:
        return 0
    for line in _INTERFACES.read_text().splitlines():
        address, index, *_ = line.split()
        if int(address, 16) == int(wanted):
            return int(index, 16)
    raise BadEndpoint(f"interface: {name}: no interface has this address")
