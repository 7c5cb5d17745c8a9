"""A time server's answers, byte by byte, and a real responder on loopback that gives them."""

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.clock import JST, ManualClock, SystemClock
from dispatcher.operators.doctor.sntp import NoTime, ask, read

SINCE_1900 = 2_208_988_800


def ntp(moment_s):
    """64 bits: seconds since 1900, of which the era is not said, and a fraction."""
    whole = int(moment_s // 1)
    return struct.pack(">II", (whole + SINCE_1900) & 0xFFFFFFFF, int((moment_s - whole) * 2**32))


def answer(question, moment_s, *, leap=0, mode=4, stratum=2, reference=b"GPS\0", origin=None):
    head = struct.pack(">BBbb", leap << 6 | 4 << 3 | mode, stratum, 6, -20)
    origin = question[40:48] if origin is None else origin
    return head + bytes(8) + reference + ntp(moment_s - 30) + origin + ntp(moment_s) * 2


class Server(asyncio.DatagramProtocol):
    def __init__(self, say):
        self.say = say
        self.asked = []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        self.asked.append(data)
        for piece in self.say(data):
            self.transport.sendto(piece, peer)


@asynccontextmanager
async def serving(say):
    """A responder; `say` gives the datagrams for a question."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: Server(say), local_addr=("127.0.0.1", 0))
    try:
        yield f"127.0.0.1:{transport.get_extra_info('sockname')[1]}", server
    finally:
        transport.close()


@pytest.mark.parametrize("off_s", [0.0, 3.25, -86_400.5])
async def test_how_far_the_clock_is_off_is_said_to_the_millisecond(off_s):
    clock = SystemClock()
    async with serving(lambda q: [answer(q, clock.now().timestamp() + off_s)]) as (address, server):
        compared = await ask(address, clock)
    assert abs(compared.offset_s - off_s) <= compared.delay_s / 2 + 0.001
    assert compared.stratum == 2
    (question,) = server.asked
    assert len(question) == 48
    assert question[0] == 0x23, "version 4, a client"
    assert question[1:40] == bytes(39), "nothing of this machine is told"


async def test_each_question_bears_another_random_number_and_an_answer_must_repeat_it():
    clock = SystemClock()

    def say(question):
        now = clock.now().timestamp()
        forged = [answer(question, now + 999, origin=bytes(8)), b"", b"\x24", answer(question, now + 999)[:47]]
        return [*forged, answer(question, now)]

    async with serving(say) as (address, server):
        first, second = await ask(address, clock), await ask(address, clock)
    assert abs(first.offset_s) < 1
    assert abs(second.offset_s) < 1
    assert server.asked[0] != server.asked[1]


async def test_an_answer_that_comes_late_is_waited_for_once_more():
    clock, number = SystemClock(), iter(range(9))
    async with serving(lambda q: [answer(q, clock.now().timestamp())] if next(number) else []) as (address, server):
        await ask(address, clock, timeout_s=0.2)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stratum": 0, "reference": b"RATE"}, "RATE"),
        ({"leap": 3}, "not synchronised"),
        ({"stratum": 16}, "not synchronised"),
        ({"mode": 3}, "no server's answer"),
        ({"mode": 5}, "no server's answer"),
    ],
)
async def test_a_server_that_says_itself_that_it_has_no_time_is_not_believed(changes, words):
    async with serving(lambda q: [answer(q, 1_800_000_000, **changes)]) as (address, _):
        with pytest.raises(NoTime, match=words):
            await ask(address, SystemClock())


async def test_a_server_that_is_silent_or_not_there_is_said_to_be():
    async with serving(lambda _: []) as (address, _):
        with pytest.raises(NoTime, match="no answer"):
            await ask(address, SystemClock(), timeout_s=0.1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(NoTime, match=r"refused|no answer"):
        await ask(f"127.0.0.1:{port}", SystemClock(), timeout_s=0.2)
    with pytest.raises(NoTime):
        await ask("no-such-name.invalid", SystemClock(), timeout_s=0.2)


async def test_after_2036_the_seconds_begin_anew_and_are_read_rightly():
    clock = ManualClock(datetime(2036, 2, 7, 15, 28, 10, tzinfo=JST) + timedelta(days=30))
    async with serving(lambda q: [answer(q, clock.now().timestamp() + 2)]) as (address, _):
        assert abs((await ask(address, clock)).offset_s - 2) < 0.001


async def test_offset_and_delay_are_those_of_the_standard():
    """RFC 5905 §8: asked at 100, received at 103, answered at 104, heard at 103 of our clock."""
    data = bytearray(answer(bytes(48), 104))
    data[32:40] = ntp(103)
    compared = read(bytes(data), 100, 103)
    assert compared.offset_s == pytest.approx(2)
    assert compared.delay_s == pytest.approx(2)


@given(st.binary(min_size=48, max_size=100))
def test_whatever_48_bytes_say_is_a_comparison_or_no_time(data):
    try:
        compared = read(data, 1_800_000_000.0, 1_800_000_000.1)
    except NoTime:
        return
    assert compared.delay_s >= 0
