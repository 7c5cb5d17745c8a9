"""Nodes of a CAP 1.2 document that the schema accepts → Alert.

The schema leaves polygons, circles and references as free text. What has not CAP's form there is kept as `malformed`, which
nobody acts on, and `semantics` names it.

Source: OASIS CAP 1.2 §3.2.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from dispatcher.cap import values
from dispatcher.cap.document import Node
from dispatcher.errors import Finding, InvalidInput
from dispatcher.model.alert import (
    Alert,
    Area,
    Category,
    Certainty,
    Info,
    MsgType,
    Named,
    Resource,
    ResponseType,
    Scope,
    Severity,
    Status,
    Urgency,
)

DEFAULT_LANGUAGE = "en-US"


def alert(root: Node) -> Alert[object]:
    """The alert. Raises InvalidInput where `sent` is no moment that a calendar has."""
    sent = values.read_time(root.need("sent"))
    if sent is None:
        raise InvalidInput([Finding("sent", f"{root.need('sent')} is beyond the calendar")])
    references, rest = values.read_references(root.get("references") or "")
    return Alert(
        identifier=root.need("identifier"),
        sender=root.need("sender"),
        sent=sent,
        status=Status(root.need("status")),
        msg_type=MsgType(root.need("msgType")),
        source=root.get("source"),
        scope=Scope(root.need("scope")),
        restriction=root.get("restriction"),
        addresses=values.read_list(root.get("addresses") or ""),
        code=root.texts("code"),
        note=root.get("note"),
        references=references,
        incidents=values.read_list(root.get("incidents") or ""),
        info=tuple(_info(node) for node in root.all("info")),
        malformed=(Named("references", rest),) if rest else (),
    )


def _info(node: Node) -> Info:
    return Info(
        language=node.get("language") or DEFAULT_LANGUAGE,
        category=tuple(Category(text) for text in node.texts("category")),
        event=node.need("event"),
        response_type=tuple(ResponseType(text) for text in node.texts("responseType")),
        urgency=Urgency(node.need("urgency")),
        severity=Severity(node.need("severity")),
        certainty=Certainty(node.need("certainty")),
        audience=node.get("audience"),
        event_code=_named(node, "eventCode"),
        effective=_time(node, "effective"),
        onset=_time(node, "onset"),
        expires=_time(node, "expires"),
        sender_name=node.get("senderName"),
        headline=node.get("headline"),
        description=node.get("description"),
        instruction=node.get("instruction"),
        web=node.get("web"),
        contact=node.get("contact"),
        parameter=_named(node, "parameter"),
        resource=tuple(_resource(child) for child in node.all("resource")),
        area=tuple(_area(child) for child in node.all("area")),
        malformed=_malformed(
            node, {"effective": values.read_time, "onset": values.read_time, "expires": values.read_time}
        ),
    )


def _time(node: Node, name: str) -> datetime | None:
    text = node.get(name)
    return values.read_time(text) if text else None


def _named(node: Node, name: str) -> tuple[Named, ...]:
    return tuple(Named(child.need("valueName"), child.need("value")) for child in node.all(name))


def _resource(node: Node) -> Resource:
    size = values.read_number(node.get("size") or "")
    return Resource(
        resource_desc=node.need("resourceDesc"),
        mime_type=node.need("mimeType"),
        size=None if size is None else int(size),
        uri=node.get("uri"),
        deref_uri=node.get("derefUri"),
        digest=node.get("digest"),
        malformed=_malformed(node, {"size": values.read_number}),
    )


def _area(node: Node) -> Area:
    polygons = (values.read_points(text) for text in node.texts("polygon"))
    circles = (values.read_circle(text) for text in node.texts("circle"))
    return Area(
        area_desc=node.need("areaDesc"),
        polygons=tuple(p for p in polygons if p is not None),
        circles=tuple(c for c in circles if c is not None),
        geocodes=_named(node, "geocode"),
        altitude_ft=values.read_number(node.get("altitude") or ""),
        ceiling_ft=values.read_number(node.get("ceiling") or ""),
        malformed=_malformed(
            node,
            {
                "polygon": values.read_points,
                "circle": values.read_circle,
                "altitude": values.read_number,
                "ceiling": values.read_number,
            },
        ),
    )


def _malformed(node: Node, forms: Mapping[str, Callable[[str], object]]) -> tuple[Named, ...]:
    """Every text of these elements that its reader does not take."""
    return tuple(Named(name, text) for name, form in forms.items() for text in node.texts(name) if form(text) is None)
