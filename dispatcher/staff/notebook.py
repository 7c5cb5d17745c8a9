"""What staff keep beside the messages: saved areas, ticks for what was done by hand, field reports, and forms half written.

It is part of the desk, so that each door asks the same table of rules. What is half written is kept for the person who writes
it, under a key of their own: nobody's keystrokes can overwrite another's.

Source: design.md §9; issue "区域", "経過", "For systems without a link"; dispatcher/staff/rules.py `REPORT`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path as Folder
from typing import Any

from dispatcher import cap
from dispatcher.clock import JST
from dispatcher.errors import Finding, InvalidInput, NotFound, StaleHash
from dispatcher.ledger import Event
from dispatcher.model.audience import Audience
from dispatcher.model.mode import M
from dispatcher.staff.areas import Areas, SavedArea
from dispatcher.staff.by_hand import ByHand, prepare
from dispatcher.staff.reports import Picture, Report, Reports
from dispatcher.staff.rules import Act
from dispatcher.staff.seat import Seat
from dispatcher.staff.sessions import Person
from dispatcher.staff.ticks import Tick, Ticks

COMPOSING = "composing"
APPROVED_TEXT = "approved-text"
FORMS_AT_MOST = 12
"""Half-written forms of one person; the oldest goes when there is one more."""
LARGEST_FORM = 100_000
"""Characters in all its fields."""


@dataclass(frozen=True, slots=True)
class HalfWritten:
    """A form that somebody has not saved as a draft yet."""

    key: str
    body: Mapping[str, Any]
    at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class Reach:
    """Whom one channel reaches in an area, quarter by quarter."""

    channel: str
    audience: Audience
    by_quarter: Mapping[str, int | None]
    """Head count of each quarter; None where the medium counts nobody."""


class Notebook(Seat[M]):
    """The part of the desk that keeps what is no message."""

    pictures: Folder | None = None
    """Where the reports' pictures lie; None where the node keeps none."""
    is_rehearsal = False
    """Nothing is written, no picture either."""

    # -- areas -------------------------------------------------------------------------------------------------------

    async def areas(self, by: Person) -> Sequence[SavedArea]:
        """The saved areas, in the order of their names."""
        async with self._acting(by, Act.LOOK):
            return await self._areas.all()

    async def save_area(self, by: Person, name: str, quarters: Sequence[str], version: int = 0) -> SavedArea:
        """Raises as `Areas.save`."""
        async with self._acting(by, Act.REPORT):
            return await self._areas.save(by, name, quarters, version)

    async def remove_area(self, by: Person, name: str, version: int) -> None:
        """Raises as `Areas.remove`."""
        async with self._acting(by, Act.REPORT):
            await self._areas.remove(by, name, version)

    async def reach(self, by: Person, quarters: Sequence[str]) -> Sequence[Reach]:
        """Every channel of the node, also those that reach nobody there; nothing for no quarter."""
        async with self._acting(by, Act.LOOK):
            found = []
            for kind, channel in self._path.channels.items():
                each: dict[str, int | None] = dict.fromkeys(quarters)
                if channel.counts_people:
                    each = {q: (await channel.audience((q,))).head_count for q in quarters}
                found.append(Reach(kind, await channel.audience(tuple(quarters)), each))
            return found

    # -- by hand -----------------------------------------------------------------------------------------------------

    async def by_hand(self, by: Person, identifier: str) -> ByHand:
        """What an issued alert asks of people's hands. Raises NotFound."""
        async with self._acting(by, Act.LOOK):
            alert = cap.read((await self._path.ledger.alert(identifier)).cap_xml)
            return prepare(alert, self._path.city)

    async def ticks(self, by: Person, identifier: str) -> Sequence[Tick]:
        """Every system without a link: done for this alert, by whom and when, or not yet."""
        async with self._acting(by, Act.LOOK):
            return await self._ticks.of(identifier)

    async def tick(
        self, by: Person, identifier: str, system: str, *, who: str = "", at: str = "", version: int = 0
    ) -> Tick:
        """Raises as `Ticks.tick`."""
        async with self._acting(by, Act.REPORT):
            return await self._ticks.tick(by, identifier, system, who=who, at=at, version=version)

    async def untick(self, by: Person, identifier: str, system: str, *, version: int) -> Tick:
        """Raises as `Ticks.untick`."""
        async with self._acting(by, Act.REPORT):
            return await self._ticks.untick(by, identifier, system, version=version)

    # -- field reports -----------------------------------------------------------------------------------------------

    async def reports(self, by: Person) -> Sequence[Report]:
        """What staff have heard, newest first."""
        async with self._acting(by, Act.LOOK):
            return await self._reports.all()

    async def report(self, by: Person, identifier: str) -> Report:
        """One of them. Raises NotFound."""
        async with self._acting(by, Act.LOOK):
            return await self._reports.one(identifier)

    async def write_report(
        self, by: Person, *, text: str, place: str, source: str, at: str, photo: bytes | None = None
    ) -> Report:
        """Raises as `Reports.write`."""
        async with self._acting(by, Act.REPORT):
            return await self._reports.write(by, text=text, place=place, source=source, at=at, photo=photo)

    async def picture(self, by: Person, digest: str) -> Picture:
        """A report's picture by its hash. Raises NotFound."""
        async with self._acting(by, Act.LOOK):
            return await self._reports.picture(digest)

    # -- texts that were approved ------------------------------------------------------------------------------------

    async def keep_text(self, by: Person, template: str, digest: str, text: str) -> None:
        """The text of a template whose hash two admins approve now, so that the next one can be compared with it."""
        async with self._acting(by, Act.LOOK):
            body = {"template": template, "text": text, "at": self._path.clock.now().isoformat()}
            event = Event("template.kept", "", {"by": by.name, "template": template, "digest": digest})
            try:
                await self._path.ledger.save_record(APPROVED_TEXT, digest, 0, body, event)
            except StaleHash:
                return  # the same text was approved before

    async def kept_text(self, by: Person, template: str, *, besides: str) -> str:
        """The text of that template that was approved last, other than the one with the hash `besides`; "" if none is kept."""
        async with self._acting(by, Act.LOOK):
            kept = [
                body
                for digest, _, body in await self._path.ledger.records(APPROVED_TEXT)
                if body["template"] == template and digest != besides
            ]
            return str(max(kept, key=lambda body: body["at"])["text"]) if kept else ""

    # -- forms half written ------------------------------------------------------------------------------------------

    async def keep_form(self, by: Person, key: str, body: Mapping[str, Any], version: int) -> HalfWritten:
        """Keep what this person has typed so far; `version` is 0 the first time.

        Raises:
            StaleHash: the same person wrote it in another window meanwhile.
            InvalidInput: it is far too long.
        """
        async with self._acting(by, Act.WRITE):
            if len(repr(body)) > LARGEST_FORM:
                raise InvalidInput([Finding("form", f"{LARGEST_FORM} 字までです (too long)")])
            at = self._path.clock.now()
            kept = {"by": by.name, "key": key, "form": dict(body), "at": at.isoformat()}
            saved = await self._path.ledger.save_record(COMPOSING, f"{by.name}/{key}", version, kept, None)
            if version == 0:
                for old in (await self._half_written(by))[FORMS_AT_MOST:]:
                    await self._drop(by, old)
            return HalfWritten(key, body, at, saved)

    async def half_written(self, by: Person) -> Sequence[HalfWritten]:
        """What this person has begun and not saved, newest first."""
        async with self._acting(by, Act.LOOK):
            return await self._half_written(by)

    async def form(self, by: Person, key: str) -> HalfWritten | None:
        """What this person has typed under that key; None if nothing."""
        async with self._acting(by, Act.LOOK):
            try:
                version, kept = await self._path.ledger.read_record(COMPOSING, f"{by.name}/{key}")
            except NotFound:
                return None
            return _half_written(version, kept)

    async def drop_form(self, by: Person, key: str) -> None:
        """It was saved as a draft, or is not wanted any more."""
        async with self._acting(by, Act.WRITE):
            found = await self.form(by, key)
            if found is not None:
                await self._drop(by, found)

    async def _drop(self, by: Person, found: HalfWritten) -> None:
        try:
            await self._path.ledger.save_record(COMPOSING, f"{by.name}/{found.key}", found.version, None, None)
        except StaleHash:
            return  # typed on in another window meanwhile: it stays

    async def _half_written(self, by: Person) -> list[HalfWritten]:
        kept = [
            _half_written(version, body)
            for _, version, body in await self._path.ledger.records(COMPOSING)
            if body["by"] == by.name
        ]
        return sorted(kept, key=lambda found: found.at, reverse=True)

    @property
    def _areas(self) -> Areas:
        return Areas(self._path.ledger, self._path.city, self._path.clock)

    @property
    def _ticks(self) -> Ticks:
        return Ticks(self._path.ledger, self._path.clock)

    @property
    def _reports(self) -> Reports:
        return Reports(
            self._path.ledger, self._path.city, self._path.clock, self.pictures, is_rehearsal=self.is_rehearsal
        )


def _half_written(version: int, kept: Mapping[str, Any]) -> HalfWritten:
    return HalfWritten(kept["key"], kept["form"], datetime.fromisoformat(kept["at"]).astimezone(JST), version)
