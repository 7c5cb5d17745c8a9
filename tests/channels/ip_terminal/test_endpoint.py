"""The broker's end, talked to over sockets: who may do what, what a PUBACK means, and how long anybody is waited for."""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from channels.ip_terminal.connection import MOST_PACKETS_PER_S, MOST_UNRECORDED
from channels.ip_terminal.endpoint import MOST_AT_ONCE, MOST_UNHEARD_OF, ConnectionLimits
from channels.ip_terminal.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    Property,
    PubAck,
    Publish,
    Reason,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
    Will,
    encode,
)
from channels.ip_terminal.receipt import ANSWERS, State
from channels.ip_terminal.register import write
from channels.ip_terminal.topics import Up, topic_of
from dispatcher.clock import ManualClock, SystemClock
from dispatcher.errors import StorageFull
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Outcome, Receipt, Received, Told
from dispatcher.model.mode import Drill
from tests.contracts.channel_contract import Memory
from tests.samples import OSAWA, SENT, evacuation_order
from tests.servers.mqtt import PASSWORD, WITHIN_S, Site, Wire, registered, site

ONE = [Destination("T0001")]
BOTH = [Destination("T0001"), Destination("T0002")]
RECEIPTS = [state for state in State if state not in ANSWERS]


class Slow(Memory):
    """An inbox that writes when it is let, and has no room left while it is full."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()
        self.is_full = False
        self.asked = asyncio.Event()
        self.writes = 0

    async def record(self, received: Sequence[Received]) -> None:
        self.asked.set()
        if self.is_full:
            raise StorageFull("no room")
        await self.let.wait()
        self.writes += 1
        await super().record(received)


async def rendered(at: Site, number: int = 1):
    order = evacuation_order(Drill, identifier=f"m-{number}")
    return at.channel.render(order, await at.channel.audience(OSAWA))


async def send(at: Site, to: Sequence[Destination] = ONE, number: int = 1) -> dict[str, Told]:
    told: list[Told] = []
    async with asyncio.timeout(WITHIN_S):
        await at.channel.send(await rendered(at, number), to, told.append)
    assert len({t.address for t in told}) == len(told)
    return {t.address: t for t in told}


async def until(condition, clock: ManualClock | None = None) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            if clock:
                clock.advance(1.0)
            await asyncio.to_thread(int)  # a turn of the loop, and of the kernel


async def closed_as_time_passes(wire: Wire, clock: ManualClock) -> float:
    """Seconds of the clock until the node closed the connection."""
    started_s = clock.monotonic()
    closing = asyncio.ensure_future(wire.is_closed())
    await until(closing.done, clock)
    assert closing.result()
    return clock.monotonic() - started_s


# -- what a PUBACK means -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 5])
async def test_taken_is_the_terminals_puback(tmp_path, version):
    async with site(tmp_path) as at, at.terminal("T0001", version) as wire:
        sending = asyncio.ensure_future(send(at, BOTH))
        notice = await wire.next()
        assert isinstance(notice, Publish)
        assert notice.topic == topic_of("T0001")
        assert notice.payload == (await rendered(at)).part("notice.json")
        assert not sending.done()
        wire.send(PubAck(notice.packet_id))
        told = await sending
        assert told["T0001"].outcome is Outcome.TAKEN
        assert told["T0002"].outcome is Outcome.TEMPORARY
        assert "つながっていません" in told["T0002"].words


@pytest.mark.parametrize("version", [4, 5])
async def test_a_receipt_is_acknowledged_only_after_it_is_durable(tmp_path, version):
    inbox = Slow()
    async with site(tmp_path, inbox) as at, at.terminal("T0001", version) as wire:
        wire.receipt("T0001")
        await inbox.asked.wait()
        wire.send(PingReq())
        assert await wire.next() == PingResp()
        assert not inbox.received
        inbox.let.set()
        assert await wire.next() == PubAck(7)
        assert inbox.received == [Received("m-1", "ip_terminal", "T0001", Receipt.DELIVERED, SENT)]


async def test_a_full_disk_acknowledges_nothing_and_loses_nothing(tmp_path):
    inbox = Slow()
    inbox.is_full = True
    async with site(tmp_path, inbox) as at, at.terminal("T0001") as wire:
        wire.receipt("T0001")
        await inbox.asked.wait()
        wire.send(PingReq())
        assert await wire.next() == PingResp()
        inbox.is_full = False
        inbox.let.set()
        assert await wire.next() == PubAck(7)
        assert len(inbox.received) == 1


async def test_receipts_of_many_terminals_are_written_together(tmp_path):
    inbox = Slow()
    tids = [f"T{n:04d}" for n in range(40)]
    async with (
        site(tmp_path, inbox, terminals=[registered(t) for t in tids]) as at,
        contextlib.AsyncExitStack() as stack,
    ):
        wires = [await stack.enter_async_context(at.terminal(tid)) for tid in tids]
        for wire, tid in zip(wires, tids, strict=True):
            for number, state in enumerate(RECEIPTS, 1):
                wire.receipt(tid, state=state, packet_id=number)
        for wire in wires:
            wire.send(PingReq())
            assert await wire.next() == PingResp()
        inbox.let.set()
        for wire in wires:
            assert [await wire.next() for _ in RECEIPTS] == [PubAck(1), PubAck(2), PubAck(3)]
        assert len(inbox.received) == 120
        assert inbox.writes <= 3


async def test_a_terminal_that_says_more_than_can_be_written_waits_and_is_heard(tmp_path):
    inbox = Slow()
    async with site(tmp_path, inbox) as at, at.terminal("T0001") as wire:
        count = 3 * MOST_UNRECORDED
        for number in range(1, count + 1):
            wire.receipt("T0001", mid=f"m-{number}", packet_id=number)
        await inbox.asked.wait()
        inbox.let.set()
        assert [await wire.next() for _ in range(count)] == [PubAck(n) for n in range(1, count + 1)]
        assert len(inbox.received) == count


@pytest.mark.parametrize("version", [4, 5])
async def test_a_forged_receipt_is_never_recorded_and_never_acknowledged(tmp_path, version):
    async with site(tmp_path) as at, at.terminal("T0001", version) as wire:
        wire.send(Publish(Up.RECEIPT.topic("T0001"), b'{"mid":"m-1","tid":"T0001","st":"delivered"}', 1, 7))
        answer = await wire.next()
        assert answer is None if version == 4 else answer == PubAck(7, Reason.PAYLOAD_FORMAT_INVALID)
        assert not at.inbox.received


@pytest.mark.parametrize("version", [4, 5])
async def test_a_stolen_terminal_cannot_fill_the_ledger_with_messages_that_never_were(tmp_path, version):
    clock = ManualClock(SENT)
    async with site(tmp_path, clock=clock) as at:
        async with at.terminal("T0001", version) as wire:
            for number in range(1, MOST_UNHEARD_OF + 1):
                wire.receipt("T0001", mid=f"never-{number}", packet_id=number)
                assert await wire.next() == PubAck(number)
            wire.receipt("T0001", mid="never-again", packet_id=99)
            answer = await wire.next()
            assert answer is None if version == 4 else answer == PubAck(99, Reason.QUOTA_EXCEEDED)
        async with at.terminal("T0001", version) as wire:
            await send(at)  # says UNKNOWN: nobody acknowledges it
            await wire.next()
            wire.receipt("T0001", mid="m-1", packet_id=1)
            assert await wire.next() == PubAck(1)
        assert len(at.inbox.received) == MOST_UNHEARD_OF + 1


# -- sending -------------------------------------------------------------------------------------------------------


async def test_who_appears_while_an_attempt_lasts_gets_the_notice_at_once(tmp_path):
    async with site(tmp_path) as at, at.terminal("T0001") as first:
        sending = asyncio.ensure_future(send(at, BOTH))
        notice = await first.next()
        async with at.terminal("T0002") as second:
            await second.take()
            first.send(PubAck(notice.packet_id))
            told = await sending
        assert {t.outcome for t in told.values()} == {Outcome.TAKEN}
        assert at.inbox.reachable_calls == 2


async def test_no_answer_is_unknown_and_the_same_connection_is_not_told_twice(tmp_path):
    async with site(tmp_path, wait=0.2) as at, at.terminal("T0001") as wire:
        assert (await send(at))["T0001"].outcome is Outcome.UNKNOWN
        sending = asyncio.ensure_future(send(at))
        notice = await wire.next()
        assert not notice.dup
        wire.send(PubAck(notice.packet_id), PingReq())
        assert (await sending)["T0001"].outcome is Outcome.TAKEN
        assert await wire.next() == PingResp()


async def test_a_connection_lost_on_the_way_is_known_at_once(tmp_path):
    async with site(tmp_path, wait=60.0) as at:
        async with at.terminal("T0001") as wire:
            sending = asyncio.ensure_future(send(at))
            await wire.next()
        assert (await sending)["T0001"].outcome is Outcome.TEMPORARY


async def test_who_says_no_is_told_with_its_code(tmp_path):
    async with site(tmp_path) as at, at.terminal("T0001", 5) as wire:
        sending = asyncio.ensure_future(send(at))
        notice = await wire.next()
        wire.send(PubAck(notice.packet_id, Reason.QUOTA_EXCEEDED))
        told = (await sending)["T0001"]
        assert told.outcome is Outcome.TEMPORARY
        assert "0x97" in told.words


async def test_who_is_no_longer_registered_is_not_tried_again(tmp_path):
    async with site(tmp_path) as at:
        assert (await send(at, [Destination("T9999")]))["T9999"].outcome is Outcome.PERMANENT


async def test_no_more_notices_are_on_their_way_than_the_terminal_takes(tmp_path):
    few = {Property.RECEIVE_MAXIMUM: 1}
    async with site(tmp_path, wait=0.2) as at, at.terminal("T0001", 5, properties=few) as wire:
        await send(at, number=1)
        told = (await send(at, number=2))["T0001"]
        assert told.outcome is Outcome.TEMPORARY
        assert "前のお知らせ" in told.words
        await wire.take()
        wire.send(PingReq())
        assert await wire.next() == PingResp()
        sending = asyncio.ensure_future(send(at, number=2))
        await wire.take()
        assert (await sending)["T0001"].outcome is Outcome.TAKEN


async def test_a_terminal_too_small_for_the_notice_says_why(tmp_path):
    small = {Property.MAXIMUM_PACKET_SIZE: 500}
    async with site(tmp_path) as at, at.terminal("T0001", 5, properties=small):
        told = (await send(at))["T0001"]
        assert told.outcome is Outcome.TEMPORARY
        assert "500" in told.words


async def test_qos_0_is_told_once_and_only_a_receipt_proves_it(tmp_path):
    async with site(tmp_path) as at, at.terminal("T0001", qos=0) as wire:
        told = (await send(at))["T0001"]
        assert told.outcome is Outcome.UNKNOWN
        assert "QoS 0" in told.words
        assert (await wire.take()).packet_id == 0
        assert (await send(at))["T0001"].outcome is Outcome.UNKNOWN
        wire.receipt("T0001", packet_id=3)
        assert await wire.next() == PubAck(3)
        assert (await send(at))["T0001"].outcome is Outcome.TAKEN


async def test_who_has_unsubscribed_is_not_sent_to(tmp_path):
    async with site(tmp_path) as at, at.terminal("T0001", 5) as wire:
        wire.send(Unsubscribe(2, (topic_of("T0001"), "mt/1/dn/all")))
        assert await wire.next() == UnsubAck(2, (Reason.SUCCESS, Reason.NO_SUBSCRIPTION_EXISTED))
        assert (await send(at))["T0001"].outcome is Outcome.TEMPORARY


# -- who may do what -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "code"), [(4, 4), (5, Reason.BAD_USER_NAME_OR_PASSWORD)])
@pytest.mark.parametrize(
    "more",
    [
        {"password": b"guess"},
        {"password": None},
        {"username": "T9999"},
        {"username": None, "password": None},
        {"username": "T0002' --"},
    ],
)
async def test_a_stranger_is_refused(tmp_path, version, code, more):
    async with site(tmp_path) as at, at.wire(version) as wire:
        assert await wire.log_in("T0001", **more) == ConnAck(code)
        assert await wire.is_closed()


async def test_another_version_is_told_so(tmp_path):
    async with site(tmp_path) as at, at.wire() as wire:
        wire.raw(bytes.fromhex("10 10 0006 4d5149736470 03 02 003c 0002 6162"))
        assert await wire.next() == ConnAck(1)
        assert await wire.is_closed()


async def test_an_enhanced_authentication_is_not_spoken(tmp_path):
    async with site(tmp_path) as at, at.wire(5) as wire:
        answer = await wire.log_in("T0001", properties={Property.AUTHENTICATION_METHOD: "SCRAM"})
        assert answer == ConnAck(Reason.BAD_AUTHENTICATION_METHOD)


@pytest.mark.parametrize(("version", "no"), [(4, 0x80), (5, Reason.NOT_AUTHORIZED)])
async def test_a_terminal_subscribes_to_its_own_topics_only(tmp_path, version, no):
    own = ["mt/1/dn/all", "mt/1/dn/t/T0001", "mt/1/dn/area/132040301", "mt/1/dn/grp/school"]
    others = ["mt/1/dn/t/T0002", "mt/1/dn/area/132040302", "#", "mt/1/dn/#", "mt/1/dn/t/+", "mt/1/up/T0002/rcpt", "$SYS/#", "$share/g/mt/1/dn/all"]  # fmt: skip
    async with site(tmp_path) as at, at.wire(version) as wire:
        await wire.log_in("T0001")
        wire.send(Subscribe(1, tuple(Subscription(f, 2) for f in own + others)))
        assert await wire.next() == SubAck(1, (1,) * len(own) + (no,) * len(others))


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("topic", ["mt/1/up/T0002/rcpt", "mt/1/dn/t/T0001", "mt/1/up/T0001/ans/x", "x"])
async def test_a_terminal_publishes_to_its_own_topics_only(tmp_path, version, topic):
    async with site(tmp_path) as at, at.terminal("T0001", version) as wire:
        wire.send(Publish(topic, b"{}", 1, 9))
        answer = await wire.next()
        assert answer is None if version == 4 else answer == PubAck(9, Reason.NOT_AUTHORIZED)
        assert not at.inbox.received


@pytest.mark.parametrize("version", [4, 5])
async def test_a_client_id_is_taken_over_by_the_same_identity(tmp_path, version):
    async with site(tmp_path) as at, at.terminal("T0001", version) as older, at.terminal("T0001", version) as newer:
        if version == 5:
            assert await older.next() == Disconnect(Reason.SESSION_TAKEN_OVER)
        assert await older.is_closed()
        sending = asyncio.ensure_future(send(at))
        await newer.take()
        assert (await sending)["T0001"].outcome is Outcome.TAKEN


@pytest.mark.parametrize(("version", "code"), [(4, 2), (5, Reason.CLIENT_IDENTIFIER_NOT_VALID)])
async def test_a_client_id_is_not_taken_over_by_another_identity(tmp_path, version, code):
    async with site(tmp_path) as at, at.terminal("T0001", version) as owner, at.wire(version) as thief:
        assert await thief.log_in("T0002", client_id="T0001") == ConnAck(code)
        assert await thief.is_closed()
        owner.send(PingReq())
        assert await owner.next() == PingResp()


async def test_more_connections_of_one_terminal_than_are_needed_close_the_oldest(tmp_path):
    async with site(tmp_path) as at, contextlib.AsyncExitStack() as stack:
        wires = [
            await stack.enter_async_context(at.terminal("T0001", client_id=f"c{n}")) for n in range(MOST_AT_ONCE + 1)
        ]
        assert await wires[0].is_closed()
        sending = asyncio.ensure_future(send(at))
        for wire in wires[1:]:
            await wire.take()
        assert (await sending)["T0001"].outcome is Outcome.TAKEN


async def test_version_5_hears_what_is_offered(tmp_path):
    async with site(tmp_path) as at, at.wire(5) as wire:
        answer = await wire.log_in(
            "T0001", client_id="", keepalive_s=0, properties={Property.SESSION_EXPIRY_INTERVAL: 3600}
        )
        assert answer.code == 0
        assert not answer.session_present
        assert answer.properties[Property.MAXIMUM_QOS] == 1
        assert answer.properties[Property.SESSION_EXPIRY_INTERVAL] == 0
        assert answer.properties[Property.SERVER_KEEP_ALIVE] == 300
        assert answer.properties[Property.ASSIGNED_CLIENT_IDENTIFIER].startswith("T0001-")


async def test_a_changed_register_ends_the_connections_of_whom_it_no_longer_admits(tmp_path):
    clock = ManualClock(SENT)
    async with site(tmp_path, clock=clock) as at, at.terminal("T0001") as gone, at.terminal("T0002") as stays:
        at.register.write_text("nonsense")
        await at.channel.audience(OSAWA)
        gone.send(PingReq())
        assert await gone.next() == PingResp()
        write(at.register, [registered("T0002"), registered("T0003")])
        await closed_as_time_passes(gone, clock)
        stays.send(PingReq())
        assert await stays.next() == PingResp()
        assert (await at.channel.audience(OSAWA)).head_count == 2


# -- health --------------------------------------------------------------------------------------------------------


async def test_state_will_and_heartbeat_are_kept_as_health(tmp_path):
    will = Will(Up.STATE.topic("T0001"), b"offline", 1, retain=True)
    async with site(tmp_path) as at:
        async with at.terminal("T0001", will=will) as wire:
            wire.send(Publish(Up.STATE.topic("T0001"), b"online", 1, 1, retain=True))
            assert await wire.next() == PubAck(1)
            wire.send(Publish(Up.HEARTBEAT.topic("T0001"), "電池 40 %\0\xff".encode(), 1, 2))
            assert await wire.next() == PubAck(2)
            assert at.channel.health["T0001"].state == "online"
            assert at.channel.health["T0001"].heartbeat.startswith("電池 40 %")
            assert (await at.channel.probe()).words == "2 台のうち 1 台がつながっています"
        await until(lambda: at.channel.health["T0001"].state == "offline")
        probe = await at.channel.probe()
        assert not probe.is_up
        assert "1 台が不調" in probe.words


async def test_who_says_goodbye_leaves_no_will(tmp_path):
    will = Will(Up.STATE.topic("T0001"), b"offline")
    async with site(tmp_path) as at:
        async with at.terminal("T0001", will=will) as wire:
            wire.send(Publish(Up.STATE.topic("T0001"), b"online"), Disconnect())
            assert await wire.is_closed()
        assert at.channel.health["T0001"].state == "online"


async def test_a_will_in_somebody_elses_name_is_refused(tmp_path):
    async with site(tmp_path) as at, at.wire(5) as wire:
        answer = await wire.log_in("T0001", will=Will(Up.STATE.topic("T0002"), b"offline"))
        assert answer == ConnAck(Reason.NOT_AUTHORIZED)


# -- patience and hostility ----------------------------------------------------------------------------------------


async def test_who_does_not_say_who_it_is_is_cut_off(tmp_path):
    clock = ManualClock(SENT)
    async with site(tmp_path, clock=clock) as at, at.wire() as wire:
        await until(lambda: at.channel._endpoint._connections)
        assert 10 <= await closed_as_time_passes(wire, clock) <= 14


async def test_bytes_that_never_make_a_packet_buy_no_time(tmp_path):
    clock = ManualClock(SENT)
    connect = encode(Connect("T0001", username="T0001", password=PASSWORD), 4)
    async with site(tmp_path, clock=clock) as at, at.wire() as wire:
        await until(lambda: at.channel._endpoint._connections)
        closing = asyncio.ensure_future(wire.is_closed())
        for octet in connect[:15]:
            wire.raw(bytes([octet]))
            clock.advance(1.0)
            await asyncio.to_thread(int)
        await until(closing.done)


async def test_silence_beyond_the_keepalive_ends_and_a_ping_prevents_it(tmp_path):
    clock = ManualClock(SENT)
    async with site(tmp_path, clock=clock) as at, at.wire(5) as wire:
        await wire.log_in("T0001", keepalive_s=20)
        for _ in range(5):
            clock.advance(15.0)
            wire.send(PingReq())
            assert await wire.next() == PingResp()
        assert 30 <= await closed_as_time_passes(wire, clock) <= 34


async def test_who_answers_pings_and_never_acknowledges_is_made_to_come_again(tmp_path):
    clock = ManualClock(SENT)
    limits = ConnectionLimits(longest_keepalive=20.0)
    async with site(tmp_path, clock=clock, limits=limits, wait=0.1) as at, at.terminal("T0001", 5) as wire:
        assert (await send(at))["T0001"].outcome is Outcome.UNKNOWN
        await wire.next()
        closed = False
        for _ in range(40):
            clock.advance(1.0)
            wire.send(PingReq())
            if isinstance(await wire.next(), Disconnect):
                closed = True
                break
        assert closed


async def test_who_does_not_read_is_cut_off_and_costs_the_others_nothing(tmp_path):
    limits = ConnectionLimits(write_buffer=200_000)
    async with (
        site(tmp_path, limits=limits, wait=0.05) as at,
        at.terminal("T0001", qos=0),
        at.terminal("T0002") as other,
    ):
        async with asyncio.timeout(WITHIN_S * 3):
            number = 0
            while "T0001" in set(at.channel._endpoint.listening_tids()):
                number += 1
                await at.channel._endpoint.send(f"m-{number}", bytes(60_000), ["T0001"], lambda _told: None, 0.05)
                await SystemClock().sleep(0)
        other.send(PingReq())
        assert await other.next() == PingResp()


async def test_more_packets_than_a_terminal_has_to_say_end_the_connection(tmp_path):
    async with site(tmp_path, clock=ManualClock(SENT)) as at, at.terminal("T0001", 5) as wire:
        wire.send(*[PingReq()] * (MOST_PACKETS_PER_S + 10))
        answers = 0
        while await wire.next() == PingResp():
            answers += 1
        assert answers < MOST_PACKETS_PER_S


@pytest.mark.parametrize(
    "hexadecimal",
    [
        "10 ff ff ff 7f", "10 ff ff ff ff", "00", "f0 00", "16 03 01 02 00 01 00 01 fc 03 03", "47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a",
        "30 05 00 01 61 61 61", "82 02 00 01", "20 02 00 00",
    ],
)  # fmt: skip
async def test_hostile_first_bytes_end_the_connection_at_once(tmp_path, hexadecimal):
    async with site(tmp_path, clock=ManualClock(SENT)) as at, at.wire() as wire:
        wire.raw(bytes.fromhex(hexadecimal))
        assert await wire.is_closed()
        await until(lambda: not at.channel._endpoint._connections)


@pytest.mark.parametrize("version", [4, 5])
async def test_hostile_later_bytes_end_the_connection_with_a_reason(tmp_path, version):
    async with site(tmp_path, clock=ManualClock(SENT)) as at:
        for bad in (
            "30 03 00 01 23",
            "34 05 00 01 61 00 01",
            "30 84 80 04",
            "32 05 00 01 61 00 00",
            "30 04 00 02 c3 28",
        ):
            async with at.terminal("T0001", version) as wire:
                wire.raw(bytes.fromhex(bad))
                answer = await wire.next()
                assert isinstance(answer, Disconnect) if version == 5 else answer is None
        assert not at.inbox.received


async def test_any_noise_leaves_the_node_as_it_was(tmp_path):
    chance = random.Random(20260914)
    valid = b"".join(
        [
            encode(Connect("T0001", username="T0001", password=PASSWORD), 4),
            encode(Subscribe(1, (Subscription(topic_of("T0001"), 1),)), 4),
            encode(Publish(Up.STATE.topic("T0001"), b"online", 1, 1), 4),
            encode(PingReq(), 4),
        ]
    )
    async with site(tmp_path) as at:
        for _ in range(150):
            noise = bytearray(valid)
            for _ in range(chance.randint(1, 6)):
                noise[chance.randrange(len(noise))] = chance.randrange(256)
            async with at.wire() as wire:
                wire.raw(bytes(noise[: chance.randint(1, len(noise))]))
                wire._writer.write_eof()
                await wire.is_closed()
        await until(lambda: not at.channel._endpoint._connections)
        assert not at.channel._endpoint._by_tid
        assert not at.channel._endpoint._by_client_id
        async with at.terminal("T0001") as wire:
            sending = asyncio.ensure_future(send(at))
            await wire.take()
            assert (await sending)["T0001"].outcome is Outcome.TAKEN


async def test_strangers_cannot_use_up_the_node(tmp_path):
    async with site(tmp_path, clock=ManualClock(SENT)) as at, contextlib.AsyncExitStack() as stack:
        strangers = [await stack.enter_async_context(at.wire()) for _ in range(210)]
        assert await strangers[-1].is_closed()
        assert len(at.channel._endpoint._connections) <= 204


async def test_closing_the_node_says_goodbye(tmp_path: Path):
    async with contextlib.AsyncExitStack() as stack:
        async with site(tmp_path) as at:
            wire = await stack.enter_async_context(at.terminal("T0001", 5))
        assert await wire.next() == Disconnect(Reason.SERVER_SHUTTING_DOWN)
        assert await wire.is_closed()
