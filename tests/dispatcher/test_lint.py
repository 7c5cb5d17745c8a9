"""Each lint fires at its field, and none misfires on a reviewed text."""

from dataclasses import replace
from datetime import timedelta

import pytest

from config.cities import load
from config.templates import load_templates
from dispatcher.model.alert import Added, Named, ResponseType
from dispatcher.model.draft import Verb
from dispatcher.model.mode import MODES, Drill, Live
from dispatcher.steps.accept import Typed, accept
from dispatcher.steps.approve import alert_of
from dispatcher.steps.lint import EASY_SENTENCE, lint
from tests.samples import SENT, correction, evacuation_order, lifting, retraction

LANGUAGES = ("ja", "ja-x-easy", "en-US")


def changed(alert, language=None, **fields):
    return replace(alert, info=tuple(replace(i, **fields) if language in {None, i.language} else i for i in alert.info))


def added(alert, name, value):
    def parameters(info):
        rest = tuple(p for p in info.parameter if p.value_name != name)
        return rest if value is None else (*rest, Named(name, value))

    return replace(alert, info=tuple(replace(i, parameter=parameters(i)) for i in alert.info))


def found(alert, *, now=SENT):
    return [str(finding) for finding in lint(alert, now=now)]


def assert_finds(alert, where, reason, *, blocks=True, now=SENT):
    findings = lint(alert, now=now)
    assert any(f.where == where and reason in f.reason and f.blocks is blocks for f in findings), found(alert, now=now)


@pytest.mark.parametrize("mode", [Live, Drill])
@pytest.mark.parametrize("follow", [lambda alert: alert, correction, lifting, retraction])
def test_nothing_is_found_in_an_order_and_in_what_follows_it(mode, follow):
    assert found(follow(evacuation_order(mode))) == []


@pytest.mark.parametrize(
    ("mode", "name"),
    [(MODES[mode], name) for name, template in sorted(load_templates().items()) for mode in template.modes],
)
def test_nothing_is_found_in_a_reviewed_text(mode, name):
    city = load("mitaka")
    verb = Verb(load_templates()[name].verb)
    note = "対象の地域を誤って発表しました。" if verb is Verb.RETRACT else None
    of = "mitaka-0" if verb is not Verb.ISSUE else None
    typed = Typed(template=name, areas=("大沢",), verb=verb, note=note, of=of)
    draft = accept(typed, city=city, mode=Drill, now=SENT, author="a", identifier="mitaka-1")
    alert = alert_of(
        draft,
        mode=mode,
        city=city,
        sender="bousai@mitaka.example.jp",
        sent=SENT,
        web="https://mitaka.example.jp",
        references=(),
    )
    assert found(alert) == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("sender_name", "senderName"),
        ("event", "event"),
        ("headline", "headline"),
        ("description", "description"),
        ("instruction", "instruction"),
    ],
)
@pytest.mark.parametrize("empty", ["", " \n"])
def test_who_what_and_what_to_do_must_be_said(language, field, name, empty):
    assert_finds(
        changed(evacuation_order(Live), language, **{field: empty}), f"info[{language}].{name}", "がありません"
    )


def test_where_must_be_said_and_in_the_headline_too():
    order = evacuation_order(Live)
    assert_finds(changed(order, "ja", area=()), "info[ja].area", "no area")
    assert_finds(changed(order, "en-US", headline="Evacuate now"), "info[en-US].headline", "Osawa")


def test_when_it_ends_must_be_said_and_must_lie_ahead():
    order = evacuation_order(Live)
    assert_finds(changed(order, "ja", expires=None), "info[ja].expires", "when")
    assert_finds(changed(order, expires=SENT), "expires", "expires before sent")
    assert_finds(order, "expires", "already expired", now=SENT + timedelta(hours=12))


def test_the_next_update_must_be_said_and_lie_ahead_but_not_after_an_end():
    order = evacuation_order(Live)
    at = "info[ja].nextUpdate"
    assert_finds(added(order, Added.NEXT_UPDATE, None), at, "next update")
    assert_finds(added(order, Added.NEXT_UPDATE, "soon"), at, "not a time with an offset")
    assert_finds(added(order, Added.NEXT_UPDATE, "2026-09-14T15:00:00"), at, "not a time with an offset")
    assert_finds(added(order, Added.NEXT_UPDATE, SENT.isoformat()), at, "already past")
    late = (SENT + timedelta(days=2)).isoformat()
    assert_finds(added(order, Added.NEXT_UPDATE, late), at, "after it expires", blocks=False)
    assert found(added(lifting(order), Added.NEXT_UPDATE, None)) == []


@pytest.mark.parametrize("missing", LANGUAGES)
def test_every_language_must_be_there_once(missing):
    order = evacuation_order(Live)
    rest = tuple(i for i in order.info if i.language != missing)
    assert_finds(replace(order, info=rest), "info", "language missing")
    assert_finds(replace(order, info=(*order.info, order.info_in(missing))), "info", "language twice")


@pytest.mark.parametrize("level", ["3", "5"])
def test_a_level_has_one_word(level):
    assert_finds(added(evacuation_order(Live), Added.LEVEL, level), "info[ja].event", "level and word")


def test_an_order_of_the_guideline_has_its_level():
    assert_finds(added(evacuation_order(Live), Added.LEVEL, None), "info[ja].JP-ALERT-LEVEL", "level missing")


@pytest.mark.parametrize(
    ("language", "event"), [("ja", "避難指示（津波）"), ("ja", "避難指示（地震）"), ("en-US", "Tsunami order")]
)
def test_tsunami_and_earthquake_carry_no_level(language, event):
    order = changed(evacuation_order(Live), language, event=event)
    assert_finds(order, f"info[{language}].JP-ALERT-LEVEL", "carries no level")


@pytest.mark.parametrize(
    "headline",
    [
        "警戒レベル３ 大沢の人は避難",
        "大沢 レベル 5",
        "大沢 Level 2",
        "大泽 警戒等级5",
        "大泽 警戒级别5",
        "오사와 경계 레벨 3",
    ],
)
def test_a_headline_does_not_say_another_level(headline):
    assert_finds(changed(evacuation_order(Live), "ja", headline=headline), "info[ja].headline", "another level")


@pytest.mark.parametrize("field", ["event", "headline", "description", "instruction"])
def test_the_abolished_order_is_refused(field):
    order = changed(evacuation_order(Live), "ja", **{field: "大沢に避難 勧告"})
    assert_finds(order, f"info[ja].{field}", "abolished")


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("ja", "これは訓練ではありません。"),
        ("ja", "訓練ではない"),
        ("ja", "訓練じゃない"),
        ("ja-x-easy", "訓練では ありません"),
        ("en-US", "This is not a drill."),
        ("en-US", "THIS IS NOT\nA DRILL so run"),
        ("en-US", "This is no exercise"),
    ],
)
def test_a_drill_does_not_say_that_it_is_none(language, words):
    where = f"info[{language}].description"
    assert_finds(changed(evacuation_order(Drill), language, description=words), where, "a drill must not")
    assert found(changed(evacuation_order(Live), language, description=words)) == []


@pytest.mark.parametrize("words", ["誤り。訓練でした。", "An error: it was only a drill."])
@pytest.mark.parametrize("mode", [Live, Drill])
def test_a_retraction_says_error_and_never_drill(mode, words):
    taken_back = retraction(evacuation_order(mode))
    assert_finds(changed(taken_back, "ja", description=words), "info[ja].description", "an error, not a drill")
    assert_finds(replace(taken_back, note=words), "note", "an error, not a drill")
    silent = changed(taken_back, "ja", headline="大沢の避難指示を取り消しました", description="避難は不要です。")
    assert_finds(silent, "info[ja].headline", "say that it was an error")
    assert_finds(replace(taken_back, note=None), "note", "say what was wrong")


@pytest.mark.parametrize(
    "character", [*"\0\a\b\t\r\x1b\x7f\x85", *"\u202a\u202e\u2066\u2069\u200e\u200f\u061c", "\ud800"]
)
def test_control_and_direction_characters_are_refused_in_every_text(character):
    order = evacuation_order(Live)
    for field in ("headline", "description", "instruction", "event"):
        text = getattr(order.info_in("ja"), field) + character
        assert_finds(changed(order, "ja", **{field: text}), f"info[ja].{field}", f"U+{ord(character):04X}")
    assert_finds(added(order, Added.SHORT, f"大沢{character}"), "info[ja].todoke:short", f"U+{ord(character):04X}")
    assert_finds(replace(order, note=character), "note", f"U+{ord(character):04X}")


def test_a_placeholder_left_over_is_refused_but_the_time_of_issue_may_wait():
    order = evacuation_order(Live)
    assert_finds(changed(order, "ja", description="{cause}。"), "info[ja].description", "{cause}")
    assert found(changed(order, "ja", description="{issued}に発表。")) == []


def test_what_is_too_long_is_shown_and_does_not_block():
    order = evacuation_order(Live)
    assert_finds(changed(order, "ja", headline="大沢" + "水" * 159), "info[ja].headline", "161 字", blocks=False)
    assert_finds(added(order, Added.SHORT, "大沢" + "水" * 29), "info[ja].todoke:short", "全角 31 字", blocks=False)
    assert_finds(added(order, Added.SHORT, None), "info[ja].todoke:short", "no short line", blocks=False)
    easy = changed(order, "ja-x-easy", instruction="水" * (EASY_SENTENCE + 1))
    assert_finds(easy, "info[ja-x-easy].instruction", "long sentence", blocks=False)


def test_readings_places_and_spaces_do_not_make_a_sentence_long():
    text = "大沢（おおさわ）の " + "水 " * (EASY_SENTENCE - 1) + "。第七中学校（だいななちゅうがっこう）へ。"
    assert found(changed(evacuation_order(Live), "ja-x-easy", description=text)) == []


def test_every_finding_is_given_at_once():
    order = changed(evacuation_order(Drill), expires=SENT, headline="", area=())
    wrong = changed(order, "ja", description="避難勧告。訓練ではない。\u202e", response_type=(ResponseType.NONE,))
    said = "\n".join(found(wrong))
    for reason in ("expires before sent", "見出し", "no area", "abolished", "a drill must not", "U+202E"):
        assert reason in said
    assert sum("no area" in line for line in found(wrong)) == len(LANGUAGES)
