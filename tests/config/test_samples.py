"""Every sample loads, speaks of every kind of channel there is, and never shows a secret."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from config.site import Site, effective, load_site
from dispatcher.node import kinds

SAMPLES = sorted(Path("config/samples").glob("*.yaml"))
KEYS = ("CONSUMER_KEY", "CONSUMER_SECRET", "ACCESS_TOKEN", "ACCESS_TOKEN_SECRET")
SIGNING_KEY = "ca7a" * 16


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    for mode in ("DRILL", "LIVE"):
        for key in KEYS:
            monkeypatch.setenv(f"X_{mode}_{key}", "canary-never-printed")
        monkeypatch.setenv(f"TERMINALS_{mode}_SIGNING_KEY", SIGNING_KEY)
        for name in (f"STATION_MITAKA_{mode}", f"MAIL_{mode}_LINKS", f"MAIL_{mode}_PASSWORD"):
            monkeypatch.setenv(name, "canary-never-printed")
        monkeypatch.setenv(f"FACILITIES_{mode}_LINKS", "canary-never-printed, of forty characters")
    for name in ("DUTY_PASSWORD", "DIRECTORY_SECRET"):
        monkeypatch.setenv(name, "canary-never-printed")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_loads_and_has_a_block_for_every_kind(path):
    site = load_site(path, {kind: channel.Settings for kind, channel in kinds().items()})
    assert site.mode == path.stem
    assert site.channels.keys() == kinds().keys()


def test_every_block_of_a_site_stands_in_a_sample_at_least_as_a_comment():
    said = "".join(path.read_text("utf-8") for path in SAMPLES)
    assert [f.name for f in fields(Site) if f.init and not re.search(rf"^(# )?{f.name}:", said, re.MULTILINE)] == []


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_blocks_that_need_nothing_but_a_name_load_as_they_stand_in_the_comment(path, tmp_path):
    blocks = re.compile(r"^# (?:duty|directory|drill_ends):.*\n(?:#   .*\n)*", re.MULTILINE)
    text, count = blocks.subn(lambda block: re.sub("^# ", "", block[0], flags=re.MULTILINE), path.read_text("utf-8"))
    assert count >= 2
    for beside in path.parent.glob("*.csv"):
        (tmp_path / beside.name).write_bytes(beside.read_bytes())
        (tmp_path / beside.name).chmod(0o600)
    (tmp_path / path.name).write_text(text, "utf-8")
    site = load_site(tmp_path / path.name, {kind: channel.Settings for kind, channel in kinds().items()})
    assert site.duty is not None
    assert site.directory is not None
    assert (site.drill_ends is not None) == (site.mode == "drill")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_check_prints_the_effective_file_with_every_secret_masked(path):
    done = subprocess.run(
        [sys.executable, "-m", "dispatcher", "check", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "********" in done.stdout
    assert "canary" not in done.stdout + done.stderr
    assert SIGNING_KEY not in done.stdout + done.stderr


def test_a_missing_secret_is_named_with_its_line(monkeypatch):
    monkeypatch.delenv("X_DRILL_CONSUMER_KEY")
    done = subprocess.run(
        [sys.executable, "-m", "dispatcher", "check", "config/samples/drill.yaml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "channels.social.consumer_key: the environment has no X_DRILL_CONSUMER_KEY" in done.stderr


def test_a_site_prints_no_secret_of_its_own():
    site = load_site(SAMPLES[0], {kind: channel.Settings for kind, channel in kinds().items()})
    assert "canary" not in repr(site) + effective(site)
