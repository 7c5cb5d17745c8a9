"""One ALC packet: values in, bytes out, and back.

The layout is fixed on purpose (32-bit CCI, TSI and TOI; no half words): a receiver that accepts one layout can check every
length before it spends a microsecond on crypto. Extensions that we do not know are stepped over, as the standard asks.

    LCT header 16 | EXT_FTI 16 | EXT_FDT 4, TOI 0 only | EXT_CERT 108, TOI 0 and manifests | EXT_AUTH 72 | payload id 4 | symbol

The signature covers the whole packet with the 64 signature bytes set to zero, so no field can be moved to another packet.

Source: RFC 5651 §5 (LCT), RFC 5775 §4 (ALC), RFC 6726 §3.4 (EXT_FDT), RFC 6330 §3 (RaptorQ), RFC 5445 §3 (no code),
RFC 6584 §3 for the idea of EXT_AUTH with a digital signature.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

FDT_TOI: Final = 0
CERTIFICATE_BYTES: Final = 106
KEY_ID_BYTES: Final = 4
SIGNATURE_BYTES: Final = 64

LCT_BYTES: Final = 16
FTI_BYTES: Final = 16
FDT_BYTES: Final = 4
CERT_BYTES: Final = 2 + CERTIFICATE_BYTES
AUTH_BYTES: Final = 8 + SIGNATURE_BYTES
PAYLOAD_ID_BYTES: Final = 4

_VERSION: Final = 0x10  # LCT version 1, 32-bit CCI, no protocol-specific indication
_LAYOUT: Final = 0xA0  # TSI 32 bits, TOI 32 bits, no half words
_CLOSE_FLAGS: Final = 0x03  # close session, close object: unauthenticated hints, not acted upon
_NO_CODE: Final = 0
_RAPTORQ: Final = 6
_HET_AUTH: Final = 1
_HET_CERT: Final = 63  # of our own: RFC 5651 §9 leaves 0 to 63 to LCT; a receiver that does not know it steps over it
_HET_FTI: Final = 64
_HET_FDT: Final = 192
_FIRST_WORD_LONG: Final = 128  # header extension types from here on are one word long and carry no length
_FLUTE_VERSION: Final = 2
_SCHEME: Final = 5  # EXT_AUTH's ASID: agreed out of band, here "Ed25519 over the packet, key named by four bytes"
_HEADER = struct.Struct(">BBBBIII")


class Malformed(ValueError):  # noqa: N818 - says what was seen
    """Bytes that are not a packet of this layout; the text says which check failed. Costs no crypto."""


@dataclass(frozen=True, slots=True)
class RaptorQ:
    """Object transmission information of FEC encoding 6: F bytes in Z blocks of N sub-blocks, symbols of T bytes."""

    transfer_bytes: int
    symbol_bytes: int
    source_blocks: int = 1
    sub_blocks: int = 1
    alignment: int = 8

    @property
    def source_symbols(self) -> int:
        """K, the source symbols of the object."""
        return -(-self.transfer_bytes // self.symbol_bytes)


@dataclass(frozen=True, slots=True)
class NoCode:
    """Object transmission information of FEC encoding 0, which carries the FDT: the symbols are the object, cut."""

    transfer_bytes: int
    symbol_bytes: int
    block_symbols: int = 64

    @property
    def source_symbols(self) -> int:
        return -(-self.transfer_bytes // self.symbol_bytes)


Oti = RaptorQ | NoCode


@dataclass(frozen=True, slots=True)
class Packet:
    """What one datagram says.

    `payload_id` is the FEC payload ID as it stands on the wire: 8 bits of block and 24 of symbol for RaptorQ, 16 and 16
    without code. `auth_at` is where EXT_AUTH begins, None when the packet is unsigned; it is set by `read` only.
    """

    tsi: int
    toi: int
    oti: Oti
    payload_id: int
    symbol: bytes
    fdt_instance: int | None = None
    certificate: bytes | None = None
    auth_at: int | None = None


class Signer(Protocol):
    """Whose packets they are."""

    @property
    def key_id(self) -> bytes:
        """Four bytes by which a receiver finds the public key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """64 bytes of Ed25519 signature."""
        ...


def symbol_bytes(datagram_bytes: int, *, is_signed: bool, has_certificate: bool = False) -> int:
    """The longest symbol, a multiple of 8, that leaves a datagram's UDP payload at `datagram_bytes` or below."""
    overhead = LCT_BYTES + FTI_BYTES + PAYLOAD_ID_BYTES
    overhead += AUTH_BYTES if is_signed else 0
    overhead += CERT_BYTES if has_certificate else 0
    return (datagram_bytes - overhead) // 8 * 8


def write(packet: Packet, signer: Signer | None = None) -> bytes:
    """The datagram, signed when there is a signer.

    Raises:
        Malformed: a field does not fit the layout.
    """
    extensions = _fti(packet.oti)
    if packet.fdt_instance is not None:
        if not 0 <= packet.fdt_instance < 1 << 20:
            raise Malformed(f"FDT instance {packet.fdt_instance} does not fit 20 bits")
        extensions += struct.pack(">I", _HET_FDT << 24 | _FLUTE_VERSION << 20 | packet.fdt_instance)
    if packet.certificate is not None:
        if len(packet.certificate) != CERTIFICATE_BYTES:
            raise Malformed(f"a certificate of {len(packet.certificate)} bytes, not {CERTIFICATE_BYTES}")
        extensions += struct.pack(">BB", _HET_CERT, CERT_BYTES // 4) + packet.certificate
    header_bytes = LCT_BYTES + len(extensions) + (AUTH_BYTES if signer else 0)
    codepoint = _RAPTORQ if isinstance(packet.oti, RaptorQ) else _NO_CODE
    try:
        head = _HEADER.pack(_VERSION, _LAYOUT, header_bytes // 4, codepoint, 0, packet.tsi, packet.toi) + extensions
        tail = struct.pack(">I", packet.payload_id) + packet.symbol
    except struct.error as error:
        raise Malformed(f"TSI, TOI or payload id does not fit 32 bits: {error}") from error
    if not signer:
        return head + tail
    auth = struct.pack(">BBBB", _HET_AUTH, AUTH_BYTES // 4, _SCHEME << 4, 0) + signer.key_id
    return head + auth + signer.sign(head + auth + bytes(SIGNATURE_BYTES) + tail) + tail


def address(datagram: bytes) -> tuple[int, int]:
    """TSI and TOI alone: the cheapest question that tells whether a datagram is of any interest.

    Raises:
        Malformed: too short, or another layout.
    """
    if len(datagram) < LCT_BYTES + PAYLOAD_ID_BYTES:
        raise Malformed("shorter than a header")
    if datagram[0] != _VERSION or datagram[1] & ~_CLOSE_FLAGS != _LAYOUT:
        raise Malformed("another LCT version or layout")
    return int.from_bytes(datagram[8:12], "big"), int.from_bytes(datagram[12:16], "big")


def read(datagram: bytes) -> Packet:
    """What the datagram says, every length checked, no signature looked at.

    Raises:
        Malformed: not a packet of this layout, or it lacks the transmission information.
    """
    tsi, toi = address(datagram)
    header_bytes = datagram[2] * 4
    if header_bytes < LCT_BYTES or header_bytes + PAYLOAD_ID_BYTES > len(datagram):
        raise Malformed("header length does not fit the datagram")
    found: dict[int, tuple[int, int]] = {}
    at = LCT_BYTES
    while at < header_bytes:
        kind = datagram[at]
        size = 4 if kind >= _FIRST_WORD_LONG else datagram[at + 1] * 4
        if size == 0 or at + size > header_bytes:
            raise Malformed("an extension longer than the header")
        if kind in found:
            raise Malformed("an extension twice")
        found[kind] = (at, size)
        at += size
    if _HET_FTI not in found:
        raise Malformed("no transmission information")
    at, size = found[_HET_FTI]
    oti = _read_fti(datagram[3], datagram[at : at + size])
    instance = certificate = auth_at = None
    if _HET_FDT in found:
        at, _ = found[_HET_FDT]
        instance = int.from_bytes(datagram[at + 1 : at + 4], "big") & 0xFFFFF
    if _HET_CERT in found:
        at, size = found[_HET_CERT]
        if size != CERT_BYTES:
            raise Malformed("a certificate of the wrong length")
        certificate = datagram[at + 2 : at + size]
    if _HET_AUTH in found:
        auth_at, size = found[_HET_AUTH]
        if size != AUTH_BYTES or datagram[auth_at + 2] >> 4 != _SCHEME:
            raise Malformed("another kind of authentication")
    if (toi == FDT_TOI) != (instance is not None):
        raise Malformed("TOI 0 and EXT_FDT belong together")
    payload_id = int.from_bytes(datagram[header_bytes : header_bytes + PAYLOAD_ID_BYTES], "big")
    symbol = datagram[header_bytes + PAYLOAD_ID_BYTES :]
    _check_symbol(oti, payload_id, len(symbol))
    return Packet(tsi, toi, oti, payload_id, symbol, instance, certificate, auth_at)


def key_id(datagram: bytes, packet: Packet) -> bytes | None:
    """Which key is said to have signed it."""
    at = packet.auth_at
    return None if at is None else datagram[at + 4 : at + 4 + KEY_ID_BYTES]


def is_signed_by(datagram: bytes, packet: Packet, verify: Callable[[bytes, bytes], bool]) -> bool:
    """Whether `verify(message, signature)` accepts the packet's signature. The dear question: ask it last."""
    if packet.auth_at is None:
        return False
    start = packet.auth_at + 8
    end = start + SIGNATURE_BYTES
    return verify(datagram[:start] + bytes(SIGNATURE_BYTES) + datagram[end:], datagram[start:end])


def _fti(oti: Oti) -> bytes:
    try:
        if isinstance(oti, RaptorQ):
            return (
                struct.pack(">BB", _HET_FTI, FTI_BYTES // 4)
                + oti.transfer_bytes.to_bytes(5, "big")
                + struct.pack(">xHBHBxx", oti.symbol_bytes, oti.source_blocks, oti.sub_blocks, oti.alignment)
            )
        return (
            struct.pack(">BB", _HET_FTI, FTI_BYTES // 4)
            + oti.transfer_bytes.to_bytes(6, "big")
            + struct.pack(">HHI", 0, oti.symbol_bytes, oti.block_symbols)
        )
    except (struct.error, OverflowError) as error:
        raise Malformed(f"transmission information out of range: {error}") from error


@lru_cache(maxsize=256)  # the same 16 bytes stand in every packet of an object
def _read_fti(codepoint: int, extension: bytes) -> Oti:
    if len(extension) != FTI_BYTES:
        raise Malformed("transmission information of the wrong length")
    oti: Oti
    if codepoint == _RAPTORQ:
        size, blocks, sub_blocks, alignment = struct.unpack_from(">HBHB", extension, 8)
        oti = RaptorQ(int.from_bytes(extension[2:7], "big"), size, blocks, sub_blocks, alignment)
    elif codepoint == _NO_CODE:
        size, block_symbols = struct.unpack_from(">HI", extension, 10)
        oti = NoCode(int.from_bytes(extension[2:8], "big"), size, block_symbols)
    else:
        raise Malformed("another FEC encoding than 0 and 6")
    if oti.symbol_bytes == 0 or oti.transfer_bytes == 0:
        raise Malformed("an object or a symbol of no bytes")
    return oti


def _check_symbol(oti: Oti, payload_id: int, length: int) -> None:
    if isinstance(oti, RaptorQ):
        if length != oti.symbol_bytes:
            raise Malformed("a symbol of the wrong length")
        if payload_id >> 24 >= oti.source_blocks:
            raise Malformed("a block that the object does not have")
        return
    index = payload_id & 0xFFFF
    if payload_id >> 16 or index >= min(oti.source_symbols, oti.block_symbols):
        raise Malformed("a symbol that the object does not have")
    is_last = index == oti.source_symbols - 1
    if length != (oti.transfer_bytes - index * oti.symbol_bytes if is_last else oti.symbol_bytes):
        raise Malformed("a symbol of the wrong length")
