"""A JMA telegram is read as it stands, and hostile bytes are refused with a reason."""

import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from dispatcher.errors import InvalidInput
from dispatcher.intake.jma import MAX_BYTES, read
from dispatcher.intake.telegram import InfoType, Phase, Rank, Status
from tests.dispatcher.intake.telegrams import (
    MITAKA,
    NONE,
    EarlyWarning,
    Quake,
    Tornado,
    Tsunami,
    Weather,
    Wordless,
)
from tests.samples import SENT

DATA = Path(__file__).parents[2] / "data" / "jma"
SAMPLES = sorted((DATA / "samples").glob("*.xml"))
LISTED = {
    row["file"]: row for row in csv.DictReader((DATA / "samples.tsv").read_text("utf-8").splitlines(), delimiter="\t")
}
OWN = (
    Weather(),
    Weather(says=((MITAKA, (NONE,)),)),
    Weather(says=((MITAKA, (("レベル４大雨危険警報", "43", "発表"), ("大雨警報", "03", "解除"))),)),
    Tornado(),
    Quake(),
    EarlyWarning(),
    Tsunami(),
    Wordless(),
)


def refused(data: bytes) -> str:
    with pytest.raises(InvalidInput) as error:
        read(data)
    return str(error.value)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_every_sample_is_read_as_its_list_says(path):
    telegram, listed = read(path.read_bytes()), LISTED[path.name]
    assert (telegram.title, telegram.status, telegram.info_type) == (
        listed["title"],
        listed["status"],
        listed["infotype"],
    )
    assert telegram.reported.utcoffset() is not None
    assert all(s.place.name for s in telegram.statements)


@pytest.mark.parametrize("own", OWN, ids=lambda t: type(t).__name__)
def test_our_own_telegrams_are_of_jmas_shape(own):
    schema = etree.XMLSchema(etree.parse(DATA / "schema" / "jmx.xsd"))
    assert schema.validate(etree.fromstring(own.xml())), schema.error_log
    assert read(own.xml()).reported == SENT


def test_what_a_sample_says_of_mitaka_is_found_with_its_exactness():
    tornado = read((DATA / "samples" / "19_01_01_091210_VPHW50.xml").read_bytes())
    (said,) = [s for s in tornado.statements if s.place.code == "1320400"]
    assert (said.kind.name, said.phase, said.place.rank) == ("竜巻注意情報", Phase.ACTIVE, Rank.MUNICIPALITY)
    assert tornado.serial == 2
    assert f"{tornado.valid_until:%Y-%m-%dT%H:%M}" == "2009-08-10T08:40"
    quake = read((DATA / "samples" / "32-35_01_01_100806_VXSE51.xml").read_bytes())
    assert [s.kind.name for s in quake.statements if s.place.code == "351"] == ["震度３"]
    tsunami = read((DATA / "samples" / "32-39_11_02_250206_VTSE41.xml").read_bytes())
    assert {s.kind.name for s in tsunami.statements if s.place.name == "伊豆諸島"} == {"津波警報"}
    # The same figures are a tsunami's sea and an earthquake's area: the table that they stand in tells them apart.
    assert {s.place.rank for s in tsunami.statements if s.place.code == "320"} == {Rank.SEA}
    assert {s.place.rank for s in quake.statements if s.place.code == "320"} == {Rank.CLUSTER}


def test_a_forecast_of_a_warning_announces_nothing():
    tokyo = read((DATA / "samples" / "15_14_01_170216_VPWW54.xml").read_bytes())
    assert [s.phase for s in tokyo.statements if s.place.code == "1320400"] == [Phase.NONE]


@pytest.mark.parametrize(
    ("said", "phase"),
    [
        (("大雨警報", "03", "発表"), Phase.ACTIVE),
        (("大雨警報", "03", "継続"), Phase.CONTINUED),
        (("大雨警報", "03", "解除"), Phase.LIFTED),
        (("大雨注意報", "10", "警報から注意報"), Phase.ACTIVE),
        (("レベル４大雨危険警報", "43", "特別警報から危険警報"), Phase.ACTIVE),
        (("解除", "00", "解除"), Phase.LIFTED),
        (NONE, Phase.NONE),
    ],
)
def test_a_kinds_status_says_what_holds(said, phase):
    telegram = read(Weather(says=((MITAKA, (said,)),)).xml())
    assert [s.phase for s in telegram.statements if s.place.code == "1320400"] == [phase]


@pytest.mark.parametrize(
    ("kind", "before", "phase"),
    [
        ("津波警報", "津波なし", Phase.ACTIVE),
        ("津波警報", "津波警報", Phase.CONTINUED),
        ("津波注意報解除", "津波注意報", Phase.LIFTED),
        ("津波なし", "津波警報", Phase.LIFTED),
        ("津波なし", "津波なし", Phase.NONE),
    ],
)
def test_a_tsunami_is_told_by_the_kind_before(kind, before, phase):
    telegram = read(Tsunami(seas=(("東京湾内湾", "312", kind, "51", before),)).xml())
    assert [s.phase for s in telegram.statements] == [phase]


LAUGHS = b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><Report>&b;</Report>'
FILE = b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><Report>&x;</Report>'


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not XML"),
        (b"\x00\xff", "not XML"),
        (LAUGHS, "document type"),
        (FILE, "document type"),
        (b"<Report/>", "accepted is Report in"),
        (b'<Report xmlns="http://xml.kishou.go.jp/jmaxml1/"/>', "Control and Head are needed"),
        (b"<a>" * 200 + b"</a>" * 200, "32 are accepted"),
        (b"<a>" * 100_000, "not XML"),
        (b"<a>" + b"<b/>" * 100_001 + b"</a>", "100000 are accepted"),
        (b" " * (MAX_BYTES + 1), f"at most {MAX_BYTES} are accepted"),
    ],
    ids=["empty", "binary", "laughs", "file", "no namespace", "bare", "deep", "endless", "wide", "long"],
)
def test_hostile_bytes_are_refused_with_a_reason(data, reason):
    assert reason in refused(data)


def test_everything_wrong_with_a_telegram_is_said_at_once():
    said = refused(
        Weather(title="x" * 400, status="本物", info_type="発令", serial="第1報")
        .xml()
        .replace(b"<ReportDateTime>2026-09-14T02:41:00+09:00", b"<ReportDateTime>2026-99-14T02:41:00+09:00")
    )
    for where in ("Control/Title", "Control/Status", "Head/InfoType", "Head/Serial", "Head/ReportDateTime"):
        assert where in said


def test_a_telegram_of_more_statements_than_there_are_places_is_refused():
    kinds = b"<Kind><Name>x</Name><Code>03</Code></Kind>" * 300
    areas = b"<Area><Name>y</Name><Code>1320400</Code></Area>" * 300
    table = '<Warning type="気象警報・注意報（市町村等）">'.encode()
    assert "too many statements" in refused(
        Weather().xml().replace(table, table + b"<Item>" + kinds + areas + b"</Item>")
    )


def test_a_name_cannot_move_the_cursor_or_turn_the_text():
    xml = Weather(title="気象警報\u202e\u0085注意報").xml()
    assert read(xml).title == "気象警報 注意報"


def test_an_xml_declaration_of_another_encoding_is_read_as_it_says():
    data = Weather().xml().decode().replace('encoding="UTF-8"', 'encoding="UTF-16"').encode("utf-16")
    telegram = read(data)
    assert (telegram.status, telegram.info_type) == (Status.NORMAL, InfoType.ISSUED)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_becomes_of_the_bytes_they_are_read_or_refused(data):
    xml = bytearray(data.draw(st.sampled_from(OWN)).xml())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(xml) - 1))
        match data.draw(st.integers(0, 2)):
            case 0:
                xml[at] = data.draw(st.integers(0, 255))
            case 1:
                del xml[at : at + data.draw(st.integers(1, 200))]
            case _:
                xml[at:at] = data.draw(st.binary(max_size=40))
        if not xml:
            break
    try:
        telegram = read(bytes(xml))
    except InvalidInput as error:
        assert error.findings
    else:
        assert telegram.title
