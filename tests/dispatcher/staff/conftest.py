"""What the console's test files share: one headquarters a file, and two people signed in there."""

import pytest_asyncio

from tests.servers.console import APPROVER, WRITER, console


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory):
    async with console(tmp_path_factory.mktemp("console")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def writer(room):
    async with room.signed_in(WRITER) as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def approver(room):
    async with room.signed_in(APPROVER) as browser:
        yield browser
