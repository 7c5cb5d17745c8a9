"""CAP against issued, mutated and hostile files, and against xmllint as a judge that we did not write."""

import csv
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher import cap
from dispatcher.cap import values
from dispatcher.errors import Defect, InvalidInput
from dispatcher.model.alert import QUARTER, Alert, Area, Circle, Named, Reference, Resource
from dispatcher.model.mode import Drill, Live
from dispatcher.staff import cap_command
from tests.samples import correction, evacuation_order, lifting, retraction

FOLDER = Path(__file__).parents[1] / "data" / "cap"
SCHEMA = Path(cap.__file__).with_name("CAP-v1.2.xsd")
ROWS = list(csv.DictReader((FOLDER / "samples.tsv").read_text(encoding="utf-8").splitlines(), delimiter="\t"))
ORDER = evacuation_order(Drill)


def edited(*pairs: tuple[str, str]) -> bytes:
    text = cap.write(ORDER).decode()
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text.encode()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"][:40])
def test_we_agree_with_the_schema_on_every_sample(row):
    verdict = cap.check((FOLDER / row["file"]).read_bytes())
    assert verdict.is_valid == (row["xsd"] == "valid")
    assert bool(verdict.reasons) != verdict.is_valid
    if row["xsd"] == "invalid" and "DTD" not in verdict.reasons[0]:
        assert row["xsd_error"].split(":")[0] in verdict.reasons[0]


@pytest.mark.parametrize("row", [r for r in ROWS if r["xsd"] == "valid"], ids=lambda row: row["file"][:40])
def test_every_valid_sample_is_read_and_written_without_loss(row):
    data = (FOLDER / row["file"]).read_bytes()
    assert cap.roundtrip(data) == ()
    assert cap.read(cap.write(cap.read(data))) == cap.read(data)


@pytest.mark.parametrize("follow", [lambda a: a, correction, lifting, retraction])
@pytest.mark.parametrize("mode", [Live, Drill])
def test_what_we_write_passes_xmllint_and_is_read_back_equal(mode, follow, tmp_path):
    alert = follow(evacuation_order(mode))
    data = cap.write(alert)
    path = tmp_path / "alert.xml"
    path.write_bytes(data)
    judged = subprocess.run(
        ["xmllint", "--nonet", "--noout", "--schema", SCHEMA, path], capture_output=True, text=True, check=False
    )
    assert judged.returncode == 0, judged.stderr
    assert cap.read(data) == alert
    assert cap.roundtrip(data) == ()
    assert b"+09:00" in data
    assert b"Z<" not in data


def test_utc_is_written_as_minus_zero():
    data = cap.write(replace(ORDER, sent=datetime(2026, 9, 13, 17, 41, tzinfo=UTC)))
    assert b"<sent>2026-09-13T17:41:00-00:00</sent>" in data


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        (replace(ORDER, sent=datetime(2026, 9, 14)), "offset"),  # noqa: DTZ001 - the naive time is the fault
        (replace(ORDER, note="\x00"), "not XML"),
        (replace(ORDER, info=(replace(ORDER.info[0], category=()),)), "category"),
        (replace(ORDER, info=(replace(ORDER.info[0], language="日本語"),)), "language"),
    ],
)
def test_what_cap_cannot_say_is_our_own_mistake(broken, word):
    with pytest.raises(Defect, match=word):
        cap.write(broken)


HOSTILE = {
    "nothing": b"",
    "words": b"not xml at all",
    "random": bytes(range(256)) * 40,
    "utf-16 without a mark": "<alert/>".encode("utf-16-le"),
    "unknown encoding": b'<?xml version="1.0" encoding="x-none"?><alert/>',
    "nesting": b"<a>" * 100_000,
    "closed nesting": b"<a>" * 100_000 + b"</a>" * 100_000,
    "laughs": b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><l>&b;</l>',
    "outer entity": b'<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/hostname">]><l>&x;</l>',
    "dtd": edited(("?>", '?><!DOCTYPE alert SYSTEM "http://127.0.0.1:9/x.dtd">')),
    "undeclared entity": edited(("大沢の人は", "&x;")),
    "attributes": b"<alert " + b" ".join(b"a%d='1'" % n for n in range(100_000)) + b"/>",
    "another root": b'<value xmlns="urn:oasis:names:tc:emergency:cap:1.2">x</value>',
    "cap 1.1": edited(("emergency:cap:1.2", "emergency:cap:1.1")),
    "no namespace": edited((' xmlns="urn:oasis:names:tc:emergency:cap:1.2"', "")),
    "zulu": edited(("+09:00</sent>", "Z</sent>")),
    "twice the sender": edited(("<sender>", "<sender>x</sender><sender>")),
    "many faults": edited(("<info>", "<info>" + "<x/>" * 5000)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_invalid_with_a_reason_and_nothing_worse(name):
    verdict = cap.check(HOSTILE[name])
    assert not verdict.is_valid
    assert 1 <= len(verdict.reasons) <= 101
    assert all(reason and "\n" not in reason and len(reason) <= 600 for reason in verdict.reasons)
    with pytest.raises(InvalidInput) as refused:
        cap.read(HOSTILE[name])
    assert len(refused.value.findings) == len(verdict.reasons)


def test_two_megabytes_are_the_most():
    padding = "あ" * 700_000
    verdict = cap.check(edited(("<description>", f"<description>{padding}")))
    assert not verdict.is_valid
    assert "at most 2000000" in verdict.reasons[0]


def test_a_hint_where_to_load_a_schema_from_is_not_followed(tmp_path):
    trap = tmp_path / "trap.xsd"
    trap.write_text("not a schema")
    hint = f'xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:schemaLocation="urn:x {trap}"'
    data = edited(("<alert ", f"<alert {hint} "))
    assert cap.check(data).is_valid
    assert cap.roundtrip(data) == ()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_at_all_raise(data):
    assert not cap.check(data).is_valid


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_alert_never_raises(data):
    good = bytearray(cap.write(ORDER))
    for _ in range(data.draw(st.integers(1, 8))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    verdict = cap.check(bytes(good))
    assert verdict.is_valid != bool(verdict.reasons)


FORBIDDEN = {
    "identifier: must not": (("<identifier>", "<identifier>a, b"),),
    "sender: must not": (("<sender>", "<sender>a&amp;b "),),
    "restriction: required": (("<scope>Public", "<scope>Restricted"),),
    "addresses: required": (("<scope>Public", "<scope>Private"),),
    "references: required": (("<msgType>Alert", "<msgType>Update"),),
    "references: “words”": (("<scope>Public</scope>", "<scope>Public</scope><references>words</references>"),),
    "note: should name": (("<identifier>", "<identifier>"),),
    "is before sent": (("2026-09-14T14:41:00+09:00</expires>", "2026-09-13T14:41:00+09:00</expires>"),),
    "is before onset": (("<expires>", "<onset>2026-09-15T00:00:00+09:00</onset><expires>"),),
    "which CAP writes as -00:00": (("+09:00</sent>", "+00:00</sent>"),),
    "the year 2569 is absurd": (("<expires>2026", "<expires>2569"),),
    "instruction: missing": (("<instruction>", "<contact>"), ("</instruction>", "</contact>"), ("<contact>0422-00-0000</contact>", "")),
    "is empty": (("<headline>", "<headline/><description>"), ("</headline>", "</description>"), ("<description>野川の水位が上がり、氾濫のおそれがあります。</description>", "")),
    "direction-changing": (("大沢の人は", "\u202e大沢の人は"),),
    "are in ja;": (("<language>en-US", "<language>ja"),),
    "not closed": (("<geocode>", "<polygon>35,139 36,139 36,140 35,140</polygon><geocode>"),),
    "at least 4": (("<geocode>", "<polygon>35,139 36,139 35,139</polygon><geocode>"),),
    "is not latitude,longitude pairs": (("<geocode>", "<polygon>here</polygon><geocode>"),),
    "not on Earth": (("<geocode>", "<polygon>139,35 139,36 140,36 139,35</polygon><geocode>"),),
    "is not latitude,longitude radius": (("<geocode>", "<circle>35,139</circle><geocode>"),),
    "radius is negative": (("<geocode>", "<circle>35,139 -1</circle><geocode>"),),
    "ceiling: only together": (("</area>", "<ceiling>100</ceiling></area>"),),
    "is below altitude": (("</area>", "<altitude>200</altitude><ceiling>100</ceiling></area>"),),
    "not a media type": (("<area>", "<resource><resourceDesc>x</resourceDesc><mimeType>picture</mimeType></resource><area>"),),
    "not a full URI": (("<contact>", "<web>bousai.html</web><contact>"),),
}  # fmt: skip


@pytest.mark.parametrize("finding", FORBIDDEN)
def test_what_the_schema_allows_and_cap_forbids_is_found(finding):
    data = edited(*FORBIDDEN[finding])
    verdict = cap.check(data)
    assert verdict.is_valid, verdict.reasons
    assert any(finding in found for found in verdict.findings), verdict.findings
    assert cap.roundtrip(data) == ()


def test_our_own_live_alert_has_no_finding():
    assert cap.check(cap.write(evacuation_order(Live))).findings == ()


def test_a_change_is_a_loss():
    original, copy = (cap._valid(data) for data in (cap.write(ORDER), edited(("大沢の人は", "大沢は"))))
    assert [d.split(":")[0] for d in cap.fidelity.differences(original, copy)] == ["alert.info[1].headline"]
    fewer = cap._valid(cap.write(replace(ORDER, info=ORDER.info[:2])))
    assert list(cap.fidelity.differences(original, fewer)) == ["alert.info: 3 became 2"]


degrees = st.decimals(-180, 180, places=4)
points = st.lists(st.tuples(degrees, degrees), min_size=0, max_size=6).map(tuple)
word = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters='",'), min_size=1, max_size=8
)
moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda d: d.replace(microsecond=0)).flatmap(  # noqa: DTZ001 - an offset is added below
    lambda d: st.integers(-14 * 60, 14 * 60).map(lambda m: datetime.fromisoformat(f"{d.isoformat()}{'-' if m < 0 else '+'}{abs(m) // 60:02d}:{abs(m) % 60:02d}"))
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    polygons=st.lists(points, max_size=3).map(tuple),
    centre=st.tuples(degrees, degrees),
    altitude=st.none() | degrees,
    size=st.none() | st.integers(0, 10**12),
    references=st.lists(st.builds(Reference, word, word, moments), max_size=3).map(tuple),
    addresses=st.lists(word, max_size=3).map(tuple),
    sent=moments,
    text=word,
)
def test_any_alert_of_the_model_comes_back_equal(polygons, centre, altitude, size, references, addresses, sent, text):
    area = Area(text, polygons, (Circle(centre, abs(centre[0])),), (Named(QUARTER, text),), altitude)
    info = replace(ORDER.info[0], area=(area,), resource=(Resource(text, "image/png", size),), expires=sent)
    alert: Alert[Drill] = replace(
        ORDER, sent=sent, note=text, references=references, addresses=addresses, incidents=addresses, info=(info,)
    )
    data = cap.write(alert)
    assert cap.read(data) == alert
    assert cap.roundtrip(data) == ()


def test_midnight_as_24_hours_is_the_next_day():
    assert values.read_time("2026-12-31T24:00:00+09:00") == values.read_time("2027-01-01T00:00:00+09:00")
    assert values.read_time("9999-12-31T24:00:00+09:00") is None


def test_an_exponent_is_no_coordinate():
    assert values.read_points("1e999999999,0") is None


def test_references_with_spaces_and_commas_inside_are_found_by_their_times():
    references, rest = values.read_references(
        "a,b c,d,2026-01-01T00:00:00+09:00\n junk x,y,2026-01-02T00:00:00-00:00 end"
    )
    assert [(r.sender, r.identifier) for r in references] == [("a", "b c,d"), ("junk x", "y")]
    assert references[1].sent - references[0].sent == timedelta(hours=33)
    assert rest == "end"


def test_the_command_says_valid_or_invalid_for_each_and_exits_accordingly(tmp_path, capsys):
    good, bad, big = tmp_path / "good.xml", tmp_path / "bad\x1b.xml", tmp_path / "big.xml"
    good.write_bytes(cap.write(ORDER))
    bad.write_bytes(b"<alert/>")
    big.write_bytes(b" " * 2_500_000)
    assert cap_command.run([good], roundtrip=True) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{good}: valid"
    assert said[-1] == "  roundtrip: read and written without loss"
    assert cap_command.run([good, bad, big, tmp_path, tmp_path / "none.xml"], roundtrip=True) == 2
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert said.count(": invalid\n") == 4
    assert "2500000 bytes" in said
    assert "No such file" in said


def test_the_command_says_the_same_as_json(tmp_path, capsys):
    import json

    path = tmp_path / "a.xml"
    path.write_bytes(edited(("<identifier>", "<identifier>a b")))
    assert cap_command.run([path], roundtrip=True, output="json") == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert file["valid"] is True
    assert file["reasons"] == []
    assert any("identifier" in finding for finding in file["findings"])
    assert file["roundtrip"] == {"lossless": True, "lost": []}
