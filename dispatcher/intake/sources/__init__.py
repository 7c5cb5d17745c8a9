"""Where telegrams come from, and how long each is waited for: a task for each source, until the node stops.

    folder.py   files that somebody's receiver writes
    feed.py     an Atom feed over HTTP, asked with its ETag
    post.py     a POST at the staff's listener, with a token and a pinned signature

A source that fails is asked again later, and more seldom the longer it fails; it never disturbs the others. Nothing is kept in
memory but what a source has shown last.

Source: design.md §7; style.md "asyncio".
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import aiohttp

from config.intake.settings import Intake as Settings
from dispatcher.clock import Clock
from dispatcher.errors import StorageFull
from dispatcher.intake.sources.feed import FeedSource
from dispatcher.intake.sources.folder import FolderSource
from dispatcher.intake.taking import Intake
from dispatcher.log import logger

SELDOM_S = 900.0
"""The longest wait after failures."""

log = logger("dispatcher.intake.sources")


class Source(Protocol):
    """One place that telegrams come from."""

    @property
    def name(self) -> str: ...

    @property
    def every_s(self) -> float: ...

    async def look(self) -> None:
        """Give what is new to the intake, once.

        Raises:
            OSError, TimeoutError, aiohttp.ClientError: it cannot be read now.
            StorageFull: what it gave could not be taken now.
        """


class Sources:
    """All sources of one node."""

    def __init__(self, intake: Intake[Any], settings: Settings, clock: Clock) -> None:
        self._clock = clock
        folders = [FolderSource(intake, folder, clock, oldest_s=settings.oldest) for folder in settings.folders]
        feeds = [FeedSource(intake, feed, clock, oldest_s=settings.oldest) for feed in settings.feeds]
        self._sources: Sequence[Source] = [*folders, *feeds]

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for source in self._sources:
                tasks.create_task(self._follow(source))

    async def _follow(self, source: Source) -> None:
        wait_s = source.every_s
        while True:
            try:
                await source.look()
                wait_s = source.every_s
            except (OSError, TimeoutError, aiohttp.ClientError, StorageFull) as failure:
                log.warning("source.failed", source=source.name, reason=f"{type(failure).__name__}: {failure}"[:200])
                wait_s = min(max(wait_s, source.every_s) * 2, max(SELDOM_S, source.every_s))
            await self._clock.sleep(wait_s)
