"""Web Push, opened by a push service that knows nothing of our library; and every address that we never call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
from dispatcher.ledgers import open_ledger
from dispatcher.listening import listening
from dispatcher.model.mode import Drill
from dispatcher.residents.push import DEVICES, TOLD, Push, _name
from dispatcher.residents.webpush import PublicNames, Sender, device, is_public
from tests.contracts.ledger_contract import Sender as Attempts
from tests.contracts.ledger_contract import sending
from tests.samples import evacuation_order, retraction
from tests.servers.postgres import postgres
from tests.servers.push_service import Phone, push_service, text

__all__ = ["postgres"]

PEM = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
ORDER = evacuation_order(Drill, sent=SystemClock().now().replace(microsecond=0))
CLOCK = SystemClock()


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
    folder: Path, name: str = "a", dsn: str | None = None
) -> AsyncIterator[tuple[str, aiohttp.ClientSession, Push]]:
    where = dsn or f"sqlite:///{folder / 'todoke.db'}"
    async with open_ledger(where, mode=Drill, node=name, clock=CLOCK) as ledger:
        sender = Sender(PEM, "mailto:bousai@example.jp", CLOCK)
        push = Push(ledger, CLOCK, sender, folder / "site", name, is_loopback_fine=True)
        doors = residents.application(push.routes, None)
        async with listening(doors, "127.0.0.1", 0) as (_, port), aiohttp.ClientSession() as session, push.open():
            yield f"http://127.0.0.1:{port}", session, push


async def post(session: aiohttp.ClientSession, url: str, body: object) -> int:
    async with session.post(url, json=body) as answer:
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
    async with push_service() as service, node(tmp_path) as (url, session, push):
        (gone, first), (left, second), (stays, third) = (service.phone() for _ in range(3))
        gone.status = status
        for subscription in (first, second, third, third):
            assert await post(session, f"{url}/push/subscribe", subscription) == 200
        assert await post(session, f"{url}/push/unsubscribe", second) == 200
        assert await post(session, f"{url}/push/unsubscribe", {"endpoint": "https://never.example/x"}) == 200
        site.publish(ORDER)
        await until(stays, 1)
        async with asyncio.timeout(10):
            while len(await push._ledger.records(DEVICES)) != 1:
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


async def test_a_name_that_leads_inside_is_not_followed():
    names = PublicNames()
    with pytest.raises(OSError, match="not a public address"):
        await names.resolve("localhost", 443)
    await names.close()


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
    async with node(tmp_path) as (url, session, push):
        async with session.post(f"{url}/push/subscribe", data=body) as answer:
            assert answer.status == 422
        assert not await push._ledger.records(DEVICES)


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
        async with node(tmp_path, "east") as (url, session, push):
            assert await post(session, f"{url}/push/subscribe", subscription) == 200
            begun = {"node": "east", "after": "", "is_done": False}
            await push._ledger.save_record(TOLD, _name(ORDER.identifier), 0, begun, None)
        site.publish(ORDER)
        async with node(tmp_path, "west"):
            await until(phone, 1)


async def test_two_nodes_push_once_and_the_one_that_waits_goes_on_when_the_other_is_dead(tmp_path: Path, postgres):
    """It looked once, saw that another was at it, and never again."""
    site, dsn = Site(tmp_path), postgres.database()
    async with push_service() as service, node(tmp_path, "west", dsn) as (url, session, push):
        phone, subscription = service.phone()
        assert await post(session, f"{url}/push/subscribe", subscription) == 200
        async with open_ledger(dsn, mode=Drill, node="east", clock=CLOCK) as east, sending(east, Attempts()):
            begun = {"node": "east", "after": "", "is_done": False}
            await east.save_record(TOLD, _name(ORDER.identifier), 0, begun, None)
            site.publish(ORDER)
            for _ in range(3):
                await push._look()
            assert not phone.shown
        await until(phone, 1)
