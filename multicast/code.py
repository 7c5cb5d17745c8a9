"""RaptorQ, behind its one door: an object becomes symbols of which any K (rarely one or two more) give it back.

The library panics on lengths that do not fit, so everything is checked here before it sees a byte. Objects are at most
10,000,000 bytes: then the library's own rule (10 MiB of decoder memory) always comes to one block and one sub-block, and
the parameters on the wire can be compared instead of trusted.

Source: RFC 6330 §4.3 (derivation of Z and N), §5.6 (K' table, whose steps in this range are below 4 %).
"""

from collections.abc import Mapping
from typing import Final

import raptorq

from multicast.packet import RaptorQ

MAX_OBJECT_BYTES: Final = 10_000_000
MIN_SYMBOL_BYTES: Final = 64
MAX_SYMBOL_BYTES: Final = 1432
MAX_SOURCE_SYMBOLS: Final = 56_403
MOST_EXTRA_SYMBOLS: Final = 16
"""K symbols decode 99 times in 100 and each further one divides the rest by 100: needing more than this is an attack."""

_EXPANSION: Final = 3
_FEWEST_REPAIR: Final = 8


class Unencodable(ValueError):  # noqa: N818 - says what was seen
    """An object or symbol size outside what the code takes; the text says which and what is accepted."""


def parameters(transfer_bytes: int, symbol_bytes: int) -> RaptorQ:
    """What both ends derive from F and T.

    Raises:
        Unencodable: F or T is out of range.
    """
    if not 0 < transfer_bytes <= MAX_OBJECT_BYTES:
        raise Unencodable(f"an object of {transfer_bytes:,} bytes; accepted are 1 to {MAX_OBJECT_BYTES:,}")
    if not MIN_SYMBOL_BYTES <= symbol_bytes <= MAX_SYMBOL_BYTES or symbol_bytes % 8:
        raise Unencodable(
            f"symbols of {symbol_bytes} bytes; accepted are multiples of 8 from {MIN_SYMBOL_BYTES} to {MAX_SYMBOL_BYTES}"
        )
    oti = RaptorQ(transfer_bytes, symbol_bytes)
    if oti.source_symbols > MAX_SOURCE_SYMBOLS:
        raise Unencodable(
            f"{oti.source_symbols:,} symbols; accepted are {MAX_SOURCE_SYMBOLS:,}: make the symbols longer"
        )
    return oti


def is_ours(oti: RaptorQ) -> bool:
    """Whether these parameters are the ones that `parameters` gives: others are refused before the decoder sees them."""
    try:
        return parameters(oti.transfer_bytes, oti.symbol_bytes) == oti
    except Unencodable:
        return False


def encode(content: bytes, symbol_bytes: int) -> tuple[RaptorQ, tuple[bytes, ...]]:
    """3 × K distinct symbols, the K source symbols first, each after the four bytes of its payload ID.

    Takes 20 ms a megabyte and holds the interpreter lock: objects above a megabyte belong in another process.

    Raises:
        Unencodable: the object is empty or too long.
    """
    oti = parameters(len(content), symbol_bytes)
    repair = max((_EXPANSION - 1) * oti.source_symbols, _FEWEST_REPAIR)
    encoder = raptorq.Encoder.with_defaults(content, symbol_bytes)
    return oti, tuple(map(bytes, encoder.get_encoded_packets(repair)))


def decode(oti: RaptorQ, symbols: Mapping[int, bytes]) -> bytes | None:
    """The object from its symbols by encoding symbol number, or None when these are not yet enough.

    Raises:
        Unencodable: parameters that are not ours, or a symbol of the wrong length.
    """
    if not is_ours(oti) or any(len(symbol) != oti.symbol_bytes for symbol in symbols.values()):
        raise Unencodable("parameters or symbols that this code cannot have made")
    count = oti.source_symbols
    if len(symbols) < count:
        return None
    if all(number in symbols for number in range(count)):
        return b"".join(symbols[number] for number in range(count))[: oti.transfer_bytes]
    decoder = raptorq.Decoder.with_defaults(oti.transfer_bytes, oti.symbol_bytes)
    for number, symbol in symbols.items():
        content = decoder.decode(number.to_bytes(4, "big") + symbol)
        if content is not None:
            return bytes(content)
    return None
