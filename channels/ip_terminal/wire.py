"""MQTT's alphabet: numbers, strings, binary data and version 5's properties, read from and written to bytes.

Every reader is given bytes that anybody may have sent. It takes what the two specifications allow, nothing else, and says with
version 5's reason code what was wrong.

Source: MQTT 3.1.1 §1.5, §2.2.3; MQTT 5.0 §1.5, §2.2.2, §2.4.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final

LONGEST_STRING: Final = 65_535


class Reason(IntEnum):
    """Version 5's reason codes, as far as they are said here."""

    SUCCESS = 0x00
    GRANTED_QOS_1 = 0x01
    DISCONNECT_WITH_WILL = 0x04
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    UNSPECIFIED_ERROR = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_IDENTIFIER_IN_USE = 0x91
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    QUOTA_EXCEEDED = 0x97
    PAYLOAD_FORMAT_INVALID = 0x99
    QOS_NOT_SUPPORTED = 0x9B
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2


class Malformed(ValueError):  # noqa: N818 - the specification's word
    """Bytes that are no MQTT packet we take. The connection cannot go on; `reason` is what version 5 calls it."""

    def __init__(self, words: str, reason: Reason = Reason.MALFORMED_PACKET) -> None:
        super().__init__(words)
        self.reason = reason


class Reader:
    """A packet's body, read from front to back."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._end = len(data)

    @property
    def left(self) -> int:
        return self._end - self._at

    def take(self, count: int) -> bytes:
        """Raises Malformed when there are not so many bytes."""
        start, self._at = self._at, self._at + count
        if self._at > self._end:
            raise Malformed("the packet ends within a field")
        return self._data[start : self._at]

    def rest(self) -> bytes:
        return self.take(self.left)

    def byte(self) -> int:
        return self.take(1)[0]

    def two(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def four(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def variable(self) -> int:
        value = shift = 0
        while True:
            octet = self.byte()
            value |= (octet & 0x7F) << shift
            if not octet & 0x80:
                if shift and not octet:
                    raise Malformed("a number is written longer than it need be")
                return value
            shift += 7
            if shift > 21:
                raise Malformed("a number has more than four bytes")

    def binary(self) -> bytes:
        return self.take(self.two())

    def string(self) -> str:
        length = self.two()
        return text_of(self.take(length), length)

    def pair(self) -> tuple[str, str]:
        return self.string(), self.string()


def text_of(data: bytes, length: int) -> str:
    """The string in `data`, which is to have that many bytes.

    Raises:
        Malformed: it has fewer, is not UTF-8, or holds U+0000.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Malformed("a string is not UTF-8") from None
    if "\0" in text:
        raise Malformed("a string holds U+0000")
    if len(data) != length:
        raise Malformed("the packet ends within a field")
    return text


def variable(value: int) -> bytes:
    """Seven bits a byte, least first; up to 268,435,455."""
    octets = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        octets.append(low | (0x80 if value else 0))
        if not value:
            return bytes(octets)


def two(value: int) -> bytes:
    return value.to_bytes(2, "big")


def four(value: int) -> bytes:
    return value.to_bytes(4, "big")


def binary(data: bytes) -> bytes:
    """Raises ValueError when it is longer than a length of two bytes can say."""
    if len(data) > LONGEST_STRING:
        raise ValueError(f"{len(data)} bytes; up to {LONGEST_STRING} are accepted")
    return len(data).to_bytes(2, "big") + data


def string(text: str) -> bytes:
    return binary(text.encode())


def pair(texts: tuple[str, str]) -> bytes:
    return string(texts[0]) + string(texts[1])


class Property(IntEnum):
    """What a version 5 packet may say beside its own fields."""

    PAYLOAD_FORMAT_INDICATOR = 0x01
    MESSAGE_EXPIRY_INTERVAL = 0x02
    CONTENT_TYPE = 0x03
    RESPONSE_TOPIC = 0x08
    CORRELATION_DATA = 0x09
    SUBSCRIPTION_IDENTIFIER = 0x0B
    SESSION_EXPIRY_INTERVAL = 0x11
    ASSIGNED_CLIENT_IDENTIFIER = 0x12
    SERVER_KEEP_ALIVE = 0x13
    AUTHENTICATION_METHOD = 0x15
    AUTHENTICATION_DATA = 0x16
    REQUEST_PROBLEM_INFORMATION = 0x17
    WILL_DELAY_INTERVAL = 0x18
    REQUEST_RESPONSE_INFORMATION = 0x19
    RESPONSE_INFORMATION = 0x1A
    SERVER_REFERENCE = 0x1C
    REASON_STRING = 0x1F
    RECEIVE_MAXIMUM = 0x21
    TOPIC_ALIAS_MAXIMUM = 0x22
    TOPIC_ALIAS = 0x23
    MAXIMUM_QOS = 0x24
    RETAIN_AVAILABLE = 0x25
    USER_PROPERTY = 0x26
    MAXIMUM_PACKET_SIZE = 0x27
    WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28
    SUBSCRIPTION_IDENTIFIER_AVAILABLE = 0x29
    SHARED_SUBSCRIPTION_AVAILABLE = 0x2A


@dataclass(frozen=True, slots=True)
class _Form:
    """How a property's value is read and written, where it may stand (letters of `PLACES`), and what it may be."""

    read: Callable[[Reader], Any]
    write: Callable[[Any], bytes]
    places: str
    accepts: Callable[[Any], bool] = lambda _value: True


Properties = Mapping[Property, Any]
"""Numbers, str, bytes; a tuple of (name, value) for USER_PROPERTY, a tuple of numbers for SUBSCRIPTION_IDENTIFIER."""

NONE: Properties = MappingProxyType({})


def none() -> Properties:
    """One empty mapping for all packets that say nothing more."""
    return NONE


REPEATED: Final = frozenset({Property.USER_PROPERTY, Property.SUBSCRIPTION_IDENTIFIER})


def _bit(value: int) -> bool:
    return value in {0, 1}


def _some(value: int) -> bool:
    return value > 0


def _octet(value: int) -> bytes:
    return bytes([value])


_P = Property
# c CONNECT, C CONNACK, w will, p PUBLISH, a PUBACK, s SUBSCRIBE, S SUBACK, u UNSUBSCRIBE, U UNSUBACK, d DISCONNECT
_FORMS: Final[Mapping[Property, _Form]] = MappingProxyType(
    {
        _P.PAYLOAD_FORMAT_INDICATOR: _Form(Reader.byte, _octet, "pw", _bit),
        _P.MESSAGE_EXPIRY_INTERVAL: _Form(Reader.four, four, "pw"),
        _P.CONTENT_TYPE: _Form(Reader.string, string, "pw"),
        _P.RESPONSE_TOPIC: _Form(Reader.string, string, "pw"),
        _P.CORRELATION_DATA: _Form(Reader.binary, binary, "pw"),
        _P.SUBSCRIPTION_IDENTIFIER: _Form(Reader.variable, variable, "ps", _some),
        _P.SESSION_EXPIRY_INTERVAL: _Form(Reader.four, four, "cCd"),
        _P.ASSIGNED_CLIENT_IDENTIFIER: _Form(Reader.string, string, "C"),
        _P.SERVER_KEEP_ALIVE: _Form(Reader.two, two, "C"),
        _P.AUTHENTICATION_METHOD: _Form(Reader.string, string, "cC"),
        _P.AUTHENTICATION_DATA: _Form(Reader.binary, binary, "cC"),
        _P.REQUEST_PROBLEM_INFORMATION: _Form(Reader.byte, _octet, "c", _bit),
        _P.WILL_DELAY_INTERVAL: _Form(Reader.four, four, "w"),
        _P.REQUEST_RESPONSE_INFORMATION: _Form(Reader.byte, _octet, "c", _bit),
        _P.RESPONSE_INFORMATION: _Form(Reader.string, string, "C"),
        _P.SERVER_REFERENCE: _Form(Reader.string, string, "Cd"),
        _P.REASON_STRING: _Form(Reader.string, string, "CaSUd"),
        _P.RECEIVE_MAXIMUM: _Form(Reader.two, two, "cC", _some),
        _P.TOPIC_ALIAS_MAXIMUM: _Form(Reader.two, two, "cC"),
        _P.TOPIC_ALIAS: _Form(Reader.two, two, "p", _some),
        _P.MAXIMUM_QOS: _Form(Reader.byte, _octet, "C", _bit),
        _P.RETAIN_AVAILABLE: _Form(Reader.byte, _octet, "C", _bit),
        _P.USER_PROPERTY: _Form(Reader.pair, pair, "cCwpasSuUd"),
        _P.MAXIMUM_PACKET_SIZE: _Form(Reader.four, four, "cC", _some),
        _P.WILDCARD_SUBSCRIPTION_AVAILABLE: _Form(Reader.byte, _octet, "C", _bit),
        _P.SUBSCRIPTION_IDENTIFIER_AVAILABLE: _Form(Reader.byte, _octet, "C", _bit),
        _P.SHARED_SUBSCRIPTION_AVAILABLE: _Form(Reader.byte, _octet, "C", _bit),
    }
)


def read_properties(reader: Reader, place: str) -> Properties:
    """The properties at a place (a letter of the table's key).

    Raises:
        Malformed: unknown, out of place, twice, or with a value it may not have.
    """
    length = reader.variable()
    if not length:
        return NONE
    inner = Reader(reader.take(length))
    found: dict[Property, Any] = {}
    while inner.left:
        number = inner.variable()
        try:
            name = Property(number)
        except ValueError:
            raise Malformed(f"there is no property {number:#04x}") from None
        form = _FORMS[name]
        if place not in form.places:
            raise Malformed(f"{name.name} does not belong into this packet", Reason.PROTOCOL_ERROR)
        value = form.read(inner)
        if not form.accepts(value):
            raise Malformed(f"{name.name} may not be {value}", Reason.PROTOCOL_ERROR)
        if name in REPEATED:
            found[name] = (*found.get(name, ()), value)
        elif name in found:
            raise Malformed(f"{name.name} stands twice", Reason.PROTOCOL_ERROR)
        else:
            found[name] = value
    return found


def write_properties(properties: Properties) -> bytes:
    if not properties:
        return b"\0"
    body = b"".join(
        bytes([name]) + _FORMS[name].write(value)
        for name, given in properties.items()
        for value in (given if name in REPEATED else (given,))
    )
    return variable(len(body)) + body
