"""The door to Leaflet: its own files, served by us, so that the larger map asks no other machine for anything.

Only what the map needs goes out, each file read once. The addresses carry the version, so a browser may keep them for ever.

Source: Leaflet 1.9 "Download" (leaflet.js, leaflet.css); the package XStatic-Leaflet.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from aiohttp import web
from xstatic.pkg import leaflet  # type: ignore[import-untyped]  # this is its one door

_FILES: Mapping[str, str] = {"leaflet.js": "text/javascript; charset=utf-8", "leaflet.css": "text/css; charset=utf-8"}


def addresses() -> Mapping[str, str]:
    """Where each file stands."""
    return {name: f"/areas/leaflet/{name}?{leaflet.VERSION}" for name in _FILES}


@cache
def _bytes(name: str) -> bytes:
    return (Path(leaflet.BASE_DIR) / name).read_bytes()


async def file(request: web.Request) -> web.Response:
    """One file of Leaflet's."""
    name = request.match_info["name"]
    if name not in _FILES:
        raise web.HTTPNotFound
    response = web.Response(body=_bytes(name), headers={"Content-Type": _FILES[name]})
    response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    response.enable_compression()
    return response
