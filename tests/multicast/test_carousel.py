import itertools
from datetime import timedelta

import pytest

from multicast import packet
from multicast.carousel import Carousel, encode
from multicast.pacing import Pacer, TokenBucket
from tests.multicast.session import (
    KEY,
    NOW,
    NOW_S,
    TSI,
    by_root,
    carousel,
    content,
    datagrams,
    notice,
    receiver,
    run,
    show,
)

SLOT_S = 0.0024


def slots(on_air, count):
    return [on_air.next(slot * SLOT_S) for slot in range(count)]


def positions(sent, toi):
    return [slot for slot, datagram in enumerate(sent) if datagram and packet.address(datagram)[1] == toi]


def tois(on_air):
    return [entry.toi for shown in on_air.notices for entry in shown.entries]


def test_an_empty_carousel_says_nothing():
    on_air = carousel()
    assert slots(on_air, 100) == [None] * 100
    assert on_air.is_idle
    show(on_air, notice(), content(100))
    assert not on_air.is_idle


@pytest.mark.parametrize("key", [None, KEY])
def test_manifest_and_fdt_are_said_first_and_every_100_ms(key):
    on_air = carousel(key)
    show(on_air, notice(), content(500_000))
    sent = slots(on_air, 1000)
    control = {packet.address(d)[1] for d in sent} - set(tois(on_air))
    assert len(control) == (2 if key else 1)
    for toi in control:
        at = positions(sent, toi)
        assert at[0] < 2
        assert all(
            later - earlier <= 0.1 / SLOT_S + 2 for earlier, later in itertools.pairwise(at[1:])
        )  # the FDT's second is put off by half an interval
        assert len(at) >= 1000 * SLOT_S / 0.1 - 1


def test_symbols_of_a_short_notice_are_at_least_twenty_packets_apart():
    on_air = carousel()
    show(on_air, notice(), content(2_000), content(500_000))
    short, large = tois(on_air)
    sent = slots(on_air, 2000)
    at = positions(sent, short)
    assert len(at) > 80
    assert all(later - earlier >= 20 for earlier, later in itertools.pairwise(at))
    assert None not in sent
    assert len(positions(sent, large)) > 1700


def test_many_short_notices_leave_every_second_packet_to_a_large_one():
    on_air = carousel()
    show(on_air, notice(), *(content(2_000, seed=n) for n in range(60)))
    show(on_air, notice("jp.example.2"), content(500_000))
    sent = slots(on_air, 2000)
    assert len(positions(sent, tois(on_air)[-1])) > 0.4 * 2000


def test_three_times_k_distinct_symbols_come_before_one_is_repeated():
    on_air = carousel()
    show(on_air, notice(), content(100_000))
    toi = tois(on_air)[0]
    symbols = [packet.read(d) for d in slots(on_air, 400) if d and packet.address(d)[1] == toi]
    ids = [s.payload_id for s in symbols]
    k = symbols[0].oti.source_symbols
    assert ids[: 3 * k] == list(range(3 * k))
    assert ids[3 * k] == 0


def test_every_packet_fits_the_datagram():
    for datagram_bytes in (1472, 1452):
        for key in (None, KEY):
            on_air = Carousel(tsi=TSI, wall=lambda: NOW_S, key=key, datagram_bytes=datagram_bytes)
            show(on_air, notice(), *(content(3_000, seed=n) for n in range(40)))
            assert max(len(d) for d in slots(on_air, 500) if d) <= datagram_bytes


def test_a_change_is_announced_in_the_next_packet_and_old_packets_are_gone():
    on_air = carousel()
    show(on_air, notice(), content(500_000))
    slots(on_air, 50)
    old = tois(on_air)
    said = show(on_air, notice(), content(400_000, seed=2))
    after = slots(on_air, 200)
    assert packet.address(after[0])[1] not in old
    assert not any(positions(after, toi) for toi in old)
    assert said.sequence > 0
    assert tois(on_air)[0] > old[0]


def test_a_receiver_follows_add_replace_and_withdraw():
    on_air, hears = carousel(), receiver(by_root())
    first, second = content(2_000, "a", 1), content(60_000, "b", 2)
    show(on_air, notice(), first)
    assert [e.content for e in run(on_air, hears) if hasattr(e, "content")] == [first.content]
    show(on_air, notice("jp.example.2"), second)
    assert [e.content for e in run(on_air, hears) if hasattr(e, "content")] == [second.content]
    on_air.withdraw("jp.example.1", cancelled_until=NOW + timedelta(minutes=30))
    events = [event for d in datagrams(on_air, 50) for event in hears.push(d)]
    assert [e.identifier for e in events if hasattr(e, "identifier")] == ["jp.example.1"]
    assert [n.identifier for n in hears.manifest.notices] == ["jp.example.2"]


def test_a_cancellation_goes_on_when_nothing_else_is_left_and_ends_in_time():
    now_s = [NOW_S]
    on_air = carousel(wall=lambda: now_s[0])
    show(on_air, notice(), content(2_000))
    on_air.withdraw("jp.example.1", cancelled_until=NOW + timedelta(minutes=5))
    assert any(slots(on_air, 100))
    now_s[0] += 301
    assert not any(on_air.next(10 + slot * SLOT_S) for slot in range(100))
    assert on_air.is_idle


def test_an_expired_notice_leaves_by_itself_and_the_others_stay():
    now_s = [NOW_S]
    on_air = carousel(wall=lambda: now_s[0])
    show(on_air, notice("short", minutes=1), content(2_000))
    show(on_air, notice("long", minutes=10), content(2_000))
    now_s[0] += 61
    slots(on_air, 100)
    assert [n.identifier for n in on_air.notices] == ["long"]


def test_what_cannot_be_carried_is_refused_and_changes_nothing():
    on_air = carousel()
    show(on_air, notice(), content(2_000))
    before = on_air.notices
    with pytest.raises(ValueError, match="expired"):
        show(on_air, notice("old", minutes=-1), content(2_000))
    with pytest.raises(ValueError, match="63"):
        show(on_air, notice("many"), *(content(100, seed=n) for n in range(64)))
    with pytest.raises(ValueError, match="another session"):
        on_air.show(notice("other"), [(content(100), encode(content(100).content, 64))])
    assert on_air.notices == before


def test_no_number_is_used_again_after_a_restart():
    now_s = [NOW_S]
    before = carousel(wall=lambda: now_s[0])
    said = [show(before, notice(), content(100, seed=n)) for n in range(20)]
    now_s[0] += 1
    after = carousel(wall=lambda: now_s[0])
    again = show(after, notice(), content(100))
    assert again.sequence > max(m.sequence for m in said)
    assert min(again.entries) > max(toi for m in said for toi in m.entries)


def test_the_pace_is_the_rate_with_headers_counted():
    now_s = [0.0]
    pacer = Pacer(1_000_000, 28, lambda: now_s[0])
    sent_bits = 0
    while now_s[0] < 10:
        if pacer.delay_s() > 0:
            now_s[0] += pacer.delay_s()
        pacer.took(1472)
        sent_bits += 1500 * 8
    assert sent_bits == pytest.approx(10_000_000, rel=0.01)


def test_a_late_sender_catches_up_a_little_and_never_bursts():
    now_s = [0.0]
    pacer = Pacer(1_000_000, 28, lambda: now_s[0])
    pacer.took(1472)
    now_s[0] = 60.0
    burst = 0
    while pacer.delay_s() == 0:
        pacer.took(1472)
        burst += 1
    assert burst <= 0.02 * 1_000_000 / 12_000 + 1
    with pytest.raises(ValueError, match="accepted"):
        Pacer(0, 28, lambda: 0.0)


def test_a_bucket_gives_its_burst_and_then_its_rate():
    now_s = [0.0]
    bucket = TokenBucket(10, 5, lambda: now_s[0])
    assert sum(bucket.take() for _ in range(100)) == 5
    now_s[0] += 0.3
    assert sum(bucket.take() for _ in range(100)) == 3
