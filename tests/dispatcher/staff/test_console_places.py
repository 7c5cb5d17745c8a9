"""The pages about places, and what is told by hand there, through real HTTP and without a script."""

import re

import pytest

from dispatcher.errors import StaleHash
from dispatcher.steps.accept import Typed
from tests.servers.console import OSAWA, WRITER, fields, typed

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_area_is_chosen_in_the_middle_of_a_message_and_every_word_comes_back(writer):
    page = await writer.open("/compose")
    pairs = typed(fields(page, "/compose"), template="elderly-evacuation", cause="野川の\n水位が上がっています")
    page = await writer.post("/compose/areas", pairs)
    for change, chosen in (
        ("group:大沢", OSAWA),
        ("ungroup:大沢", []),
        ("group:野崎", None),
        ("none", []),
        ("group:大沢", OSAWA),
    ):
        page = await writer.post("/compose/areas", [*fields(page, "/compose/areas"), ("_change", change)])
        ticked = page.tree.xpath("//input[@name='area'][@checked]/@value")
        assert chosen is None or ticked == chosen
    assert len(page.tree.xpath("//svg//path[starts-with(@id, 'm')]")) == 62
    back = await writer.post("/compose", fields(page, "/compose/areas"))
    got = fields(back, "/compose")
    assert [value for name, value in got if name == "area"] == OSAWA
    assert dict(got)["cause"].replace("\r\n", "\n") == "野川の\n水位が上がっています"
    assert not {"_change", "radius_m", "polygon", "centre"} & {name for name, _ in got}


async def test_circle_polygon_and_saved_areas_work_without_a_script(writer):
    page = await writer.open("/areas")
    circle = typed(fields(page, "/areas"), centre="132040302", radius_m="300", _change="circle")
    page = await writer.post("/areas", circle)
    around = page.tree.xpath("//input[@name='area'][@checked]/@value")
    assert "132040302" in around
    page = await writer.post("/areas", typed(fields(page, "/areas"), area_name="野川沿い", _change="save"))
    assert "保存しました" in page.words
    page = await writer.post("/areas", typed(fields(page, "/areas"), _change="none"))
    assert not page.tree.xpath("//input[@name='area'][@checked]")
    page = await writer.post("/areas", typed(fields(page, "/areas"), _change="saved:野川沿い"))
    assert page.tree.xpath("//input[@name='area'][@checked]/@value") == around
    twice = await writer.post("/areas", typed(fields(page, "/areas"), area_name="野川沿い", _change="save"))
    assert twice.status == 409
    assert twice.tree.xpath("//input[@name='area'][@checked]/@value") == around
    page = await writer.post("/areas", typed(fields(page, "/areas"), _change="remove:野川沿い"))
    assert "消しました" in page.words
    polygon = "35.69,139.50 35.69,139.54 35.65,139.54 35.65,139.50"
    page = await writer.post("/areas", typed(fields(page, "/areas"), area=[], polygon=polygon, _change="polygon"))
    assert set(OSAWA) <= set(page.tree.xpath("//input[@name='area'][@checked]/@value"))
    wrong = await writer.post("/areas", typed(fields(page, "/areas"), polygon="ここ", _change="polygon"))
    assert wrong.status == 422
    assert wrong.tree.xpath('//*[@id="polygon"]')[0].get("aria-invalid") == "true"
    whole = await writer.post("/areas", typed(fields(page, "/areas"), polygon="", _change="all"))
    assert len(whole.tree.xpath("//input[@name='area'][@checked]")) == 62


async def test_no_choice_is_never_the_whole_city(writer):
    page = await writer.open("/areas")
    refused = await writer.post("/areas/use", fields(page, "/areas"))
    assert refused.status == 422
    assert "全域ではありません" in refused.words
    used = await writer.post("/areas/use", typed(fields(page, "/areas"), area=["132041001"]))
    assert used.headers["Location"] == "/compose?area=132041001"
    begun = await writer.open(used.headers["Location"])
    assert [value for name, value in fields(begun, "/compose") if name == "area"] == ["132041001"]


async def test_the_map_asks_no_other_machine_for_anything(writer):
    page = await writer.open("/areas")
    (opener,) = page.tree.xpath('//*[@id="open-large"]')
    for address in (opener.get("data-js"), opener.get("data-css"), opener.get("data-geojson"), "/areas/ties.css"):
        answer = await writer.get(address)
        assert answer.status == 200, address
    assert not re.findall(r'(?:src|href|data-[a-z]+)="(?:https?:)?//', page.text)
    assert (await writer.get("/areas/leaflet/leaflet-src.js")).status == 404


async def test_reach_says_not_counted_where_the_medium_counts_nobody(room, writer):
    draft, _ = await room.node.desk.draft(
        await room.person(WRITER), Typed(template="evacuation-order", areas=("大沢",)), mode="drill"
    )
    page = await writer.open(f"/drafts/{draft.identifier}/reach")
    assert "数えない" in page.words
    assert "大沢" in page.words
    assert "メールも端末も1つもない町丁目が 6" in page.words


async def test_what_is_done_by_hand_is_ticked_with_a_name_and_a_time(room, writer):
    identifier = await room.issued()
    path = f"/alerts/{identifier}/by-hand"
    page = await writer.open(path)
    assert page.words.count("まだ") >= 3
    assert "おおさわ" in page.words
    wrong = await writer.post(f"{path}/l_alert", {**page.form(f"{path}/l_alert"), "at": "25:00"})
    assert wrong.status == 422
    assert wrong.tree.xpath('//*[@id="at-l_alert"]')[0].get("aria-invalid") == "true"
    done = await writer.send(page, f"{path}/l_alert", who="情報班")
    assert "情報班" in done.words
    ticks = {t.system: t for t in await room.node.desk.ticks(await room.person(WRITER), identifier)}
    assert (ticks["l_alert"].who, ticks["l_alert"].by) == ("情報班", WRITER)
    twice = await writer.post(f"{path}/l_alert", page.form(f"{path}/l_alert"))
    assert twice.status == StaleHash.http_status
    undone = await writer.send(done, f"{path}/l_alert", _undo="1")
    assert "情報班" not in undone.words
