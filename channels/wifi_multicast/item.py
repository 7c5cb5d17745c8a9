"""What is on the air: one message with its files, kept on the disk for as long as it holds, so that a restart goes on with it.

Source: facts.md §Wi-Fi multicast; style.md (write, fsync, rename).
"""

import base64
import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from dispatcher.log import logger
from dispatcher.model.alert import Alert
from dispatcher.model.rendering import Part, Rendering

AIR = "air.json"
"""The part of a rendering that goes on no air: what its announcement says."""
PAGE = "index.html"
"""The file that says everything by itself."""

log = logger(__name__)


@dataclass(frozen=True)
class Announcement:
    """What the signed manifest says of the message, and which earlier ones it replaces."""

    identifier: str
    severity: str
    areas: tuple[str, ...]
    expires: str
    replaces: tuple[str, ...]

    @classmethod
    def of(cls, alert: Alert[Any], expires: datetime) -> "Announcement":
        return cls(
            alert.identifier,
            alert.info[0].severity,
            alert.quarters,
            expires.isoformat(),
            tuple(reference.identifier for reference in alert.references),
        )

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Announcement":
        said = json.loads(data)
        return cls(said["identifier"], said["severity"], tuple(said["areas"]), said["expires"], tuple(said["replaces"]))


@dataclass(frozen=True)
class Item:
    """An announcement with its files."""

    said: Announcement
    status: str
    files: tuple[Part, ...]

    @classmethod
    def of(cls, rendering: Rendering[Any]) -> "Item":
        files = tuple(part for part in rendering.parts if part.name != AIR)
        return cls(Announcement.from_bytes(rendering.part(AIR)), rendering.status, files)

    @cached_property
    def digests(self) -> frozenset[str]:
        """SHA-256 of each file: what a station must hold."""
        return frozenset(hashlib.sha256(part.data).hexdigest() for part in self.files)

    @property
    def page_alone(self) -> "Item":
        """The same, told by its page only."""
        return replace(self, files=tuple(part for part in self.files if part.name == PAGE))

    @property
    def expires(self) -> datetime:
        return datetime.fromisoformat(self.said.expires)

    def to_bytes(self) -> bytes:
        files = [[p.name, p.media_type, base64.b64encode(p.data).decode()] for p in self.files]
        return json.dumps({"said": asdict(self.said), "status": self.status, "files": files}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Item":
        kept = json.loads(data)
        files = tuple(Part(name, kind, base64.b64decode(body)) for name, kind, body in kept["files"])
        return cls(Announcement.from_bytes(json.dumps(kept["said"]).encode()), kept["status"], files)


class Shelf:
    """The items on the disk. Blocks: call it in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "on_air"

    def put(self, item: Item) -> None:
        """Whole or not at all, and durable on return."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(item.said.identifier)
        draft = path.with_suffix(".part")
        with draft.open("wb") as file:
            file.write(item.to_bytes())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    def drop(self, identifier: str) -> None:
        self._path(identifier).unlink(missing_ok=True)

    def read(self) -> list[Item]:
        """Everything kept; a damaged file is named in the log and keeps nothing else from the air."""
        kept = []
        for path in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else ():
            try:
                kept.append(Item.from_bytes(path.read_bytes()))
            except (ValueError, KeyError, TypeError, OSError) as error:
                log.warning("channel.failed", channel="wifi_multicast", reason=f"{path.name}: {type(error).__name__}")
        return kept

    def _path(self, identifier: str) -> Path:
        return self._folder / f"{hashlib.sha256(identifier.encode()).hexdigest()[:32]}.json"
