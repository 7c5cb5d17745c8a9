"""Rings the devices that asked for it: each new message of the site is pushed to all of them, the newest message first.

What is pushed is what the site says by then (`alerts.json`), so a device never knows more than the page that it opens. A message
is taken on by one node of the ledger, goes through the devices in the order of their keys, and notes how far it has come, so
that a node that stopped, or any other once its lease has run out, goes on where it was (whoever was owed another try by then
is not rung again). A device that its push service no longer knows is forgotten at once.

A new message waits for nobody: older ones stand still while it goes round, further tries come after every first one, and a
service that fails is left alone for a while instead of being waited for a thousand times. A message whose chain goes on is
pushed no further: it would stand over the newer one.

    GET /push/key    and the devices' own doors (devices.py)

Source: RFC 8030 §5.4, §7.3; Push API §3; design.md §6 "Next"; dispatcher/residents/webpush.py.
"""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from dispatcher.clock import Clock
from dispatcher.errors import NotFound, StaleHash, StorageFull
from dispatcher.ledger import Ledger
from dispatcher.log import logger
from dispatcher.residents.devices import PAGE, Devices, name
from dispatcher.residents.webpush import FIRST_TRIES, FURTHER_TRIES, Device, Heard, Sender

TOLD = "push-told"
LOOK_S = 1.0
RECENT = timedelta(minutes=30)
"""An older message is not pushed any more: who opens an old site must not ring a city."""
FIRST_TRY_S, TRY_AGAIN_S = 5.0, 20.0
"""How long one device may take: what is slow comes again, when nobody waits behind it."""
RETRY_S = (5.0, 15.0, 45.0, 120.0)
FAILURES = 3
"""In a row, until a push service is left alone for REST_S."""
REST_S = 4.0
SERVICES = 4_096
LONGEST_TTL_S, LEAST_TTL_S = 24 * 3600, 60

log = logger(__name__)


@dataclass(eq=False, slots=True)
class _Message:
    """One message on its way round the devices."""

    alert: Mapping[str, Any]
    sent: datetime
    later: list[str] = field(default_factory=list)
    """Devices to be tried again, by their keys."""
    is_through: asyncio.Event = field(default_factory=asyncio.Event)
    """Every device has been tried once."""
    is_current: bool = True
    """Nothing of its chain is newer."""


class Push:
    """Web Push of one node."""

    def __init__(self, ledger: Ledger, clock: Clock, sender: Sender, devices: Devices, folder: Path, node: str) -> None:
        self._ledger = ledger
        self._clock = clock
        self._sender = sender
        self._devices = devices
        self._alerts = folder / "alerts.json"
        self._node = node
        self._read_at = 0
        self._under_way: dict[str, _Message] = {}
        self._first = asyncio.Semaphore(FIRST_TRIES)
        self._further = asyncio.Semaphore(FURTHER_TRIES)
        self._services = _Services(clock)

    @property
    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return [web.get("/push/key", self._key), *self._devices.routes]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Inside, new messages are pushed."""
        await self._devices.read()
        async with self._sender, asyncio.TaskGroup() as tasks:
            following = tasks.create_task(self._follow())
            try:
                yield
            finally:
                following.cancel()

    async def _key(self, _request: web.Request) -> web.Response:
        return web.json_response({"key": self._sender.public_key})

    async def _follow(self) -> None:
        async with asyncio.TaskGroup() as going_round:
            while True:
                try:
                    await self.look(going_round)
                except (StorageFull, OSError, ValueError, KeyError, TypeError) as reason:
                    log.warning("push.failed", reason=type(reason).__name__)
                await self._clock.sleep(LOOK_S)

    async def look(self, going_round: asyncio.TaskGroup) -> None:
        """Take on whatever the site says that nobody has pushed."""
        try:
            at = self._alerts.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if at == self._read_at:
            return
        alerts = {alert["identifier"]: alert for alert in json.loads(self._alerts.read_bytes())["alerts"]}
        for identifier, message in self._under_way.items():
            message.is_current = identifier in alerts
        is_done = True
        for identifier, alert in alerts.items():
            sent = datetime.fromisoformat(alert["sent"])
            if self._clock.now() - sent < RECENT and not await self._is_told(identifier):
                is_done = False
                if identifier not in self._under_way:
                    self._under_way[identifier] = message = _Message(alert, sent)
                    going_round.create_task(self._round(identifier, message))
        if is_done:
            self._read_at = at

    async def _is_told(self, identifier: str) -> bool:
        """By this node, or by another that lives: then it is looked at again, should that one die."""
        try:
            _, noted = await self._ledger.read_record(TOLD, name(identifier))
        except NotFound:
            return False
        return bool(noted["is_done"])

    async def _round(self, identifier: str, message: _Message) -> None:
        try:
            await self._tell(name(identifier), message)
        except* StaleHash:
            # Another node was faster, or took it over while this one slept through its lease.
            pass
        except* (StorageFull, OSError, ValueError, KeyError, TypeError) as reasons:
            log.warning("push.failed", reason=type(reasons.exceptions[0]).__name__)
        finally:
            message.is_through.set()
            del self._under_way[identifier]

    async def _tell(self, key: str, message: _Message) -> None:
        """Push it to every device, unless another living node has it, from where it was left.

        Raises:
            StaleHash: it is another node's.
        """
        try:
            version, noted = await self._ledger.read_record(TOLD, key)
        except NotFound:
            version, noted = 0, {"node": self._node, "after": "", "is_done": False}
        if noted["is_done"] or (noted["node"] != self._node and noted["node"] in await self._ledger.living()):
            return
        noted = {**noted, "node": self._node}
        version = await self._ledger.save_record(TOLD, key, version, noted, None)
        async with asyncio.TaskGroup() as sending:
            after = noted["after"]
            while await self._turn(message) and (page := await self._devices.page(after, PAGE)):
                for device_key, device in page:
                    if device is not None and await self._turn(message):
                        await self._start(sending, message, device_key, device, is_first=True)
                # A page behind: of what has just been handed out some is not sent yet.
                noted, after = {**noted, "after": after}, page[-1][0]
                version = await self._ledger.save_record(TOLD, key, version, noted, None)
        message.is_through.set()
        for wait_s in RETRY_S:
            if not message.later:
                break
            await self._clock.sleep(wait_s)
            await self._again(message)
        await self._ledger.save_record(TOLD, key, version, {**noted, "is_done": True}, None)

    async def _again(self, message: _Message) -> None:
        """Another try for those that failed."""
        keys, message.later = message.later, []
        async with asyncio.TaskGroup() as sending:
            for key in keys:
                if await self._turn(message) and (device := await self._devices.one(key)):
                    await self._start(sending, message, key, device, is_first=False)

    async def _turn(self, message: _Message) -> bool:
        """Wait while a newer message goes round; whether this one still is what its chain says."""
        while message.is_current:
            newer = [m for m in self._under_way.values() if m.sent > message.sent and not m.is_through.is_set()]
            if not newer:
                break
            await newer[0].is_through.wait()
        return message.is_current

    async def _start(
        self, sending: asyncio.TaskGroup, message: _Message, key: str, device: Device, *, is_first: bool
    ) -> None:
        """Send to one device as soon as there is room."""
        room, timeout_s = (self._first, FIRST_TRY_S) if is_first else (self._further, TRY_AGAIN_S)
        await room.acquire()
        sending.create_task(self._send(message, key, device, timeout_s)).add_done_callback(lambda _: room.release())

    async def _send(self, message: _Message, key: str, device: Device, timeout_s: float) -> None:
        service, alert = urlsplit(device.endpoint).netloc, message.alert
        if self._services.rests(service):
            message.later.append(key)
            return
        say, ttl_s = _message(alert, device.language), self._ttl_s(alert)
        try:
            heard = await self._sender.send(device, say, ttl_s=ttl_s, topic=_topic(alert), timeout_s=timeout_s)
            self._services.said(service, heard)
            if heard is Heard.GONE:
                await self._devices.forget(key)
        except Exception as mistake:  # noqa: BLE001 - a stranger chose the address: one must not stop all the others
            log.warning("push.failed", reason=type(mistake).__name__)
            return
        if heard is Heard.LATER:
            message.later.append(key)

    def _ttl_s(self, alert: Mapping[str, Any]) -> int:
        if not alert["expires"]:
            return LONGEST_TTL_S
        left_s = (datetime.fromisoformat(alert["expires"]) - self._clock.now()).total_seconds()
        return int(min(max(left_s, LEAST_TTL_S), LONGEST_TTL_S))


class _Services:
    """Push services by their address, and which of them are left alone for now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failing: dict[str, tuple[int, float]] = {}

    def rests(self, service: str) -> bool:
        failures, until_s = self._failing.get(service, (0, 0.0))
        return failures >= FAILURES and self._clock.monotonic() < until_s

    def said(self, service: str, heard: Heard) -> None:
        failures, _ = self._failing.pop(service, (0, 0.0))
        if heard is Heard.LATER:
            self._failing[service] = failures + 1, self._clock.monotonic() + REST_S
            if len(self._failing) > SERVICES:
                del self._failing[next(iter(self._failing))]


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
