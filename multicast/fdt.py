"""The File Delivery Table: what FLUTE receivers of any make read to learn which file an object is.

It is written for them; our own receiver, when it verifies, goes by the signed manifest and does not look here. Whoever
reads it reads hostile bytes: at most 64 KB, no DTD, no entities, no compression, at most 64 files, shallow.

Source: RFC 6726 §3.2 (FDT Instance), §3.4.2 (syntax), §5 (attributes); RFC 2616 §14.15 (Content-MD5).
"""

import base64
import binascii
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from urllib.parse import quote, unquote
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from multicast import packet

MAX_FDT_BYTES: Final = 65_536
MAX_FILES: Final = 64

_NAMESPACE: Final = "urn:IETF:metadata:2005:FLUTE:FDT"
_NTP_EPOCH_S: Final = 2_208_988_800  # seconds from 1900 to 1970
_MAX_TEXT: Final = 1024
_MAX_DEPTH: Final = 8
_MAX_INSTANCES: Final = 4
_LEAST_SYMBOL_BYTES: Final = 64  # or 64 KB would be 65,536 packets to keep
_MD5_BYTES: Final = 16


class BadFdt(ValueError):  # noqa: N818 - says what was seen
    """Not a table that we read; the text says why."""


@dataclass(frozen=True, slots=True)
class File:
    """One line of the table. `location` is what the sender calls it, never a path of ours; a URI reference on the wire."""

    toi: int
    location: str
    media_type: str
    length: int
    md5: bytes | None = None


@dataclass(frozen=True, slots=True)
class Fdt:
    """One FDT instance. `is_full`: it names all files there are, so what it does not name is gone."""

    expires_s: int
    files: tuple[File, ...]
    is_full: bool = True


def write(fdt: Fdt) -> bytes:
    """The instance as XML.

    Raises:
        BadFdt: too many files, or longer than 64 KB.
    """
    if len(fdt.files) > MAX_FILES:
        raise BadFdt(f"{len(fdt.files)} files; accepted are {MAX_FILES}")
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<FDT-Instance xmlns="{_NAMESPACE}" Expires="{fdt.expires_s + _NTP_EPOCH_S}"'
        + (' FullFDT="true">' if fdt.is_full else ">"),
    ]
    for file in fdt.files:
        digest = f' Content-MD5="{base64.b64encode(file.md5).decode()}"' if file.md5 else ""
        lines.append(
            f'<File TOI="{file.toi}" Content-Location={quoteattr(quote(file.location))} Content-Type={quoteattr(file.media_type)}'
            f' Content-Length="{file.length}" Transfer-Length="{file.length}"{digest}/>'
        )
    lines.append("</FDT-Instance>")
    data = "\n".join(lines).encode()
    if len(data) > MAX_FDT_BYTES:
        raise BadFdt(f"{len(data):,} bytes; accepted are {MAX_FDT_BYTES:,}")
    return data


def read(data: bytes) -> Fdt:
    """An instance from the wire.

    Raises:
        BadFdt: too long, not well formed, a DTD, an encoding or compression, values that are not what they should be.
    """
    if len(data) > MAX_FDT_BYTES:
        raise BadFdt(f"{len(data):,} bytes; accepted are {MAX_FDT_BYTES:,}")
    reader = _Reader()
    parser = expat.ParserCreate("UTF-8", namespace_separator="}")
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = reader.refuse_dtd
    parser.EntityDeclHandler = reader.refuse_dtd
    try:
        parser.Parse(data, True)  # noqa: FBT003 - expat takes it by position
    except expat.ExpatError as error:
        raise BadFdt(f"not well formed: {error}") from error
    if reader.expires_s is None:
        raise BadFdt("no FDT-Instance with Expires")
    return Fdt(reader.expires_s, tuple(reader.files.values()), reader.is_full)


class Assembly:
    """FDT instances in progress: at most four of at most 64 KB. The newest instance read is not read again."""

    def __init__(self) -> None:
        self._parts: OrderedDict[int, tuple[packet.NoCode, dict[int, bytes]]] = OrderedDict()
        self._last: int | None = None

    def take(self, part: packet.Packet) -> Fdt | None:
        """The table once it is whole.

        Raises:
            BadFdt: too long, contradictory, or not a table that we read.
        """
        oti, instance = part.oti, part.fdt_instance
        if instance is None or instance == self._last:
            return None
        if (
            not isinstance(oti, packet.NoCode)
            or oti.transfer_bytes > MAX_FDT_BYTES
            or oti.symbol_bytes < _LEAST_SYMBOL_BYTES
        ):
            raise BadFdt("too long, or coded")
        if oti.source_symbols > oti.block_symbols:
            raise BadFdt("more than one block")
        known, parts = self._parts.setdefault(instance, (oti, {}))
        if known != oti:
            raise BadFdt("contradicts what came before")
        parts[part.payload_id] = part.symbol
        self._parts.move_to_end(instance)
        while len(self._parts) > _MAX_INSTANCES:
            self._parts.popitem(last=False)
        if len(parts) < oti.source_symbols:
            return None
        del self._parts[instance]
        table = read(b"".join(parts[number] for number in range(oti.source_symbols)))
        self._last = instance
        return table


class _Reader:
    def __init__(self) -> None:
        self.files: dict[int, File] = {}
        self.expires_s: int | None = None
        self.is_full = False
        self._depth = 0

    def refuse_dtd(self, *_: Any) -> NoReturn:
        raise BadFdt("a document type is not accepted")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise BadFdt("nested too deep")
        local = name.rpartition("}")[2]
        if self._depth == 1:
            if local != "FDT-Instance":
                raise BadFdt(f"the root is {local[:40]}, not FDT-Instance")
            self.expires_s = max(0, _number(attributes, "Expires") - _NTP_EPOCH_S)
            self.is_full = attributes.get("FullFDT") in {"true", "1"}
            _refuse_encoding(attributes)
        elif self._depth == 2 and local == "File":
            if len(self.files) >= MAX_FILES:
                raise BadFdt(f"more than {MAX_FILES} files")
            file = _file(attributes)
            self.files[file.toi] = file

    def end(self, _name: str) -> None:
        self._depth -= 1


def _file(attributes: dict[str, str]) -> File:
    _refuse_encoding(attributes)
    toi = _number(attributes, "TOI")
    if not 0 < toi < 1 << 32:
        raise BadFdt("TOI: accepted are 1 to 4294967295")
    location = attributes.get("Content-Location", "")
    media_type = attributes.get("Content-Type", "application/octet-stream")
    if len(location) > _MAX_TEXT or len(media_type) > _MAX_TEXT:
        raise BadFdt("a text too long")
    length = _number(attributes, "Transfer-Length" if "Transfer-Length" in attributes else "Content-Length")
    if "Content-Length" in attributes and _number(attributes, "Content-Length") != length:
        raise BadFdt("Content-Length and Transfer-Length differ, which only an encoding explains")
    return File(toi, unquote(location), media_type, length, _md5(attributes.get("Content-MD5")))


def _refuse_encoding(attributes: dict[str, str]) -> None:
    if attributes.get("Content-Encoding", "null") not in {"null", "identity", ""}:
        raise BadFdt("a content encoding is not accepted")


def _number(attributes: dict[str, str], name: str) -> int:
    text = attributes.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise BadFdt(f"{name}: a number of at most 15 digits is accepted")
    return int(text)


def _md5(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadFdt("Content-MD5: not base64") from error
    if len(value) != _MD5_BYTES:
        raise BadFdt("Content-MD5: not 16 bytes")
    return value
