"""Field reports: what staff hear, as they hear it: a text, a place, who said it, when, and a picture.

A report is evidence: it is written once and never changed; a later one says otherwise. Its picture lies under its own hash in the
node's state folder, so the ledger's chain vouches for the picture too, and an altered file is seen when it is shown.

Source: design.md §9; issue "経過".
"""

import asyncio
import hashlib
import os
import re
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from config.city import City
from dispatcher.clock import JST, Clock
from dispatcher.errors import Finding, InvalidInput, NotFound
from dispatcher.ledger import Event, Ledger
from dispatcher.staff.photo import Photo, redrawn
from dispatcher.staff.sessions import Person

KIND = "report"
LONGEST = {"text": 2000, "place": 100, "source": 60}
"""Characters."""
CLOCKS_APART = timedelta(minutes=5)
OLDEST = timedelta(days=7)
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Report:
    """`quarters` are those that `place` names, if the gazetteer knows it; `photo` is the picture's hash, or None."""

    identifier: str
    text: str
    place: str
    quarters: tuple[str, ...]
    source: str
    at: datetime
    """When it was seen."""
    by: str
    written_at: datetime
    photo: str | None
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    jpeg: bytes


class Reports:
    """The reports of a ledger; pictures lie in `folder`, None where this node keeps none."""

    def __init__(
        self, ledger: Ledger, city: City, clock: Clock, folder: Path | None = None, *, is_rehearsal: bool = False
    ) -> None:
        self._ledger = ledger
        self._city = city
        self._clock = clock
        self._folder = folder
        self._is_rehearsal = is_rehearsal

    async def all(self) -> Sequence[Report]:
        """Newest first, by when it was seen."""
        kept = [_report(key, body) for key, _, body in await self._ledger.records(KIND)]
        return sorted(kept, key=lambda report: (report.at, report.written_at), reverse=True)

    async def one(self, identifier: str) -> Report:
        """Raises NotFound."""
        try:
            _, body = await self._ledger.read_record(KIND, identifier)
        except NotFound:
            raise NotFound(f"{identifier}: その報告はありません (no such report)") from None
        return _report(identifier, body)

    async def write(
        self, by: Person, *, text: str, place: str, source: str, at: str, photo: bytes | None = None
    ) -> Report:
        """Write a report down; `at` is HH:MM, a local date and time, or "" for now.

        Raises:
            InvalidInput: each thing that is missing, too long or wrong; nothing was written.
        """
        said = {"text": _tidy(text), "place": _tidy(place), "source": _tidy(source)}
        findings = [finding for name, value in said.items() for finding in _problems(name, value)]
        moment = self._moment(at.strip(), findings)
        drawn: Photo | None = None
        if photo:
            if self._folder is None:
                findings.append(Finding("photo", "この節点は写真を預かりません (this node keeps no pictures)"))
            else:
                try:
                    drawn = await redrawn(photo)
                except InvalidInput as refused:
                    findings += refused.findings
        if findings:
            raise InvalidInput(findings)
        now = self._clock.now()
        if drawn is not None and self._folder is not None and not self._is_rehearsal:
            await asyncio.to_thread(_keep, self._folder, drawn)
        identifier = f"R{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        body = {
            **said,
            "quarters": self._quarters(said["place"]),
            "at": moment.isoformat(),
            "by": by.name,
            "written_at": now.isoformat(),
            "photo": drawn.digest if drawn else None,
            "width": drawn.width if drawn else 0,
            "height": drawn.height if drawn else 0,
        }
        event = Event("report.written", identifier, {"by": by.name, "photo": body["photo"]})
        await self._ledger.save_record(KIND, identifier, 0, body, event)
        return _report(identifier, body)

    async def picture(self, digest: str) -> Picture:
        """The picture of that hash, whole.

        Raises:
            NotFound: there is none here, or its bytes are not those that were kept.
        """
        missing = NotFound("その写真はここにありません (no such picture here)")
        if self._folder is None or not _DIGEST.fullmatch(digest):
            raise missing
        try:
            jpeg = await asyncio.to_thread((self._folder / f"{digest}.jpg").read_bytes)
        except OSError:
            raise missing from None
        if hashlib.sha256(jpeg).hexdigest() != digest:
            raise NotFound("写真が書きかえられています。表示しません (the picture was altered)")
        return Picture(jpeg)

    def _quarters(self, place: str) -> list[str]:
        try:
            return [quarter.code for quarter in self._city.find(place)]
        except LookupError:
            return []

    def _moment(self, text: str, findings: list[Finding]) -> datetime:
        now = self._clock.now().astimezone(JST)
        if not text:
            return now.replace(microsecond=0)
        moment: datetime | None = None
        text = unicodedata.normalize("NFKC", text)
        if (found := re.fullmatch(r"(\d{1,2})[:時](\d{2})分?", text)) and int(found[1]) < 24 and int(found[2]) < 60:
            moment = now.replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0)
            if moment > now + CLOCKS_APART:
                moment -= timedelta(days=1)
        elif re.fullmatch(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2})?", text):
            try:
                moment = datetime.fromisoformat(text).replace(tzinfo=JST)
            except ValueError:
                moment = None
        if moment is None:
            findings.append(Finding("at", f"{text[:20]}: 2:44 のように24時間で書いてください (HH:MM)"))
            return now
        if moment > now + CLOCKS_APART or moment < now - OLDEST:
            findings.append(
                Finding("at", f"{text[:20]}: これまでの7日間の時刻を書いてください (within the last 7 days)")
            )
        return moment


def _tidy(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _problems(name: str, value: str) -> list[Finding]:
    if not value and name != "source":
        what = {"text": "見聞きしたこと (what)", "place": "場所 (where)"}[name]
        return [Finding(name, f"{what} を書いてください")]
    if len(value) > LONGEST[name]:
        return [Finding(name, f"{len(value)} 字。{LONGEST[name]} 字までです (too long)")]
    strange = {c for c in value if (c != "\n" or name != "text") and unicodedata.category(c) in {"Cc", "Cf", "Cs"}}
    if strange:
        codes = ", ".join(f"U+{ord(c):04X}" for c in sorted(strange))
        return [Finding(name, f"使えない文字 {codes} があります (control or direction character)")]
    return []


def _keep(folder: Path, drawn: Photo) -> None:
    """Written whole or not at all; the same picture twice is one file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{drawn.digest}.jpg"
    half = folder / f".{drawn.digest}.{secrets.token_hex(4)}"
    with half.open("xb") as out:
        out.write(drawn.jpeg)
        out.flush()
        os.fsync(out.fileno())
    half.replace(file)


def _report(identifier: str, body: Mapping[str, Any]) -> Report:
    return Report(
        identifier=identifier,
        text=body["text"],
        place=body["place"],
        quarters=tuple(body["quarters"]),
        source=body["source"],
        at=datetime.fromisoformat(body["at"]).astimezone(JST),
        by=body["by"],
        written_at=datetime.fromisoformat(body["written_at"]).astimezone(JST),
        photo=body["photo"],
        width=body["width"],
        height=body["height"],
    )
