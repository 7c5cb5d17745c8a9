"""The demo through its public door: one order and its retraction reach every medium there is, and every text says that it is a drill."""

import json
import subprocess
import sys
from pathlib import Path

import feedparser
import pytest

from dispatcher.node import kinds

DRILL_MARKS = ("【訓練】", "[DRILL]", "訓練")


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
