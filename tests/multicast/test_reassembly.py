import gzip
import itertools
import random
import struct
import tracemalloc
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multicast import code, fdt, manifest, packet
from multicast.keys import Trust
from multicast.reassembly import Announced, Bounds, Cancelled, Delivered
from tests.multicast.session import (
    KEY,
    NOW,
    NOW_S,
    ROOT,
    STRANGER,
    TSI,
    by_root,
    by_sender,
    carousel,
    content,
    datagrams,
    forgeries,
    notice,
    receiver,
    run,
    show,
)

MB = 1_000_000


def files(events):
    return {(event.name, event.content) for event in events if isinstance(event, Delivered)}


@pytest.mark.parametrize("loss", [0.0, 0.2, 0.4])
@pytest.mark.parametrize(("key", "trust"), [(None, None), (KEY, by_root), (KEY, by_sender), (KEY, None)])
def test_every_file_arrives_whole_whatever_is_lost(key, trust, loss):
    on_air = carousel(key)
    sent = [content(1, "a"), content(2_000, "b", 1), content(300_000, "c", 2)]
    show(on_air, notice(), *sent)
    events = run(on_air, receiver(trust() if trust else None), loss=loss)
    assert files(events) == {(c.name, c.content) for c in sent}
    assert sum(isinstance(e, Announced) for e in events) == (1 if trust else 0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 0.6), st.lists(st.integers(1, 20_000), min_size=1, max_size=4))
def test_losses_repeats_and_any_order_change_nothing(seed, loss, sizes):
    on_air, hears, chance = carousel(), receiver(by_root()), random.Random(seed)
    sent = [content(size, f"f{n}", n) for n, size in enumerate(sizes)]
    show(on_air, notice(), *sent)
    heard = [d for d in datagrams(on_air, 1200) if chance.random() >= loss]
    chance.shuffle(heard)
    events = [event for d in heard for _ in range(chance.randint(1, 2)) for event in hears.push(d)]
    delivered = [e.name for e in events if isinstance(e, Delivered)]
    assert len(delivered) == len(set(delivered))
    assert files(events) <= {(c.name, c.content) for c in sent}
    assert set(hears.refused) <= {"unknown key"}  # what came long before any certificate
    if loss < 0.5:
        assert files(events) == {(c.name, c.content) for c in sent}


def test_nothing_false_is_shown_under_a_flood_and_everything_true_is():
    on_air, hears = carousel(), receiver(by_root())
    sent = [content(2_000, "notice.json", 1), content(100_000, "map.png", 2)]
    show(on_air, notice(), *sent)
    heard = list(datagrams(on_air, 600))
    forged = forgeries(heard[:60])
    events = []
    for genuine in heard:
        for false in itertools.islice(forged, 10):
            events += hears.push(false, "198.51.100.66")
        events += hears.push(genuine, "192.0.2.1")
    assert files(events) == {(c.name, c.content) for c in sent}
    assert sum(isinstance(e, Announced) for e in events) == 1
    assert not any(isinstance(e, Cancelled) for e in events)
    assert hears.refused["forged"] > 20
    assert hears.refused["unsigned"] > 100
    assert hears.refused["unknown key"] > 100


def test_a_tampered_manifest_in_properly_signed_packets_is_not_believed():
    """Somebody who holds the packet key of another session, or a bug of ours: the manifest's own signature still decides."""
    on_air, hears = carousel(), receiver(by_root())
    said = show(on_air, notice(), content(2_000))
    data = manifest.write(said, KEY).replace(b'"Severe"', b'"Minor"')
    oti, symbols = code.encode(data, 1024)
    for s in symbols:
        tampered = packet.Packet(TSI, 99, oti, int.from_bytes(s[:4], "big"), s[4:], None, KEY.certificate.write())
        assert hears.push(packet.write(tampered, KEY)) == []
    assert hears.refused["bad manifest"] == 1
    assert hears.manifest is None


def test_an_object_other_than_its_manifest_says_is_not_shown():
    on_air, hears = carousel(), receiver(by_sender())
    said = show(on_air, notice(), content(2_000))
    for d in datagrams(on_air, 2):
        hears.push(d)
    (toi,) = said.entries
    oti, symbols = code.encode(b"x" * 2_000, on_air.symbol_bytes)
    for s in symbols:
        swapped = packet.Packet(TSI, toi, oti, int.from_bytes(s[:4], "big"), s[4:])
        assert hears.push(packet.write(swapped, KEY)) == []
    assert hears.refused["contradiction"] >= 1
    assert files(run(on_air, hears))


def test_a_recording_of_an_older_session_is_not_shown_again():
    now_s = [NOW_S]
    earlier = carousel(wall=lambda: now_s[0])
    show(earlier, notice("order"), content(2_000, "old"))
    recording = list(datagrams(earlier, 200))
    now_s[0] += 60
    later = carousel(wall=lambda: now_s[0])
    later.withdraw("order", cancelled_until=NOW + timedelta(hours=1))
    hears = receiver(by_root())
    assert any(isinstance(e, Cancelled) for d in datagrams(later, 50) for e in hears.push(d))
    assert [e for d in recording for e in hears.push(d)] == []
    assert hears.refused["old manifest"] == 1
    # After a restart the receiver remembers only the sequence.
    again = receiver(by_root(), last_sequence=hears.last_sequence)
    assert [e for d in recording for e in again.push(d)] == []
    assert any(isinstance(e, Announced) for d in datagrams(later, 50, start_s=10) for e in again.push(d))


def test_what_has_expired_is_not_shown():
    on_air = carousel()
    show(on_air, notice(minutes=5), content(2_000))
    recording = list(datagrams(on_air, 200))
    hears = receiver(by_root(), wall=lambda: NOW_S + 301)
    assert [e for d in recording for e in hears.push(d)] == []


def test_a_drill_is_nothing_to_a_receiver_of_live_notices():
    on_air, hears = carousel(), receiver(Trust(root=ROOT.public, status="Actual"))
    show(on_air, notice(), content(2_000))
    assert [e for d in datagrams(on_air, 300) for e in hears.push(d)] == []


def test_another_session_and_another_source_are_not_heard():
    on_air = carousel()
    show(on_air, notice(), content(2_000))
    heard = list(datagrams(on_air, 100))
    other_tsi, other_source = receiver(by_root(), tsi=2), receiver(by_root(), source="192.0.2.1")
    assert [e for d in heard for e in other_tsi.push(d) + other_source.push(d, "198.51.100.66")] == []
    assert set(other_tsi.refused) == {"another session"}
    assert set(other_source.refused) == {"another source"}


def test_a_manifest_of_another_session_is_not_believed_on_this_one():
    on_air, hears = carousel(tsi=2), receiver(by_root())
    show(on_air, notice(), content(2_000))
    for d in datagrams(on_air, 200):
        read = packet.read(d)
        if isinstance(read.oti, packet.RaptorQ):
            assert hears.push(packet.write(replace(read, tsi=TSI, auth_at=None), KEY)) == []
    assert hears.refused["bad manifest"] == 1


def test_the_signatures_of_strangers_are_looked_at_within_a_budget():
    now_s = [0.0]
    bounds = Bounds(stranger_checks_s=100, stranger_burst=50)
    hears = receiver(by_sender(), bounds=bounds, clock=lambda: now_s[0])
    on_air = carousel()
    show(on_air, notice(), content(2_000))
    genuine = list(datagrams(on_air, 100))
    spoilt = packet.read(genuine[-1])
    for number in range(5000):
        forged = bytearray(packet.write(replace(spoilt, payload_id=number, auth_at=None), KEY))
        forged[-1] ^= 1
        hears.push(bytes(forged), "198.51.100.66")
    assert hears.refused["forged"] == 50
    assert hears.refused["too many to check"] == 4950
    now_s[0] += 1
    assert any(isinstance(e, Announced) for d in genuine for e in hears.push(d, "192.0.2.1"))
    # A source that has proved itself no longer waits behind the strangers.
    for number in range(5000):
        hears.push(packet.write(replace(spoilt, payload_id=number + 9000, auth_at=None), STRANGER), "198.51.100.66")
    show(on_air, notice("next"), content(2_000, seed=3))
    assert files(run(on_air, hears))


def grown(push):
    tracemalloc.start()
    try:
        push()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("trust", "count"), [(None, 60_000), (by_root, 20_000)])
def test_new_objects_without_end_do_not_grow_a_receiver(trust, count):
    hears = receiver(trust() if trust else None)
    packets = [
        bytearray(packet.write(packet.Packet(TSI, 1, packet.RaptorQ(size, 64), 0, bytes(64))))
        for size in (64, 3_000_000)
    ]

    def flood():
        for number in range(count):
            datagram = packets[number % 2]
            struct.pack_into(">I", datagram, 12, number + 1)
            assert hears.push(bytes(datagram)) == []

    assert grown(flood) < 2 * MB
    assert hears.reserved_bytes <= hears.bounds.reserved_bytes


def test_a_sender_without_end_fills_no_more_than_the_bound():
    hears = receiver(None, bounds=Bounds(reserved_bytes=4 * MB))
    symbol = bytes(1360)

    def flood():
        for number in range(30_000):
            oti = packet.RaptorQ(1_000_000, 1360)
            hears.push(packet.write(packet.Packet(TSI, number % 20 + 1, oti, number // 20, symbol)))

    assert grown(flood) < 6 * MB
    assert hears.reserved_bytes <= 4 * MB


def plain_fdt(data, instance=1, size=1400):
    oti = packet.NoCode(len(data), size, 1000)
    return [
        packet.write(packet.Packet(TSI, 0, oti, n, data[n * size : (n + 1) * size], instance))
        for n in range(oti.source_symbols)
    ]


def test_hostile_tables_cost_little_and_list_nothing():
    hears = receiver(None)
    bomb = gzip.compress(bytes(50 * MB))

    def flood():
        for instance in range(100):
            for d in plain_fdt(bomb[:60_000], instance) + plain_fdt(b"<!DOCTYPE a>" + b" " * 60_000, instance + 1000):
                hears.push(d)
            # A table said to be of 4 GB, and one of which all but the last part comes.
            hears.push(
                packet.write(packet.Packet(TSI, 0, packet.NoCode(1 << 32, 1400), 0, bytes(1400), instance + 5000))
            )
            for d in plain_fdt(bytes(60_000), instance + 10_000)[:-1]:
                hears.push(d)

    assert grown(flood) < 2 * MB
    assert hears.refused["bad FDT"] >= 300
    assert hears.listed == frozenset()


def test_an_object_that_never_decodes_is_let_go():
    """Poisoned symbols of a plain session: the decoder gives something else, or nothing; either way it ends."""
    hears = receiver(None)
    table = fdt.Fdt(int(NOW_S) + 60, (fdt.File(5, "a", "text/plain", 20_000, bytes(16)),))
    for d in plain_fdt(fdt.write(table)):
        hears.push(d)
    chance = random.Random(1)
    oti = code.parameters(20_000, 1000)
    for number in chance.sample(range(1 << 20), 400):
        assert hears.push(packet.write(packet.Packet(TSI, 5, oti, number, chance.randbytes(1000)))) == []
    assert hears.refused["contradiction"] + hears.refused["undecodable"] > 3
    assert not hears.is_complete


def test_a_stranger_cannot_fill_the_disk_of_a_plain_receiver():
    hears = receiver(None, bounds=Bounds(delivered_bytes=10_000))
    delivered = 0
    for number in range(100):
        table = fdt.Fdt(int(NOW_S) + 60, (fdt.File(number + 1, "a", "text/plain", 1000),))
        for d in plain_fdt(fdt.write(table), number):
            hears.push(d)
        oti, symbols = code.encode(bytes([number]) * 1000, 1000)
        for e in hears.push(packet.write(packet.Packet(TSI, number + 1, oti, 0, symbols[0][4:]))):
            delivered += len(e.content)
    assert delivered == 10_000


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_hostile_bytes_do_nothing(garbage):
    for trust in (None, by_root()):
        hears = receiver(trust)
        for data in garbage:
            for d in (data, b"\x10\xa0" + data, b"\x10\xa0\x08\x06\0\0\0\0\0\0\0\x01" + data):
                assert hears.push(d) == []


def test_objects_larger_together_than_the_bound_still_all_arrive():
    bounds = Bounds(reserved_bytes=400_000, known_burst=MB, stranger_burst=MB)
    on_air, hears = carousel(), receiver(by_root(), bounds=bounds)
    sent = [content(150_000, f"f{n}", n) for n in range(6)]
    show(on_air, notice(), *sent)
    assert files(run(on_air, hears, loss=0.2)) == {(c.name, c.content) for c in sent}


def test_a_notice_withdrawn_before_it_was_whole_is_not_shown():
    on_air, hears = carousel(), receiver(by_root())
    show(on_air, notice(), content(300_000))
    heard = list(datagrams(on_air, 600))
    for d in heard[:100]:
        hears.push(d)
    on_air.withdraw("jp.example.1", cancelled_until=NOW + timedelta(hours=1))
    for d in datagrams(on_air, 50):
        hears.push(d)
    assert [e for d in heard[100:] for e in hears.push(d)] == []
    assert hears.is_complete
