"""The door for the stations: what their receivers verified, and what residents wrote there. Signed, recent, durable when answered.

Source: multicast/report.py; RFC 9110 §15.5.2, RFC 4918 §11.5.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar
from uuid import uuid4

from aiohttp import web

from channels.wifi_multicast.station import Station
from config.secret import Secret
from dispatcher.clock import Clock
from dispatcher.errors import StorageFull
from dispatcher.log import logger
from multicast import report
from multicast.report import BadReport, Report

log = logger(__name__)
T = TypeVar("T")


def inlet(
    stations: Mapping[str, Station],
    secrets: Mapping[str, Secret],
    clock: Clock,
    hear: Callable[[Station, Report], Awaitable[None]],
    take: Callable[[Sequence[bytes]], Awaitable[bool]],
) -> web.Application:
    """`POST /stations/<name>`: 204 heard, 401 not believed (the text says why), 413 too long, 507 the disk took nothing.

    `POST /stations/<name>/answers`: 204 taken; 503 nobody is being asked now, so the station keeps them; 401, 413, 507 as above.
    """

    async def reported(request: web.Request) -> web.Response:
        name = request.match_info["station"]
        body = await request.read()
        try:
            after_s = stations[name].said_s if name in stations else 0
            said = _read(
                believed(name), lambda s: report.read(request.headers, body, s, clock.now().timestamp(), after_s)
            )
        except BadReport as refused:
            log.warning("station.refused", reason=str(refused))
            return web.Response(status=401, text=f"{refused}\n")
        try:
            await hear(stations[name], said)
        except StorageFull as full:  # it reports all of its state again before long
            return web.Response(status=full.http_status, text=f"{full}\n")
        return web.Response(status=204)

    async def answered(request: web.Request) -> web.Response:
        name = request.match_info["station"]
        body = await request.read()
        try:
            sealed = _read(
                believed(name), lambda s: report.read_answers(request.headers, body, s, clock.now().timestamp())
            )
        except BadReport as refused:
            log.warning("station.refused", reason=str(refused))
            return web.Response(status=401, text=f"{refused}\n")
        try:
            is_taken = await take(sealed)
        except StorageFull as full:
            return web.Response(status=full.http_status, text=f"{full}\n")
        return web.Response(status=204 if is_taken else 503)

    def believed(name: str) -> Sequence[str]:
        # A name that is no station's gets the same answer, after the same work.
        return secrets[name].believed(clock.now()) if name in secrets else (uuid4().hex,)

    app = web.Application(client_max_size=report.MAX_BYTES)
    app.router.add_post("/stations/{station}", reported)
    app.router.add_post("/stations/{station}/answers", answered)
    return app


def _read(believed: Sequence[str], under: Callable[[str], T]) -> T:
    """What was signed, under whichever of these secrets: while one is being changed there are two.

    Raises:
        BadReport: under none of them; why, under the current one.
    """
    for secret in believed[1:]:
        with suppress(BadReport):
            return under(secret)
    return under(believed[0])
