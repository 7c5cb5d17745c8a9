"""One station: its group on its interface, what is to be on the air there, and what its monitoring receiver has verified.

The station's task makes what is on the air what should be, again after every change and after every fault of the interface.

Source: facts.md §Wi-Fi multicast; design.md §3 "taken".
"""

import asyncio
from contextlib import suppress
from datetime import datetime

from channels.wifi_multicast.item import Item
from dispatcher.clock import Clock
from multicast import udp
from multicast.carousel import Content
from multicast.keys import SenderKey
from multicast.manifest import Full, Notice
from multicast.report import Report
from multicast.sender import Sender, open_sender

AGAIN_S = 1.0
"""Until an interface that was not there is looked for again, and what found no room is offered again."""
VERIFIED = "監視受信機が全ファイルを確かめました (verified)"
PAGE_VERIFIED = (
    "監視受信機がページを確かめました。多数のためページだけを流しています (page verified; no room for more files)"
)


class Air:
    """What should be on every station's air: items by identifier, and until when those withdrawn are called withdrawn."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.withdrawn: dict[str, datetime] = {}

    def put(self, item: Item) -> bool:
        """False where a later message has replaced it already."""
        if item.said.identifier in self.withdrawn:
            return False
        self.items[item.said.identifier] = item
        for earlier in item.said.replaces:
            self.items.pop(earlier, None)
            self.withdrawn[earlier] = max(item.expires, self.withdrawn.get(earlier, item.expires))
        return True

    def expire(self, now: datetime) -> list[str]:
        """Forget what has ended; returns its identifiers."""
        ended = [identifier for identifier, item in self.items.items() if item.expires <= now]
        for identifier in ended:
            del self.items[identifier]
        self.withdrawn = {identifier: until for identifier, until in self.withdrawn.items() if until > now}
        return ended


class Station:
    """`fault` says why nothing leaves, in the system's words; None while it does."""

    def __init__(
        self, name: str, endpoint: udp.Endpoint, tsi: int, rate_bit_s: float, key: SenderKey, air: Air, clock: Clock
    ) -> None:
        self.name = name
        self.fault: str | None = "まだ始まっていません (not started)"
        self.reported_s: float | None = None
        """When its monitoring receiver was last heard, on the clock's monotonic time."""
        self.refused: dict[str, str] = {}
        """By identifier: why the carousel does not take it, in the carousel's words. It is offered again."""
        self._carried: dict[str, Item] = {}
        """By identifier, the oldest first: what is on the air here, of some the page alone."""
        self._report: Report | None = None
        self._endpoint = endpoint
        self._tsi = tsi
        self._rate_bit_s = rate_bit_s
        self._key = key
        self._air = air
        self._clock = clock
        self._changed = asyncio.Event()
        self._sender: Sender | None = None

    def change(self) -> None:
        """The air is not what it should be any more."""
        self._changed.set()

    def heard(self, report: Report) -> None:
        self._report = report
        self.reported_s = self._clock.monotonic()

    def has_verified(self, item: Item) -> bool:
        """Its receiver holds every file of the item that is on the air here, and nothing that the item replaces."""
        carried = self._carries(item)
        if self._report is None or carried is None:
            return False
        held = self._report.holds
        is_whole = carried.digests <= held.get(item.said.identifier, frozenset())
        return is_whole and not any(earlier in held for earlier in item.said.replaces)

    def verified(self, item: Item) -> str:
        """What `has_verified` claims, in words."""
        carried = self._carries(item)
        return PAGE_VERIFIED if carried and len(carried.files) < len(item.files) else VERIFIED

    def _carries(self, item: Item) -> Item | None:
        carried = self._carried.get(item.said.identifier)
        return carried if carried and carried.said == item.said and carried.digests <= item.digests else None

    @property
    def said_s(self) -> int:
        """When the last report was signed, by its receiver's clock; 0 before the first."""
        return self._report.at_s if self._report else 0

    @property
    def trouble(self) -> str | None:
        """Why nothing leaves now."""
        return self.fault or (self._sender.fault if self._sender else None)

    async def run(self) -> None:
        """Keep the air as it should be, until cancelled."""
        while True:
            try:
                async with open_sender(
                    self._endpoint,
                    tsi=self._tsi,
                    rate_bit_s=self._rate_bit_s,
                    key=self._key,
                    wall=lambda: self._clock.now().timestamp(),
                ) as sender:
                    self._sender, self.fault = sender, None
                    await self._keep(sender)
                    self.fault = sender.fault
            except udp.BadEndpoint as error:
                self.fault = str(error)
            finally:
                self._sender = None
            await self._clock.sleep(AGAIN_S)

    async def _keep(self, sender: Sender) -> None:
        """Returns when nothing leaves: an interface that has gone and come back needs a new socket."""
        self._carried = {}
        withdrawn: dict[str, datetime] = {}
        while sender.fault is None:
            self._changed.clear()
            # What replaces goes before what does not: where room is short, a 取消 must not wait behind an order.
            for item in sorted(self._air.items.values(), key=lambda item: not item.said.replaces):
                if not self._carries(item):
                    withdrawn |= await self._show(sender, item)
            self.refused = {i: why for i, why in self.refused.items() if i in self._air.items}
            for identifier in self._carried.keys() - self._air.items.keys():
                del self._carried[identifier]
                sender.withdraw(identifier, cancelled_until=self._air.withdrawn.get(identifier))
            for identifier, until in self._air.withdrawn.items():
                if withdrawn.get(identifier) != until:
                    sender.withdraw(identifier, cancelled_until=until)
            withdrawn = dict(self._air.withdrawn)
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S):
                    await self._changed.wait()

    async def _show(self, sender: Sender, item: Item) -> dict[str, datetime]:
        """Returns what it has withdrawn. Where there is no room, the oldest keep their page alone; then so does this one."""
        identifier = item.said.identifier
        gone = {earlier: until for earlier in item.said.replaces if (until := self._air.withdrawn.get(earlier))}
        whole = [i for i, carried in self._carried.items() if len(carried.files) > 1 and i not in {identifier, *gone}]
        offered = item
        while True:
            try:
                await sender.show(_notice(offered), _contents(offered), gone)
            except Full as full:
                if whole:
                    await self._shrink(sender, self._carried[whole.pop(0)].page_alone)
                elif len(offered.files) > 1:
                    offered = item.page_alone
                else:
                    self.refused[identifier] = str(full)
                    return {}
            except ValueError as error:  # it has just expired: others are none the worse
                self.refused[identifier] = str(error)
                return {}
            else:
                self.refused.pop(identifier, None)
                self._carried = {i: carried for i, carried in self._carried.items() if i not in gone}
                self._carried[identifier] = offered
                return gone

    async def _shrink(self, sender: Sender, page: Item) -> None:
        with suppress(ValueError):  # it has just expired, and leaves by itself
            await sender.show(_notice(page), _contents(page))
            self._carried[page.said.identifier] = page


def _notice(item: Item) -> Notice:
    return Notice(item.said.identifier, item.said.severity, item.said.areas, item.expires)


def _contents(item: Item) -> list[Content]:
    return [Content(part.name, part.media_type, part.data) for part in item.files]
