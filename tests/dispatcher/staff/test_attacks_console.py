"""What was tried at the console's door with requests that no browser makes, and by people who type anything into any field."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from dispatcher.staff.console import live, posted
from tests.servers.console import APPROVER, WRITER, Console, console, until


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Console]:
    async with console(tmp_path) as opened:
        yield opened


async def said_to(here: Console, path: str, headers: str, body: bytes, promised: int | None = None) -> tuple[int, str]:
    """Status and everything else that comes back to these very bytes."""
    address = here.url.removeprefix("http://")
    reader, writer = await asyncio.open_connection(*address.split(":"))
    try:
        lines = f"POST {path} HTTP/1.1\r\nHost: {address}\r\nOrigin: {here.url}\r\nConnection: close\r\n{headers}"
        writer.write(f"{lines}Content-Length: {promised or len(body)}\r\n\r\n".encode() + body)
        async with asyncio.timeout(20):
            answer = (await reader.read()).decode()
    finally:
        writer.close()
    return int(answer.split(" ", 2)[1]), answer


FORM, PARTS = "Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type: multipart/form-data; boundary=x\r\n"


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (PARTS, b"--x\r\nno header", 422),
        (PARTS, b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\xff\r\n--x--', 422),
        (PARTS, b"--x\r\nContent-Disposition: " + b"a" * 20_000 + b"\r\n\r\na\r\n--x--", 422),
        (PARTS, b"--y\r\n", 422),
        (FORM, b"&".join(b"a%d=1" % n for n in range(90_000)), 413),
        (FORM, b"_held=" + b"[" * 200_000, 401),
        (FORM, b"name=%ed%a0%80&password=%ff&code=%00", 401),
    ],
)
async def test_no_body_is_an_internal_error_and_every_answer_has_its_guards(here, headers, body, status):
    """A part without a header was an internal error, shown by the library's own page."""
    for path in ("/signin", "/drafts/x/approve"):
        got, answer = await said_to(here, path, headers, body)
        assert got == (status if path == "/signin" else 401), answer
        assert "Content-Security-Policy: default-src 'none'" in answer
        assert "Traceback" not in answer


@pytest.mark.parametrize("headers", [FORM, PARTS])
async def test_a_form_that_never_ends_is_let_go(here, monkeypatch, headers):
    """A byte now and then held a connection for ever, and anybody may send one to the sign-in."""
    monkeypatch.setattr(posted, "SENT_WITHIN_S", 0.2)
    monkeypatch.setattr(posted, "UPLOADED_WITHIN_S", 0.2)
    for path in ("/signin", "/drafts/x/approve"):
        got, answer = await said_to(here, path, headers, b"name=", promised=900_000)
        assert got in {401, 408}, answer
        assert "Content-Security-Policy: default-src 'none'" in answer


async def test_one_browser_that_listens_without_end_leaves_the_others_their_news(here):
    """512 streams of one person were all that there are: everybody else's page stood still."""
    async with here.signed_in(WRITER) as greedy, here.signed_in(APPROVER) as other, AsyncExitStack() as streams:
        answers = []
        for _ in range(live.MAX_OF_A_SESSION + 4):
            answer = await streams.enter_async_context(greedy.session.get(here.url + "/events"))
            answers.append(answer.status)
        assert answers == [200] * live.MAX_OF_A_SESSION + [503] * 4
        assert (await streams.enter_async_context(other.session.get(here.url + "/events"))).status == 200
        await streams.pop_all().aclose()

        async def listens_again() -> bool:
            async with greedy.session.get(here.url + "/events") as answer:
                return answer.status == 200

        await until(listens_again, "places of closed pages are free again")
