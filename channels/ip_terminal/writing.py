"""Packets to bytes, one at a time, or one payload to many topics.

Source: MQTT 3.1.1 §2, §3; MQTT 5.0 §2, §3.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from channels.ip_terminal.packet_types import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PacketType,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Version,
)
from channels.ip_terminal.wire import Properties, binary, string, two, variable, write_properties

_FLAGGED: Final = frozenset({PacketType.SUBSCRIBE, PacketType.UNSUBSCRIBE})
"""Their first byte has 2 in its lower half, for no reason that still holds."""


def encode(packet: Packet, version: Version) -> bytes:
    """The packet on the wire.

    Raises:
        ValueError: a string is longer than MQTT can carry.
    """
    if isinstance(packet, Publish):
        head = publish_head(packet, len(packet.payload), version)
        return head + packet.payload
    kind, body = _BODIES[type(packet)](packet, version)
    return bytes([kind << 4 | (2 if kind in _FLAGGED else 0)]) + variable(len(body)) + body


def publish_head(packet: Publish, payload_bytes: int, version: Version) -> bytes:
    """All of a PUBLISH but its payload, for a payload that goes to many."""
    first = PacketType.PUBLISH << 4 | packet.dup << 3 | packet.qos << 1 | packet.retain
    body = string(packet.topic) + (two(packet.packet_id) if packet.qos else b"") + _write(packet.properties, version)
    return bytes([first]) + variable(len(body) + payload_bytes) + body


class ToMany:
    """One payload on its way to many, each on a topic of its own: what is the same for all of one version is written once."""

    __slots__ = ("_heads", "payload")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self._heads: dict[tuple[int, Version, int], bytes] = {}

    def on(self, topic: bytes, packet_id: int, version: Version) -> bytes:
        """The PUBLISH; `topic` is already a string of MQTT, `packet_id` 0 is QoS 0."""
        qos = 1 if packet_id else 0
        key = len(topic), version, qos
        head = self._heads.get(key)
        if head is None:
            length = len(topic) + 2 * qos + (version == 5) + len(self.payload)
            head = self._heads[key] = bytes([PacketType.PUBLISH << 4 | qos << 1]) + variable(length)
        middle = packet_id.to_bytes(2, "big") if packet_id else b""
        return b"".join((head, topic, middle, b"\0" if version == 5 else b"", self.payload))


def _write(properties: Properties, version: Version) -> bytes:
    return write_properties(properties) if version == 5 else b""


_Body = tuple[PacketType, bytes]


def _of_connect(packet: Connect, _version: Version) -> _Body:
    will = packet.will
    flags = packet.clean << 1 | (packet.username is not None) << 7 | (packet.password is not None) << 6
    body = two(packet.keepalive_s) + _write(packet.properties, packet.version) + string(packet.client_id)
    if will:
        flags |= 4 | will.qos << 3 | will.retain << 5
        body += _write(will.properties, packet.version) + string(will.topic) + binary(will.payload)
    if packet.username is not None:
        body += string(packet.username)
    if packet.password is not None:
        body += binary(packet.password)
    return PacketType.CONNECT, string("MQTT") + bytes([packet.version, flags]) + body


def _of_connack(packet: ConnAck, version: Version) -> _Body:
    return PacketType.CONNACK, bytes([packet.session_present, packet.code]) + _write(packet.properties, version)


def _of_puback(packet: PubAck, version: Version) -> _Body:
    return PacketType.PUBACK, two(packet.packet_id) + _code(packet.code, packet.properties, version)


def _of_subscribe(packet: Subscribe, version: Version) -> _Body:
    filters = b"".join(
        string(s.filter) + bytes([s.qos | s.no_local << 2 | s.retain_as_published << 3 | s.retain_handling << 4])
        for s in packet.subscriptions
    )
    return PacketType.SUBSCRIBE, two(packet.packet_id) + _write(packet.properties, version) + filters


def _of_suback(packet: SubAck, version: Version) -> _Body:
    return PacketType.SUBACK, two(packet.packet_id) + _write(packet.properties, version) + bytes(packet.codes)


def _of_unsubscribe(packet: Unsubscribe, version: Version) -> _Body:
    filters = b"".join(map(string, packet.filters))
    return PacketType.UNSUBSCRIBE, two(packet.packet_id) + _write(packet.properties, version) + filters


def _of_unsuback(packet: UnsubAck, version: Version) -> _Body:
    codes = bytes(packet.codes) if version == 5 else b""
    return PacketType.UNSUBACK, two(packet.packet_id) + _write(packet.properties, version) + codes


def _of_pingreq(_packet: PingReq, _version: Version) -> _Body:
    return PacketType.PINGREQ, b""


def _of_pingresp(_packet: PingResp, _version: Version) -> _Body:
    return PacketType.PINGRESP, b""


def _of_disconnect(packet: Disconnect, version: Version) -> _Body:
    return PacketType.DISCONNECT, _code(packet.code, packet.properties, version)


def _code(code: int, properties: Properties, version: Version) -> bytes:
    """Left out where it is 0 and nothing follows; 3.1.1 has none."""
    if version == 4 or not (code or properties):
        return b""
    return bytes([code]) + (write_properties(properties) if properties else b"")


_BODIES: Final[Mapping[type[Packet], Callable[..., _Body]]] = MappingProxyType(
    {
        Connect: _of_connect,
        ConnAck: _of_connack,
        PubAck: _of_puback,
        Subscribe: _of_subscribe,
        SubAck: _of_suback,
        Unsubscribe: _of_unsubscribe,
        UnsubAck: _of_unsuback,
        PingReq: _of_pingreq,
        PingResp: _of_pingresp,
        Disconnect: _of_disconnect,
    }
)
