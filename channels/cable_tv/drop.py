"""One operator's folder: messages put there whole, answers read from it, old ones withdrawn. Blocking; called in threads.

A message is written to a hidden folder and renamed, then its manifest is written beside it and renamed: whoever takes nothing
before the manifest never sees half of it. What became of a drop is kept in the channel's own state folder, so that a crash, or an
operator who tidies up, does not make us ask twice. The root folder is never created here: where a network share is not
mounted, writing would succeed and nobody would see it.

Source: FORMAT.md; rename(2) (atomic within a file system).
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from channels.cable_tv.forms import FORMAT

LARGEST_ANSWER = 64 * 1024
"""Bytes of a file of the operator's that are read."""


class Confirm(StrEnum):
    """How the operator's side says that it has a message."""

    RECEIPT = "receipt"
    REMOVED = "removed"


class Fate(StrEnum):
    """What is known of one drop."""

    ABSENT = "absent"
    WAITING = "waiting"
    """Put there whole, not answered."""
    TAKEN = "taken"
    REFUSED = "refused"
    CONTRADICTED = "contradicted"
    """Answered with the digest of something else."""
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Standing:
    """A drop's fate, with the operator's own words where there are any."""

    fate: Fate
    words: str = ""


class Drop:
    """The folder `root` of one operator, and `state`, a folder of ours that remembers."""

    def __init__(self, root: Path, state: Path, confirm: Confirm) -> None:
        self._root = root
        self._state = state
        self._confirm = confirm

    def put(self, name: str, files: Mapping[str, bytes], manifest: bytes) -> None:
        """Place a message whole, or not at all.

        Raises:
            OSError: nothing was placed.
        """
        part, folder = self._root / f".{name}.part", self._root / name
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir()
            for file, data in files.items():
                _write(part / file, data)
            shutil.rmtree(folder, ignore_errors=True)  # left by a crash before its manifest was there
            (self._root / f"{name}.ok").unlink(missing_ok=True)
            part.rename(folder)
            _write(self._root / f".{name}.manifest.part", manifest)
            (self._root / f".{name}.manifest.part").rename(self._manifest(name))
        except OSError:
            shutil.rmtree(part, ignore_errors=True)
            (self._root / f".{name}.manifest.part").unlink(missing_ok=True)
            raise
        self._remember(name, Fate.WAITING)

    def standing(self, name: str, manifest: bytes) -> Standing:
        """What is known of a drop now.

        Raises:
            OSError: the folder cannot be read.
        """
        known = self._known(name)
        if known in {Fate.TAKEN, Fate.WITHDRAWN}:
            return Standing(known)
        if not self._root.is_dir():
            raise FileNotFoundError(2, "フォルダがありません", str(self._root))
        refusal = _read(self._root / f"{name}.ng")
        if refusal is not None:
            return Standing(Fate.REFUSED, " ".join(refusal.split())[:300])
        is_there = self._manifest(name).exists()
        if self._confirm is Confirm.RECEIPT:
            receipt = _read(self._root / f"{name}.ok")
            if receipt is None:
                return Standing(Fate.WAITING if is_there else Fate.ABSENT)
            digest = receipt.strip().lower()
            if digest and digest != sha256(manifest).hexdigest():
                return Standing(Fate.CONTRADICTED, receipt.strip()[:80])
        elif is_there or known is None:
            return Standing(Fate.WAITING if is_there else Fate.ABSENT)
        self._remember(name, Fate.TAKEN)
        return Standing(Fate.TAKEN)

    def withdraw(self, identifiers: Sequence[str], now: datetime, keep: str) -> None:
        """Remove the messages that are replaced, and all but `keep` that have expired.

        The manifest goes first, so that nobody begins to take one.

        Raises:
            OSError: the folder cannot be written.
        """
        for path, body in self._manifests():
            name = str(body["name"])
            if name != keep and (body["identifier"] in identifiers or _has_expired(body, now)):
                self._remember(name, Fate.WITHDRAWN)
                path.unlink(missing_ok=True)
                (self._root / f"{name}.ok").unlink(missing_ok=True)
        for ours in self._state.glob("[!.]*"):  # what the operator's side has copied, or nobody may take any more
            folder = self._root / ours.name
            if (
                folder.is_dir()
                and not self._manifest(ours.name).exists()
                and self._known(ours.name) is not Fate.WAITING
            ):
                shutil.rmtree(folder, ignore_errors=True)

    def check(self) -> str | None:
        """Why nothing can be put here, or None; writes an empty file and removes it."""
        try:
            if not self._root.is_dir():
                return "フォルダがありません"
            trial = self._root / ".todoke-probe"
            _write(trial, b"")
            trial.unlink()
        except OSError as failure:
            return failure.strerror or type(failure).__name__
        return None

    def _manifest(self, name: str) -> Path:
        return self._root / f"{name}.manifest.json"

    def _manifests(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Our own manifests in the folder; what others put there is left alone."""
        for path in sorted(self._root.glob("*.manifest.json")):
            with suppress(ValueError, LookupError, TypeError, RecursionError):
                body = json.loads(_read(path) or "")
                if body["format"] == FORMAT and path == self._manifest(body["name"]):
                    yield path, body

    def _known(self, name: str) -> Fate | None:
        text = _read(self._state / name)
        return Fate(text) if text in set(Fate) else None

    def _remember(self, name: str, fate: Fate) -> None:
        self._state.mkdir(parents=True, exist_ok=True)
        fresh = self._state / f".{name}"
        _write(fresh, fate.encode())
        fresh.replace(self._state / name)


def _has_expired(manifest: Mapping[str, Any], now: datetime) -> bool:
    try:
        return datetime.fromisoformat(manifest["expires"]) <= now
    except (LookupError, TypeError, ValueError):  # no end, or not one that we wrote
        return False


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> str | None:
    """The text of a small file; None where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_ANSWER).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
