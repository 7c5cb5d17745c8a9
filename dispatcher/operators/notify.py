"""Tells systemd how the node is: ready, alive, stopping. A no-op where nobody listens.

Alive is said only when two things really move: the loop, because this task ran, and the ledger's writer, because its beat
finished something a moment ago. A process whose disk hangs looks alive from outside; systemd then starts another in its place.
A database that is away is not a hang: the writer keeps trying, and a new process could do no better.

Source: sd_notify(3), systemd.service(5) WatchdogSec=, sd_watchdog_enabled(3); unix(7) for names that begin with @.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from dispatcher.clock import Clock
from dispatcher.ledger import Ledger

LEAST_STILL_S = 1.0
"""A beat comes once a second; a shorter silence says nothing."""


class Notifier:
    """The socket that systemd gave us, or none."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, which are for this process alone."""
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        usec, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(os.getpid()))
        is_ours = usec.isascii() and usec.isdecimal() and pid == str(os.getpid())
        self.watchdog_s = int(usec) / 1e6 if is_ours else 0.0
        """How long systemd waits for a sign of life; 0: it does not."""

    def tell(self, **said: str) -> None:
        """`tell(READY="1", STATUS="…")`. Never raises and never waits: a supervisor that does not listen stops nobody."""
        if not self._address.startswith(("/", "\0")):
            return
        message = "\n".join(f"{name}={value.replace(chr(10), ' ')}" for name, value in said.items())
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as line:
            line.sendto(message.encode(), self._address)


@asynccontextmanager
async def supervised(
    ledger: Ledger, clock: Clock, status: str, notifier: Notifier | None = None
) -> AsyncIterator[None]:
    """Inside, the node is ready, and says that it lives as long as it does. `status` is what systemctl shows."""
    to = notifier or Notifier()
    to.tell(READY="1", STATUS=status)
    try:
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(_live(to, ledger, clock, status)) if to.watchdog_s else None
            try:
                yield
            finally:
                if living is not None:
                    living.cancel()
    finally:
        to.tell(STOPPING="1", STATUS="止めています (stopping)")


async def _live(to: Notifier, ledger: Ledger, clock: Clock, status: str) -> None:
    """As often as systemd's manual asks for: at half of its patience."""
    most_still_s = max(LEAST_STILL_S, to.watchdog_s / 2)
    was_still = False
    while True:
        still_s = ledger.still_for_s()
        is_still = still_s > most_still_s
        if is_still:
            to.tell(STATUS=f"台帳の書き手が {still_s:.0f} 秒止まっています (the ledger's writer stands still)")
        elif was_still:
            to.tell(WATCHDOG="1", STATUS=status)
        else:
            to.tell(WATCHDOG="1")
        was_still = is_still
        await clock.sleep(to.watchdog_s / 4)
