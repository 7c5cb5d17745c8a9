"""Captures made readable: LCT, its extensions and the FEC payload IDs as scapy layers; the only module that knows scapy.

For conformance tests, and for looking at a pcap from a station. At 300 µs a packet it is never in the data path. The layers
are more general than `packet.py` on purpose (any LCT layout, Reed–Solomon too), so that they judge what we send instead of
repeating it.

Source: RFC 5651 §5, RFC 5775 §4, RFC 6726 §3.4, RFC 5445 §3, RFC 5510 §4, RFC 6330 §3, RFC 6584 §3.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from scapy.error import Scapy_Exception
from scapy.fields import (
    BitField,
    ByteField,
    ConditionalField,
    IntField,
    PacketListField,
    ShortField,
    StrFixedLenField,
    StrLenField,
    XIntField,
)
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw
from scapy.utils import PcapReader

from multicast.packet import CERTIFICATE_BYTES, SIGNATURE_BYTES

_ONE_WORD: Final = 128


class Extension(Packet):
    """A header extension; what follows is the next one's, not its payload."""

    def extract_padding(self, rest: bytes) -> tuple[bytes, bytes]:
        return b"", rest


class ExtFdt(Extension):
    name = "EXT_FDT"
    fields_desc = [ByteField("het", 192), BitField("version", 2, 4), BitField("instance", 0, 20)]  # noqa: RUF012 - scapy's way


class ExtFtiNoCode(Extension):
    name = "EXT_FTI no code"
    fields_desc = [  # noqa: RUF012 - scapy's way
        ByteField("het", 64),
        ByteField("hel", 4),
        BitField("transfer_bytes", 0, 48),
        ShortField("reserved", 0),
        ShortField("symbol_bytes", 0),
        IntField("block_symbols", 0),
    ]


class ExtFtiReedSolomon(Extension):
    name = "EXT_FTI Reed-Solomon"
    fields_desc = [  # noqa: RUF012 - scapy's way
        ByteField("het", 64),
        ByteField("hel", 3),
        BitField("transfer_bytes", 0, 48),
        ShortField("symbol_bytes", 0),
        ByteField("block_symbols", 0),
        ByteField("encoding_symbols", 0),
    ]


class ExtFtiRaptorQ(Extension):
    name = "EXT_FTI RaptorQ"
    fields_desc = [  # noqa: RUF012 - scapy's way
        ByteField("het", 64),
        ByteField("hel", 4),
        BitField("transfer_bytes", 0, 40),
        ByteField("reserved", 0),
        ShortField("symbol_bytes", 0),
        ByteField("source_blocks", 1),
        ShortField("sub_blocks", 1),
        ByteField("alignment", 8),
        ShortField("padding", 0),
    ]


class ExtCertificate(Extension):
    name = "EXT_CERT"
    fields_desc = [  # noqa: RUF012 - scapy's way
        ByteField("het", 63),
        ByteField("hel", 27),
        StrFixedLenField("certificate", bytes(CERTIFICATE_BYTES), CERTIFICATE_BYTES),
    ]


class ExtAuth(Extension):
    name = "EXT_AUTH Ed25519"
    fields_desc = [  # noqa: RUF012 - scapy's way
        ByteField("het", 1),
        ByteField("hel", 18),
        BitField("asid", 5, 4),
        BitField("reserved", 0, 12),
        XIntField("key_id", 0),
        StrFixedLenField("signature", bytes(SIGNATURE_BYTES), SIGNATURE_BYTES),
    ]


class ExtUnknown(Extension):
    name = "EXT"
    fields_desc = [  # noqa: RUF012 - scapy's way
        ByteField("het", 0),
        ConditionalField(ByteField("hel", 1), lambda p: p.het < _ONE_WORD),
        StrLenField("value", b"", length_from=lambda p: 3 if p.het >= _ONE_WORD else p.hel * 4 - 2),
    ]


class PayloadIdRaptorQ(Packet):
    name = "FEC payload ID RaptorQ"
    fields_desc = [ByteField("sbn", 0), BitField("esi", 0, 24)]  # noqa: RUF012 - scapy's way


class PayloadIdNoCode(Packet):
    name = "FEC payload ID no code"
    fields_desc = [ShortField("sbn", 0), ShortField("esi", 0)]  # noqa: RUF012 - scapy's way


class PayloadIdReedSolomon(Packet):
    name = "FEC payload ID Reed-Solomon"
    fields_desc = [BitField("sbn", 0, 24), ByteField("esi", 0)]  # noqa: RUF012 - scapy's way


_FTI: Final[dict[int, type[Extension]]] = {0: ExtFtiNoCode, 5: ExtFtiReedSolomon, 6: ExtFtiRaptorQ}
_PAYLOAD_ID: Final = {0: PayloadIdNoCode, 5: PayloadIdReedSolomon, 6: PayloadIdRaptorQ}
_SIZED: Final = {(63, 27): ExtCertificate, (1, 18): ExtAuth}


def _next_extension(lct: Any, _known: Any, _current: Any, rest: bytes) -> type[Extension] | None:
    if len(rest) < 4:
        return None
    het, hel = rest[0], rest[1]
    if het >= _ONE_WORD:
        return ExtFdt if het == 192 else ExtUnknown
    if hel == 0 or hel * 4 > len(rest):
        return None  # a length that does not fit: the rest stays unread
    if het == 64:
        return _FTI.get(lct.codepoint, ExtUnknown)
    return _SIZED.get((het, hel), ExtUnknown)


class Lct(Packet):
    """The LCT building block with any layout that RFC 5651 allows, and its extensions."""

    name = "LCT"
    fields_desc = [  # noqa: RUF012 - scapy's way
        BitField("version", 1, 4),
        BitField("c", 0, 2),
        BitField("psi", 0, 2),
        BitField("s", 1, 1),
        BitField("o", 1, 2),
        BitField("h", 0, 1),
        BitField("reserved", 0, 2),
        BitField("close_session", 0, 1),
        BitField("close_object", 0, 1),
        ByteField("header_words", None),
        ByteField("codepoint", 6),
        StrLenField("cci", bytes(4), length_from=lambda p: 4 * (p.c + 1)),
        StrLenField("tsi_bytes", bytes(4), length_from=lambda p: 4 * p.s + 2 * p.h),
        StrLenField("toi_bytes", bytes(4), length_from=lambda p: 4 * p.o + 2 * p.h),
        PacketListField(
            "extensions",
            [],
            next_cls_cb=_next_extension,
            length_from=lambda p: max(0, 4 * (p.header_words - 2 - p.c - p.s - p.o - p.h)),
        ),
    ]

    @property
    def tsi(self) -> int:
        return int.from_bytes(self.tsi_bytes, "big")

    @property
    def toi(self) -> int:
        return int.from_bytes(self.toi_bytes, "big")

    def post_build(self, own: bytes, payload: bytes) -> bytes:
        if self.header_words is None:
            own = own[:2] + bytes([len(own) // 4]) + own[3:]
        return own + payload

    def guess_payload_class(self, payload: bytes) -> type[Packet]:
        del payload
        return _PAYLOAD_ID.get(self.codepoint, Raw)


@dataclass(frozen=True, slots=True)
class Captured:
    """One UDP datagram of a capture. `at_s` is UNIX time."""

    at_s: float
    source: str
    group: str
    port: int
    payload: bytes


class BadCapture(ValueError):  # noqa: N818 - says what was seen
    """A file that is not a capture."""


def read_pcap(path: Path) -> Iterator[Captured]:
    """Every UDP datagram of a pcap or pcapng file, one at a time.

    Raises:
        BadCapture: not a capture, or cut in the middle of its header.
    """
    try:
        with (
            path.open("rb") as file,
            PcapReader(cast("Any", file)) as reader,
        ):  # what scapy opens it leaves open on an error
            for frame in reader:
                if UDP not in frame:
                    continue
                network = frame[IP] if IP in frame else frame[IPv6]
                payload = bytes(frame[UDP].payload)[: max(0, (frame[UDP].len or 8) - 8)]  # without Ethernet's padding
                yield Captured(float(frame.time), network.src, network.dst, frame[UDP].dport, payload)
    except (OSError, Scapy_Exception, EOFError) as error:
        raise BadCapture(f"{path}: {error}") from error


def describe(datagram: bytes) -> dict[str, Any]:
    """What one datagram says, by field, for people and for `dissect -o json`. {"error": …} when it is not LCT."""
    try:
        lct = Lct(datagram)
        extensions = [
            {"name": extension.name, **{k: _shown(v) for k, v in extension.fields.items()}}
            for extension in lct.extensions
        ]
        identity = lct.payload
        said: dict[str, Any] = {"tsi": lct.tsi, "toi": lct.toi, "codepoint": lct.codepoint, "extensions": extensions}
        if lct.version != 1 or not isinstance(identity, tuple(_PAYLOAD_ID.values())):
            return {"error": "not an ALC packet of a code that is known here"}
        return said | {"sbn": identity.sbn, "esi": identity.esi, "symbol_bytes": len(identity.payload)}
    except (
        Scapy_Exception,
        struct.error,
        ValueError,
        TypeError,
        IndexError,
        AttributeError,
    ) as error:  # scapy's own faults on odd bytes
        return {"error": f"not LCT: {error}"}


def _shown(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value
