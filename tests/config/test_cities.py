"""The demo city is the real one: its quarters, its shelters by address, its code."""

import pytest

from config.cities import check_code, load
from config.document import ConfigError

MITAKA = load("mitaka")
OSAWA = tuple(f"1320403{n:02d}" for n in range(1, 7))


def test_mitaka_has_62_quarters_with_a_name_in_every_language():
    assert len(MITAKA.quarters) == 62
    for quarter in MITAKA.quarters.values():
        assert {"ja", "ja-x-easy", "en-US"} <= quarter.names.keys()
        assert quarter.outline[0] == quarter.outline[-1]


def test_ten_of_72_designated_shelters_stand_in_osawa_by_their_address():
    shelters = [f for f in MITAKA.facilities if f.kind == "designated_shelter"]
    assert len(shelters) == 72
    assert sum(f.quarter in OSAWA for f in shelters) == 10
    assert not any(f.hazards for f in shelters)


def test_only_a_facility_outside_the_city_has_no_quarter():
    assert all("三鷹市" not in f.address for f in MITAKA.facilities if not f.quarter)


def test_a_whole_group_is_said_by_its_name_and_a_part_by_its_quarters():
    assert MITAKA.say(OSAWA, "ja") == "大沢"
    assert MITAKA.say(OSAWA, "en-US") == "Osawa"
    assert MITAKA.say(OSAWA, "ja-x-easy") == "大沢（おおさわ）"
    assert MITAKA.say(tuple(MITAKA.quarters), "ja") == "三鷹市"
    assert MITAKA.say(OSAWA[:2], "ja") == "大沢一丁目、大沢二丁目"


def test_a_place_is_found_by_group_by_quarter_by_code_and_as_the_whole_city():
    assert tuple(q.code for q in MITAKA.find("大沢")) == OSAWA
    assert MITAKA.find("大沢一丁目")[0].code == OSAWA[0] == MITAKA.find(OSAWA[0])[0].code
    assert len(MITAKA.find("三鷹市")) == 62


def test_a_place_that_is_not_there_is_refused_with_those_near():
    with pytest.raises(LookupError, match="大沢"):
        MITAKA.find("大澤")


def test_the_check_digit_is_the_official_one():
    assert check_code("13204") == "132047"


def test_a_city_that_is_not_there_names_those_there_are():
    with pytest.raises(ConfigError, match="mitaka"):
        load("atlantis")
