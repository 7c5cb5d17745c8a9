"""The relay of the demo city and a node that tells facilities first, for this folder's tests."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from config.cities import load
from drills.world.email_list import World
from tests.servers.told_first import ToldFirst, register, told_first

NEVER_S = 3600.0
"""From rung to rung, where no rung is wanted."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path / "world", load("mitaka"), 1) as world:
        yield world


@pytest.fixture
def city(tmp_path: Path, world: World) -> Callable[..., AbstractAsyncContextManager[ToldFirst]]:
    """Makes the node, with this relay, on a ledger of its own."""

    def made(*lines, step_s=NEVER_S, dsn=None, **channels):
        register(tmp_path, *lines)
        return told_first(
            tmp_path,
            {"email_list": dict(world.settings()), **channels},
            dsn=dsn or f"sqlite:///{tmp_path / 'todoke.db'}",
            step_s=step_s,
        )

    return made
