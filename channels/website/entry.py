"""One CAP message as the site keeps it: what the index, the history and the feeds need, as JSON.

Written once for each message and never edited; what a chain of messages came to is worked out from all of them, so that it
does not matter in which order they arrive.

Source: design.md §3 (the five verbs in CAP); facts.md §Website "One Atom entry per CAP message".
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from dispatcher.clock import JST
from dispatcher.model.alert import Alert, Info
from dispatcher.model.draft import ENDING, Verb, verb_of

_SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Said:
    """The message in one language, banner included. `page` is the file name of its page."""

    language: str
    page: str
    event: str
    headline: str
    place: str
    description: str
    instruction: str
    level: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    identifier: str
    sender: str
    status: str
    verb: Verb
    sent: datetime
    expires: datetime | None
    references: tuple[tuple[str, datetime], ...]
    """Identifiers of the earlier messages of its chain, with their times."""
    said: tuple[Said, ...]

    @classmethod
    def of(cls, alert: Alert[Any]) -> "Entry":
        return cls(
            identifier=alert.identifier,
            sender=alert.sender,
            status=alert.status,
            verb=verb_of(alert),
            sent=alert.sent,
            expires=alert.expires,
            references=tuple((r.identifier, r.sent) for r in alert.references),
            said=tuple(
                Said(
                    info.language,
                    page,
                    info.event,
                    info.headline or info.event,
                    info.place,
                    info.description or "",
                    info.instruction or "",
                    info.level,
                )
                for page, info in pages(alert.info)
            ),
        )

    def in_language(self, language: str) -> Said:
        """In this language, or in the one that speaks for it."""
        return spoken_for(self.said, language)

    @property
    def file_name(self) -> str:
        return file_name(self.identifier)

    def is_active(self, now: datetime) -> bool:
        """Whether it still holds, as far as itself knows: a later message of its chain may have replaced it."""
        return self.verb not in ENDING and (self.expires is None or self.expires > now)

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "sent": self.sent.isoformat(),
            "expires": self.expires and self.expires.isoformat(),
            "references": [{"identifier": i, "sent": sent.isoformat()} for i, sent in self.references],
            "said": [asdict(s) for s in self.said],
        }

    def to_bytes(self) -> bytes:
        return json.dumps(self.to_json(), ensure_ascii=False, indent=1).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Entry":
        """What `to_bytes` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        kept = json.loads(data)
        expires = kept["expires"]
        return cls(
            identifier=kept["identifier"],
            sender=kept["sender"],
            status=kept["status"],
            verb=Verb(kept["verb"]),
            sent=datetime.fromisoformat(kept["sent"]),
            expires=datetime.fromisoformat(expires) if expires else None,
            references=tuple((r["identifier"], datetime.fromisoformat(r["sent"])) for r in kept["references"]),
            said=tuple(Said(**s) for s in kept["said"]),
        )


@dataclass(frozen=True, slots=True)
class Chain:
    """An alert with all that followed it, oldest first. `root` is the first one's identifier, also where it is not kept here."""

    root: str
    entries: tuple[Entry, ...]

    @property
    def newest(self) -> Entry:
        return self.entries[-1]

    @property
    def folder(self) -> str:
        return f"alerts/{file_name(self.root)}"

    @property
    def month(self) -> str:
        """In which it began, as 2026-11: it stays there whatever follows."""
        began = min(sent for e in self.entries for sent in (e.sent, *(sent for _, sent in e.references)))
        return f"{began.astimezone(JST):%Y-%m}"


def months(found: Iterable[Chain]) -> dict[str, list[Chain]]:
    """Chains by the month in which they began, the oldest month first: 2026-11 → in the order given."""
    by_month: dict[str, list[Chain]] = {}
    for chain in found:
        by_month.setdefault(chain.month, []).append(chain)
    return dict(sorted(by_month.items()))


def chains(entries: Iterable[Entry]) -> tuple[Chain, ...]:
    """Entries in any order → chains, that with the newest message first."""
    roots: dict[str, str] = {}
    members: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: (e.sent, e.identifier)):
        earliest = min(entry.references, key=lambda r: r[1], default=(entry.identifier, entry.sent))[0]
        root = roots.setdefault(earliest, earliest)
        roots[entry.identifier] = root
        members.setdefault(root, []).append(entry)
    found = (Chain(root, tuple(entries)) for root, entries in members.items())
    return tuple(sorted(found, key=lambda c: (c.newest.sent, c.root), reverse=True))


def pages(infos: Sequence[Info]) -> tuple[tuple[str, Info], ...]:
    """Each info with the file name of its page: `index.html` (Japanese, or the first), `easy.html`, `en.html`, …"""
    named: dict[str, Info] = {}
    start = next((i for i in infos if i.language == "ja"), infos[0] if infos else None)
    for info in infos:
        name = "index.html" if info is start else page_name(info.language)
        stem, number = name.removesuffix(".html"), 2
        while name in named:
            name, number = f"{stem}-{number}.html", number + 1
        named[name] = info
    return tuple(named.items())


class _Spoken(Protocol):
    @property
    def language(self) -> str: ...


T = TypeVar("T", bound=_Spoken)


def spoken_for(said: Sequence[T], language: str) -> T:
    """What is said in this language, else in another of its kind (en-US for en), else in English, else in Japanese, else first."""
    tags = {s.language: s for s in reversed(said)}
    kinds = {s.language.split("-", maxsplit=1)[0]: s for s in reversed(said)}
    if language.startswith("ja"):
        return tags.get(language) or tags.get("ja") or said[0]
    kind = language.split("-", maxsplit=1)[0]
    return tags.get(language) or kinds.get(kind) or kinds.get("en") or tags.get("ja") or said[0]


def page_name(language: str) -> str:
    return {"ja": "index.html", "ja-x-easy": "easy.html"}.get(
        language, re.sub(r"[^a-z0-9]", "", language.lower().split("-")[0]) + ".html"
    )


def file_name(identifier: str) -> str:
    """A name that is safe in a path and in an address, and differs where identifiers differ."""
    return identifier if _SAFE.fullmatch(identifier) else "x-" + hashlib.sha256(identifier.encode()).hexdigest()[:32]
