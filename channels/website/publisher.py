"""From the messages kept and the shelters' states to the whole site: pages, CAP, feeds, JSON and index are a function of them.

A message is kept first, its entry last, so that after a crash it is there whole or not at all; then everything that it
touches is built anew from all that is kept. Doing it again, in any order, from any number of places, gives the same site.

    .messages/<message>/entry.json, <page>.html, alert.xml      kept, never edited
    cap/<message>.xml  alerts/<first message>/<page>.html       derived
    index.html easy.html en.html …  shelters/*.html              derived
    history/<month>/*.html                                      derived: whatever began in that month
    feed.atom feed.rss  alerts.json shelters.json
    live.json                                                   what all this came to: last, so that who sees it finds the rest
    live.js sw.js embed.js site.webmanifest icon.svg            as they come with the product

Source: design.md §6 website; facts.md §Website.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from channels.website.entry import Chain, Entry, chains, file_name, months, page_name
from channels.website.feeds import ATOM, RSS, Item, feeds
from channels.website.folder import Folder, Seen
from channels.website.pages import HISTORY_FOLDER, finished, index_page, month_pages, shelters_page
from channels.website.scripts import scripts
from channels.website.shelters import SHELTERS_JSON, as_json, next_old
from channels.website.words import LANGUAGES, words
from config.city import City
from dispatcher.channel import Shelters
from dispatcher.clock import Clock
from dispatcher.errors import ModeLeak
from dispatcher.log import logger
from dispatcher.model.mode import Mode
from dispatcher.model.rendering import Rendering

ENTRY, CAP, JSON, LIVE = "entry.json", "alert.xml", "alerts.json", "live.json"
_KEPT = ".messages"
LISTED_ENDED, LISTED_FOR = 50, timedelta(hours=1)
"""Of what has ended, in alerts.json: so many, and more only while they are so young."""

log = logger(__name__)


class Publisher:
    """Writes one site's folder. Every method blocks on the disk: call it in a thread."""

    def __init__(
        self, folder: Folder, site_url: str, city: City, mode: type[Mode], clock: Clock, shelters: Shelters
    ) -> None:
        self._folder = folder
        self._site_url = site_url
        self._city = city
        self._mode = mode
        self._clock = clock
        self._shelters = shelters
        self._holds_until: datetime | None = None
        self._read: dict[str, tuple[Seen, Entry]] = {}

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
            now = self._clock.now()
            files |= self._chain_pages(chain, now) | self._month(chain.month, found) | self._overview(found, now)
            for name, data in files.items():
                self._folder.write_served(name, data)
            return is_new, files

    def rebuild(self) -> None:
        """Build what comes with the product, the history, and all that `refresh` does; raises as `publish`."""
        with self._folder.locked():
            for name, data in scripts(self._city, self._mode).items():
                self._folder.write_served(name, data)
            by_month = months(chains(self._entries()))
            for month in by_month:
                for name, data in month_pages(month, by_month, self._city, self._mode).items():
                    self._folder.write_served(name, data)
        self.refresh()

    def refresh(self) -> None:
        """Build what time and the shelters change: the overview, and the pages of messages that hold; raises as `publish`."""
        with self._folder.locked():
            now, found = self._clock.now(), chains(self._entries())
            files: dict[str, bytes] = {}
            for chain in found:
                if chain.newest.is_active(now):
                    files |= self._chain_pages(chain, now)
            for name, data in (files | self._overview(found, now)).items():
                self._folder.write_served(name, data)

    def is_behind_the_clock(self) -> bool:
        """Whether a page still says what time alone has changed: an alert expired, a shelter's state grew old."""
        return self._holds_until is not None and self._holds_until <= self._clock.now()

    def now_served(self, name: str) -> bytes | None:
        """What the folder holds under this name by now: another message may have changed it since."""
        return self._folder.read(name)

    def _month(self, month: str, found: Sequence[Chain]) -> dict[str, bytes]:
        """The pages of one month, and of those beside it where it is new: they lead to it."""
        by_month = months(found)
        order = list(by_month)
        at = order.index(month)
        is_new = self._folder.read(f"{HISTORY_FOLDER}/{month}/{page_name('ja')}") is None
        files: dict[str, bytes] = {}
        for each in order[max(at - 1, 0) : at + 2] if is_new else [month]:
            files |= month_pages(each, by_month, self._city, self._mode)
        return files

    def _entries(self) -> list[Entry]:
        """Every message that is kept. What was read once is not read again: it is never edited."""
        entries, before = [], self._read
        self._read = {}
        for name in self._folder.names(_KEPT):
            seen = self._folder.seen(f"{_KEPT}/{name}/{ENTRY}")
            if seen is None:
                continue
            if name in before and before[name][0] == seen:
                self._read[name] = before[name]
                entries.append(before[name][1])
                continue
            data = self._folder.read(f"{_KEPT}/{name}/{ENTRY}") or b""
            try:
                entry = Entry.from_bytes(data)
            except (ValueError, KeyError, TypeError) as error:
                # One damaged file must not keep every other message from the residents.
                log.warning("channel.failed", channel="website", reason=f"{name}/{ENTRY}: {type(error).__name__}")
                continue
            if entry.status != self._mode.status:
                raise ModeLeak(f"{self._folder.path} holds {name}, which is {entry.status}, not {self._mode.status}")
            entries.append(entry)
            self._read[name] = (seen, entry)
        return entries

    def _kept(self, entry: Entry, part: str) -> bytes:
        return self._folder.read(f"{_KEPT}/{entry.file_name}/{part}") or b""

    def _chain_pages(self, chain: Chain, now: datetime) -> dict[str, bytes]:
        newest = chain.newest
        languages = {page_name(tag): tag for tag in LANGUAGES} | {said.page: said.language for said in newest.said}
        kept = self._folder.names(f"{_KEPT}/{newest.file_name}")
        pages = {
            f"{chain.folder}/{page}": finished(
                self._kept(newest, page), chain, languages[page], self._city, self._shelters.states, now
            )
            for page in kept
            if page in languages
        }
        # A page of an earlier message in a language that the newest has not: it must not go on saying what was.
        start = next(page for page in pages.values())
        gone = {f"{chain.folder}/{s.page}" for e in chain.entries for s in e.said} - pages.keys()
        return pages | dict.fromkeys(gone, start)

    def _overview(self, found: Sequence[Chain], now: datetime) -> dict[str, bytes]:
        states = self._shelters.states
        ends = [c.newest.expires for c in found if c.newest.is_active(now) and c.newest.expires]
        grows_old = next_old(states, now)
        self._holds_until = min([*ends, *([grows_old] if grows_old else [])], default=None)
        items = [
            Item(e, f"{c.folder}/{e.in_language('ja').page}", f"cap/{e.file_name}.xml", len(self._kept(e, CAP)))
            for c in found
            for e in c.entries
        ]
        atom, rss = feeds(items, self._site_url, self._city, self._mode)
        files = {page_name(tag): index_page(tag, found, self._city, self._mode, states, now) for tag in LANGUAGES}
        files |= dict(shelters_page(tag, self._city, self._mode, states, now) for tag in LANGUAGES)
        files |= {ATOM: atom, RSS: rss, JSON: self._json(found, now), SHELTERS_JSON: as_json(self._city, states)}
        version = hashlib.sha256()
        for data in files.values():
            version.update(hashlib.sha256(data).digest())
        return files | {LIVE: json.dumps({"version": version.hexdigest()[:16]}).encode()}

    def _json(self, found: Sequence[Chain], now: datetime) -> bytes:
        """What holds and what ended last, newest first, with what its newest message says; times say until when it is true.

        Whatever ended before stands in the history: this is fetched again and again by everybody's page.
        """
        ended = [c for c in found if not c.newest.is_active(now)]
        gone = {c.root for c in ended[LISTED_ENDED:] if now - c.newest.sent > LISTED_FOR}
        listed = [
            {
                **c.newest.to_json(),
                "root": c.root,
                "is_active": c.newest.is_active(now),
                "verb_ja": words("ja")[c.newest.verb],
                "page": f"{c.folder}/index.html",
                "messages": [{"identifier": e.identifier, "cap": f"cap/{e.file_name}.xml"} for e in c.entries],
            }
            for c in found
            if c.root not in gone
        ]
        return json.dumps({"site": self._city.names["ja"], "alerts": listed}, ensure_ascii=False, indent=1).encode()
