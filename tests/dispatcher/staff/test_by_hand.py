"""What is read out and pasted by hand: short sentences, readings, lengths, and ticks that nobody can put at an impossible time."""

from dataclasses import replace

import pytest

from config import by_hand as described
from config.cities import load
from config.document import ConfigError
from dispatcher.errors import InvalidInput, NotFound, Refused, StaleHash
from dispatcher.model.alert import Added, Named
from dispatcher.model.draft import State
from dispatcher.model.mode import Drill, Live
from dispatcher.staff.by_hand import full_width, prepare
from dispatcher.staff.rules import Role
from tests.samples import correction, evacuation_order, lifting, retraction
from tests.servers.seats import WRITER, person, seats

CITY = load("mitaka")


def field(hands, sheet, name):
    (found,) = [f for s in hands.sheets if s.name == sheet for f in s.fields if f.name == name]
    return found


def test_the_announcer_says_who_what_where_what_to_do_and_when_again_in_this_order():
    lines = [line.text for line in prepare(evacuation_order(Live), CITY).script.lines]
    said = [
        "警戒レベル4 避難指示",
        "こちらは、三鷹市",
        "大沢の人は",
        "野川の水位",
        "離れて",
        "避難先は",
        "3時30分",
        "以上、",
    ]
    places = [next(n for n, line in enumerate(lines) if part in line) for part in said]
    assert places == sorted(places)
    assert all(line[-1] in "。！？" for line in lines)


def test_the_time_to_read_grows_with_the_words_and_is_said_twice():
    script = prepare(evacuation_order(Live), CITY).script
    letters = sum(c.isalnum() for line in script.lines for c in line.text)
    assert script.times == 2
    assert script.once_s >= letters / script.characters_per_min * 60
    assert script.whole_s == pytest.approx(2 * script.once_s + script.repetition_s)
    long = replace(
        evacuation_order(Live),
        info=tuple(replace(i, description=i.description * 3) for i in evacuation_order(Live).info),
    )
    assert prepare(long, CITY).script.once_s > script.once_s + 9


def test_a_place_name_is_read_as_the_gazetteer_says_and_the_longest_one_first():
    order = evacuation_order(Live)
    one = replace(
        order, info=tuple(replace(i, headline="大沢一丁目の人は避難") if i.language == "ja" else i for i in order.info)
    )
    spoken = {
        piece.words: piece.reading for line in prepare(one, CITY).script.lines for piece in line.words if piece.reading
    }
    assert spoken["大沢一丁目"] == "おおさわ いっちょうめ"
    assert spoken["三鷹市"] == "みたかし"


def test_a_sentence_too_long_to_be_taken_in_and_a_name_without_a_reading_are_to_be_checked():
    order = evacuation_order(Live)
    long = "野川の水位が上がり" * 6 + "ました。"
    found = prepare(replace(order, info=tuple(replace(i, description=long) for i in order.info)), CITY).script.findings
    assert [f.blocks for f in found] == [False, False]
    assert "字" in found[0].reason
    assert "long sentence" in found[0].reason
    assert "第七中学校" in found[1].reason


def test_a_drill_says_so_at_both_ends_of_the_script_and_on_all_that_residents_read():
    hands = prepare(evacuation_order(Drill), CITY)
    lines = [line.text for line in hands.script.lines]
    assert lines[0] == "これは、訓練です。"
    assert lines.count("これは、訓練です。") == 2
    read = {f.name for form in described.forms().values() for f in form.fields if f.is_read}
    assert read >= {"title", "body", "headline", "action"}
    for sheet in hands.sheets:
        for copy in sheet.fields:
            assert copy.text.startswith("【訓練】") == (copy.name in read), copy
            assert copy.text.count("【訓練】") <= 1
    assert not any("訓練" in line.text for line in prepare(evacuation_order(Live), CITY).script.lines)


def test_what_ends_an_order_sounds_no_alarm_and_names_no_shelter():
    order = evacuation_order(Live)
    for alert, said in ((retraction(order), "誤り"), (lifting(order), "解除")):
        hands = prepare(alert, CITY)
        whole = "".join(line.text for line in hands.script.lines)
        assert said in whole
        assert "緊急放送" not in whole
        assert "第七中学校" not in whole + "".join(f.text for s in hands.sheets for f in s.fields)
        assert "次のお知らせ" not in whole
    assert field(prepare(retraction(order), CITY), "l_alert", "status").text == "取消"
    assert field(prepare(retraction(order), CITY), "emergency_mail", "title").text.startswith("【取消】")


def test_a_correction_says_what_was_wrong():
    order = correction(evacuation_order(Live))
    told = replace(
        order,
        info=tuple(
            replace(i, parameter=(*i.parameter, Named(Added.CORRECTION, "避難所の名前の誤り。"))) for i in order.info
        ),
    )
    whole = "".join(line.text for line in prepare(told, CITY).script.lines)
    assert whole.index("訂正します") < whole.index("避難所の名前の誤り")


def test_a_field_over_its_length_is_a_finding_that_names_the_form_the_field_and_both_lengths():
    order = evacuation_order(Live)
    long = replace(order, info=tuple(replace(i, instruction="川から離れてください。" * 20) for i in order.info))
    hands = prepare(long, CITY)
    body = field(hands, "emergency_mail", "body")
    assert body.is_too_long
    (finding,) = [f for f in hands.findings if f.where == "emergency_mail.body"]
    assert "緊急速報メール" in finding.reason
    assert f"{body.length:g} 字。200 字まで" in finding.reason
    assert not any(f.where.startswith("emergency_mail.") for f in prepare(order, CITY).findings)


@pytest.mark.parametrize(("text", "length"), [("", 0), ("避難", 2), ("Aﾊﾞ", 1.5), ("1行\n2行", 4), ("（）", 2)])
def test_length_counts_full_width_characters_and_half_of_the_narrow_ones(text, length):
    assert full_width(text) == length


def test_every_form_names_its_source_and_has_a_title():
    assert set(described.systems()) == {"loudspeaker", "emergency_mail", "l_alert"}
    for name in described.systems():
        first = (described._HERE / f"{name}.yaml").read_text("utf-8")
        assert "Source:" in first.partition("title:")[0]


def test_a_form_with_a_placeholder_that_does_not_exist_is_refused_with_its_line(tmp_path):
    (tmp_path / "fax.yaml").write_text(
        "title: ファクス\ntitle_en: fax\nhow: 送る\ndrill: 訓練\nfields:\n  - {name: body, label: 本文, longest: 0, text: '{nothing} {headline}'}\n",
        "utf-8",
    )
    with pytest.raises(ConfigError) as refused:
        described.forms(tmp_path)
    reasons = [str(p) for p in refused.value.problems]
    assert any("nothing: no such placeholder" in r and "fax.yaml:6" in r for r in reasons)
    assert any("longest: 1 or more" in r for r in reasons)


# -- ticks -----------------------------------------------------------------------------------------------------------


async def test_a_tick_has_a_name_and_a_time_and_can_be_taken_back(tmp_path):
    async with seats(tmp_path) as here:
        identifier = await here.in_state(State.LIVE)
        here.clock.advance(240)
        assert [t.is_done for t in await here.desk.ticks(WRITER, identifier)] == [False] * 3
        done = await here.desk.tick(WRITER, identifier, "loudspeaker", who="放送係", at="2:44")
        assert (done.who, f"{done.at:%H:%M}", done.by) == ("放送係", "02:44", WRITER.name)
        assert next((t.system, t.is_done) for t in await here.desk.ticks(WRITER, identifier)) == ("loudspeaker", True)
        with pytest.raises(StaleHash):
            await here.desk.tick(WRITER, identifier, "loudspeaker")
        await here.desk.untick(WRITER, identifier, "loudspeaker", version=done.version)
        assert not any(t.is_done for t in await here.desk.ticks(WRITER, identifier))
        again = await here.desk.tick(WRITER, identifier, "loudspeaker")
        assert (again.who, again.at) == (WRITER.name, here.clock.now().replace(second=0, microsecond=0))
        assert [e.facts["system"] for e in await here.events("by_hand.done")] == ["loudspeaker"] * 2
        assert await here.ledger.verify() == []


@pytest.mark.parametrize("at", ["25:00", "2時", "いま", "2:60", "1:00", "9" * 5000, "\x00"])
async def test_a_tick_at_no_time_or_before_the_issue_is_refused_and_nothing_is_written(tmp_path, at):
    async with seats(tmp_path) as here:
        identifier = await here.in_state(State.LIVE)
        with pytest.raises(InvalidInput) as refused:
            await here.desk.tick(WRITER, identifier, "l_alert", who="\u202e", at=at)
        assert {f.where for f in refused.value.findings} == {"who", "at"}
        assert not any(t.is_done for t in await here.desk.ticks(WRITER, identifier))


async def test_a_tick_for_what_does_not_exist_and_by_who_may_only_look_is_refused(tmp_path):
    async with seats(tmp_path) as here:
        identifier = await here.in_state(State.LIVE)
        with pytest.raises(NotFound, match="no such system"):
            await here.desk.tick(WRITER, identifier, "fax")
        with pytest.raises(NotFound):
            await here.desk.tick(WRITER, "nothing", "l_alert")
        with pytest.raises(Refused, match="viewer"):
            await here.desk.tick(person(Role.VIEWER), identifier, "l_alert")
        assert (await here.desk.by_hand(WRITER, identifier)).script.lines[0].text == "これは、訓練です。"
