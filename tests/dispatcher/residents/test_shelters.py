"""Shelters from the desk and from the shelter itself to what residents read: pages, JSON, an alert's own page, within a second."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from channels.website.shelters import as_json, listed, newest
from dispatcher.clock import ManualClock, SystemClock
from dispatcher.errors import InvalidInput, NotFound, Refused, StaleHash
from dispatcher.model.mode import Drill
from dispatcher.model.shelter import OLD_AFTER, ShelterStanding, ShelterState
from dispatcher.staff.rules import Role
from dispatcher.tracking.shelters import Shelters
from tests.channels.website.town import CITY, OSAWADAI, OTHER, Town, town
from tests.samples import evacuation_order
from tests.servers.seats import WRITER, person, seats

NOW = SystemClock().now().replace(microsecond=0)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Town]:
    async with town(tmp_path, SystemClock()) as there:
        yield there


async def test_what_is_said_of_a_shelter_stands_on_index_list_alert_and_json(place: Town):
    alert = evacuation_order(Drill, sent=NOW)
    await place.publish(alert)
    page = f"alerts/{alert.identifier}/index.html"
    assert "入れます（開設）" not in await place.text(page)
    await place.shelters.say(OSAWADAI, "open", by="職員0001")
    for name in ("index.html", page, "shelters/index.html"):
        await place.until(name, "入れます（開設）")
    for name, words in (
        ("easy.html", "はいれます"),
        ("en.html", "Open"),
        ("zh.html", "可进入"),
        ("ko.html", "들어갈 수 있음"),
    ):
        await place.until(name, words)
        await place.until(f"shelters/{name}", words)
    shown = json.loads(await place.until("shelters.json", '"state": "open"'))["shelters"]
    (said,) = [s for s in shown if s["state"]]
    assert (said["code"], said["state"]) == (OSAWADAI, "open")
    assert said["state_since"].endswith("+09:00")


async def test_the_shelters_own_page_says_it_with_one_press_and_looking_changes_nothing(place: Town):
    token = await place.shelters.open_door(OTHER, by="職員0001")
    page = await place.text(f"s/{token}")
    assert "井の頭コミュニティ・センター" in page
    assert "まだ状態を知らせていません" in page
    assert not place.shelters.states
    async with place.session.post(f"{place.url}/s/{token}", data={"state": "full"}, allow_redirects=True) as answer:
        assert answer.status == 200
        assert "満員" in await answer.text()
    assert place.shelters.states[OTHER].state is ShelterState.FULL
    await place.until("shelters/index.html", "満員（入れません）")
    async with place.session.post(f"{place.url}/s/{token}", data={"state": "<script>"}) as answer:
        assert answer.status == 422
    assert place.shelters.states[OTHER].version == 1


async def test_a_link_that_was_replaced_or_guessed_opens_nothing_and_says_the_same(place: Town):
    old = await place.shelters.open_door(OTHER, by="職員0001")
    new = await place.shelters.open_door(OTHER, by="職員0001")
    said = set()
    for wrong in (old, "a" * 26, "x", "%00", new[:-1]):
        for method in ("get", "post"):
            async with place.session.request(method, f"{place.url}/s/{wrong}", data={"state": "open"}) as answer:
                assert answer.status == 404
                said.add(await answer.text())
    assert len(said) == 1
    assert not place.shelters.states
    assert await place.shelters.behind(new) == place.shelters.places[OTHER]


async def test_an_open_page_hears_of_it_once_and_what_was_before_is_not_told_again(place: Town):
    async with place.session.get(f"{place.url}/live") as stream:
        assert stream.headers["X-Accel-Buffering"] == "no"
        first = await stream.content.readuntil(b"\n\n")
        assert first.startswith(b"retry: ")
        await place.shelters.say(OTHER, "open", by="職員0001")
        hint = await stream.content.readuntil(b"\n\n")
        before, now = (json.loads(said.split(b"data: ")[1]) for said in (first, hint))
        assert before["version"] != now["version"]
        assert json.loads(await place.text("live.json"))["version"] == now["version"]
        assert now["spread_ms"] < 10


async def test_an_old_state_says_so_and_what_was_said_again_does_not(tmp_path: Path):
    clock = ManualClock(NOW)
    async with town(tmp_path, clock) as place:
        await place.shelters.say(OTHER, "open", by="職員0001")
        assert "6時間以上前" not in await place.until("index.html", "入れます（開設）")
        clock.advance(OLD_AFTER.total_seconds())
        await place.until("index.html", "6時間以上前")
        await place.shelters.say(OTHER, "crowded", by="職員0001")
        assert "6時間以上前" not in await place.until("index.html", "まだ入れます")


async def test_another_node_of_the_ledger_learns_of_it(place: Town, tmp_path: Path):
    elsewhere = Shelters(place.shelters._ledger, SystemClock(), CITY)
    await place.shelters.say(OTHER, "closed", by="職員0001")
    await elsewhere.read()
    assert elsewhere.states == place.shelters.states


@pytest.mark.parametrize(
    ("code", "state", "error"), [("E0", "open", NotFound), (OTHER, "<b>", InvalidInput), (OTHER, "", InvalidInput)]
)
async def test_no_such_shelter_and_no_such_state_are_refused_with_what_there_is(place: Town, code, state, error):
    with pytest.raises(error, match=r"no such shelter|not a state"):
        await place.shelters.say(code, state, by="職員0001")
    assert not place.shelters.states


async def test_two_who_looked_at_the_same_state_cannot_both_change_it(tmp_path: Path):
    async with seats(tmp_path) as s:
        seen = await s.desk.say_shelter(WRITER, OTHER, "open", version=0, mode="drill")
        await s.desk.say_shelter(WRITER, OTHER, "crowded", version=seen.standing.version, mode="drill")
        with pytest.raises(StaleHash):
            await s.desk.say_shelter(WRITER, OTHER, "full", version=seen.standing.version, mode="drill")
        with pytest.raises(Refused):
            await s.desk.say_shelter(WRITER, OTHER, "full", mode="live")
        with pytest.raises(Refused):
            await s.desk.say_shelter(person(Role.VIEWER), OTHER, "full", mode="drill")
        (now,) = [seen for seen in await s.desk.shelters(WRITER) if seen.standing]
        assert (now.facility.code, now.standing.state) == (OTHER, "crowded")
        said = await s.events("shelter.said")
        assert {(e.facts["by"], e.facts["shelter"]) for e in said} == {(WRITER.name, OTHER)}


def test_shelters_to_stay_in_never_name_a_hazard_and_places_to_flee_to_name_theirs():
    shown = json.loads(as_json(CITY, {}))["shelters"]
    assert {s["hazards"] is None for s in shown if s["kind"] == "designated_shelter"} == {True}
    assert all(s["hazards"] for s in shown if s["kind"] == "emergency_site")
    for kind, places in listed(CITY, {}, NOW).silent:
        assert all(bool(p.hazards) == (kind == "emergency_site") for p in places)


def test_enterable_shelters_stand_first_and_the_newest_word_counts():
    codes = [f.code for f in CITY.facilities[:5]]
    states = {c: ShelterStanding(s, NOW) for c, s in zip(codes, reversed(ShelterState), strict=True)}
    found = listed(CITY, states, NOW)
    assert [p.standing.state for p in found.spoken] == list(ShelterState)
    assert [p.standing.state for p in found.enterable] == [ShelterState.OPEN, ShelterState.CROWDED]
    later = replace(states[codes[0]], at=NOW + timedelta(minutes=1))
    assert newest(codes, states | {codes[0]: later}) is later
