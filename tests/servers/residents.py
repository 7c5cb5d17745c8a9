"""Residents of a city for the staff's tests: people whom the safety loop of a real node has asked, one of them under 閲覧制限.

They have no medium, so each is on the last rung at once: what is tested here is who sees them, not how they are asked.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dispatcher.staff.sessions import Person
from dispatcher.tracking.caring import Wish
from dispatcher.tracking.confirmation import ROOM, Confirmation
from dispatcher.tracking.confirmation.case import Case
from tests.servers.console import APPROVER, until

WELFARE, VIEWER = Person("職員0007", ("welfare",)), Person("職員0008", ("viewer",))
ALSO = {APPROVER: ["admin", "approver", "welfare"]}
"""Of a console whose second person knows residents."""
QUARTERS = ("132040301", "132040302")
"""大沢一丁目, 大沢二丁目."""
HIDDEN = Case(
    name="隠れ住子",
    kana="カクレスミコ",
    quarter=QUARTERS[0],
    address="三鷹市大沢一丁目九九番九九号カナリア荘",
    phones=("0422-99-8877",),
    note="囀る鳥のしるし",
    cohorts=("needs_help",),
    facility="F777",
    is_restricted=True,
)
"""Whom nobody outside the role welfare may ever see."""
CANARIES = ("隠れ住子", "カクレスミコ", "カナリア荘", "0422-99-8877", "0422998877", "囀る鳥のしるし", "F777")


def everybody() -> list[tuple[str, Case]]:
    """Common id and case: seven in the first quarter, two in the second, and the one under 閲覧制限."""
    people = [
        (
            f"P{number:04}",
            Case(
                name=f"住民{number:04}",
                quarter=QUARTERS[number > 7],
                address=f"{number}番地",
                phones=(f"0422-00-{number:04}",),
                relative_phones=(f"03-0000-{number:04}",),
                has_consented=number <= 3,
            ),
        )
        for number in range(1, 10)
    ]
    return [*people, ("P9999", HIDDEN)]


@dataclass
class Residents:
    """The safety loop of a node, and one round of it."""

    node: Any
    loop: Confirmation[Any]
    people: Sequence[tuple[str, Case]]
    ids: dict[str, str] = field(default_factory=dict)
    """Pseudonym by name, in the last round that was begun."""

    async def asked(self, about: str = "") -> str:
        """A round of which everybody is written down."""
        campaign = await self.loop.start("職員0001", about=about, quarters=QUARTERS, kind="safety")

        async def written() -> bool:
            return sum(cell.count for cell in await self.loop.cells(campaign)) == len(self.people)

        await until(written, "everybody is written down")
        self.ids = {each.name: each.id async for each in self.loop.people(campaign, Wish())}
        return campaign


def residents(node: Any) -> Residents:
    """Give this node's desk a safety loop with these people."""
    path, people = node.path, everybody()

    async def of(quarters: Sequence[str]) -> AsyncIterator[tuple[str, Case]]:
        for pid, case in people:
            if case.quarter in quarters:
                yield pid, case

    loop = Confirmation(path.mode, path.ledger, path.channels, of, b"k" * 32, path.clock, path.city, path.web)
    path.rooms[ROOM] = loop
    path.alongside.append(loop.alongside)
    node.desk.caring = loop
    return Residents(node, loop, people)
