"""The alert as one channel can carry it: what people will read, and the very bytes that will be handed over.

A rendering is complete: `send` adds only what differs from recipient to recipient (an address, a link of their own), so
what staff previewed and approved by hash is what goes out, also after a crash or an upgrade in between.

Source: design.md §6, §9.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from dispatcher.errors import Finding

Mark_co = TypeVar("Mark_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Text:
    """One piece of text that a person will read or hear on its own (a post, a subject, a page of a TV loop)."""

    language: str
    words: str


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is handed over or shown in a preview: `name` like `frame.png`, its media type, its bytes."""

    name: str
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering(Generic[Mark_co]):
    """`Rendering[Live]` or `Rendering[Drill]` of one alert on one channel.

    `texts` is everything that a person will meet as one piece, each of which must bear the mode's banner and the place.
    `findings` say what does not fit (nothing is ever cut silently); one that blocks stops the submission.
    """

    channel: str
    identifier: str
    status: str
    """CAP status of the alert rendered: what the channel's door compares with its mode."""
    texts: tuple[Text, ...]
    parts: tuple[Part, ...]
    findings: tuple[Finding, ...] = ()

    def part(self, name: str) -> bytes:
        """The bytes of a part.

        Raises:
            LookupError: there is no such part.
        """
        for part in self.parts:
            if part.name == name:
                return part.data
        raise LookupError(f"{self.channel} rendering of {self.identifier} has no part {name}")

    @property
    def by_name(self) -> Mapping[str, bytes]:
        return {part.name: part.data for part in self.parts}

    @property
    def digest(self) -> str:
        """SHA-256 over channel, status, texts and parts; each field is framed by its length."""
        digest = hashlib.sha256()
        fields = [self.channel, self.status, *(f for t in self.texts for f in (t.language, t.words))]
        for data in [f.encode() for f in fields] + [d for p in self.parts for d in (p.name.encode(), p.data)]:
            digest.update(len(data).to_bytes(8, "big") + data)
        return digest.hexdigest()
