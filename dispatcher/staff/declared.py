"""Messages that a file declares: said twice they are one, changed they are edited, and what is out already is left alone.

A declaration has a name of its own, under which is kept which draft it became. What somebody wrote by hand since is brought back to
what is declared, and shown first. Nothing goes out by it: submitting and sending stay acts of people, one by one.

Source: issue "Command line: apply -f declarative and idempotent".
"""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dispatcher.errors import Finding, InvalidInput, NotFound, Refused
from dispatcher.ledger import Event, Ledger
from dispatcher.model.draft import WORDS, Draft, State
from dispatcher.staff.desk import Desk
from dispatcher.staff.sessions import Person
from dispatcher.steps.accept import Typed

KIND = "declared"
EDITABLE = frozenset({State.DRAFT, State.PENDING, State.RETURNED, State.STALE})


@dataclass(frozen=True, slots=True)
class Declared:
    """What a declaration came to. `before` and `after` are what was typed, then and now."""

    name: str
    change: str
    """`created`, `changed` or `unchanged`."""
    draft: Draft
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    findings: tuple[Finding, ...]


async def declare(desk: Desk[Any], ledger: Ledger, by: Person, name: str, typed: Typed, *, mode: str) -> Declared:
    """Bring the draft of that name to what is declared.

    Raises:
        InvalidInput: every reason at once; nothing was saved.
        Refused: it is out already, or was rejected, and the declaration says something else now; or a rule says no.
        StaleHash: somebody else wrote it meanwhile.
    """
    if strange := sorted({c for c in name if unicodedata.category(c)[0] == "C"}):
        codes = ", ".join(f"U+{ord(c):04X}" for c in strange)
        raise InvalidInput([Finding("name", f"使えない文字 {codes} があります (control or direction character)")])
    after = said(typed)
    try:
        version, kept = await ledger.read_record(KIND, name)
    except NotFound:
        draft, prepared = await desk.draft(by, typed, mode=mode)
        await _keep(ledger, by, name, 0, draft, after)
        return Declared(name, "created", draft, {}, after, prepared.findings)
    draft, _ = await desk.preview(by, kept["draft"])
    is_untouched = _json(draft.typed) == kept["became"]
    before = kept["said"] if is_untouched else {**_json(draft.typed), **_place(draft)}
    if after == kept["said"] and (is_untouched or draft.state not in EDITABLE):
        return Declared(name, "unchanged", draft, before, after, ())
    if (draft.verb, draft.of) != (typed.verb, typed.of):
        raise Refused(
            f"「{name}」は{WORDS[draft.verb]}として書かれています。別の名前を付けてください "
            f"(declared as {draft.verb} of {draft.of}: give it another name)"
        )
    if draft.state not in EDITABLE:
        raise Refused(
            f"「{name}」（{draft.identifier}）は {draft.state} です。更新・訂正は別の名前で宣言してください "
            "(already out or rejected: declare an update or a correction under another name)"
        )
    edited, prepared = await desk.edit(by, draft.identifier, draft.version, typed, mode=mode)
    await _keep(ledger, by, name, version, edited, after)
    return Declared(name, "changed", edited, before, after, prepared.findings)


async def _keep(ledger: Ledger, by: Person, name: str, version: int, draft: Draft, after: Mapping[str, Any]) -> None:
    """Which draft it became, what was declared, and what the draft made of that, so that a later edit by hand is seen."""
    body = {"draft": draft.identifier, "said": after, "became": _json(draft.typed)}
    event = Event("draft.declared", draft.identifier, {"by": by.name, "name": name})
    await ledger.save_record(KIND, name, version, body, event)


def _place(draft: Draft) -> Mapping[str, Any]:
    return {"verb": draft.verb.value} | ({"of": draft.of} if draft.of else {})


def said(typed: Typed) -> Mapping[str, Any]:
    """What was typed as JSON has it, without what was left out."""
    return {field: value for field, value in _json(asdict(typed)).items() if value}


def _json(value: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain
