"""One SMTP session that runs ahead of the relay's answers as far as the relay allows.

It takes over the transport after aiosmtplib has said EHLO, STARTTLS and AUTH. How far it may run ahead is its pace: with CHUNKING
a dozen whole mails, with PIPELINING the commands of the next mail beside the text of this one, else not at all. So a mail costs a
fraction of a round trip, one, or four; and no task, no future and no parsing of what we wrote ourselves. One recipient a mail,
always: so an answer is about one person.

Source: RFC 5321 §4.1, §4.2; RFC 2920 (PIPELINING); RFC 3030 (CHUNKING); facts.md §Mail.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from channels.email_list.replies import Garbled, Replies, Reply

CLOSING: Final = 421
AHEAD: Final = 12
"""Whole mails under way with CHUNKING: as many are unknown if the connection is lost, and said again."""


@dataclass(frozen=True, slots=True)
class Mail:
    """`data` ends with CRLF and needs no dot-stuffing: no line of base64 begins with a dot, no header either."""

    sender: bytes
    recipient: bytes
    data: bytes


class Pace(Enum):
    """How far commands may run ahead of their answers."""

    STEPWISE = auto()
    PIPELINED = auto()
    CHUNKED = auto()


class End(Enum):
    """What became of one mail."""

    TAKEN = auto()
    REFUSED = auto()
    """Answered no: the reply says for now or for good."""
    TURNED_AWAY = auto()
    """Answered no before the recipient was named: about us, not about them."""
    NOT_SENT = auto()
    """The connection ended before its text was on its way."""
    UNKNOWN = auto()
    """The connection ended after its text and before an answer."""


Ended = Callable[[Mail, End, int, str], None]
"""mail, end, the relay's code (0: none) and words."""


class _Step(Enum):
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    TEXT = auto()
    RSET = auto()
    """RSET or NOOP: about no mail."""


@dataclass(slots=True)
class _Envelope:
    mail: Mail
    refusal: Reply | None = None
    """The first no among the answers to its commands."""
    is_about_us: bool = False
    """It was no to MAIL, before the recipient was named."""
    is_text_sent: bool = False


class Session(asyncio.Protocol):
    """A greeted connection. `sent` counts its mails; after `is_over` it takes no more."""

    def __init__(self, transport: asyncio.Transport, *, pace: Pace, patience_s: float) -> None:
        """`patience_s`: without an answer for so long the relay counts as gone."""
        self.sent = 0
        self.is_over = False
        self.parting: Reply = (0, "")
        """Why the connection ended: the relay's 421, or what we saw (code 0)."""
        self._transport = transport
        self._pace = pace
        self._patience_s = patience_s
        self._replies = 0
        self._last: Reply = (0, "")
        self._reading = Replies()
        self._awaited: deque[tuple[_Step, _Envelope | None]] = deque()
        self._ahead = 0
        self._mails: Iterator[Mail] = iter(())
        self._ended: Ended = lambda *_: None
        self._done: asyncio.Future[None] | None = None

    async def deliver(self, mails: Iterator[Mail], ended: Ended) -> None:
        """Send them all, `ended` once for each that was begun; returns when the last has its answer or the connection is lost.

        Cancellation drops the connection: nobody knows then what the relay has.
        """
        self._mails, self._ended = mails, ended
        self._done = asyncio.get_running_loop().create_future()
        if self.is_over:
            return
        try:
            self._go_on()
            await self._answers(self._done)
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            self._done = None

    async def check(self) -> Reply:
        """NOOP, as a link test. Returns the relay's answer; (0, why) without one."""
        self._done = asyncio.get_running_loop().create_future()
        if not self.is_over:
            self._command(b"NOOP\r\n", _Step.RSET, None)
            await self._answers(self._done)
        self._done = None
        return self._last if not self.is_over else (0, self.parting[1] or "接続が切れました")

    async def _answers(self, done: asyncio.Future[None]) -> None:
        """Wait until `done`, or until the relay has been silent for too long."""
        while not done.done():
            before = self._replies
            await asyncio.wait([done], timeout=self._patience_s)
            if self._replies == before and not done.done():
                self._give_up(f"{self._patience_s:g} 秒待っても答えがありません (no answer)")

    def quit(self) -> None:
        """Say goodbye and close, without waiting for the answer."""
        if not self.is_over:
            self.is_over = True
            self._transport.write(b"QUIT\r\n")
            self._transport.close()

    def abort(self) -> None:
        self.is_over = True
        self._transport.abort()

    # -- asyncio.Protocol ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        try:
            for reply in self._reading.feed(data):
                self._replied(reply)
                if self.is_over:
                    return
        except Garbled as garbled:
            self._give_up(f"中継サーバの答えが SMTP ではありません ({garbled})")

    def connection_lost(self, error: Exception | None) -> None:
        self.is_over = True
        if not self.parting[1] and error is not None:
            self.parting = (0, str(error))
        # A relay that said 421 did nothing of what came after it.
        has_said_so = self.parting[0] == CLOSING
        seen: set[int] = set()
        for _, envelope in self._awaited:
            if envelope is None or id(envelope) in seen:
                continue
            seen.add(id(envelope))
            if envelope.refusal is not None:
                self._end(envelope, End.REFUSED, *envelope.refusal)
            else:
                is_unknown = envelope.is_text_sent and not has_said_so
                self._end(envelope, End.UNKNOWN if is_unknown else End.NOT_SENT, *self.parting)
        self._awaited.clear()
        self._finish()

    # -- replies ---------------------------------------------------------------------------------------------------

    def _give_up(self, words: str) -> None:
        self.parting = (0, words)
        self.abort()

    def _replied(self, reply: Reply) -> None:
        self._replies += 1
        self._last = reply
        if reply[0] == CLOSING:
            self.parting = reply
            if self._awaited and self._awaited[0][0] is _Step.TEXT:
                _, envelope = self._awaited.popleft()
                assert envelope is not None
                self._end(envelope, End.REFUSED, *(envelope.refusal or reply))
            self.abort()
            return
        if not self._awaited:
            return
        step, envelope = self._awaited.popleft()
        match step:
            case _Step.MAIL | _Step.RCPT:
                assert envelope is not None
                if reply[0] >= 400 and envelope.refusal is None:
                    envelope.refusal = reply
                    envelope.is_about_us = step is _Step.MAIL
                if self._pace is Pace.STEPWISE:
                    self._step_by_step(step, envelope)
            case _Step.DATA:
                assert envelope is not None
                self._data_answered(envelope, reply)
            case _Step.TEXT:
                assert envelope is not None
                code, words = envelope.refusal or reply
                self._end(envelope, End.TAKEN if 200 <= code < 300 else End.REFUSED, code, words)
                if self._pace is Pace.PIPELINED:
                    self._finish_if_idle()
                else:
                    self._go_on()
            case _Step.RSET:
                self._finish_if_idle()

    def _data_answered(self, envelope: _Envelope, reply: Reply) -> None:
        if reply[0] == 354:
            # RFC 2920 §3.1: a relay that says go on although it refused the recipient gets an empty text.
            text = b".\r\n" if envelope.refusal else envelope.mail.data + b".\r\n"
            envelope.is_text_sent = True
            self._awaited.append((_Step.TEXT, envelope))
            if self._pace is Pace.PIPELINED:
                self._begin(text)
            else:
                self._transport.write(text)
            return
        self._end(envelope, End.REFUSED, *(envelope.refusal or reply))
        self._begin_anew()

    # -- commands --------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        if self._pace is Pace.CHUNKED:
            self._run_ahead()
        else:
            self._begin(b"")

    def _next(self) -> _Envelope | None:
        mail = None if self.is_over else next(self._mails, None)
        if mail is None:
            return None
        self.sent += 1
        self._ahead += 1
        return _Envelope(mail)

    def _run_ahead(self) -> None:
        """Fill up to AHEAD mails, as soon as half of them have their answers."""
        pieces: list[bytes] = []
        if self._ahead <= AHEAD // 2:
            while self._ahead < AHEAD and (envelope := self._next()) is not None:
                mail = envelope.mail
                envelope.is_text_sent = True
                # Had the relay refused the mail before, its transaction would be open still, and swallow this one's recipient.
                pieces += (b"RSET\r\nMAIL FROM:<", mail.sender, b">\r\nRCPT TO:<", mail.recipient)
                pieces += (b">\r\nBDAT %d LAST\r\n" % len(mail.data), mail.data)
                self._awaited.append((_Step.RSET, None))
                self._awaited += ((step, envelope) for step in (_Step.MAIL, _Step.RCPT, _Step.TEXT))
        if pieces:
            self._transport.write(b"".join(pieces))
        else:
            self._finish_if_idle()

    def _begin(self, before: bytes) -> None:
        """Write `before` and, with it, the commands of the next mail, if there is one."""
        envelope = self._next()
        if envelope is None:
            if before:
                self._transport.write(before)
            self._finish_if_idle()
            return
        first = b"MAIL FROM:<" + envelope.mail.sender + b">\r\n"
        self._awaited.append((_Step.MAIL, envelope))
        if self._pace is Pace.STEPWISE:
            self._transport.write(before + first)
            return
        self._awaited += ((_Step.RCPT, envelope), (_Step.DATA, envelope))
        self._transport.write(b"".join((before, first, b"RCPT TO:<", envelope.mail.recipient, b">\r\nDATA\r\n")))

    def _begin_anew(self) -> None:
        """After a refusal the transaction is still open at the relay: the next one would be "nested MAIL"."""
        self._awaited.append((_Step.RSET, None))
        self._begin(b"RSET\r\n")

    def _step_by_step(self, step: _Step, envelope: _Envelope) -> None:
        if envelope.refusal is not None:
            self._end(envelope, End.REFUSED, *envelope.refusal)
            self._begin_anew()
        elif step is _Step.MAIL:
            self._command(b"RCPT TO:<" + envelope.mail.recipient + b">\r\n", _Step.RCPT, envelope)
        else:
            self._command(b"DATA\r\n", _Step.DATA, envelope)

    def _command(self, line: bytes, step: _Step, envelope: _Envelope | None) -> None:
        self._awaited.append((step, envelope))
        self._transport.write(line)

    def _end(self, envelope: _Envelope, end: End, code: int, words: str) -> None:
        self._ahead -= 1
        if end is End.REFUSED and envelope.is_about_us:
            end = End.TURNED_AWAY
        self._ended(envelope.mail, end, code, words)

    def _finish_if_idle(self) -> None:
        if not self._awaited:
            self._finish()

    def _finish(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)
