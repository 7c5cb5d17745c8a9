"""Mail to one person who asked for it: a bounded queue beside the alerts', handed to the same relay.

Best effort by design: whoever asked and got nothing asks again, and a restart forgets what a stranger may have set off. An
alert never waits for it: it takes one session and gives it back between two mails.

Source: RFC 3834 §3 (what an automatic answer says of itself); RFC 5322; facts.md §Mail "空メール".
"""

import asyncio
import secrets
from collections.abc import Sequence
from datetime import datetime

from channels.email_list.dkim import Key
from channels.email_list.letter import Sender, plain
from channels.email_list.relay import Relay
from channels.email_list.session import End, Mail
from dispatcher.clock import Clock
from dispatcher.errors import TemporaryFailure
from dispatcher.log import logger

ROOM = 1_000
TRIES, PAUSE_S = 6, 10.0

log = logger(__name__)


class Post:
    """One queue of one channel."""

    def __init__(self, sender: Sender, keys: tuple[Key, ...], relay: Relay, clock: Clock) -> None:
        self._sender = sender
        self._keys = keys
        self._relay = relay
        self._clock = clock
        self._waiting: asyncio.Queue[Mail] = asyncio.Queue(ROOM)

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
        try:
            self._waiting.put_nowait(Mail(self._sender.bounces(address).encode(), address.encode(), data))
        except asyncio.QueueFull:
            return False
        return True

    async def run(self) -> None:
        """Until cancelled, hand over what comes."""
        while True:
            mail = await self._waiting.get()
            for _ in range(TRIES):
                if await self._is_settled(mail):
                    break
                await self._clock.sleep(PAUSE_S)
            else:
                log.warning("mail.undelivered", reason="relay")

    async def _is_settled(self, mail: Mail) -> bool:
        """Taken, or refused for good."""
        said: list[tuple[End, int]] = []
        try:
            async with self._relay.session() as session:
                await session.deliver(iter([mail]), lambda _mail, end, code, _words: said.append((end, code)))
        except (TemporaryFailure, OSError):
            return False
        return any(end in {End.TAKEN, End.UNKNOWN} or (end is End.REFUSED and code >= 500) for end, code in said)
