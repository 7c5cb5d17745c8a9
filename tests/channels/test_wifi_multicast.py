"""Station Wi-Fi on real multicast over loopback, with the stations' own receivers; forgeries and losses are asked of the air."""

import asyncio
import json
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import aiohttp
import pytest

from channels.wifi_multicast import Kind, Place, Settings, WifiMulticast
from channels.wifi_multicast.item import Announcement, Item
from channels.wifi_multicast.station import Air, Station
from config.cities import load
from config.document import ConfigError
from config.secret import Secret
from dispatcher import cap
from dispatcher.clock import ManualClock, SystemClock
from dispatcher.errors import ModeLeak
from dispatcher.model.delivery import Outcome, Receipt
from dispatcher.model.mode import Drill, Live
from dispatcher.model.rendering import Part, Rendering
from drills.world.ports import free_port
from drills.world.wifi_multicast import STATIONS, World
from multicast import report, udp
from multicast.key_files import BadKey
from multicast.keys import SenderKey, Trust, load_sender, load_trust
from multicast.manifest import Notice
from multicast.monitor import Monitor
from multicast.reassembly import Delivered, Reassembly
from multicast.receiver import open_receiver
from multicast.report import Report
from multicast.sender import Content, open_sender
from tests.contracts.channel_contract import (
    ChannelContract,
    Memory,
    Rig,
    attempt,
    members,
    surroundings,
    until_taken,
)
from tests.samples import OSAWA, SENT, correction, evacuation_order, lifting, plain_correction, retraction

ORDER = evacuation_order(Drill)


class ThatNight(SystemClock):
    """The machine's time, moved to the night of the samples: an order that has ended goes on no air."""

    def __init__(self) -> None:
        self._behind = super().now() - SENT

    def now(self):
        return super().now() - self._behind


CLOCK = ThatNight()


def wall() -> float:
    return CLOCK.now().timestamp()


def settings_for(world: World, **changed) -> Settings:
    said = world.settings()
    places = tuple(Place(**{**s, "secret": Secret(Path(s["secret"]["file"]).read_text())}) for s in said["stations"])
    return replace(
        Settings(key=Path(said["key"]), reports=said["reports"], stations=places, report_every=0.5, confirm_within=1.0),
        **changed,
    )


class Sections(HTMLParser):
    """The text of each block of a language."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.feed(data.decode())

    def handle_starttag(self, tag, attrs):
        if tag == "section":
            self.found.append((dict(attrs)["lang"], ""))

    def handle_data(self, data):
        if self.found:
            language, words = self.found[-1]
            self.found[-1] = (language, words + data)


class WifiRig(Rig):
    def __init__(self, world: World, state_dir: Path) -> None:
        self.world = world
        self.state_dir = state_dir
        self.inbox = Memory()
        self.channel = self.of(Drill)

    def of(self, mode, **changed):
        return WifiMulticast(
            mode, settings_for(self.world, **changed), replace(surroundings(self.state_dir), clock=CLOCK)
        )

    def other_mode(self):
        return self.of(Live)

    async def texts(self) -> Sequence[tuple[str, str]]:
        found = []
        for path in (self.state_dir.parent / "world" / "received").rglob("*"):
            if path.suffix == ".txt":
                found.append((path.stem.removeprefix("notice-"), path.read_text("utf-8")))
            elif path.suffix == ".html":
                found += Sections(path.read_bytes()).found
            elif path.suffix == ".xml":
                found += [(i.language, f"{i.headline} {i.place}") for i in cap.read(path.read_bytes()).info]
        return found

    async def tellings(self, rendering: Rendering[Drill]) -> Counter[str]:
        return Counter(
            name
            for name, monitor in zip(STATIONS, self.world.monitors, strict=True)
            for event in monitor.seen
            if event.what == "shown" and event.identifier == rendering.identifier
        )

    @asynccontextmanager
    async def broken(self):
        async with self.world.down():
            yield


def that_night(tmp_path: Path) -> World:
    world = World(tmp_path / "world", load("mitaka"), 1)
    world.wall = wall
    return world


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[WifiRig]:
    async with that_night(tmp_path) as world:
        rig = WifiRig(world, tmp_path / "state")
        async with rig.channel.open(rig.inbox):
            yield rig


async def until(holds) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await SystemClock().sleep(0.02)


async def sent(rig: WifiRig, alert=ORDER) -> Rendering[Drill]:
    rendering = rig.channel.render(alert, await rig.channel.audience(OSAWA))
    await until_taken(rig.channel, rendering, await members(rig.channel))
    return rendering


class TestContract(ChannelContract):
    @pytest.fixture
    def rig(self, rig: WifiRig) -> WifiRig:
        return rig


def test_the_node_finds_the_channel_by_its_kind():
    assert Kind is WifiMulticast
    assert Kind.kind == "wifi_multicast"
    assert not Kind.counts_people


async def test_a_station_counts_only_when_its_receiver_holds_every_byte_that_was_rendered(rig):
    rendering = await sent(rig)
    for name in STATIONS:
        folder = rig.state_dir.parent / "world" / "received" / name / rendering.identifier
        assert {p.name for p in folder.iterdir()} == {p.name for p in rendering.parts} - {"air.json"}
        for path in folder.iterdir():
            assert path.read_bytes() == rendering.part(path.name)


async def test_a_station_that_says_nothing_is_temporary_in_words_and_its_report_brings_the_next_attempt(rig):
    rendering = rig.channel.render(ORDER, await rig.channel.audience(OSAWA))
    async with rig.world.down():
        told = await attempt(rig.channel, rendering, await members(rig.channel))
        assert {t.outcome for t in told} == {Outcome.TEMPORARY}
        assert all("監視受信機" in t.words for t in told)
        assert not rig.inbox.reachable_calls
    await until(lambda: rig.inbox.reachable_calls)
    told = await until_taken(rig.channel, rendering, await members(rig.channel))
    assert len(told) == len(STATIONS)


async def test_a_correction_takes_the_place_of_the_order_and_the_receivers_hide_it(rig):
    await sent(rig)
    corrected = await sent(rig, correction(ORDER))
    for monitor in rig.world.monitors:
        assert [notice.identifier for notice in monitor.manifest.notices] == [corrected.identifier]
        assert monitor.manifest.cancels == (ORDER.identifier,)
        await until(lambda monitor=monitor: any(e.what == "hidden" for e in monitor.seen))


@pytest.mark.parametrize("ends", [retraction, lifting])
async def test_what_ends_an_order_sends_nobody_to_a_shelter(rig, ends):
    audience = await rig.channel.audience(OSAWA)
    shelters = {"index.html": "大沢台小学校", "notice-ja.txt": "大沢台小学校", "notice-en-US.txt": "Osawadai"}
    for alert, is_named in ((ORDER, True), (ends(ORDER), False)):
        rendering = rig.channel.render(alert, audience)
        for name, shelter in shelters.items():
            assert (shelter in rendering.part(name).decode()) is is_named
        assert ("警戒レベル4" in rendering.part("index.html").decode()) is is_named


async def test_a_correction_says_so_on_the_page_and_in_the_texts_and_what_was_wrong(rig):
    rendering = rig.channel.render(plain_correction(ORDER), await rig.channel.audience(OSAWA))
    page = dict(Sections(rendering.part("index.html")).found)
    for language, mark, wrong in (
        ("ja", "【訓練】【訂正】大沢", "訂正の内容：避難所の名前"),
        ("ja-x-easy", "【訓練】【訂正】大沢", "なおした ところ：避難所の名前"),
        ("en-US", "[DRILL] [CORRECTION] Osawa", "What was wrong: 避難所の名前"),
    ):
        for said in (page[language], rendering.part(f"notice-{language}.txt").decode()):
            assert mark in said
            assert wrong in said


async def test_what_was_replaced_never_comes_back_on_the_air(rig):
    await sent(rig, retraction(ORDER))
    told = await attempt(
        rig.channel, rig.channel.render(ORDER, await rig.channel.audience(OSAWA)), await members(rig.channel)
    )
    assert {t.outcome for t in told} == {Outcome.PERMANENT}
    assert not any(await rig.tellings(rig.channel.render(ORDER, await rig.channel.audience(OSAWA))))


async def test_after_a_restart_what_still_holds_is_on_the_air_again(tmp_path):
    async with that_night(tmp_path) as world:
        rig = WifiRig(world, tmp_path / "state")
        async with rig.channel.open(rig.inbox):
            rendering = await sent(rig)
        async with world.down():
            pass  # receivers that know nothing any more
        again = rig.of(Drill)
        async with again.open(Memory()):
            await until(lambda: all(m.report().holds.get(rendering.identifier) for m in world.monitors))


async def test_what_has_ended_leaves_the_disk_and_is_not_sent_after_a_restart(rig):
    await sent(rig)
    assert list((rig.state_dir / "on_air").glob("*.json"))
    clock = ManualClock(SENT + timedelta(days=2))
    later = WifiMulticast(
        Drill,
        replace(rig.channel.settings, reports="127.0.0.1:0"),
        replace(rig.channel.surroundings, clock=clock),
    )
    async with later.open(Memory()):
        await until(lambda: not list((rig.state_dir / "on_air").glob("*.json")))


async def test_a_live_key_in_a_drill_is_refused_before_anything_is_on_the_air(rig, tmp_path):
    key = tmp_path / "live.key"
    SenderKey.generate("Actual", now_s=wall()).save(key)
    channel = rig.of(Drill, key=key, reports="127.0.0.1:0")
    with pytest.raises(ModeLeak, match="Actual"):
        async with channel.open(Memory()):
            pass


async def test_a_key_that_is_none_is_named_as_a_problem_of_the_site_file(rig, tmp_path):
    channel = rig.of(Drill, key=tmp_path / "none.key", reports="127.0.0.1:0")
    with pytest.raises(ConfigError, match=r"none\.key:1: channels\.wifi_multicast\.key: .*No such file"):
        async with channel.open(Memory()):
            pass


async def test_what_a_live_node_left_on_the_disk_is_refused_by_a_drill(rig):
    await sent(rig)
    (kept,) = (rig.state_dir / "on_air").glob("*.json")
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"status": "Actual"}))
    with pytest.raises(ModeLeak):
        async with rig.of(Drill, reports="127.0.0.1:0").open(Memory()):
            pass


async def test_a_damaged_file_keeps_nothing_else_from_the_air(rig):
    rendering = await sent(rig)
    (rig.state_dir / "on_air" / "damaged.json").write_bytes(b"\xff{")
    (rig.state_dir / "on_air" / "odd.json").write_text("[]")
    again = rig.of(Drill, reports="127.0.0.1:0")
    async with again.open(Memory()):
        assert rendering.identifier in again._air.items


async def post(rig: WifiRig, name: str, headers, body: bytes) -> int:
    url = f"http://{rig.channel.settings.reports}/stations/{name}"
    async with aiohttp.ClientSession() as session, session.post(url, headers=headers, data=body) as response:
        return response.status


async def test_a_forged_report_makes_no_station_count(rig):
    rendering = rig.channel.render(ORDER, await rig.channel.audience(OSAWA))
    digests = frozenset(sha256(p.data).hexdigest() for p in rendering.parts)
    lie = Report(1, {rendering.identifier: digests}, frozenset())
    async with rig.world.down():
        secret = rig.channel.settings.stations[0].secret.reveal()
        for name, key, at_s in (
            ("mitaka", secrets.token_hex(16), wall()),
            ("mitakadai", secret, wall()),
            ("nowhere", secret, wall()),
            ("mitaka", secret, wall() - 3600),
        ):
            assert await post(rig, name, *report.write(lie, key, at_s)) == 401
        headers, body = report.write(lie, secret, wall())
        assert await post(rig, "mitaka", headers, body.replace(b"hidden", b"hiddem")) == 401
        for odd in (b"", b"\xff", b"[]", b"[" * 5000, b"{}", b'{"data": {"holds": 1, "sequence": 1, "hidden": []}}'):
            moment = str(int(wall()))
            signed = report._sign(secret, "x", moment, odd)
            headers = {report.ID: "x", report.TIMESTAMP: moment, report.SIGNATURE: f"v1,{signed}"}
            assert await post(rig, "mitaka", headers, odd) == 401
        assert await post(rig, "mitaka", {}, b"x" * 200_000) == 413
        empty = Report(1, {}, frozenset())
        assert await post(rig, "mitaka", *report.write(empty, secret, wall())) == 204
        assert await post(rig, "mitaka", *report.write(lie, secret, wall() - 60)) == 401
        told = await attempt(rig.channel, rendering, await members(rig.channel))
        assert {t.outcome for t in told} == {Outcome.TEMPORARY}


async def test_what_somebody_else_sends_to_the_group_is_kept_by_no_receiver(rig):
    await sent(rig)
    thief = SenderKey.generate("Exercise", now_s=wall())
    forged = Notice("forged", "Extreme", (), CLOCK.now() + timedelta(hours=1))
    endpoint = rig.world.endpoint(0)
    async with open_sender(endpoint, tsi=1, key=thief, wall=wall) as sender:
        await sender.show(forged, [Content("index.html", "text/html", b"<p>go home</p>")])
        await sender.sent(60)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
        noise.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        for length in (0, 1, 4, 40, 1472):
            noise.sendto(secrets.token_bytes(length), (endpoint.group, endpoint.port))
    monitor: Monitor = rig.world.monitors[0]
    await until(lambda: sum(monitor.reassembly.refused.values()) > 20)
    assert {event.identifier for event in monitor.seen} == {ORDER.identifier}
    assert not list((rig.state_dir.parent / "world" / "received").rglob("forged*"))


async def test_an_interface_that_is_not_there_is_temporary_in_its_words_and_the_other_stations_take_it(tmp_path):
    async with that_night(tmp_path) as world:
        settings = settings_for(world, confirm_within=2.0)
        first, *others = settings.stations
        settings = replace(settings, stations=(replace(first, interface="nosuch0"), *others))
        channel = WifiMulticast(Drill, settings, replace(surroundings(tmp_path / "state"), clock=CLOCK))
        async with channel.open(Memory()):
            rendering = channel.render(ORDER, await channel.audience(OSAWA))
            told = {t.address: t for t in await attempt(channel, rendering, await members(channel))}
            assert told[first.name].outcome is Outcome.TEMPORARY
            assert "nosuch0" in told[first.name].words
            assert {told[p.name].outcome for p in others} == {Outcome.TAKEN}
            probe = await channel.probe()
            assert not probe.is_up
            assert "nosuch0" in probe.words


@pytest.mark.namespaces
def test_a_station_whose_interface_went_and_came_back_is_on_the_air_again(tmp_path):
    """In a network of its own (this file as a program, below): there an interface can be taken away and put back."""
    run = subprocess.run(
        [shutil.which("unshare") or "/usr/bin/unshare", "-rn", sys.executable, "-m", __name__, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["heard", "gone", "heard"]


async def gone_and_back(folder: Path) -> None:
    """Prints when the air of one station is heard on its interface, when the station has trouble, when it is heard again."""

    def interface(*words: str) -> None:
        subprocess.run(["/usr/sbin/ip", *words], check=True)

    def appears() -> None:
        interface("link", "add", "wifi0", "type", "veth", "peer", "name", "phone0")
        for name in ("wifi0", "phone0"):
            interface("link", "set", name, "up")
        interface("address", "add", "10.9.0.1/24", "dev", "wifi0")

    interface("link", "set", "lo", "up")
    appears()
    key = SenderKey.generate("Exercise", now_s=wall())
    key.save(folder / "key")
    place = Place(name="s", interface="wifi0", secret=Secret("x" * 16))
    settings = Settings(key=folder / "key", reports="127.0.0.1:8184", stations=(place,), confirm_within=0.1)
    channel = WifiMulticast(Drill, settings, replace(surroundings(folder / "state"), clock=CLOCK))

    async def heard() -> None:
        reassembly = Reassembly(
            tsi=1, trust=Trust(sender=key.public, status="Exercise"), wall=wall, clock=time.monotonic
        )
        async with open_receiver(place.endpoint, reassembly) as events, asyncio.timeout(20):
            async for event in events:
                if isinstance(event, Delivered):
                    break
        sys.stdout.write("heard\n")

    async with channel.open(Memory()):
        await attempt(channel, channel.render(ORDER, await channel.audience(OSAWA)), await members(channel))
        await heard()
        interface("link", "delete", "wifi0")
        await until(lambda: channel._stations["s"].trouble)
        sys.stdout.write("gone\n")
        appears()
        await heard()


async def test_a_live_receiver_in_reach_of_a_drill_shows_nothing(rig):
    """Neither when it is set up with the drill's key, nor when that key was passed off as one for Actual."""
    with pytest.raises(BadKey, match="Exercise"):
        load_trust(Path(f"{rig.channel.settings.key}.pub"), "Actual")
    taken_in = Trust(sender=load_sender(rig.channel.settings.key).public, status="Actual")
    live = Reassembly(tsi=1, trust=taken_in, wall=wall, clock=time.monotonic)
    async with open_receiver(rig.world.endpoint(0), live) as events, asyncio.TaskGroup() as tasks:

        async def first() -> object:
            return await anext(events)

        watching = tasks.create_task(first())
        await sent(rig)
        await until(lambda: live.refused["bad manifest"])
        assert not watching.done()
        watching.cancel()


async def test_what_ends_while_the_node_runs_leaves_the_air_and_the_disk(rig):
    ends = CLOCK.now() + timedelta(seconds=2)
    short = replace(ORDER, info=tuple(replace(i, expires=ends) for i in ORDER.info))
    await sent(rig, short)
    stations = rig.channel._stations.values()
    assert all(station._sender.carousel.notices for station in stations)
    await until(lambda: not list((rig.state_dir / "on_air").glob("*.json")))
    assert CLOCK.now() >= ends
    await until(lambda: not any(station._sender.carousel.notices for station in stations))


async def test_altered_packets_are_kept_by_no_receiver_and_cost_it_nothing(rig):
    endpoint = rig.world.endpoint(0)
    reassembly = rig.world.monitors[0].reassembly
    heard: list[bytes] = []
    with udp.open_for_receiving(endpoint) as sock:
        rendering = rig.channel.render(ORDER, await rig.channel.audience(OSAWA))
        await until_taken(rig.channel, rendering, await members(rig.channel))
        while len(heard) < 40 and (datagram := udp.receive(sock)):
            heard.append(datagram[0])
    reserved = reassembly.reserved_bytes
    kept = {path: path.read_bytes() for path in (rig.state_dir.parent / "world" / "received").rglob("*.*")}
    before = sum(reassembly.refused.values())
    with udp.open_for_sending(endpoint) as noise:
        for number, datagram in enumerate(heard):
            # The TOI goes to one never used, so that no receiver can say that it has this object already.
            fresh = datagram[:12] + (number + 1).to_bytes(4, "big") + datagram[16:-1] + bytes([datagram[-1] ^ 1])
            noise.send(fresh)
            noise.send(datagram[: len(datagram) // 2])
    await until(lambda: sum(reassembly.refused.values()) - before >= len(heard))
    assert reassembly.reserved_bytes <= reserved
    assert {path: path.read_bytes() for path in kept} == kept
    assert {event.identifier for event in rig.world.monitors[0].seen} == {ORDER.identifier}


async def test_what_a_station_verified_is_kept_as_its_receipt_once(rig):
    rendering = await sent(rig)
    await until(lambda: len(rig.inbox.received) >= len(STATIONS))
    reports = [monitor.reassembly.packets for monitor in rig.world.monitors]
    await until(lambda: all(m.reassembly.packets > n for m, n in zip(rig.world.monitors, reports, strict=True)))
    assert sorted((r.address, r.identifier, r.receipt) for r in rig.inbox.received) == sorted(
        (name, rendering.identifier, Receipt.DELIVERED) for name in STATIONS
    )


async def test_in_a_long_night_every_order_is_on_the_air_and_so_is_every_retraction(rig):
    """A manifest names 63 files and each of these orders has five: the oldest keep their page alone, which says everything."""
    crowd = [replace(ORDER, identifier=f"mitaka-20260914-1{n:03d}") for n in range(30)]
    audience = await rig.channel.audience(OSAWA)
    to = await members(rig.channel)
    for alerts in (crowd, [retraction(alert) for alert in crowd]):
        async with asyncio.TaskGroup() as tasks:
            for alert in alerts:
                tasks.create_task(until_taken(rig.channel, rig.channel.render(alert, audience), to))
        current = {alert.identifier for alert in alerts}
        for monitor in rig.world.monitors:
            await until(lambda monitor=monitor, current=current: set(monitor.report().holds) == current)
            for notice in monitor.manifest.notices:
                assert "index.html" in {entry.name for entry in notice.entries}
                page = rig.state_dir.parent / "world" / "received"
                assert len(list(page.glob(f"*/{notice.identifier}/index.html"))) == len(STATIONS)
    told = await attempt(rig.channel, rig.channel.render(retraction(crowd[0]), audience), to)
    assert all("ページだけ" in t.words for t in told)


async def test_what_finds_no_room_at_all_says_so_and_a_retraction_takes_the_room_of_what_it_retracts(rig):
    """64 orders of one page each, on a station of its own."""
    key = SenderKey.generate("Exercise", now_s=wall())
    air = Air()
    station = Station("mitaka", rig.world.endpoint(0), 2, 5_000_000, key, air, CLOCK)

    def page(name: str, *replaces: str) -> Item:
        said = Announcement(name, "Severe", (), (SENT + timedelta(hours=12)).isoformat(), replaces)
        return Item(said, "Exercise", (Part("index.html", "text/html", name.encode()),))

    async with asyncio.TaskGroup() as tasks:
        for number in range(64):
            air.put(page(f"order-{number}"))
        running = tasks.create_task(station.run())
        await until(lambda: station.refused)
        assert station.refused == {"order-63": "64 objects; accepted are 63"}
        air.put(page("retraction-0", "order-0"))
        station.change()
        await until(lambda: station._carries(air.items["retraction-0"]))
        assert set(station.refused) == {"order-63"}
        running.cancel()


async def test_the_monitor_of_the_command_line_makes_its_station_count(rig, tmp_path):
    """With the machine's own time, as a station has it: so with an order of now."""
    channel = WifiMulticast(
        Drill, replace(rig.channel.settings, reports=free_address()), surroundings(tmp_path / "now")
    )
    async with rig.world.down(), channel.open(Memory()):
        place = channel.settings.stations[0]
        secret = tmp_path / "secret"
        secret.write_text(place.secret.reveal() + "\n")
        options = {
            "--group": place.group,
            "--port": place.port,
            "--iface": place.interface,
            "--out": tmp_path / "station",
            "--trust": f"{channel.settings.key}.pub",
            "--status": "Exercise",
            "--secret-file": secret,
            "--report": f"http://{channel.settings.reports}/stations/{place.name}",
        }
        monitor = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "dispatcher", "multicast", "monitor"),
            *(str(part) for option in options.items() for part in option),
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            order = evacuation_order(Drill, sent=SystemClock().now().replace(microsecond=0))
            rendering = channel.render(order, await channel.audience(OSAWA))
            to = [d for d in await members(channel) if d.address == place.name]
            told = await until_taken(channel, rendering, to)
            assert "確かめました" in told[place.name].words
        finally:
            monitor.send_signal(signal.SIGINT)
            _, said = await monitor.communicate()
        assert monitor.returncode == 0, said
        assert f"shown {order.identifier}" in said.decode()
        kept = tmp_path / "station" / order.identifier / "notice-ja.txt"
        assert kept.read_bytes() == rendering.part("notice-ja.txt")


def free_address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"stations": ()}, "stations"),
        ({"reports": "8184"}, "reports"),
        ({"reports": "host:99999"}, "reports"),
        ({"rate": 1}, "rate"),
        ({"tsi": 0}, "tsi"),
        ({"confirm_within": 0.0}, "confirm_within"),
    ],
)
async def test_settings_that_cannot_work_are_named(rig, changed, where):
    assert where in [name for name, _ in replace(rig.channel.settings, **changed).problems()]
    assert not list(rig.channel.settings.problems())


def test_a_station_needs_a_group_a_name_and_a_secret_worth_the_word():
    place = Place(name="a b", group="10.0.0.1", interface="eth1", secret=Secret("short"))
    assert [where for where, _ in place.problems()] == ["name", "secret", "group"]


if __name__ == "__main__":
    asyncio.run(gone_and_back(Path(sys.argv[1])))
