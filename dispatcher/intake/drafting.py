"""A decision becomes a draft at the desk, by the same door as everybody's; it is never more than a draft, but for a policy.

    in force     発表, or 更新 of what this event already brought on the air
    訂正 解除 取消    of what is on the air; where nothing is, there is nothing to mend, lift or take back
    by policy    this system submits, and the policy, which the city has signed, approves exactly that hash

A draft that nobody has touched is written anew when the event goes on, so that staff find one draft and not ten. One that
somebody touched, or that waits for an approval, is left alone: the desk shows there that newer data came.

Source: design.md §7, §9; dispatcher/staff/rules.py (role intake).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Generic

from config.intake import Policy, Table
from config.templates import load_templates
from dispatcher.clock import Clock
from dispatcher.errors import NotFound, Refused
from dispatcher.intake.decide import Decision
from dispatcher.intake.telegram import Telegram
from dispatcher.intake.upstream import Drafted, Remembered
from dispatcher.intake.wording import cause
from dispatcher.ledger import IssuedAlert, Ledger
from dispatcher.log import logger
from dispatcher.model.draft import ENDING, ONE_PERSON, Draft, State, Verb
from dispatcher.model.mode import M
from dispatcher.staff.desk import Desk
from dispatcher.staff.messages import APPROVED_TEMPLATE
from dispatcher.staff.sessions import Person
from dispatcher.steps.accept import NEXT_UPDATE_IN, Typed

NAME = "intake"
INTAKE = Person(NAME, ("intake",))
"""Who writes the drafts: another system, that sends nothing."""
_NOTES = {Verb.RETRACT: "{}が元の電文を取り消しました", Verb.CORRECT: "{}が元の電文を訂正しました"}
_ON_AIR = frozenset({State.DISPATCHING, State.LIVE})

log = logger("dispatcher.intake.drafting")


class Drafting(Generic[M]):
    """Of one node's desk."""

    def __init__(self, desk: Desk[M], ledger: Ledger, clock: Clock, table: Table) -> None:
        self._desk: Desk[M] = desk
        self._ledger = ledger
        self._clock = clock
        self._table = table

    async def draft(self, telegram: Telegram, decision: Decision, event: Remembered) -> Drafted | None:
        """The draft that came of it; None where nothing is on the air to lift or take back.

        Raises:
            Refused: the desk does not take it; the text is for staff.
        """
        if decision.verb is None:
            return None
        verb = decision.verb
        ours = event.drafts if verb in ENDING else (*event.kin, *event.drafts)
        alert = await self._on_air(ours, is_retraction=verb is Verb.RETRACT)
        if alert is None and verb in ENDING:
            return None
        if verb not in ENDING:
            verb = await self._following(alert, decision, verb)
        of = alert.identifier if alert is not None else None
        typed = self._typed(telegram, decision, verb, of)
        last = await self._untouched(ours[-1]) if ours else None
        if last is not None and (last.verb, last.of) == (verb, of):
            draft, _ = await self._desk.edit(INTAKE, last.identifier, last.version, typed, mode=self._desk.mode)
        else:
            draft, _ = await self._desk.draft(INTAKE, typed, mode=self._desk.mode)
        return Drafted(draft.identifier, draft.version)

    async def send(self, identifier: str, policy: Policy) -> bool:
        """Send a draft by this policy; False where it has to wait for a person all the same.

        The policy speaks only in texts that the city has approved by their hash, as one person alone does.
        """
        draft = Draft.from_body(*await self._ledger.draft(identifier))
        if draft.verb is not Verb.ISSUE:
            return False
        if not await self._is_approved(draft.template):
            log.warning("intake.unsent", reason="template not approved")
            return False
        submitter, approver = Person(NAME, ("originator",)), Person(f"方針 {policy.name}", ("approver",))
        try:
            submitted, _ = await self._desk.submit(submitter, identifier, mode=self._desk.mode)
            await self._desk.approve(approver, identifier, shown=submitted.hash, mode=self._desk.mode)
        except Refused as refused:
            # Halted, or a finding that blocks: it waits for a person, who is paged.
            log.warning("intake.unsent", reason=type(refused).__name__)
            return False
        return True

    async def _is_approved(self, template: str) -> bool:
        try:
            await self._ledger.read_record(APPROVED_TEMPLATE, load_templates()[template].digest)
        except NotFound:
            return False
        return True

    async def _on_air(self, drafts: Sequence[Drafted], *, is_retraction: bool) -> IssuedAlert | None:
        """The latest alert of the chain that this event began, if it can still be followed."""
        for drafted in reversed(drafts):
            try:
                alert = await self._ledger.alert(drafted.identifier)
            except NotFound:
                continue
            latest = next(a for a in await self._ledger.alerts() if a.chain == alert.chain)
            if is_retraction:
                return latest if Verb(latest.verb) is not Verb.RETRACT else None
            return latest if State(latest.state) in _ON_AIR and Verb(latest.verb) not in ENDING else None
        return None

    async def _following(self, alert: IssuedAlert | None, decision: Decision, verb: Verb) -> Verb:
        """What the desk calls it: a 訂正 is of the same kind of message for the same area, or it is a 更新 that two people send."""
        if alert is None:
            return Verb.ISSUE
        before = Draft.from_body(*await self._ledger.draft(alert.identifier))
        is_the_same = before.template == decision.template and set(before.quarters) == set(decision.quarters)
        return verb if verb in ONE_PERSON and is_the_same else Verb.UPDATE

    async def _untouched(self, drafted: Drafted) -> Draft | None:
        """The draft, if it stands as this system wrote it."""
        try:
            draft = Draft.from_body(*await self._ledger.draft(drafted.identifier))
        except NotFound:
            return None
        return draft if draft.state is State.DRAFT and draft.version == drafted.version else None

    def _typed(self, telegram: Telegram, decision: Decision, verb: Verb, of: str | None) -> Typed:
        note = _NOTES[verb].format(telegram.speaker) if verb in _NOTES else None
        if verb in ENDING:
            return Typed(areas=decision.quarters, verb=verb, of=of, note=note)
        row, expires = decision.row, self._expires(telegram, decision)
        # Nothing is promised for later than the notice itself holds.
        is_short = expires is not None and expires - self._clock.now() < NEXT_UPDATE_IN
        return Typed(
            template=decision.template,
            areas=decision.quarters,
            hazard=row.hazard if row is not None else None,
            note=note,
            expires=expires.isoformat() if expires is not None else None,
            next_update=expires.isoformat() if expires is not None and is_short else None,
            words={language: {"cause": text} for language, text in cause(telegram, decision, self._table).items()},
            verb=verb,
            of=of,
        )

    def _expires(self, telegram: Telegram, decision: Decision) -> datetime | None:
        """As the telegram says, else as its kind does; None: as long as any message."""
        now = self._clock.now()
        if telegram.valid_until is not None and telegram.valid_until > now:
            return telegram.valid_until
        if decision.row is not None and decision.row.expires:
            return now + timedelta(seconds=decision.row.expires)
        return None
