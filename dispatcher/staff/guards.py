"""What only the ledger knows about a text: that the world has moved on since it was written.

A warning that is repeated word for word while the river gauge has long said otherwise is a mis-send too. Newer data of the weather
agency (intake keeps it as records of kind `upstream`) or newer words of the same chain are shown before the text goes out again.

Source: design.md §7; issue "stale-content guard".
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from dispatcher.clock import JST
from dispatcher.errors import Finding
from dispatcher.model.draft import ENDING, Draft, Verb
from dispatcher.path import Path

UPSTREAM = "upstream"


async def guards(draft: Draft, path: Path[Any]) -> tuple[Finding, ...]:
    """Findings that a person has to look at; none of them stops the message."""
    if draft.verb in ENDING:
        return ()
    found = await _newer_upstream(draft, path)
    if draft.verb is Verb.UPDATE and draft.of is not None:
        found += _repeats(draft, await _earlier(draft.of, path))
    return tuple(found)


async def _earlier(of: str, path: Path[Any]) -> Draft:
    return Draft.from_body(*await path.ledger.draft(of))


async def _newer_upstream(draft: Draft, path: Path[Any]) -> list[Finding]:
    written = draft.written_at
    if written is None:
        return []
    newer = []
    for _, _, body in await path.ledger.records(UPSTREAM):
        at = datetime.fromisoformat(body["at"])
        concerns = not body.get("quarters") or set(body["quarters"]) & set(draft.quarters)
        if at > written and concerns:
            newer.append((at, str(body["title"])))
    if not newer:
        return []
    at, title = max(newer)
    when = at.astimezone(JST)
    return [
        Finding(
            "cause",
            f"この文のあと {when:%H:%M} に「{title}」が届いています。文が古くないか確かめてください (newer upstream data)",
            blocks=False,
        )
    ]


def _repeats(draft: Draft, earlier: Draft) -> Iterator[Finding]:
    if "ja" in draft.wording and draft.wording["ja"] == earlier.wording.get("ja"):
        yield Finding(
            "cause", "前の発表と同じ文です。いまもそのとおりか確かめてください (the same words again)", blocks=False
        )
