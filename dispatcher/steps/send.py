"""One attempt: the channel sends, each outcome becomes durable as it is told, and the attempt gets one of four ends.

The only place that catches a ChannelError. Outcomes are written in groups while the channel still sends, so that a crash in a
batch of 500 repeats the unwritten few and not the 500.

Source: design.md §2 "send", §6; style.md "Errors".
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dispatcher.channel import Channel, Limits, Recipient, Tell
from dispatcher.clock import Clock
from dispatcher.errors import PermanentFailure, StorageFull, TemporaryFailure
from dispatcher.ledger import Attempted, Claim, Ledger
from dispatcher.log import logger
from dispatcher.model.delivery import DeliveryEvent, Outcome, Told
from dispatcher.model.mode import M
from dispatcher.model.rendering import Rendering

GROUP = 64
"""Outcomes in one write while an attempt runs: the most that a crash can repeat on one connection."""
FULL_PAUSE_S = 1.0
FINAL = frozenset({Outcome.TAKEN, Outcome.DUPLICATE, Outcome.PERMANENT})
YES = frozenset({Outcome.TAKEN, Outcome.DUPLICATE})

log = logger("dispatcher.steps.send")


@dataclass(slots=True)
class _Outcomes:
    """What was told, and how much of it is durable."""

    ledger: Ledger
    claim: Claim
    clock: Clock
    told: dict[str, Told] = field(default_factory=dict)
    unwritten: list[Told] = field(default_factory=list)
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, told: Told) -> None:
        self.told[told.address] = told
        self.unwritten.append(told)
        if len(self.unwritten) >= GROUP:
            self.enough.set()

    async def write(self) -> None:
        """Until cancelled: a group as soon as there is one."""
        while True:
            await self.enough.wait()
            self.enough.clear()
            group, self.unwritten = self.unwritten, []
            try:
                await self.ledger.tell(self.claim, group)
            except StorageFull:
                self.unwritten = group + self.unwritten
                await self.clock.sleep(FULL_PAUSE_S)
            except asyncio.CancelledError:
                # Writing a group again is harmless; not knowing whether it was written is not.
                self.unwritten = group + self.unwritten
                raise


async def send(
    claim: Claim, rendering: Rendering[M], channel: Channel[M, Any], ledger: Ledger, clock: Clock
) -> Attempted:
    """Make the attempt. Never raises for what a medium does."""
    return await _attempt(claim, channel, ledger, clock, partial(channel.send, rendering, claim.destinations))


async def send_each(
    claim: Claim,
    rendering: Rendering[M],
    recipients: Sequence[Recipient],
    channel: Channel[M, Any],
    ledger: Ledger,
    clock: Clock,
    *,
    heard: Tell = lambda _told: None,
) -> Attempted:
    """As `send`, to people one by one. Whoever of the claim is not among `recipients` has nothing left to be reached by.

    `heard` is told what the medium said of each recipient.
    """
    found = {recipient.key for recipient in recipients}

    async def deliver(tell: Tell) -> None:
        for destination in claim.destinations:
            if destination.address not in found:
                tell(Told(destination.address, Outcome.PERMANENT, "届け先がありません (no address)"))
        if recipients:

            def both(told: Told) -> None:
                tell(told)
                heard(told)

            await channel.send_each(rendering, recipients, both)

    return await _attempt(claim, channel, ledger, clock, deliver)


async def _attempt(
    claim: Claim, channel: Channel[M, Any], ledger: Ledger, clock: Clock, deliver: Callable[[Tell], Awaitable[None]]
) -> Attempted:
    outcomes = _Outcomes(ledger, claim, clock)
    words, retry_after_s, is_success, is_final = "", None, True, False
    writing = asyncio.ensure_future(outcomes.write())
    try:
        async with asyncio.timeout(channel.limits.attempt_timeout_s):
            await deliver(outcomes.tell)
    except TemporaryFailure as failure:
        words, retry_after_s, is_success = str(failure), failure.retry_after_s, False
    except PermanentFailure as failure:
        words, is_final = str(failure), True
    except TimeoutError:
        words, is_success = f"{channel.limits.attempt_timeout_s:g} 秒待っても答えがありません (no answer)", False
    except OSError as failure:
        words, is_success = str(failure), False
    finally:
        writing.cancel()
        await asyncio.wait([writing])
    if is_final:
        for destination in claim.destinations:
            if destination.address not in outcomes.told:
                outcomes.tell(Told(destination.address, Outcome.PERMANENT, words))
    if words and not is_final:
        for destination in claim.destinations:
            if destination.address not in outcomes.told:
                outcomes.tell(Told(destination.address, Outcome.TEMPORARY, words))
    return _ended(claim, outcomes, channel.limits, words, retry_after_s, is_success=is_success)


def _ended(
    claim: Claim, outcomes: _Outcomes, limits: Limits, words: str, retry_after_s: float | None, *, is_success: bool
) -> Attempted:
    told: Sequence[Told] = tuple(outcomes.told.values())
    taken = sum(t.outcome in YES for t in told)
    is_done = all(d.address in outcomes.told and outcomes.told[d.address].outcome in FINAL for d in claim.destinations)
    if is_done:
        event = DeliveryEvent.TAKEN if taken or not claim.destinations else DeliveryEvent.REFUSED
        log.info(
            "delivery.sent",
            delivery_id=claim.id,
            channel=claim.channel,
            identifier=claim.identifier,
            attempt=claim.attempt,
            taken=taken,
            refused=len(told) - taken,
        )
        return Attempted(claim, event, words, told=tuple(outcomes.unwritten))
    asked = [t.retry_after_s for t in told if t.retry_after_s is not None and t.outcome not in FINAL]
    wait_s = retry_after_s if retry_after_s is not None else min(asked, default=None)
    if wait_s is None:
        wait_s = backoff_s(claim.attempt, limits)
    last = next((t.words for t in reversed(told) if t.outcome not in FINAL and t.words), words)
    log.info(
        "delivery.deferred",
        delivery_id=claim.id,
        channel=claim.channel,
        identifier=claim.identifier,
        attempt=claim.attempt,
        retry_in_s=wait_s,
    )
    return Attempted(
        claim,
        DeliveryEvent.DEFERRED,
        last,
        retry_after_s=wait_s,
        is_success=is_success or bool(taken),
        told=tuple(outcomes.unwritten),
    )


def backoff_s(attempt: int, limits: Limits) -> float:
    """Twice as long each time, up to the longest, less up to a quarter so that a crowd does not come back in step."""
    longest = min(limits.longest_backoff_s, limits.first_backoff_s * 2.0 ** min(attempt - 1, 20))
    return longest * (1 - random.random() / 4)  # noqa: S311 - spreads retries, guards nothing
