"""The door for the monitoring receivers' reports: signed, recent, never older than the last; each is answered once it is durable.

Source: multicast/report.py; RFC 9110 §15.5.2, RFC 4918 §11.5.
"""

from collections.abc import Awaitable, Callable, Mapping
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


def inlet(
    stations: Mapping[str, Station],
    secrets: Mapping[str, Secret],
    clock: Clock,
    hear: Callable[[Station, Report], Awaitable[None]],
) -> web.Application:
    """`POST /stations/<name>`: 204 heard, 401 not believed (the text says why), 413 too long, 507 the disk took nothing."""

    async def reported(request: web.Request) -> web.Response:
        name = request.match_info["station"]
        body = await request.read()
        try:
            # A name that is no station's gets the same answer, after the same work.
            secret = secrets[name].reveal() if name in secrets else uuid4().hex
            after_s = stations[name].said_s if name in stations else 0
            said = report.read(request.headers, body, secret, clock.now().timestamp(), after_s)
        except BadReport as refused:
            log.warning("station.refused", reason=str(refused))
            return web.Response(status=401, text=f"{refused}\n")
        try:
            await hear(stations[name], said)
        except StorageFull as full:  # it reports all of its state again before long
            return web.Response(status=full.http_status, text=f"{full}\n")
        return web.Response(status=204)

    app = web.Application(client_max_size=report.MAX_BYTES)
    app.router.add_post("/stations/{station}", reported)
    return app
