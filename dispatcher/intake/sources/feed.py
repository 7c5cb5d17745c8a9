"""An Atom feed whose entries link to telegrams: JMA's own, or another service's CAP feed. Asked with its ETag.

Only links to the feed's own host are followed, and no redirect is: an entry must not send this node to an address of its
choosing. What is old is not fetched at all. A feed that was read only in part is asked for whole the next time.

Source: RFC 4287 §4.2; RFC 9110 §13.1 (conditional requests), §15.4; 気象庁防災情報XMLフォーマット 情報提供ページ（PULL型）.
"""

import ssl
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from config.intake.settings import Feed
from dispatcher.clock import JST, Clock
from dispatcher.errors import Finding, InvalidInput, Refused
from dispatcher.intake.jma import MAX_BYTES, outlined
from dispatcher.intake.signature import Trust
from dispatcher.intake.taking import Intake

ATOM = "http://www.w3.org/2005/Atom"
TIMEOUT_S = 20.0
MOST_AT_ONCE = 100
MOST_SEEN = 5_000
_TYPES = ("application/cap+xml", "application/xml", "text/xml")
"""In the order in which they are preferred."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a feed; `key` changes when the entry does."""

    key: str
    url: str
    updated: datetime


class Gone(OSError):  # noqa: N818 - says what was seen
    """Nothing is there (any more)."""


class FeedSource:
    """Of one feed."""

    def __init__(self, intake: Intake[Any], settings: Feed, clock: Clock, *, oldest_s: float) -> None:
        self._intake = intake
        self._settings = settings
        self._clock = clock
        self._oldest_s = oldest_s
        self._trust = Trust(settings.signers)
        self._tls = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
        self._conditions: dict[str, str] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()

    @property
    def name(self) -> str:
        return f"feed {urlsplit(self._settings.url).hostname}"

    @property
    def every_s(self) -> float:
        return self._settings.every

    async def look(self) -> None:
        """Give what is new, the oldest first."""
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=2)
        # A packed answer may unfold to any size: none is asked for, and none is taken.
        async with aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            headers={"Accept-Encoding": "identity", "User-Agent": "todoke"},
        ) as session:
            answered = await _get(session, self._settings.url, self._conditions)
            if answered is None:
                return
            data, conditions = answered
            new = [entry for entry in self._entries(data) if entry.key not in self._seen]
            failures = [failure for entry in new[:MOST_AT_ONCE] if (failure := await self._give(session, entry))]
        # With some still to come, the same feed has to be sent again.
        self._conditions = conditions if len(new) <= MOST_AT_ONCE and not failures else {}
        if failures:
            raise failures[-1]

    async def _give(self, session: aiohttp.ClientSession, entry: Entry) -> Exception | None:
        """What went wrong, where it may go well the next time: one entry never holds up the others."""
        try:
            answered = await _get(session, entry.url, {})
        except Gone:
            answered = None
        except (OSError, TimeoutError, aiohttp.ClientError) as failure:
            return failure
        if answered is not None:
            # What is refused is written down with its reasons, and the same bytes would be refused again.
            with suppress(Refused):
                await self._intake.take(answered[0], f"{self.name}: {entry.url[-100:]}", self._trust)
        self._seen[entry.key] = None
        while len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)
        return None

    def _entries(self, data: bytes) -> list[Entry]:
        """The recent ones, the oldest first.

        Raises:
            OSError: it is no Atom feed now.
        """
        try:
            since = datetime.fromtimestamp(self._clock.now().timestamp() - self._oldest_s, JST)
            found = list(entries(data, self._settings.url))
        except InvalidInput as error:
            raise OSError(f"no Atom feed: {error}") from None
        return sorted((entry for entry in found if entry.updated >= since), key=lambda entry: entry.updated)


def entries(data: bytes, base: str) -> Iterator[Entry]:
    """Entries of an Atom feed that link to XML on the feed's own host; the rest is nothing for us.

    Raises:
        InvalidInput: it is no Atom feed.
    """
    root = outlined(data)
    if root.name != "feed" or root.namespace != ATOM:
        raise InvalidInput([Finding("feed", f"accepted is feed in {ATOM}")])
    origin = urlsplit(base)[:2]
    for entry in root.all("entry"):
        links = [
            link.attributes for link in entry.all("link") if link.attributes.get("rel", "alternate") == "alternate"
        ]
        links += [link.attributes for link in entry.all("link") if link.attributes.get("rel") == "enclosure"]
        typed = [link["href"] for kind in _TYPES for link in links if link.get("type") == kind and "href" in link]
        plain = [link["href"] for link in links if link.get("href", "").endswith(".xml")]
        updated = _moment(entry.get("updated"))
        for href in (typed + plain)[:1]:
            url = _joined(base, href)
            if url is not None and urlsplit(url)[:2] == origin and updated is not None:
                yield Entry(f"{entry.get('id')} {entry.get('updated')}", url, updated)


def _joined(base: str, href: str) -> str | None:
    try:
        return urljoin(base, href.strip())
    except ValueError:
        return None


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(JST) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


async def _get(
    session: aiohttp.ClientSession, url: str, conditions: dict[str, str]
) -> tuple[bytes, dict[str, str]] | None:
    """The body and what to ask with next time; None where nothing has changed.

    Raises:
        Gone: nothing is there.
        OSError: it answered with something else than a whole body.
    """
    async with session.get(url, headers=conditions, allow_redirects=False) as answer:
        if answer.status == 304:
            return None
        if answer.status in {404, 410}:
            raise Gone(f"answered {answer.status}")
        if answer.status != 200:
            raise OSError(f"answered {answer.status}")
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise OSError("answered packed, though it was not asked to")
        data = bytearray()
        async for chunk in answer.content.iter_chunked(65_536):
            data += chunk
            if len(data) > MAX_BYTES:
                raise OSError(f"more than {MAX_BYTES} bytes")
        next_time = {
            condition: answer.headers[header]
            for condition, header in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
            if header in answer.headers
        }
        return bytes(data), next_time
