"""Each channel draws an alert once for an audience, all of them at the same time; who cannot says why, as itself."""

from dataclasses import replace

import pytest

from channels.website import Settings, Website
from dispatcher.errors import InvalidInput, ModeLeak
from dispatcher.model.mode import Drill, Live
from dispatcher.steps import render as step
from dispatcher.steps.render import Renderer
from tests.contracts.channel_contract import surroundings
from tests.samples import OSAWA, evacuation_order

ORDER = evacuation_order(Drill)


@pytest.fixture
def channels(tmp_path):
    settings = Settings(folder=tmp_path / "site", url="http://127.0.0.1:8080")
    return {kind: Website(Drill, settings, surroundings(tmp_path / kind)) for kind in ("website", "another")}


@pytest.fixture
async def audiences(channels):
    return {kind: await channel.audience(OSAWA) for kind, channel in channels.items()}


async def test_the_same_alert_for_the_same_audience_is_drawn_once(channels, audiences):
    renderer = Renderer(channels)
    first = await renderer.render(ORDER, audiences)
    again = await renderer.render(replace(ORDER), audiences)
    assert first.keys() == channels.keys()
    assert all(first[kind] is again[kind] for kind in channels)


async def test_another_time_or_another_audience_is_another_rendering(channels, audiences):
    renderer = Renderer(channels)
    first = await renderer.render(ORDER, audiences)
    later = await renderer.render(evacuation_order(Drill, identifier="later"), audiences)
    narrow = {kind: await channel.audience(OSAWA[:1]) for kind, channel in channels.items()}
    other = await renderer.render(ORDER, narrow)
    for kind in channels:
        assert first[kind].identifier != later[kind].identifier
        assert first[kind] is not other[kind]


async def test_what_has_not_been_used_for_long_is_forgotten(channels, audiences, monkeypatch):
    monkeypatch.setattr(step, "KEPT", 2)
    renderer = Renderer(channels)
    first = await renderer.render(ORDER, audiences)
    await renderer.render(evacuation_order(Drill, identifier="later"), audiences)
    again = await renderer.render(ORDER, audiences)
    assert all(first[kind] is not again[kind] for kind in channels)
    assert all(first[kind].digest == again[kind].digest for kind in channels)


async def test_what_a_channel_cannot_say_leaves_as_its_own_refusal(channels, audiences):
    with pytest.raises(InvalidInput):
        await Renderer(channels).render(replace(ORDER, info=()), audiences)


async def test_the_other_mode_is_refused_also_where_the_same_was_drawn_before(channels, audiences):
    renderer = Renderer(channels)
    await renderer.render(ORDER, audiences)
    with pytest.raises(ModeLeak):
        await renderer.render(evacuation_order(Live), audiences)
