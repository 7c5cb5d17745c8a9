"""The devices that residents want to be rung on: they subscribe at the site, and what is kept of them is sealed.

A subscription is an address that rings somebody's telephone and the key to write to it, so it stands in the ledger under a key
that is made of the city's VAPID key: whoever has the database alone has neither. It is kept by a hash of its address.

    POST /push/subscribe    POST /push/unsubscribe

Source: Push API §3.4 ("privacy … of the subscription"); RFC 8291 §7; dispatcher/sealing.py.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiohttp import web

from dispatcher.clock import Clock
from dispatcher.errors import InvalidInput, NotFound, StaleHash
from dispatcher.ledger import Ledger
from dispatcher.listening import remote_of
from dispatcher.log import logger
from dispatcher.residents.guesses import Guesses
from dispatcher.residents.webpush import Device, device
from dispatcher.sealing import Box, Unopened

KIND = "push"
PURPOSE = "todoke push devices 1"
AT_MOST = 200_000
FREE, PER_S = 600, 0.2
"""New devices from one address: a shelter has hundreds behind one; a machine that invents them has more."""
PAGE = 200

log = logger(__name__)


class Devices:
    """All that subscribed, at whichever node of the ledger."""

    def __init__(self, ledger: Ledger, clock: Clock, secret: str, *, is_loopback_fine: bool = False) -> None:
        """`secret`: the city's VAPID key."""
        self._ledger = ledger
        self._box = Box(secret.encode(), PURPOSE)
        self._is_loopback_fine = is_loopback_fine
        self._newcomers = Guesses(clock, free=FREE, forgiven_per_s=PER_S)
        self._count = 0
        """About how many there are, so that a flood of them ends."""

    @property
    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return [web.post("/push/subscribe", self._subscribe), web.post("/push/unsubscribe", self._unsubscribe)]

    async def read(self) -> None:
        """Before the first: count them, and seal what a todoke before this one left in the clear."""
        after, self._count = "", 0
        while rows := await self._ledger.records(KIND, after=after, limit=PAGE):
            after, self._count = rows[-1][0], self._count + len(rows)
            for key, version, body in rows:
                if "sealed" not in body:
                    with suppress(StaleHash):  # it subscribed again meanwhile, at another node
                        await self._ledger.save_record(KIND, key, version, self._sealed(key, body), None)

    async def page(self, after: str, limit: int) -> Sequence[tuple[str, Device | None]]:
        """Those behind this key, in the order of their keys; None for one that this key does not open."""
        rows = await self._ledger.records(KIND, after=after, limit=limit)
        return [(key, self._opened(key, body)) for key, _, body in rows]

    async def one(self, key: str) -> Device | None:
        """None if it is gone by now."""
        try:
            _, body = await self._ledger.read_record(KIND, key)
        except NotFound:
            return None
        return self._opened(key, body)

    async def forget(self, key: str) -> None:
        version = await self._version(key)
        if version:
            with suppress(StaleHash):  # it has just subscribed again, or is gone already
                await self._ledger.save_record(KIND, key, version, None, None)
                self._count -= 1

    # -- what a browser asks -----------------------------------------------------------------------------------------

    async def _subscribe(self, request: web.Request) -> web.Response:
        try:
            asked = device(await _json(request), is_loopback_fine=self._is_loopback_fine)
        except InvalidInput as wrong:
            return web.json_response({"wrong": [f.where for f in wrong.findings]}, status=422)
        key = name(asked.endpoint)
        body = {
            "endpoint": asked.endpoint,
            "key": base64.b64encode(asked.key).decode(),
            "auth": base64.b64encode(asked.auth).decode(),
            "language": asked.language,
        }
        version = await self._version(key)
        if not version:
            # Only a new one counts: a page that says again what it said before is no flood.
            self._newcomers.wrong(remote_of(request))
            if self._count >= AT_MOST:
                return web.json_response({"wrong": ["full"]}, status=503)
        with suppress(StaleHash):  # the same device at the same moment
            await self._ledger.save_record(KIND, key, version, self._sealed(key, body), None)
            self._count += not version
        return web.json_response({"subscribed": True})

    async def _unsubscribe(self, request: web.Request) -> web.Response:
        """The same answer whether it was known or not."""
        endpoint = (await _json(request)).get("endpoint")
        if isinstance(endpoint, str):
            await self.forget(name(endpoint))
        return web.json_response({"subscribed": False})

    async def _version(self, key: str) -> int:
        try:
            return (await self._ledger.read_record(KIND, key))[0]
        except NotFound:
            return 0

    # -- sealing -----------------------------------------------------------------------------------------------------

    def _sealed(self, key: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"sealed": base64.b64encode(self._box.close(json.dumps(body).encode(), key.encode())).decode()}

    def _opened(self, key: str, body: Mapping[str, Any]) -> Device | None:
        if "sealed" in body:
            try:
                body = json.loads(self._box.open(base64.b64decode(body["sealed"]), key.encode()))
            except Unopened:
                # A device is bound to the VAPID key too: with another one nothing could be sent to it.
                log.warning("push.failed", reason=Unopened.__name__)
                return None
        return Device(body["endpoint"], base64.b64decode(body["key"]), base64.b64decode(body["auth"]), body["language"])


def name(text: str) -> str:
    """What stands for an address where it must not be read."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


async def _json(request: web.Request) -> Mapping[str, Any]:
    """What was posted; empty for whatever is no JSON object."""
    try:
        said = json.loads(await request.read())
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
