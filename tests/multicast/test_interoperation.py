"""What others make of our packets: flute-alc rebuilds the objects, scapy dissects every packet."""

import os
import random
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from flute import receiver as flute

from multicast import capture, packet
from multicast.keys import SenderKey
from multicast.udp import Endpoint
from tests.multicast.pcap import loss_trace, write_pcap
from tests.multicast.session import KEY, NOW_S, TSI, by_root, carousel, content, datagrams, notice, receiver, run, show

UNCERTIFIED = SenderKey(KEY.sign(b"seed")[:32], "Exercise")


def lasting(identifier="n"):
    """A notice that holds by the machine's own clock, which is flute-alc's."""
    return replace(notice(identifier), expires=datetime.fromtimestamp(time.time() + 600, UTC))


def rebuilt(folder, heard):
    """What flute-alc's receiver writes, by name."""
    endpoint = flute.UDPEndpoint("239.255.77.1", 3400)
    decoder = flute.Receiver(endpoint, TSI, flute.ObjectWriterBuilder(str(folder)), flute.Config())
    for datagram in heard:
        decoder.push(datagram)
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("key", [None, KEY, UNCERTIFIED], ids=["plain", "certified", "signed"])
@pytest.mark.parametrize("datagram_bytes", [1472, 1452], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_flute_alc_rebuilds_every_object_byte_for_byte(tmp_path, key, datagram_bytes, loss):
    on_air = carousel(key, datagram_bytes=datagram_bytes, wall=time.time)
    sent = [content(1, "one.bin"), content(2_000, "notice.json", 1), content(700_001, "map.png", 2)]
    show(on_air, lasting(), *sent)
    chance = random.Random(3)
    heard = [d for d in datagrams(on_air, 2500) if chance.random() >= loss]
    files = rebuilt(tmp_path, heard)
    files.pop("todoke.manifest", None)
    assert files == {c.name: c.content for c in sent}


def test_flute_alc_follows_an_object_that_is_added_later(tmp_path):
    on_air = carousel(wall=time.time)
    first, second = content(5_000, "first", 1), content(90_000, "second", 2)
    show(on_air, lasting("a"), first)
    heard = list(datagrams(on_air, 300))
    show(on_air, lasting("b"), second)
    files = rebuilt(tmp_path, heard + list(datagrams(on_air, 500, start_s=1)))
    assert (files["first"], files["second"]) == (first.content, second.content)


@pytest.mark.parametrize("key", [None, KEY])
def test_scapy_dissects_every_packet_and_builds_it_again(key):
    on_air = carousel(key)
    show(on_air, notice(), content(2_000), content(60_000, seed=1))
    for datagram in datagrams(on_air, 200):
        dissected, read = capture.Lct(datagram), packet.read(datagram)
        assert (dissected.tsi, dissected.toi) == (read.tsi, read.toi)
        names = [extension.name for extension in dissected.extensions]
        assert ("EXT_AUTH Ed25519" in names) == (key is not None)
        assert ("EXT_FDT" in names) == (read.toi == 0)
        assert "EXT" not in names
        said = capture.describe(datagram)
        assert said["symbol_bytes"] == len(read.symbol)
        assert said["sbn"] << (24 if read.toi else 16) | said["esi"] == read.payload_id
        dissected.clear_cache()
        assert bytes(dissected) == datagram


def test_scapy_builds_a_packet_that_our_reader_takes():
    fti = capture.ExtFtiRaptorQ(transfer_bytes=1000, symbol_bytes=64)
    built = capture.Lct(
        tsi_bytes=b"\0\0\0\7", toi_bytes=b"\0\0\0\x09", extensions=[capture.ExtUnknown(het=200, value=b"abc"), fti]
    )
    datagram = bytes(built / capture.PayloadIdRaptorQ(esi=3) / bytes(64))
    assert packet.read(datagram) == packet.Packet(7, 9, packet.RaptorQ(1000, 64), 3, bytes(64))


@pytest.mark.parametrize("size", range(0, 60, 3))
def test_odd_bytes_are_described_as_an_error_or_as_something_else(size):
    for seed in range(20):
        data = random.Random(seed).randbytes(size)
        for datagram in (data, b"\x10\xa0" + data):
            assert capture.describe(datagram)


@pytest.mark.parametrize(("group", "source"), [("239.255.77.1", "192.0.2.1"), ("ff15::4d49:1", "2001:db8::1")])
def test_a_capture_is_read_back_and_replayed_as_a_loss_trace(tmp_path, group, source):
    on_air = carousel()
    show(on_air, notice(), content(60_000))
    sent = list(datagrams(on_air, 120))
    arrived = [d for n, d in enumerate(sent) if n % 5]
    path = tmp_path / "station.pcap"
    write_pcap(path, ((NOW_S + n / 400, d) for n, d in enumerate(arrived)), Endpoint(group, 3400, "lo"), source)
    captured = list(capture.read_pcap(path))
    assert [c.payload for c in captured] == arrived
    assert {(c.source, c.group, c.port) for c in captured} == {(source, group, 3400)}
    trace = loss_trace(sent, [c.payload for c in captured])
    assert trace == [n % 5 == 0 for n in range(120)]
    hears = receiver(by_root())
    for datagram, lost in zip(sent, trace, strict=True):
        if not lost:
            hears.push(datagram)
    assert hears.is_complete


def test_what_is_no_capture_is_refused_by_name(tmp_path):
    path = tmp_path / "odd.pcap"
    path.write_bytes(os.urandom(100))
    with pytest.raises(capture.BadCapture, match=r"odd\.pcap"):
        list(capture.read_pcap(path))
    assert run(carousel_with_notice(), receiver(by_root()))


def carousel_with_notice():
    on_air = carousel()
    show(on_air, notice(), content(2_000))
    return on_air
