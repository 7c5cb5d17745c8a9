"""CAP's values that the schema leaves as text: times, positions, lists and references, read and written.

Each `read_*` returns None for what has not CAP's form, so that the caller decides whether that is a finding or a loss;
each `write_*` gives the one form that CAP asks for.

Source: OASIS CAP 1.2 §3.2.1 (addresses, references, incidents), §3.2.4 (polygon, circle), §3.3.2 (DateTime).
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from dispatcher.errors import Defect
from dispatcher.model.alert import Circle, Point, Reference

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)"
TIME = re.compile(_TIME, re.ASCII)
_REFERENCE_END = re.compile(rf",({_TIME})(?=\s|$)", re.ASCII)
# No exponent: `1e999999999` is eleven bytes in and a gigabyte out.
_NUMBER = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})", re.ASCII)
_ITEM = re.compile(r'"([^"]*)"|(\S+)')


def read_time(text: str) -> datetime | None:
    """With the offset that was written. `24:00:00` is the next day's midnight, as XML Schema says."""
    if not TIME.fullmatch(text):
        return None
    end_of_day = "T24:00:00" in text
    try:
        moment = datetime.fromisoformat(text.replace("T24:00:00", "T00:00:00"))
        return moment + timedelta(days=1) if end_of_day else moment
    except (ValueError, OverflowError):
        return None


def write_time(moment: datetime) -> str:
    """Whole seconds (CAP has no place for a fraction), an offset in figures, and UTC as `-00:00`.

    Raises:
        Defect: the time is naive.
    """
    if moment.utcoffset() is None:
        raise Defect(f"{moment.isoformat()} has no offset from UTC")
    text = moment.isoformat(timespec="seconds")
    return text[:-6] + "-00:00" if text.endswith("+00:00") else text


def read_number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def write_number(number: Decimal) -> str:
    return format(number, "f")


def read_points(text: str) -> tuple[Point, ...] | None:
    """`38.47,-120.14 38.34,-119.95 …`; white space of any kind between pairs. Empty text is no points."""
    points = [_point(pair) for pair in text.split()]
    known = tuple(point for point in points if point)
    return known if len(known) == len(points) else None


def write_points(points: Iterable[Point]) -> str:
    return " ".join(f"{write_number(latitude)},{write_number(longitude)}" for latitude, longitude in points)


def read_circle(text: str) -> Circle | None:
    """`32.9525,-115.5527 0` : a point and a radius in km."""
    match text.split():
        case [pair, radius]:
            centre, radius_km = _point(pair), read_number(radius)
            return Circle(centre, radius_km) if centre and radius_km is not None else None
    return None


def write_circle(circle: Circle) -> str:
    return f"{write_points([circle.centre])} {write_number(circle.radius_km)}"


def read_list(text: str) -> tuple[str, ...]:
    """Items with white space between; one that has white space inside stands in double quotes."""
    return tuple(quoted or plain for quoted, plain in _ITEM.findall(text) if quoted or plain)


def write_list(items: Iterable[str]) -> str:
    return " ".join(f'"{item}"' if re.search(r"\s", item) else item for item in items)


def read_references(text: str) -> tuple[tuple[Reference, ...], str]:
    """`sender,identifier,sent …` → references, and the rest that is none.

    Found by their times, because issued alerts have spaces and commas inside identifiers.
    """
    references, rest, start = [], [], 0
    for end in _REFERENCE_END.finditer(text):
        before, sent = text[start : end.start()].strip(), read_time(end[1])
        sender, comma, identifier = before.partition(",")
        if comma and sent:
            references.append(Reference(sender, identifier, sent))
        else:
            rest.append(text[start : end.end()].strip())
        start = end.end()
    rest.append(text[start:].strip())
    return tuple(references), " ".join(filter(None, rest))


def write_references(references: Iterable[Reference]) -> str:
    return " ".join(f"{r.sender},{r.identifier},{write_time(r.sent)}" for r in references)


def _point(pair: str) -> Point | None:
    match [read_number(number) for number in pair.split(",")]:
        case [Decimal() as latitude, Decimal() as longitude]:
            return latitude, longitude
    return None
