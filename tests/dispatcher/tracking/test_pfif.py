"""PFIF 1.4: what goes out finds people and tells nothing else; what comes in are reports and never people."""

import re
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.cities import load
from dispatcher.cap.document import outline
from dispatcher.clock import JST
from dispatcher.errors import InvalidInput
from dispatcher.model.campaign import Answer, Progress, Reply, Source
from dispatcher.tracking.caring import Somebody
from dispatcher.tracking.pfif import NAMESPACE, read, written

CITY = load("mitaka")
NOW = datetime(2026, 11, 21, 12, tzinfo=JST)
DOMAIN = "bousai.example.jp"

# The fields of PFIF 1.4 in its order, and how some are written: app/pfif.py (PFIF_1_4) of google/personfinder, which the
# specification's editor wrote, and app/pfif_validator.py of its pfif-tools.
FIELDS = {
    "person": """person_record_id entry_date expiry_date author_name author_email author_phone source_name source_date source_url
full_name given_name family_name alternate_names description sex date_of_birth age home_street home_neighborhood home_city
home_state home_postal_code home_country photo_url profile_urls note""",
    "note": """note_record_id person_record_id linked_person_record_id entry_date author_name author_email author_phone source_date
author_made_contact status email_of_found_person phone_of_found_person last_known_location text photo_url""",
}
MANDATORY = {
    "person": {"person_record_id", "source_date", "full_name"},
    "note": {"note_record_id", "author_name", "source_date", "text"},
}
_LABEL = "[a-zA-Z]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?"
WRITTEN = {
    r".*_record_id": rf"({_LABEL}\.)*{_LABEL}/.+",
    r".*_date": r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z",
    r"home_country": r"[A-Z]{2}",
    r"author_made_contact": r"true|false",
    r"status": r"information_sought|is_note_author|believed_alive|believed_missing|believed_dead",
}
OSAWA = CITY.find("大沢二丁目")[0].code


def somebody(n, answer=None, **changes):
    fields = {
        "id": f"p{n}",
        "version": 2,
        "name": f"住民{n:04d} <&",
        "kana": f"ジュウミン{n}",
        "quarter": OSAWA,
        "address": f"大沢2-6-{n}",
        "phones": ("090-0000-0001",),
        "relative_phones": ("03-0000-0001",),
        "language": "ja",
        "cohorts": ("needs_help",),
        "facility": "",
        "note": "人工呼吸器",
        "has_consented": False,
        "is_restricted": False,
        "answer": answer,
        "progress": Progress.ASKED,
        "round": 1,
        "rung": 0,
        "is_conflict": False,
        "holder": "",
        "moved_at": NOW - timedelta(minutes=5),
    }
    return Somebody(**fields | changes)


async def document(*people):
    async def each():
        for one in people:
            yield one

    return "".join([part async for part in written(each(), CITY, DOMAIN, NOW)])


async def test_what_goes_out_finds_somebody_and_says_nothing_else():
    reply = Reply(Answer.HELP, Source.RELATIVE, saw=True, medium="website", at=NOW, details={"note": "血が出ている"})
    text = await document(somebody(1), somebody(2, Answer.HELP, replies=(reply,)))
    root = outline(text.encode())
    assert (root.name, root.namespace) == ("pfif", NAMESPACE)
    one, two = root.all("person")
    assert one.get("full_name") == "住民0001 <&"
    assert one.get("person_record_id") == f"{DOMAIN}/person.p1"
    assert (one.get("home_neighborhood"), one.get("home_city"), one.get("home_country")) == (
        "大沢二丁目",
        "三鷹市",
        "JP",
    )
    assert (one.get("source_date"), one.get("expiry_date")) == ("2026-11-21T02:55:00Z", "2026-12-21T03:00:00Z")
    notes = [person.first("note") for person in (one, two)]
    assert [note.get("status") for note in notes] == ["information_sought", "believed_alive"]
    assert [note.get("author_made_contact") for note in notes] == ["", "true"]
    assert all(note.get("text") and note.get("author_name") == CITY.senders["ja"] for note in notes)
    for kept in ("大沢2-6", "090-0000", "人工呼吸器", "needs_help", "血が出ている", "help", "助け"):
        assert kept not in text


async def test_what_goes_out_is_as_the_format_has_it():
    saw = Reply(Answer.OK, Source.SELF, saw=False, medium="website", at=NOW, details={})
    nowhere = somebody(3, Answer.OK, kana="", quarter="")
    root = outline((await document(somebody(1), somebody(2, Answer.OK, replies=(saw,)), nowhere)).encode())
    notes = [note for person in root.all("person") for note in person.all("note")]
    for records in (root.all("person"), notes):
        for record in records:
            names = [field.name for field in record.children]
            assert names == [name for name in FIELDS[record.name].split() if name in names], (
                "each once, in the format's order, and no other"
            )
            assert MANDATORY[record.name] <= set(names)
            for field in record.children:
                assert field.namespace == NAMESPACE
                assert field.name == "note" or field.text, f"{field.name} is left out where there is nothing to say"
                for name, form in WRITTEN.items():
                    assert not re.fullmatch(name, field.name) or re.fullmatch(form, field.text), field.name
    for name, records in (("person_record_id", root.all("person")), ("note_record_id", notes)):
        assert len({record.get(name) for record in records}) == len(records) == 3
    assert all(
        note.get("person_record_id") == person.get("person_record_id")
        for person, note in zip(root.all("person"), notes, strict=True)
    )


async def test_nobody_under_restriction_is_ever_written():
    text = await document(somebody(1), somebody(4711, Answer.OK, is_restricted=True, quarter=""))
    assert "4711" not in text
    assert len(outline(text.encode()).all("person")) == 1


async def test_what_we_gave_away_comes_back_unheard():
    text = await document(somebody(1, Answer.OK), somebody(2))
    found = read(text.encode(), CITY, DOMAIN, NOW)
    assert (found.reports, found.sought, found.ours) == ((), 0, 2)
    elsewhere = read(text.replace(DOMAIN, "other.example.org").encode(), CITY, DOMAIN, NOW)
    (report,) = elsewhere.reports
    assert (report.name, report.quarter, report.answer, elsewhere.sought) == ("住民0001 <&", OSAWA, Answer.OK, 1)


async def test_what_others_say_of_somebody_we_gave_away_is_heard():
    ours = await document(somebody(1), somebody(2))
    note = re.search(rb"    <pfif:note>.*?</pfif:note>\n", theirs(), re.DOTALL)[0].decode()
    found = read(ours.replace("  </pfif:person>\n", note + "  </pfif:person>\n", 1).encode(), CITY, DOMAIN, NOW)
    (report,) = found.reports
    assert (report.name, report.answer, report.details["where"]) == ("住民0001 <&", Answer.OK, "第七中学校")
    assert (found.sought, found.ours) == (0, 1)


def test_a_record_whose_time_is_over_says_nothing_and_needs_no_name():
    until = "<pfif:expiry_date>{}</pfif:expiry_date>"
    assert len(read(theirs(person=until.format("2026-11-21T03:00:01Z")), CITY, DOMAIN, NOW).reports) == 1
    over = theirs(person=until.format("2026-11-21T03:00:00Z"))
    placeholder = over.replace("<pfif:full_name>住民0007</pfif:full_name>".encode(), b"")
    for data in (over, placeholder):
        found = read(data, CITY, DOMAIN, NOW)
        assert (found.reports, found.sought, found.ours) == ((), 0, 0)


def test_of_several_names_the_first_is_who_it_is():
    said = theirs().replace("住民0007".encode(), "\n 住民0007\n住民0008".encode())
    assert read(said, CITY, DOMAIN, NOW).reports[0].name == "住民0007"


def theirs(note="", person="", status="believed_alive"):
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<pfif:pfif xmlns:pfif="{NAMESPACE}">
  <pfif:person>
    <pfif:person_record_id>other.example.org/person.1</pfif:person_record_id>
    <pfif:source_date>2026-11-21T01:00:00Z</pfif:source_date>
    <pfif:full_name>住民0007</pfif:full_name>
    <pfif:date_of_birth>1960-04-01</pfif:date_of_birth>{person}
    <pfif:note>
      <pfif:note_record_id>other.example.org/note.1</pfif:note_record_id>
      <pfif:author_name>住民0099</pfif:author_name>
      <pfif:source_date>2026-11-21T02:00:00Z</pfif:source_date>
      <pfif:author_made_contact>true</pfif:author_made_contact>
      <pfif:status>{status}</pfif:status>
      <pfif:last_known_location>第七中学校</pfif:last_known_location>
      <pfif:text>体育館に いました</pfif:text>{note}
    </pfif:note>
  </pfif:person>
</pfif:pfif>
""".encode()


def test_a_note_that_somebody_was_seen_is_a_report_for_staff():
    (report,) = read(theirs(), CITY, DOMAIN, NOW).reports
    assert (report.answer, report.saw, report.medium, report.birth_date) == (Answer.OK, True, "pfif", "1960-04-01")
    assert report.at == datetime(2026, 11, 21, 11, tzinfo=JST)
    assert report.details == {"about": "other", "where": "第七中学校", "note": "体育館に いました / 住民0099"}
    assert read(theirs(), CITY, DOMAIN, NOW).reports[0].key == report.key, "the same note twice is one"
    (dead,) = read(theirs(status="believed_dead"), CITY, DOMAIN, NOW).reports
    assert dead.answer is Answer.HELP, "somebody has to find out"
    assert dead.details["note"].startswith("亡くなったとの知らせ")
    for status in ("information_sought", "believed_missing", ""):
        assert read(theirs(status=status), CITY, DOMAIN, NOW).reports == ()


def test_hostile_text_comes_in_inert():
    (report,) = read(
        theirs(note="<x/>").replace("体育館に".encode(), "\u202e<b>".encode().replace(b"<", b"&lt;")), CITY, DOMAIN, NOW
    ).reports
    assert "\u202e" not in report.details["note"]
    assert len(report.details["note"]) <= 300


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"", "pfif"),
        (b"<a/>", "pfif"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "pfif"),
        (theirs().replace(b"pfif/1.4", b"pfif/1.2"), "pfif"),
        (theirs(status="asleep"), "note[1].status"),
        (theirs().replace(b"2026-11-21T02:00:00Z", b"yesterday"), "note[1].source_date"),
        (theirs().replace("住民0007".encode(), b""), "person[1].full_name"),
        (theirs(person="<pfif:expiry_date>soon</pfif:expiry_date>"), "person[1].expiry_date"),
        (theirs().replace("体育館に いました".encode(), b""), "note[1].text"),
    ],
)
def test_what_is_no_pfif_is_refused_with_its_place(data, where):
    with pytest.raises(InvalidInput) as refused:
        read(data, CITY, DOMAIN, NOW)
    assert where in [finding.where for finding in refused.value.findings]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_read_or_refused(name, text):
    said = theirs().decode().replace("住民0007", name.replace("<", "&lt;")).replace("体育館に いました", text)
    try:
        read(said.encode("utf-8", "surrogatepass"), CITY, DOMAIN, NOW)
    except InvalidInput as refused:
        assert refused.findings
