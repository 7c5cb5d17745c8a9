"""What every channel must keep, proved against a real receiver. tests/channels/test_<kind>.py extends ChannelContract.

A subclass gives `rig`: an async fixture that opens the channel and its receiver and yields a Rig. Faults are asked of the
receiver, never patched into the channel.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from config.cities import load
from dispatcher.channel import Channel, Surroundings
from dispatcher.clock import SystemClock
from dispatcher.errors import ChannelError, ModeLeak
from dispatcher.model.audience import Destination
from dispatcher.model.delivery import Outcome, Received, Told
from dispatcher.model.mode import Drill, Live
from dispatcher.model.rendering import Rendering
from dispatcher.model.report import Reported
from tests.samples import OSAWA, PLACES, evacuation_order, retraction

WITHIN_S = 20.0
"""Everything here ends in this time; it bounds a hang and asserts no speed."""

YES = {Outcome.TAKEN, Outcome.DUPLICATE}


class Memory:
    """An inbox that keeps what came back; the ledger's place in a channel's own test."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.reported: dict[str, Reported] = {}
        self.is_asking = True
        self.reachable_calls = 0
        self.came = asyncio.Event()

    async def record(self, received: Sequence[Received]) -> None:
        self.received += received
        self.came.set()

    async def report(self, reported: Sequence[Reported]) -> bool:
        if self.is_asking:
            self.reported |= {one.key: one for one in reported}
            self.came.set()
        return self.is_asking

    def reachable(self) -> None:
        self.reachable_calls += 1
        self.came.set()


def surroundings(state_dir: Path, site_url: str = "http://127.0.0.1:8080") -> Surroundings:
    state_dir.mkdir(parents=True, exist_ok=True)
    return Surroundings(clock=SystemClock(), city=load("mitaka"), state_dir=state_dir, site_url=site_url)


class Rig(ABC):
    """One channel in drill mode, open, with the real receiver behind it."""

    channel: Channel[Drill, Any]
    says_twice_is_avoided = True
    """False where the medium offers no way to recognise a repeat."""

    @abstractmethod
    async def texts(self) -> Sequence[tuple[str, str]]:
        """(language, text) of everything that people met, each piece on its own, as read back off the wire."""

    @abstractmethod
    async def tellings(self, rendering: Rendering[Drill]) -> Counter[str]:
        """How often each address met this rendering's message."""

    @abstractmethod
    def broken(self) -> AbstractAsyncContextManager[None]:
        """The receiver is out of reach inside, and back afterwards."""

    @abstractmethod
    def other_mode(self) -> Channel[Live, Any]:
        """The same channel, not opened, in live mode."""


async def attempt(channel: Channel[Drill, Any], rendering: Rendering[Drill], to: Sequence[Destination]) -> list[Told]:
    told: list[Told] = []
    async with asyncio.timeout(WITHIN_S):
        await channel.send(rendering, to, told.append)
    return told


async def members(channel: Channel[Drill, Any]) -> list[Destination]:
    audience = await channel.audience(OSAWA)
    return [d async for d in channel.destinations(audience)]


async def until_taken(
    channel: Channel[Drill, Any], rendering: Rendering[Drill], to: Sequence[Destination]
) -> dict[str, Told]:
    """Try again, as the send step would, until everybody's was taken."""
    done: dict[str, Told] = {}
    async with asyncio.timeout(WITHIN_S):
        while len(done) < len(to):
            left = [d for d in to if d.address not in done]
            told: list[Told] = []
            try:
                await channel.send(rendering, left, told.append)
            except ChannelError:
                await SystemClock().sleep(0.05)
            done |= {t.address: t for t in told if t.outcome in YES}
            if len(done) < len(to):
                await SystemClock().sleep(0.05)
    return done


class ChannelContract(ABC):
    """Extend in tests/channels/test_<kind>.py and give the fixture `rig`."""

    @pytest.fixture
    @abstractmethod
    def rig(self) -> AsyncIterator[Rig]: ...

    async def rendering(self, rig: Rig) -> Rendering[Drill]:
        return rig.channel.render(evacuation_order(Drill), await rig.channel.audience(OSAWA))

    async def test_rendering_twice_gives_the_same_bytes(self, rig: Rig) -> None:
        assert (await self.rendering(rig)).digest == (await self.rendering(rig)).digest

    async def test_every_text_bears_the_banner_and_the_place_before_it_leaves(self, rig: Rig) -> None:
        rendering = await self.rendering(rig)
        assert rendering.texts
        assert rendering.parts
        for text in rendering.texts:
            assert Drill.banner(text.language).strip() in text.words
            assert PLACES.get(text.language, PLACES["ja"]).split("（")[0] in text.words

    async def test_what_reaches_people_bears_the_banner_and_the_place(self, rig: Rig) -> None:
        rendering = await self.rendering(rig)
        await until_taken(rig.channel, rendering, await members(rig.channel))
        texts = await rig.texts()
        assert texts
        for language, words in texts:
            assert Drill.banner(language).strip() in words, f"{language}: {words[:80]}"
            assert PLACES.get(language, PLACES["ja"]).split("（")[0] in words, f"{language}: {words[:80]}"

    async def test_everybody_is_told_once_and_taken(self, rig: Rig) -> None:
        to = await members(rig.channel)
        assert to
        told = await until_taken(rig.channel, await self.rendering(rig), to)
        assert set(told) == {d.address for d in to}
        assert set((await rig.tellings(await self.rendering(rig))).values()) == {1}

    async def test_the_head_count_is_what_is_addressed(self, rig: Rig) -> None:
        audience = await rig.channel.audience(OSAWA)
        to = [d async for d in rig.channel.destinations(audience)]
        assert len({d.address for d in to}) == len(to)
        assert audience.head_count in {None, len(to)}

    async def test_an_audience_of_no_quarters_counts_nobody(self, rig: Rig) -> None:
        audience = await rig.channel.audience(())
        assert audience.head_count in {None, 0}

    async def test_sending_again_tells_nobody_twice(self, rig: Rig) -> None:
        rendering = await self.rendering(rig)
        to = await members(rig.channel)
        await until_taken(rig.channel, rendering, to)
        await until_taken(rig.channel, rendering, to)
        if rig.says_twice_is_avoided:
            assert set((await rig.tellings(rendering)).values()) == {1}

    async def test_a_receiver_out_of_reach_is_temporary_and_its_return_is_enough(self, rig: Rig) -> None:
        rendering = await self.rendering(rig)
        to = await members(rig.channel)
        async with rig.broken():
            try:
                told = await attempt(rig.channel, rendering, to)
            except ChannelError as failure:
                assert type(failure).__name__ == "TemporaryFailure"
                assert str(failure)
            else:
                assert {t.outcome for t in told} <= {Outcome.TEMPORARY, Outcome.UNKNOWN}
                assert all(t.words for t in told)
            probe = await rig.channel.probe()
            assert not probe.is_up
            assert probe.words
        told = await until_taken(rig.channel, rendering, to)
        assert set(told) == {d.address for d in to}
        assert (await rig.channel.probe()).is_up

    async def test_a_cancelled_attempt_leaves_the_channel_fit_for_the_next(self, rig: Rig) -> None:
        rendering = await self.rendering(rig)
        to = await members(rig.channel)
        attempting = asyncio.ensure_future(rig.channel.send(rendering, to, lambda _told: None))
        await SystemClock().sleep(0)
        attempting.cancel()
        await asyncio.wait([attempting])
        assert attempting.done()
        told = await until_taken(rig.channel, rendering, to)
        assert set(told) == {d.address for d in to}

    async def test_a_retraction_reaches_all_that_the_original_reached_and_says_so(self, rig: Rig) -> None:
        order = evacuation_order(Drill)
        audience = await rig.channel.audience(OSAWA)
        to = await members(rig.channel)
        await until_taken(rig.channel, rig.channel.render(order, audience), to)
        cancel = rig.channel.render(retraction(order), audience)
        await until_taken(rig.channel, cancel, to)
        assert any("取消" in words for _, words in await rig.texts())
        assert set((await rig.tellings(cancel)).values()) == {1}

    async def test_a_live_alert_is_refused_at_a_drill_channels_door(self, rig: Rig) -> None:
        audience = await rig.channel.audience(OSAWA)
        with pytest.raises(ModeLeak):
            rig.channel.render(evacuation_order(Live), audience)

    async def test_a_live_rendering_is_refused_at_a_drill_channels_door(self, rig: Rig) -> None:
        audience = await rig.channel.audience(OSAWA)
        live = rig.other_mode().render(evacuation_order(Live), audience)
        with pytest.raises(ModeLeak):
            await rig.channel.send(live, await members(rig.channel), lambda _told: None)
        assert not await rig.texts()

    async def test_a_drill_alert_is_refused_at_a_live_channels_door(self, rig: Rig) -> None:
        audience = await rig.channel.audience(OSAWA)
        with pytest.raises(ModeLeak):
            rig.other_mode().render(evacuation_order(Drill), audience)
        with pytest.raises(ModeLeak):
            await rig.other_mode().send(await self.rendering(rig), [], lambda _told: None)

    async def test_a_live_rendering_has_no_trace_of_a_drill(self, rig: Rig) -> None:
        audience = await rig.channel.audience(OSAWA)
        live = rig.other_mode().render(evacuation_order(Live), audience)
        for text in live.texts:
            assert "訓練" not in text.words
            assert "DRILL" not in text.words
