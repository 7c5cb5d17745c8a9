"""経過 in words: every event that the dispatcher writes down is told in both languages, and shelters by their names."""

import re
from datetime import datetime
from pathlib import Path

import pytest

import dispatcher
from dispatcher.clock import JST
from dispatcher.ledger import Event, Recorded
from dispatcher.staff.console.happened import happened
from dispatcher.staff.console.words import Words

WRITTEN = re.compile(r'Event\(\s*"([a-z-]+\.[a-z_-]+)"')
EVENTS = sorted(
    {name for file in Path(dispatcher.__path__[0]).rglob("*.py") for name in WRITTEN.findall(file.read_text())}
)


def told(event, language, title=str):
    (line,) = happened([Recorded("test", 1, datetime(2026, 11, 21, tzinfo=JST), event, "", "")], Words(language), title)
    return line.said


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_is_told_in_words(name):
    ja, en = (told(Event(name, "", {}), language) for language in ("ja", "en"))
    assert ja != en
    assert name not in ja + en


def test_a_shelter_is_called_by_its_name():
    event = Event("shelter.said", "", {"shelter": "1001", "state": "crowded", "by": "職員0001"})
    assert told(event, "ja", {"1001": "大沢台小学校"}.get) == "大沢台小学校は混雑"
