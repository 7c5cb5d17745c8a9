"""XML of CAP 1.2, to and from plain nodes; the only place that imports lxml.

Whatever bytes come in, nothing is fetched and nothing is expanded: the size is capped before the parser sees them, a
document type declaration is refused (it is where entities come from), libxml2 keeps its own limits on depth and length,
and the hints where to load more schemas from are taken off before validation. Other XML that strangers send (a JMA telegram, an
Atom feed) comes in through `outline`, under the same rules and without a schema.

Source: OASIS CAP 1.2 §3.4 (the schema beside this file); XML 1.0 §2.8; facts.md §CAP.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lxml import etree

from dispatcher.errors import Defect

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
MAX_BYTES = 2_000_000
MAX_REASONS = 100
"""A hostile file can have a fault an element; nobody reads more than these."""

MAX_ELEMENTS = 100_000
"""Of an outline: half a kilobyte each once it is read."""
MAX_DEPTH = 32
"""Of an outline; JMA's deepest telegram has fifteen."""

_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_SCHEMA_HINTS = (f"{_XSI}schemaLocation", f"{_XSI}noNamespaceSchemaLocation")


@dataclass(frozen=True, slots=True)
class Node:
    """One element. `name` is its local name in CAP's namespace, `{namespace}name` in any other; a leaf has no children."""

    name: str
    text: str = ""
    children: tuple["Node", ...] = ()

    def all(self, name: str) -> tuple["Node", ...]:
        return tuple(child for child in self.children if child.name == name)

    def texts(self, name: str) -> tuple[str, ...]:
        """What every child of this name says, without white space around it."""
        return tuple(child.text.strip() for child in self.all(name))

    def get(self, name: str) -> str | None:
        """What the first child of this name says, or None where there is none."""
        return next(iter(self.texts(name)), None)

    def need(self, name: str) -> str:
        """As `get`, of what the schema requires."""
        text = self.get(name)
        if text is None:
            raise Defect(f"{self.name} without {name} passed the schema")
        return text


@dataclass(frozen=True, slots=True)
class Document:
    """What the bytes hold. `root` is None exactly when there are reasons, each of which makes it invalid."""

    root: Node | None
    reasons: tuple[str, ...] = ()


def parse(data: bytes) -> Document:
    """Bytes → nodes that the schema accepts, or every reason why not. Never raises for what the bytes are."""
    root = _hardened(data, MAX_BYTES)
    if isinstance(root, str):
        return _refused(root)
    for element in root.iter():
        for hint in _SCHEMA_HINTS:
            if hint in element.attrib:
                del element.attrib[hint]
    reasons = tuple(_faults(root))
    if reasons:
        return Document(None, reasons)
    return Document(_node(root))


@dataclass(frozen=True, slots=True)
class Element:
    """One element of any XML: local name, namespace, attributes without namespaces' prefixes, its own text, children."""

    name: str
    namespace: str
    attributes: Mapping[str, str]
    text: str
    children: tuple["Element", ...] = ()

    def all(self, name: str) -> tuple["Element", ...]:
        return tuple(child for child in self.children if child.name == name)

    def first(self, name: str) -> "Element | None":
        return next(iter(self.all(name)), None)

    def get(self, name: str) -> str:
        """What the first child of this name says, without white space around it; "" where there is none."""
        child = self.first(name)
        return child.text.strip() if child is not None else ""


def outline(data: bytes, *, max_bytes: int = MAX_BYTES) -> Element | str:
    """Any XML → its elements, or why it is refused. Never raises for what the bytes are."""
    root = _hardened(data, max_bytes)
    if isinstance(root, str):
        return root
    elements = sum(1 for _ in root.iter())
    if elements > MAX_ELEMENTS:
        return f"size: {elements} elements, at most {MAX_ELEMENTS} are accepted"
    deepest = _depth(root)
    if deepest > MAX_DEPTH:
        return f"depth: {deepest} levels, at most {MAX_DEPTH} are accepted"
    return _outlined(root)


def serialise(root: Node) -> bytes:
    """Nodes → UTF-8 XML that the schema accepts, indented.

    Raises:
        Defect: it would be invalid; the message lists every reason.
    """
    try:
        element = _element(root)
    except ValueError as error:
        raise Defect(f"what we would write is not XML: {error}") from None
    reasons = tuple(_faults(element))
    if reasons:
        raise Defect("what we would write is not CAP 1.2: " + "; ".join(reasons))
    return etree.tostring(element, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _hardened(data: bytes, max_bytes: int) -> etree._Element | str:
    """The root element of XML that declares nothing and fetches nothing, or why it is refused."""
    if len(data) > max_bytes:
        return f"size: {len(data)} bytes, at most {max_bytes} are accepted"
    # A parser of one's own for each document: an lxml parser that is shared keeps the last error's state.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except (etree.LxmlError, ValueError, LookupError) as error:
        return f"not XML: {_plain(str(error))}"
    information = root.getroottree().docinfo
    if information.internalDTD is not None or information.doctype:
        return "DTD: a document type declaration is never accepted, because it can declare entities"
    return root


@cache
def _schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(Path(__file__).with_name("CAP-v1.2.xsd"))))


def _faults(root: etree._Element) -> Iterator[str]:
    if root.tag != f"{{{NAMESPACE}}}alert":
        found = etree.QName(root)
        yield f"root: {found.localname} in {found.namespace or 'no namespace'}, accepted is alert in {NAMESPACE}"
        return
    schema = _schema()
    if schema.validate(root):
        return
    errors = [*schema.error_log]  # type: ignore[misc]  # lxml-stubs 0.5 forgets that a log can be iterated
    for error in errors[:MAX_REASONS]:
        yield f"line {error.line}: {_plain(error.message)}"
    if len(errors) > MAX_REASONS:
        yield f"… and {len(errors) - MAX_REASONS} more"


def _plain(message: str) -> str:
    """libxml2's message without the namespace in every name, on one line, not longer than people read."""
    words = re.sub(r"\s+", " ", message.replace(f"{{{NAMESPACE}}}", "")).strip()
    return words if len(words) <= 500 else words[:499] + "…"


def _refused(reason: str) -> Document:
    return Document(None, (reason,))


def _node(element: etree._Element) -> Node:
    # Comments and processing instructions may stand inside a text: what follows one is its tail.
    text = (element.text or "") + "".join(child.tail or "" for child in element)
    # lxml-stubs 0.5 forgets that a comment's tag is a function.
    children = tuple(_node(child) for child in element if isinstance(child.tag, str))  # type: ignore[redundant-expr]
    name = etree.QName(element)
    return Node(name.localname if name.namespace == NAMESPACE else name.text, "" if children else text, children)


def _depth(root: etree._Element) -> int:
    deepest, level = 0, 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        level += 1 if event == "start" else -1
        deepest = max(deepest, level)
    return deepest


def _outlined(element: etree._Element) -> Element:
    name = etree.QName(element)
    return Element(
        name.localname,
        name.namespace or "",
        {etree.QName(key).localname: str(value) for key, value in element.attrib.items()},
        (element.text or "") + "".join(child.tail or "" for child in element),
        # lxml-stubs 0.5 forgets that a comment's tag is a function.
        tuple(_outlined(child) for child in element if isinstance(child.tag, str)),  # type: ignore[redundant-expr]
    )


def _element(node: Node) -> etree._Element:
    # lxml-stubs 0.5 forgets that None names the default namespace.
    element = etree.Element(f"{{{NAMESPACE}}}{node.name}", nsmap={None: NAMESPACE})  # type: ignore[dict-item]
    if not node.children:
        element.text = node.text
    for child in node.children:
        element.append(_element(child))
    return element
