"""Mail to one person who asked for it: a bounded queue beside the alerts', handed to the same relay.

Best effort by design: whoever asked and got nothing asks again, and a restart forgets what a stranger may have set off. An
alert never waits for it: it takes one session and gives it back between two mails.

Source: RFC 3834 §3 (what an automatic answer says of itself); RFC 5322; facts.md §Mail "空メール".
"""

import asyncio
import itertools
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from channels.email_list.dkim import Key
from channels.email_list.letter import Sender, plain
from channels.email_list.relay import Relay
from channels.email_list.session import End, Mail
from dispatcher.clock import Clock
from dispatcher.errors import TemporaryFailure
from dispatcher.log import logger

ROOM = 1_000
PAUSES_S = (5.0, 30.0, 120.0, 600.0, 1800.0)
"""Before each further try; then it is given up."""
LOOK_S = 0.25

log = logger(__name__)


class Post:
    """One queue of one channel."""

    def __init__(self, sender: Sender, keys: tuple[Key, ...], relay: Relay, clock: Clock) -> None:
        self._sender = sender
        self._keys = keys
        self._relay = relay
        self._clock = clock
        self._waiting: asyncio.PriorityQueue[_Waiting] = asyncio.PriorityQueue(ROOM)
        self._numbers = itertools.count()

    def put(
        self,
        address: str,
        subject: str,
        lines: Sequence[str],
        at: datetime,
        *,
        answers: str = "",
        is_reply: bool = False,
    ) -> bool:
        """Take a mail in; False where there is no room. `answers`: the Message-ID that it is a reply to."""
        data = plain(
            self._sender,
            address,
            subject,
            "\r\n".join(lines) + "\r\n",
            at,
            message_id=f"<{secrets.token_hex(16)}@{self._sender.domain}>",
            submitted="auto-replied" if is_reply else "auto-generated",
            answers=answers,
            keys=self._keys,
        )
        mail = Mail(self._sender.bounces(address).encode(), address.encode(), data)
        return self._has_put(_Waiting(self._clock.monotonic(), next(self._numbers), 0, mail))

    async def run(self) -> None:
        """Until cancelled, hand over what comes; one that has to wait keeps no other waiting."""
        while True:
            first = await self._waiting.get()
            wait_s = first.due_s - self._clock.monotonic()
            if wait_s > 0:
                # The most urgent of all is not due yet: look again soon, because another may come.
                self._waiting.put_nowait(first)
                await self._clock.sleep(min(wait_s, LOOK_S))
            elif not await self._is_settled(first.mail) and not self._has_put_off(first):
                log.warning("mail.undelivered", reason="relay")

    def _has_put_off(self, first: "_Waiting") -> bool:
        if first.tries >= len(PAUSES_S):
            return False
        later = replace(first, due_s=self._clock.monotonic() + PAUSES_S[first.tries], tries=first.tries + 1)
        return self._has_put(later)

    def _has_put(self, waiting: "_Waiting") -> bool:
        try:
            self._waiting.put_nowait(waiting)
        except asyncio.QueueFull:
            return False
        return True

    async def _is_settled(self, mail: Mail) -> bool:
        """Taken, or refused for good."""
        said: list[tuple[End, int]] = []
        try:
            async with self._relay.session() as session:
                await session.deliver(iter([mail]), lambda _mail, end, code, _words: said.append((end, code)))
        except (TemporaryFailure, OSError):
            return False
        return any(end in {End.TAKEN, End.UNKNOWN} or (end is End.REFUSED and code >= 500) for end, code in said)


@dataclass(frozen=True, slots=True, order=True)
class _Waiting:
    due_s: float
    number: int
    """In the order of asking."""
    tries: int
    mail: Mail = field(compare=False)
