"""Multicast into station Wi-Fi: signed, repeated while the alert holds, taken when the station's own receiver has verified it.

A browser cannot join a group, so each station has a monitoring receiver: it verifies what is on the air there and reports
(multicast/report.py). A station counts as taken only when its receiver holds every file, whole and proved, and nothing that the
message replaces; the ledger keeps that as the station's receipt. The key decides the mode a second time: a drill's key cannot
sign a live notice, so no receiver shows one.

Source: design.md §3, §6; facts.md §Wi-Fi multicast.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

from channels.wifi_multicast.answers import opened
from channels.wifi_multicast.inlet import inlet
from channels.wifi_multicast.item import AIR, PAGE, Announcement, Item, Shelf
from channels.wifi_multicast.page import page, plain, standing
from channels.wifi_multicast.station import Air, Station
from config.document import ConfigError, Problem
from config.marks import LISTENS, OURS, PRIVATE
from config.secret import Secret
from config.units import BitsPerSecond, Seconds
from dispatcher import cap
from dispatcher.channel import Channel, Inbox, Limits, Probe, Tell
from dispatcher.clock import JST
from dispatcher.errors import Finding, InvalidInput, ModeLeak, TemporaryFailure
from dispatcher.listening import listening
from dispatcher.model.alert import Alert
from dispatcher.model.audience import Audience, Destination
from dispatcher.model.delivery import Outcome, Receipt, Received, Told
from dispatcher.model.mode import M
from dispatcher.model.rendering import Part, Rendering, Text
from multicast import keys, udp
from multicast.key_files import BadKey
from multicast.report import Report
from multicast.sealing import AnswerKey, load_answer_key

MAX_FILE_BYTES = 200_000
"""At a quarter of the airtime 200 KB take 1 s to 1,000 phones at 12 Mbit/s (facts.md)."""
LOOK_EVERY_S = 1.0
"""How late what has ended leaves the disk; receivers drop it by themselves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """One station: where its access points listen, and the secret of its monitoring receiver."""

    name: str
    """Its address in this channel: lower-case letters, digits, - and _."""
    title: str = ""
    group: str = "239.255.77.1"
    port: int = 3400
    interface: str
    """By name (`eth1`) or by one of its addresses."""
    secret: Secret = field(metadata=OURS)
    """Its receiver signs its reports with it."""

    def problems(self) -> Iterable[tuple[str, str]]:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", self.name):
            yield "name", "up to 40 lower-case letters, digits, - and _ are accepted"
        if len(self.secret.reveal()) < 16:
            yield "secret", "at least 16 characters are needed"
        try:
            udp.Endpoint(self.group, self.port, self.interface)
        except udp.BadEndpoint as error:
            yield "group", str(error)

    @property
    def endpoint(self) -> udp.Endpoint:
        return udp.Endpoint(self.group, self.port, self.interface)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """`channels.wifi_multicast` of a site file.

    wifi_multicast:
      key: keys/multicast-drill.key
      reports: 10.0.0.5:8184
      stations:
        - {name: mitaka, title: 三鷹駅, interface: eth1, secret: {file: keys/station-mitaka}}
      rate: 5 Mbit/s
    """

    key: Path = field(metadata=PRIVATE)
    """The sender's key (`todoke multicast keygen`), of this mode."""
    reports: str = field(metadata=LISTENS)
    """Where the monitoring receivers' reports come in: host:port."""
    stations: tuple[Place, ...]
    rate: BitsPerSecond = 5_000_000
    tsi: int = 1
    confirm_within: Seconds = 10.0
    """How long an attempt waits for the receivers' word. The notice is on the air from the attempt's beginning on."""
    answers: Path | None = field(default=None, metadata=PRIVATE)
    """Opens what residents wrote at the stations (`todoke multicast keygen --answers`); without it their pages have no form."""
    report_every: Seconds = 5.0
    """As the receivers are set; one that has said nothing for three times as long is not there."""

    def ends(self) -> Iterable[tuple[str, datetime]]:
        """When the key's certificate ends, if it has one.

        Raises:
            ValueError: the key cannot be used.
        """
        certificate = keys.load_sender(self.key).certificate
        if certificate is not None:
            yield "key", datetime.fromtimestamp(certificate.expires_s, JST)

    def problems(self) -> Iterable[tuple[str, str]]:
        if not self.stations:
            yield "stations", "at least one station is needed"
        if len({place.name for place in self.stations}) < len(self.stations):
            yield "stations", "each station needs a name of its own"
        if len({(place.group, place.port, place.interface) for place in self.stations}) < len(self.stations):
            yield "stations", "each station needs a group, port or interface of its own"
        if (
            not re.fullmatch(r"[^\s/]+:[0-9]{1,5}", self.reports)
            or not 0 < int(self.reports.rpartition(":")[2]) < 65536
        ):
            yield "reports", "host:port is accepted"
        if not 0 < self.tsi < 1 << 32:
            yield "tsi", "1 to 4294967295 are accepted"
        if not 100_000 <= self.rate <= 1_000_000_000:
            yield "rate", "100 kbit/s to 1 Gbit/s are accepted"
        if not 0 < self.confirm_within <= 60:
            yield "confirm_within", "more than 0 s and at most 60 s"
        if not 0 < self.report_every <= 60:
            yield "report_every", "more than 0 s and at most 60 s"


class WifiMulticast(Channel[M, Settings]):
    kind: ClassVar[str] = "wifi_multicast"
    title: ClassVar[str] = "駅前 Wi-Fi"
    title_en: ClassVar[str] = "Station Wi-Fi"
    Settings: ClassVar[type[Any]] = Settings
    counts_people: ClassVar[bool] = False

    @property
    def limits(self) -> Limits:
        return Limits(
            concurrency=8,
            batch=64,
            attempt_timeout_s=self.settings.confirm_within + 20.0,
            first_backoff_s=1.0,
            longest_backoff_s=15.0,
        )

    async def audience(self, quarters: Sequence[str]) -> Audience:
        # People at a station come from everywhere: each station carries what concerns any quarter.
        count = len(self.settings.stations) if quarters else 0
        return Audience(self.kind, tuple(quarters), count, f"駅前 Wi-Fi {count} か所（見た人は数えない）")

    async def destinations(self, audience: Audience) -> AsyncIterator[Destination]:
        for place in self.settings.stations if audience.quarters else ():
            yield Destination(place.name, place.title or place.name)

    def open(self, inbox: Inbox) -> AbstractAsyncContextManager[object]:
        """On the air until closed, with everything that was on it before and still holds.

        Raises (on entering):
            ModeLeak: the key is of the other mode.
            ConfigError: the key cannot be used.
            OSError: the reports' address is taken.
        """
        return self._opened(inbox)

    @asynccontextmanager
    async def _opened(self, inbox: Inbox) -> AsyncIterator[None]:
        try:
            key = keys.load_sender(self.settings.key)
        except BadKey as error:
            raise ConfigError([Problem(str(self.settings.key), 1, "channels.wifi_multicast.key", str(error))]) from None
        if key.status != self.mode.status:
            raise ModeLeak(f"{self.settings.key}: a key for {key.status} in a node of {self.mode.word}")
        answers = self._answer_key()
        await self._put_back()
        clock, s = self.surroundings.clock, self.settings
        self._stations = {
            place.name: Station(place.name, place.endpoint, s.tsi, s.rate, key, self._air, clock)
            for place in s.stations
        }
        host, port = s.reports.rsplit(":", 1)
        async with AsyncExitStack() as stack:
            secrets = {place.name: place.secret for place in s.stations}
            door = inlet(
                self._stations, secrets, clock, partial(self._hear, inbox), partial(self._take, inbox, answers)
            )
            await stack.enter_async_context(listening(door, host.strip("[]"), int(port)))
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            working = [tasks.create_task(station.run()) for station in self._stations.values()]
            working.append(tasks.create_task(self._follow_the_clock()))
            try:
                yield
            finally:
                for task in working:
                    task.cancel()
                self._stations = {}

    def _answer_key(self) -> AnswerKey | None:
        if self.settings.answers is None:
            return None
        try:
            return load_answer_key(self.settings.answers)
        except BadKey as error:
            at = str(self.settings.answers)
            raise ConfigError([Problem(at, 1, "channels.wifi_multicast.answers", str(error))]) from None

    async def _take(self, inbox: Inbox, key: AnswerKey | None, sealed: Sequence[bytes]) -> bool:
        """What residents wrote at a station. Raises StorageFull: nothing was taken."""
        if key is None:
            return False
        city, now = self.surroundings.city, self.surroundings.clock.now()
        reported = list(opened(sealed, key, city, self.kind, now))
        return await inbox.report(reported) if reported else True

    async def _put_back(self) -> None:
        """On the air again with what the disk kept."""
        kept = await asyncio.to_thread(self._shelf.read)
        for item in kept:
            if item.status != self.mode.status:
                raise ModeLeak(f"{self.surroundings.state_dir} holds {item.said.identifier}, which is {item.status}")
            self._air.put(item)
        # A crash may have come between putting one and dropping what it replaces.
        for replaced in {item.said.identifier for item in kept} - self._air.items.keys():
            await asyncio.to_thread(self._shelf.drop, replaced)

    async def _hear(self, inbox: Inbox, station: Station, said: Report) -> None:
        """Raises StorageFull: it was heard, but its receipts are not durable."""
        station.heard(said)
        self._heard.set()
        for name, identifier in [pair for pair in self._awaited if pair[0] == station.name]:
            item = self._air.items.get(identifier)
            if item is None or station.has_verified(item):
                self._awaited.discard((name, identifier))
                inbox.reachable()
        verified = {(station.name, i) for i, item in self._air.items.items() if station.has_verified(item)}
        new = sorted(verified - self._recorded)
        if new:
            at = datetime.fromtimestamp(said.at_s, JST)
            words = station.verified
            await inbox.record(
                [Received(i, self.kind, name, Receipt.DELIVERED, at, words(self._air.items[i])) for name, i in new]
            )
            self._recorded.update(new)

    async def _follow_the_clock(self) -> None:
        while True:
            for identifier in self._air.expire(self.surroundings.clock.now()):
                await asyncio.to_thread(self._shelf.drop, identifier)
            for pairs in (self._awaited, self._recorded):
                pairs -= {pair for pair in pairs if pair[1] not in self._air.items}
            await self.surroundings.clock.sleep(LOOK_EVERY_S)

    @cached_property
    def _air(self) -> Air:
        return Air()

    @cached_property
    def _shelf(self) -> Shelf:
        return Shelf(self.surroundings.state_dir)

    @cached_property
    def _stations(self) -> dict[str, Station]:
        """By name; empty while the channel is not open."""
        return {}

    @cached_property
    def _heard(self) -> asyncio.Event:
        return asyncio.Event()

    @cached_property
    def _awaited(self) -> set[tuple[str, str]]:
        """Station and identifier of what was called temporary because no word had come."""
        return set()

    @cached_property
    def _recorded(self) -> set[tuple[str, str]]:
        """Station and identifier whose receipt is durable. Forgotten by a restart: the ledger knows the same one again."""
        return set()

    async def probe(self) -> Probe:
        words = [self._state_of(place) for place in self.settings.stations]
        return Probe(is_up=all(is_up for is_up, _ in words), words="、".join(text for _, text in words))

    def _state_of(self, place: Place) -> tuple[bool, str]:
        name, station = place.title or place.name, self._stations.get(place.name)
        if station is None:
            return False, f"{name}: 開いていません"
        if station.trouble:
            return False, f"{name}: 送信できません: {station.trouble}"
        if station.reported_s is None:
            return False, f"{name}: 監視受信機の報告がまだありません"
        age_s = self.surroundings.clock.monotonic() - station.reported_s
        if age_s > 3 * self.settings.report_every:
            return False, f"{name}: 監視受信機の報告が {age_s:.0f} 秒ありません"
        return True, f"{name}: 監視受信機が受信中（{age_s:.0f} 秒前）"

    def _render(self, alert: Alert[M], audience: Audience) -> Rendering[M]:
        del audience
        if not alert.info:
            raise InvalidInput([Finding("info", f"{alert.identifier} has no text in any language")])
        if alert.expires is None:
            raise InvalidInput([Finding("expires", "いつまで流すかが決まりません (no end, so no end to the carousel)")])
        infos = standing(alert, self.mode)
        texts: tuple[Text, ...] = tuple(Text(info.language, plain(info)) for info in infos)
        parts = [
            Part(PAGE, "text/html; charset=utf-8", page(infos, has_form=self.settings.answers is not None)),
            Part("alert.xml", cap.MEDIA_TYPE, cap.write(alert)),
            *(Part(f"notice-{t.language}.txt", "text/plain; charset=utf-8", t.words.encode()) for t in texts),
            Part(AIR, "application/json", Announcement.of(alert, alert.expires).to_bytes()),
        ]
        return Rendering(
            channel=self.kind,
            identifier=alert.identifier,
            status=alert.status,
            texts=texts,
            parts=tuple(parts),
            findings=tuple(
                Finding(part.name, f"{len(part.data)} バイトは長すぎます（{MAX_FILE_BYTES} まで）")
                for part in parts
                if len(part.data) > MAX_FILE_BYTES
            ),
        )

    async def _send(self, rendering: Rendering[M], destinations: Sequence[Destination], tell: Tell) -> None:
        if not self._stations:
            raise TemporaryFailure("チャネルが開いていません (not open)")
        item = Item.of(rendering)
        if not self._air.put(item):
            for destination in destinations:
                tell(Told(destination.address, Outcome.PERMANENT, "後の発表に置き換えられています (already replaced)"))
            return
        await asyncio.to_thread(self._keep, item)
        for station in self._stations.values():
            station.change()
        waiting = {d.address: self._stations.get(d.address) for d in destinations}
        try:
            async with asyncio.timeout(self.settings.confirm_within):
                while waiting:
                    self._heard.clear()
                    for address, here in list(waiting.items()):
                        if here is None:
                            tell(Told(address, Outcome.PERMANENT, "この駅は設定にありません (no such station)"))
                            del waiting[address]
                        elif here.has_verified(item):
                            tell(Told(address, Outcome.TAKEN, here.verified(item)))
                            del waiting[address]
                    if waiting:
                        await self._heard.wait()
        except TimeoutError:
            places = {place.name: place for place in self.settings.stations}
            for address, here in waiting.items():
                self._awaited.add((address, item.said.identifier))
                refused = here.refused.get(item.said.identifier) if here else None
                words = f"送信できません: {refused}" if refused else self._state_of(places[address])[1]
                tell(Told(address, Outcome.TEMPORARY, f"確かめた報告がまだありません。{words}"))

    def _keep(self, item: Item) -> None:
        try:
            self._shelf.put(item)
            for earlier in item.said.replaces:
                self._shelf.drop(earlier)
        except OSError as error:
            # It is on the air all the same; only a restart would not know it, and then it is sent again.
            raise TemporaryFailure(f"{error.strerror or error}") from error


Kind = WifiMulticast
