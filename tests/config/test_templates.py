"""The reviewed texts: complete, alike in every language, and refused with the line when they are not."""

import shutil
from pathlib import Path

import pytest

import config.templates
from config.document import ConfigError
from config.templates import FIELDS, LANGUAGES, PLACEHOLDERS, causes, fill, load_templates

HERE = Path(config.templates.__file__).parent
VALUES = {language: {name: f"<{name}>" for name in PLACEHOLDERS} | {"issued": "{issued}"} for language in LANGUAGES}


def reasons(folder):
    with pytest.raises(ConfigError) as refused:
        load_templates(folder)
    return [str(problem) for problem in refused.value.problems]


@pytest.fixture
def folder(tmp_path):
    for name in ("evacuation-order.yaml", "causes.yaml"):
        shutil.copy(HERE / name, tmp_path / name)
    return tmp_path


def edit(folder, old, new):
    path = folder / "evacuation-order.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def test_every_order_has_its_lifting_and_there_is_one_retraction():
    templates = load_templates()
    orders = {name for name, template in templates.items() if template.verb == "issue"} - {"drill-announcement"}
    assert orders == {
        "elderly-evacuation", "evacuation-order", "emergency-safety",
        "tsunami-evacuation-order", "earthquake-evacuation-order",
        "weather-special-warning", "weather-danger-warning", "weather-warning", "weather-advisory",
        "heavy-rain-bulletin", "tornado-advisory", "earthquake-information", "earthquake-early-warning",
        "tsunami-warning", "tsunami-advisory", "agency-notice",
    }  # fmt: skip
    assert set(templates) == orders | {f"{name}-lifted" for name in orders} | {"false-alarm", "drill-announcement"}


def test_levels_are_the_guidelines_and_tsunami_and_earthquake_carry_none():
    levels = {name: template.level for name, template in load_templates().items() if template.level is not None}
    assert levels == {"elderly-evacuation": 3, "evacuation-order": 4, "emergency-safety": 5}


def test_the_guidelines_own_words_stand_in_the_japanese_text():
    templates = load_templates()
    for name, words in {
        "elderly-evacuation": "危険な場所から高齢者等は避難",
        "evacuation-order": "危険な場所から全員避難",
        "emergency-safety": "命の危険 直ちに安全確保！",
    }.items():
        assert words in templates[name].infos["ja"].short


@pytest.mark.parametrize("name", sorted(load_templates()))
def test_a_filled_template_keeps_only_the_time_of_issue_open(name):
    filled = fill(load_templates()[name], VALUES)
    assert tuple(filled) == LANGUAGES
    for texts in filled.values():
        assert tuple(texts) == FIELDS
        assert all(text.replace("{issued}", "").count("{") == 0 and text for text in texts.values())
        assert "{issued}" in texts["description"]
        assert "<place>" in texts["headline"]
        assert "<place>" in texts["short"]


def test_a_value_with_braces_is_taken_as_it_stands():
    values = {language: VALUES[language] | {"cause": "{place} {0}"} for language in LANGUAGES}
    assert "{place} {0}" in fill(load_templates()["evacuation-order"], values)["ja"]["description"]


def test_the_one_line_text_of_osawa_fits_a_tv_frame():
    for template in load_templates().values():
        assert len(template.infos["ja"].short.replace("{place}", "大沢")) <= 30


def test_every_hazard_of_a_template_has_a_cause_in_every_language():
    assert {hazard for template in load_templates().values() for hazard in template.hazards} <= set(causes())
    assert all(set(words) == set(LANGUAGES) for words in causes().values())


def test_a_placeholder_lost_in_one_language_is_refused_with_its_line(folder):
    line = edit(folder, "{cause}. {sender} issued", "The river rises. {sender} issued")
    (reason,) = reasons(folder)
    assert reason.endswith("infos.en-US: {cause} is missing; another language has it")
    assert reason.startswith("evacuation-order.yaml:")
    assert int(reason.split(":")[1]) < line


@pytest.mark.parametrize("strange", ["{plaice}", "{place!r}", "{place:>9}", "{place.__class__}", "{0}", "{}"])
def test_an_unknown_placeholder_is_refused_at_its_line(folder, strange):
    line = edit(folder, "Everyone in a dangerous place must", f"Everyone {strange} must")
    (reason,) = reasons(folder)
    assert f"infos.en-US.instruction: {{{strange[1:-1]}}} is no placeholder; there are cause, contact" in reason
    assert abs(int(reason.split(":")[1]) - line) <= 1


def test_everything_wrong_is_said_at_once(folder):
    edit(folder, 'short: "{place} 今すぐ', 'short: "今すぐ')
    edit(folder, '"Evacuation order (Level 4)"', '"Evacuation order {"')
    edit(folder, "urgency: Immediate", "urgency: Immediate  # unchanged")
    found = "\n".join(reasons(folder))
    assert "infos.ja-x-easy.short: {place} is missing; this text is read on its own" in found
    assert "infos.en-US.event: braces do not match" in found


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("urgency: Immediate", "urgency: Now", "urgency: 'Now' is not accepted; there are Immediate"),
        ("level: 4", "level: 2", "level: '2' is not accepted; there are 3, 4, 5"),
        ("hazards: [flood", "hazards: [tsunami, flood", "level: an order for tsunami carries none"),
        ("hazards: [flood", "hazards: [godzilla", "hazards: 'godzilla' is not accepted; there are flood"),
        ("  en-US:\n", "  fr:\n", "infos.en-US: missing; every message speaks all languages"),
        ("  en-US:\n", "  fr:\n", "infos.fr: no such language; there are ja, ja-x-easy, en-US"),
    ],
)
def test_what_a_file_may_not_say_is_refused(folder, old, new, reason):
    edit(folder, old, new)
    assert any(reason in found for found in reasons(folder))


def test_a_cause_that_lacks_a_language_is_refused(tmp_path):
    (tmp_path / "causes.yaml").write_text("flood: {ja: 氾濫, en-US: flood, zh: 泛滥, ko: 범람}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        causes(tmp_path)
    assert str(refused.value) == "causes.yaml:1: flood.ja-x-easy: missing; every message speaks all languages"
