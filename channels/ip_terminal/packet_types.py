"""MQTT's packets as values, as both versions have them; what only one of them has is said there.

QoS 2 is not spoken: a notice is recognised by its id, so "exactly once" is the terminal's to keep, and both versions let a
server grant less than was asked for.

Source: MQTT 3.1.1 §2.1, §3; MQTT 5.0 §2.1, §3.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, NamedTuple

from channels.ip_terminal.wire import NONE, Properties, none

Version = Literal[4, 5]
"""The protocol level on the wire: 4 is MQTT 3.1.1."""


class PacketType(IntEnum):
    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


@dataclass(frozen=True, slots=True)
class Will:
    """What the node is to take as published when the connection is lost."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties = field(default_factory=none)


@dataclass(frozen=True, slots=True)
class Connect:
    client_id: str
    version: Version = 4
    clean: bool = True
    """Clean session (3.1.1), clean start (5)."""
    keepalive_s: int = 60
    """0: none."""
    username: str | None = None
    password: bytes | None = field(default=None, repr=False)
    will: Will | None = None
    properties: Properties = field(default_factory=none)


@dataclass(frozen=True, slots=True)
class ConnAck:
    """`code`: 0 is yes; else 3.1.1's return code 1 to 5, or version 5's reason."""

    code: int = 0
    session_present: bool = False
    properties: Properties = field(default_factory=none)


class Publish(NamedTuple):
    """`packet_id` is 0 with QoS 0, and only there. A tuple, as there are 19,500 at once where the others come one by one."""

    topic: str
    payload: bytes
    qos: int = 0
    packet_id: int = 0
    retain: bool = False
    dup: bool = False
    properties: Properties = NONE


class PubAck(NamedTuple):
    packet_id: int
    code: int = 0
    """3.1.1 can only say 0."""
    properties: Properties = NONE


@dataclass(frozen=True, slots=True)
class Subscription:
    """One filter with what was asked for it. All but `qos` is version 5's."""

    filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


@dataclass(frozen=True, slots=True)
class Subscribe:
    packet_id: int
    subscriptions: tuple[Subscription, ...]
    properties: Properties = field(default_factory=none)


@dataclass(frozen=True, slots=True)
class SubAck:
    """One code a filter: the granted QoS, or 0x80 and above for no."""

    packet_id: int
    codes: tuple[int, ...]
    properties: Properties = field(default_factory=none)


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    packet_id: int
    filters: tuple[str, ...]
    properties: Properties = field(default_factory=none)


@dataclass(frozen=True, slots=True)
class UnsubAck:
    """`codes` is version 5's; 3.1.1 has none."""

    packet_id: int
    codes: tuple[int, ...] = ()
    properties: Properties = field(default_factory=none)


@dataclass(frozen=True, slots=True)
class PingReq:
    pass


@dataclass(frozen=True, slots=True)
class PingResp:
    pass


@dataclass(frozen=True, slots=True)
class Disconnect:
    code: int = 0
    """3.1.1 can only say 0, and only a terminal says it."""
    properties: Properties = field(default_factory=none)


Packet = (
    Connect | ConnAck | Publish | PubAck | Subscribe | SubAck | Unsubscribe | UnsubAck | PingReq | PingResp | Disconnect
)
