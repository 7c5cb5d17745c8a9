"""Bytes to packets: strict, and without state but half a packet.

Each side reads only what the other may send: a table by first byte, for the node and for a terminal. What is too long, out of
place, or longer than its content is Malformed before it is kept.

Source: MQTT 3.1.1 §2, §3; MQTT 5.0 §2, §3.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

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
    Subscription,
    UnsubAck,
    Unsubscribe,
    Version,
    Will,
)
from channels.ip_terminal.wire import NONE, Malformed, Property, Reader, Reason, read_properties, text_of

A = TypeVar("A")

MOST_FILTERS: Final = 64
"""Of one SUBSCRIBE or UNSUBSCRIBE."""


def _connect(reader: Reader, _flags: int, _version: Version) -> Connect:
    name, level = reader.string(), reader.byte()
    if name != "MQTT" or level not in {4, 5}:
        raise Malformed("accepted are MQTT 3.1.1 and 5.0", Reason.UNSUPPORTED_PROTOCOL_VERSION)
    version: Version = 4 if level == 4 else 5
    flags = reader.byte()
    has_user, has_password, has_will = flags & 0x80, flags & 0x40, flags & 0x04
    will_qos = flags >> 3 & 3
    if flags & 0x01 or will_qos == 3 or (not has_will and flags & 0x38):
        raise Malformed("the connect flags contradict each other")
    if has_password and not has_user and version == 4:
        raise Malformed("a password without a user name")
    keepalive_s = reader.two()
    properties = read_properties(reader, "c") if version == 5 else NONE
    client_id = reader.string()
    will = None
    if has_will:
        will_properties = read_properties(reader, "w") if version == 5 else NONE
        will = Will(_topic(reader.string()), reader.binary(), will_qos, bool(flags & 0x20), will_properties)
    username = reader.string() if has_user else None
    password = reader.binary() if has_password else None
    return Connect(client_id, version, bool(flags & 0x02), keepalive_s, username, password, will, properties)


def _connack(reader: Reader, _flags: int, version: Version) -> ConnAck:
    flags, code = reader.byte(), reader.byte()
    if flags & 0xFE or (flags and code):
        raise Malformed("the acknowledge flags are not what they may be")
    return ConnAck(code, bool(flags), read_properties(reader, "C") if version == 5 else NONE)


def _publish(body: bytes, flags: int, version: Version) -> Publish:
    qos = flags >> 1 & 3
    if qos == 3 or (not qos and flags & 0x08):
        raise Malformed("the publish flags contradict each other")
    if qos == 2:
        raise Malformed("QoS 2 is not spoken here; 0 and 1 are", Reason.QOS_NOT_SUPPORTED)
    if version == 5:
        reader = Reader(body)
        topic, packet_id = reader.string(), _packet_id(reader) if qos else 0
        properties, payload = read_properties(reader, "p"), reader.rest()
        if Property.TOPIC_ALIAS in properties:
            raise Malformed("topic aliases were not offered", Reason.TOPIC_ALIAS_INVALID)
    else:
        at = 2 + int.from_bytes(body[:2], "big")
        topic, packet_id, properties = text_of(body[2:at], at - 2), 0, NONE
        if qos:
            packet_id = int.from_bytes(body[at : at + 2], "big")
            at += 2
            if at > len(body) or not packet_id:
                raise Malformed("no packet identifier", Reason.PROTOCOL_ERROR)
        payload = body[at:]
    return Publish(_topic(topic), payload, qos, packet_id, bool(flags & 1), bool(flags & 8), properties)


def _puback(body: bytes, _flags: int, version: Version) -> PubAck:
    if len(body) == 2 and body != b"\0\0":
        return PubAck(body[0] << 8 | body[1])
    reader = Reader(body)
    packet_id = _packet_id(reader)
    code = reader.byte() if version == 5 else 0
    properties = read_properties(reader, "a") if reader.left and version == 5 else NONE
    _nothing_left(reader)
    return PubAck(packet_id, code, properties)


def _subscribe(reader: Reader, _flags: int, version: Version) -> Subscribe:
    packet_id = _packet_id(reader)
    properties = read_properties(reader, "s") if version == 5 else NONE
    subscriptions: list[Subscription] = []
    while reader.left:
        _limit(len(subscriptions))
        topic_filter, options = _filter(reader.string()), reader.byte()
        qos, handling = options & 3, options >> 4 & 3
        if qos == 3 or options & (0xFC if version == 4 else 0xC0) or handling == 3:
            raise Malformed("the subscription options are not what they may be")
        subscriptions.append(Subscription(topic_filter, qos, bool(options & 4), bool(options & 8), handling))
    return Subscribe(packet_id, _some(tuple(subscriptions)), properties)


def _suback(reader: Reader, _flags: int, version: Version) -> SubAck:
    packet_id = _packet_id(reader)
    properties = read_properties(reader, "S") if version == 5 else NONE
    return SubAck(packet_id, _some(tuple(reader.rest())), properties)


def _unsubscribe(reader: Reader, _flags: int, version: Version) -> Unsubscribe:
    packet_id = _packet_id(reader)
    properties = read_properties(reader, "u") if version == 5 else NONE
    filters: list[str] = []
    while reader.left:
        _limit(len(filters))
        filters.append(_filter(reader.string()))
    return Unsubscribe(packet_id, _some(tuple(filters)), properties)


def _unsuback(reader: Reader, _flags: int, version: Version) -> UnsubAck:
    packet_id = _packet_id(reader)
    if version == 4:
        return UnsubAck(packet_id)
    properties = read_properties(reader, "U")
    return UnsubAck(packet_id, _some(tuple(reader.rest())), properties)


def _pingreq(_reader: Reader, _flags: int, _version: Version) -> PingReq:
    return PingReq()


def _pingresp(_reader: Reader, _flags: int, _version: Version) -> PingResp:
    return PingResp()


def _disconnect(reader: Reader, _flags: int, version: Version) -> Disconnect:
    if version == 4 or not reader.left:
        return Disconnect()
    code = reader.byte()
    return Disconnect(code, read_properties(reader, "d") if reader.left else NONE)


def _packet_id(reader: Reader) -> int:
    packet_id = reader.two()
    if not packet_id:
        raise Malformed("packet identifier 0", Reason.PROTOCOL_ERROR)
    return packet_id


def _topic(topic: str) -> str:
    if not topic or "+" in topic or "#" in topic:
        raise Malformed("a topic to publish to is not empty and has no wildcard", Reason.TOPIC_NAME_INVALID)
    return topic


def _filter(topic_filter: str) -> str:
    levels = topic_filter.split("/")
    for n, level in enumerate(levels):
        if ("+" in level and level != "+") or ("#" in level and (level != "#" or n < len(levels) - 1)):
            raise Malformed("a wildcard stands alone in its level, and # in the last", Reason.TOPIC_FILTER_INVALID)
    if not topic_filter:
        raise Malformed("a topic filter is not empty", Reason.TOPIC_FILTER_INVALID)
    return topic_filter


def _limit(count: int) -> None:
    if count >= MOST_FILTERS:
        raise Malformed(f"more than {MOST_FILTERS} topic filters in one packet", Reason.QUOTA_EXCEEDED)


def _some(given: tuple[A, ...]) -> tuple[A, ...]:
    if not given:
        raise Malformed("a packet about subscriptions that names none", Reason.PROTOCOL_ERROR)
    return given


def _nothing_left(reader: Reader) -> None:
    if reader.left:
        raise Malformed("a packet is longer than its content")


def _whole(read: Callable[[Reader, int, Version], Packet]) -> "_Read":
    """A reader of a whole body, from one that reads field by field."""

    def of_body(body: bytes, flags: int, version: Version) -> Packet:
        reader = Reader(body)
        packet = read(reader, flags, version)
        _nothing_left(reader)
        return packet

    return of_body


_Read = Callable[[bytes, int, Version], Packet]
_T = PacketType

_FLAGS: Final[Mapping[int, int]] = MappingProxyType({_T.SUBSCRIBE: 2, _T.UNSUBSCRIBE: 2})
"""The lower half of the first byte where it is fixed and not 0; PUBLISH alone makes use of it."""


class Reads:
    """What one side may be sent, by the first byte: so a packet is refused before the rest of it is waited for."""

    def __init__(self, later: Mapping[int, _Read]) -> None:
        self.connect: Mapping[int, _Read] = {_T.CONNECT << 4: _whole(_connect)}
        """While no version has been spoken of."""
        self.later: Mapping[int, _Read] = {
            kind << 4 | flags: read
            for kind, read in later.items()
            for flags in (range(16) if kind == _T.PUBLISH else (_FLAGS.get(kind, 0),))
        }


NODE_READS: Final = Reads(
    {
        _T.PUBLISH: _publish,
        _T.PUBACK: _puback,
        _T.SUBSCRIBE: _whole(_subscribe),
        _T.UNSUBSCRIBE: _whole(_unsubscribe),
        _T.PINGREQ: _whole(_pingreq),
        _T.DISCONNECT: _whole(_disconnect),
    }
)
"""What a terminal may send."""

TERMINAL_READS: Final = Reads(
    {
        _T.CONNACK: _whole(_connack),
        _T.PUBLISH: _publish,
        _T.PUBACK: _puback,
        _T.SUBACK: _whole(_suback),
        _T.UNSUBACK: _whole(_unsuback),
        _T.PINGRESP: _whole(_pingresp),
        _T.DISCONNECT: _whole(_disconnect),
    }
)
"""What the node may send."""


class Decoder:
    """The bytes of one connection as packets. Keeps at most one packet that has not come whole.

    `version` None: the next packet is a CONNECT, which says it.
    """

    __slots__ = ("_half", "_largest", "_reads", "version")

    def __init__(self, reads: Reads, version: Version | None = None, *, largest_bytes: int = 65_536) -> None:
        self._reads = reads
        self._largest = largest_bytes
        self._half = b""
        self.version = version

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Every packet that is whole now.

        Raises:
            Malformed: the packets before were yielded; nothing after can be read.
        """
        if self._half:
            data, self._half = self._half + data, b""
        at, end = 0, len(data)
        reads = self._reads.later if self.version else self._reads.connect
        while at < end:
            read = reads.get(data[at])
            if read is None:
                words = f"packet type {data[at] >> 4} with flags {data[at] & 15} is not expected here"
                raise Malformed(words, Reason.PROTOCOL_ERROR)
            start, length = self._length(data, at)
            if not start or start + length > end:
                break
            flags, at = data[at] & 0x0F, start + length
            packet = read(data[start:at], flags, self.version or 4)
            if self.version is None and isinstance(packet, Connect):
                self.version, reads = packet.version, self._reads.later
            yield packet
        self._half = data[at:]

    def _length(self, data: bytes, at: int) -> tuple[int, int]:
        """Where the body of the packet at `at` begins and how long it is; (0, 0) while that has not come."""
        length = shift = 0
        for place in range(at + 1, min(at + 5, len(data))):
            octet = data[place]
            length |= (octet & 0x7F) << shift
            if octet < 0x80:
                if place + 1 - at + length > self._largest:
                    raise Malformed(f"a packet of more than {self._largest} bytes", Reason.PACKET_TOO_LARGE)
                return place + 1, length
            shift += 7
        if shift == 28:
            raise Malformed("a length has more than four bytes")
        return 0, 0
