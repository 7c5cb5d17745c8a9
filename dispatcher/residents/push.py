"""Devices that asked to be told: they subscribe at the site, and each new message of the site is pushed to all of them.

What is pushed is what the site says by then (`alerts.json`), so a device never knows more than the page that it opens. A message
is taken on by one node of the ledger, goes through the devices in the order of their keys, and notes how far it has come, so
that a node that stopped, or any other once its lease has run out, goes on where it was. A device that its push service no longer
knows is forgotten at once.

    GET /push/key    POST /push/subscribe    POST /push/unsubscribe

Source: RFC 8030; Push API §3; design.md §6 "Next"; dispatcher/residents/webpush.py.
"""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from dispatcher.clock import Clock
from dispatcher.errors import InvalidInput, NotFound, StaleHash, StorageFull
from dispatcher.ledger import Ledger
from dispatcher.log import logger
from dispatcher.residents.webpush import Device, Heard, Sender, device

DEVICES, TOLD = "push", "push-told"
DEVICES_AT_MOST = 200_000
LOOK_S = 1.0
RECENT = timedelta(minutes=30)
"""An older message is not pushed any more: who opens an old site must not ring a city."""
AT_ONCE = 500
CONCURRENCY = 32
RETRY_S = (5.0, 15.0, 45.0, 120.0)
LONGEST_TTL_S, LEAST_TTL_S = 24 * 3600, 60

log = logger(__name__)


class Push:
    """Web Push of one node."""

    def __init__(
        self, ledger: Ledger, clock: Clock, sender: Sender, folder: Path, node: str, *, is_loopback_fine: bool = False
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._sender = sender
        self._alerts = folder / "alerts.json"
        self._node = node
        self._is_loopback_fine = is_loopback_fine
        self._read_at = 0
        self._devices = 0
        """About how many there are, so that a flood of them ends."""

    @property
    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return [
            web.get("/push/key", self._key),
            web.post("/push/subscribe", self._subscribe),
            web.post("/push/unsubscribe", self._unsubscribe),
        ]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Inside, new messages are pushed."""
        self._devices = len(await self._ledger.records(DEVICES))
        async with self._sender, asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follow())
            try:
                yield
            finally:
                following.cancel()

    # -- devices -----------------------------------------------------------------------------------------------------

    async def _key(self, _request: web.Request) -> web.Response:
        return web.json_response({"key": self._sender.public_key})

    async def _subscribe(self, request: web.Request) -> web.Response:
        try:
            asked = device(await _json(request), is_loopback_fine=self._is_loopback_fine)
        except InvalidInput as wrong:
            return web.json_response({"wrong": [f.where for f in wrong.findings]}, status=422)
        key = _name(asked.endpoint)
        body = {
            "endpoint": asked.endpoint,
            "key": base64.b64encode(asked.key).decode(),
            "auth": base64.b64encode(asked.auth).decode(),
            "language": asked.language,
        }
        version = await self._version(key)
        if not version and self._devices >= DEVICES_AT_MOST:
            return web.json_response({"wrong": ["full"]}, status=503)
        with suppress(StaleHash):  # the same device at the same moment
            await self._ledger.save_record(DEVICES, key, version, body, None)
            self._devices += not version
        return web.json_response({"subscribed": True})

    async def _unsubscribe(self, request: web.Request) -> web.Response:
        """The same answer whether it was known or not."""
        endpoint = (await _json(request)).get("endpoint")
        if isinstance(endpoint, str):
            await self._forget(_name(endpoint))
        return web.json_response({"subscribed": False})

    async def _forget(self, key: str) -> None:
        version = await self._version(key)
        if version:
            with suppress(StaleHash):  # it has just subscribed again, or is gone already
                await self._ledger.save_record(DEVICES, key, version, None, None)
                self._devices -= 1

    async def _version(self, key: str) -> int:
        try:
            return (await self._ledger.read_record(DEVICES, key))[0]
        except NotFound:
            return 0

    # -- messages ----------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            try:
                await self._look()
            except (StorageFull, OSError, ValueError, KeyError, TypeError) as reason:
                log.warning("push.failed", reason=type(reason).__name__)
            await self._clock.sleep(LOOK_S)

    async def _look(self) -> None:
        try:
            at = self._alerts.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if at == self._read_at:
            return
        is_done = True
        for alert in json.loads(self._alerts.read_bytes())["alerts"]:
            if self._clock.now() - datetime.fromisoformat(alert["sent"]) < RECENT:
                is_done &= await self._tell(alert)
        if is_done:
            self._read_at = at

    async def _tell(self, alert: Mapping[str, Any]) -> bool:
        """Push one message to every device, unless another living node has it, from where it was left; is it done?"""
        name = _name(alert["identifier"])
        try:
            version, noted = await self._ledger.read_record(TOLD, name)
        except NotFound:
            version, noted = 0, {"node": self._node, "after": "", "is_done": False}
        if noted["is_done"]:
            return True
        is_ours = noted["node"] == self._node
        if not is_ours and noted["node"] in await self._ledger.living():
            return False
        try:
            if not version or not is_ours:
                noted = {**noted, "node": self._node}
                version = await self._ledger.save_record(TOLD, name, version, noted, None)
            await self._push(alert, name, version, noted)
        except StaleHash:  # another node was faster, or took it over while this one slept through its lease
            return False
        return True

    async def _push(self, alert: Mapping[str, Any], name: str, version: int, noted: Mapping[str, Any]) -> None:
        """Raises StaleHash once it is another node's."""
        devices = [(k, body) for k, _, body in await self._ledger.records(DEVICES) if k > noted["after"]]
        later: list[tuple[str, Mapping[str, Any]]] = []
        for start in range(0, len(devices), AT_ONCE):
            some = devices[start : start + AT_ONCE]
            later += await self._batch(alert, some)
            noted = {**noted, "after": some[-1][0]}
            version = await self._ledger.save_record(TOLD, name, version, noted, None)
        for wait_s in RETRY_S:
            if not later:
                break
            await self._clock.sleep(wait_s)
            later = await self._batch(alert, later)
        await self._ledger.save_record(TOLD, name, version, {**noted, "is_done": True}, None)

    async def _batch(
        self, alert: Mapping[str, Any], devices: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> list[tuple[str, Mapping[str, Any]]]:
        """Those of these devices that have to be tried again."""
        turn, later = asyncio.Semaphore(CONCURRENCY), []

        async def one(key: str, body: Mapping[str, Any]) -> None:
            to = Device(
                body["endpoint"], base64.b64decode(body["key"]), base64.b64decode(body["auth"]), body["language"]
            )
            async with turn:
                heard = await self._sender.send(
                    to, _message(alert, to.language), ttl_s=self._ttl_s(alert), topic=_topic(alert)
                )
            if heard is Heard.GONE:
                await self._forget(key)
            elif heard is Heard.LATER:
                later.append((key, body))

        async with asyncio.TaskGroup() as tasks:
            for key, body in devices:
                tasks.create_task(one(key, body))
        return later

    def _ttl_s(self, alert: Mapping[str, Any]) -> int:
        if not alert["expires"]:
            return LONGEST_TTL_S
        left_s = (datetime.fromisoformat(alert["expires"]) - self._clock.now()).total_seconds()
        return int(min(max(left_s, LEAST_TTL_S), LONGEST_TTL_S))


def _message(alert: Mapping[str, Any], language: str) -> dict[str, str]:
    """What a device shows: the headline in its language, the place, and the page that says the rest."""
    said = alert["said"]
    kind = language.split("-", maxsplit=1)[0]
    it = next(
        (s for s in said if s["language"] == language),
        next((s for s in said if s["language"].split("-")[0] == kind), said[0]),
    )
    folder = alert["page"].rpartition("/")[0]
    return {
        "title": it["headline"],
        "body": it["place"],
        "lang": it["language"],
        "tag": alert["root"],
        "page": f"{folder}/{it['page']}",
    }


def _topic(alert: Mapping[str, Any]) -> str:
    """One for each chain, so that what waits for a device that is off is replaced by what followed (RFC 8030 §5.4)."""
    return base64.urlsafe_b64encode(hashlib.sha256(alert["root"].encode()).digest()[:24]).decode()


def _name(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def _json(request: web.Request) -> Mapping[str, Any]:
    """What was posted; empty for whatever is no JSON object."""
    try:
        said = json.loads(await request.read())
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
