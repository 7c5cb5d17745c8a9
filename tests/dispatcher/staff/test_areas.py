"""Saved areas, drawn shapes, and the city as an SVG: an empty choice is never the whole city."""

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.cities import load
from dispatcher.errors import InvalidInput, NotFound, Refused, StaleHash
from dispatcher.staff import areas
from dispatcher.staff.console import map as city_map
from dispatcher.staff.rules import Role
from tests.servers.seats import WRITER, person, seats

CITY = load("mitaka")
OSAWA = tuple(code for code, q in CITY.quarters.items() if q.group == "大沢")


# -- shapes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", OSAWA)
def test_a_circle_of_a_metre_touches_the_quarter_that_it_stands_in(code):
    quarter = CITY.quarters[code]
    assert code in areas.in_circle(CITY, (quarter.latitude, quarter.longitude), 1)


def test_a_large_circle_touches_every_quarter_and_one_far_away_touches_none():
    assert areas.in_circle(CITY, (35.683, 139.56), 15_000) == tuple(CITY.quarters)
    assert areas.in_circle(CITY, (43.06, 141.35), 500) == ()


@settings(max_examples=50, deadline=None)
@given(st.floats(35.66, 35.71), st.floats(139.52, 139.61), st.floats(10, 2000), st.floats(1.1, 3))
def test_a_larger_circle_touches_whatever_a_smaller_one_does(latitude, longitude, radius_m, factor):
    small = areas.in_circle(CITY, (latitude, longitude), radius_m)
    assert set(small) <= set(areas.in_circle(CITY, (latitude, longitude), radius_m * factor))


def test_a_polygon_takes_in_every_quarter_that_its_line_touches():
    around = "35.72,139.50 35.72,139.62 35.64,139.62 35.64,139.50"
    assert areas.in_polygon(CITY, areas.points_of(around)) == tuple(CITY.quarters)
    a, b = (CITY.quarters[code] for code in ("132040302", "132040305"))
    thin = f"{a.latitude},{a.longitude}; {b.latitude},{b.longitude};{b.latitude},{b.longitude + 0.0001}"
    assert {"132040302", "132040305"} <= set(areas.in_polygon(CITY, areas.points_of(thin)))
    inside = CITY.quarters["132040302"]
    dot = "\n".join(f"{inside.latitude + d},{inside.longitude + e}" for d, e in ((0, 0), (1e-5, 0), (0, 1e-5)))
    assert areas.in_polygon(CITY, areas.points_of(dot)) == ("132040302",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "35.6,139.5",
        "35.6,139.5 35.7,139.6",
        "あ い う",
        "95,139 1,2 3,4",
        "1e5,2 3,4 5,6",
        "1,2 3,4 5,nan",
        "35.6,139.5 " * 500,
    ],
)
def test_what_is_no_polygon_is_refused_with_what_is_accepted(text):
    with pytest.raises(InvalidInput) as refused:
        areas.points_of(text)
    assert all(f.where == "polygon" for f in refused.value.findings)


@pytest.mark.parametrize("radius_m", [0, -1, float("nan"), float("inf"), 20_001])
def test_a_radius_that_is_none_is_refused(radius_m):
    with pytest.raises(InvalidInput, match="radius"):
        areas.in_circle(CITY, (35.68, 139.56), radius_m)


def test_facilities_are_those_whose_address_names_the_quarters():
    found = areas.facilities(CITY, OSAWA)
    assert found
    assert all("大沢" in f.address for f in found)
    assert areas.facilities(CITY, ()) == ()


# -- saved -----------------------------------------------------------------------------------------------------------


async def test_an_area_is_saved_under_a_name_shown_in_the_gazetteers_order_and_removed(tmp_path):
    async with seats(tmp_path) as here:
        kept = await here.desk.save_area(WRITER, " 野川沿い ", [OSAWA[3], OSAWA[0]])
        assert (kept.name, kept.quarters) == ("野川沿い", (OSAWA[0], OSAWA[3]))
        assert [a.name for a in await here.desk.areas(WRITER)] == ["野川沿い"]
        with pytest.raises(StaleHash):
            await here.desk.save_area(WRITER, "野川沿い", [OSAWA[1]])
        wider = await here.desk.save_area(WRITER, "野川沿い", OSAWA, version=kept.version)
        await here.desk.remove_area(WRITER, "野川沿い", wider.version)
        assert await here.desk.areas(WRITER) == []
        with pytest.raises(NotFound):
            await here.desk.remove_area(WRITER, "野川沿い", wider.version)
        assert await here.ledger.verify() == []


@pytest.mark.parametrize(
    ("name", "quarters", "where"),
    [
        ("", OSAWA, {"name"}),
        ("あ" * 41, OSAWA, {"name"}),
        ("野川\u202e", OSAWA, {"name"}),
        ("野川", (), {"area"}),
        ("野川", ("999999999",), {"area"}),
        ("\x00", ("x",), {"name", "area"}),
    ],
)
async def test_everything_wrong_with_an_area_is_said_at_once_and_nothing_is_kept(tmp_path, name, quarters, where):
    async with seats(tmp_path) as here:
        with pytest.raises(InvalidInput) as refused:
            await here.desk.save_area(WRITER, name, quarters)
        assert {f.where for f in refused.value.findings} == where
        assert await here.desk.areas(WRITER) == []
        with pytest.raises(Refused):
            await here.desk.save_area(person(Role.VIEWER), "野川", OSAWA)


async def test_reach_counts_nobody_where_the_medium_does_not_count(tmp_path):
    async with seats(tmp_path) as here:
        (site,) = await here.desk.reach(WRITER, OSAWA)
        assert site.channel == "website"
        assert site.audience.head_count is None
        assert set(site.by_quarter.values()) == {None}
        (nobody,) = await here.desk.reach(WRITER, ())
        assert nobody.audience.head_count == 0


# -- the map ---------------------------------------------------------------------------------------------------------


def test_the_map_has_a_shape_for_each_quarter_within_its_frame_and_stays_small():
    drawn = city_map.draw(CITY)
    assert {s.code for s in drawn.shapes} == set(CITY.quarters)
    left, top, width, height = map(int, drawn.view_box.split())
    for shape in drawn.shapes:
        start = re.match(r"M(-?\d+) (-?\d+)l", shape.path)
        assert left <= int(start[1]) <= left + width
        assert top <= int(start[2]) <= top + height
        assert shape.path.endswith("z")
    assert sum(len(s.path) + len(s.name) + 40 for s in drawn.shapes) < 25_000
    svg = "".join(f'<path d="{s.path}"/>' for s in drawn.shapes)
    ET.fromstring(f"<svg>{svg}</svg>")


def test_every_box_is_tied_to_its_shape_in_the_style_sheet():
    rules = city_map.ties(CITY)
    for code in CITY.quarters:
        assert f"form:has(#c{code}:checked) #m{code}" in rules
    assert rules.count("{") == rules.count("}") == 2


def test_the_larger_map_has_closed_rings_with_longitude_first():
    features = city_map.as_geojson(CITY)["features"]
    assert len(features) == len(CITY.quarters)
    for feature in features:
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        assert all(139 < x < 140 and 35 < y < 36 for x, y in ring)
