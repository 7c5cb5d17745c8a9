"""Web Push, opened by a push service that knows nothing of our library; and every address that we never call."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from channels.website import Website
from config.cities import load
from config.secret import Secret
from config.site import Push as Settings
from dispatcher import residents
from dispatcher.channel import Surroundings
from dispatcher.clock import SystemClock
from dispatcher.errors import InvalidInput
from dispatcher.ledger import Ledger
from dispatcher.ledgers import open_ledger
from dispatcher.listening import listening
from dispatcher.model.mode import Drill
from dispatcher.residents import devices as doors
from dispatcher.residents import names, push
from dispatcher.residents.devices import KIND, Devices, name
from dispatcher.residents.names import PublicNames, leads_outside
from dispatcher.residents.push import TOLD, Push
from dispatcher.residents.webpush import Sender, device, is_public
from tests.contracts.ledger_contract import Sender as Attempts
from tests.contracts.ledger_contract import sending
from tests.samples import evacuation_order, retraction
from tests.servers.name_server import SILENT, name_server
from tests.servers.push_service import Phone, data, push_service, text

PEM = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
ORDER = evacuation_order(Drill, sent=SystemClock().now().replace(microsecond=0))
CLOCK = SystemClock()
OTHER = replace(ORDER, identifier=f"{ORDER.identifier}-2", sent=ORDER.sent + timedelta(seconds=1))


class Site:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.channel: Website[Drill] = Website(
            Drill,
            Website.Settings(folder=folder / "site", url="http://127.0.0.1"),
            Surroundings(CLOCK, load("mitaka"), folder, "http://127.0.0.1"),
        )

    def publish(self, alert) -> None:
        self.channel._publisher.publish(self.channel.render(alert, None))


@asynccontextmanager
async def node(
    folder: Path, called: str = "a", dsn: str | None = None
) -> AsyncIterator[tuple[str, aiohttp.ClientSession, Ledger]]:
    where = dsn or f"sqlite:///{folder / 'todoke.db'}"
    async with open_ledger(where, mode=Drill, node=called, clock=CLOCK) as ledger:
        sender = Sender(PEM, "mailto:bousai@example.jp", CLOCK)
        pushing = Push(
            ledger, CLOCK, sender, Devices(ledger, CLOCK, PEM, is_loopback_fine=True), folder / "site", called
        )
        application = residents.application(pushing.routes, None)
        listener = listening(application, "127.0.0.1", 0)
        async with listener as (_, port), aiohttp.ClientSession() as session, pushing.open():
            yield f"http://127.0.0.1:{port}", session, ledger


async def post(session: aiohttp.ClientSession, url: str, body: object, client: str = "") -> int:
    async with session.post(url, json=body, headers={"X-Forwarded-For": client} if client else {}) as answer:
        return answer.status


async def until(phone: Phone, count: int) -> None:
    async with asyncio.timeout(15):
        while len(phone.shown) < count:
            await CLOCK.sleep(0.02)


async def test_what_a_device_shows_was_sealed_for_it_and_signed_by_the_city(tmp_path: Path):
    site = Site(tmp_path)
    async with push_service() as service, node(tmp_path) as (url, session, _):
        ours, subscription = service.phone()
        theirs, english = service.phone()
        assert await post(session, f"{url}/push/subscribe", subscription) == 200
        assert await post(session, f"{url}/push/subscribe", english | {"language": "en"}) == 200
        site.publish(ORDER)
        await until(ours, 1)
        await until(theirs, 1)
        (said,) = ours.shown
        assert said["title"].startswith("【訓練】")
        assert said["page"] == f"alerts/{ORDER.identifier}/index.html"
        assert theirs.shown[0]["title"].startswith("[DRILL]")
        async with session.get(f"{url}/push/key") as answer:
            key = (await answer.json())["key"]
        (asked,) = ours.asked
        assert asked["Authorization"].endswith(f"k={key}")
        assert (asked["Urgency"], asked["Content-Encoding"]) == ("high", "aes128gcm")
        assert 60 <= int(asked["TTL"]) <= 86_400
        site.publish(retraction(ORDER))
        await until(ours, 2)
        assert ours.shown[1]["tag"] == said["tag"]
        assert ours.asked[1]["Topic"] == asked["Topic"]
        assert len(asked["Topic"]) <= 32


@pytest.mark.parametrize("status", [404, 410])
async def test_a_device_that_is_gone_is_forgotten_and_one_that_unsubscribes_hears_nothing(tmp_path: Path, status: int):
    site = Site(tmp_path)
    async with push_service() as service, node(tmp_path) as (url, session, ledger):
        (gone, first), (left, second), (stays, third) = (service.phone() for _ in range(3))
        gone.status = status
        for subscription in (first, second, third, third):
            assert await post(session, f"{url}/push/subscribe", subscription) == 200
        assert await post(session, f"{url}/push/unsubscribe", second) == 200
        assert await post(session, f"{url}/push/unsubscribe", {"endpoint": "https://never.example/x"}) == 200
        site.publish(ORDER)
        await until(stays, 1)
        async with asyncio.timeout(10):
            while len(await ledger.records(KIND)) != 1:
                await CLOCK.sleep(0.02)
        assert not left.asked
        assert len(gone.asked) == 1


async def test_a_message_is_pushed_once_also_over_a_restart(tmp_path: Path):
    site = Site(tmp_path)
    async with push_service() as service:
        phone, subscription = service.phone()
        async with node(tmp_path) as (url, session, _):
            assert await post(session, f"{url}/push/subscribe", subscription) == 200
            site.publish(ORDER)
            await until(phone, 1)
        async with node(tmp_path) as (url, session, _):
            site.publish(retraction(ORDER))
            await until(phone, 2)
        assert len({said["title"] for said in phone.shown}) == 2
        assert len(phone.asked) == 2


BAD = [
    "http://push.example.jp/x", "https://10.0.0.1/x", "https://192.168.1.1/", "https://[::1]/", "https://127.0.0.1/", "https://0x7f000001/",
    "https://2130706433/", "https://localhost/", "https://169.254.169.254/latest", "https://push.example.jp:8443/x", "https://a@push.example.jp/",
    "ftp://push.example.jp/", "https://", "x" * 2000, "https://push.example.jp/\r\nX: y", "https://[::ffff:10.0.0.1]/", None, 5,
]  # fmt: skip


@pytest.mark.parametrize("endpoint", BAD)
def test_an_address_inside_a_house_is_never_called(endpoint):
    assert not is_public(endpoint)
    assert is_public("https://push.example.jp/send/abc")


INSIDE = [
    "10.0.0.1", "127.0.0.1", "0.0.0.0", "169.254.169.254", "100.64.0.1", "224.0.1.1", "240.0.0.1", "192.88.99.1", "::1", "fd00::1",
    "fe80::1%eth0", "fec0::1", "ff0e::1", "::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::808:808", "2002:a00:1::1",
    "2002:808:808::1", "2001:0:a00::1", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
async def test_a_name_that_leads_inside_is_not_followed_by_whichever_way(address: str):
    assert not leads_outside(address)
    address = address.partition("%")[0]
    async with name_server({"push.example.jp": address}) as (server, asked):
        with pytest.raises(OSError, match=names.NO_SUCH):
            await PublicNames([server]).resolve("push.example.jp", 443, socket.AF_UNSPEC)
        assert set(asked) == {"push.example.jp"}


@pytest.mark.parametrize("address", ["8.8.8.8", "2404:6800:4004::1", "64:ff9b::808:808", "::ffff:8.8.8.8"])
async def test_a_name_that_leads_into_the_world_is_also_through_nat64(address: str):
    async with name_server({"push.example.jp": address}) as (server, _):
        (found,) = await PublicNames([server]).resolve("push.example.jp", 443, socket.AF_UNSPEC)
        assert (found["host"], found["port"]) == (address, 443)


async def test_a_name_that_says_another_address_when_it_is_asked_again_leads_nowhere_inside():
    """DNS rebinding: what was judged is what is called, and the next time it is judged again."""
    async with name_server({"push.example.jp": iter(["8.8.8.8", "127.0.0.1"])}) as (server, _):
        looking = PublicNames([server])
        assert [one["host"] for one in await looking.resolve("push.example.jp", 443)] == ["8.8.8.8"]
        with pytest.raises(OSError, match=names.NO_SUCH):
            await looking.resolve("push.example.jp", 443)


async def test_names_that_nobody_answers_for_hold_up_neither_each_other_nor_the_node(monkeypatch):
    monkeypatch.setattr(names, "LOOK_UP_S", 100)
    silent = {f"{n}.example.jp": SILENT for n in range(200)}
    async with name_server(silent | {"push.example.jp": "8.8.8.8"}) as (server, asked), asyncio.TaskGroup() as tasks:
        looking = PublicNames([server])
        waiting = [tasks.create_task(looking.resolve(name, 443)) for name in silent]
        while not asked:
            await CLOCK.sleep(0.01)
        assert await asyncio.to_thread(len, silent) == 200
        assert await looking.resolve("push.example.jp", 443)
        assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()


async def test_a_name_that_nobody_answers_for_is_given_up(monkeypatch):
    monkeypatch.setattr(names, "LOOK_UP_S", 0.2)
    async with name_server({"silent.example.jp": SILENT}) as (server, _):
        with pytest.raises(OSError, match=names.NO_SUCH):
            await PublicNames([server]).resolve("silent.example.jp", 443)


def test_everything_wrong_with_a_subscription_is_said_at_once_and_not_quoted():
    with pytest.raises(InvalidInput) as refused:
        device({"endpoint": "https://10.0.0.1/secret", "keys": {"p256dh": "!!", "auth": text(b"x")}, "language": "<b>"})
    assert [f.where for f in refused.value.findings] == ["endpoint", "keys.p256dh", "keys.auth", "language"]
    assert "secret" not in str(refused.value)
    with pytest.raises(InvalidInput, match="not a point"):
        device(
            {"endpoint": "https://a.example/x", "keys": {"p256dh": text(b"\4" + b"1" * 64), "auth": text(b"1" * 16)}}
        )


@pytest.mark.parametrize("body", [b"", b"[]", b"{" * 5000, b"\xff", b'{"endpoint": 1}', b'{"keys": []}'])
async def test_hostile_bytes_are_refused_and_nothing_is_kept(tmp_path: Path, body: bytes):
    async with node(tmp_path) as (url, session, ledger):
        async with session.post(f"{url}/push/subscribe", data=body) as answer:
            assert answer.status == 422
        assert not await ledger.records(KIND)


def test_nothing_of_a_device_stands_in_a_repr():
    phone = Phone()
    to = device(
        {"endpoint": "https://a.example/very-secret", "keys": {"p256dh": text(phone.public), "auth": text(phone.auth)}}
    )
    assert "very-secret" not in repr(to)


def test_the_site_file_says_what_is_wrong_with_key_and_contact():
    wrong = Settings(key=Secret("x"), contact="bousai")
    assert [where for where, _ in wrong.problems()] == ["contact", "key"]
    assert not list(Settings(key=Secret(PEM), contact="mailto:bousai@example.jp").problems())


async def test_what_a_node_was_pushing_when_it_died_is_pushed_by_another(tmp_path: Path):
    """The rest of the devices belonged to nobody: half the town was never rung."""
    site = Site(tmp_path)
    async with push_service() as service:
        phone, subscription = service.phone()
        async with node(tmp_path, "east") as (url, session, ledger):
            assert await post(session, f"{url}/push/subscribe", subscription) == 200
            begun = {"node": "east", "after": "", "is_done": False}
            await ledger.save_record(TOLD, name(ORDER.identifier), 0, begun, None)
        site.publish(ORDER)
        async with node(tmp_path, "west"):
            await until(phone, 1)


async def test_two_nodes_push_once_and_the_one_that_waits_goes_on_when_the_other_is_dead(tmp_path: Path, postgres):
    """It looked once, saw that another was at it, and never again."""
    site, dsn = Site(tmp_path), postgres.database()
    async with push_service() as service, node(tmp_path, "west", dsn) as (url, session, _):
        phone, subscription = service.phone()
        assert await post(session, f"{url}/push/subscribe", subscription) == 200
        async with open_ledger(dsn, mode=Drill, node="east", clock=CLOCK) as east, sending(east, Attempts()):
            begun = {"node": "east", "after": "", "is_done": False}
            await east.save_record(TOLD, name(ORDER.identifier), 0, begun, None)
            site.publish(ORDER)
            await CLOCK.sleep(3 * push.LOOK_S)
            assert not phone.shown
        await until(phone, 1)


async def test_a_new_message_waits_for_no_service_that_does_not_answer(tmp_path: Path, monkeypatch):
    """Further tries stood in line before it, and a service that hung was waited for once for each of its devices."""
    monkeypatch.setattr(push, "FIRST_TRY_S", 0.5)
    site = Site(tmp_path)
    async with push_service() as hanging, push_service() as good, node(tmp_path) as (url, session, ledger):
        hanging.is_answering.clear()
        stuck = [hanging.phone() for _ in range(150)]
        phone, subscription = good.phone()
        for it in [subscription, *(each for _, each in stuck)]:
            assert await post(session, f"{url}/push/subscribe", it) == 200
        site.publish(ORDER)
        await until(phone, 1)
        site.publish(OTHER)
        await until(phone, 2)
        assert phone.shown[1]["tag"] == OTHER.identifier
        assert not (await ledger.read_record(TOLD, name(ORDER.identifier)))[1]["is_done"]
        assert sum(len(each.asked) for each, _ in stuck) < 2 * 150, "it is left alone for a while"
        hanging.is_answering.set()


async def test_an_address_that_is_none_stops_nobody_elses(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(push, "RETRY_S", (0.1,))
    site = Site(tmp_path)
    odd = ["a" * 70, "xn--", "-", "a.", "*", "a%2e", "xn--a-0000", "a_b"]
    async with push_service() as service, node(tmp_path) as (url, session, ledger):
        phone, subscription = service.phone()
        for host in odd:
            strange = service.phone()[1] | {"endpoint": f"https://{host}.invalid/x"}
            assert await post(session, f"{url}/push/subscribe", strange) in {200, 422}
        assert await post(session, f"{url}/push/subscribe", subscription) == 200
        site.publish(ORDER)
        await until(phone, 1)
        async with asyncio.timeout(10):
            while not (await ledger.read_record(TOLD, name(ORDER.identifier)))[1]["is_done"]:
                await CLOCK.sleep(0.05)


async def test_an_older_message_never_comes_after_the_one_that_replaced_it(tmp_path: Path, monkeypatch):
    """Its further tries would have put 避難指示 over 取消 on the device's screen."""
    monkeypatch.setattr(push, "RETRY_S", (1.5, 1.5))
    site = Site(tmp_path)
    async with push_service() as service, node(tmp_path) as (url, session, ledger):
        phone, subscription = service.phone()
        phone.status = 503
        assert await post(session, f"{url}/push/subscribe", subscription) == 200
        site.publish(ORDER)
        async with asyncio.timeout(10):
            while not phone.asked:
                await CLOCK.sleep(0.02)
        phone.status = 201
        after = retraction(ORDER)
        site.publish(after)
        async with asyncio.timeout(10):
            while not all(body["is_done"] for _, _, body in await ledger.records(TOLD)) or len(phone.asked) < 2:
                await CLOCK.sleep(0.05)
        (said,) = phone.shown
        assert said["title"].endswith(after.info[0].headline)
        assert len(await ledger.records(TOLD)) == 2


async def test_one_address_brings_many_devices_and_no_flood(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(doors, "FREE", 3)
    async with push_service() as service, node(tmp_path) as (url, session, ledger):
        shelter, pest = "198.51.100.1", "203.0.113.1"
        many = [service.phone()[1] for _ in range(6)]
        told = [await post(session, f"{url}/push/subscribe", it, pest) for it in many]
        assert told[:3] == [200, 200, 200]
        assert told[4:] == [429, 429], "one may have been forgiven meanwhile"
        assert await post(session, f"{url}/push/subscribe", many[0], pest) == 200, "who says it again is no flood"
        assert await post(session, f"{url}/push/subscribe", many[5], shelter) == 200
        assert await post(session, f"{url}/push/unsubscribe", many[0], pest) == 200
        assert len(await ledger.records(KIND)) == told.count(200)


async def test_whoever_has_the_database_alone_has_no_device_of_it(tmp_path: Path):
    """What an earlier todoke left in the clear is sealed before the first message, and none is lost by it."""
    site = Site(tmp_path)
    async with push_service() as service:
        (old, clear), (new, subscription) = service.phone(), service.phone()
        seen = [clear["endpoint"], subscription["endpoint"]]
        keys = clear["keys"]
        body = {"endpoint": seen[0], "language": "ja"} | {
            said: base64.b64encode(data(keys[of])).decode() for said, of in (("key", "p256dh"), ("auth", "auth"))
        }
        async with open_ledger(f"sqlite:///{tmp_path / 'todoke.db'}", mode=Drill, node="a", clock=CLOCK) as ledger:
            await ledger.save_record(KIND, name(seen[0]), 0, body, None)
        assert found_in(tmp_path, seen)
        async with node(tmp_path) as (url, session, _):
            assert await post(session, f"{url}/push/subscribe", subscription) == 200
        assert not found_in(tmp_path, [*seen, body["key"], body["auth"]])
        async with node(tmp_path):
            site.publish(ORDER)
            await until(old, 1)
            await until(new, 1)


def found_in(folder: Path, words: list[str]) -> list[str]:
    files = [path.read_bytes() for path in folder.glob("todoke.db*")]
    return [word for word in words if any(word.encode() in file for file in files)]


async def test_devices_that_another_key_sealed_are_left_alone(tmp_path: Path, capsys):
    other = (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        .decode()
    )
    async with push_service() as service, node(tmp_path) as (url, session, ledger):
        _, subscription = service.phone()
        assert await post(session, f"{url}/push/subscribe", subscription) == 200
        ((key, device),) = await Devices(ledger, CLOCK, other).page("", 10)
        assert (key, device) == (name(subscription["endpoint"]), None)
        assert len(await ledger.records(KIND)) == 1
    assert subscription["endpoint"] not in capsys.readouterr().err
