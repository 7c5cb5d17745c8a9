"""The world on loopback: behind each medium a real receiver and simulated people, one module a kind, found by its name.

`drills/world/<kind>.py` has a class `World`:

    async with World(state_dir, city, seed) as world:
        world.settings()          the `channels.<kind>` block of a site file that reaches this world
        await world.keep(folder)  write down what the receiver got, as it got it
        world.report()            figures of its own for the demo's summary (terminals: {"silent": 62}), and "first_byte_at":
                                  when the receiver met the first byte of the first message (ISO 8601), None before

Worlds start before the node; a world whose people connect to the node (terminals, stations) keeps trying until it is there.
"""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from config.city import City


class World(Protocol):
    """What a kind's receiver and people offer to the demo, to exercises and to tests."""

    def __init__(self, state_dir: Path, city: City, seed: int) -> None: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def settings(self) -> Mapping[str, Any]: ...

    async def keep(self, folder: Path) -> None: ...

    def report(self) -> Mapping[str, Any]: ...
