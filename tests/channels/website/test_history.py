"""A long history: the first pages stay small, whatever ended can still be found, and what was read once is not read again."""

import gzip
import json
import re
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from channels.website import Settings, Website
from channels.website.publisher import LISTED_ENDED
from dispatcher.clock import SystemClock
from dispatcher.model.mode import Drill
from tests.contracts.channel_contract import surroundings
from tests.samples import evacuation_order

NOW = SystemClock().now().replace(microsecond=0)
ORDER = evacuation_order(Drill, sent=NOW)
OLD, HOLDING = 60, 12


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Website[Drill]:
    """A busy night after two years: OLD messages that ended long ago, one every twelve days, and HOLDING that hold."""
    tmp_path = tmp_path_factory.mktemp("history")
    channel = Website(Drill, Settings(folder=tmp_path / "site", url="http://x"), surroundings(tmp_path / "s"))
    channel._publisher.publish(channel.render(ORDER, None))
    kept = tmp_path / "site" / ".messages"
    first = json.loads((kept / ORDER.identifier / "entry.json").read_bytes())
    ages = [timedelta(days=12 * n + 2) for n in range(OLD)] + [timedelta(minutes=n) for n in range(1, HOLDING)]
    for number, age in enumerate(ages):
        name, sent = f"m{number:03d}", NOW - age
        shutil.copytree(kept / ORDER.identifier, kept / name)
        said = [{**s, "headline": f"{s['headline']} {number}"} for s in first["said"]]
        times = {"sent": sent.isoformat(), "expires": (sent + timedelta(hours=12)).isoformat()}
        (kept / name / "entry.json").write_text(json.dumps({**first, **times, "identifier": name, "said": said}))
    channel._publisher.rebuild()
    return channel


def linked(folder: Path, page: Path) -> set[Path]:
    """The site's own pages that this one leads to."""
    found = re.findall(r'href="([^":?]+\.html)"', page.read_text())
    return {(page.parent / link).resolve().relative_to(folder.resolve()) for link in found}


def test_a_night_of_alerts_after_two_years_keeps_the_first_pages_small(site: Website[Drill]):
    folder = site.settings.folder
    for name in ("index.html", "easy.html", "en.html", "zh.html", "ko.html", "alerts.json"):
        assert len(gzip.compress((folder / name).read_bytes())) <= 14_000, name
    listed = [alert["identifier"] for alert in json.loads((folder / "alerts.json").read_bytes())["alerts"]]
    assert len(listed) == HOLDING + LISTED_ENDED
    assert {ORDER.identifier, f"m{OLD:03d}", "m000"} <= set(listed)
    assert f"m{OLD - 1:03d}" not in listed


def test_whatever_ended_is_found_from_the_first_page_month_by_month(site: Website[Drill]):
    folder = site.settings.folder
    for start in ("index.html", "en.html"):
        seen, ahead = set(), {Path(start)}
        while ahead:
            page = ahead.pop()
            seen.add(page)
            # In one language, along what has ended: the messages themselves are where it ends.
            ahead |= {p for p in linked(folder, folder / page) if p.parts[0] == "history" and p.name == start} - seen
        messages = set().union(*(linked(folder, folder / page) for page in seen))
        assert {p.parts[1] for p in messages if p.parts[0] == "alerts"} == {ORDER.identifier} | {
            f"m{n:03d}" for n in range(OLD + HOLDING - 1)
        }


def test_the_first_message_of_a_month_is_led_to_from_the_month_before(tmp_path: Path):
    channel = Website(Drill, Settings(folder=tmp_path / "site", url="http://x"), surroundings(tmp_path / "s"))
    for identifier, days in (("a", 70), ("b", 35), ("c", 0)):
        alert = evacuation_order(Drill, identifier=identifier, sent=NOW - timedelta(days=days))
        channel._publisher.publish(channel.render(alert, None))
    months = sorted(p.name for p in (tmp_path / "site" / "history").iterdir())
    middle = linked(tmp_path / "site", tmp_path / "site" / "history" / months[1] / "en.html")
    assert {Path("history") / months[n] / "en.html" for n in (0, 2)} <= middle


def test_an_entry_is_read_again_when_it_was_replaced_and_not_otherwise(tmp_path: Path):
    folder = tmp_path / "site"
    channel = Website(Drill, Settings(folder=folder, url="http://x"), surroundings(tmp_path / "s"))
    publisher = channel._publisher
    for alert in (replace(ORDER, identifier="m000"), ORDER):
        publisher.publish(channel.render(alert, None))
    before = {entry.identifier: entry for entry in publisher._entries()}
    path = folder / ".messages" / "m000" / "entry.json"
    path.with_suffix(".new").write_text(path.read_text().replace('"verb": "issue"', '"verb": "lift"'))
    path.with_suffix(".new").replace(path)
    after = {entry.identifier: entry for entry in publisher._entries()}
    assert {name for name in after if after[name] is not before[name]} == {"m000"}
    assert after["m000"] == replace(before["m000"], verb=after["m000"].verb)
    shutil.rmtree(path.parent)
    assert len(publisher._entries()) == len(before) - 1
