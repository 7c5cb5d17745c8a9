"""Pages that follow: one address may have many, nobody may have all, and who is refused is told so and leaves nothing behind."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from dispatcher import residents
from dispatcher.clock import SystemClock
from dispatcher.listening import listening
from dispatcher.residents import live
from dispatcher.residents.live import Following

CLOCK = SystemClock()
SHELTER, PEST, V6, SAME_V6 = "198.51.100.1", "203.0.113.1", "2001:db8:1:2::1", "2001:db8:1:2:ffff::9"


@pytest.fixture
async def site(tmp_path, monkeypatch) -> AsyncIterator[tuple[aiohttp.ClientSession, Following]]:
    monkeypatch.setattr(live, "MAX_OF_ADDRESS", 3)
    monkeypatch.setattr(live, "MAX_READERS", 8)
    following = Following(tmp_path, CLOCK)
    async with (
        listening(residents.application(following.routes, tmp_path), "127.0.0.1", 0) as (host, port),
        aiohttp.ClientSession(f"http://{host}:{port}", connector=aiohttp.TCPConnector(limit=0)) as session,
        following.open(),
    ):
        yield session, following


async def reading(stack: AsyncExitStack, session: aiohttp.ClientSession, client: str) -> aiohttp.ClientResponse:
    """A page opens its line, behind our own proxy; "": the proxy does not say for whom."""
    headers = {"X-Forwarded-For": client} if client else {}
    answer = await stack.enter_async_context(session.get("/live", headers=headers))
    if answer.status == 200:
        assert (await answer.content.readline()).startswith(b"retry:")
    return answer


async def test_one_address_has_many_pages_and_leaves_room_for_others(site):
    session, following = site
    async with AsyncExitStack() as open_pages:
        assert [(await reading(open_pages, session, PEST)).status for _ in range(5)] == [200, 200, 200, 429, 429]
        assert (await reading(open_pages, session, SHELTER)).status == 200
        refused = await reading(open_pages, session, PEST)
        assert int(refused.headers["Retry-After"]) == live.FULL_RETRY_S
        assert "混み合っています" in await refused.text()
        assert (following.readers, following.refused) == (4, 3)
        assert [(await reading(open_pages, session, it)).status for it in (V6, V6, SAME_V6, V6)] == [200, 200, 200, 429]
    while following.readers:
        await following.tell(b":\n\n")
        await CLOCK.sleep(0.01)
    async with AsyncExitStack() as open_pages:
        assert (await reading(open_pages, session, PEST)).status == 200


async def test_a_proxy_that_does_not_say_for_whom_is_no_pest_and_all_together_have_an_end(site):
    session, following = site
    async with AsyncExitStack() as open_pages:
        told = [(await reading(open_pages, session, "")).status for _ in range(10)]
        assert told == [200] * 8 + [503] * 2
        assert following.readers == 8
