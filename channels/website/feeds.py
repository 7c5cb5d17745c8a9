"""Atom and RSS of every message, newest first; the only place that imports feedgen.

One entry for each CAP message, its id the CAP identifier; an update is a new entry, and one that was issued is never edited.
Both feeds are a pure function of the entries: every time in them is a message's own, so that the same entries give the same
bytes and a reader's cache holds.

Source: RFC 4287 §4.1.2, §4.2.7; RSS 2.0 "enclosure", "guid"; facts.md §Website (feedgen drops rel and type of entry links,
reverses insertion, and takes the time of day unless told).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from feedgen.ext.base import BaseEntryExtension, BaseExtension
from feedgen.feed import FeedGenerator

from channels.website.entry import Entry
from channels.website.words import words
from config.city import City
from dispatcher.model.mode import Mode

ATOM, RSS = "feed.atom", "feed.rss"
MAX_BYTES = 100_000
MAX_ENTRIES = 50
CAP_TYPE = "application/cap+xml"

_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
"""What an empty feed calls its last change: any fixed moment keeps its bytes stable."""


@dataclass(frozen=True, slots=True)
class Item:
    """One message with the addresses, relative to the site, and the size of what belongs to it."""

    entry: Entry
    page: str
    cap: str
    cap_bytes: int


def feeds(items: Sequence[Item], site_url: str, city: City, mode: type[Mode]) -> tuple[bytes, bytes]:
    """Atom and RSS of these items, newest first; the oldest are left out where a feed would pass 100 kB."""
    newest = sorted(items, key=lambda i: (i.entry.sent, i.entry.identifier), reverse=True)[:MAX_ENTRIES]
    while True:
        generator = _feed(newest, site_url, city, mode)
        atom, rss = generator.atom_str(pretty=True), generator.rss_str(pretty=True)
        if max(len(atom), len(rss)) <= MAX_BYTES or len(newest) <= 1:
            return atom, rss
        newest = newest[: len(newest) * 3 // 4]


def _feed(items: Sequence[Item], site_url: str, city: City, mode: type[Mode]) -> Any:
    feed = FeedGenerator()
    feed.register_extension("whole", BaseExtension, _WholeLinks, atom=True, rss=False)
    feed.id(f"{site_url}/")
    feed.title(f"{mode.banner('ja')}{city.names['ja']} {words('ja')['site']}")
    feed.description(city.senders["ja"])
    feed.author({"name": city.senders["ja"]})
    feed.language("ja")
    feed.updated(max((i.entry.sent for i in items), default=_BEGINNING))
    # The last link is what RSS shows as the channel's own.
    feed.link(href=f"{site_url}/{ATOM}", rel="self", type="application/atom+xml")
    feed.link(href=f"{site_url}/", rel="alternate", type="text/html")
    for item in items:
        _add(feed, item, site_url)
    return feed


def _add(feed: Any, item: Item, site_url: str) -> None:
    said = item.entry.in_language("ja")
    entry = feed.add_entry(order="append")
    entry.whole.entry = entry
    entry.id(item.entry.identifier)
    entry.guid(item.entry.identifier, permalink=False)
    entry.title(said.headline)
    entry.summary(
        "\n\n".join(
            "\n".join(filter(None, (s.headline, s.place, s.description, s.instruction))) for s in item.entry.said
        )
    )
    entry.category(term=item.entry.verb, label=words("ja")[item.entry.verb])
    entry.published(item.entry.sent)
    entry.updated(item.entry.sent)
    cap = {"href": f"{site_url}/{item.cap}", "type": CAP_TYPE, "length": str(item.cap_bytes)}
    entry.link(href=f"{site_url}/{item.page}", rel="alternate", type="text/html")
    entry.link(rel="related", **cap)
    # Last, because feedgen makes RSS's one enclosure of the last link that is an enclosure.
    entry.link(rel="enclosure", **cap)


class _WholeLinks(BaseEntryExtension):  # type: ignore[misc]  # feedgen has no types
    """Puts rel, type and length back on an entry's Atom links, which feedgen 1.0.0 drops."""

    entry: Any

    def extend_atom(self, element: Any) -> Any:
        links: Sequence[Mapping[str, str]] = self.entry.link()
        for written, link in zip(element.findall("{*}link"), links, strict=True):
            for name in ("rel", "type", "length"):
                if link.get(name):
                    written.set(name, link[name])
        return element
