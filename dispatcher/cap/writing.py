"""Alert → nodes of a CAP 1.2 document, in the schema's order.

An absent value writes no element; an empty text writes an empty one, because somebody wrote it.

Source: OASIS CAP 1.2 §3.2, §3.4.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal

from dispatcher.cap import values
from dispatcher.cap.document import Node
from dispatcher.model.alert import Alert, Area, Info, Named, Resource


def alert(alert: Alert[object]) -> Node:
    return Node(
        "alert",
        children=(
            Node("identifier", alert.identifier),
            Node("sender", alert.sender),
            Node("sent", values.write_time(alert.sent)),
            Node("status", alert.status),
            Node("msgType", alert.msg_type),
            *_text("source", alert.source),
            Node("scope", alert.scope),
            *_text("restriction", alert.restriction),
            *_text("addresses", values.write_list(alert.addresses) or None),
            *_each("code", alert.code),
            *_text("note", alert.note),
            *_text("references", _references(alert) or None),
            *_text("incidents", values.write_list(alert.incidents) or None),
            *(_info(info) for info in alert.info),
        ),
    )


def _info(info: Info) -> Node:
    return Node(
        "info",
        children=(
            Node("language", info.language),
            *_each("category", info.category),
            Node("event", info.event),
            *_each("responseType", info.response_type),
            Node("urgency", info.urgency),
            Node("severity", info.severity),
            Node("certainty", info.certainty),
            *_text("audience", info.audience),
            *_named("eventCode", info.event_code),
            *_time("effective", info.effective),
            *_kept("effective", info.malformed),
            *_time("onset", info.onset),
            *_kept("onset", info.malformed),
            *_time("expires", info.expires),
            *_kept("expires", info.malformed),
            *_text("senderName", info.sender_name),
            *_text("headline", info.headline),
            *_text("description", info.description),
            *_text("instruction", info.instruction),
            *_text("web", info.web),
            *_text("contact", info.contact),
            *_named("parameter", info.parameter),
            *(_resource(resource) for resource in info.resource),
            *(_area(area) for area in info.area),
        ),
    )


def _resource(resource: Resource) -> Node:
    return Node(
        "resource",
        children=(
            Node("resourceDesc", resource.resource_desc),
            Node("mimeType", resource.mime_type),
            *_text("size", None if resource.size is None else str(resource.size)),
            *_kept("size", resource.malformed),
            *_text("uri", resource.uri),
            *_text("derefUri", resource.deref_uri),
            *_text("digest", resource.digest),
        ),
    )


def _area(area: Area) -> Node:
    return Node(
        "area",
        children=(
            Node("areaDesc", area.area_desc),
            *_each("polygon", map(values.write_points, area.polygons)),
            *_kept("polygon", area.malformed),
            *_each("circle", map(values.write_circle, area.circles)),
            *_kept("circle", area.malformed),
            *_named("geocode", area.geocodes),
            *_number("altitude", area.altitude_ft),
            *_kept("altitude", area.malformed),
            *_number("ceiling", area.ceiling_ft),
            *_kept("ceiling", area.malformed),
        ),
    )


def _references(alert: Alert[object]) -> str:
    return " ".join(
        [
            *filter(None, [values.write_references(alert.references)]),
            *(kept.value for kept in alert.malformed if kept.value_name == "references"),
        ]
    )


def _kept(name: str, malformed: Iterable[Named]) -> Iterator[Node]:
    return (Node(name, kept.value) for kept in malformed if kept.value_name == name)


def _text(name: str, text: str | None) -> Iterator[Node]:
    if text is not None:
        yield Node(name, text)


def _each(name: str, texts: Iterable[str]) -> Iterator[Node]:
    return (Node(name, text) for text in texts)


def _time(name: str, moment: datetime | None) -> Iterator[Node]:
    if moment is not None:
        yield Node(name, values.write_time(moment))


def _number(name: str, number: Decimal | None) -> Iterator[Node]:
    if number is not None:
        yield Node(name, values.write_number(number))


def _named(name: str, named: Iterable[Named]) -> Iterator[Node]:
    return (Node(name, children=(Node("valueName", n.value_name), Node("value", n.value))) for n in named)
