"""A phone at a station says how somebody is while the line to the city is dead: kept where nobody can read it, and one when it arrives."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from channels.wifi_multicast import WifiMulticast
from channels.wifi_multicast.answers import opened
from config.cities import load
from config.document import ConfigError
from config.words import LANGUAGES
from dispatcher.clock import SystemClock
from dispatcher.errors import StorageFull
from dispatcher.model.campaign import Answer
from dispatcher.model.mode import Drill
from drills.world.wifi_multicast import World
from multicast import report, spool
from multicast.forwarding import LOT_BYTES, Forwarder
from multicast.phones import Phones, Post, serving
from multicast.report import BadReport
from multicast.sealing import AnswerKey, Unopened, load_sealer
from multicast.spool import Spool
from tests.channels.test_wifi_multicast import settings_for
from tests.contracts.channel_contract import Memory, surroundings
from tests.samples import evacuation_order

CITY = load("mitaka")
NOW = SystemClock().now()
TYPED = {
    "name": "住民0001",
    "birth": "昭和25年4月1日",
    "phone": "0422-00-0000",
    "quarter": "大沢三丁目",
    "where": "改札の前",
    "note": "ひみつのことば",
    "about": "self",
    "form": "f" * 22,
}
SECRETS = ("住民0001", "昭和25年", "0422", "ひみつ", "改札")


@dataclass
class Place:
    """A station with its pages, and the node that it belongs to."""

    folder: Path
    url: str
    forwarder: Forwarder
    inbox: Memory
    phone: aiohttp.ClientSession

    async def answer(self, path: str = "/report", **fields: str) -> tuple[int, str]:
        async with self.phone.post(path, data=fields) as response:
            return response.status, await response.text()

    async def handed_over(self) -> None:
        async with asyncio.timeout(10):
            while len(self.forwarder.spool):
                await SystemClock().sleep(0.01)


class Full(Memory):
    """The ledger's disk is full until it is not."""

    is_full = True

    async def report(self, reported):
        if self.is_full:
            raise StorageFull("full")
        return await super().report(reported)


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path / "world", CITY, 1) as open_world:
        yield open_world


@pytest.fixture
def key(tmp_path):
    AnswerKey.generate().save(tmp_path / "answers.key")
    return tmp_path / "answers.key"


@asynccontextmanager
async def node(world: World, key: Path | None, folder: Path, inbox: Memory) -> AsyncIterator[WifiMulticast]:
    settings = settings_for(world, answers=key)
    channel = WifiMulticast(Drill, settings, surroundings(folder / "node"))
    async with channel.open(inbox):
        yield channel


@asynccontextmanager
async def station(
    world: World, key: Path, folder: Path, inbox: Memory, max_files: int = spool.MAX_FILES
) -> AsyncIterator[Place]:
    at = world.settings()
    forwarder = Forwarder(
        spool=Spool(folder / "answers", max_files),
        url=f"http://{at['reports']}/stations/mitaka/answers",
        secret=Path(at["stations"][0]["secret"]["file"]).read_text(),
        every_s=0.05,
    )
    pages = Phones(list, is_drill=True).application(
        Post(load_sealer(key.with_name("answers.key.pub")), forwarder, NOW.timestamp)
    )
    async with (
        serving(pages, "127.0.0.1", 0) as (host, port),
        aiohttp.ClientSession(f"http://{host}:{port}") as phone,
        asyncio.TaskGroup() as tasks,
    ):
        working = tasks.create_task(forwarder.run())
        yield Place(folder / "answers", f"http://{host}:{port}", forwarder, inbox, phone)
        working.cancel()


async def test_what_was_written_with_the_line_dead_arrives_when_it_is_back_and_once(world, key, tmp_path):
    inbox = Memory()
    async with station(world, key, tmp_path / "station", inbox) as place:
        for _ in range(2):
            status, page = await place.answer(a="help", **TYPED)
            assert status == 200
            assert "この駅で預かりました" in page
            assert "市にはまだ届いていません" in page
        assert len(place.forwarder.spool) == 1
        assert inbox.reported == {}
        async with node(world, key, tmp_path, inbox):
            await place.handed_over()
    (said,) = inbox.reported.values()
    assert (said.name, said.birth_date, said.phone, said.answer) == (
        "住民0001",
        "1950-04-01",
        "0422000000",
        Answer.HELP,
    )
    assert CITY.quarters[said.quarter].names["ja"] == "大沢三丁目"
    assert (said.medium, said.saw) == ("wifi_multicast", True)
    assert said.details == {"about": "self", "where": "改札の前", "note": "ひみつのことば"}
    assert abs((said.at - NOW).total_seconds()) < 1


async def test_a_station_that_is_carried_off_gives_nothing_away(world, key, tmp_path):
    async with station(world, key, tmp_path / "station", Memory()) as place:
        await place.answer(a="help", **TYPED)
        kept = [path for path in place.folder.rglob("*") if path.is_file()]
        assert len(kept) == 1
        assert kept[0].stat().st_mode & 0o077 == 0
        for secret in (*SECRETS, "help"):
            assert secret.encode() not in kept[0].read_bytes()
            assert secret not in kept[0].name


async def test_a_station_that_was_switched_off_hands_over_what_it_kept(world, key, tmp_path):
    inbox = Memory()
    async with station(world, key, tmp_path / "station", inbox) as place:
        await place.answer(a="ok", **TYPED)
    async with node(world, key, tmp_path, inbox), station(world, key, tmp_path / "station", inbox) as place:
        await place.handed_over()
    assert len(inbox.reported) == 1


async def test_while_nobody_is_asked_the_station_keeps_what_it_has(world, key, tmp_path):
    inbox = Memory()
    inbox.is_asking = False
    async with node(world, key, tmp_path, inbox), station(world, key, tmp_path / "station", inbox) as place:
        await place.answer(a="hurt", **TYPED)
        async with asyncio.timeout(10):
            while "503" not in place.forwarder.trouble:
                await SystemClock().sleep(0.01)
        assert len(place.forwarder.spool) == 1
        inbox.is_asking = True
        await place.handed_over()
    assert len(inbox.reported) == 1


async def test_a_full_disk_at_the_node_loses_nothing(world, key, tmp_path):
    inbox = Full()
    async with node(world, key, tmp_path, inbox), station(world, key, tmp_path / "station", inbox) as place:
        await place.answer(a="hurt", **TYPED)
        async with asyncio.timeout(10):
            while "507" not in place.forwarder.trouble:
                await SystemClock().sleep(0.01)
        inbox.is_full = False
        await place.handed_over()
    assert len(inbox.reported) == 1


async def test_many_reports_go_in_lots_that_the_node_takes(world, key, tmp_path):
    inbox = Memory()
    async with station(world, key, tmp_path / "station", inbox) as place:
        for number in range(120):
            await place.answer(a="ok", **{**TYPED, "form": f"{number:022d}"})
        assert sum(path.stat().st_size for path in place.folder.iterdir()) > LOT_BYTES
        async with node(world, key, tmp_path, inbox):
            await place.handed_over()
    assert len(inbox.reported) == 120


async def test_what_has_to_be_mended_keeps_what_was_typed_and_is_kept_nowhere(world, key, tmp_path):
    async with station(world, key, tmp_path / "station", Memory()) as place:
        status, page = await place.answer(**{**TYPED, "name": " ", "note": "<script>x</script>", "where": "あ" * 101})
        assert status == 422
        for words in ("名前を書いて", "長すぎます", "1つ押して", "&lt;script&gt;", "0422-00-0000", "あ" * 101):
            assert words in page
        assert len(place.forwarder.spool) == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_opening_the_form_or_sending_it_empty_keeps_nothing(world, key, tmp_path, method):
    async with (
        station(world, key, tmp_path / "station", Memory()) as place,
        place.phone.request(method, "/report?a=help&name=x") as response,
    ):
        assert response.status == 200
        assert len(place.forwarder.spool) == 0


async def test_ten_megabytes_are_refused_unread(world, key, tmp_path):
    async def endless():
        for _ in range(160):
            yield b"note=" + b"x" * 65_536

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with (
        station(world, key, tmp_path / "station", Memory()) as place,
        place.phone.post("/report", data=endless(), headers=headers) as response,
    ):
        assert response.status == 413


async def test_a_station_with_no_room_says_so_and_keeps_what_was_typed(world, key, tmp_path):
    async with station(world, key, tmp_path / "station", Memory(), max_files=1) as place:
        await place.answer(a="ok", **TYPED)
        status, page = await place.answer(a="help", **{**TYPED, "form": "another"})
        assert status == 503
        assert "いま預かれません" in page
        assert TYPED["note"] in page


async def test_the_form_speaks_five_languages_and_says_that_it_is_a_drill(world, key, tmp_path):
    async with station(world, key, tmp_path / "station", Memory()) as place:
        for language in LANGUAGES:
            async with place.phone.get(f"/report?lang={language}") as response:
                page = await response.text()
                assert response.headers["Referrer-Policy"] == "no-referrer"
            assert f'<html lang="{language}">' in page
            assert Drill.banner(language).strip() in page.partition("</title>")[0]
            assert re.findall(r'name="a" value="(\w+)"', page) == ["ok", "hurt", "help"]
            assert ("<rt>" in page) == (language == "ja-x-easy")
            assert "<script" not in page


async def test_phones_see_the_notice_that_holds_and_no_other_file(tmp_path):
    notice = tmp_path / "notice-1"
    notice.mkdir()
    (notice / "index.html").write_text("<p>避難指示", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret")
    holding = [notice]
    async with (
        serving(Phones(lambda: holding, is_drill=False).application(), "127.0.0.1", 0) as (host, port),
        aiohttp.ClientSession(f"http://{host}:{port}") as phone,
    ):

        async def get(path: str) -> tuple[int, str]:
            async with phone.get(path) as response:
                return response.status, await response.text()

        assert await get("/") == (200, "<p>避難指示")
        assert (await get("/notices/notice-1/index.html"))[0] == 200
        for path in (
            "/notices/notice-1/%2e%2e%2fsecret.txt",
            "/notices/../secret.txt",
            "/notices/x/index.html",
            "/report",
        ):
            assert (await get(path))[0] == 404
        holding.append(notice)
        assert "/notices/notice-1/index.html" in (await get("/"))[1]
        holding.clear()
        assert "いま出ている避難情報はありません" in (await get("/"))[1]


async def test_answers_that_no_station_signed_are_not_believed(world, key, tmp_path):
    inbox = Memory()
    sealed = load_sealer(key.with_name("answers.key.pub")).seal(json.dumps({"a": "ok"}).encode())
    url = f"http://{world.settings()['reports']}/stations/mitaka"
    async with node(world, key, tmp_path, inbox), aiohttp.ClientSession() as stranger:
        for name, path in (("mitaka", "/answers"), ("nowhere", "/answers")):
            headers, body = report.write_answers([sealed], "guessed" * 4, NOW.timestamp())
            async with stranger.post(url.replace("mitaka", name) + path, data=body, headers=headers) as response:
                assert response.status == 401
    assert inbox.reported == {}


def test_a_report_of_one_kind_is_none_of_the_other():
    secret = "s" * 32
    headers, body = report.write_answers([b"x"], secret, 0.0)
    assert report.read_answers(headers, body, secret, 0.0) == (b"x",)
    with pytest.raises(BadReport):
        report.read(headers, body, secret, 0.0)
    headers, body = report.write(report.Report(0, {}, frozenset()), secret, 0.0)
    with pytest.raises(BadReport):
        report.read_answers(headers, body, secret, 0.0)


HOSTILE = [
    b"",
    b"[]",
    b"null",
    b"[" * 5000,
    b'{"name": 1}',
    b'{"name": "x", "a": "fine", "key": "' + b"0" * 64 + b'", "at": "2026-11-21T00:00:00+00:00"}',
    b'{"name": "x", "a": "ok", "key": "../../x", "at": "2026-11-21T00:00:00+00:00"}',
    b'{"name": "x", "a": "ok", "key": "' + b"0" * 64 + b'", "at": "yesterday"}',
    b'{"name": "' + b"x" * 500 + b'", "a": "ok", "key": "' + b"0" * 64 + b'", "at": "2026-11-21T00:00:00+00:00"}',
]


@pytest.mark.parametrize("said", HOSTILE, ids=range(len(HOSTILE)))
def test_what_a_foreign_hand_put_into_the_spool_is_left_out(key, said):
    sealer, opener = (
        load_sealer(key.with_name("answers.key.pub")),
        AnswerKey(bytes.fromhex(json.loads(key.read_text())["secret"])),
    )
    good = sealer.seal(json.dumps({**TYPED, "a": "ok", "key": "0" * 64, "at": NOW.isoformat()}).encode())
    found = list(opened([sealer.seal(said), b"junk", good], opener, CITY, "wifi_multicast", NOW))
    assert [one.name for one in found] == ["住民0001"]


def test_what_is_sealed_opens_with_the_one_key_and_tells_no_length(key):
    sealer = load_sealer(key.with_name("answers.key.pub"))
    assert sealer.seal(b"{}") != sealer.seal(b"{}")
    assert len(sealer.seal(b"{}")) == len(sealer.seal(b'{"note": "' + b"x" * 400 + b'"}'))
    with pytest.raises(Unopened):
        AnswerKey.generate().open(sealer.seal(b"{}"))


async def test_a_key_that_is_none_is_named_as_a_problem_of_the_site_file(world, key, tmp_path):
    with pytest.raises(ConfigError, match=r"channels\.wifi_multicast\.answers"):
        async with node(world, key.with_name("answers.key.pub"), tmp_path, Memory()):
            pass


def test_old_answers_leave_the_station(tmp_path):
    kept = Spool(tmp_path)
    kept.put("0" * 64, b"sealed")
    assert kept.oldest(1000, NOW.timestamp())
    assert kept.oldest(1000, SystemClock().now().timestamp() + spool.KEEP_S + 60) == []
    assert list(tmp_path.iterdir()) == []


async def test_the_command_of_a_station_makes_the_key_and_serves_phones(world, tmp_path):
    made = tmp_path / "answers.key"
    assert (
        subprocess.run([sys.executable, "-m", "multicast", "keygen", "--answers", str(made)], check=False).returncode
        == 0
    )
    (tmp_path / "secret").write_text("s" * 32)
    at = world.endpoint(0)
    words = (
        f"monitor --group {at.group} --port {at.port} --iface 127.0.0.1 --out {tmp_path / 'out'} --trust {world.key}.pub --status Exercise "
        f"--secret-file {tmp_path / 'secret'} --report http://127.0.0.1:9/stations/mitaka --serve 127.0.0.1:0 --answers-to {made}.pub"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "multicast", *words.split(), stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(30):
            while b"phones: " not in (line := await process.stderr.readline()):
                assert line, "it ended"
        url = line.decode().split()[1]
        async with aiohttp.ClientSession() as phone, phone.post(f"{url}report", data=TYPED | {"a": "ok"}) as response:
            page = await response.text()
        assert "【訓練】この駅で預かりました" in page
        assert len(Spool(tmp_path / "out" / "answers")) == 1
    finally:
        process.terminate()
        await process.wait()


async def test_a_phone_at_the_station_reads_the_notice_and_answers_from_it(world, tmp_path):
    inbox = Memory()
    async with node(world, world.answers, tmp_path, inbox) as channel:
        order = evacuation_order(Drill, sent=SystemClock().now().replace(microsecond=0))
        audience = await channel.audience(order.quarters)
        rendering = channel.render(order, audience)
        told = []
        await channel.send(rendering, [one async for one in channel.destinations(audience)], told.append)
        async with aiohttp.ClientSession(world.pages["mitaka"]) as phone:
            async with asyncio.timeout(20):
                while "大沢" not in (page := await (await phone.get("/")).text()):
                    await SystemClock().sleep(0.05)
            link = re.search(r'href="(/report\?lang=ja)"', page)[1]
            assert "無事・けが・助けて を知らせる" in page
            async with phone.post(link, data=TYPED | {"a": "hurt"}) as response:
                assert response.status == 200
        async with asyncio.timeout(10):
            while not inbox.reported:
                await SystemClock().sleep(0.01)
    assert [one.answer for one in inbox.reported.values()] == [Answer.HURT]
