"""The staff's HTTP door for programs, at /api/v1: one table of routes, from which documentation, validation and handling come.

No rule lives here. The document is at /api/v1/openapi.json, the problems that it can answer with at /api/v1/problems/….

Source: design.md §9; OpenAPI 3.1; RFC 9457.
"""

import json
from functools import partial
from typing import Any

from aiohttp import web

from dispatcher.staff.api import (
    alerts,
    drafts,
    interchange,
    mailing,
    node,
    notebook,
    people,
    problems,
    reaching,
    roster,
    safety,
    shelters,
    standing,
)
from dispatcher.staff.api.door import Door
from dispatcher.staff.api.idempotency import Kept
from dispatcher.staff.api.openapi import document
from dispatcher.staff.api.problems import PREFIX, Said
from dispatcher.staff.api.rooms import Rooms
from dispatcher.staff.api.route import Route

__all__ = ["PREFIX", "ROUTES", "Rooms", "application"]

ROOMS = (drafts, alerts, node, notebook, people, shelters, reaching, safety, standing, roster, interchange, mailing)
ROUTES: tuple[Route, ...] = tuple(route for room in ROOMS for route in room.ROUTES)


def application(rooms: Rooms) -> web.Application:
    """The application, to be mounted at PREFIX on the staff's listener."""
    door = Door(rooms, Kept(rooms.ledger, rooms.clock))
    app = web.Application(middlewares=[door.errors])
    for route in ROUTES:
        add = app.router.add_get if route.method == "GET" else partial(app.router.add_route, route.method)
        add(route.path, door.handler(route))
    app.router.add_get("/openapi.json", _said(document(ROUTES)))
    app.router.add_get("/problems/{name}", _problem)
    return app


def _said(body: Any) -> Any:
    data = json.dumps(body, ensure_ascii=False).encode()

    async def handle(_request: web.Request) -> web.Response:
        return web.Response(body=data, content_type="application/json")

    return handle


async def _problem(request: web.Request) -> web.Response:
    """What one kind of problem means."""
    kind = problems.KINDS.get(request.match_info["name"])
    if kind is None:
        raise Said(404, "")
    body = {"title": kind.title, "status": kind.status, "meaning": kind.meaning, "exit_code": kind.exit_code}
    return web.json_response(body, dumps=lambda b: json.dumps(b, ensure_ascii=False))
