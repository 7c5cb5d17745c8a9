"""What came back by mail: whose it was, what it means for them, and a receipt for the alert that it was of.

The register learns of list members alone: a bounce of a mail to one person by key (a question, what a facility gets first) is a
receipt under that key, for the ladder to go on, and no address of it is written down.

Source: design.md §6 (each mail's bounce says whose it is); RFC 3464; issue "A bounce storm is absorbed".
"""

import asyncio
import re
from collections.abc import Collection, Sequence

from channels.email_list.bounce import Bounce, read
from channels.email_list.incoming import Came
from channels.email_list.letter import Sender
from channels.email_list.register import Register
from channels.email_list.suspension import Fate, fate_of
from dispatcher.channel import Inbox
from dispatcher.clock import Clock
from dispatcher.model.delivery import Receipt, Received

Failed = tuple[str, Fate, str]
"""Address, what it means, the receiver's status."""


class Returns:
    """One channel's."""

    def __init__(
        self, kind: str, sender: Sender, people: Register, filtering: Collection[str], inbox: Inbox, clock: Clock
    ) -> None:
        self._kind = kind
        self._sender = sender
        self._people = people
        self._filtering = filtering
        self._inbox = inbox
        self._clock = clock

    async def came(self, group: Sequence[Came]) -> None:
        """All of these are durable on return.

        Raises:
            StorageFull: nothing may have been written.
        """
        receipts, failed = await asyncio.to_thread(self._read, group)
        # Receipts first: the same one twice is one, while a repeat of the rest would count twice.
        if receipts:
            await self._inbox.record(receipts)
        if failed:
            await asyncio.to_thread(self._people.gave_back, failed)

    def _read(self, group: Sequence[Came]) -> tuple[list[Received], list[Failed]]:
        receipts: list[Received] = []
        failed: list[Failed] = []
        for came in group:
            bounce = read(came.data, self._sender.domain, is_from_nobody=not came.sender)
            address = self._whose(came.token, bounce) if bounce else None
            if bounce is None or address is None:
                continue
            receipts += self._receipts(bounce, address)
            if self._people.entry(address) is not None:
                domain = address.rpartition("@")[2].lower()
                failed.append((address, fate_of(bounce.status, bounce.words, domain, self._filtering), bounce.status))
        return receipts, failed

    def _whose(self, token: str, bounce: Bounce) -> str | None:
        """The list's own, else whom the report names, if the token is theirs."""
        known = self._people.whose(token)
        if known is not None:
            return known
        now = self._clock.now()
        return next((name for name in bounce.recipients if self._sender.is_bounce(token, name, now)), None)

    def _receipts(self, bounce: Bounce, address: str) -> list[Received]:
        about, now = bounce.about, self._clock.now()
        if about is None or not self._sender.is_message(about.digest, about.identifier, about.key or address, now):
            return []
        said = f"{bounce.status} {bounce.words}" if bounce.status not in bounce.words else bounce.words
        words = re.sub(r"[^\s<>;]{1,64}@[^\s<>;]{1,253}", "＊", said).strip()
        return [Received(about.identifier, self._kind, about.key or address, Receipt.BOUNCED, now, words)]
