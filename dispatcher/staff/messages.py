"""From the first keystroke to the key that sends: drafting, submitting, approving, and the four verbs that follow.

    発表 更新 解除   two people: one submits, another approves exactly the hash that was shown
    訂正 取消      one person, at once: mending what is out there must not wait
    緊急発表       one person at night: a template approved by its hash, a fresh second factor, confirmed afterwards by another

Source: design.md §3, §9; dispatcher/staff/rules.py has who may do what.
"""

import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from config.templates import FIELDS, load_templates
from dispatcher.errors import Finding, InvalidInput, Refused, StaleHash, StorageFull
from dispatcher.ledger import Event, IssuedAlert
from dispatcher.model.draft import ENDING, ONE_PERSON, WORDS, Draft, Happening, State, Verb, advance
from dispatcher.model.mode import M
from dispatcher.path import Prepared
from dispatcher.staff.guards import guards
from dispatcher.staff.rules import STATE_WORDS, Act, Role
from dispatcher.staff.seat import Seat
from dispatcher.staff.sessions import Person
from dispatcher.steps.accept import Typed, accept
from dispatcher.steps.approve import require_shown

APPROVED_TEMPLATE = "approved-template"
"""Kind of record, by the template's hash: two admins have read it (accounts/acts.py)."""
TRIED = "preview"
"""In the place of what makes an identifier unlike any other, of what is only tried."""
PAGE = "page"
"""Kind of record: somebody has to be told, and told again (standing.py)."""
_ACTS: Mapping[Verb, Act] = {
    Verb.ISSUE: Act.WRITE,
    Verb.UPDATE: Act.UPDATE,
    Verb.CORRECT: Act.CORRECT,
    Verb.LIFT: Act.LIFT,
    Verb.RETRACT: Act.RETRACT,
}


class Messages(Seat[M]):
    """The part of the desk that makes alerts."""

    async def try_draft(self, by: Person, typed: Typed) -> Prepared[M]:
        """What is being typed, as it would go out in this minute; nothing is saved.

        Within the minute, and by a name that no message has, the same words are the same message: it is drawn once.

        Raises:
            InvalidInput: every reason at once.
        """
        async with self._acting(by, Act.WRITE):
            before = await self._before(typed)
            typed = replace(typed, areas=typed.areas or (before.quarters if before else ()))
            minute = self._path.clock.now().replace(second=0, microsecond=0)
            draft = self._accept(typed, by, f"{self._path.city.code}-{TRIED}", before, minute)
            return await self._prepared(draft, minute)

    async def draft(self, by: Person, typed: Typed, *, mode: str) -> tuple[Draft, Prepared[M]]:
        """Accept what was typed as a draft; it is saved even with findings that will stop its submission.

        With `typed.verb` and `typed.of` it is the draft of an update, a correction, a lifting or a retraction.

        Raises:
            InvalidInput: every reason at once; nothing was saved.
        """
        async with self._acting(by, Act.WRITE, mode=mode):
            return await self._written(by, typed)

    async def _written(self, by: Person, typed: Typed, *, is_to_be_whole: bool = False) -> tuple[Draft, Prepared[M]]:
        before = await self._before(typed)
        if typed.of is not None and before is not None:
            await self._require_may_follow(by, typed.verb, typed.of)
            # Before its words are looked at: what is over already needs none.
            await self._require_latest(replace(before, identifier="", of=typed.of, verb=typed.verb))
            typed = replace(typed, areas=typed.areas or before.quarters)
        draft = self._accept(typed, by, self._identifier(), before)
        prepared = await self._prepared(draft)
        if is_to_be_whole and prepared.blocking:
            raise InvalidInput(prepared.blocking)
        event = Event("draft.written", draft.identifier, {"by": by.name, "verb": draft.verb, "of": draft.of})
        return await self._save(draft, 0, event), prepared

    async def edit(
        self, by: Person, identifier: str, version: int, typed: Typed, *, mode: str
    ) -> tuple[Draft, Prepared[M]]:
        """Other words for a draft; a submission is void from then on.

        Raises:
            StaleHash: somebody else wrote it since `version`; theirs stands, and what was typed here is not saved.
            InvalidInput: every reason at once; nothing was saved.
        """
        draft, state = await self._message(identifier)
        async with self._acting(by, Act.EDIT, draft, state=state, mode=mode):
            if draft.version != version:
                raise StaleHash(
                    f"{identifier} は {draft.version} 版になっています。見くらべてください (changed by somebody else meanwhile)"
                )
            typed = replace(typed, verb=draft.verb, of=draft.of)
            written = self._accept(typed, by, identifier, await self._before(typed))
            kept = {name: getattr(draft, name) for name in ("author", "last_submitted", "returned_by", "reason")}
            if draft.submitted_at is not None:
                kept["last_submitted"] = {language: asdict(words) for language, words in draft.wording.items()}
            written = replace(written, state=advance(draft.state, Happening.EDITED), **kept)
            prepared = await self._prepared(written)
            return await self._save(written, version, Event("draft.edited", identifier, {"by": by.name})), prepared

    async def preview(self, by: Person, identifier: str) -> tuple[Draft, Prepared[M]]:
        """The draft as it would go out; a submitted one exactly as it was submitted, with the hash to approve."""
        async with self._acting(by, Act.LOOK):
            draft = await self._draft(identifier)
            return draft, await self._prepared(draft)

    async def submit(self, by: Person, identifier: str, *, mode: str) -> tuple[Draft, Prepared[M]]:
        """Ask a second person to approve it.

        Raises:
            InvalidInput: the findings that stop it.
        """
        draft, state = await self._message(identifier)
        async with self._acting(by, Act.SUBMIT, draft, state=state, mode=mode):
            return await self._submitted(by, draft)

    async def _submitted(self, by: Person, draft: Draft) -> tuple[Draft, Prepared[M]]:
        await self._require_latest(draft)
        now = self._path.clock.now().replace(microsecond=0)
        prepared = await self._prepared(replace(draft, submitted_at=now))
        if prepared.blocking:
            raise InvalidInput(prepared.blocking)
        self._require_retractable(draft, by)
        submitted = replace(
            draft,
            state=advance(draft.state, Happening.SUBMITTED),
            submitted_by=by.name,
            submitted_at=now,
            hash=prepared.hash,
        )
        event = Event("draft.submitted", draft.identifier, {"by": by.name, "hash": prepared.hash})
        return await self._save(submitted, draft.version, event), prepared

    async def approve(self, by: Person, identifier: str, *, shown: str | None, mode: str) -> IssuedAlert:
        """Send it: what was submitted, if it is still exactly that.

        Raises:
            Refused: the submitter cannot approve; it does not wait for an approval, or has waited too long; the node is halted.
            StaleHash: it is not what was shown any more, or somebody else was quicker.
        """
        draft, state = await self._message(identifier)
        async with self._acting(by, Act.APPROVE, draft, state=state, mode=mode):
            prepared = await self._prepared(draft)
            require_shown(draft, shown, prepared.hash)
            await self._require_latest(draft)
            return await self._sent(by, draft, prepared)

    async def send_back(self, by: Person, identifier: str, reason: str, *, mode: str) -> Draft:
        """差戻し: it has to be written otherwise; the reason goes to who wrote it."""
        draft, state = await self._message(identifier)
        async with self._acting(by, Act.SEND_BACK, draft, state=state, mode=mode):
            return await self._put_aside(by, draft, Happening.RETURNED, reason)

    async def reject(self, by: Person, identifier: str, reason: str, *, mode: str) -> Draft:
        """却下: it will not go out."""
        draft, state = await self._message(identifier)
        async with self._acting(by, Act.REJECT, draft, state=state, mode=mode):
            return await self._put_aside(by, draft, Happening.REJECTED, reason)

    async def _put_aside(self, by: Person, draft: Draft, happening: Happening, reason: str) -> Draft:
        if len(reason.strip()) < 2:
            raise InvalidInput([Finding("reason", "理由を書いてください (say why)")])
        returned_by = by.name if happening is Happening.RETURNED else draft.returned_by
        aside = replace(
            draft, state=advance(draft.state, happening), returned_by=returned_by, reason=reason.strip(), hash=None
        )
        event = Event(f"draft.{happening}", draft.identifier, {"by": by.name, "reason": reason.strip()[:500]})
        return await self._save(aside, draft.version, event)

    async def break_glass(self, by: Person, identifier: str, *, mode: str, factor: str) -> IssuedAlert:
        """緊急発表: one person, nobody else there. A template approved by its hash, in its own words, and a fresh second factor.

        Raises:
            Refused: the factor is not right, or the template is not approved as it stands.
        """
        draft, state = await self._message(identifier)
        async with self._acting(by, Act.BREAK_GLASS, draft, state=state, mode=mode):
            await self._require_approved_template(draft)
            if not await self._factors(by, factor):
                raise Refused("二要素の確認番号が違います。新しい番号を入れてください (the second factor is not right)")
            await self._require_latest(draft)
            now = self._path.clock.now().replace(microsecond=0)
            draft = replace(
                draft, broken_glass_by=by.name, submitted_by=draft.submitted_by or by.name, submitted_at=now
            )
            prepared = await self._prepared(draft)
            alert = await self._sent(by, replace(draft, hash=prepared.hash), prepared)
            event = Event("glass.broken", identifier, {"by": by.name, "template": draft.template})
            # It is out, whatever there is room for now; who has to be told is read from the draft (standing.py).
            with suppress(StorageFull):
                await self._path.ledger.append(event)
            return alert

    async def confirm(self, by: Person, identifier: str, *, mode: str) -> None:
        """事後承認 of what one person sent alone."""
        draft, state = await self._message(identifier)
        async with self._acting(by, Act.CONFIRM, draft, state=state, mode=mode):
            await self._save(
                replace(draft, confirmed_by=by.name),
                draft.version,
                Event("glass.confirmed", identifier, {"by": by.name}),
            )

    async def follow(
        self, by: Person, verb: Verb, of: str, typed: Typed, *, mode: str
    ) -> tuple[Draft, IssuedAlert | None]:
        """更新, 訂正, 解除, 取消 of an alert. 訂正 and 取消 go out at once; the others are submitted for approval.

        Raises:
            InvalidInput: the findings that stop it; nothing was saved.
        """
        original, state = await self._message(of)
        async with self._acting(by, _ACTS[verb], original, state=state, mode=mode):
            draft, _ = await self._written(by, replace(typed, of=of, verb=verb), is_to_be_whole=True)
        if verb in ONE_PERSON:
            return draft, await self.send(by, draft.identifier, mode=mode)
        draft, _ = await self.submit(by, draft.identifier, mode=mode)
        return draft, None

    async def send(self, by: Person, identifier: str, *, mode: str, version: int | None = None) -> IssuedAlert:
        """Send a 訂正 or 取消 alone. `version`: of the draft that was on the screen, where there was a screen.

        Not a hash: nothing was submitted that one could bind to, and the time of sending is part of every text.

        Raises:
            StaleHash: somebody edited it since.
        """
        draft = await self._draft(identifier)
        act = _ACTS[draft.verb]
        _, state = await self._message(draft.of or identifier)
        async with self._acting(by, act, draft, state=state, mode=mode):
            if draft.verb not in ONE_PERSON:
                raise Refused(f"{WORDS[draft.verb]}には二人目の承認がいります (needs a second person)")
            if draft.state is not State.DRAFT:
                raise Refused(f"{identifier} はもう {draft.state} です (is {draft.state} already)")
            await self._require_latest(draft)
            if version not in {None, draft.version}:
                raise StaleHash("表示していた内容と違います。もう一度確かめてください (not what was shown)")
            now = self._path.clock.now().replace(microsecond=0)
            draft = replace(draft, submitted_by=by.name, submitted_at=draft.submitted_at or now)
            prepared = await self._prepared(draft)
            return await self._sent(by, replace(draft, hash=prepared.hash), prepared)

    # -- what every way has in common --------------------------------------------------------------------------------

    async def _sent(self, by: Person, draft: Draft, prepared: Prepared[M]) -> IssuedAlert:
        if self._gates.halted is not None:
            raise Refused(f"送出は停止中です：{self._gates.halted.reason} (halted: nothing goes out)")
        if self._path.is_over:
            raise Refused("訓練は終わりました。この節点からは何も出せません (the drill is over)")
        if draft.is_out_of_time(self._path.clock.now()):
            raise Refused(f"{STATE_WORDS[State.STALE]}です。提出し直してもらってください (waited too long)")
        if prepared.blocking:
            raise InvalidInput(prepared.blocking)
        alert = await self._path.issue(draft, by=by.name)
        issued = await self._path.ledger.alert(alert.identifier)
        if issued.facts["by"] != by.name:
            raise StaleHash(f"{issued.facts['by']} さんが先に送りました (somebody else has sent it already)")
        return issued

    def _accept(
        self, typed: Typed, by: Person, identifier: str, before: Draft | None, at: datetime | None = None
    ) -> Draft:
        """`at`: the moment that its times are counted from; None: now."""
        now = self._path.clock.now()
        draft = accept(
            typed,
            city=self._path.city,
            mode=self._path.mode,
            now=at or now,
            author=by.name,
            identifier=identifier,
            before=before,
        )
        expires = min(draft.expires, self._path.until or draft.expires)
        return replace(draft, expires=expires, typed=_plain(typed), written_at=now.replace(microsecond=0))

    async def _prepared(self, draft: Draft, at: datetime | None = None) -> Prepared[M]:
        prepared: Prepared[M] = await self._path.prepare(draft, at or draft.submitted_at or self._path.clock.now())
        found: tuple[Finding, ...] = await guards(draft, self._path)
        return replace(prepared, findings=(*prepared.findings, *found)) if found else prepared

    async def _before(self, typed: Typed) -> Draft | None:
        return await self._draft(typed.of) if typed.of is not None else None

    async def _require_may_follow(self, by: Person, verb: Verb, of: str) -> None:
        draft, state = await self._message(of)
        # A draft of another system may say any verb: it sends nothing.
        if Role.INTAKE not in by.roles:
            self._require_allowed(by, _ACTS[verb], draft, state)

    async def _require_latest(self, draft: Draft) -> None:
        if draft.of is None:
            return
        latest = (await self._path.chain(draft))[-1]
        if latest.identifier != draft.of:
            raise Refused(
                f"{draft.of} のあとに {latest.identifier} が出ています。そちらに対して行ってください (not the latest)"
            )
        if Verb(latest.verb) in ENDING and draft.verb is not Verb.RETRACT:
            raise Refused(f"{latest.identifier} は{WORDS[Verb(latest.verb)]}済みです (already over)")

    def _require_retractable(self, draft: Draft, by: Person) -> None:
        """Its retraction is ready before it goes out: its words can be made from the reviewed template now."""
        if draft.verb not in ENDING:
            typed = Typed(verb=Verb.RETRACT, of=draft.identifier, areas=draft.quarters, note="誤り")
            self._accept(typed, by, draft.identifier, draft)

    async def _require_approved_template(self, draft: Draft) -> None:
        template = load_templates()[draft.template]
        approved = {key for key, _, _ in await self._path.ledger.records(APPROVED_TEMPLATE)}
        if template.digest not in approved:
            raise Refused(
                f"ひな形「{template.name}」はこの内容で承認されていません。一人では発表できません (template not approved)"
            )
        if own := sorted(_own_words(draft)):
            raise Refused(f"ひな形の文を書きかえています：{', '.join(own)}。一人では発表できません (own words)")

    async def _save(self, draft: Draft, version: int, event: Event) -> Draft:
        return replace(
            draft, version=await self._path.ledger.save_draft(draft.identifier, version, draft.body(), event)
        )

    def _identifier(self) -> str:
        """Never reused: the second in which it was begun and 32 random bits."""
        return f"{self._path.city.code}-{self._path.clock.now():%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


def _own_words(draft: Draft) -> set[str]:
    """Fields that were typed instead of filled."""
    words: Mapping[str, Mapping[str, str]] = draft.typed.get("words") or {}
    return {f"{language}.{name}" for language, said in words.items() for name in said if name in FIELDS}


def _plain(typed: Typed) -> dict[str, Any]:
    """As JSON, without what stands in the draft itself."""
    return {name: value for name, value in asdict(typed).items() if name not in {"verb", "of"} and value}
