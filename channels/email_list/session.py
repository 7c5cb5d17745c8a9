"""One SMTP session that pipelines: the commands of the next mail travel with the text of this one.

It takes over the transport after aiosmtplib has said EHLO, STARTTLS and AUTH. A mail costs one round trip instead of four, and no
task, no future and no parsing of what we wrote ourselves. Where the relay does not offer PIPELINING each command waits for its
answer. One recipient a mail, always: so an answer is about one person.

Source: RFC 5321 §4.1, §4.2; RFC 2920 (PIPELINING); facts.md §Mail.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

LONGEST_LINE_BYTES: Final = 8_192
MOST_REPLY_LINES: Final = 64
CLOSING: Final = 421

Reply = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Mail:
    """`data` ends with CRLF and is not yet dot-stuffed; base64 text has no line that begins with a dot, headers neither."""

    sender: bytes
    recipient: bytes
    data: bytes


class End(Enum):
    """What became of one mail."""

    TAKEN = auto()
    REFUSED = auto()
    """Answered no: the reply says for now or for good."""
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
    QUIT = auto()


@dataclass(slots=True)
class _Envelope:
    mail: Mail
    refusal: Reply | None = None
    """The first no among the answers to its commands."""
    is_text_sent: bool = False


class Session(asyncio.Protocol):
    """A greeted connection. `sent` counts its mails; after `is_over` it takes no more."""

    def __init__(self, transport: asyncio.Transport, *, is_pipelining: bool, patience_s: float) -> None:
        """`patience_s`: without an answer for so long the relay counts as gone."""
        self.sent = 0
        self.is_over = False
        self.last_words: Reply = (0, "")
        """The last thing that the relay said."""
        self._transport = transport
        self._is_pipelining = is_pipelining
        self._patience_s = patience_s
        self._replies = 0
        self._half = b""
        self._lines: list[bytes] = []
        self._awaited: deque[tuple[_Step, _Envelope | None]] = deque()
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
            self._begin(b"")
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
        return self.last_words if not self.is_over else (0, self.last_words[1] or "接続が切れました")

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
        lines = (self._half + data).split(b"\n")
        self._half = lines.pop()
        for line in lines:
            self._line(line.rstrip(b"\r"))
        if len(self._half) > LONGEST_LINE_BYTES:
            self._garbled("a line without end")

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_over = True
        seen: set[int] = set()
        for _, envelope in self._awaited:
            if envelope is not None and id(envelope) not in seen:
                seen.add(id(envelope))
                self._end(envelope, End.UNKNOWN if envelope.is_text_sent else End.NOT_SENT, *self.last_words)
        self._awaited.clear()
        self._finish()

    # -- replies ---------------------------------------------------------------------------------------------------

    def _line(self, line: bytes) -> None:
        if self.is_over:
            return
        if len(line) < 3 or not line[:3].isdigit() or line[3:4] not in {b" ", b"-", b""}:
            self._garbled("no reply of SMTP")
            return
        self._lines.append(line[4:])
        if line[3:4] == b"-":
            if len(self._lines) > MOST_REPLY_LINES:
                self._garbled("a reply without end")
            return
        words = b" ".join(self._lines).decode("utf-8", "replace")[:500]
        self._lines.clear()
        self._replied((int(line[:3]), words))

    def _garbled(self, what: str) -> None:
        self._give_up(f"中継サーバの答えが SMTP ではありません ({what})")

    def _give_up(self, words: str) -> None:
        self.last_words = (0, words)
        self.abort()

    def _replied(self, reply: Reply) -> None:
        self._replies += 1
        self.last_words = reply
        if not self._awaited:
            # Said while idle: a relay that closes says 421 first.
            if reply[0] == CLOSING:
                self.is_over = True
                self._transport.close()
            return
        step, envelope = self._awaited.popleft()
        if reply[0] == CLOSING and step is not _Step.TEXT:
            self._awaited.appendleft((step, envelope))
            self.is_over = True
            self._transport.abort()
            return
        match step:
            case _Step.MAIL | _Step.RCPT:
                assert envelope is not None
                if reply[0] >= 400 and envelope.refusal is None:
                    envelope.refusal = reply
                if not self._is_pipelining:
                    self._step_by_step(step, envelope)
            case _Step.DATA:
                assert envelope is not None
                self._data_answered(envelope, reply)
            case _Step.TEXT:
                assert envelope is not None
                code, words = envelope.refusal or reply
                end = End.TAKEN if 200 <= code < 300 else End.REFUSED
                self._end(envelope, end, code, words)
                if reply[0] == CLOSING:
                    self.is_over = True
                    self._transport.abort()
                elif not self._is_pipelining:
                    self._begin(b"")
                else:
                    self._finish_if_idle()
            case _Step.RSET | _Step.QUIT:
                self._finish_if_idle()

    def _data_answered(self, envelope: _Envelope, reply: Reply) -> None:
        if reply[0] == 354:
            # RFC 2920 §3.1: a relay that says go on although it refused the recipient gets an empty text.
            text = b".\r\n" if envelope.refusal else envelope.mail.data + b".\r\n"
            envelope.is_text_sent = True
            self._awaited.append((_Step.TEXT, envelope))
            if self._is_pipelining:
                self._begin(text)
            else:
                self._transport.write(text)
            return
        code, words = envelope.refusal or reply
        self._end(envelope, End.REFUSED, code, words)
        # The transaction is still open at the relay: the next one would be "nested MAIL".
        self._awaited.append((_Step.RSET, None))
        self._begin(b"RSET\r\n")

    # -- commands --------------------------------------------------------------------------------------------------

    def _begin(self, before: bytes) -> None:
        """Write `before` and, with it, the commands of the next mail, if there is one."""
        mail = None if self.is_over else next(self._mails, None)
        if mail is None:
            if before:
                self._transport.write(before)
            self._finish_if_idle()
            return
        self.sent += 1
        envelope = _Envelope(mail)
        first = b"MAIL FROM:<" + mail.sender + b">\r\n"
        self._awaited.append((_Step.MAIL, envelope))
        if not self._is_pipelining:
            self._transport.write(before + first)
            return
        self._awaited.append((_Step.RCPT, envelope))
        self._awaited.append((_Step.DATA, envelope))
        self._transport.write(b"".join((before, first, b"RCPT TO:<", mail.recipient, b">\r\nDATA\r\n")))

    def _step_by_step(self, step: _Step, envelope: _Envelope) -> None:
        if envelope.refusal is not None:
            self._end(envelope, End.REFUSED, *envelope.refusal)
            self._awaited.append((_Step.RSET, None))
            self._begin(b"RSET\r\n")
        elif step is _Step.MAIL:
            self._command(b"RCPT TO:<" + envelope.mail.recipient + b">\r\n", _Step.RCPT, envelope)
        else:
            self._command(b"DATA\r\n", _Step.DATA, envelope)

    def _command(self, line: bytes, step: _Step, envelope: _Envelope | None) -> None:
        self._awaited.append((step, envelope))
        self._transport.write(line)

    def _end(self, envelope: _Envelope, end: End, code: int, words: str) -> None:
        self._ended(envelope.mail, end, code, words)

    def _finish_if_idle(self) -> None:
        if not self._awaited:
            self._finish()

    def _finish(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)
