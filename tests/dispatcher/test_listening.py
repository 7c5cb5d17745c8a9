"""What listens closes what it accepted, at whatever moment it was accepted."""

import asyncio
import socket

import pytest
from aiohttp import web

from dispatcher.clock import SystemClock
from dispatcher.listening import listening


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_comes_while_the_listener_closes_is_closed(turns):
    with socket.socket() as caller:
        async with listening(web.Application(), "127.0.0.1", 0) as (host, port):
            caller.connect((host, port))  # the kernel takes it; the loop hears of it a turn later
            caller.setblocking(False)
            for _ in range(turns):
                await SystemClock().sleep(0)
        async with asyncio.timeout(5):
            try:
                heard = await asyncio.get_running_loop().sock_recv(caller, 1)
            except ConnectionResetError:
                heard = b""
        assert heard == b""
