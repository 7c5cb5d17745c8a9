"""A CAP alert of another service is read as any telegram: its lane, its verb, its event, and the quarters that its shapes meet."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.cities import load
from config.intake import load_places, load_table
from dispatcher import cap
from dispatcher.errors import InvalidInput
from dispatcher.intake.decide import Lane, Outcome, after, decide
from dispatcher.intake.partner import telegram
from dispatcher.intake.places import clipped, concern, quarters_of
from dispatcher.intake.taking import read
from dispatcher.intake.telegram import InfoType, Phase, Status
from dispatcher.model.alert import Area, Circle, MsgType, Named, Reference, ResponseType
from dispatcher.model.alert import Status as CapStatus
from dispatcher.model.mode import Live
from tests.samples import SENT, evacuation_order

CITY, PLACES, TABLE = load("mitaka"), load_places("mitaka"), load_table()
ORDER = evacuation_order(Live)
SAMPLES = sorted((Path(__file__).parents[2] / "data" / "cap").glob("*.xml"))


def of(alert=ORDER, **changed):
    return telegram(replace(alert, **changed), CITY, "0")


def ring(*points: tuple[float, float]):
    return tuple((Decimal(str(a)), Decimal(str(b))) for a, b in (*points, points[0]))


@pytest.mark.parametrize(
    ("status", "ours"),
    [
        (CapStatus.ACTUAL, Status.NORMAL),
        (CapStatus.EXERCISE, Status.DRILL),
        (CapStatus.SYSTEM, Status.TEST),
        (CapStatus.TEST, Status.TEST),
        (CapStatus.DRAFT, Status.TEST),
    ],
)
def test_only_an_actual_alert_is_meant(status, ours):
    assert of(status=status).status is ours


def test_its_message_type_and_responses_are_our_verbs():
    earlier = Reference("x", "first-of-all", SENT)
    assert of().info_type is InfoType.ISSUED
    assert of(msg_type=MsgType.UPDATE).info_type is InfoType.ISSUED
    assert of(msg_type=MsgType.UPDATE, note="区域の誤り").info_type is InfoType.CORRECTED
    assert of(msg_type=MsgType.CANCEL, note="誤報").info_type is InfoType.CANCELLED
    assert of(msg_type=MsgType.ACK).reads is False
    clear = tuple(replace(info, response_type=(ResponseType.ALL_CLEAR,)) for info in ORDER.info)
    assert {s.phase for s in of(msg_type=MsgType.UPDATE, info=clear).statements} == {Phase.LIFTED}
    assert of(references=(earlier, Reference("x", "second", SENT))).event_id == "first-of-all"


def test_a_chain_of_cap_messages_is_one_event():
    first = of()
    refers = (Reference(ORDER.sender, ORDER.identifier, ORDER.sent),)
    later = {"sent": ORDER.sent + timedelta(minutes=5), "references": refers, "identifier": "2"}
    known, seen = None, []
    for said in (
        first,
        telegram(replace(ORDER, msg_type=MsgType.UPDATE, **later), CITY, "1"),
        telegram(replace(ORDER, msg_type=MsgType.CANCEL, note="誤報", **later | {"sent": ORDER.sent + timedelta(minutes=6)}), CITY, "2"),
        telegram(replace(ORDER, msg_type=MsgType.UPDATE, **later), CITY, "3"),
    ):  # fmt: skip
        decision = decide(said, concern(said, CITY, PLACES), TABLE, lane=Lane.LIVE, known=known)
        seen.append(decision.outcome)
        known = after(known, said, decision) if decision.is_news else known
    assert seen == [Outcome.DRAFT, Outcome.DRAFT, Outcome.RETRACT, Outcome.IGNORED]


WEST, EAST, SOUTH, NORTH = 139.53, 139.61, 35.66, 35.71


@pytest.mark.parametrize(
    ("area", "where"),
    [
        (Area("どこか", geocodes=(Named("JP-CHOME", "132040301"), Named("JP-CHOME", "132040302"))), "大沢一丁目、大沢二丁目"),
        (Area("どこか", geocodes=(Named("JIS", "13204"),)), "三鷹市"),
        (Area("どこか", geocodes=(Named("JIS", "132047"),)), "三鷹市"),
        (Area("どこか", geocodes=(Named("JMA", "1320400"),)), "三鷹市"),
        (Area("どこか", geocodes=(Named("JIS", "13203"),)), ""),
        (Area("三鷹市"), "三鷹市"),
        (Area("大沢、牟礼"), "大沢、牟礼"),
        (Area("武蔵野市"), ""),
        (Area("日本", polygons=(ring((20, 120), (50, 120), (50, 155), (20, 155)),)), "三鷹市"),
        (Area("南極", polygons=(ring((-80, 0), (-70, 0), (-70, 90)),)), ""),
        (Area("点", circles=(Circle((Decimal("35.6720"), Decimal("139.5330")), Decimal(0)),)), "大沢"),
        (Area("円", circles=(Circle((Decimal("35.7"), Decimal("139.7")), Decimal(500)),)), "三鷹市"),
        (Area("遠い円", circles=(Circle((Decimal("34.7"), Decimal("135.5")), Decimal(100)),)), ""),
        (Area("三鷹市", polygons=(ring((-80, 0), (-70, 0), (-70, 90)),)), ""),
    ],
    ids=lambda value: value if isinstance(value, str) else value.area_desc,
)  # fmt: skip
def test_an_area_is_the_quarters_that_its_codes_shapes_or_names_meet(area, where):
    quarters = quarters_of([area], CITY)
    said = CITY.say(quarters, "ja")
    assert said == where or (where == "大沢" and quarters and {CITY.quarters[q].group for q in quarters} == {"大沢"})


def test_a_polygon_of_forty_thousand_corners_is_cut_down_before_it_is_compared():
    corners = [(35.0 + (n % 2) * 1e-4 + n / 20_000, 139.0 + n / 10_000) for n in range(20_000)]
    assert len(clipped(corners, (SOUTH, WEST, NORTH, EAST))) < 2_000
    around = ring(*corners, (36.5, 140.5), (36.5, 139.0))
    assert len(quarters_of([Area("広い", polygons=(around,))], CITY)) in range(63)


@pytest.mark.parametrize("corners", [40_000, 400])
def test_however_many_corners_lie_within_the_city_an_answer_comes(corners):
    comb = [(35.68 + (n % 2) * 0.01, 139.54 + 0.05 * n / corners) for n in range(corners)]
    once = quarters_of([Area("櫛", polygons=(ring(*comb),))], CITY)
    assert once
    crowd = [Area(f"{n}", polygons=(ring(*[(a + n * 1e-6, b) for a, b in comb[:400]]),)) for n in range(20)]
    assert set(quarters_of(crowd, CITY))


@given(st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=3, max_size=40))
def test_what_is_left_of_a_ring_lies_within_the_box(corners):
    box = (SOUTH, WEST, NORTH, EAST)
    for latitude, longitude in clipped(corners, box):
        assert SOUTH - 1e-9 <= latitude <= NORTH + 1e-9
        assert WEST - 1e-9 <= longitude <= EAST + 1e-9


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.name[:40])
def test_a_real_alert_of_another_country_is_read_or_refused_and_never_ours(path):
    data = path.read_bytes()
    if not cap.check(data).is_valid:
        with pytest.raises(InvalidInput):
            read(data, CITY)
        return
    said = read(data, CITY)
    decision = decide(said, concern(said, CITY, PLACES), TABLE, lane=Lane.BOTH)
    assert decision.outcome in {Outcome.IGNORED, Outcome.DRILL}
    assert decision.template is None


@pytest.mark.parametrize("year", ["0001", "9999"])
def test_a_moment_at_the_end_of_the_calendar_is_refused(year):
    at, offset = ("01-01T00:00:00", "+14:00") if year == "0001" else ("12-31T23:59:59", "-12:00")
    data = cap.write(ORDER).replace(b"2026-09-14T02:41:00+09:00", f"{year}-{at}{offset}".encode())
    with pytest.raises(InvalidInput):
        read(data, CITY)
