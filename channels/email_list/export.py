"""The list as a file of the city's own: the same CSV that a site file's `subscribers` names, with a signature beside it.

So another node, or another product, takes it over as it is. Who left is in it as a line without a quarter, because leaving must
outlive the move.

Source: issue "an export of the list that is the city's own, signed"; RFC 4180; dispatcher/signing.py.
"""

import csv
import io
from collections.abc import Iterable
from datetime import datetime

from channels.email_list.subscribers import LEFT, NONE, WITH_TOPICS, Subscriber
from config.secret import Secret
from dispatcher.model.topic import CHOICES
from dispatcher.sealing import derived
from dispatcher.signing import signed
from dispatcher.staff.mailing import Exported

PURPOSE = "todoke mail export 1"


def exported(
    people: Iterable[Subscriber], gone: Iterable[str], *, list_id: str, mode: str, at: datetime, secret: Secret
) -> Exported:
    """All of it, in the order of the addresses; those who left behind them."""
    text, count, left = io.StringIO(newline=""), 0, 0
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(WITH_TOPICS)
    for person in people:
        count += 1
        topics = "" if set(person.topics) >= set(CHOICES) else " ".join(person.topics) or NONE
        writer.writerow([person.address, " ".join(person.quarters), person.language, topics])
    for address in gone:
        left += 1
        writer.writerow([address, LEFT, "", ""])
    data = text.getvalue()
    about = {"list": list_id, "mode": mode, "at": at.isoformat(), "people": count, "left": left}
    return Exported(data, signed(data.encode(), about, derived(secret.reveal().encode(), PURPOSE)), count)
