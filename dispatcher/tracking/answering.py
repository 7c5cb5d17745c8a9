"""What the residents' doors ask of the safety loop: look at a link, take an answer, take a report of somebody without a link.

tracking/confirmation/ keeps this contract; the doors (residents/reply.py, residents/report.py, the stations' inlet) know no more
of the loop than this. Whatever is wrong with a token, guessed, expired or of another event, is one and the same None, found by
one look at the ledger: nothing can be learned from an answer, nor from how long it takes.

Source: design.md §8 "Answer".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from dispatcher.model.campaign import Answer, Source
from dispatcher.model.question import Question
from dispatcher.model.report import Reported


@dataclass(frozen=True, slots=True)
class Page:
    """What stands on the page that a link opens."""

    question: Question[Any]
    source: Source
    """Whose link it is: the person's own, or a relative's or supporter's, who answer for them."""
    language: str = "ja"
    """Of whoever holds the link, as the roster has it."""
    name: str = field(default="", repr=False)
    """Whom it is about, where somebody else was asked; "" on a person's own page. How they are is shown to nobody."""


class Answering(Protocol):
    """Raises everywhere that something is written: StorageFull, and then nothing was."""

    async def look(self, token: str) -> Page | None:
        """What the page of this link shows. Nothing is written."""
        ...

    async def answer(self, token: str, answer: Answer, details: Mapping[str, str], medium: str) -> Page | None:
        """Take the answer: durable on return. The same one twice is one. None, as by `look`: nothing was written.

        `details`: `who` self | family, `saw` yes | no, `where`, `note`; a key without a text is left out.
        """
        ...

    async def asking(self) -> Question[Any] | None:
        """The newest question that is open, for those who have no link; None: nobody is being asked."""
        ...

    async def report(self, reported: Reported) -> bool:
        """Take it for the campaign that is open: durable on return. False: none is, and nothing was written.

        It is matched by itself where name and birth date, or name and phone, are exactly one person's; else staff match it.
        Whether it was, the sender never learns.
        """
        ...
