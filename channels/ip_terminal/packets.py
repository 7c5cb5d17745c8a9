"""MQTT 3.1.1 and 5.0 on the wire, for both ends, without I/O: packet_types.py, reading.py, writing.py.

A codec of our own because none on PyPI speaks both versions: `mqtt5` 0.8 is version 5 only, `mqtt-codec` 1.0.2 is 3.1.1 only
and rests since 2019.

Source: MQTT 3.1.1; MQTT 5.0.
"""

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
from channels.ip_terminal.reading import MOST_FILTERS, NODE_READS, TERMINAL_READS, Decoder
from channels.ip_terminal.wire import Malformed, Properties, Property, Reason
from channels.ip_terminal.writing import ToMany, encode, publish_head

__all__ = [
    "MOST_FILTERS",
    "NODE_READS",
    "TERMINAL_READS",
    "ConnAck",
    "Connect",
    "Decoder",
    "Disconnect",
    "Malformed",
    "Packet",
    "PacketType",
    "PingReq",
    "PingResp",
    "Properties",
    "Property",
    "PubAck",
    "Publish",
    "Reason",
    "SubAck",
    "Subscribe",
    "Subscription",
    "ToMany",
    "UnsubAck",
    "Unsubscribe",
    "Version",
    "Will",
    "encode",
    "publish_head",
]
