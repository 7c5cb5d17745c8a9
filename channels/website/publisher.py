"""From the messages kept to the whole site: pages, CAP, feeds, JSON and index are a function of what is kept.

A message is kept first, its entry last, so that after a crash it is there whole or not at all; then everything that it
touches is built anew from all that is kept. Doing it again, in any order, from any number of places, gives the same site.

    .messages/<message>/entry.json, <page>.html, alert.xml      kept, never edited
    cap/<message>.xml  alerts/<first message>/<page>.html       derived
    index.html easy.html en.html  feed.atom feed.rss  alerts.json

Source: design.md §6 website; facts.md §Website.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from channels.website.entry import Chain, Entry, chains, file_name, page_name
from channels.website.feeds import ATOM, RSS, Item, feeds
from channels.website.folder import Folder
from channels.website.pages import INDEX_LANGUAGES, index_page, with_history
from channels.website.words import words
from config.city import City
from dispatcher.clock import Clock
from dispatcher.errors import ModeLeak
from dispatcher.log import logger
from dispatcher.model.mode import Mode
from dispatcher.model.rendering import Rendering

ENTRY, CAP, JSON = "entry.json", "alert.xml", "alerts.json"
_KEPT = ".messages"

log = logger(__name__)


class Publisher:
    """Writes one site's folder. Every method blocks on the disk: call it in a thread."""

    def __init__(self, folder: Folder, site_url: str, city: City, mode: type[Mode], clock: Clock) -> None:
        self._folder = folder
        self._site_url = site_url
        self._city = city
        self._mode = mode
        self._clock = clock
        self._holds_until: datetime | None = None

    def publish(self, rendering: Rendering[Any]) -> tuple[bool, Mapping[str, bytes]]:
        """Keep the message and build what it touches. Returns whether it is new, and every file to be read back.

        Raises:
            TemporaryFailure: the disk said no, or another node is writing; nothing is half written.
            ModeLeak: the folder holds messages of the other mode.
        """
        with self._folder.locked():
            kept = f"{_KEPT}/{file_name(rendering.identifier)}"
            for part in rendering.parts:
                if part.name != ENTRY:
                    self._folder.write(f"{kept}/{part.name}", part.data)
            is_new = self._folder.write(f"{kept}/{ENTRY}", rendering.part(ENTRY))
            found = chains(self._entries())
            chain = next(c for c in found if any(e.identifier == rendering.identifier for e in c.entries))
            files = {f"cap/{e.file_name}.xml": self._kept(e, CAP) for e in chain.entries}
            files |= self._chain_pages(chain) | self._overview(found)
            for name, data in files.items():
                self._folder.write_served(name, data)
            return is_new, files

    def rebuild(self) -> None:
        """Build what every message shares; raises as `publish`."""
        with self._folder.locked():
            for name, data in self._overview(chains(self._entries())).items():
                self._folder.write_served(name, data)

    def is_behind_the_clock(self) -> bool:
        """Whether the index still says of an alert that it holds, which has expired since."""
        return self._holds_until is not None and self._holds_until <= self._clock.now()

    def now_served(self, name: str) -> bytes | None:
        """What the folder holds under this name by now: another message may have changed it since."""
        return self._folder.read(name)

    def _entries(self) -> list[Entry]:
        entries = []
        for name in self._folder.names(_KEPT):
            data = self._folder.read(f"{_KEPT}/{name}/{ENTRY}")
            if data is None:
                continue
            try:
                entry = Entry.from_bytes(data)
            except (ValueError, KeyError, TypeError) as error:
                # One damaged file must not keep every other message from the residents.
                log.warning("channel.failed", channel="website", reason=f"{name}/{ENTRY}: {type(error).__name__}")
                continue
            if entry.status != self._mode.status:
                raise ModeLeak(f"{self._folder.path} holds {name}, which is {entry.status}, not {self._mode.status}")
            entries.append(entry)
        return entries

    def _kept(self, entry: Entry, part: str) -> bytes:
        return self._folder.read(f"{_KEPT}/{entry.file_name}/{part}") or b""

    def _chain_pages(self, chain: Chain) -> dict[str, bytes]:
        newest = chain.newest
        pages = {
            f"{chain.folder}/{said.page}": with_history(self._kept(newest, said.page), chain, said.language)
            for said in newest.said
        }
        # A page of an earlier message in a language that the newest has not: it must not go on saying what was.
        start = next(page for page in pages.values())
        gone = {s.page for e in chain.entries for s in e.said} - {s.page for s in newest.said}
        return pages | {f"{chain.folder}/{page}": start for page in gone}

    def _overview(self, found: Sequence[Chain]) -> dict[str, bytes]:
        now = self._clock.now()
        ends = [c.newest.expires for c in found if c.newest.is_active(now) and c.newest.expires]
        self._holds_until = min(ends, default=None)
        items = [
            Item(e, f"{c.folder}/{e.in_language('ja').page}", f"cap/{e.file_name}.xml", len(self._kept(e, CAP)))
            for c in found
            for e in c.entries
        ]
        atom, rss = feeds(items, self._site_url, self._city, self._mode)
        indexes = {page_name(tag): tag for tag in INDEX_LANGUAGES}
        return {
            **{
                name: index_page(tag, found, INDEX_LANGUAGES, self._city, self._mode, now)
                for name, tag in indexes.items()
            },
            ATOM: atom,
            RSS: rss,
            JSON: self._json(found),
        }

    def _json(self, found: Sequence[Chain]) -> bytes:
        """Every chain, newest first, with what its newest message says; times say until when, so it is true at any time."""
        listed = [
            {
                **c.newest.to_json(),
                "root": c.root,
                "verb_ja": words("ja")[c.newest.verb],
                "page": f"{c.folder}/index.html",
                "messages": [{"identifier": e.identifier, "cap": f"cap/{e.file_name}.xml"} for e in c.entries],
            }
            for c in found
        ]
        return json.dumps({"site": self._city.names["ja"], "alerts": listed}, ensure_ascii=False, indent=1).encode()
