"""One notification terminal: an MQTT client of its own, with a screen, a speaker and a 確認 button, and nobody's word but a key's.

It keeps looking for the node, takes what is meant for it, answers with sealed receipts, and sends those again that were not
acknowledged when the line was lost.

Source: channels/ip_terminal/FORMAT.md; MQTT 3.1.1 §4.4; facts.md §IP notification terminals.
"""

import asyncio
import random
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

from channels.ip_terminal.notice import ASK, LARGEST_NOTICE_BYTES
from channels.ip_terminal.packets import (
    TERMINAL_READS,
    ConnAck,
    Connect,
    Decoder,
    Disconnect,
    Malformed,
    Packet,
    PingReq,
    PubAck,
    Publish,
    Reason,
    SubAck,
    Subscribe,
    Subscription,
    Version,
    Will,
    encode,
)
from channels.ip_terminal.receipt import ANSWERS, State, TerminalReceipt
from channels.ip_terminal.topics import ROOT, Up, topic_of
from dispatcher.clock import Clock, SystemClock
from drills.world.terminal_player import REPEAT_EVERY_S, Player, Playing, Refusal, Refused

KEEPALIVE_S: Final = 60
CONNECT_TIMEOUT_S: Final = 10.0
FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 5.0
MOST_KEPT: Final = 200
"""Entries of `shown`, `answered` and `refused`, the newest."""
_CODES: Final[Mapping[Refusal, Reason]] = {
    Refusal.FORGED: Reason.PAYLOAD_FORMAT_INVALID,
    Refusal.OTHER_MODE: Reason.NOT_AUTHORIZED,
    Refusal.EXPIRED: Reason.UNSPECIFIED_ERROR,
    Refusal.OLD: Reason.SUCCESS,  # what took its place is here
}
"""What the node hears in the PUBACK: it counts a success as taken, so a terminal that shows nothing must not send one."""


class Unwelcome(Exception):  # noqa: N818 - says what was seen
    """The node said no to the connection or to the subscription."""


class Terminal:
    """A terminal that runs inside `async with`, or wherever `run` is awaited."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tid: str,
        password: str,
        mac_key: bytes,
        trust: bytes,
        version: Version = 4,
        tls: ssl.SSLContext | None = None,
        status: str | None = None,
        clock: Clock | None = None,
        on_change: Callable[["Terminal"], None] | None = None,
        auto_acknowledge_s: float | None = None,
    ) -> None:
        self.tid = tid
        self.auto_acknowledge_s = auto_acknowledge_s
        """After so many seconds somebody presses 確認; None: nobody does by itself."""
        self.connected = asyncio.Event()
        self.trouble = ""
        """Why there is no connection."""
        self.sounded = False
        """Whether anything has sounded here at all."""
        self.shown: list[dict[str, Any]] = []
        self.answered: list[dict[str, Any]] = []
        self.refused: list[dict[str, Any]] = []
        self._host, self._port, self._tls = host, port, tls
        self._password, self._mac_key, self._version = password, mac_key, version
        self._clock = clock or SystemClock()
        self._on_change = on_change or (lambda _terminal: None)
        self.player = Player(trust, self._clock.now, status)
        self._counter = 0
        self._packet_id = 0
        self._unacknowledged: dict[int, tuple[Up, bytes]] = {}
        """Receipts and answers on their way, by packet id: sent again on the next connection."""
        self._comes_up = asyncio.Event()
        """Something else is on the screen now."""
        self._writer: asyncio.StreamWriter | None = None
        self._tasks = asyncio.TaskGroup()
        self._running: asyncio.Task[None] | None = None

    def watch(self, on_change: Callable[["Terminal"], None]) -> None:
        """Call this from now on whenever screen, speaker or line have changed."""
        self._on_change = on_change

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._running = self._tasks.create_task(self.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is not None:
            self._running.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    async def run(self) -> None:
        """Be a terminal until cancelled."""
        async with asyncio.TaskGroup() as people:
            people.create_task(self._speak())
            wait_s = FIRST_WAIT_S
            while True:
                try:
                    await self._session(people)
                    self.trouble = "the node closed the connection"
                except (OSError, Malformed, Unwelcome, EOFError, TimeoutError) as error:
                    self.trouble = str(error) or type(error).__name__
                wait_s = FIRST_WAIT_S if self.connected.is_set() else min(2 * wait_s, LONGEST_WAIT_S)
                self.connected.clear()
                self._on_change(self)
                await self._clock.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - a whole city must not come back in step

    def acknowledge(self, mid: str | None = None) -> None:
        """Somebody presses 確認; without `mid`, for what is on the screen."""
        current, seen = self.player.current, self.player.on_screen
        if mid is None and seen is not None and seen.notice.verb == ASK:
            return self.player.end_replay()  # a question has no 確認: only an answer is one
        if mid is None and seen is not None and not seen.is_acknowledged and self.player.holds(seen):
            mid = seen.notice.mid
        if mid is None or any(a["mid"] == mid and a["state"] == State.ACKNOWLEDGED for a in self.answered):
            return self.player.end_replay()
        self.player.acknowledge(mid)
        if self.player.current is not current:
            self._comes_up.set()
        self._answer(mid, State.ACKNOWLEDGED)
        return self._on_change(self)

    @property
    def is_heard(self) -> bool:
        """Every answer that was pressed is on the city's disk."""
        return not any(up is Up.ANSWER for up, _ in self._unacknowledged.values())

    def said(self, mid: str) -> State | None:
        """What was pressed last for this question."""
        pressed = (State(a["state"]) for a in reversed(self.answered) if a["mid"] == mid)
        return next((state for state in pressed if state in ANSWERS), None)

    def say(self, state: State, mid: str | None = None) -> bool:
        """Somebody presses 無事, けが or 助けて, for the last question or for this one; False: nothing asks here."""
        asked = [p for p in self.player.kept if p.notice.verb == ASK and mid in {None, p.notice.mid}]
        if not asked or not self.player.holds(asked[0]):
            return False
        self.player.acknowledge(asked[0].notice.mid)
        self._comes_up.set()
        self._answer(asked[0].notice.mid, state)
        self._on_change(self)
        return True

    # -- the line --------------------------------------------------------------------------------------------------

    async def _session(self, people: asyncio.TaskGroup) -> None:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, self._writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        decoder = Decoder(TERMINAL_READS, self._version, largest_bytes=2 * LARGEST_NOTICE_BYTES)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                early = await self._greet(reader, decoder)
            self.trouble = ""
            self.connected.set()
            self._on_change(self)
            self._send(Publish(Up.STATE.topic(self.tid), b"online", retain=True))
            again, self._unacknowledged = self._unacknowledged, {}
            for up, payload in again.values():
                self._publish(up, payload)
            for packet in early:
                self._take(packet, people)
            await self._listen(reader, decoder, people)
        finally:
            writer, self._writer = self._writer, None
            writer.close()
            with suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    async def _greet(self, reader: asyncio.StreamReader, decoder: Decoder) -> list[Packet]:
        """Connect and subscribe; returns what came right behind the answers."""
        will = Will(Up.STATE.topic(self.tid), b"offline", retain=True)
        self._send(
            Connect(
                self.tid,
                self._version,
                keepalive_s=KEEPALIVE_S,
                username=self.tid,
                password=self._password.encode(),
                will=will,
            )
        )
        packets = await self._packets(reader, decoder)
        first = packets.pop(0)
        if not isinstance(first, ConnAck) or first.code:
            raise Unwelcome(f"refused, code {getattr(first, 'code', first)}")
        wanted = (topic_of(self.tid), f"{ROOT}/dn/all")
        self._send(Subscribe(self._next_id(), tuple(Subscription(topic, 1) for topic in wanted)))
        packets += [] if packets else await self._packets(reader, decoder)
        granted = packets.pop(0)
        if not isinstance(granted, SubAck) or granted.codes[0] > 1:
            raise Unwelcome("the subscription was refused")
        return packets

    @staticmethod
    async def _packets(reader: asyncio.StreamReader, decoder: Decoder) -> list[Packet]:
        """At least one packet."""
        packets: list[Packet] = []
        while not packets:
            data = await reader.read(65_536)
            if not data:
                raise EOFError("the node closed the connection")
            packets += decoder.feed(data)
        return packets

    async def _listen(self, reader: asyncio.StreamReader, decoder: Decoder, people: asyncio.TaskGroup) -> None:
        is_asked = False
        while True:
            try:
                async with asyncio.timeout(KEEPALIVE_S / 2):
                    packets = await self._packets(reader, decoder)
            except TimeoutError:
                if is_asked:
                    raise TimeoutError("the node has not answered for a whole keepalive") from None
                self._send(PingReq())
                is_asked = True
                continue
            is_asked = False
            for packet in packets:
                self._take(packet, people)

    def _take(self, packet: Packet, people: asyncio.TaskGroup) -> None:
        if isinstance(packet, Publish):
            code = self._heard(packet.payload, people)
            # A PUBACK of 3.1.1 can only mean yes.
            if packet.qos and (code is Reason.SUCCESS or self._version == 5):
                self._send(PubAck(packet.packet_id, code))
        elif isinstance(packet, PubAck):
            self._unacknowledged.pop(packet.packet_id, None)
            self._on_change(self)
        elif isinstance(packet, Disconnect):
            raise Unwelcome(f"the node closes, code {packet.code}")

    def _send(self, packet: Packet) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode(packet, self._version))

    def _publish(self, up: Up, payload: bytes) -> None:
        packet_id = self._next_id()
        self._unacknowledged[packet_id] = (up, payload)
        self._send(Publish(up.topic(self.tid), payload, qos=1, packet_id=packet_id))

    def _next_id(self) -> int:
        self._packet_id = self._packet_id % 65_535 + 1
        return self._packet_id

    # -- screen and speaker ----------------------------------------------------------------------------------------

    def _heard(self, payload: bytes, people: asyncio.TaskGroup) -> Reason:
        """Show it, if it is to be shown; returns what the node is to hear of it."""
        try:
            playing = self.player.hear(payload)
        except Refused as refused:
            self._keep(self.refused, {"at": self._now(), "why": refused.why.value, "words": str(refused)})
            self._on_change(self)
            return _CODES[refused.why]
        if playing is None:
            return Reason.SUCCESS
        mid = playing.notice.mid
        self._answer(mid, State.DELIVERED)
        self._keep(self.shown, _entry(playing))
        self._answer(mid, State.DISPLAYED)
        if self.player.current is playing:
            self._comes_up.set()
        if self.auto_acknowledge_s is not None and playing.notice.verb != ASK:
            people.create_task(self._press(mid, self.auto_acknowledge_s))
        self._on_change(self)
        return Reason.SUCCESS

    async def _speak(self) -> None:
        """What is on the screen sounds when it comes up, and again and again until it is answered, replaced or over."""
        while True:
            self._comes_up.clear()
            if self.player.sound() is not None:
                self.sounded = True
            self._on_change(self)  # also where what stood there has ended
            with suppress(TimeoutError):
                async with asyncio.timeout(REPEAT_EVERY_S):
                    await self._comes_up.wait()

    async def _press(self, mid: str, after_s: float) -> None:
        await self._clock.sleep(after_s)
        self.acknowledge(mid)

    def _answer(self, mid: str, state: State) -> None:
        self._counter += 1
        at = self._clock.now()
        self._keep(self.answered, {"at": at.isoformat(), "mid": mid, "state": state.value})
        sealed = TerminalReceipt(mid, self.tid, state, at, self._counter).seal(self._mac_key)
        self._publish(Up.ANSWER if state in ANSWERS else Up.RECEIPT, sealed)

    def _now(self) -> str:
        return self._clock.now().isoformat()

    @staticmethod
    def _keep(entries: list[dict[str, Any]], entry: dict[str, Any]) -> None:
        entries.append(entry)
        del entries[:-MOST_KEPT]


def _entry(playing: Playing) -> dict[str, Any]:
    notice = playing.notice
    at: datetime = playing.heard_at
    return {
        "at": at.isoformat(),
        "mid": notice.mid,
        "verb": notice.verb,
        "status": notice.status,
        "level": notice.level,
        "priority": notice.priority,
        "volume": playing.volume.value,
        "words": [asdict(words) for words in notice.words],
    }
