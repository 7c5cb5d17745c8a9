r"""The signed manifest: which notices hold now, what belongs to each, and what has been withdrawn.

Packets are signed one by one, but a packet proves only that the sender once sent it. The manifest says what is *current*:
its sequence only grows, so a recording of last year's order is refused, and it binds each object to a length and a
SHA-256, so nothing is shown that the sender did not mean now. It is kept as it came, signature and all, so that whoever
got it (a station, a phone behind it) can check it again.

    todoke-manifest 1 \n base64(certificate) or nothing \n base64(signature) \n JSON

Source: facts.md §Wi-Fi multicast "Authentication"; CAP 1.2 §3.2.1 (status), §3.2.2 (severity).
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from multicast.code import MAX_OBJECT_BYTES
from multicast.keys import STATUSES, SenderKey, Status, Trust, key_id_of, read_certificate

MAX_MANIFEST_BYTES: Final = 65_536
MAX_OBJECTS: Final = 63  # the FDT names 64, one of them the manifest
MAX_CANCELS: Final = 64
MEDIA_TYPE: Final = "application/vnd.todoke.manifest"
SEVERITIES: Final = ("Extreme", "Severe", "Moderate", "Minor", "Unknown")

_MAGIC: Final = b"todoke-manifest 1\n"
_MAX_TEXT: Final = 256
_MAX_AREAS: Final = 200
_MAX_UNPACKED_BYTES: Final = 100_000_000
_SHA256_HEX: Final = 64


class BadManifest(ValueError):  # noqa: N818 - says what was seen
    """Not a manifest, or one that is not believed; the text says why."""


class Full(BadManifest):
    """More than one manifest names; with less, it is written."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a notice. `name` is what the sender calls it, never a path. `unpacked_bytes` is the length unless zipped."""

    toi: int
    name: str
    media_type: str
    length: int
    sha256: str
    unpacked_bytes: int


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert as the group carries it. `entries` is filled in by the carousel, which gives each object its TOI.

    `severity` is CAP's word; `areas` are codes or names of where it holds, in the sender's own terms.
    """

    identifier: str
    severity: str
    areas: tuple[str, ...]
    expires: datetime
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that holds on one session (`tsi`) as of `issued`. `cancels` are identifiers of notices withdrawn: hide them."""

    status: Status
    tsi: int
    sequence: int
    issued: datetime
    expires: datetime
    notices: tuple[Notice, ...]
    cancels: tuple[str, ...] = ()

    @property
    def entries(self) -> Mapping[int, tuple[Notice, Entry]]:
        """Every object by its TOI, with the notice that it belongs to."""
        return {entry.toi: (notice, entry) for notice in self.notices for entry in notice.entries}


def is_manifest(content: bytes) -> bool:
    """Whether an object says that it is one. A manifest must be found before anything that could name it is believed."""
    return content.startswith(_MAGIC)


def write(manifest: Manifest, key: SenderKey) -> bytes:
    """The manifest, signed.

    Raises:
        Full: too many objects, or too long.
        BadManifest: the key is for another status, or a value is outside what `read` accepts.
    """
    if manifest.status != key.status:
        raise BadManifest(f"a key for {key.status} does not sign what is {manifest.status}")
    if (count := sum(len(notice.entries) for notice in manifest.notices)) > MAX_OBJECTS:
        raise Full(f"{count} objects; accepted are {MAX_OBJECTS}")
    body = json.dumps(_plain(manifest), ensure_ascii=False, separators=(",", ":")).encode()
    _manifest(json.loads(body))
    certificate = base64.b64encode(key.certificate.write()) if key.certificate else b""
    signature = base64.b64encode(key.sign(_MAGIC + body))
    data = b"".join((_MAGIC, certificate, b"\n", signature, b"\n", body))
    if len(data) > MAX_MANIFEST_BYTES:
        raise Full(f"{len(data):,} bytes; accepted are {MAX_MANIFEST_BYTES:,}")
    return data


def read(data: bytes, trust: Trust, now_s: float) -> Manifest:
    """A manifest whose signature is believed at `now_s` (UNIX seconds) and which has not expired.

    Whether its sequence is newer than the last is for the caller, who remembers the last.

    Raises:
        BadManifest: forged, expired, of another status than its key, or not a manifest.
    """
    if len(data) > MAX_MANIFEST_BYTES or not data.startswith(_MAGIC):
        raise BadManifest("not a manifest")
    certificate, _, rest = data[len(_MAGIC) :].partition(b"\n")
    signature, _, body = rest.partition(b"\n")
    status = _verified_status(certificate, signature, body, trust, now_s)
    try:
        manifest = _manifest(json.loads(body))
    except (ValueError, RecursionError, OverflowError) as error:
        raise BadManifest(f"not a manifest: {error}") from error
    if status is not None and manifest.status != status:
        raise BadManifest(f"a key for {status} signed what says {manifest.status}")
    if manifest.expires.timestamp() <= now_s:
        raise BadManifest(f"expired {manifest.expires.isoformat()}")
    return manifest


def _verified_status(certificate: bytes, signature: bytes, body: bytes, trust: Trust, now_s: float) -> Status | None:
    try:
        seal = base64.b64decode(signature, validate=True)
        raw = base64.b64decode(certificate, validate=True)
        key_id = key_id_of(read_certificate(raw).public) if raw else None
    except (binascii.Error, ValueError) as error:
        raise BadManifest(f"not a manifest: {error}") from error
    senders = [trust.sender(key_id, now_s) or trust.admit(raw, now_s)] if key_id else trust.senders(now_s)
    for sender in senders:
        if sender and sender.verify(_MAGIC + body, seal):
            return sender.status
    raise BadManifest("signed by nobody whom this receiver believes")


def _plain(manifest: Manifest) -> dict[str, Any]:
    return {
        "status": manifest.status,
        "tsi": manifest.tsi,
        "sequence": manifest.sequence,
        "issued": manifest.issued.isoformat(),
        "expires": manifest.expires.isoformat(),
        "notices": [
            {
                "identifier": notice.identifier,
                "severity": notice.severity,
                "areas": list(notice.areas),
                "expires": notice.expires.isoformat(),
                "objects": [
                    {
                        "toi": entry.toi,
                        "name": entry.name,
                        "type": entry.media_type,
                        "length": entry.length,
                        "sha256": entry.sha256,
                        "unpacked": entry.unpacked_bytes,
                    }
                    for entry in notice.entries
                ],
            }
            for notice in manifest.notices
        ],
        "cancels": list(manifest.cancels),
    }


def _manifest(values: Any) -> Manifest:
    fields = _Fields(values, "manifest")
    manifest = Manifest(
        status=fields.one_of("status", STATUSES),
        tsi=fields.number("tsi", 0, (1 << 32) - 1),
        sequence=fields.number("sequence", 1, (1 << 63) - 1),
        issued=fields.moment("issued"),
        expires=fields.moment("expires"),
        notices=tuple(_notice(value) for value in fields.items("notices", MAX_OBJECTS)),
        cancels=fields.texts("cancels", MAX_CANCELS),
    )
    objects = [entry for notice in manifest.notices for entry in notice.entries]
    if len(objects) > MAX_OBJECTS or len({entry.toi for entry in objects}) != len(objects):
        raise BadManifest(f"objects: at most {MAX_OBJECTS}, each with a TOI of its own, are accepted")
    return manifest


def _notice(values: Any) -> Notice:
    fields = _Fields(values, "notice")
    return Notice(
        identifier=fields.text("identifier"),
        severity=fields.one_of("severity", SEVERITIES),
        areas=fields.texts("areas", _MAX_AREAS),
        expires=fields.moment("expires"),
        entries=tuple(_entry(value) for value in fields.items("objects", MAX_OBJECTS)),
    )


def _entry(values: Any) -> Entry:
    fields = _Fields(values, "object")
    digest = fields.text("sha256")
    if len(digest) != _SHA256_HEX or set(digest) - set("0123456789abcdef"):
        raise BadManifest("object.sha256: 64 hexadecimal digits are accepted")
    return Entry(
        toi=fields.number("toi", 1, (1 << 32) - 1),
        name=fields.text("name"),
        media_type=fields.text("type"),
        length=fields.number("length", 1, MAX_OBJECT_BYTES),
        sha256=digest,
        unpacked_bytes=fields.number("unpacked", 0, _MAX_UNPACKED_BYTES),
    )


class _Fields:
    """The values of one JSON object, each asked for by name and kind."""

    def __init__(self, values: Any, what: str) -> None:
        if not isinstance(values, dict):
            raise BadManifest(f"{what}: an object is accepted")
        self._values = values
        self._what = what

    def number(self, name: str, least: int, most: int) -> int:
        value = self._values.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise BadManifest(f"{self._what}.{name}: a number from {least} to {most} is accepted")
        return value

    def text(self, name: str) -> str:
        return _text(self._values.get(name), f"{self._what}.{name}")

    def texts(self, name: str, most: int) -> tuple[str, ...]:
        return tuple(_text(value, f"{self._what}.{name}") for value in self.items(name, most))

    def one_of(self, name: str, accepted: tuple[Any, ...]) -> Any:
        value = self._values.get(name)
        if value not in accepted:
            raise BadManifest(f"{self._what}.{name}: accepted are {', '.join(accepted)}")
        return value

    def items(self, name: str, most: int) -> list[Any]:
        value = self._values.get(name)
        if not isinstance(value, list) or len(value) > most:
            raise BadManifest(f"{self._what}.{name}: a list of at most {most} is accepted")
        return value

    def moment(self, name: str) -> datetime:
        value = datetime.fromisoformat(self.text(name))
        if value.tzinfo is None:
            raise BadManifest(f"{self._what}.{name}: a time with its offset is accepted")
        return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT or not value.isprintable():
        raise BadManifest(f"{where}: 1 to {_MAX_TEXT} printable characters are accepted")
    return value
