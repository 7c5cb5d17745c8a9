"""The city's site: static files in a folder that any web server serves, taken only after they were read back over HTTP.

A rendering holds the page in each language, the CAP message and the entry for index and feeds. Sending keeps it, builds what
it touches from everything that is kept, and reads all of it back as a resident would. Sending it again changes nothing.

Source: design.md §6 website; facts.md §Website and feeds.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from channels.website.entry import Entry
from channels.website.folder import Folder
from channels.website.pages import alert_pages
from channels.website.publisher import CAP, ENTRY, Publisher
from channels.website.readback import Reader
from config.marks import STATE
from config.units import Seconds
from dispatcher import cap
from dispatcher.channel import Channel, Inbox, Limits, Probe, Surroundings, Tell
from dispatcher.errors import Finding, InvalidInput, TemporaryFailure
from dispatcher.log import logger
from dispatcher.model.alert import Alert
from dispatcher.model.audience import Audience, Destination
from dispatcher.model.delivery import Outcome, Told
from dispatcher.model.mode import M
from dispatcher.model.rendering import Part, Rendering, Text

log = logger(__name__)

LOOK_EVERY_S = 5.0
"""How late the index may be about an alert's end."""
AGAIN_S = 0.5
"""Before what could not be written is tried again."""
MAX_PAGE_BYTES = 500_000
"""Far above any real page; a text that gets there is somebody's mistake."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The `channels.website` block of a site file.

    website:
      folder: state/site          # written here; served by the node's residents' listener, nginx, a CDN …
      url: http://127.0.0.1:8080  # read back from here before it counts as taken
      timeout: 5 s
    """

    folder: Path = field(metadata=STATE)
    url: str
    timeout: Seconds = 5.0

    def problems(self) -> Iterable[tuple[str, str]]:
        try:
            parts = urlsplit(self.url)
            is_known = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            is_known = False
        if not is_known or parts.query or parts.fragment:
            yield "url", f"{self.url} is not an address of a site; accepted is http://HOST[:PORT][/PATH] or https://…"
        # The lane gives an attempt 30 s.
        if not 0 < self.timeout <= 25:
            yield "timeout", "more than 0 s and at most 25 s"

    def doubts(self, *, is_shared: bool) -> Iterable[tuple[str, str, str]]:
        """Field, what is doubtful, what helps. `is_shared`: other nodes may have the same ledger."""
        if is_shared:
            words = (
                f"{self.folder} に載るのは、このフォルダに書く節点が公開したお知らせだけです "
                "(it shows only what nodes published that write into this folder)"
            )
            to_do = (
                "website を開くのは一つの節点にするか、同じフォルダを共有してください "
                "(let one node alone have a website, or let all of them share the folder)"
            )
            yield "folder", words, to_do


class Website(Channel[M, Settings]):
    kind: ClassVar[str] = "website"
    title: ClassVar[str] = "ウェブサイト"
    title_en: ClassVar[str] = "Website"
    Settings: ClassVar[type[Settings]] = Settings
    counts_people: ClassVar[bool] = False

    @property
    def limits(self) -> Limits:
        return Limits(concurrency=2, batch=1, attempt_timeout_s=30.0, first_backoff_s=0.5, longest_backoff_s=10.0)

    async def audience(self, quarters: Sequence[str]) -> Audience:
        city = self.surroundings.city
        words = f"{city.names['ja']}のサイトを見る人（数えない）" if quarters else "なし"
        return Audience(self.kind, tuple(quarters), None if quarters else 0, words)

    async def destinations(self, audience: Audience) -> AsyncIterator[Destination]:
        if audience.quarters:
            yield Destination(self.settings.url, self.title)

    def open(self, inbox: Inbox) -> AbstractAsyncContextManager[object]:
        """The index and the feeds stand before the first message, so that there is something to link to and to probe.

        While the node is up, what expires moves to the index's past by itself, and shelters show what was said of them last.
        """
        del inbox

        @asynccontextmanager
        async def opened() -> AsyncIterator[None]:
            await asyncio.to_thread(self._publisher.rebuild)
            async with asyncio.TaskGroup() as tasks:
                following = [
                    tasks.create_task(self._follow_the_clock()),
                    tasks.create_task(self._follow_the_shelters()),
                ]
                try:
                    yield
                finally:
                    for task in following:
                        task.cancel()

        return opened()

    async def _follow_the_clock(self) -> None:
        while True:
            await self.surroundings.clock.sleep(LOOK_EVERY_S)
            if self._publisher.is_behind_the_clock():
                await self._rebuild()

    async def _follow_the_shelters(self) -> None:
        generation = 0
        while True:
            generation = await self.surroundings.shelters.changed(generation)
            while not await self._rebuild():
                await self.surroundings.clock.sleep(AGAIN_S)

    async def _rebuild(self) -> bool:
        """Whether the pages that messages share say how things are now."""
        try:
            await asyncio.to_thread(self._publisher.refresh)
        except TemporaryFailure as failure:  # the disk, or another node at work
            log.warning("channel.failed", channel=self.kind, reason=str(failure))
            return False
        return True

    async def probe(self) -> Probe:
        clock = self.surroundings.clock
        started_s = clock.monotonic()
        try:
            expected = await asyncio.to_thread(self._folder.read, "index.html")
            if expected is None:
                return Probe(is_up=False, words=f"{self.settings.folder}: index.html がありません")
            async with Reader(self.settings.url, self.settings.timeout) as reader:
                await reader.expect({"index.html": expected}, self._publisher.now_served)
        except (TemporaryFailure, OSError) as failure:
            return Probe(is_up=False, words=f"読めません: {failure}")
        return Probe(is_up=True, words=f"{self.settings.url} を読み返しました", latency_s=clock.monotonic() - started_s)

    def _render(self, alert: Alert[M], audience: Audience) -> Rendering[M]:
        del audience
        if not alert.info:
            raise InvalidInput(
                [Finding("info", f"{alert.identifier} has no text in any language, so there is no page to show")]
            )
        entry = Entry.of(alert)
        pages = alert_pages(alert, self.surroundings.city, self.mode)
        parts = [Part(name, "text/html; charset=utf-8", data) for name, data in pages]
        parts.append(Part(CAP, cap.MEDIA_TYPE, cap.write(alert)))
        parts.append(Part(ENTRY, "application/json", entry.to_bytes()))
        return Rendering(
            channel=self.kind,
            identifier=alert.identifier,
            status=alert.status,
            texts=tuple(
                Text(s.language, "\n".join(filter(None, (s.headline, s.place, s.description, s.instruction))))
                for s in entry.said
            ),
            parts=tuple(parts),
            findings=tuple(
                Finding(p.name, f"{len(p.data)} バイトのページは大きすぎます（{MAX_PAGE_BYTES} まで）")
                for p in parts
                if len(p.data) > MAX_PAGE_BYTES
            ),
        )

    async def _send(self, rendering: Rendering[M], destinations: Sequence[Destination], tell: Tell) -> None:
        is_new, files = await asyncio.to_thread(self._publisher.publish, rendering)
        async with Reader(self.settings.url, self.settings.timeout) as reader:
            await reader.expect(files, self._publisher.now_served)
        outcome = Outcome.TAKEN if is_new else Outcome.DUPLICATE
        for destination in destinations:
            tell(Told(destination.address, outcome, f"200 OK、{len(files)} 個のファイルを読み返しました"))

    @cached_property
    def _folder(self) -> Folder:
        return Folder(self.settings.folder)

    @cached_property
    def _publisher(self) -> Publisher:
        s: Surroundings = self.surroundings
        return Publisher(self._folder, s.site_url.rstrip("/"), s.city, self.mode, s.clock, s.shelters)


Kind = Website
