"""What the safety loop leaves in the outbox: timers, and questions to places where somebody is asked.

    campaign:clock:safety/enrol/<round>                    write down everybody, or ask anew
    campaign:clock:safety/rung/<round>/<ladder>/<rung>     the silent climb
    campaign:clock:safety/end, …/destroy                   no answer is taken any more; the key goes
    retraction:clock:safety/retracted                      rounds about what it takes back end
    campaign:<medium>:safety/<round>/<ladder>/<rung>/…     questions; destinations are <person>/<round>.<rung>.<contact>

Source: design.md §5 "Submit", "Turn", §8.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dispatcher.channel import Channel
from dispatcher.ledger import NewDelivery
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Priority
from dispatcher.model.policy import Contact
from dispatcher.steps.dispatch import CLOCK
from dispatcher.tracking.confirmation.round import OWN, Round

ROOM = "safety"
RETRACTED = "retracted"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a question stands: what the address of its destination says."""

    person: str
    round: int
    rung: int
    contact: int

    def __str__(self) -> str:
        return f"{self.person}/{self.round}.{self.rung}.{self.contact}"

    @classmethod
    def read(cls, address: str) -> "Place":
        person, _, rest = address.partition("/")
        number, rung, contact = rest.split(".")
        return cls(person, int(number), int(rung), int(contact))


def link_name(contact: Contact, number: int) -> str:
    """Of the link that a contact is sent: one for all contacts of one's own, one for each of others'."""
    return contact.whom.value if contact.whom in OWN else f"{contact.whom}.{number}"


def timer(campaign: str, body: Round, what: str, due: datetime | None) -> NewDelivery:
    return NewDelivery(
        key=f"{campaign}:{CLOCK}:{ROOM}/{what}",
        identifier=campaign,
        channel=CLOCK,
        priority=Priority(body.priority),
        destinations=(),
        expires_at=None,
        not_before=due,
    )


def retraction_timer(retraction: str, priority: Priority) -> NewDelivery:
    """Due at once, and written in the transaction of the message that takes another one back."""
    return NewDelivery(
        key=f"{retraction}:{CLOCK}:{ROOM}/{RETRACTED}",
        identifier=retraction,
        channel=CLOCK,
        priority=priority,
        destinations=(),
        expires_at=None,
    )


def questions(
    campaign: str,
    body: Round,
    what: str,
    asked: Iterable[tuple[Place, Contact]],
    channels: Mapping[str, Channel[Any, Any]],
) -> list[NewDelivery]:
    """One for each medium and for each sort of people asked: about themselves, or about somebody of theirs."""
    sorts: dict[tuple[str, bool], list[Place]] = defaultdict(list)
    for place, contact in asked:
        if contact.channel in channels:
            sorts[contact.channel, contact.whom in OWN].append(place)
    made = []
    for (channel, _), places in sorts.items():
        for start in range(0, len(places), channels[channel].limits.batch):
            some = places[start : start + channels[channel].limits.batch]
            # Named by who is in it: written again after a crash it is the same, and another lot is another one.
            who = hashlib.sha256("\n".join(map(str, some)).encode()).hexdigest()[:16]
            made.append(question_to(campaign, body, f"{what}/{who}", channel, some))
    return made


def question_to(campaign: str, body: Round, what: str, channel: str, places: Sequence[Place]) -> NewDelivery:
    return NewDelivery(
        key=f"{campaign}:{channel}:{ROOM}/{what}",
        identifier=campaign,
        channel=channel,
        priority=Priority(body.priority),
        destinations=tuple(Destination(str(place)) for place in places),
        expires_at=body.until,
        cost=len(places),
    )
