"""Debian's Chromium without a window, asked over its own DevTools protocol what a page is at a given width.

Source: Chrome DevTools Protocol, domains Emulation, Page, Runtime, Accessibility.
"""

import asyncio
import base64
import itertools
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from dispatcher.clock import SystemClock

START_S = 30.0
CHROMIUM = "/usr/bin/chromium-headless-shell"
"""Debian's, without the parts that draw windows: the same pages for less than half of the processor time."""
FLAGS = (
    "--no-sandbox",  # containers offer no user namespaces; it loads our own pages from loopback only
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


class Tab:
    """One page in the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def open(self, url: str, width: int, height: int) -> None:
        """Load it and wait until all of it is there. Sizes in CSS pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        await self.call("Page.enable")
        await self.call("Page.navigate", url=url)
        while await self.value("document.readyState + ' ' + location.href") != f"complete {url}":
            await SystemClock().sleep(0.02)

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression is on this page, as JSON."""
        return (await self.call("Runtime.evaluate", expression=expression, returnByValue=True))["result"].get("value")

    async def names(self, role: str) -> list[str]:
        """What a screen reader calls everything of that role, in order."""
        nodes = (await self.call("Accessibility.getFullAXTree"))["nodes"]
        return [
            node["name"]["value"]
            for node in nodes
            if not node["ignored"] and node["role"]["value"] == role and "name" in node
        ]

    async def picture(self) -> bytes:
        """The visible part as PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])

    async def call(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol. Raises RuntimeError with the browser's words."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]


@asynccontextmanager
async def chromium() -> AsyncIterator[Tab]:
    """Inside `async with`, a browser with one empty page."""
    with tempfile.TemporaryDirectory(prefix="todoke-chromium-", ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={folder}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "HOME": folder, "TMPDIR": folder},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(START_S), aiohttp.ClientSession() as session:
                port = await _port(process)
                async with session.get(f"http://127.0.0.1:{port}/json/list") as listed:
                    page = next(t for t in json.loads(await listed.read()) if t["type"] == "page")
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket,
            ):
                yield Tab(socket)
        finally:
            os.killpg(process.pid, 9)
            await process.wait()


async def _port(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    while line := await process.stderr.readline():
        if line.startswith(b"DevTools listening on "):
            return int(line.split(b":")[2].split(b"/")[0])
    raise RuntimeError("chromium ended before it listened")
