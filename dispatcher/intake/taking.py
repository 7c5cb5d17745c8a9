"""A telegram that came in: read, put in order, decided, and laid before staff.

One at a time, because the order of an event's telegrams decides; what is slow (reading a whole country's telegram) is done
before, beside each other.

Source: design.md §7; 気象庁防災情報XMLフォーマット 運用指針 §3.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic

from config.cities import load
from config.city import City
from config.intake import Places, Policy, Table, load_places, load_policy, load_table
from dispatcher.clock import Clock
from dispatcher.errors import NotFound, Refused, StaleHash
from dispatcher.intake import jma, partner, upstream
from dispatcher.intake.decide import Decision, Lane, Outcome, decide
from dispatcher.intake.drafting import Drafting
from dispatcher.intake.order import Known
from dispatcher.intake.places import concern
from dispatcher.intake.signature import Trust
from dispatcher.intake.telegram import Telegram
from dispatcher.ledger import Event, Ledger
from dispatcher.log import logger
from dispatcher.model.mode import M
from dispatcher.staff.desk import Desk
from dispatcher.staff.messages import PAGE

WHY = "intake"
"""Why somebody is paged (staff/standing.py)."""

log = logger("dispatcher.intake.taking")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Everything that a decision goes by beside the telegram."""

    city: City
    table: Table
    places: Places
    policy: Policy
    oldest: timedelta = timedelta(hours=6)


def rules_of(city: str, policy: str, oldest_s: float = 6 * 3600.0) -> Rules:
    """What a node of this city with this policy goes by.

    Raises:
        ConfigError: what is wrong with a table.
    """
    return Rules(
        city=load(city),
        table=load_table(),
        places=load_places(city),
        policy=load_policy(policy),
        oldest=timedelta(seconds=oldest_s),
    )


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one telegram. `draft` is the identifier of the draft or alert that came of it, if any did."""

    telegram: Telegram
    decision: Decision
    draft: str | None = None


def read(data: bytes, city: City, trust: Trust | None = None) -> Telegram:
    """A telegram of either format, of whom `trust` says that they are believed; None: whoever it is from.

    Raises:
        InvalidInput: it is neither, not acceptable, or not signed as it must be; every reason is a finding.
    """
    root = jma.outlined(data)
    if trust is not None and trust.is_asked:
        data = trust.opened(data)
        root = jma.outlined(data)
    return jma.read(data, root) if jma.is_jma(root) else partner.read(data, city)


class Intake(Generic[M]):
    """Of one node."""

    def __init__(self, desk: Desk[M], ledger: Ledger, clock: Clock, rules: Rules) -> None:
        self._lane = Lane(desk.mode)
        self._ledger = ledger
        self._clock = clock
        self._rules = rules
        self._drafting: Drafting[M] = Drafting(desk, ledger, clock, rules.table)
        self._one_at_a_time = asyncio.Lock()

    async def take(self, data: bytes, source: str, trust: Trust | None = None) -> Taken:
        """Decide what these bytes ask for and lay it before staff. Returning means that it is written down.

        Raises:
            InvalidInput: they are no telegram that is believed here; the reasons are written down too.
            Refused: the desk does not take the draft; that is written down too.
            StorageFull: nothing was written; the same bytes can be given again.
        """
        try:
            telegram = await asyncio.to_thread(read, data, self._rules.city, trust)
            async with self._one_at_a_time:
                return await self._taken_again(telegram, source)
        except Refused as refused:
            reasons = [line[:300] for line in str(refused).splitlines()[:5]]
            await self._ledger.append(Event("intake.refused", "", {"source": source, "reasons": reasons}))
            log.warning("intake.refused", source=source, reason=reasons[0] if reasons else "")
            raise

    async def _taken_again(self, telegram: Telegram, source: str) -> Taken:
        """Once more where somebody at the desk wrote the same draft at the same moment."""
        try:
            return await self._taken(telegram, source)
        except StaleHash:
            return await self._taken(telegram, source)

    async def _taken(self, telegram: Telegram, source: str) -> Taken:
        event = await upstream.recall(self._ledger, telegram)
        decision = self._decided(telegram, event.known)
        if not decision.is_news:
            log.info("intake.ignored", source=source, type=decision.type, reason=decision.reason)
            return Taken(telegram, decision)
        draft = await self._drafting.draft(telegram, decision, event)
        # Written before a policy sends it: after a crash between the two it waits for a person, and never goes out twice.
        policy = self._rules.policy
        await upstream.remember(self._ledger, event, telegram, decision, source=source, policy=policy.name, draft=draft)
        log.info("intake.taken", source=source, type=decision.type, decision=decision.outcome)
        if draft is not None and decision.outcome is Outcome.SENT:
            await self._drafting.send(draft.identifier, policy)
        if draft is not None and not (decision.row is not None and decision.row.is_quiet):
            await self._page(draft.identifier)
        await upstream.forget(self._ledger, self._clock.now())
        return Taken(telegram, decision, draft.identifier if draft is not None else None)

    def _decided(self, telegram: Telegram, known: Known | None) -> Decision:
        rules = self._rules
        return decide(
            telegram,
            concern(telegram, rules.city, rules.places),
            rules.table,
            lane=self._lane,
            policy=rules.policy,
            known=known,
            now=self._clock.now(),
            oldest=rules.oldest,
        )

    async def _page(self, draft: str) -> None:
        """Somebody has to look at it: a new draft, or other words for one that was not looked at yet."""
        key, version = f"{WHY}:{draft}", 0
        with suppress(NotFound):
            version, _ = await self._ledger.read_record(PAGE, key)
        body = {"why": WHY, "since": self._clock.now().isoformat(), "told": 0}
        # Whoever tells staff of the last page at this moment tells them to look at the same draft.
        with suppress(StaleHash):
            await self._ledger.save_record(PAGE, key, version, body, Event("page.owed", draft, {"why": WHY}))
