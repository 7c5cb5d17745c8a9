"""What a ladder means for one person: which of their contacts are asked on a rung, and which one when a contact has refused.

Pure, and without a memory: what was used before follows from the ladder and from the contacts alone, so that nothing about it has
to be kept, and a rung climbed again after a crash asks the same contacts.

Source: design.md §8 "Policies are ladders".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from config.ladders import Kind, Ladder, Rung, Whom


@dataclass(frozen=True, slots=True)
class Contact:
    """One way to reach a person or somebody of theirs."""

    whom: Whom
    """Whose it is: SELF, GUARDIAN, HOUSEHOLD, RELATIVE or SUPPORTER."""
    channel: str
    """A medium that reaches people one by one, or `phone`, which staff use."""
    address: str = field(repr=False)
    language: str = field(default="ja", repr=False)
    who: str = field(default="", repr=False)
    """Common ID of whoever it is, where the roster knows them: a supporter's cases are counted by it."""
    name: str = field(default="", repr=False)
    """Of a supporter, so that staff read who has the case."""


def ladder_of(ladders: Mapping[str, Ladder], kind: Kind, cohorts: Iterable[str]) -> str:
    """Name of the ladder of somebody in these cohorts: of several the one that reaches staff first.

    Raises:
        LookupError: there is none of this kind for everybody.
    """
    of_kind = {name: ladder for name, ladder in ladders.items() if ladder.kind is kind}
    theirs = {name: ladder for name, ladder in of_kind.items() if set(ladder.cohorts) & set(cohorts)}
    chosen = theirs or {name: ladder for name, ladder in of_kind.items() if not ladder.cohorts}
    if not chosen:
        raise LookupError(f"no ladder of kind {kind} for everybody")
    return min(chosen, key=lambda name: (chosen[name].rungs[-1].after, name))


def asked_on(ladder: Ladder, rung: int, contacts: Sequence[Contact]) -> tuple[int, ...]:
    """Which contacts are asked on this rung, as their places in `contacts`; empty where nobody stands on it."""
    step = ladder.rungs[rung]
    if Whom.NEXT in step.whom:
        used = {i for earlier in range(rung) for i in asked_on(ladder, earlier, contacts)}
        own = ladder.rungs[0].whom
        rest = [i for i in _of(own, step, contacts) if i not in used]
        return tuple(rest[: step.at_once])
    return tuple(i for whom in step.whom for i in _several(_of((whom,), step, contacts), step, contacts))


def first_on(ladder: Ladder, contacts: Sequence[Contact]) -> tuple[int, Sequence[int]]:
    """The rung that somebody begins on: those that nobody stands on are passed over, so who has no medium is asked for at once."""
    on_rungs = ((rung, asked_on(ladder, rung, contacts)) for rung in range(len(ladder.rungs)))
    return next(((rung, found) for rung, found in on_rungs if found), (len(ladder.rungs) - 1, ()))


def on_rung(ladder: Ladder, rung: int, contacts: Sequence[Contact]) -> tuple[int, ...]:
    """Every contact that this rung may ask: those that it asks first, then those that it asks in their place."""
    first = asked_on(ladder, rung, contacts)
    step = ladder.rungs[rung]
    whom = ladder.rungs[0].whom if Whom.NEXT in step.whom else step.whom
    return (*first, *(i for i in _of(whom, step, contacts) if i not in first))


def is_asked_since(ladder: Ladder, contacts: Sequence[Contact], contact: int, rung: int, until: int) -> bool:
    """Whether a rung after this one, up to `until`, asks this contact again."""
    return any(contact in asked_on(ladder, later, contacts) for later in range(rung + 1, until + 1))


def instead(ladder: Ladder, rung: int, contacts: Sequence[Contact], refused: int) -> int | None:
    """Which contact is asked at once in the place of one that has refused for good on this rung; None: it has none left.

    Whoever is asked on two contacts at the same time has two rows of substitutes, which never meet: so two refusals ask two
    others, whichever came first.
    """
    row, rows = on_rung(ladder, rung, contacts), max(len(asked_on(ladder, rung, contacts)), 1)
    if not ladder.rungs[rung].fallback or refused not in row:
        return None
    following = row.index(refused) + rows
    return row[following] if following < len(row) else None


def _of(whom: Sequence[Whom], step: Rung, contacts: Sequence[Contact]) -> list[int]:
    return [i for i, contact in enumerate(contacts) if contact.whom in whom and contact.channel in step.channels]


def _several(found: Sequence[int], step: Rung, contacts: Sequence[Contact]) -> Sequence[int]:
    """So many of them as are asked at once: a medium of its own for each as far as there are any, the preferred ones first."""
    preferred = sorted(found, key=lambda i: step.channels.index(contacts[i].channel))
    first_of = {contacts[i].channel: i for i in reversed(preferred)}
    ahead = [i for i in preferred if first_of[contacts[i].channel] == i]
    return (ahead + [i for i in preferred if i not in ahead])[: step.at_once]
