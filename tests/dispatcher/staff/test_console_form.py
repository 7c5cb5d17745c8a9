"""A form in a browser and what it means: where a finding belongs, what was kept, and times as people write them."""

from datetime import datetime, timedelta

import pytest

from config.cities import load
from dispatcher.clock import JST
from dispatcher.model.draft import Verb
from dispatcher.staff.console.form import Form, differences, place_of, shown_time
from tests.samples import SENT

OSAWA = [f"1320403{n:02d}" for n in range(1, 7)]


def test_a_finding_of_every_kind_has_its_place():
    assert place_of("info[ja].headline") == "w-ja-headline"
    assert place_of("info[ja-x-easy].todoke:short") == "w-ja-x-easy-short"
    assert place_of("words.en-US.instruction") == "w-en-US-instruction"
    assert place_of("info[ja].area[0]") == place_of("area") == "area"
    assert place_of("info[ja].JP-ALERT-LEVEL") == "template"
    assert place_of("social: thread") == "pv-social"
    assert place_of("info") == ""


def test_a_form_comes_back_from_what_was_kept_as_it_was():
    form = Form(
        "new-1", 3, "evacuation-order", "flood", tuple(OSAWA), "文", "学校", "3:30", "", "", {"ja": {"short": "行"}}
    )
    assert Form.from_body(form.body()) == form


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("3:30", "2026-09-14T03:30:00+09:00"),
        ("３：３０", "2026-09-14T03:30:00+09:00"),
        ("3時30分", "2026-09-14T03:30:00+09:00"),
        ("2:30", "2026-09-15T02:30:00+09:00"),
        ("9/16 5:00", "2026-09-16T05:00:00+09:00"),
        ("9月16日 5:00", "2026-09-16T05:00:00+09:00"),
        ("1/2 5:00", "2027-01-02T05:00:00+09:00"),
        ("2026-09-14T15:00", "2026-09-14T15:00+09:00"),
        ("12 h", "12 h"),
        ("まもなく", "まもなく"),
        ("2/30 5:00", "2/30 5:00"),
        ("", None),
    ],
)
def test_a_time_is_the_next_one_of_its_kind_and_what_is_none_goes_on_to_be_refused(text, moment):
    assert Form("x", next_update=text).typed(SENT).next_update == moment


def test_a_time_is_shown_as_it_may_be_typed():
    for ahead in (timedelta(minutes=1), timedelta(hours=11), timedelta(hours=30), timedelta(days=9)):
        at = SENT + ahead
        typed = Form("x", expires=shown_time(at, SENT)).typed(SENT).expires
        assert datetime.fromisoformat(typed).astimezone(JST) == at.replace(second=0, microsecond=0)
    assert shown_time(SENT - ahead, SENT) == shown_time(None, SENT) == ""


def test_a_field_that_says_what_it_was_filled_with_was_not_typed():
    posted = {
        "words.ja.headline": "大沢の人は\r\n避難",
        "_was.words.ja.headline": "大沢の人は\n避難",
        "words.ja.description": "〔発表の時刻〕に出しました。",
        "_was.words.ja.description": "別の文",
        "words.en-US.description": "Issued at [time of issue].",
        "shelters": "第七中学校",
        "_was.shelters": "第七中学校",
        "_verb": "update",
        "_version": "9" * 20,
    }
    form = Form.of_fields(posted, ["a", "a"])
    assert form.words == {
        "ja": {"description": "{issued}に出しました。"},
        "en-US": {"description": "Issued at {issued}."},
    }
    assert (form.shelters, form.verb, form.version, form.quarters) == ("", Verb.UPDATE, 0, ("a",))


def test_shelters_are_named_in_every_language_with_its_own_comma():
    words = Form("x", shelters="第七中学校、大沢台小学校, 国際基督教大学").typed(SENT).words
    assert words["ja"]["shelters"] == "第七中学校、大沢台小学校、国際基督教大学"
    assert words["en-US"]["shelters"] == "第七中学校, 大沢台小学校, 国際基督教大学"


def test_two_versions_differ_where_they_say_different_things():
    city = load("mitaka")
    mine = Form("x", cause="a", quarters=tuple(OSAWA), words={"ja": {"short": "一"}})
    theirs = Form("x", cause="b", quarters=tuple(OSAWA[:1]), words={"ja": {"short": "一"}, "en-US": {"short": "one"}})
    assert {name: (ours, other) for name, ours, other in differences(mine, theirs, city)} == {
        "cause": ("a", "b"),
        "area": ("大沢", "大沢一丁目"),
        "en-US short": ("", "one"),
    }
    assert not list(differences(mine, mine, city))
