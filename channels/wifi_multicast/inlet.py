"""The door for the monitoring receivers' reports: signed, recent, never older than the last; each is answered once it is durable.

Source: multicast/report.py; RFC 9110 §15.5.2, RFC 4918 §11.5.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
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
            believed = secrets[name].believed(clock.now()) if name in secrets else (uuid4().hex,)
            after_s = stations[name].said_s if name in stations else 0
            said = _read(request.headers, body, believed, clock.now().timestamp(), after_s)
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


def _read(headers: Mapping[str, str], body: bytes, believed: Sequence[str], now_s: float, after_s: int) -> Report:
    """As report.read, under whichever of these secrets: while one is being changed there are two.

    Raises:
        BadReport: under none of them; why, under the current one.
    """
    for secret in believed[1:]:
        with suppress(BadReport):
            return report.read(headers, body, secret, now_s, after_s)
    return report.read(headers, body, believed[0], now_s, after_s)
