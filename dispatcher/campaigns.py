"""The contract of what the safety loop keeps: campaigns, who is asked, what they answered, and the roster they come from.

Nothing here can be read by whoever holds the database alone. Who somebody is stands in `sealed`, under the campaign's own
key (the roster's rows under the site's); what must be found and counted stands beside it as *codes*, deterministic under the
same key (tracking/roster and tracking/confirmation/keys.py make both). Destroy the key and what is left says nothing of anybody.

`ledger.campaigns` is one: rows, deliveries and the event that speaks of them stand in one transaction of the ledger. At most
ROWS rows go into one; whatever a method has returned for is durable. Progress and Answer are the words of
model/campaign.py; this contract only asks which of them still wait for an answer (SILENT).

Source: design.md §8 "Safety confirmation", "Privacy"; §5.1 "bulk rows ≤ 500 a transaction".
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from dispatcher.ledger import Event, NewDelivery

ROWS = 500
"""People in one transaction at most, so that an urgent alert waits for none."""
SILENT = ("planned", "asked", "reminded", "escalated", "reasked")
"""Progress of people of whom nothing has been heard: these climb, and no others."""
RESOLVED = "resolved"
"""Progress of people to whom staff have seen."""
UNREACHABLE = "unreachable"
"""Progress of people whom nothing reaches: staff go there first."""
DONE_WITH = ("exempt", "closed")
"""Progress of people whom no new round asks."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """One round of asking, as it stands."""

    id: str
    version: int
    opened_at: datetime
    body: Mapping[str, Any]
    """What about, whom, since when, closed when: JSON without anybody's name or answer. Counts stay here afterwards."""
    sealed_key: bytes = field(repr=False)
    """The campaign's key under the site's; b"" once it is destroyed, and in a ledger that came out of a backup."""
    is_destroyed: bool = False


@dataclass(frozen=True, slots=True)
class Codes:
    """What one person is found and counted by: codes under the campaign's key (`""`: none), the ladder in clear."""

    cohort: str = ""
    quarter: str = ""
    facility: str = ""
    restricted: str = ""
    """Code of "yes" or of "no" (閲覧制限): nobody outside welfare is shown a count that has these people in it."""
    ladder: str = ""


@dataclass(frozen=True, slots=True)
class NewAsked:
    """Somebody to be asked, to be written down."""

    id: str
    """Pseudonym: a code of the roster's person under the campaign's key, so that written twice they are one."""
    codes: Codes
    standing: str
    """Code of "nothing heard"."""
    sealed: bytes = field(repr=False)
    """Name, address, contacts: never changed afterwards."""
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Hash of a link's token → whose link it is (`self`, `relative`, `supporter` …, as model/campaign.py Source)."""
    progress: str = "planned"
    round: int = 1
    rung: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody who is asked, as they stand."""

    campaign: str
    id: str
    codes: Codes
    standing: str
    """Code of the answer that holds now."""
    progress: str
    round: int
    rung: int
    is_conflict: bool
    holder: str
    """Code of the supporter or of the member of staff who has taken the case on; "" for nobody."""
    replies: int
    """How many there are: 0 spares a look at them."""
    version: int
    sealed: bytes = field(repr=False)
    moved_at: datetime
    """When anything of this row changed last."""

    @property
    def is_silent(self) -> bool:
        return self.progress in SILENT


@dataclass(frozen=True, slots=True)
class NewReply:
    """Something that was heard of somebody, with where they stand after it (the caller folds; model/campaign.py)."""

    campaign: str
    id: str
    """Of the reply: its idempotency key. Written twice it is one."""
    person: str
    """Of the asked person; "" for a report that nobody could match yet."""
    expected_version: int
    """Of the person's row, as it was when the reply was folded; 0 for a report without a person."""
    at: datetime
    standing: str = ""
    """Code of the answer that holds after this reply."""
    progress: str = "answered"
    is_conflict: bool = False
    sealed: bytes = field(default=b"", repr=False)


class Taken(StrEnum):
    """What became of a reply."""

    NEW = "new"
    SAME = "same"
    """It was there before; nothing was written."""
    STALE = "stale"
    """The person's row was moved meanwhile; nothing was written: look again, fold again."""
    GONE = "gone"
    """There is no such person or campaign any more; nothing was written."""


@dataclass(frozen=True, slots=True)
class KeptReply:
    """A reply as it stands; replies are only ever added."""

    campaign: str
    id: str
    person: str
    number: int
    """1 for the first about this person; 0 for a report without a person."""
    at: datetime
    standing: str
    is_conflict: bool
    sealed: bytes = field(repr=False)
    settled: str = ""
    """Of a report without a person: what became of it (the person's id, or `dismissed`); "" as long as it is open."""


@dataclass(frozen=True, slots=True)
class Climbing:
    """One step up for people who are still silent, ≤ ROWS of them."""

    round: int
    rung: int
    progress: str
    ids: Sequence[str]
    holders: Mapping[str, str] = field(default_factory=dict)
    """Person → code of who holds their case from this rung on."""
    tokens: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    """Hash of a further link's token → (person, whose link it is)."""
    standing: str = ""
    """Given: the round is new. Whoever was asked in an earlier one, and is not exempt or closed, begins it, with this standing."""
    needs: Sequence[str] = ()
    """Standings of people who need somebody: until staff have seen to them no new round takes them off their list."""
    seen: Mapping[str, int] = field(default_factory=dict)
    """Person → the rung that they were seen on; whoever has left it meanwhile stays where they are."""


@dataclass(frozen=True, slots=True)
class Counted:
    """So many people of a campaign share all of this."""

    codes: Codes
    standing: str
    progress: str
    is_conflict: bool
    rung: int
    is_held: bool
    """Somebody has taken the case on."""
    count: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which people of a campaign; None: whatever it is."""

    progress: Sequence[str] | None = None
    standing: str | None = None
    cohort: str | None = None
    quarter: str | None = None
    facility: str | None = None
    restricted: str | None = None
    ladder: str | None = None
    holder: str | None = None
    round: int | None = None
    below_rung: int | None = None
    is_conflict: bool | None = None


EVERYBODY = Wanted()
ROSTER = ("roster", "current")
"""Kind and key of the record that says which roster holds: each import moves its version."""


@dataclass(frozen=True, slots=True)
class RosterRow:
    """One person of the roster."""

    pid: str
    """Code of the common ID under the site's key."""
    quarter: str
    """Code of the quarter under the site's key."""
    household: str
    """Code of the household; "" for somebody who lives alone."""
    digest: str
    """Of what is sealed, keyed: two imports are compared by it without opening anything."""
    sealed: bytes = field(repr=False)


class Campaigns(ABC):
    """Raises everywhere that something is written: StorageFull, and then nothing was."""

    # -- a campaign --------------------------------------------------------------------------------------------------

    @abstractmethod
    async def open(
        self,
        campaign: str,
        sealed_key: bytes,
        body: Mapping[str, Any],
        event: Event,
        deliveries: Sequence[NewDelivery] = (),
    ) -> Campaign:
        """Write a new one down, with its first timers.

        Raises:
            StaleHash: there is one of that name already.
        """

    @abstractmethod
    async def get(self, campaign: str) -> Campaign:
        """Raises NotFound."""

    @abstractmethod
    async def all(self) -> Sequence[Campaign]:
        """Newest first, destroyed ones too."""

    @abstractmethod
    async def move(
        self,
        campaign: str,
        expected_version: int,
        body: Mapping[str, Any],
        event: Event,
        deliveries: Sequence[NewDelivery] = (),
    ) -> int:
        """A new body (a new round, its end) with the timers that follow from it; returns the new version.

        Raises:
            StaleHash: somebody else moved it meanwhile.
            NotFound: there is none.
        """

    @abstractmethod
    async def destroy(self, campaign: str, expected_version: int, body: Mapping[str, Any], event: Event) -> None:
        """Take everything that was heard of anybody away, and the key first of all; `body` keeps what may be kept.

        The key goes in the first transaction; rows go ≤ ROWS at a time behind everything urgent; then no file of the
        database holds a byte of either (ledgers/destruction.py says how, and what PostgreSQL leaves to its operators).
        Done again after a crash, it goes on where it stopped.

        Raises:
            StaleHash, NotFound: as `move`.
        """

    # -- the people --------------------------------------------------------------------------------------------------

    @abstractmethod
    async def add(
        self, campaign: str, asked: Sequence[NewAsked], deliveries: Sequence[NewDelivery], event: Event
    ) -> int:
        """≤ ROWS people and the deliveries that ask them. Who is there already stays as they are; returns how many were new.

        Raises:
            NotFound: no such campaign, or its key is destroyed.
        """

    @abstractmethod
    async def rows(self, campaign: str, ids: Sequence[str]) -> Sequence[Asked]:
        """Those of these people that there are, in no order."""

    @abstractmethod
    def each(self, campaign: str, wanted: Wanted = EVERYBODY, *, after: str = "") -> AsyncIterator[Asked]:
        """People in the order of their ids, from the one after `after`; streamed ROWS at a time, each page as it then stands."""

    @abstractmethod
    async def furthest(self, campaign: str, wanted: Wanted, at_most: int, *, after: str = "") -> Sequence[Asked]:
        """The first so many of them, in the order in which staff take care of them: whom nothing reaches, then by rung, the
        highest first, then who stands there longest. `after`: the last one of the page before; somebody who has gone
        begins anew.
        """

    @abstractmethod
    async def by_token(self, token_hash: str) -> tuple[Asked, str] | None:
        """Who a link is about, and whose link it is. One look, whether there is one or not."""

    @abstractmethod
    async def climb(
        self, campaign: str, climbing: Climbing, deliveries: Sequence[NewDelivery], event: Event
    ) -> Sequence[str]:
        """Those of `ids` who are silent, of this round and on a lower rung go up, with the deliveries to them, in one transaction.

        With a standing, those of an earlier round begin a new one (see Climbing).

        A destination whose address is nobody's of them (`<id>` or `<id>/…`) is left out, and a delivery without any is
        not written. Returns who went up; nobody does so twice.
        """

    @abstractmethod
    async def mark(
        self,
        campaign: str,
        person: str,
        expected_version: int,
        event: Event,
        *,
        progress: str | None = None,
        holder: str | None = None,
        standing: str | None = None,
        is_conflict: bool | None = None,
    ) -> int:
        """What staff did about one person (resolved, taken on, exempt); returns the row's new version.

        Raises:
            StaleHash: it was moved meanwhile.
            NotFound: no such person.
        """

    @abstractmethod
    async def open_cases(self, campaign: str) -> Mapping[str, int]:
        """Holder → how many cases of theirs nobody has answered or resolved yet."""

    @abstractmethod
    async def totals(self, campaign: str) -> Sequence[Counted]:
        """Everybody, counted by everything that they are counted by; cheap enough for once a second."""

    # -- what was heard ----------------------------------------------------------------------------------------------

    @abstractmethod
    async def reply(self, replies: Sequence[NewReply]) -> Sequence[Taken]:
        """Add replies and move their people; an answer for each. Many callers share one commit."""

    @abstractmethod
    async def replies(self, campaign: str, person: str) -> Sequence[KeptReply]:
        """All about one person, oldest first; for `""` the reports that nobody could match."""

    @abstractmethod
    async def settle(self, campaign: str, reply: str, settled: str, event: Event) -> None:
        """What became of a report without a person: the person's id (whose own reply `reply` has added), or `dismissed`.

        Raises:
            StaleHash: somebody else settled it.
            NotFound: no such report.
        """

    # -- the roster --------------------------------------------------------------------------------------------------

    @abstractmethod
    async def replace_roster(self, rows: AsyncIterator[RosterRow], event: Event) -> int:
        """The whole roster anew: the old one holds until the last row is there, then this one does. Returns its length."""

    @abstractmethod
    def roster(self, quarters: Sequence[str] | None = None) -> AsyncIterator[RosterRow]:
        """Everybody (of these quarters, as codes), in the order of their pids, streamed."""

    @abstractmethod
    async def roster_rows(self, pids: Sequence[str]) -> Sequence[RosterRow]:
        """Those of these people that there are, in no order."""

    @abstractmethod
    async def roster_households(self, households: Sequence[str]) -> Sequence[RosterRow]:
        """Everybody of these households, by their codes, in no order."""
