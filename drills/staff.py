"""Two people of headquarters at the staff's door: one drafts and submits, the other approves, retracts and watches the board.

Source: design.md §2, §9; the door itself is dispatcher/staff/api/.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dispatcher.clock import SystemClock
from dispatcher.staff.cli.client import Client

SUBMITTER, APPROVER = "職員0001", "職員0002"
LOOK_EVERY_S = 0.25
SETTLED_WITHIN_S = 90.0

Board = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Issued:
    """What went out, and when the key was pressed for it."""

    identifier: str
    pressed_at: datetime


class Staff:
    """`tokens`: by name, for SUBMITTER and APPROVER."""

    def __init__(self, url: str, tokens: Mapping[str, str]) -> None:
        self._submitter = Client(url, tokens[SUBMITTER])
        self._approver = Client(url, tokens[APPROVER])
        self._clock = SystemClock()

    async def order(self, typed: Mapping[str, Any]) -> Issued:
        """Draft, submit and approve what is typed; returns when it is approved.

        Raises:
            Said: the desk refuses.
        """
        draft = await self._post(self._submitter, "/drafts", {"mode": "drill", "typed": typed})
        identifier = draft["draft"]["identifier"]
        shown = await self._post(self._submitter, f"/drafts/{identifier}/submit", {"mode": "drill"})
        pressed_at = self._clock.now()
        await self._post(self._approver, f"/drafts/{identifier}/approve", {"mode": "drill", "hash": shown["hash"]})
        return Issued(identifier, pressed_at)

    async def retract(self, identifier: str, note: str) -> Issued:
        """Take a message back, as one person may.

        Raises:
            Said: the desk refuses.
        """
        pressed_at = self._clock.now()
        body = {"mode": "drill", "typed": {"note": note}}
        answer = await self._post(self._approver, f"/alerts/{identifier}/retract", body)
        return Issued(answer["draft"]["identifier"], pressed_at)

    async def watch(
        self, identifier: str, is_settled: Callable[[Board], bool], see: Callable[[Board], None] = lambda _board: None
    ) -> tuple[Board, bool]:
        """The board, again and again, until everything on it is settled (then True) or it has taken too long."""
        until_s = self._clock.monotonic() + SETTLED_WITHIN_S
        while True:
            board = await asyncio.to_thread(self._approver.get, f"/alerts/{identifier}")
            see(board)
            if is_settled(board):
                return board, True
            if self._clock.monotonic() > until_s:
                return board, False
            await self._clock.sleep(LOOK_EVERY_S)

    @staticmethod
    async def _post(client: Client, path: str, body: Mapping[str, Any]) -> Any:
        ask: Callable[..., Any] = client.post
        return await asyncio.to_thread(ask, path, body)


def is_settled(board: Board) -> bool:
    """Everybody's was taken or refused, and every terminal that sounded was acknowledged."""
    return bool(board["channels"]) and all(map(_is_line_settled, board["channels"]))


def _is_line_settled(line: Mapping[str, Any]) -> bool:
    if line["taken"] + line["failed"] < line["destinations"]:
        return False
    return bool(line["channel"] != "ip_terminal" or line["acknowledged"] + line["failed"] >= line["destinations"])


def since_ms(moment: datetime, text: str | None) -> int | None:
    """Whole milliseconds from `moment` to the ISO 8601 time in `text`."""
    return None if text is None else round((datetime.fromisoformat(text) - moment).total_seconds() * 1000)
