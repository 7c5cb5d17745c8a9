"""What the API shows of the desk's nouns: each as its own fields say, less what does not cross a door (a message's XML).

Source: design.md §3; dispatcher/staff/desk.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from dispatcher.errors import Finding
from dispatcher.ledger import ChannelTally, HeldBack, IssuedAlert, Recorded
from dispatcher.model.draft import Draft
from dispatcher.path import Prepared
from dispatcher.staff.api.shapes import Drawn, Without
from dispatcher.staff.desk import Board, as_json
from dispatcher.staff.gates import Closed

ModeName = Literal["live", "drill"]
Alert = Annotated[IssuedAlert, Without("cap_xml", as_="Alert")]


@dataclass(frozen=True, slots=True)
class Said:
    """One piece of text that a person will read or hear on its own."""

    language: str
    words: str


@dataclass(frozen=True, slots=True)
class Handed:
    """One thing that is handed over: a frame, a page, a mail."""

    name: str
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class RenderingShown:
    texts: tuple[Said, ...]
    parts: tuple[Handed, ...]


@dataclass(frozen=True, slots=True)
class AudienceShown:
    head_count: int | None
    """null where the medium cannot know."""
    words: str


@dataclass(frozen=True, slots=True)
class WordingShown:
    """The text in one language."""

    language: str
    event: str
    headline: str
    description: str
    instruction: str
    short: str
    shelters: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What would go out. `hash` is what an approval binds to."""

    hash: str
    findings: tuple[Finding, ...]
    audiences: Mapping[str, AudienceShown]
    renderings: Mapping[str, RenderingShown]


@dataclass(frozen=True, slots=True)
class DraftPreview(Preview):
    draft: Draft


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds from the issuing until half, and until 95 %, of those taken so far were taken."""

    p50_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class BoardShown:
    """How far an alert has come, a line for each channel that has somebody to reach."""

    mode: ModeName
    alert: Alert
    channels: tuple[ChannelTally, ...]
    spread: Mapping[str, Spread]
    closed: Mapping[str, Closed]
    """Channels that are closed now; `*` is the whole node."""
    held: Mapping[str, HeldBack]
    """Channels whose ready deliveries may not start before a time, and why."""


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of the ledger."""

    sequence: int
    at: str
    name: str
    subject: str
    facts: Mapping[str, Any]


def mode_name(mode: str) -> ModeName:
    return "live" if mode == "live" else "drill"


def preview(prepared: Prepared[Any]) -> dict[str, Any]:
    """A preview's fields."""
    return {
        "hash": prepared.hash,
        "findings": prepared.findings,
        "audiences": {kind: AudienceShown(a.head_count, a.words) for kind, a in prepared.audiences.items()},
        "renderings": {
            kind: RenderingShown(
                tuple(Said(t.language, t.words) for t in r.texts),
                tuple(Handed(p.name, p.media_type, p.data) for p in r.parts),
            )
            for kind, r in prepared.renderings.items()
        },
    }


def board(shown: Board) -> BoardShown:
    return BoardShown(
        mode_name(shown.mode),
        shown.alert,
        tuple(line for line in shown.lines if line.destinations),
        {kind: Spread(*times) for kind, times in shown.spread.items()},
        shown.closed,
        shown.held,
    )


def happened(events: Sequence[Recorded]) -> tuple[Happened, ...]:
    return tuple(Happened(e.sequence, e.at.isoformat(), e.event.name, e.event.subject, e.event.facts) for e in events)


DRAWN: Mapping[type, Drawn] = {
    # A draft's wording is a list in JSON, whose objects have no order.
    Draft: Drawn({"wording": tuple[WordingShown, ...]}, as_json),
}
