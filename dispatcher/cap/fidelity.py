"""Two documents element by element: what was lost or changed between them.

Equal is what means the same: a time by its instant and offset, a number by its value and its digits, a list by its items,
any text without regard to white space, an absent language as `en-US`. An empty list element says as much as none. The order
of references, of polygons and of circles carries no meaning: together they are one set, one area. A Signature is never
carried on (it would not hold for other bytes): it is a finding of `check`, not a loss here.

Source: OASIS CAP 1.2 §3.2; XML Schema 1.0 part 2 §3.2.7 (dateTime), §3.2.3 (decimal).
"""

from collections.abc import Callable, Iterator, Mapping

from dispatcher.cap import values
from dispatcher.cap.document import Node
from dispatcher.cap.reading import DEFAULT_LANGUAGE

_LISTS = {"addresses", "incidents", "references"}
_SETS = {"polygon", "circle"}


def differences(original: Node, copy: Node) -> Iterator[str]:
    yield from _compare("alert", original, copy)


def _compare(where: str, original: Node, copy: Node) -> Iterator[str]:
    if not original.children:
        if _meaning(original) != _meaning(copy):
            yield f"{where}: “{_short(original.text)}” became “{_short(copy.text)}”"
        return
    ours, theirs = _children(copy), _children(original)
    for name in dict.fromkeys([*theirs, *ours]):
        before, after = theirs.get(name, []), ours.get(name, [])
        if len(before) != len(after):
            yield f"{where}.{name}: {len(before)} became {len(after)}"
            continue
        if name in _SETS:
            before, after = sorted(before, key=_meaning), sorted(after, key=_meaning)
        for number, (one, other) in enumerate(zip(before, after, strict=True), 1):
            yield from _compare(f"{where}.{name}[{number}]" if len(before) > 1 else f"{where}.{name}", one, other)
    if not ours.keys() ^ theirs.keys() and list(ours) != list(theirs):
        yield f"{where}: the order of its elements changed"


def _children(node: Node) -> Mapping[str, list[Node]]:
    """By name; CAP's order among elements of one name carries meaning, between names the schema fixes it."""
    found: dict[str, list[Node]] = {}
    if node.name == "info" and not node.get("language"):
        found["language"] = [Node("language", DEFAULT_LANGUAGE)]
    for child in node.children:
        if child.name.startswith("{") or (child.name in _LISTS | {"language"} and not child.text.strip()):
            continue
        found.setdefault(child.name, []).append(child)
    return found


def _meaning(leaf: Node) -> str:
    return repr(_MEANINGS.get(leaf.name, _words)(leaf.text))


def _words(text: str) -> object:
    return text.split()


def _moment(text: str) -> object:
    moment = values.read_time(text.strip())
    return moment.isoformat() if moment else text.split()


def _moments(text: str) -> object:
    def canonical(time: str) -> str:
        moment = values.read_time(time)
        return moment.isoformat(timespec="seconds") if moment else time

    return sorted(values.TIME.sub(lambda found: canonical(found[0]), text).split())


def _number(text: str) -> object:
    number = values.read_number(text.strip())
    return number.as_tuple() if number is not None else text.split()


def _points(text: str) -> object:
    points = values.read_points(text)
    return text.split() if points is None else [n.as_tuple() for point in points for n in point]


def _circle(text: str) -> object:
    circle = values.read_circle(text)
    return text.split() if circle is None else [n.as_tuple() for n in (*circle.centre, circle.radius_km)]


_MEANINGS: Mapping[str, Callable[[str], object]] = {
    **dict.fromkeys(("sent", "effective", "onset", "expires"), _moment),
    **dict.fromkeys(("altitude", "ceiling"), _number),
    **dict.fromkeys(("addresses", "incidents"), values.read_list),
    "references": _moments,
    "size": lambda text: _number(text) if "." in text else text.strip().lstrip("+").lstrip("0"),
    "polygon": _points,
    "circle": _circle,
}


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 60 else words[:59] + "…"
