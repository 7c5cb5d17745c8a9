"""The IP terminal channel against the city's 72 simulated terminals, and against mosquitto's clients with and without TLS."""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import trustme

from channels.ip_terminal import IpTerminal, Settings, Tls
from channels.ip_terminal.notice import Verifier, Words
from channels.ip_terminal.receipt import State, TerminalReceipt
from channels.ip_terminal.register import BadRegister, read, write
from channels.ip_terminal.topics import Up, topic_of
from config.cities import load
from config.document import ConfigError
from config.secret import Secret
from dispatcher.clock import SystemClock
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Outcome, Receipt
from dispatcher.model.mode import Drill, Live
from dispatcher.model.rendering import Rendering
from drills.world.ip_terminal import World
from tests.contracts.channel_contract import ChannelContract, Memory, Rig, attempt, members, surroundings, until_taken
from tests.samples import OSAWA, SENT, correction, evacuation_order, lifting, plain_correction, retraction
from tests.servers.mqtt import MAC_KEY, PASSWORD, SEED, WITHIN_S, registered, site


class ThatNight(SystemClock):
    """Runs as the machine's, from the moment at which the samples were sent."""

    def __init__(self) -> None:
        self._started_s = self.monotonic()

    def now(self) -> datetime:
        return SENT + timedelta(seconds=self.monotonic() - self._started_s)


def settings_for(world: World, **others) -> Settings:
    given = world.settings()
    key = Path(given["signing_key"]["file"]).read_text()
    return Settings(
        **(
            {"listen": given["listen"], "register": Path(given["register"]), "signing_key": Secret(key), "wait": 5.0}
            | others
        )
    )


class TerminalRig(Rig):
    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.inbox = Memory()
        self.channel: IpTerminal[Drill] = IpTerminal(Drill, settings_for(world), surroundings(folder / "state"))

    async def texts(self) -> Sequence[tuple[str, str]]:
        return [
            (words["language"], Words(**words).whole)
            for terminal in self.world.terminals.values()
            for shown in terminal.shown
            for words in shown["words"]
        ]

    async def tellings(self, rendering: Rendering[Drill]) -> Counter[str]:
        return Counter(
            tid
            for tid, terminal in self.world.terminals.items()
            for shown in terminal.shown
            if shown["mid"] == rendering.identifier
        )

    @asynccontextmanager
    async def _broken(self) -> AsyncIterator[None]:
        async with self.world.down():
            await until(lambda: not set(self.channel._endpoint.listening_tids()))
            yield
        await self.all_there()

    def broken(self) -> AbstractAsyncContextManager[None]:
        return self._broken()

    def other_mode(self) -> IpTerminal[Live]:
        return IpTerminal(Live, settings_for(self.world), surroundings(self.folder / "live"))

    async def all_there(self) -> None:
        async with asyncio.timeout(WITHIN_S):
            for terminal in self.world.terminals.values():
                await terminal.connected.wait()

    async def received(self, receipt: Receipt, count: int) -> set[str]:
        """Who has sent this receipt, once there are so many."""
        await until(lambda: len(self._who(receipt)) >= count)
        return self._who(receipt)

    def _who(self, receipt: Receipt) -> set[str]:
        return {r.address for r in self.inbox.received if r.receipt is receipt}


async def until(condition) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.to_thread(int)


async def make_rig(tmp_path: Path) -> AsyncIterator[TerminalRig]:
    folder = tmp_path / "world"
    folder.mkdir()
    async with World(folder, load("mitaka"), seed=1, clock=ThatNight()) as world:
        rig = TerminalRig(world, tmp_path)
        async with rig.channel.open(rig.inbox):
            await rig.all_there()
            yield rig
        assert not [refused for terminal in world.terminals.values() for refused in terminal.refused]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[TerminalRig]:
    async for rig in make_rig(tmp_path):
        yield rig


class TestIpTerminalKeepsTheContract(ChannelContract):
    @pytest.fixture
    async def rig(self, tmp_path: Path) -> AsyncIterator[TerminalRig]:
        async for rig in make_rig(tmp_path):
            yield rig


# -- who is addressed ----------------------------------------------------------------------------------------------


async def test_ten_terminals_of_osawa_sound_and_are_acknowledged_and_the_others_stay_silent(rig):
    to = await members(rig.channel)
    assert len(to) == 10
    order = rig.channel.render(evacuation_order(Drill), await rig.channel.audience(OSAWA))
    assert set(await until_taken(rig.channel, order, to)) == {d.address for d in to}
    for receipt in (Receipt.DELIVERED, Receipt.DISPLAYED, Receipt.ACKNOWLEDGED):
        assert await rig.received(receipt, 10) == {d.address for d in to}
    report = rig.world.report()
    assert report["silent"] == 62
    assert datetime.fromisoformat(report["first_byte_at"]).tzinfo
    await rig.world.keep(rig.folder)
    kept = list(rig.folder.glob("T*.jsonl"))
    assert {path.stem for path in kept} == {d.address for d in to}
    for line in (line for path in kept for line in path.read_text().splitlines()):
        assert Drill.banner(json.loads(line)["language"]).strip() in json.loads(line)["text"]


async def test_the_audience_is_who_lives_there_by_address(rig):
    audience = await rig.channel.audience(OSAWA)
    assert audience.words == "大沢の IP 端末 10 台"
    everybody = await rig.channel.audience(tuple(load("mitaka").quarters))
    assert everybody.words == "三鷹市の IP 端末 72 台"


async def test_those_who_were_away_get_it_when_they_return(rig):
    order = rig.channel.render(evacuation_order(Drill), await rig.channel.audience(OSAWA))
    to = await members(rig.channel)
    away = {d.address for d in to[:2]}
    for number, tid in enumerate(rig.world.terminals):
        if tid in away:
            rig.world._running[number].cancel()
    await until(lambda: not away & set(rig.channel._endpoint.listening_tids()))
    told = {t.address: t for t in await attempt(rig.channel, order, to)}
    assert {tid for tid, t in told.items() if t.outcome is Outcome.TEMPORARY} == away
    calls = rig.inbox.reachable_calls
    async with asyncio.TaskGroup() as group:
        back = [group.create_task(rig.world.terminals[tid].run()) for tid in away]
        await until(lambda: rig.inbox.reachable_calls == calls + 2)
        left = [d for d in to if d.address in away]
        assert set(await until_taken(rig.channel, order, left)) == away
        assert set((await rig.tellings(order)).values()) == {1}
        for task in back:
            task.cancel()


# -- what is rendered ----------------------------------------------------------------------------------------------


async def notice_of(channel: IpTerminal, alert):
    rendering = channel.render(alert, await channel.audience(OSAWA))
    return Verifier(channel.public_key).read(rendering.part("notice.json"))


async def test_a_notice_says_who_how_urgent_and_until_when(tmp_path):
    async with site(tmp_path) as at:
        notice = await notice_of(at.channel, evacuation_order(Drill))
    assert (notice.mid, notice.thread, notice.verb) == ("mitaka-20260914-0001", "mitaka-20260914-0001", "issue")
    assert (notice.status, notice.priority, notice.level) == ("Exercise", 2, 4)
    assert notice.expires == SENT + timedelta(hours=12)
    assert [w.language for w in notice.words] == ["ja", "ja-x-easy", "en-US"]
    assert notice.words[0].shelters == "大沢台小学校、第七中学校、国際基督教大学"


async def test_what_follows_is_of_the_same_thread_newer_and_says_its_verb(tmp_path):
    order = evacuation_order(Drill)
    async with site(tmp_path) as at:
        first = await notice_of(at.channel, order)
        for follow, verb in ((retraction, "retract"), (correction, "correct"), (lifting, "lift")):
            notice = await notice_of(at.channel, follow(order))
            assert (notice.thread, notice.verb) == (first.mid, verb)
            assert notice.seq > first.seq
        assert (await notice_of(at.channel, retraction(order))).priority == 1


async def test_what_follows_says_so_on_screen_and_in_the_voice_and_a_correction_what_was_wrong(tmp_path):
    order = evacuation_order(Drill)
    async with site(tmp_path) as at:
        corrected = await notice_of(at.channel, plain_correction(order))
        lifted = await notice_of(at.channel, lifting(order))
    assert [(w.headline, w.text.splitlines()[0]) for w in corrected.words] == [
        ("【訓練】【訂正】大沢の人は いますぐ避難", "訂正の内容：避難所の名前"),
        ("【訓練】【訂正】大沢（おおさわ）の 人は 今すぐ 逃げて ください", "なおした ところ：避難所の名前"),
        ("[DRILL] [CORRECTION] Osawa: evacuate now", "What was wrong: 避難所の名前"),
    ]
    assert lifted.words[0].headline == "【訓練】大沢の避難指示を解除しました"
    assert lifted.words[1].headline == "【訓練】【解除】大沢（おおさわ）は もう 大丈夫です"


async def test_an_alert_without_a_headline_or_an_end_is_still_whole(tmp_path):
    order = evacuation_order(Drill)
    bare = replace(order, info=tuple(replace(i, headline=None, description=None, expires=None) for i in order.info))
    async with site(tmp_path) as at:
        notice = await notice_of(at.channel, bare)
    assert notice.words[0].headline == "【訓練】避難指示"
    assert notice.expires == SENT + timedelta(hours=24)


async def test_a_text_beyond_what_terminals_take_stops_the_message(tmp_path):
    order = evacuation_order(Drill)
    long = replace(order, info=tuple(replace(i, description="あ" * 8_000) for i in order.info))
    async with site(tmp_path) as at:
        rendering = at.channel.render(long, await at.channel.audience(OSAWA))
    assert [f.blocks for f in rendering.findings] == [True]


# -- settings ------------------------------------------------------------------------------------------------------


def test_every_problem_of_the_settings_is_named_at_once(tmp_path):
    register = tmp_path / "terminals.csv"
    register.write_text(
        "tid,name,address,quarter,groups,password_hash,mac_key\n"
        f"T0001,n,a,132040301,,{'1' * 64},{'2' * 64}\n"
        f"T0001,n,a,大沢,,{'1' * 64},secret\n"
    )
    wrong = Settings(listen="8883", register=register, signing_key=Secret("5a"), wait=0.0)
    assert [(field, reason.replace(str(tmp_path), "")) for field, reason in wrong.problems()] == [
        ("listen", "host:port is accepted, the port from 1 to 65535"),
        ("signing_key", "accepted are 64 hexadecimal digits, or a sender's key of `todoke multicast keygen`"),
        ("register", "/terminals.csv:3: quarter: the nine digits of a quarter are accepted"),
        ("register", "/terminals.csv:3: mac_key: 64 hexadecimal digits are accepted"),
        ("register", "/terminals.csv:3: tid: T0001 stands twice"),
        ("wait", "more than 0 s is accepted"),
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"), (b"\xff\xfe", "not UTF-8"), (b"", "the first line is"), (b"tid,name\n", "the first line is"),
        (b"tid,name,address,quarter,groups,password_hash,mac_key\na,b\n", "7 fields"),
        (b'tid,name,address,quarter,groups,password_hash,mac_key\n"a', "unexpected end"),
    ],
)  # fmt: skip
def test_a_register_that_is_none_says_why(tmp_path, content, says):
    if content is not None:
        (tmp_path / "r.csv").write_bytes(content)
    with pytest.raises(BadRegister, match=says):
        read(tmp_path / "r.csv")


def test_a_register_is_written_as_it_is_read_and_for_nobody_else(tmp_path):
    path = tmp_path / "r.csv"
    terminals = [registered("T0001"), replace(registered("T0002"), name='名,"前"', groups=())]
    write(path, terminals)
    write(path, terminals)
    assert list(read(path).values()) == terminals
    assert path.stat().st_mode & 0o077 == 0
    assert not terminals[0].admits(b"guess")


async def test_a_register_of_another_city_does_not_open(tmp_path):
    with pytest.raises(ConfigError, match=r"T0001\.quarter: 999999999 is no quarter of this city"):
        async with site(tmp_path, terminals=[registered("T0001", "999999999")]):
            pass


async def test_a_key_of_the_other_mode_signs_nothing(tmp_path):
    key = json.dumps({"kind": "todoke-sender-key", "status": "Actual", "seed": SEED, "certificate": None})
    with pytest.raises(ConfigError, match="the key is for Actual, a node in mode drill signs Exercise only"):
        async with site(tmp_path, signing_key=Secret(key)):
            pass
    ours = json.dumps({"kind": "todoke-sender-key", "status": "Exercise", "seed": SEED, "certificate": None})
    async with site(tmp_path, signing_key=Secret(ours)) as at, site(tmp_path / "state") as plain:
        assert at.channel.public_key == plain.channel.public_key


# -- mosquitto's clients -------------------------------------------------------------------------------------------


class Authority:
    """A certificate authority for the listener and the terminals."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ca = trustme.CA()
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))
        node = self._ca.issue_cert("localhost", "127.0.0.1")
        node.private_key_pem.write_to_path(str(folder / "node.key"))
        node.cert_chain_pems[0].write_to_path(str(folder / "node.crt"))
        self.tls = Tls(certificate=folder / "node.crt", key=folder / "node.key", client_ca=self.ca)

    def client(self, tid: str) -> tuple[str, ...]:
        """mosquitto's options for a certificate of this terminal."""
        leaf = self._ca.issue_cert(f"{tid}.terminals.example", common_name=tid)
        leaf.private_key_pem.write_to_path(str(self.folder / f"{tid}.key"))
        leaf.cert_chain_pems[0].write_to_path(str(self.folder / f"{tid}.crt"))
        own = (str(self.folder / f"{tid}.crt"), str(self.folder / f"{tid}.key"))
        return ("--cafile", str(self.ca), "--cert", own[0], "--key", own[1])


def named(tid: str, password: bytes = PASSWORD) -> tuple[str, ...]:
    return ("-u", tid, "-P", password.decode())


@asynccontextmanager
async def mosquitto(program: str, port: int, version: str, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        program, "-h", "127.0.0.1", "-p", str(port), "-V", version, *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def notice_by_mosquitto(at, version: str, options: Sequence[str]) -> bytes:
    calls = at.inbox.reachable_calls
    topic = topic_of("T0001")
    async with mosquitto(
        "mosquitto_sub", at.port, version, *options, "-q", "1", "-t", topic, "-C", "1", "-N"
    ) as subscriber:
        await until(lambda: at.inbox.reachable_calls > calls)
        rendering = at.channel.render(evacuation_order(Drill), await at.channel.audience(OSAWA))
        told = await attempt(at.channel, rendering, [Destination("T0001")])
        assert [t.outcome for t in told] == [Outcome.TAKEN]
        async with asyncio.timeout(WITHIN_S):
            seen, _ = await subscriber.communicate()
        assert seen == rendering.part("notice.json")
        return seen


async def receipt_by_mosquitto(at, version: str, options: Sequence[str], payload: bytes, topic: str) -> tuple[int, str]:
    async with (
        mosquitto(
            "mosquitto_pub", at.port, version, *options, "-q", "1", "-t", topic, "-m", payload.decode()
        ) as publisher,
        asyncio.timeout(WITHIN_S),
    ):
        _, words = await publisher.communicate()
    return publisher.returncode or 0, words.decode()


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
async def test_mosquitto_sees_the_notice_and_its_receipt_is_recorded(tmp_path, version):
    async with site(tmp_path) as at:
        seen = await notice_by_mosquitto(at, version, named("T0001"))
        assert "【訓練】大沢の人は いますぐ避難" in seen.decode()
        sealed = TerminalReceipt("mitaka-20260914-0001", "T0001", State.ACKNOWLEDGED, SENT, 1).seal(MAC_KEY)
        code, _ = await receipt_by_mosquitto(at, version, named("T0001"), sealed, Up.RECEIPT.topic("T0001"))
        assert code == 0
        assert [(r.address, r.receipt) for r in at.inbox.received] == [("T0001", Receipt.ACKNOWLEDGED)]


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
async def test_mosquitto_is_refused_what_is_not_its_own(tmp_path, version):
    async with site(tmp_path) as at:
        async with mosquitto(
            "mosquitto_sub", at.port, version, *named("T0001"), "-t", "mt/1/dn/t/T0002", "-W", "5"
        ) as subscriber:
            async with asyncio.timeout(WITHIN_S):
                _, words = await subscriber.communicate()
            assert b"denied" in words
        code, words = await receipt_by_mosquitto(at, version, named("T0001", b"guess"), b"x", "mt/1/up/T0001/rcpt")
        assert code
        assert "onnection" in words
        sealed = TerminalReceipt("m-1", "T0002", State.ACKNOWLEDGED, SENT, 1).seal(MAC_KEY)
        await receipt_by_mosquitto(at, version, named("T0001"), sealed, Up.RECEIPT.topic("T0002"))
        assert not at.inbox.received


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
async def test_over_tls_a_certificate_says_who_it_is(tmp_path, version):
    authority = Authority(tmp_path)
    async with site(tmp_path, tls=authority.tls) as at:
        seen = await notice_by_mosquitto(at, version, authority.client("T0001"))
        assert Verifier(at.channel.public_key).read(seen).mid == "mitaka-20260914-0001"
        sealed = TerminalReceipt("m-1", "T0001", State.ACKNOWLEDGED, SENT, 1).seal(MAC_KEY)
        other = authority.client("T0002")
        await receipt_by_mosquitto(at, version, other, sealed, Up.RECEIPT.topic("T0001"))
        await receipt_by_mosquitto(at, version, (*other, *named("T0001")), sealed, Up.RECEIPT.topic("T0001"))
        assert not at.inbox.received
        await receipt_by_mosquitto(at, version, authority.client("T0001"), sealed, Up.RECEIPT.topic("T0001"))
        assert len(at.inbox.received) == 1


async def test_over_tls_a_stranger_without_a_certificate_comes_to_nothing(tmp_path):
    authority = Authority(tmp_path)
    async with site(tmp_path, tls=authority.tls) as at:
        options = ("--cafile", str(authority.ca), *named("T0001"))
        sealed = TerminalReceipt("m-1", "T0001", State.ACKNOWLEDGED, SENT, 1).seal(MAC_KEY)
        await receipt_by_mosquitto(at, "mqttv311", options, sealed, Up.RECEIPT.topic("T0001"))
        assert not at.inbox.received
        async with at.wire() as plain:
            plain.raw(b"\x10\x0e\x00\x04MQTT")
            assert await plain.is_closed()


def test_tls_files_that_do_not_go_together_are_named(tmp_path):
    authority = Authority(tmp_path)
    missing = replace(authority.tls, key=tmp_path / "none.key")
    assert [field for field, _ in missing.problems()] == ["key"]
    mixed = replace(authority.tls, key=authority.ca)
    assert [field for field, _ in mixed.problems()] == ["certificate"]
    assert not list(authority.tls.problems())
    assert authority.tls.context().verify_mode is ssl.CERT_REQUIRED
