"""`todoke intake replay`: the decisions of a node, without one."""

import json
from pathlib import Path

import pytest
import structlog

from dispatcher.__main__ import main
from dispatcher.staff.sessions import new_token
from tests.dispatcher.intake.telegrams import MITAKA, R06_RAIN, Weather, Wordless

SAMPLES = Path(__file__).parents[2] / "data" / "jma" / "samples"
KEYS = {"file", "type", "status", "decision", "reason", "template", "area"}
DECISIONS = {"ignored", "draft", "drill", "correct", "lift", "retract", "sent"}

SITE = """
mode: {mode}
node: test
state_dir: state
city: mitaka
residents: {{listen: "127.0.0.1:8180", url: "http://127.0.0.1:8180"}}
staff:
  - {{name: 職員0001, roles: [originator], token_hash: {a}}}
  - {{name: 職員0002, roles: [approver], token_hash: {b}}}
channels:
  website: {{folder: site, url: "http://127.0.0.1:8180"}}
intake: {{policy: {policy}}}
"""


@pytest.fixture(autouse=True)
def _the_log_is_left_as_it_was():
    """The program logs to its standard error, which is a file of this test alone."""
    yield
    structlog.reset_defaults()


def replay(capsys, *args) -> tuple[int, list[dict]]:
    code = main(["intake", "replay", "-o", "json", *map(str, args)])
    return code, json.loads(capsys.readouterr().out)["telegrams"]


def site(folder: Path, mode="live", policy="seconds-count") -> Path:
    path = folder / "site.yaml"
    a, b = new_token()[1], new_token()[1]
    path.write_text(SITE.format(mode=mode, policy=policy, a=a, b=b), encoding="utf-8")
    return path


def test_all_samples_are_replayed_and_none_is_sent(capsys):
    code, telegrams = replay(capsys, SAMPLES)
    assert code == 0
    assert [t["file"] for t in telegrams] == sorted(path.name for path in SAMPLES.glob("*.xml"))
    assert all(set(t) == KEYS and t["decision"] in DECISIONS and t["reason"] for t in telegrams)
    assert all(t["type"] == Path(t["file"]).stem.rsplit("_", 1)[1] for t in telegrams)
    assert "sent" not in {t["decision"] for t in telegrams}
    drafts = {t["type"]: t["area"] for t in telegrams if t["decision"] == "draft"}
    assert drafts == dict.fromkeys(("VPHW50", "VPHW51", "VXSE51", "VTSE41", "VTSE51"), "三鷹市")
    assert {t["decision"] for t in telegrams if t["status"] != "通常"} == {"drill"}


def test_the_life_of_a_warning_in_files(capsys, tmp_path):
    warning = Weather(
        title=R06_RAIN, event_id="A", serial="1", says=((MITAKA, (("レベル４大雨危険警報", "43", "発表"),)),)
    )
    files = {
        "1-warning": warning,
        "2-correction": warning.later(2, serial="1", info_type="訂正"),
        "3-again": warning,
        "4-lifted": warning.later(9, serial="2", says=((MITAKA, (("レベル４大雨危険警報", "43", "解除"),)),)),
        "5-retracted": Wordless(title=R06_RAIN, event_id="B", serial="2").later(9),
        "6-warning": Weather(title=R06_RAIN, event_id="C", serial="1"),
        "7-retracted": Wordless(title=R06_RAIN, event_id="C", serial="2").later(9),
    }
    for name, telegram in files.items():
        (tmp_path / f"{name}.xml").write_bytes(telegram.xml())
    code, telegrams = replay(capsys, tmp_path)
    assert code == 0
    assert [(t["decision"], t["template"]) for t in telegrams] == [
        ("draft", "weather-danger-warning"),
        ("correct", "weather-danger-warning"),
        ("ignored", None),
        ("lift", "weather-danger-warning"),
        ("ignored", None),
        ("draft", "weather-warning"),
        ("retract", "weather-warning"),
    ]


def test_a_site_file_gives_policy_and_lane(capsys, tmp_path):
    special = Weather(title=R06_RAIN, says=((MITAKA, (("レベル５大雨特別警報", "33", "発表"),)),))
    real, drill = tmp_path / "real.xml", tmp_path / "drill.xml"
    real.write_bytes(special.xml())
    drill.write_bytes(Weather(title=R06_RAIN, says=special.says, status="訓練").xml())
    assert [t["decision"] for t in replay(capsys, real, drill)[1]] == ["draft", "drill"]
    assert [t["decision"] for t in replay(capsys, "--site", site(tmp_path), real, drill)[1]] == ["sent", "ignored"]
    on_drill = replay(capsys, "--site", site(tmp_path, "drill"), real, drill)[1]
    assert [t["decision"] for t in on_drill] == ["ignored", "drill"]
    assert [t["decision"] for t in replay(capsys, "--mode", "live", real, drill)[1]] == ["draft", "ignored"]


@pytest.mark.parametrize("data", [b"", b"<!DOCTYPE a []><a/>", b"<alert/>", b"<a>" * 9_000, None])
def test_what_is_no_telegram_is_said_and_the_rest_goes_on(data, capsys, tmp_path):
    bad, good = tmp_path / "bad.xml", tmp_path / "good.xml"
    good.write_bytes(Weather().xml())
    if data is not None:
        bad.write_bytes(data)
    code, telegrams = replay(capsys, bad, good)
    assert code == 2
    assert [(t["decision"], t["type"]) for t in telegrams] == [("ignored", ""), ("draft", "VPWW54")]
    assert "refused" in telegrams[0]["reason"]


def test_a_table_for_people_says_the_same(capsys):
    assert main(["intake", "replay", str(SAMPLES / "19_01_01_091210_VPHW50.xml")]) == 0
    said = capsys.readouterr().out
    assert "draft" in said
    assert "tornado-advisory  三鷹市  三鷹市に竜巻注意情報" in said


def test_a_file_name_cannot_move_the_cursor(capsys, tmp_path):
    path = tmp_path / "x\x1b[2J.xml"
    path.write_bytes(Weather().xml())
    assert main(["intake", "replay", str(path)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_type_is_told_by_the_files_name_where_the_table_has_none_or_a_wider_one(capsys, tmp_path):
    river = Weather(title="指定河川洪水予報", says=((("荒川", "830303000900"), (("氾濫警報", "30", "発表"),)),))
    for name, telegram in {
        "20260914_0_VXKO72_130000": river,
        "20260914_0_VPFD51_130000": Weather(title="府県天気予報"),
        "20260914_0_VXSE53_130000": Weather(),  # somebody named it wrongly: what it says is what it is
    }.items():
        (tmp_path / f"{name}.xml").write_bytes(telegram.xml())
    assert [t["type"] for t in replay(capsys, tmp_path)[1]] == ["VPFD51", "VXKO72", "VPWW54"]
