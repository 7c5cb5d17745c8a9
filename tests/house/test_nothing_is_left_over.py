"""What stands in the house is used by somebody: a listed event, a template of a page, a word of a page."""

import re
from pathlib import Path

import pytest

from config.words import read_words
from dispatcher.log import EVENTS

ROOMS = ("dispatcher", "channels", "multicast", "config", "drills")
VALUES = ("dispatcher/model", "config/city.py")
"""A page asks for a word by a state, a verb or a kind, too."""
WORDS = {
    "dispatcher/residents/words.yaml": "dispatcher/residents",
    "dispatcher/residents/registration.yaml": "dispatcher/residents",
    "channels/website/words.yaml": "channels/website",
    "multicast/words.yaml": "multicast",
}
"""Each with the room whose pages say it."""


def sources(*places, kinds=(".py", ".html", ".js")):
    files = [file for place in map(Path, places) for file in ([place] if place.is_file() else place.rglob("*"))]
    return {file: file.read_text("utf-8") for file in sorted(files) if file.suffix in kinds}


def test_every_listed_event_is_logged_somewhere():
    written = "".join(text for file, text in sources(*ROOMS, kinds=(".py",)).items() if file.name != "log.py")
    assert [event for event in EVENTS if f'"{event}"' not in written] == []


def test_every_template_is_a_page_of_somebody():
    read = sources(*ROOMS)
    templates = [file for file in read if file.suffix == ".html"]
    assert len(templates) > 50
    for template in templates:
        name = re.compile(rf"""["'/]{re.escape(template.name)}["']""")
        assert any(name.search(text) for file, text in read.items() if file != template), template


def test_every_file_of_words_is_looked_at_here():
    assert {str(file) for room in ROOMS for file in Path(room).rglob("words.yaml")} <= set(WORDS)


@pytest.mark.parametrize("file", WORDS)
def test_every_word_is_said_on_a_page(file):
    said = "".join(sources(WORDS[file], *VALUES).values())
    left_over = []
    for key in read_words(Path(file))["ja"]:
        # A key may be put together of a name and what comes before or behind it: "state_" ~ answer, "_more".
        joints = [at for at, letter in enumerate(key) if letter == "_"]
        pieces = [piece for at in joints for piece in (key[: at + 1], key[at:])]
        quoted = [rf"""["'.`]{re.escape(key)}\b""", *(rf"""["']{re.escape(piece)}["']""" for piece in pieces)]
        if not any(re.search(pattern, said) for pattern in quoted):
            left_over.append(key)
    assert left_over == []
