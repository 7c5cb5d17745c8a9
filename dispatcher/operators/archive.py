"""A backup is a plain tar: the manifest first, then each member that it names, with its SHA-256, and nothing else.

Plain, so that it can be looked into with `tar` alone on the day when nothing else works. What is read from one is checked
against the manifest byte by byte, and is never unpacked by its own names: restore.py decides where anything goes.

Source: POSIX.1-2001 pax interchange format; FIPS 180-4.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dispatcher.errors import Refused

MANIFEST = "manifest.json"
LARGEST_MANIFEST_BYTES = 50_000_000
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    size: int
    sha256: str
    mode: int
    """Who may read it: the permission bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the backup is of, and what is in it."""

    todoke: str
    made_at: str
    mode: str
    node: str
    engine: str
    schema: str
    chains: Mapping[str, Sequence[Any]]
    """Node → how many events, and the last one's hash."""
    open_deliveries: int
    """Not yet settled when the backup was made."""
    has_keys: bool
    left_out: Sequence[str] = field(default_factory=tuple)
    """Files that belong to the site and are not here."""
    members: Sequence[Member] = field(default_factory=tuple)
    format: int = 1


def write(file: Path, manifest: Manifest, sources: Mapping[str, Path]) -> None:
    """The archive, whole or not at all, for its owner alone. `sources` has the file of each of the manifest's members.

    Raises:
        OSError: it could not be written; nothing stands there.
    """
    part = file.with_name(file.name + ".part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as raw:
            with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
                text = json.dumps(asdict(manifest), ensure_ascii=False, indent=1).encode()
                tar.addfile(_entry(MANIFEST, len(text)), io.BytesIO(text))
                for member in manifest.members:
                    with sources[member.name].open("rb") as source:
                        tar.addfile(_entry(member.name, member.size), source)
            raw.flush()
            os.fsync(raw.fileno())
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry


def member_of(name: str, source: Path) -> Member:
    """The member that this file would be."""
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return Member(name, size, digest.hexdigest(), source.stat().st_mode & 0o777)


def unpack(file: Path, into: Path) -> tuple[Manifest, Mapping[str, Path]]:
    """The manifest, and each member as a numbered file in the folder `into`, all of them verified.

    Raises:
        Refused: it is no backup, or not a whole one; every difference is named.
    """
    try:
        with tarfile.open(file, mode="r:") as tar:
            return _unpack(tar, into)
    except tarfile.TarError as error:
        raise Refused(f"{file}: 控えとして読めません (no backup): {error}") from error


def _unpack(tar: tarfile.TarFile, into: Path) -> tuple[Manifest, Mapping[str, Path]]:
    entries = iter(tar)
    first = next(entries, None)
    if first is None or first.name != MANIFEST or not first.isreg() or first.size > LARGEST_MANIFEST_BYTES:
        raise Refused(f"控えではありません。最初に {MANIFEST} がありません (no backup: no manifest)")
    manifest = _manifest(_content(tar, first).read(LARGEST_MANIFEST_BYTES))
    named = {member.name: member for member in manifest.members}
    files: dict[str, Path] = {}
    wrong: list[str] = []
    for number, entry in enumerate(entries):
        expected = named.get(entry.name)
        if expected is None or entry.name in files or not entry.isreg():
            wrong.append(f"{entry.name[:200]!r}: 目録にありません (not in the manifest)")
            continue
        files[entry.name] = into / str(number)
        size, digest = _copy(_content(tar, entry), files[entry.name], expected.size)
        if (size, entry.size, digest) != (expected.size, expected.size, expected.sha256):
            wrong.append(f"{entry.name}: 目録と違います (altered: SHA-256 {digest[:16]}…)")
            continue
        files[entry.name].chmod(expected.mode & 0o777)
    wrong += [f"{name}: ありません (missing)" for name in named.keys() - files.keys()]
    if wrong:
        raise Refused(
            "控えが壊れています。何も戻していません (damaged, nothing was restored)\n" + "\n".join(wrong[:50])
        )
    return manifest, files


def _content(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> Any:
    return tar.extractfile(entry) or io.BytesIO()


def _copy(source: Any, to: Path, most: int) -> tuple[int, str]:
    """Size and SHA-256 of what was copied, which is never more than `most` bytes and one."""
    digest, size = hashlib.sha256(), 0
    with open(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 - mode from the first byte on
        for chunk in _chunks(source, most + 1):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def _chunks(source: Any, most: int) -> Iterator[bytes]:
    while most > 0 and (chunk := source.read(min(CHUNK_BYTES, most))):
        most -= len(chunk)
        yield chunk


def _manifest(text: bytes) -> Manifest:
    try:
        values = json.loads(text)
        members = tuple(
            Member(str(m["name"]), int(m["size"]), str(m["sha256"]), int(m["mode"])) for m in values.pop("members")
        )
        manifest = Manifest(**values, members=members)
        chains = {str(node): (int(length), str(last)) for node, (length, last) in manifest.chains.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Refused(f"控えの目録が読めません (unreadable manifest): {error}") from error
    if manifest.format != 1:
        raise Refused(f"控えの形式 {manifest.format} はわかりません (unknown format; 1 is known)")
    return Manifest(**{**{f: getattr(manifest, f) for f in Manifest.__slots__}, "chains": chains})
