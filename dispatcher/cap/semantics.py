"""What the schema allows but the text of CAP 1.2 forbids, or what a reader would stumble over, each as one finding.

A finding never makes a file invalid: real services issue alerts with many of these, and a reader must take them. They are
read off the nodes and not off the Alert, because some of them cannot stand in an Alert at all.

Source: OASIS CAP 1.2 §3.2.1 (alert), §3.2.2 (info), §3.2.3 (resource), §3.2.4 (area), §3.3.2 (DateTime).
"""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlsplit

from dispatcher.cap import values
from dispatcher.cap.document import Node
from dispatcher.cap.reading import DEFAULT_LANGUAGE
from dispatcher.model.alert import Point

SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}Signature"

_YEARS = range(2000, 2101)
_UNFIT = re.compile(r"[\s,<&]")
_MIME = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?:\s*;.*)?")
_SHA1 = re.compile(r"[0-9A-Fa-f]{40}")
# Controls that XML lets through, and marks that turn the direction of what follows: text could read other than it is.
_HIDDEN = re.compile(r"[\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069]")
_MAY_BE_EMPTY = {"value"}


def findings(root: Node) -> Iterator[str]:
    """Each as `where: what`; `where` is the element, with its place where there are several: `info[2].area[1].polygon[1]`."""
    yield from _alert(root)
    for where, node in _numbered(root, "info"):
        yield from _info(where, node, root.need("sent"))
    languages = Counter((i.get("language") or DEFAULT_LANGUAGE).lower() for i in root.all("info"))
    for language, count in languages.items():
        if count > 1:
            yield f"info: {count} are in {language}; a later one may add to an earlier one but not override it"
    yield from _leaves("", root)


def _alert(root: Node) -> Iterator[str]:
    for name in ("identifier", "sender"):
        if _UNFIT.search(root.need(name)):
            yield f"{name}: must not contain spaces, commas, < or &"
    scope = root.need("scope")
    if scope == "Restricted" and not root.get("restriction"):
        yield "restriction: required when scope is Restricted"
    if scope != "Restricted" and root.get("restriction"):
        yield f"restriction: only for scope Restricted, not {scope}"
    if scope == "Private" and not root.get("addresses"):
        yield "addresses: required when scope is Private"
    yield from _references(root)
    if root.need("status") == "Exercise" and not root.get("note"):
        yield "note: should name the exercise when status is Exercise"
    if root.need("msgType") == "Error" and not root.get("note"):
        yield "note: should explain the rejection when msgType is Error"
    if root.need("msgType") in {"Alert", "Update"} and not root.all("info"):
        yield "info: there is none, so nothing is said"
    if root.all(SIGNATURE):
        yield "Signature: there is one; it is not verified here, and is not carried on"


def _references(root: Node) -> Iterator[str]:
    kind, text = root.need("msgType"), root.get("references")
    if not text:
        if kind != "Alert":
            yield f"references: required when msgType is {kind}"
        return
    references, rest = values.read_references(text)
    if rest:
        yield f"references: “{_short(rest)}” is not sender,identifier,sent"
    for reference in references:
        if reference.identifier == root.need("identifier"):
            yield "references: the message refers to itself"
        if _UNFIT.search(reference.identifier) or _UNFIT.search(reference.sender):
            yield f"references: “{_short(reference.identifier)}” or its sender has spaces, commas, < or &"
    for time in values.TIME.findall(text):
        yield from _time("references", time)


def _info(where: str, info: Node, sent_text: str) -> Iterator[str]:
    for name in ("headline", "description", "instruction", "expires", "senderName"):
        if not info.get(name):
            yield f"{where}.{name}: missing; people will look for it"
    if not info.all("area"):
        yield f"{where}.area: missing, so it holds nowhere in particular"
    for name in ("web",):
        if (text := info.get(name)) and not _is_absolute(text):
            yield f"{where}.{name}: “{_short(text)}” is not a full URI"
    yield from _order(where, info, sent_text)
    for place, node in _numbered(info, "area"):
        yield from _area(f"{where}.{place}", node)
    for place, node in _numbered(info, "resource"):
        yield from _resource(f"{where}.{place}", node)


def _order(where: str, info: Node, sent_text: str) -> Iterator[str]:
    times = {name: values.read_time(info.get(name) or "") for name in ("effective", "onset", "expires")}
    times["sent"] = values.read_time(sent_text)
    for before in ("sent", "effective", "onset"):
        start, end = times[before], times["expires"]
        # An issued "effective" may lie before or after "sent": only what ends before it begins is wrong.
        if start and end and _instant(start) > _instant(end):
            yield f"{where}.expires: {info.get('expires')} is before {before} ({info.get(before) or sent_text})"


def _area(where: str, area: Node) -> Iterator[str]:
    for place, node in _numbered(area, "polygon"):
        points = values.read_points(node.text)
        if points is None or not points:
            yield f"{where}.{place}: “{_short(node.text)}” is not latitude,longitude pairs"
            continue
        if len(points) < 4:
            yield f"{where}.{place}: {len(points)} points, at least 4 are needed"
        if points[0] != points[-1]:
            yield f"{where}.{place}: not closed, the last point must repeat the first"
        yield from _on_earth(f"{where}.{place}", points)
    for place, node in _numbered(area, "circle"):
        circle = values.read_circle(node.text)
        if circle is None:
            yield f"{where}.{place}: “{_short(node.text)}” is not latitude,longitude radius"
            continue
        if circle.radius_km < 0:
            yield f"{where}.{place}: the radius is negative"
        yield from _on_earth(f"{where}.{place}", (circle.centre,))
    altitude, ceiling = (values.read_number(area.get(name) or "") for name in ("altitude", "ceiling"))
    if ceiling is not None and altitude is None:
        yield f"{where}.ceiling: only together with altitude"
    if ceiling is not None and altitude is not None and ceiling < altitude:
        yield f"{where}.ceiling: {ceiling} is below altitude {altitude}"
    for name in ("altitude", "ceiling"):
        if area.get(name) and values.read_number(area.need(name)) is None:
            yield f"{where}.{name}: has more digits than can be carried"


def _on_earth(where: str, points: tuple[Point, ...]) -> Iterator[str]:
    for latitude, longitude in points:
        if abs(latitude) > Decimal(90) or abs(longitude) > Decimal(180):
            yield f"{where}: {latitude},{longitude} is not on Earth (latitude ±90, longitude ±180)"
            return


def _resource(where: str, resource: Node) -> Iterator[str]:
    if not _MIME.fullmatch(resource.need("mimeType")):
        yield f"{where}.mimeType: “{_short(resource.need('mimeType'))}” is not a media type"
    size = resource.get("size")
    number = values.read_number(size or "")
    if size and (number is None or number < 0):
        yield f"{where}.size: “{_short(size)}” is not a number of bytes that can be carried"
    digest = resource.get("digest")
    if digest and not _SHA1.fullmatch(digest):
        yield f"{where}.digest: not a SHA-1 in 40 hexadecimal digits"
    uri = resource.get("uri")
    if uri and not _is_absolute(uri) and not resource.get("derefUri"):
        yield f"{where}.uri: “{_short(uri)}” is not a full URI, and there is no derefUri that would hold the content"


def _leaves(where: str, node: Node) -> Iterator[str]:
    """What holds for every text: not empty, no hidden characters, times in CAP's form."""
    counts: Counter[str] = Counter()
    several = Counter(child.name for child in node.children)
    for child in node.children:
        counts[child.name] += 1
        if child.name.startswith("{"):
            continue
        number = f"[{counts[child.name]}]" if several[child.name] > 1 or child.name in {"info", "area"} else ""
        place = f"{where}.{child.name}{number}" if where else f"{child.name}{number}"
        if child.children:
            yield from _leaves(place, child)
            continue
        if not child.text.strip() and child.name not in _MAY_BE_EMPTY:
            yield f"{place}: is empty"
        if _HIDDEN.search(child.text):
            yield f"{place}: contains control or direction-changing characters"
        if child.name in {"sent", "effective", "onset", "expires"}:
            yield from _time(place, child.text.strip())


def _time(where: str, text: str) -> Iterator[str]:
    moment = values.read_time(text)
    if moment is None:
        yield f"{where}: {text} is beyond the calendar"
        return
    if text.endswith("Z"):
        yield f"{where}: {text} ends in Z; CAP wants an offset in figures, and -00:00 for UTC"
    elif text.endswith("+00:00"):
        yield f"{where}: {text} is UTC, which CAP writes as -00:00"
    if moment.year not in _YEARS:
        yield f"{where}: the year {moment.year} is absurd"


def _instant(moment: datetime) -> float:
    """Seconds from the epoch; unlike `astimezone` it holds for the first and the last day of the calendar too."""
    offset = moment.utcoffset()
    assert offset is not None
    return (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC) - offset).total_seconds()


def _is_absolute(text: str) -> bool:
    try:
        return bool(urlsplit(text).scheme)
    except ValueError:
        return False


def _numbered(node: Node, name: str) -> Iterator[tuple[str, Node]]:
    return ((f"{name}[{number}]", child) for number, child in enumerate(node.all(name), 1))


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 60 else words[:59] + "…"
