"""What a message is about, as residents choose what they want to hear of. What endangers life is no choice.

Source: issue "Registered mail" (areas, kinds, languages); CAP 1.2 §3.2.2 `category`, `severity`; design.md §7 (levels).
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from dispatcher.model.alert import Alert, Category, Severity


class Topic(StrEnum):
    """Each alert has one; a message that follows another has the most urgent of the chain."""

    EMERGENCY = "emergency"
    """避難情報・緊急情報: goes to everybody of the area, whatever they chose."""
    WEATHER = "weather"
    EARTHQUAKE = "earthquake"
    LIFE = "life"
    """防犯・火災・生活: all the rest."""


WORDS: Mapping[Topic, str] = MappingProxyType(
    {
        Topic.EMERGENCY: "避難・緊急",
        Topic.WEATHER: "気象",
        Topic.EARTHQUAKE: "地震・津波",
        Topic.LIFE: "防犯・生活",
    }
)
CHOICES = (Topic.WEATHER, Topic.EARTHQUAKE, Topic.LIFE)
"""What may be left out."""
LEAST_LEVEL = 3
"""警戒レベル from which everybody of the area is told."""
_OF_CATEGORY = {Category.MET: Topic.WEATHER, Category.GEO: Topic.EARTHQUAKE}


def topic_of(alerts: Iterable[Alert[Any]]) -> Topic:
    """Of a chain: who heard of an order hears of its lifting and of its retraction."""
    topics = {_topic_of(alert) for alert in alerts}
    return next((topic for topic in Topic if topic in topics), Topic.EMERGENCY)


def _topic_of(alert: Alert[Any]) -> Topic:
    if not alert.info:
        return Topic.EMERGENCY
    if any(
        (info.level or 0) >= LEAST_LEVEL or info.severity in {Severity.EXTREME, Severity.SEVERE} for info in alert.info
    ):
        return Topic.EMERGENCY
    return next((_OF_CATEGORY[c] for c in alert.info[0].category if c in _OF_CATEGORY), Topic.LIFE)
