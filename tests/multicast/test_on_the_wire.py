"""Real sockets: sender and receiver on loopback, the command in processes of its own, losses and IPv6 in a namespace."""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from multicast.carousel import Carousel, encode
from multicast.code import Unencodable
from multicast.keys import RootKey, SenderKey, Trust, load_sender
from multicast.manifest import Notice
from multicast.reassembly import Cancelled, Delivered, Reassembly
from multicast.receiver import open_receiver, safe_name, save
from multicast.sender import open_sender
from multicast.udp import BadEndpoint, Endpoint
from tests.multicast.pcap import write_pcap
from tests.multicast.session import content

ROOT = RootKey.generate()
GROUP = "239.255.77.1"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def endpoint():
    """A group port that is free now, on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return Endpoint(GROUP, probe.getsockname()[1], "127.0.0.1")


def key():
    return SenderKey.generate("Exercise", ROOT, now_s=time.time())


def reassembly(trust=None):
    return Reassembly(tsi=1, trust=trust or Trust(root=ROOT.public), wall=time.time, clock=time.monotonic)


def within(minutes):
    return datetime.fromtimestamp(time.time(), UTC) + timedelta(minutes=minutes)


def notice(identifier="n1"):
    return Notice(identifier, "Severe", ("132040301",), within(5))


async def next_of(events, kind):
    async with asyncio.timeout(20):
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError


async def test_a_notice_is_shown_replaced_and_withdrawn_over_real_sockets(endpoint):
    async with (
        open_receiver(endpoint, reassembly()) as events,
        open_sender(endpoint, tsi=1, rate_bit_s=20e6, key=key()) as sender,
    ):
        first, second = content(2_000, "a", 1), content(1_500_000, "b", 2)
        await sender.show(notice(), [first])
        await sender.sent(1)
        assert (await next_of(events, Delivered)).content == first.content
        # Large enough to be encoded in a process of its own.
        await sender.show(notice(), [second])
        assert (await next_of(events, Delivered)).content == second.content
        sender.withdraw("n1", cancelled_until=within(1))
        assert (await next_of(events, Cancelled)).identifier == "n1"
        assert sender.fault is None


async def test_a_mistake_of_the_caller_leaves_the_block_as_itself(endpoint):
    with pytest.raises(Unencodable, match="accepted"):
        async with open_sender(endpoint, tsi=1, key=key()) as sender:
            await sender.show(notice(), [content(0)])


async def test_the_rate_is_kept_on_the_wire(endpoint):
    async with open_sender(endpoint, tsi=1, rate_bit_s=2e6) as sender:
        await sender.show(notice(), [content(300_000)])
        started_s = time.monotonic()
        await sender.sent(300)
        took_s = time.monotonic() - started_s
        bits = (sender.bytes + sender.packets * endpoint.header_bytes) * 8
    # Never faster than asked, but for the 20 ms that a late wake-up may make up for and the packets of one turn.
    assert bits <= 2e6 * (took_s + 0.02) + 33 * 12_000


async def test_floods_at_the_socket_change_nothing(endpoint):
    async with (
        open_receiver(endpoint, reassembly()) as events,
        open_sender(endpoint, tsi=1, rate_bit_s=20e6, key=key()) as sender,
    ):
        chance = random.Random(1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
            attacker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            for _ in range(3000):
                attacker.sendto(
                    chance.choice([b"", b"\x10\xa0"]) + chance.randbytes(chance.randrange(3000)), (GROUP, endpoint.port)
                )
        file = content(50_000)
        await sender.show(notice(), [file])
        assert (await next_of(events, Delivered)).content == file.content


@pytest.mark.parametrize(
    ("group", "port", "interface", "reason"),
    [
        ("192.0.2.1", 3400, "lo", "multicast"),
        ("x", 0, "", "port"),
        (GROUP, 3400, "nosuch0", "there are"),
        (GROUP, 3400, "192.0.2.77", "192"),
        ("ff15::1", 3400, "127.0.0.1", "family"),
        ("ff15::1", 3400, "2001:db8::77", "no interface"),
    ],
)
async def test_an_endpoint_that_cannot_be_used_says_why(group, port, interface, reason):
    with pytest.raises(BadEndpoint, match=reason):
        async with open_receiver(Endpoint(group, port, interface), reassembly()):
            pass


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("避難.json", "避難.json"),
        ("a b-1_2.png", "a b-1_2.png"),
        ("../../etc/passwd", "passwd"),
        ("file:///tmp/x.bin", "x.bin"),
        ("..", None),
        ("", None),
        (".bashrc", None),
        ("a\0b", None),
        ("a\nb", None),
        ("x" * 200, None),
        ("-rf", None),
        ("con\u202egpj.exe", None),
        ("/", None),
        ("a\\b", None),
    ],
)
def test_a_name_from_the_wire_is_never_a_path(name, safe):
    assert safe_name(name) == safe


def test_a_plain_file_never_replaces_what_stands_there(tmp_path):
    def file(body, told=None):
        return Delivered(1, "../a.txt", "text/plain", body, told)

    outside = tmp_path / "outside"
    outside.write_text("mine")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.txt").symlink_to(outside)
    path = save(folder, file(b"theirs"))
    assert (path.parent, path.read_bytes(), outside.read_text()) == (folder, b"theirs", "mine")
    assert path.name != "a.txt"
    # A verified one replaces it, and the link itself, not what it leads to.
    assert save(folder, file(b"signed", notice())).name == "a.txt"
    assert ((folder / "a.txt").read_bytes(), outside.read_text()) == (b"signed", "mine")
    assert save(folder, file(b"other", notice()), {folder / "a.txt"}).name != "a.txt"
    assert not list(folder.glob(".*"))


# The command


def command(*words, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "multicast", *map(str, words)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finished(process, expected=0):
    out, err = process.communicate(timeout=60)
    assert process.returncode == expected, err
    return out


def keygen(tmp_path):
    finished(command("keygen", tmp_path / "root", "--root"))
    finished(command("keygen", tmp_path / "sender", "--certify-with", tmp_path / "root", "--status", "Exercise"))


@pytest.fixture
def files(tmp_path):
    made = [tmp_path / "避難指示.json", tmp_path / "map.png"]
    for number, (path, size) in enumerate(zip(made, (1_500, 400_000), strict=True)):
        path.write_bytes(random.Random(number).randbytes(size))
    return made


def sent_and_received(tmp_path, files, where, *, key=(), trust=(), expected=0, timeout=40):
    """Run both commands; what receive said and wrote, and what send said after Ctrl-C."""
    out = tmp_path / "out"
    sending = command("send", *where, "--rate", "20M", "--seconds", 100, "-o", "json", *key, *files)
    try:
        received = finished(
            command("receive", *where, "--out", out, "--timeout", timeout, "-o", "json", *trust), expected
        )
    finally:
        sending.send_signal(signal.SIGINT)
    said = json.loads(finished(sending))
    written = {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith(".")}
    return json.loads(received), written, said


@pytest.mark.parametrize("trust", ["root.pub", "sender.pub", None])
def test_the_two_commands_carry_files_between_two_processes(tmp_path, files, endpoint, trust):
    keygen(tmp_path)
    where = ("--group", GROUP, "--port", endpoint.port, "--iface", "127.0.0.1")
    received, written, said = sent_and_received(
        tmp_path, files, where,
        key=("--key", tmp_path / "sender") if trust else (), trust=("--trust", tmp_path / trust) if trust else (),
    )  # fmt: skip
    assert written == {path.name: path.read_bytes() for path in files}
    assert received["complete"]
    assert {file["name"] for file in received["files"]} == {path.name for path in files}
    assert received["sequence"] == said["sequence"]
    assert said["packets"] > 0


@pytest.mark.parametrize("key", [None, "other"])
def test_a_receiver_with_trust_writes_nothing_unsigned_or_forged_and_times_out_with_8(tmp_path, files, endpoint, key):
    keygen(tmp_path)
    finished(command("keygen", tmp_path / "other"))
    where = ("--group", GROUP, "--port", endpoint.port, "--iface", "127.0.0.1")
    received, written, _ = sent_and_received(
        tmp_path, files, where, expected=8, timeout=2,
        key=("--key", tmp_path / key) if key else (), trust=("--trust", tmp_path / "root.pub"),
    )  # fmt: skip
    assert written == {}
    assert not received["complete"]
    assert received["packets"] > 0
    assert set(received["refused"]) == {"unknown key" if key else "unsigned"}


def test_a_folder_remembers_what_it_has_seen_so_that_an_older_session_stays_refused(tmp_path, files, endpoint):
    keygen(tmp_path)
    where = ("--group", GROUP, "--port", endpoint.port, "--iface", "127.0.0.1")
    keys = {"key": ("--key", tmp_path / "sender"), "trust": ("--trust", tmp_path / "root.pub")}
    first, _, _ = sent_and_received(tmp_path, files[:1], where, **keys)
    memory = tmp_path / "out" / ".multicast-sequence"
    assert json.loads(memory.read_text()) == {"sequence": first["sequence"]}
    memory.write_text(json.dumps({"sequence": first["sequence"] + 10**9}))
    later, written, _ = sent_and_received(tmp_path, files[1:], where, expected=8, timeout=2, **keys)
    assert later["refused"]["old manifest"] == 1
    assert set(written) == {files[0].name}


def test_dissect_says_of_each_packet_who_signed_it(tmp_path, endpoint):
    keygen(tmp_path)
    on_air = Carousel(tsi=1, wall=time.time, key=load_sender(tmp_path / "sender"))
    file = content(20_000)
    on_air.show(notice(), [(file, encode(file.content, on_air.symbol_bytes))])
    heard = [d for slot in range(40) if (d := on_air.next(slot * 0.0024))]
    spoilt = heard[5][:-1] + bytes([heard[5][-1] ^ 1])
    path = tmp_path / "station.pcap"
    write_pcap(path, ((time.time(), d) for d in [*heard, spoilt, b"noise"]), endpoint, "127.0.0.1")
    words = ("dissect", path, "--port", endpoint.port, "--trust", tmp_path / "root.pub")
    said = json.loads(finished(command(*words, "-o", "json")))
    assert said["counts"] == {"verified": len(heard), "unverified": 1, "foreign": 1}
    lines = finished(command(*words)).splitlines()
    assert len(lines) == len(heard) + 3
    assert "EXT_AUTH Ed25519" in lines[0]


def test_what_cannot_be_sent_or_received_exits_2_and_says_all_of_it(tmp_path, files):
    (tmp_path / "empty").touch()
    process = command("send", "--iface", "127.0.0.1", tmp_path / "missing", tmp_path / "empty", files[0])
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "missing" in err
    assert "empty" in err
    for words in (
        ("send", "--iface", "nosuch0", files[0]),
        ("send", "--iface", "127.0.0.1", "--key", files[0], files[0]),
        ("send", "--iface", "127.0.0.1", "--rate", "0", files[0]),
        ("send", "--iface", "127.0.0.1", "--group", "192.0.2.1", files[0]),
        ("receive", "--iface", "127.0.0.1", "--out", files[0]),
        ("receive", "--iface", "127.0.0.1", "--out", tmp_path, "--trust", tmp_path / "missing"),
        ("dissect", files[0]),
        ("keygen", tmp_path / "x", "--certify-with", tmp_path / "missing"),
        (),
    ):
        process = command(*words)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, bool(err.strip())) == (2, True), words


# Namespaces: our own network, with losses, IPv6 and nobody else

_NAMESPACE = """
set -e
ip link set lo up
ip link add v0 type veth peer name v1
ip link set v1 up; ip link set v0 up
ip addr add 192.0.2.1/24 dev v0; ip addr add 2001:db8::1/64 dev v0 nodad
nft add table inet t
nft add chain inet t i '{ type filter hook input priority 0; }'
nft add rule inet t i udp dport 34100 numgen random mod 100 '<' 40 counter drop
"$PYTHON" -m multicast send --group "$GROUP" --port 34100 --iface v0 --rate 20M --key "$KEYS/sender" --seconds 100 -o json "$FILE" > "$KEYS/sent.json" &
sender=$!
code=0
"$PYTHON" -m multicast receive --group "$GROUP" --port 34100 --iface v0 --trust "$KEYS/root.pub" --out "$OUT" --timeout 40 -o json > "$KEYS/received.json" || code=$?
kill -INT $sender
wait $sender
nft -j list chain inet t i > "$KEYS/dropped.json"
exit $code
"""


@pytest.mark.namespaces
@pytest.mark.parametrize("group", [GROUP, "ff15::4d49:1"], ids=["IPv4", "IPv6"])
def test_two_packets_of_five_lost_and_the_file_still_arrives(tmp_path, files, group):
    keygen(tmp_path)
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "GROUP": group,
        "KEYS": str(tmp_path),
        "OUT": str(tmp_path / "out"),
        "FILE": str(files[1]),
    }
    unshare = shutil.which("unshare") or "/usr/bin/unshare"
    run = subprocess.run(
        [unshare, "-rn", "bash", "-c", _NAMESPACE],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "out" / "map.png").read_bytes() == files[1].read_bytes()
    rules = json.loads((tmp_path / "dropped.json").read_text())["nftables"]
    (lost,) = (e["counter"]["packets"] for r in rules if "rule" in r for e in r["rule"]["expr"] if "counter" in e)
    arrived = json.loads((tmp_path / "received.json").read_text())["packets"]
    assert 0.3 < lost / (lost + arrived) < 0.5
