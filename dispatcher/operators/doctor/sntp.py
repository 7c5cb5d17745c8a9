"""Asks a time server what time it is: one datagram of 48 bytes there, one back. The clock is compared and never set.

What is sent as our time is a random number that the answer must repeat, so that nobody who has not seen the question can answer
it, and so that a server learns nothing of this machine's clock.

Source: RFC 4330 §3 (the era after 2036), §4, §5; RFC 5905 §7.3, §7.4 (kiss-o'-death), §8 (offset and delay).
"""

import asyncio
import secrets
import socket
import struct
from dataclasses import dataclass

from dispatcher.clock import Clock

PORT = 123
TIMEOUT_S = 2.0
TRIES = 2
PACKET = struct.Struct(">BBbb11I")
"""Leap, version and mode; stratum; poll; precision; root delay, root dispersion, reference id; four times in two words each."""
ASKING = 4 << 3 | 3
"""Version 4, mode 3: a client."""
_SERVER = 4
_UNSYNCHRONISED = 3
_SINCE_1900 = 2_208_988_800
"""Seconds from 1900 to 1970."""


class NoTime(Exception):  # noqa: N818 - says what was seen
    """A server that does not answer, or whose answer is no time."""


@dataclass(frozen=True, slots=True)
class Compared:
    offset_s: float
    """How far the server is ahead of this clock."""
    delay_s: float
    """How long question and answer were on the way: half of it is how far the offset may be wrong."""
    stratum: int


async def ask(server: str, clock: Clock, timeout_s: float = TIMEOUT_S) -> Compared:
    """Compare this clock with that of HOST or HOST:PORT.

    Raises:
        NoTime: it does not answer, or is not to be believed; in words.
    """
    host, port = _address(server)
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as line:
            line.setblocking(False)  # noqa: FBT003 - the socket module's own
            line.connect(address)  # only what comes from there is heard
            for _ in range(TRIES):
                try:
                    async with asyncio.timeout(timeout_s):
                        return await _once(line, clock)
                except TimeoutError:
                    continue
    except OSError as error:
        raise NoTime(error.strerror or str(error)) from error
    raise NoTime(f"{TRIES * timeout_s:g} 秒待っても答えません (no answer)")


async def _once(line: socket.socket, clock: Clock) -> Compared:
    loop = asyncio.get_running_loop()
    nonce = secrets.token_bytes(8)
    question = PACKET.pack(ASKING, 0, 0, 0, *[0] * 9, *struct.unpack(">II", nonce))
    sent_s = clock.now().timestamp()
    began_s = clock.monotonic()
    await loop.sock_sendall(line, question)
    while True:
        data = await loop.sock_recv(line, 1024)
        took_s = clock.monotonic() - began_s
        if len(data) >= PACKET.size and data[24:32] == nonce:
            return read(data, sent_s, sent_s + took_s)


def read(data: bytes, sent_s: float, came_s: float) -> Compared:
    """What an answer says; `sent_s` and `came_s` are the question's and the answer's moments by our clock.

    Raises:
        NoTime: the server says itself that it is not to be asked or has no time.
    """
    first, stratum, _, _, *words = PACKET.unpack_from(data)
    leap, mode = first >> 6, first & 7
    if mode != _SERVER:
        raise NoTime(f"時刻サーバの答えではありません (mode {mode} is no server's answer)")
    if stratum == 0:
        code = struct.pack(">I", words[2]).decode("ascii", "replace").strip("\0")
        raise NoTime(f"断られました (kiss-o'-death {code!r}): もっと間をあけて、または別のサーバに")
    if leap == _UNSYNCHRONISED or stratum > 15:
        raise NoTime("サーバ自身の時計が合っていません (the server is not synchronised)")
    received_s, answered_s = _moment(words[7], words[8]), _moment(words[9], words[10])
    if not words[9] or answered_s < received_s:
        raise NoTime("答えに時刻がありません (the answer bears no time)")
    offset_s = ((received_s - sent_s) + (answered_s - came_s)) / 2
    return Compared(offset_s, max(0.0, (came_s - sent_s) - (answered_s - received_s)), stratum)


def _moment(seconds: int, fraction: int) -> float:
    """Seconds since 1970. A first bit that is not set counts from 2036 on (RFC 4330 §3)."""
    return (seconds if seconds & 0x80000000 else seconds + (1 << 32)) - _SINCE_1900 + fraction / (1 << 32)


def _address(server: str) -> tuple[str, int]:
    host, colon, port = server.rpartition(":")
    if not colon or server.endswith("]") or ":" in host.strip("[]") != host:
        return server.strip("[]"), PORT
    return host.strip("[]"), int(port)
