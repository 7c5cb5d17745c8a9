"""The terminal as a client: against the node's own endpoint, against mosquitto, and through its command."""

import asyncio
import io
import json
import socket
import stat
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from channels.ip_terminal.receipt import State, read_receipt
from channels.ip_terminal.register import read
from channels.ip_terminal.topics import Up, topic_of
from dispatcher.clock import SystemClock
from dispatcher.errors import StorageFull
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Outcome, Receipt
from dispatcher.model.mode import Drill
from drills.world.terminal import MOST_KEPT, Terminal
from drills.world.terminal_screen import screen
from tests.contracts.channel_contract import Memory, attempt
from tests.samples import OSAWA, evacuation_order, retraction
from tests.servers.mqtt import MAC_KEY, PASSWORD, site

NOW = SystemClock().now().replace(microsecond=0)
ORDER = evacuation_order(Drill, sent=NOW)


def terminal_of(port: int, trust: bytes, **changed) -> Terminal:
    given = {"tid": "T0001", "password": PASSWORD.decode(), "mac_key": MAC_KEY, "trust": trust, **changed}
    return Terminal("127.0.0.1", port, **given)


async def until(holds) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await SystemClock().sleep(0.01)


async def send(here, alert=ORDER):
    rendering = here.channel.render(alert, await here.channel.audience(OSAWA))
    return await attempt(here.channel, rendering, [Destination("T0001")])


def receipts(inbox: Memory) -> list[str]:
    return [received.receipt for received in inbox.received]


@pytest.mark.parametrize("version", [4, 5])
async def test_it_takes_shows_and_acknowledges_what_is_meant_for_it(tmp_path, version):
    async with site(tmp_path) as here:
        terminal = terminal_of(here.port, here.channel.public_key, version=version, auto_acknowledge_s=0.01)
        async with terminal:
            await terminal.connected.wait()
            (told,) = await send(here)
            assert told.outcome is Outcome.TAKEN
            await until(lambda: len(here.inbox.received) == 3)
            assert receipts(here.inbox) == [Receipt.DELIVERED, Receipt.DISPLAYED, Receipt.ACKNOWLEDGED]
            (shown,) = terminal.shown
            assert shown["volume"] == "maximum"
            assert [words["language"] for words in shown["words"]] == ["ja", "ja-x-easy", "en-US"]
            await until(lambda: terminal.sounded)


async def test_a_retraction_takes_the_orders_place(tmp_path):
    async with site(tmp_path) as here:
        terminal = terminal_of(here.port, here.channel.public_key)
        async with terminal:
            await terminal.connected.wait()
            await send(here)
            await send(here, retraction(ORDER))
            assert terminal.player.current.notice.verb == "retract"
            terminal.acknowledge()
            assert terminal.player.waiting == 0


async def test_it_comes_back_by_itself_and_receipts_that_nobody_acknowledged_come_again(tmp_path):
    class Full(Memory):
        is_full = True

        async def record(self, received):
            if self.is_full:
                raise StorageFull("the disk is full")
            await super().record(received)

    inbox = Full()
    async with site(tmp_path, inbox) as here:
        terminal = terminal_of(here.port, here.channel.public_key)
        async with terminal:
            await terminal.connected.wait()
            (told,) = await send(here)
            assert told.outcome is Outcome.TAKEN
            await until(lambda: len(terminal._unacknowledged) == 2)
            assert not inbox.received
            terminal._writer.transport.abort()  # the line, not the terminal, is lost
            await until(lambda: not terminal.connected.is_set())
            inbox.is_full = False
            await until(lambda: not terminal._unacknowledged)
            assert {Receipt.DELIVERED, Receipt.DISPLAYED} <= set(receipts(inbox))
            assert len(terminal.shown) == 1


async def test_with_another_password_it_says_why_and_keeps_trying(tmp_path):
    async with site(tmp_path) as here:
        terminal = terminal_of(here.port, here.channel.public_key, password="wrong")
        async with terminal:
            await until(lambda: terminal.trouble)
            assert "refused" in terminal.trouble
            assert not terminal.connected.is_set()


@pytest.mark.parametrize(("version", "outcome"), [(4, Outcome.UNKNOWN), (5, Outcome.TEMPORARY)])
async def test_it_shows_nothing_that_another_key_signed_and_the_node_does_not_take_it_as_taken(
    tmp_path, version, outcome
):
    async with site(tmp_path) as here:
        terminal = terminal_of(here.port, bytes([9]) + bytes(31), version=version)
        async with terminal:
            await terminal.connected.wait()
            (told,) = await send(here)
            assert told.outcome is outcome
            await until(lambda: terminal.refused)
            assert terminal.refused[0]["why"] == "forged"
            assert not terminal.shown
            assert not terminal.sounded
            assert not here.inbox.received


async def test_what_has_ended_is_refused(tmp_path):
    async with site(tmp_path) as here:
        terminal = terminal_of(here.port, here.channel.public_key, version=5)
        async with terminal:
            await terminal.connected.wait()
            (told,) = await send(here, evacuation_order(Drill, sent=NOW - timedelta(days=2)))
            assert told.outcome is Outcome.TEMPORARY
            assert "0x80" in told.words
            await until(lambda: terminal.refused)
            assert terminal.refused[0]["why"] == "expired"


def drawn(terminal: Terminal, language: str) -> str:
    from rich.console import Console

    console = Console(width=80, record=True, file=io.StringIO())
    console.print(screen(terminal, language, "第七中学校"))
    return console.export_text()


async def test_a_replayed_order_that_was_taken_back_says_so_and_cannot_be_acknowledged(tmp_path):
    async with site(tmp_path) as here:
        terminal = terminal_of(here.port, here.channel.public_key)
        async with terminal:
            await terminal.connected.wait()
            await send(here)
            assert "もう終わった" not in drawn(terminal, "ja")
            await send(here, retraction(ORDER))
            retracted = drawn(terminal, "ja")
            assert "【取消】" in retracted
            for word in ("警戒レベル", "避難先", "大沢台小学校"):
                assert word not in retracted
            terminal.player.replay(2)
            replayed = drawn(terminal, "ja")
            assert "もう終わった お知らせです" in replayed
            assert "読みました" not in replayed
            assert "This notice is over" in drawn(terminal, "en-US")
            terminal.acknowledge()
            assert State.ACKNOWLEDGED not in {answer["state"] for answer in terminal.answered}
            assert drawn(terminal, "ja") == retracted


async def test_its_screen_says_level_place_and_what_to_do_in_every_language(tmp_path):
    async with site(tmp_path) as here:
        terminal = terminal_of(here.port, here.channel.public_key)
        async with terminal:
            await terminal.connected.wait()
            await send(here)
            for language, words in {
                "ja": ("◆ 警戒レベル4", "避難指示", "大沢", "読みました（確認）", "音量 最大"),
                "ja-x-easy": ("逃げて", "読（よ）みました"),
                "en-US": ("Alert level 4", "Osawa: evacuate now", "I have read this"),
            }.items():
                text = drawn(terminal, language)
                assert "訓練 DRILL" in text
                assert "つながっています" in text
                for word in words:
                    assert word in text


# -- mosquitto, whose broker we did not write -----------------------------------------------------------------------


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def mosquitto():
    """Debian's broker on a port of its own; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="todoke-mosquitto-") as folder:
        Path(folder).chmod(0o755)
        conf = Path(folder) / "mosquitto.conf"
        conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser nobody\n")
        broker = await asyncio.create_subprocess_exec(
            "mosquitto", "-c", conf, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await until(lambda: is_listening(port))
            yield port
        finally:
            broker.terminate()
            await broker.wait()


@pytest.mark.parametrize("version", [4, 5])
async def test_it_speaks_to_a_broker_of_somebody_elses(tmp_path, version):
    async with site(tmp_path) as here, mosquitto() as port:
        rendering = here.channel.render(ORDER, await here.channel.audience(OSAWA))
        heard = await asyncio.create_subprocess_exec(
            *("mosquitto_sub", "-p", str(port), "-t", Up.RECEIPT.topic("T0001"), "-q", "1", "-C", "3", "-W", "20"),
            stdout=asyncio.subprocess.PIPE,
        )
        terminal = terminal_of(port, here.channel.public_key, version=version, auto_acknowledge_s=0.01)
        async with terminal:
            await terminal.connected.wait()
            notice = tmp_path / "notice.json"
            notice.write_bytes(rendering.part("notice.json"))
            said = await asyncio.create_subprocess_exec(
                *("mosquitto_pub", "-p", str(port), "-t", topic_of("T0001"), "-q", "1", "-f", str(notice))
            )
            assert await said.wait() == 0
            lines, _ = await heard.communicate()
        states = [read_receipt(line, "T0001", MAC_KEY).state for line in lines.splitlines()]
        assert states == [State.DELIVERED, State.DISPLAYED, State.ACKNOWLEDGED]


# -- the command ----------------------------------------------------------------------------------------------------


def todoke(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "dispatcher", "terminal", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_enrolling_writes_a_line_for_the_node_and_credentials_for_the_terminal_alone(tmp_path):
    register, file = tmp_path / "terminals.csv", tmp_path / "T0001.json"
    new = ("--enrol", register, "--tid", "T0001", "--name", "第七中学校", "--quarter", "132040301")
    assert todoke(*new, "--credentials", file).returncode == 0
    told = json.loads(file.read_text("utf-8"))
    assert read(register)["T0001"].admits(told["password"].encode())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = todoke(*new, "--credentials", tmp_path / "again.json")
    assert again.returncode == 2
    assert "T0001 stands there already" in again.stderr
    odd = todoke("--enrol", register, "--tid", "a/b", "--quarter", "1", "--credentials", tmp_path / "odd.json")
    assert odd.returncode == 2
    assert "tid" in odd.stderr
    assert "quarter" in odd.stderr
    assert list(read(register)) == ["T0001"]
    assert not (tmp_path / "odd.json").exists()


def test_what_is_missing_or_wrong_is_said_at_once(tmp_path):
    done = todoke("--credentials", tmp_path / "none.json", "--broker", "nowhere", "--auto-acknowledge", "-1")
    assert done.returncode == 2
    for word in ("--trust is needed", "HOST:PORT", "--auto-acknowledge"):
        assert word in done.stderr
    done = todoke("--credentials", tmp_path / "none.json", "--broker", "a:1", "--trust", "00" * 32)
    assert done.returncode == 2
    assert "none.json: No such file" in done.stderr


async def test_the_command_shows_and_answers_as_json_lines(tmp_path):
    async with site(tmp_path) as here:
        file = tmp_path / "T0001.json"
        file.write_text(
            json.dumps({"tid": "T0001", "name": "施設", "password": PASSWORD.decode(), "mac_key": MAC_KEY.hex()})
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dispatcher", "terminal", "--broker", f"127.0.0.1:{here.port}"),
            *("--credentials", str(file), "--trust", here.channel.public_key.hex(), "-o", "json"),
            *("--auto-acknowledge", "0.01"),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(30):
                assert json.loads(await process.stdout.readline())["what"] == "connected"
                await send(here)
                lines = [json.loads(await process.stdout.readline()) for _ in range(4)]
        finally:
            process.terminate()
            await process.wait()
        assert [line.get("state", line["what"]) for line in lines].count("shown") == 1
        assert {line["state"] for line in lines if line["what"] == "answered"} == {
            "delivered",
            "displayed",
            "acknowledged",
        }


async def test_however_long_it_runs_the_command_goes_on_telling(tmp_path):
    """It remembers the newest entries alone, and has told of all: here of what somebody without the key keeps sending."""
    count = MOST_KEPT + 20
    async with mosquitto() as port:
        file = tmp_path / "T0001.json"
        file.write_text(json.dumps({"tid": "T0001", "password": "any", "mac_key": MAC_KEY.hex()}))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dispatcher", "terminal", "--broker", f"127.0.0.1:{port}"),
            *("--credentials", str(file), "--trust", "09" + "00" * 31, "-o", "json"),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(30):
                assert json.loads(await process.stdout.readline())["what"] == "connected"
                said = await asyncio.create_subprocess_exec(
                    *("mosquitto_pub", "-p", str(port), "-t", topic_of("T0001"), "-q", "1", "-l"),
                    stdin=asyncio.subprocess.PIPE,
                )
                await said.communicate(b"".join(b"forged %d\n" % number for number in range(count)))
                lines = [json.loads(await process.stdout.readline()) for _ in range(count)]
        finally:
            process.terminate()
            await process.wait()
        assert [line["what"] for line in lines] == ["refused"] * count
