"""A station's monitoring receiver: it verifies what is on the air there as a phone's relay would, keeps it, and says so.

It reports all of its state when something changed and at every interval, so that the sender knows both what people at the
station can have and that the station still listens.

Source: design.md §3 "taken"; facts.md §Wi-Fi multicast.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from multicast import memory, report, udp
from multicast.manifest import Manifest
from multicast.reassembly import Announced, Cancelled, Delivered, Event, Reassembly
from multicast.receiver import open_receiver, safe_name, save
from multicast.report import Report

REPORT_EVERY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that happened at the station: `announced`, `shown` (a notice is whole) or `hidden`."""

    at: str
    what: str
    identifier: str
    files: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Monitor:
    """One receiver of one station. `url` is where its reports go; `folder` is where it keeps what it has verified."""

    endpoint: udp.Endpoint
    reassembly: Reassembly
    url: str
    secret: str = field(repr=False)
    folder: Path
    report_every_s: float = REPORT_EVERY_S
    wall: Callable[[], float] = time.time
    seen: list[Seen] = field(default_factory=list)
    manifest: Manifest | None = None
    say: Callable[[str], None] = lambda _words: None
    trouble: str = ""
    """Why the last report did not get through; empty when it did."""

    def __post_init__(self) -> None:
        self._files: dict[str, str] = {}
        self._shown: set[str] = set()
        self._hidden: set[str] = set()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Listen and report until cancelled.

        Raises:
            udp.BadEndpoint: the group cannot be joined.
            OSError: the disk took nothing. Start it again: what is on the air comes round.
        """
        failure: OSError | None = None
        async with open_receiver(self.endpoint, self.reassembly) as events, asyncio.TaskGroup() as tasks:
            reporting = tasks.create_task(self._report())
            try:
                async for event in events:
                    await asyncio.to_thread(self._take, event)
                    self._changed.set()
            except OSError as error:  # kept, so that it leaves as itself and not in a group
                failure = error
            finally:
                reporting.cancel()
        if failure:
            raise failure

    def report(self) -> Report:
        """What holds here now."""
        holds: dict[str, frozenset[str]] = {}
        for notice in self.manifest.notices if self.manifest else ():
            holds[notice.identifier] = frozenset(e.sha256 for e in notice.entries if e.sha256 in self._files)
        sequence = self.manifest.sequence if self.manifest else 0
        return Report(sequence, holds, frozenset(self._hidden))

    def whole(self) -> Sequence[Path]:
        """Folders of the notices that hold now and are here whole: what people at the station may be shown."""
        now = datetime.fromtimestamp(self.wall(), UTC)
        notices = self.manifest.notices if self.manifest else ()
        return [self._folder_of(n.identifier) for n in notices if n.identifier in self._shown and n.expires > now]

    def _folder_of(self, identifier: str) -> Path:
        return self.folder / (safe_name(identifier) or _digest(identifier.encode())[:16])

    async def _report(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.report_every_s):
                    await self._changed.wait()
            self._changed.clear()
            headers, body = report.write(self.report(), self.secret, self.wall())
            try:
                await asyncio.to_thread(report.post, self.url, headers, body)
                trouble = ""
            except OSError as error:  # the sender is away; the next report says the same
                trouble = str(error)
            if trouble != self.trouble:
                self.say(f"reports to {self.url}: {trouble or 'again'}")
            self.trouble = trouble

    def _take(self, event: Event) -> None:
        match event:
            case Announced(manifest=manifest):
                self._announced(manifest)
            case Delivered(content=content, notice=notice, name=name) if notice is not None:
                folder = self._folder_of(notice.identifier)
                folder.mkdir(parents=True, exist_ok=True)
                save(folder, event)
                self._files[_digest(content)] = name
                self._look()
            case Cancelled(identifier=identifier):
                self._hidden.add(identifier)
                self._shown.discard(identifier)
                self._note("hidden", identifier)

    def _announced(self, manifest: Manifest) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        memory.remember(self.folder, manifest.sequence)
        self.manifest = manifest
        said = {entry.sha256 for _, entry in manifest.entries.values()}
        self._files = {digest: name for digest, name in self._files.items() if digest in said}
        self._hidden = set(manifest.cancels)
        current = {notice.identifier for notice in manifest.notices}
        self._shown &= current
        for identifier in sorted(current - self._shown):
            self._note("announced", identifier)
        self._look()

    def _look(self) -> None:
        """Note each notice that has just become whole."""
        for notice in self.manifest.notices if self.manifest else ():
            is_whole = all(entry.sha256 in self._files for entry in notice.entries)
            if is_whole and notice.identifier not in self._shown:
                self._shown.add(notice.identifier)
                self._note("shown", notice.identifier, tuple(entry.name for entry in notice.entries))

    def _note(self, what: str, identifier: str, files: tuple[str, ...] = ()) -> None:
        at = datetime.fromtimestamp(self.wall(), UTC).astimezone().isoformat()
        self.seen.append(Seen(at, what, identifier, files))
        del self.seen[:-1000]
        line = json.dumps({"at": at, "what": what, "identifier": identifier, "files": files}, ensure_ascii=False)
        self.say(f"{at} {what} {identifier}")
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "seen.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
