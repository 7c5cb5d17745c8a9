"""Everything that staff may ask, one method each, with every rule in it. The doors (cli.py, api.py) only translate.

A rule that stands in a door can be walked around through another door; here it cannot.

    verb        needs                                       allowed when
    発表 更新 解除  two people: one submits, another approves   更新, 解除: the alert is the latest of its chain and not over
    訂正 取消     one person (originator or approver)         the alert is the latest of its chain (訂正: and not over)

Source: design.md §3, §9.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Generic

from dispatcher.channel import Probe
from dispatcher.errors import InvalidInput, Refused, Unauthenticated
from dispatcher.ledger import ChannelTally, DestinationStatus, Event, IssuedAlert
from dispatcher.model.draft import ENDING, ONE_PERSON, WORDS, Draft, Happening, State, Verb, advance
from dispatcher.model.mode import M
from dispatcher.path import Path, Prepared
from dispatcher.staff.sessions import People, Person
from dispatcher.steps.accept import Typed, accept
from dispatcher.steps.approve import require_approvable


class Right(StrEnum):
    """What a role allows."""

    LOOK = "look"
    WRITE = "write"
    APPROVE = "approve"


RIGHTS: Mapping[str, frozenset[Right]] = {
    "viewer": frozenset({Right.LOOK}),
    "originator": frozenset({Right.LOOK, Right.WRITE}),
    "approver": frozenset({Right.LOOK, Right.WRITE, Right.APPROVE}),
}


@dataclass(frozen=True, slots=True)
class Board:
    """How far an alert has come."""

    mode: str
    alert: IssuedAlert
    lines: Sequence[ChannelTally]


class Desk(Generic[M]):
    """The desk of one node."""

    def __init__(self, path: Path[M], people: People) -> None:
        self._path: Path[M] = path
        self._people = people

    @property
    def mode(self) -> str:
        return self._path.mode.name

    def who(self, token: str) -> Person:
        """The person whose token this is.

        Raises:
            Unauthenticated: nobody's.
        """
        person = self._people.whose(token)
        if person is None:
            raise Unauthenticated(
                "この鍵の持ち主はいません。todoke token new で作り、サイトの設定に書いてください (unknown token)"
            )
        return person

    async def draft(self, by: Person, typed: Typed, *, mode: str) -> tuple[Draft, Prepared[M]]:
        """Accept what was typed as a draft; it is saved even with findings that will stop its submission.

        Raises:
            InvalidInput: every reason at once; nothing was saved.
        """
        self._require(by, Right.WRITE)
        self._require_mode(mode)
        draft = accept(
            typed, city=self._path.city, now=self._path.clock.now(), author=by.name, identifier=self._identifier()
        )
        prepared = await self._path.prepare(draft, self._path.clock.now())
        return await self._save(
            draft, 0, Event("draft.written", draft.identifier, {"by": by.name, "verb": draft.verb})
        ), prepared

    async def preview(self, by: Person, identifier: str) -> tuple[Draft, Prepared[M]]:
        """The draft as it would go out; a submitted one exactly as it was submitted, with the hash to approve."""
        self._require(by, Right.LOOK)
        draft = await self._draft(identifier)
        return draft, await self._path.prepare(draft, draft.submitted_at or self._path.clock.now())

    async def submit(self, by: Person, identifier: str, *, mode: str) -> tuple[Draft, Prepared[M]]:
        """Ask a second person to approve it.

        Raises:
            InvalidInput: the findings that stop it.
        """
        self._require(by, Right.WRITE)
        self._require_mode(mode)
        draft = await self._draft(identifier)
        self._require_state(draft, State.DRAFT)
        now = self._path.clock.now().replace(microsecond=0)
        prepared = await self._path.prepare(draft, now)
        if prepared.blocking:
            raise InvalidInput(prepared.blocking)
        submitted = replace(
            draft,
            state=advance(draft.state, Happening.SUBMITTED),
            submitted_by=by.name,
            submitted_at=now,
            hash=prepared.hash,
        )
        event = Event("draft.submitted", identifier, {"by": by.name, "hash": prepared.hash})
        return await self._save(submitted, draft.version, event), prepared

    async def approve(self, by: Person, identifier: str, *, shown: str | None, mode: str) -> IssuedAlert:
        """Send it: what was submitted, if it is still exactly that.

        Raises:
            Refused: the submitter cannot approve; it does not wait for an approval.
            StaleHash: it is not what was shown any more.
        """
        self._require_mode(mode)
        draft = await self._draft(identifier)
        try:
            self._require(by, Right.APPROVE)
            prepared = await self._path.prepare(draft, draft.submitted_at or self._path.clock.now())
            require_approvable(draft, by.name, shown, prepared.hash)
            await self._require_followable(draft)
        except Refused as refused:
            facts = {"by": by.name, "because": type(refused).__name__}
            await self._path.ledger.append(Event("approval.refused", identifier, facts))
            raise
        if prepared.blocking:
            raise InvalidInput(prepared.blocking)
        alert = await self._path.issue(draft, by=by.name)
        return await self._path.ledger.alert(alert.identifier)

    async def follow(
        self, by: Person, verb: Verb, of: str, typed: Typed, *, mode: str
    ) -> tuple[Draft, IssuedAlert | None]:
        """更新, 訂正, 解除, 取消 of an alert. 訂正 and 取消 go out at once; the others are submitted for approval."""
        self._require(by, Right.WRITE)
        self._require_mode(mode)
        original = await self._path.ledger.alert(of)
        typed = replace(typed, of=of, verb=verb, areas=typed.areas or tuple(original.facts["quarters"]))
        before = Draft.from_body(*await self._path.ledger.draft(of))
        draft = accept(
            typed,
            city=self._path.city,
            now=self._path.clock.now(),
            author=by.name,
            identifier=self._identifier(),
            before=before,
        )
        await self._require_followable(draft)
        draft = await self._save(
            draft, 0, Event("draft.written", draft.identifier, {"by": by.name, "verb": verb, "of": of})
        )
        draft, _ = await self.submit(by, draft.identifier, mode=mode)
        if verb not in ONE_PERSON:
            return draft, None
        return draft, await self.approve_alone(by, draft)

    async def approve_alone(self, by: Person, draft: Draft) -> IssuedAlert:
        """訂正 and 取消 wait for nobody."""
        if draft.verb not in ONE_PERSON:
            raise Refused(f"{WORDS[draft.verb]}には二人目の承認がいります (needs a second person)")
        alert = await self._path.issue(draft, by=by.name)
        return await self._path.ledger.alert(alert.identifier)

    async def status(self, by: Person) -> tuple[Sequence[Draft], Sequence[Board]]:
        """What waits, and what is out there."""
        self._require(by, Right.LOOK)
        drafts = [Draft.from_body(version, body) for _, version, body in await self._path.ledger.drafts()]
        waiting = [d for d in drafts if d.state in {State.DRAFT, State.PENDING}]
        return waiting, [await self._board(a) for a in await self._path.ledger.alerts()]

    async def board(self, by: Person, identifier: str) -> Board:
        self._require(by, Right.LOOK)
        return await self._board(await self._path.ledger.alert(identifier))

    async def destinations(self, by: Person, identifier: str) -> Sequence[DestinationStatus]:
        """Who has it and who does not, one by one."""
        self._require(by, Right.LOOK)
        return [d async for d in self._path.ledger.destinations(identifier)]

    async def probe(self, by: Person, kinds: Sequence[str]) -> Mapping[str, Probe]:
        """A link test of these channels (all, when none is named); nothing is sent to residents."""
        self._require(by, Right.LOOK)
        unknown = [k for k in kinds if k not in self._path.channels]
        if unknown:
            raise Refused(
                f"{', '.join(unknown)}: ありません。あるのは {', '.join(self._path.channels)} (no such channel)"
            )
        probes = {k: await self._path.channels[k].probe() for k in kinds or self._path.channels}
        await self._path.ledger.append(Event("channels.probed", "", {k: p.is_up for k, p in probes.items()}))
        return probes

    async def verify(self, by: Person) -> Sequence[str]:
        """What is wrong with the ledger; nothing, if not a byte was altered."""
        self._require(by, Right.LOOK)
        return await self._path.ledger.verify()

    # -- the rules ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _require(by: Person, right: Right) -> None:
        if not any(right in RIGHTS.get(role, frozenset()) for role in by.roles):
            raise Refused(f"{by.name} にはこの権限がありません（{right}） (no right to {right})")

    def _require_mode(self, mode: str) -> None:
        if mode != self._path.mode.name:
            name = self._path.mode.name
            raise Refused(f"この節点は{self._path.mode.word}です。--{name} と書いてください (this node is {name})")

    @staticmethod
    def _require_state(draft: Draft, state: State) -> None:
        if draft.state is not state:
            raise Refused(
                f"{draft.identifier} は {draft.state} です。{state} のときだけできます (is {draft.state}, must be {state})"
            )

    async def _require_followable(self, draft: Draft) -> None:
        if draft.of is None:
            return
        chain = await self._path.chain(draft)
        latest = chain[-1]
        if latest.identifier != draft.of:
            raise Refused(
                f"{draft.of} のあとに {latest.identifier} が出ています。そちらに対して行ってください (not the latest)"
            )
        if Verb(latest.verb) in ENDING and draft.verb is not Verb.RETRACT:
            raise Refused(f"{latest.identifier} は{WORDS[Verb(latest.verb)]}済みです (already over)")

    async def _draft(self, identifier: str) -> Draft:
        return Draft.from_body(*await self._path.ledger.draft(identifier))

    async def _save(self, draft: Draft, version: int, event: Event) -> Draft:
        return replace(
            draft, version=await self._path.ledger.save_draft(draft.identifier, version, draft.body(), event)
        )

    async def _board(self, alert: IssuedAlert) -> Board:
        return Board(self.mode, alert, await self._path.ledger.tally(alert.identifier))

    def _identifier(self) -> str:
        """Never reused: the second in which it was begun and 32 random bits."""
        return f"{self._path.city.code}-{self._path.clock.now():%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


def as_json(draft: Draft) -> dict[str, Any]:
    return {**draft.body(), "version": draft.version}
