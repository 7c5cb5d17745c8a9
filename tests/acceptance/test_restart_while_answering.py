"""A node that is restarted while a city answers: whoever has read "received" is in the ledger, and nobody else is."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.servers.asking_city import City, person_of, token_of

PEOPLE, PHONES = 1500, 48
BODY = b"a=hurt"
REPLIES = "SELECT DISTINCT person FROM replies"


@pytest.fixture
def city(tmp_path):
    city = City(tmp_path)
    city.start()
    yield city
    city.stop()


async def tap(city: City, waiting: Iterator[tuple[str, str]], thanked: set[str], *, until: int) -> None:
    """Each phone sends answer after answer, and notes who has been thanked; the node is asked to stop after so many."""
    host, port = city.url.removeprefix("http://").split(":")

    async def phone() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            for person, token in waiting:
                writer.write(
                    b"POST /a/%b HTTP/1.1\r\nHost: here\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                    b"Content-Length: %d\r\n\r\n%b" % (token.encode(), len(BODY), BODY)
                )
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 "), head
                thanked.add(person)
                if len(thanked) == until:
                    city.process.send_signal(signal.SIGTERM)
                size = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(size.partition(b":")[2]))
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def phone_of_a_node_that_may_go() -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await phone()

    async with asyncio.timeout(60), asyncio.TaskGroup() as phones:
        for _ in range(PHONES):
            phones.create_task(phone_of_a_node_that_may_go())


def test_a_node_that_is_stopped_while_thousands_answer_keeps_whatever_it_thanked_for(city):
    keys = city.asked(PEOPLE)
    links = {person_of(keys, n): token_of(keys, n) for n in range(PEOPLE)}
    thanked: set[str] = set()
    asyncio.run(tap(city, iter(links.items()), thanked, until=PEOPLE // 3))
    assert city.process.wait(20) == 0
    assert len(thanked) >= PEOPLE // 3
    kept = {person for (person,) in city.look(REPLIES)}
    assert thanked <= kept
    assert len(kept - thanked) <= PHONES, "of whom the page was on its way"
    city.process.stderr.close()
    city.start()
    asyncio.run(tap(city, iter(links.items()), thanked, until=0))
    assert thanked == {person for (person,) in city.look(REPLIES)} == set(links)
    assert city.look("SELECT count(*) FROM replies") == [(PEOPLE,)], "who says the same again is kept once"
