"""A request that is sent twice is done once: the answer to a key is kept for a day, also over a restart.

The key is written down before the act begins. After a crash between the act and its answer nobody knows which of the two there was:
the same key is then told so (409) and the act is not done a second time.

Source: draft-ietf-httpapi-idempotency-key-header-07 §2; design.md §5 "What has been acknowledged … has been committed before".
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dispatcher.clock import Clock
from dispatcher.errors import Finding, InvalidInput, NotFound, StaleHash
from dispatcher.ledger import Ledger
from dispatcher.staff.api.problems import Said

HEADER = "Idempotency-Key"
PATTERN = r"[!-~]{1,200}"
KEPT_FOR = timedelta(hours=24)
SWEPT_EVERY_S = 600.0
_KIND = "idempotency"


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered: status and the body as it went out."""

    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Begun:
    """An act that is being done under a key."""

    place: str
    version: int
    fingerprint: str
    at: str


class Kept:
    """The answers of the last day, by person and key."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._swept_s: float | None = None

    async def begin(self, person: str, key: str, request: bytes) -> Begun | Answer:
        """Write the key down, or give the answer that it was given before. `request` is everything that makes it the same one.

        Raises:
            InvalidInput: the key was used for another request.
            Said: 409, its first request is still being done, or its outcome is unknown.
        """
        await self._sweep()
        place = hashlib.sha256(f"{person}\0{key}".encode()).hexdigest()
        fingerprint = hashlib.sha256(request).hexdigest()
        try:
            version, kept = await self._ledger.read_record(_KIND, place)
        except NotFound:
            version, kept = 0, {}
        if version and not self._is_over(kept):
            return _again(kept, fingerprint)
        begun = Begun(place, version, fingerprint, self._clock.now().isoformat())
        try:
            return Begun(place, await self._write(begun, None), fingerprint, begun.at)
        except StaleHash:
            raise Said(409, "") from None

    async def finish(self, begun: Begun, answer: Answer) -> None:
        """Keep the answer."""
        await self._write(begun, answer)

    async def forget(self, begun: Begun) -> None:
        """Nothing was done: the key may be used again."""
        await self._ledger.save_record(_KIND, begun.place, begun.version, None, None)

    async def _write(self, begun: Begun, answer: Answer | None) -> int:
        kept = None if answer is None else {"status": answer.status, "body": answer.body}
        body = {"fingerprint": begun.fingerprint, "at": begun.at, "answer": kept}
        return await self._ledger.save_record(_KIND, begun.place, begun.version, body, None)

    def _is_over(self, kept: Mapping[str, Any]) -> bool:
        return datetime.fromisoformat(kept["at"]) + KEPT_FOR <= self._clock.now()

    async def _sweep(self) -> None:
        now_s = self._clock.monotonic()
        if self._swept_s is not None and now_s - self._swept_s < SWEPT_EVERY_S:
            return
        self._swept_s = now_s
        for place, version, kept in await self._ledger.records(_KIND):
            if self._is_over(kept):
                with suppress(StaleHash):  # another node swept it first
                    await self._ledger.save_record(_KIND, place, version, None, None)


def _again(kept: Mapping[str, Any], fingerprint: str) -> Answer:
    if kept["fingerprint"] != fingerprint:
        reason = "この鍵は別の要求に使われています。要求ごとに新しい鍵を付けてください (used for another request)"
        raise InvalidInput([Finding(HEADER, reason)])
    if kept["answer"] is None:
        raise Said(409, "")
    return Answer(kept["answer"]["status"], kept["answer"]["body"])
