"""Receipts and acknowledgements come in from the media and become durable before the medium hears that we have them.

A receipt says that a machine has it, an acknowledgement that a person has read it; neither ever replaces the other.

Source: design.md §3, §5.6.
"""

from collections.abc import Sequence

from dispatcher.ledger import Ledger
from dispatcher.model.delivery import Received


class Acknowledgements:
    """The inbox (dispatcher/channel.py) of one channel, on the ledger."""

    def __init__(self, ledger: Ledger, channel: str, returned: "Returned") -> None:
        self._ledger = ledger
        self._channel = channel
        self._returned = returned

    async def record(self, received: Sequence[Received]) -> None:
        await self._ledger.record(self._channel, received)

    def reachable(self) -> None:
        self._returned.add(self._channel)


class Returned:
    """Channels on which somebody came back. A whole quarter whose power returns is one look at what waits, not a thousand."""

    def __init__(self) -> None:
        self._channels: set[str] = set()

    def add(self, channel: str) -> None:
        self._channels.add(channel)

    def take(self) -> set[str]:
        """The channels since the last look."""
        taken, self._channels = self._channels, set()
        return taken
