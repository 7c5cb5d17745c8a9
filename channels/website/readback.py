"""Reads the site as residents do, and compares byte for byte; this channel's only HTTP client.

Neither a cache that still says the old thing nor a server that says 200 with something else counts as taken. Nothing is
asked to be fresh: what a resident would get is what is judged. At most as many bytes are read as are expected.

Source: design.md §3 "taken is: website, read back over HTTP"; RFC 9110 §15.
"""

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import quote

import aiohttp

from dispatcher.errors import TemporaryFailure

ENCODINGS = ("identity", "gzip")
RETRY_S = 1.0


class Reader:
    """An HTTP client for one site; `async with` it."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url.rstrip("/")
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            connector=aiohttp.TCPConnector(limit=4),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def expect(self, files: Mapping[str, bytes], now: Callable[[str], bytes | None]) -> None:
        """Return when each file is served as it was written, plain and packed; `now` says what the folder holds by now.

        Raises:
            TemporaryFailure: one is not; in the server's own words.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for name, data in files.items():
                    for encoding in ENCODINGS:
                        group.create_task(self._expect(name, data, encoding, now))
        except* TemporaryFailure as failures:
            raise failures.exceptions[0] from None

    async def _expect(self, name: str, data: bytes, encoding: str, now: Callable[[str], bytes | None]) -> None:
        served = await self.get(name, len(data), encoding)
        if served == data:
            return
        # Another message may have been published meanwhile: then the folder has moved on, with ours in it.
        later = now(name)
        if later != data and later is not None and await self.get(name, len(later), encoding) == later:
            return
        raise TemporaryFailure(f"{self._url}/{name}: 200 ですが、公開した内容と違います", retry_after_s=RETRY_S)

    async def get(self, name: str, expected_bytes: int, encoding: str = "gzip") -> bytes:
        """What the site serves under this name, cut after one byte more than expected.

        Raises:
            TemporaryFailure: anything but a 200.
        """
        address = f"{self._url}/{quote(name)}"
        try:
            async with self._session.get(
                address, headers={"Accept-Encoding": encoding}, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise TemporaryFailure(f"{address}: {response.status} {response.reason}", retry_after_s=RETRY_S)
                body = bytearray()
                while len(body) <= expected_bytes and (
                    chunk := await response.content.read(expected_bytes + 1 - len(body))
                ):
                    body += chunk
                return bytes(body)
        except TimeoutError:
            raise TemporaryFailure(f"{address}: 時間内に応答がありません") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TemporaryFailure(f"{address}: {str(error) or type(error).__name__}") from error
