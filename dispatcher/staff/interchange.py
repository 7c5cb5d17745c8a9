"""PFIF at the desk: what is shared with those who look for people, and what comes from there.

Both are the role welfare's, for one of the reasons that everybody looks people up for, and written down before anything goes out.

Source: design.md §8; dispatcher/tracking/pfif.py.
"""

import asyncio
import zlib
from dataclasses import dataclass
from urllib.parse import urlsplit

from dispatcher.errors import Refused
from dispatcher.ledger import Event
from dispatcher.model.mode import M
from dispatcher.staff.lookups import require_why
from dispatcher.staff.rules import Act
from dispatcher.staff.sessions import Person
from dispatcher.staff.welfare import Welfare
from dispatcher.tracking import pfif
from dispatcher.tracking.answering import Answering
from dispatcher.tracking.caring import Wish


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of somebody else's document."""

    reports: int
    """Taken as reports, which are matched by themselves or by staff; one that came before is not taken twice."""
    sought: int
    """People whom others look for, of whom it says nothing."""
    ours: int
    """Records that this city gave away itself: unheard."""


class Interchange(Welfare[M]):
    """The part of the desk that speaks PFIF."""

    answering: Answering | None = None
    """Where reports are heard; None where this site asks nobody."""

    async def export_pfif(self, by: Person, campaign: str, *, reason: str) -> bytes:
        """Everybody of a campaign who is not under 閲覧制限, as PFIF 1.4, packed with gzip. Kept nowhere.

        Raises:
            InvalidInput: no reason.
        """
        async with self._acting(by, Act.EXPORT):
            why = require_why(reason)
            await self._one(campaign)
            await self._path.ledger.append(Event("safety.exported", campaign, {"by": by.name, "reason": why}))
            packing = zlib.compressobj(wbits=31)
            people = self._loop.people(campaign, Wish(is_restricted=False))
            packed = bytearray()
            async for part in pfif.written(people, self._path.city, self._domain, self._path.clock.now()):
                packed += packing.compress(part.encode())
            return bytes(packed + packing.flush())

    async def import_pfif(self, by: Person, data: bytes, *, reason: str, mode: str | None = None) -> Heard:
        """Take somebody else's document as reports for the round that is open. Nobody is asked because of it.

        Raises:
            InvalidInput: no reason; everything that is wrong with the document.
            Refused: no round is open.
        """
        async with self._acting(by, Act.EXPORT, mode=mode):
            why = require_why(reason)
            now = self._path.clock.now()
            found = await asyncio.to_thread(pfif.read, data, self._path.city, self._domain, now)
            for report in found.reports:
                if self.answering is None or not await self.answering.report(report):
                    raise Refused("開いている安否の確認がありません (no round is open to hear it)")
            heard = Heard(len(found.reports), found.sought, found.ours)
            facts = {"by": by.name, "reason": why, "reports": heard.reports}
            await self._path.ledger.append(Event("safety.imported", "", facts))
            return heard

    @property
    def _domain(self) -> str:
        """Of our own records: the site's host, and the node's name where that is no host of ours alone."""
        host = urlsplit(self._path.web).hostname or "localhost"
        return host if "." in host and not host.replace(".", "").isdigit() else self._path.sender.partition("@")[0]
