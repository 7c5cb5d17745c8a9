"""What a decision is about: the message as it would go out, what went out before it, and to whom.

Source: design.md §9 "Approval … shows the head count"; issue "Console" 5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dispatcher.errors import Finding
from dispatcher.ledger import IssuedAlert
from dispatcher.model.draft import Draft
from dispatcher.path import Prepared
from dispatcher.staff.console.difference import Row, rows
from dispatcher.staff.console.room import Console
from dispatcher.staff.console.words import Words
from dispatcher.staff.sessions import Person
from dispatcher.tracking.reach import FACILITIES

FAR_FACTOR = 3.0
"""From so many times more or fewer than the last time on, the page says so loudly."""


@dataclass(frozen=True, slots=True)
class Reach:
    """To whom it would go. `counted`: title and head count where the medium counts; `uncounted`: titles of the rest."""

    counted: tuple[tuple[str, int], ...]
    uncounted: tuple[str, ...]
    first: int
    """Facilities of the register that are told before the public."""
    before: int | None
    """The sum of the message before it; None for a first one."""

    @property
    def heads(self) -> int:
        return sum(count for _, count in self.counted)

    @property
    def ratio(self) -> float | None:
        return self.heads / self.before if self.before else None

    @property
    def is_far(self) -> bool:
        return self.ratio is not None and not 1 / FAR_FACTOR < self.ratio < FAR_FACTOR


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that the decision is about."""

    draft: Draft
    prepared: Prepared[Any]
    chain: Sequence[IssuedAlert]
    original: Draft | None
    """What it follows, as it was written."""
    reach: Reach

    @property
    def previous(self) -> IssuedAlert | None:
        return self.chain[-1] if self.chain else None

    @property
    def blocking(self) -> tuple[Finding, ...]:
        return self.prepared.blocking

    @property
    def asking(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.prepared.findings if not f.blocks)


async def case_of(console: Console, by: Person, identifier: str, t: Words) -> Case:
    draft, prepared = await console.desk.preview(by, identifier)
    chain = [a for a in await console.path.chain(draft) if a.identifier != identifier]
    original = Draft.from_body(*await console.path.ledger.draft(draft.of)) if draft.of else None
    counted, uncounted = [], []
    for kind, audience in prepared.audiences.items():
        if audience.head_count is not None and console.counts(kind):
            counted.append((t(*console.titles(kind)), audience.head_count))
        else:
            uncounted.append(t(*console.titles(kind)))
    heads = chain[-1].facts.get("heads", {}) if chain else {}
    first = sum(
        len(one.first(prepared.alert, prepared.renderings, chain).facts.get(FACILITIES, ()))
        for one in console.path.foremost
    )
    before = sum(n for kind, n in heads.items() if n and console.counts(kind)) if chain else None
    return Case(draft, prepared, chain, original, Reach(tuple(counted), tuple(uncounted), first, before))


def since_last_submission(draft: Draft, t: Words) -> Sequence[Row]:
    """What was written otherwise after it was returned, or out of time; nothing for a first submission."""
    labels = {
        "headline": t("見出し", "Headline"),
        "description": t("何が", "What"),
        "instruction": t("どうする", "What to do"),
        "shelters": t("避難先", "Shelters"),
    }

    def texts(wording: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        return {
            f"{t.language_name(language)}　{label}": said.get(name, "")
            for language, said in wording.items()
            for name, label in labels.items()
        }

    if not draft.last_submitted:
        return ()
    now = {language: asdict(wording) for language, wording in draft.wording.items()}
    return tuple(row for row in rows(texts(draft.last_submitted), texts(now)) if row.is_changed)
