"""What residents wrote at a station, opened: reports as the safety loop takes them, each believed as far as its form holds.

A station is in a public place and its disk may be anybody's: what was sealed is read as hostile bytes.

Source: multicast/phones.py (the form), multicast/sealing.py; design.md §8.
"""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from config.city import City
from dispatcher.model.campaign import Answer
from dispatcher.model.report import Reported
from dispatcher.model.typed import birth_date, inert, line, phone
from multicast.phones_page import ABOUT, LIMITS
from multicast.sealing import AnswerKey, Unopened

_KEY = re.compile(r"[0-9a-f]{64}")


def opened(sealed: Sequence[bytes], key: AnswerKey, city: City, medium: str, now: datetime) -> Iterator[Reported]:
    """The reports among these; what is none, or not sealed to this key, is left out."""
    for one in sealed:
        try:
            yield _reported(json.loads(key.open(one)), city, medium, now)
        except (Unopened, ValueError, KeyError, TypeError, RecursionError):
            continue


def _reported(said: Any, city: City, medium: str, now: datetime) -> Reported:
    if not isinstance(said, dict):
        raise TypeError("no form")
    texts = {name: said.get(name, "") for name in (*LIMITS, "about", "a", "key", "at")}
    if not all(isinstance(text, str) and len(text) <= LIMITS.get(name, 80) for name, text in texts.items()):
        raise ValueError("a field that no form of ours has")
    name, about = line(texts["name"]), texts["about"] or "self"
    if not name or about not in ABOUT or not _KEY.fullmatch(texts["key"]):
        raise ValueError("not a form of ours")
    quarter = line(texts["quarter"])
    codes = [code for code, known in city.quarters.items() if quarter and quarter in known.names.values()]
    # A date or a number that is none still helps whoever reads the words.
    born, number = birth_date(texts["birth"], now.date()), phone(texts["phone"])
    odd = [line(texts[field]) for field, read in (("birth", born), ("phone", number)) if read is None]
    note = "\n".join(filter(None, [inert(texts["note"]), *odd, "" if codes else quarter]))
    details = {"about": "self" if about == "self" else "other", "where": line(texts["where"]), "note": note}
    return Reported(
        key=texts["key"],
        answer=Answer(texts["a"]),
        saw=about != "heard",
        medium=medium,
        # A station's clock may be wrong; nobody said anything in the future.
        at=min(datetime.fromisoformat(texts["at"]).astimezone(now.tzinfo), now),
        name=name,
        birth_date=born or "",
        phone=number or "",
        quarter=codes[0] if codes else "",
        details={field: text for field, text in details.items() if text},
    )
