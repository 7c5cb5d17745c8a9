"""One connection of a terminal, the node's end: who it is, what it may do, what is on its way to it.

MQTT keeps sessions so that a broker can be trusted with messages. Here the ledger is trusted, so there is no session: nothing is
kept for a terminal that is away, `session present` is always 0, and whoever subscribes is sent what is due from the ledger.

A connection may be a stranger's. Until it has said who it is, it may only say that; then it may subscribe to its own topics and
publish its own receipts, state and heartbeat. Each of a packet's length, packets a second, half a packet's patience, receipts not
yet recorded, and bytes not yet read by the other side has a bound, and going beyond ends the connection.

Source: MQTT 3.1.1 §3, §4; MQTT 5.0 §3, §4; facts.md §IP notification terminals "Limits to build".
"""

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from channels.ip_terminal.attempt import Attempt
from channels.ip_terminal.notice import Forged
from channels.ip_terminal.packets import (
    NODE_READS,
    ConnAck,
    Connect,
    Decoder,
    Disconnect,
    Malformed,
    PingReq,
    PingResp,
    Property,
    PubAck,
    Publish,
    Reason,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Version,
    Will,
    encode,
)
from channels.ip_terminal.receipt import read_receipt
from channels.ip_terminal.register import Registered
from channels.ip_terminal.topics import Up, topic_of, up_topic
from channels.ip_terminal.wire import string

if TYPE_CHECKING:
    from channels.ip_terminal.endpoint import Endpoint

MOST_IN_FLIGHT: Final = 8
"""Notices sent and not yet acknowledged; the others wait in the ledger."""
MOST_UNRECORDED: Final = 16
"""Receipts taken from one terminal and not yet durable."""
MOST_PACKETS_PER_S: Final = 500
LONGEST_CLIENT_ID: Final = 64
_PUBACK: Final = encode(PubAck(1), 4)[:2]
"""Before the packet id, in both versions, where all is well."""
_SEALED: Final = frozenset({Up.RECEIPT.value, Up.ANSWER.value})
_ANSWER: Final = Up.ANSWER.value
_SAYINGS: Final = frozenset({Up.STATE.value, Up.HEARTBEAT.value})
_OLD_CODES: Final[Mapping[Reason, int]] = MappingProxyType(
    {
        Reason.UNSUPPORTED_PROTOCOL_VERSION: 1,
        Reason.CLIENT_IDENTIFIER_NOT_VALID: 2,
        Reason.SERVER_BUSY: 3,
        Reason.BAD_USER_NAME_OR_PASSWORD: 4,
        Reason.NOT_AUTHORIZED: 5,
    }
)
"""How 3.1.1 says it in a CONNACK."""


class Connection(asyncio.Protocol):
    """A protocol of the endpoint's listener. Slots: there are 20,000 of them."""

    __slots__ = (
        "_decoder",
        "_endpoint",
        "_filters",
        "_largest_bytes",
        "_most_in_flight",
        "_next_id",
        "_qos",
        "_topic",
        "_transport",
        "_unrecorded",
        "_will",
        "blind",
        "client_id",
        "heard_s",
        "in_flight",
        "is_over",
        "keepalive_s",
        "packets",
        "sent_s",
        "terminal",
    )

    def __init__(self, endpoint: "Endpoint", now_s: float) -> None:
        self._endpoint = endpoint
        self._decoder = Decoder(NODE_READS, largest_bytes=endpoint.limits.largest_packet)
        self._transport: asyncio.Transport | None = None
        self._filters: dict[str, int] | None = None
        self._largest_bytes = 268_435_455
        self._most_in_flight = MOST_IN_FLIGHT
        self._next_id = 0
        self._qos: int | None = None
        """Of the subscription to what is meant for it."""
        self._topic = b""
        self._unrecorded = 0
        self._will: Will | None = None
        self.blind: dict[str, bool] | None = None
        """Notices sent with QoS 0, by identifier; True once the terminal has sent a receipt. MQTT has no other proof of those."""
        self.client_id = ""
        self.heard_s = now_s
        """When the last whole packet came: bytes that never make one do not count."""
        self.in_flight: dict[int, tuple[str, Attempt]] | None = None
        self.is_over = False
        self.keepalive_s = 0.0
        self.packets = 0
        """Since the endpoint's last round."""
        self.sent_s: float | None = None
        """When the oldest notice that is still in flight left."""
        self.terminal: Registered | None = None

    # -- asyncio's side --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._endpoint.arrived(self):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            for packet in () if self.is_over else self._decoder.feed(data):
                self.heard_s = self._endpoint.now_s()
                self.packets += 1
                if self.packets > MOST_PACKETS_PER_S:
                    self.end(Reason.QUOTA_EXCEEDED, "too many packets")
                else:
                    _HANDLERS[type(packet)](self, packet)
                if self.is_over:
                    return
        except Malformed as fault:
            if self.terminal is None and fault.reason is Reason.UNSUPPORTED_PROTOCOL_VERSION:
                self._refuse(fault.reason, str(fault))
            else:
                self.end(fault.reason, str(fault))

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_over = True
        self._endpoint.left(self)
        if self._will is not None and self.terminal is not None and not self._endpoint.has(self.terminal.tid):
            self._endpoint.said(self.terminal.tid, Up.STATE, self._will.payload)

    # -- the endpoint's side ---------------------------------------------------------------------------------------

    @property
    def version(self) -> Version:
        return self._decoder.version or 4

    @property
    def is_listening(self) -> bool:
        """It has subscribed to what is meant for it."""
        return self._qos is not None and not self.is_over

    @property
    def is_held(self) -> bool:
        """We have stopped reading from it until its receipts are durable, so its silence says nothing."""
        return self._unrecorded >= MOST_UNRECORDED

    @property
    def peer(self) -> str:
        address = self._transport.get_extra_info("peername") if self._transport else None
        return str(address[0]) if address else "?"

    def publish(self, attempt: Attempt, now_s: float) -> bool:
        """Send the attempt's notice, unless it is on its way already; False where it cannot be sent on this connection now."""
        assert self.terminal is not None
        if not self._qos:
            return self._publish_blind(attempt)
        flights = self.in_flight
        if flights is None:
            flights = self.in_flight = {}
        packet_id = 0
        for number, (flying, _) in flights.items():
            if flying == attempt.identifier:
                packet_id = number
        if not packet_id:
            packet_id = self._free_id(flights)
            if len(flights) >= self._most_in_flight or not self._write_notice(attempt, packet_id):
                return False
            self.sent_s = now_s if self.sent_s is None else self.sent_s
        flights[packet_id] = (attempt.identifier, attempt)
        attempt.departed(self.terminal.tid)
        return True

    def recorded(self, packet_id: int) -> None:
        """A receipt of this connection is durable: say so."""
        self._unrecorded -= 1
        if packet_id:
            self._write(_PUBACK + packet_id.to_bytes(2, "big"))
        if self._unrecorded == MOST_UNRECORDED - 1 and not self.is_over and self._transport is not None:
            self._transport.resume_reading()

    def end(self, reason: Reason, words: str) -> None:
        """Close it, saying why where the version can."""
        if not self.is_over:
            self._endpoint.dropped(self, words)
            if self.terminal is not None and self.version == 5:
                self._write(encode(Disconnect(reason), 5))
            self.is_over = True
            if self._transport is not None:
                self._transport.close()

    def abort(self) -> None:
        """Close it now; what it has not read is gone."""
        self.is_over = True
        if self._transport is not None:
            self._transport.abort()

    # -- packets ---------------------------------------------------------------------------------------------------

    def _connect(self, packet: Connect) -> None:
        if Property.AUTHENTICATION_METHOD in packet.properties:
            return self._refuse(Reason.BAD_AUTHENTICATION_METHOD, "no other authentication than TLS and password")
        assert self._transport is not None
        terminal = self._endpoint.identify(self._transport.get_extra_info("peercert"), packet)
        if terminal is None:
            return self._refuse(Reason.BAD_USER_NAME_OR_PASSWORD, "not in the register")
        if packet.will is not None and packet.will.topic != Up.STATE.topic(terminal.tid):
            return self._refuse(Reason.NOT_AUTHORIZED, "a will of somebody else")
        if len(packet.client_id) > LONGEST_CLIENT_ID or (
            packet.version == 4 and not packet.client_id and not packet.clean
        ):
            return self._refuse(Reason.CLIENT_IDENTIFIER_NOT_VALID, "client id")
        self.client_id = packet.client_id or self._endpoint.new_client_id(terminal.tid)
        if not self._endpoint.admit(self, terminal):
            return self._refuse(Reason.CLIENT_IDENTIFIER_NOT_VALID, "a client id that another terminal has")
        self.terminal = terminal
        self._will = packet.will
        limits = self._endpoint.limits
        self.keepalive_s = min(packet.keepalive_s or limits.longest_keepalive, limits.longest_keepalive)
        properties: dict[Property, Any] = {}
        if packet.version == 5:
            self._most_in_flight = min(MOST_IN_FLIGHT, packet.properties.get(Property.RECEIVE_MAXIMUM, MOST_IN_FLIGHT))
            self._largest_bytes = packet.properties.get(Property.MAXIMUM_PACKET_SIZE, self._largest_bytes)
            properties = self._offers(packet)
        self._write(encode(ConnAck(0, properties=properties), packet.version))
        return None

    def _offers(self, packet: Connect) -> dict[Property, Any]:
        """What version 5 hears about us: no sessions, no wildcards, no QoS 2."""
        offers: dict[Property, Any] = {
            Property.MAXIMUM_QOS: 1,
            Property.RECEIVE_MAXIMUM: MOST_UNRECORDED,
            Property.MAXIMUM_PACKET_SIZE: self._endpoint.limits.largest_packet,
            Property.WILDCARD_SUBSCRIPTION_AVAILABLE: 0,
            Property.SUBSCRIPTION_IDENTIFIER_AVAILABLE: 0,
            Property.SHARED_SUBSCRIPTION_AVAILABLE: 0,
        }
        if packet.properties.get(Property.SESSION_EXPIRY_INTERVAL):
            offers[Property.SESSION_EXPIRY_INTERVAL] = 0
        if not packet.client_id:
            offers[Property.ASSIGNED_CLIENT_IDENTIFIER] = self.client_id
        if self.keepalive_s != packet.keepalive_s:
            offers[Property.SERVER_KEEP_ALIVE] = int(self.keepalive_s)
        return offers

    def _refuse(self, reason: Reason, words: str) -> None:
        self._endpoint.refused(self, words)
        code = reason if self._decoder.version == 5 else _OLD_CODES.get(reason, 5)
        self._write(encode(ConnAck(code), self.version))
        self.is_over = True
        assert self._transport is not None
        self._transport.close()

    def _subscribe(self, packet: Subscribe) -> None:
        assert self.terminal is not None
        was_listening = self.is_listening
        if Property.SUBSCRIPTION_IDENTIFIER in packet.properties:
            return self.end(Reason.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED, "subscription identifiers")
        topics = self.terminal.topics
        granted = {s.filter: min(s.qos, 1) for s in packet.subscriptions if s.filter in topics}
        self._filters = {**(self._filters or {}), **granted}
        self._listen()
        no = Reason.UNSPECIFIED_ERROR if self.version == 4 else Reason.NOT_AUTHORIZED
        codes = tuple(granted.get(s.filter, no) for s in packet.subscriptions)
        self._write(encode(SubAck(packet.packet_id, codes), self.version))
        if self.is_listening and not was_listening:
            self._endpoint.appeared(self)
        return None

    def _unsubscribe(self, packet: Unsubscribe) -> None:
        known = self._filters or {}
        codes = tuple(
            Reason.SUCCESS if known.pop(f, None) is not None else Reason.NO_SUBSCRIPTION_EXISTED for f in packet.filters
        )
        self._listen()
        self._write(encode(UnsubAck(packet.packet_id, codes), self.version))

    def _listen(self) -> None:
        """What `publish` needs to know of the subscriptions, looked up once."""
        assert self.terminal is not None
        topic = topic_of(self.terminal.tid)
        self._qos = (self._filters or {}).get(topic)
        self._topic = string(topic)

    def _published(self, packet: Publish) -> None:
        """Something from the terminal: durable first where it is a receipt, PUBACK then."""
        assert self.terminal is not None
        tid = self.terminal.tid
        owner, _, what = packet.topic.rpartition("/")
        if owner != up_topic(tid):
            return self._rejected(packet, Reason.NOT_AUTHORIZED, "published to a topic that is not its own")
        if what in _SEALED:
            try:
                receipt = read_receipt(packet.payload, tid, self.terminal.mac_key, is_answer=what == _ANSWER)
            except Forged as forged:
                return self._rejected(packet, Reason.PAYLOAD_FORMAT_INVALID, str(forged))
            if not self._endpoint.is_plausible(receipt):
                return self._rejected(
                    packet, Reason.QUOTA_EXCEEDED, "too many receipts of messages that were never sent"
                )
            self._unrecorded += 1
            if self._unrecorded == MOST_UNRECORDED:
                assert self._transport is not None
                self._transport.pause_reading()
            return self._endpoint.receipt(self, packet.packet_id, receipt)
        if what not in _SAYINGS:
            return self._rejected(packet, Reason.NOT_AUTHORIZED, "published to a topic that there is not")
        self._endpoint.said(tid, Up(what), packet.payload)
        if packet.qos:
            self._write(encode(PubAck(packet.packet_id), self.version))
        return None

    def _rejected(self, packet: Publish, reason: Reason, words: str) -> None:
        """Version 5 hears it in the PUBACK. A PUBACK of 3.1.1 could only mean yes, so there the connection ends (§3.3.5)."""
        if self.version == 5 and packet.qos:
            self._endpoint.refused(self, words)
            self._write(encode(PubAck(packet.packet_id, reason), 5))
        else:
            self.end(reason, words)

    def _acknowledged(self, packet: PubAck) -> None:
        flight = self.in_flight.pop(packet.packet_id, None) if self.in_flight else None
        if flight is None:
            return  # a PUBACK nobody waits for is no reason to lose a terminal
        self.sent_s = self._endpoint.now_s() if self.in_flight else None
        assert self.terminal is not None
        identifier, attempt = flight
        if packet.code < Reason.UNSPECIFIED_ERROR:
            attempt.taken(self.terminal.tid)
        else:
            attempt.failed(self.terminal.tid, f"端末が受け取りを断りました（{packet.code:#04x}、{identifier}）")

    def _ping(self, _packet: PingReq) -> None:
        self._write(encode(PingResp(), self.version))

    def _disconnect(self, packet: Disconnect) -> None:
        if packet.code != Reason.DISCONNECT_WITH_WILL:
            self._will = None
        self.is_over = True
        assert self._transport is not None
        self._transport.close()

    # -- writing ---------------------------------------------------------------------------------------------------

    def _publish_blind(self, attempt: Attempt) -> bool:
        """To a subscription with QoS 0: sent once on this connection; only the terminal's own receipt can prove it."""
        assert self.terminal is not None
        if self.blind is None:
            self.blind = {}
        if attempt.identifier not in self.blind:
            if not self._write_notice(attempt, 0):
                return False
            while len(self.blind) >= MOST_IN_FLIGHT:
                self.blind.pop(next(iter(self.blind)))
            self.blind[attempt.identifier] = False
        if self.blind[attempt.identifier]:
            attempt.taken(self.terminal.tid)
        else:
            attempt.words[self.terminal.tid] = "送りましたが、QoS 0 の購読なので受領がわかりません"
        return True

    def _write_notice(self, attempt: Attempt, packet_id: int) -> bool:
        packet = attempt.notice.on(self._topic, packet_id, self.version)
        if len(packet) > self._largest_bytes:
            assert self.terminal is not None
            attempt.words[self.terminal.tid] = f"端末は {self._largest_bytes} バイトまでしか受け取れません"
            return False
        return self._write(packet)

    def _write(self, data: bytes) -> bool:
        """False where the other side has stopped reading; the connection is gone then."""
        if self.is_over or self._transport is None or self._transport.is_closing():
            return False
        if self._transport.get_write_buffer_size() + len(data) > self._endpoint.limits.write_buffer:
            self._endpoint.dropped(self, "does not read")
            self.abort()
            return False
        self._transport.write(data)
        return True

    def _free_id(self, flights: Mapping[int, object]) -> int:
        self._next_id = self._next_id % 65_535 + 1
        while self._next_id in flights:
            self._next_id = self._next_id % 65_535 + 1
        return self._next_id


_HANDLERS: Final[Mapping[type, Callable[[Connection, Any], None]]] = {
    Connect: Connection._connect,  # noqa: SLF001
    Publish: Connection._published,  # noqa: SLF001 - the class's own table
    PubAck: Connection._acknowledged,  # noqa: SLF001
    Subscribe: Connection._subscribe,  # noqa: SLF001
    Unsubscribe: Connection._unsubscribe,  # noqa: SLF001
    PingReq: Connection._ping,  # noqa: SLF001
    Disconnect: Connection._disconnect,  # noqa: SLF001
}
