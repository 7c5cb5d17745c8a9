"""The document of the API, drawn from the table of routes.

Source: OpenAPI 3.1.1; RFC 9457 §3; RFC 6750.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from importlib.metadata import version
from typing import Any

from dispatcher import errors
from dispatcher.staff.api import problems
from dispatcher.staff.api.door import DRY_RUN, place_of
from dispatcher.staff.api.idempotency import HEADER, PATTERN
from dispatcher.staff.api.problems import BY_ERROR, BY_STATUS, PREFIX, Kind, Problem
from dispatcher.staff.api.route import Nothing, Route
from dispatcher.staff.api.shapes import Schema, Shapes
from dispatcher.staff.api.shown import DRAWN

ABOUT = """届け (Todoke) の職員用 API です。すべて本人の鍵（Bearer）で呼び、規則は機（desk）にあります。

変更する要求には `Idempotency-Key` を付けられます（同じ鍵・同じ要求には同じ答え、24 時間）。
`dry_run=true` は、規則も見え方もすべて通したうえで何も書きません。
断るときは application/problem+json で、誤りをすべて一度に、場所（JSON pointer）つきで返します。

The staff's API. Every rule stands in the desk; a refusal names every reason at once."""

_EVENTS: Schema = {
    "type": "object",
    "description": "dry_run=true のとき: 書かれたはずの出来事 (what would have been written)",
    "properties": {"events": {"type": "array", "items": {"type": "object"}}},
    "required": ["events"],
}


def document(routes: Sequence[Route]) -> Schema:
    """OpenAPI 3.1 of these routes."""
    components: dict[str, Schema] = {}
    shapes = Shapes(DRAWN, components)
    problem = shapes.schema(Problem)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, shapes, routes)
        if route.changes:
            components[route.answer.__name__]["properties"][DRY_RUN] = _EVENTS
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Todoke 届け",
            "version": version("todoke"),
            "description": ABOUT,
            "license": {"name": "MIT"},
        },
        "servers": [{"url": PREFIX}],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {kind.name: _refusal(kind, problem) for kind in problems.KINDS.values()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "本人の鍵 (one's own token)"}
            },
        },
    }


def _operation(route: Route, shapes: Shapes, routes: Sequence[Route]) -> Schema:
    done: Schema = {
        "description": "できました (done)",
        "content": {"application/json": {"schema": shapes.schema(route.answer)}},
    }
    if links := dict(_links(route, routes)):
        done["links"] = links
    operation: Schema = {
        "operationId": route.name,
        "summary": route.about,
        "security": [{"bearer": [route.scope.value]}],
        "parameters": [*_path(route), *_query(route, shapes), *_headers(route)],
        "responses": {
            str(route.status): done,
            **{str(status): _responses(kinds) for status, kinds in _refusals(route).items()},
        },
    }
    if route.takes_body:
        content = {"application/json": {"schema": shapes.schema(route.body)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _links(route: Route, routes: Sequence[Route]) -> Iterator[tuple[str, Schema]]:
    """What can be asked next: of the draft, or of the alert, that was answered."""
    if not route.changes:
        return
    for noun, place in (("draft", "/drafts/{id}"), ("alert", "/alerts/{id}")):
        if noun not in {f.name for f in fields(route.answer)}:
            continue
        for other in routes:
            if other.path.startswith(place) and other.parameters == ["id"] and other is not route:
                about = {"id": f"$response.body#/{noun}/identifier"}
                yield other.name, {"operationId": other.name, "parameters": about}


def _path(route: Route) -> list[Schema]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": f"^{place_of(name)}$"}}
        for name in route.parameters
    ]


def _query(route: Route, shapes: Shapes) -> list[Schema]:
    inline = Shapes(DRAWN).schema(route.query)["properties"] if route.query is not Nothing else {}
    del shapes
    parameters = [{"name": name, "in": "query", "schema": _once(schema)} for name, schema in inline.items()]
    if route.changes:
        about = "何も書かずに、起こることを答える (say what would happen; nothing is written)"
        flag = {"type": "string", "enum": ["true", "false"]}
        parameters.append({"name": DRY_RUN, "in": "query", "description": about, "schema": flag})
    return parameters


def _once(schema: Schema) -> Schema:
    """A query has no null: what is not said is left out."""
    return {**schema, "type": schema["type"][0]} if isinstance(schema.get("type"), list) else schema


def _headers(route: Route) -> list[Schema]:
    if not route.may_repeat:
        return []
    about = "同じ要求を二度送っても一度だけ行う (a request that is sent twice is done once)"
    schema = {"type": "string", "pattern": f"^{PATTERN}$"}
    return [{"name": HEADER, "in": "header", "description": about, "schema": schema}]


def _refusals(route: Route) -> Mapping[int, list[Kind]]:
    """Every way in which this route says no, by status."""
    kinds = [
        BY_ERROR[errors.InvalidInput],
        BY_ERROR[errors.Unauthenticated],
        BY_ERROR[errors.Throttled],
        BY_ERROR[errors.Refused],
        BY_ERROR[errors.NotFound],
        BY_STATUS[406],
        BY_ERROR[errors.TodokeError],
        BY_ERROR[errors.Standby],
    ]
    if route.changes:
        kinds += [BY_ERROR[errors.StaleHash], BY_STATUS[409], BY_ERROR[errors.StorageFull]]
    if route.takes_body:
        kinds += [BY_STATUS[408], BY_STATUS[413], BY_STATUS[415]]
    by_status: dict[int, list[Kind]] = {}
    for kind in sorted(kinds, key=lambda k: k.status):
        by_status.setdefault(kind.status, []).append(kind)
    return by_status


def _responses(kinds: Sequence[Kind]) -> Schema:
    if len(kinds) == 1:
        return {"$ref": f"#/components/responses/{kinds[0].name}"}
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": " / ".join(kind.title for kind in kinds),
        "content": {problems.MEDIA_TYPE: {"schema": schema}},
    }


def _refusal(kind: Kind, problem: Schema) -> Schema:
    return {
        "description": f"{kind.title} {kind.meaning} — exit code {kind.exit_code}",
        "content": {problems.MEDIA_TYPE: {"schema": problem}},
    }
