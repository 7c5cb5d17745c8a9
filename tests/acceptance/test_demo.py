"""The demo through its public door: one order and its retraction reach every medium there is, and every text says that it is a drill."""

import email
import email.policy
import json
import re
import subprocess
import sys
from pathlib import Path

import feedparser
import pytest

from dispatcher.node import kinds

DRILL_MARKS = ("【訓練】", "[DRILL]", "訓練")
TOLD = {
    "ja": ("【訓練】", "大沢"),
    "ja-x-easy": ("【訓練】", "大沢"),
    "en-US": ("[DRILL]", "Osawa"),
    "zh": ("【演习】", "大泽"),
    "ko": ("【훈련】", "오사와"),
}
"""By language, the drill's banner and the place."""


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "dispatcher", "demo", "--once", "--retract", "-o", "json", "--keep", str(out)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout), out / "received"


def test_the_summary_is_one_object_with_every_kind_there_is(played):
    summary, _ = played
    assert summary["alert"]["status"] == "Exercise"
    assert summary["alert"]["msgType"] == "Alert"
    assert summary["channels"].keys() == kinds().keys()
    assert summary["elapsed_s"] > 0


def test_everything_is_taken_and_nothing_failed(played):
    for kind, channel in played[0]["channels"].items():
        assert channel["destinations"] > 0, kind
        assert channel["taken"] == channel["destinations"], kind
        assert channel["failed"] == 0, kind
        assert channel["last_taken_ms"] >= 0, kind
        assert channel["first_byte_ms"] >= 0, kind


def test_there_are_the_six_media_of_the_card(played):
    assert played[0]["channels"].keys() == {
        "website",
        "social",
        "cable_tv",
        "email_list",
        "ip_terminal",
        "wifi_multicast",
    }


def test_the_terminals_of_the_quarter_are_acknowledged_and_the_others_stay_silent(played):
    terminals = played[0]["channels"]["ip_terminal"]
    assert terminals["destinations"] == terminals["delivered"] == terminals["acknowledged"] == 10
    assert terminals["silent"] == 62
    kept = sorted((played[1] / "ip_terminal").glob("*.jsonl"))
    assert len(kept) == 10
    for path in kept:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        assert [line["verb"] for line in lines] == ["issue"] * len(TOLD) + ["retract"] * len(TOLD)
        assert lines[0]["volume"] == "maximum"
        for line in lines:
            is_told(line["language"], line["text"])
            assert line["answered"].keys() == {"delivered", "displayed", "acknowledged"}


def test_each_mail_bears_the_banner_and_the_place(played):
    mails = [
        email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        for path in (played[1] / "email_list").glob("*.eml")
    ]
    assert len(mails) == 2 * played[0]["channels"]["email_list"]["destinations"]
    for mail in mails:
        is_told(mail["Content-Language"], mail["Subject"])
        is_told(mail["Content-Language"], mail.get_content())
    assert sum("取消" in mail["Subject"] or "CANCELLED" in mail["Subject"] for mail in mails) == len(mails) // 2


def test_each_station_holds_the_notice_and_its_retraction_in_every_language(played):
    stations = [path for path in (played[1] / "wifi_multicast").iterdir() if path.is_dir()]
    assert len(stations) == played[0]["channels"]["wifi_multicast"]["destinations"] == 3
    for station in stations:
        texts = sorted(station.rglob("notice-*.txt"))
        assert len(texts) == 2 * len(TOLD)
        for text in texts:
            is_told(text.stem.removeprefix("notice-"), text.read_text("utf-8"))


def is_told(language: str, words: str) -> None:
    """A text bears the drill's banner in its language, and the place."""
    banner, place = TOLD[language]
    assert banner in words
    assert place in words


def test_each_medium_that_carried_the_order_carries_the_retraction_within_30_s(played):
    for kind, channel in played[0]["channels"].items():
        assert channel["retracted_ms"] <= 30_000, kind


def test_each_receiver_kept_what_it_got(played):
    _, received = played
    for kind in kinds():
        assert any(path.is_file() for path in (received / kind).rglob("*")), kind


def test_every_post_bears_the_drills_banner_and_the_place(played):
    posts = [
        json.loads(line)["text"] for line in (played[1] / "social" / "posts.jsonl").read_text("utf-8").splitlines()
    ]
    assert posts
    for post in posts:
        assert any(mark in post for mark in DRILL_MARKS)
        assert "大沢" in post or "Osawa" in post
    assert any("取消" in post for post in posts)


def test_the_feed_reads_in_a_judge_of_somebody_elses_and_leads_to_the_cap(played):
    feed = feedparser.parse(str(next((played[1] / "website").rglob("feed.atom"))))
    assert not feed.bozo
    assert len(feed.entries) == 2
    assert all(any(link.type == "application/cap+xml" for link in entry.links) for entry in feed.entries)


def test_the_cap_that_went_out_passes_the_schema(played):
    files = [
        path
        for path in (played[1] / "website").rglob("*.xml")
        if b"oasis:names:tc:emergency:cap:1.2" in path.read_bytes()
    ]
    assert len(files) == 2
    done = subprocess.run(
        [sys.executable, "-m", "dispatcher", "cap", "check", "--roundtrip", *map(str, files)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    schema = next(Path("dispatcher").rglob("CAP-v1.2.xsd"))
    judged = subprocess.run(
        ["xmllint", "--noout", "--schema", str(schema), *map(str, files)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert judged.returncode == 0, judged.stderr


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """The residents are asked too, an hour in half a minute."""
    out = tmp_path_factory.mktemp("safety")
    done = subprocess.run(
        [sys.executable, "-m", "dispatcher", "demo", "--once", "--safety", "-o", "json", "--keep", str(out)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)["safety"], out / "received"


def test_everybody_who_is_asked_has_answered_or_is_on_a_list(asked):
    figures, _ = asked
    assert figures.keys() == {
        "asked", "answered", "ok", "hurt", "help", "escalated", "visit_list", "conflict", "lost",
    }  # fmt: skip
    assert figures["lost"] == 0
    assert figures["asked"] == 60
    assert figures["answered"] == figures["ok"] + figures["hurt"] + figures["help"]
    assert figures["conflict"] >= 2
    assert figures["hurt"] >= 4
    assert figures["help"] >= 3
    assert figures["escalated"] > 0
    # Whoever needs somebody, and whoever was never heard of: 6 silent and 1 whom nothing reaches.
    assert figures["visit_list"] >= figures["hurt"] + figures["help"] + figures["asked"] - figures["answered"]


def test_a_question_by_mail_bears_the_banner_and_one_link_of_its_own(asked):
    links = []
    for path in (asked[1] / "email_list").glob("*.eml"):
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        found = re.findall(r"http\S+/a/[a-z2-7]{26}", mail.get_content())
        if found:
            (link,) = found
            links.append((link, mail["Message-ID"]))
            assert any(mark in mail["Subject"] for mark in (*DRILL_MARKS, "【演习】", "【훈련】"))
            assert mail["List-Unsubscribe"] is None
    assert len({message_id for _, message_id in links}) == len(links) > 60


def test_terminals_asked_and_were_answered_by_a_button(asked):
    questions = [
        line
        for path in (asked[1] / "ip_terminal").glob("H*.jsonl")
        for line in map(json.loads, path.read_text("utf-8").splitlines())
        if line["verb"] == "ask"
    ]
    assert {line["language"] for line in questions} == {"ja", "ja-x-easy", "en-US", "zh", "ko"}
    assert not any("acknowledged" in line["answered"] for line in questions)
    assert any(line["answered"].keys() & {"safe", "injured", "rescue"} for line in questions)


def test_the_pages_that_carried_the_question_and_each_answer_are_kept(asked):
    answers = [json.loads(line) for line in (asked[1] / "residents" / "answers.jsonl").read_text("utf-8").splitlines()]
    assert {answer["answer"] for answer in answers} == {"ok", "hurt", "help"}
    assert any(answer["by"] == "mail" for answer in answers)
    assert any(answer["by"] != "mail" for answer in answers)
    pages = [path.read_text("utf-8") for path in (asked[1] / "residents").glob("page-*.html")]
    assert len(pages) == sum(answer["by"] == "mail" for answer in answers)
    assert all("119" in page for page in pages)
