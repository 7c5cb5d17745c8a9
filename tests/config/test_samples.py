"""Every sample loads, speaks of every kind of channel there is, and never shows a secret."""

import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import yaml

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


def uncommented(text, but="(?!)"):
    """The sample with its commented settings in force, but for lines that hold `but`."""
    found = re.compile(r"^( *)#( +)((?:# +)?)((?:- \{|[a-z_]+:).*)$")
    lines = text.splitlines()
    mended = [line if re.search(but, line) else found.sub(r"\1\4", line) for line in lines]
    # A block's own lines stand deeper behind the mark than its name.
    return "\n".join(
        line if line == was or not (deeper := found.match(was)) else " " * (len(deeper[2]) - 1) + line
        for was, line in zip(lines, mended, strict=True)
    )


def settings_of(annotation):
    """The settings class in an annotation, wherever it stands in it."""
    if is_dataclass(annotation):
        return annotation
    return next((it for argument in get_args(annotation) if (it := settings_of(argument))), None)


def names(cls, kinds_, at=""):
    """Every setting there is, by its path."""
    for name, annotation in get_type_hints(cls).items():
        if name in {f.name for f in fields(cls) if f.init}:
            if (path := f"{at}{name}") == "channels":
                for kind, of in kinds_.items():
                    yield from names(of, kinds_, f"channels.{kind}.")
                continue
            yield path
            if inner := settings_of(annotation):
                yield from names(inner, kinds_, f"{path}.")


def said(node, at=""):
    for each in node if isinstance(node, list) else [node]:
        for name, value in each.items() if isinstance(each, dict) else ():
            yield f"{at}{name}"
            yield from said(value, f"{at}{name}.")


# Where a secret stands, what the city calls its roles, and the names of the channels.
FREE = re.compile(r"(.*\.)?(env|file)|directory\.roles\..*|channels(\.[a-z_]+)?")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_setting_stands_in_the_sample_at_least_as_a_comment_and_nothing_that_is_none(path):
    there = set(names(Site, {kind: channel.Settings for kind, channel in kinds().items()}))
    shown = set(said(yaml.safe_load(uncommented(path.read_text("utf-8")))))
    if path.stem == "live":
        there -= {"drill_ends"}
    assert there - shown == set()
    assert {name for name in shown - there if not FREE.fullmatch(name)} == set()


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_settings_in_comments_that_need_no_file_load_with_what_they_say(path, tmp_path):
    for beside in path.parent.glob("*.csv"):
        (tmp_path / beside.name).write_bytes(beside.read_bytes())
        (tmp_path / beside.name).chmod(0o600)
    (tmp_path / path.name).write_text(
        uncommented(path.read_text("utf-8"), "keys/|fonts:|inbox|dkim:|push:|safety:|contact:|ledger:")
    )
    site = load_site(tmp_path / path.name, {kind: channel.Settings for kind, channel in kinds().items()})
    assert site.channels["ip_terminal"].limits.longest_keepalive == 300
    assert site.channels["social"].quota_window == 900


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
