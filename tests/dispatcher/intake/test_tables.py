"""The tables of the intake: whole, agreeing with the templates, and refused with file and line where they are not."""

from pathlib import Path

import pytest

import config.intake
from config.document import ConfigError
from config.intake import NO_TEMPLATE, folded, load_places, load_policy, load_table, split_level
from config.site import bind_site
from config.templates import LANGUAGES, load_templates
from dispatcher.node import kinds
from dispatcher.staff.sessions import new_token

HERE = Path(config.intake.__file__).parent
TABLE = load_table()


def reasons(read, path):
    with pytest.raises(ConfigError) as refused:
        read(path)
    return [str(problem) for problem in refused.value.problems]


def test_every_template_that_passes_something_on_is_used_and_can_be_lifted():
    used = {row.template for group in TABLE.telegrams for row in group.kinds} | {
        group.other for group in TABLE.telegrams
    }
    used -= {NO_TEMPLATE, None}
    assert used == {
        "weather-special-warning", "weather-danger-warning", "weather-warning", "weather-advisory", "heavy-rain-bulletin",
        "tornado-advisory", "earthquake-information", "earthquake-early-warning", "tsunami-warning", "tsunami-advisory",
        "agency-notice",
    }  # fmt: skip
    assert {f"{name}-lifted" for name in used} <= set(load_templates())
    # What is passed on is another service's word: the level is the city's own order's, and these give none.
    assert {load_templates()[name].level for name in used} == {None}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_has_a_name_in_every_language(language):
    for group in TABLE.telegrams:
        for row in group.kinds:
            for name in row.kinds:
                said = TABLE.say(row.say or name.strip("*") or "何か", language)
                assert said
                if row.template != NO_TEMPLATE and language == "en-US":
                    assert said.isascii()


def test_a_level_before_a_kind_is_taken_off_and_said_again():
    assert split_level("レベル４ 大雨危険警報") == ("大雨危険警報", 4)
    assert split_level("暴風警報") == ("暴風警報", None)
    assert TABLE.say("レベル４大雨危険警報", "ja") == "レベル4大雨危険警報"
    assert TABLE.say("レベル４大雨危険警報", "en-US") == "Level 4 heavy rain danger warning"
    assert folded("気象警報・注意報（Ｒ０６）（大雨）") == folded("気象警報・注意報(R06)(大雨)")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("template: tornado-advisory", "template: tornado", "'tornado': no such template"),
        ("template: tornado-advisory", "templates: tornado-advisory", "unknown key; did you mean template?"),
        ("level: 4, hazard: landslide}", "level: 6, hazard: landslide}", "there are 1, 2, 3, 4, 5"),
        ("hazard: tornado", "hazard: godzilla", "'godzilla' is not accepted"),
        (", because: 震度２以下は知らせません", "", "say why residents are not told of it"),
        ("expires: 90 min", "expires: 90", "is not a duration"),
        ("kinds: [竜巻注意情報], codes", "kinds: [], codes", "at least one name is needed"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_line(old, new, reason, tmp_path):
    text = (HERE / "jma.yaml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "jma.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert any(reason in found for found in reasons(load_table, path))


def test_a_city_without_places_and_a_policy_that_is_none_are_named():
    assert "atlantis.yaml" in reasons(load_places, "atlantis")[0]
    (found,) = reasons(load_policy, "whatever")
    assert "no such policy; there are people-only, seconds-count" in found


SITE = """
mode: live
node: test
state_dir: state
city: mitaka
residents: {{listen: "127.0.0.1:8180", url: "http://127.0.0.1:8180"}}
staff:
  - {{name: 職員0001, roles: [originator], token_hash: {a}}}
  - {{name: 職員0002, roles: [approver], token_hash: {b}}}
channels:
  website: {{folder: site, url: "http://127.0.0.1:8180"}}
intake: {intake}
"""


def bound(folder, intake):
    text = SITE.format(intake=intake, a=new_token()[1], b=new_token()[1])
    return bind_site(text.encode(), "site.yaml", folder, {kind: c.Settings for kind, c in kinds().items()})


def test_a_site_names_its_sources(tmp_path):
    site = bound(
        tmp_path,
        '{policy: seconds-count, folders: [{path: in, every: 2 s}], feeds: [{url: "https://x.example.jp/f.xml"}], post: {}}',
    )
    assert (site.intake.folders[0].path, site.intake.feeds[0].every) == (tmp_path / "in", 60.0)
    assert site.intake.post is not None


@pytest.mark.parametrize(
    ("intake", "reason"),
    [
        ("{policy: whatever}", "intake.policy: 'whatever': no such policy"),
        ('{feeds: [{url: "http://x.example.jp/f.xml"}]}', "https is needed"),
        ('{feeds: [{url: "ftp://x.example.jp/"}]}', "https://HOST[:PORT]/PATH is needed"),
        ('{feeds: [{url: "https://a:b@x.example.jp/"}]}', "https://HOST[:PORT]/PATH is needed"),
        ("{folders: [{path: in, every: 1 ms}]}", "at least 100 ms is needed"),
        ("{post: {signers: [gone.crt]}}", "gone.crt: No such file"),
        ("{post: {signers: [site.txt]}}", "one certificate is needed"),
        ("{oldest: 0 s}", "more than 0 s is needed"),
        ("{folder: []}", "unknown key; did you mean folders?"),
    ],
)
def test_what_is_wrong_with_a_sites_intake_is_said_before_anything_opens(intake, reason, tmp_path):
    (tmp_path / "site.txt").write_text("no certificate", encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        bound(tmp_path, intake)
    assert reason in str(refused.value)
