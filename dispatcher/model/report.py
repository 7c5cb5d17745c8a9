"""A report of somebody who is known by what was typed alone: from the page for those who got no question, here or at a station.

Source: design.md §8; PFIF 1.4 §"person" (what identifies somebody whom one looks for).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from dispatcher.model.campaign import Answer


@dataclass(frozen=True, slots=True)
class Reported:
    """A report of a person who is known by what was typed alone."""

    key: str
    """Made of the report itself: the same report, sent again or over another way, is one."""
    answer: Answer = field(repr=False)
    saw: bool
    """The sender has seen the person or is the person."""
    medium: str
    at: datetime
    name: str = field(repr=False)
    birth_date: str = field(default="", repr=False)
    """ISO 8601; "" if none was given."""
    phone: str = field(default="", repr=False)
    """Digits alone; "" if none was given."""
    quarter: str = field(default="", repr=False)
    """Code of the gazetteer; "" if none was given."""
    details: Mapping[str, str] = field(default_factory=dict, repr=False)
    """`about` self | other, `where`, `note`; a key without a text is left out."""
