"""Who is meant: a named set of recipients on one channel, and one of them in that channel's own words.

The rule (which quarters) is what staff approve; who is a member is settled at dispatch, because people move house and
terminals are replaced between the two.

Source: design.md §3, §9.
"""

from dataclasses import dataclass

from dispatcher.model.topic import Topic

FACILITY = "facility"
"""Addresses `facility:…` are contacts of facilities (tracking/reach.py), by mail and by name; they are nobody of the public."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One recipient. `address` is unique within the channel: a terminal's id, a mail address, a station, an account."""

    address: str
    name: str = ""
    """How staff call it (第七中学校); may be empty. Never in a log."""


@dataclass(frozen=True, slots=True)
class Audience:
    """The rule for one channel, with what it came to when it was asked.

    `quarters` are gazetteer codes. `head_count` is the number of destinations, or None where the medium cannot know
    (a website, a broadcast): 数えない, never 0.
    """

    channel: str
    quarters: tuple[str, ...]
    head_count: int | None
    words: str
    """The audience as staff read it: 大沢の IP 端末 10 台."""
    topic: Topic = Topic.EMERGENCY
    """Only those who want to hear of this, where the medium knows such a choice."""
