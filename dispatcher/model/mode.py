"""Live and Drill: two types that can never be mixed, so that a rehearsed message cannot go out as a real one.

A mode is a class, not a flag. `Alert[Live]` does not fit `Channel[Drill]`, so the type checker refuses the mix before the
program runs; `require` refuses it again at each channel's door, for what types cannot see (what was read from a disk).
What differs between the two is data here, so that no code anywhere asks "is this a drill?".

Source: design.md §4; CAP 1.2 §3.2.1 `status`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, TypeVar

from config.words import in_language
from dispatcher.errors import ModeLeak
from dispatcher.model.alert import Alert, Status


class Mode:
    """What a mode decides. Never instantiated: `type[Live]` is the value that is handed around."""

    word: ClassVar[str]
    """How staff name it: 本番, 訓練."""
    name: ClassVar[str]
    """How the site file and the command line name it: `live`, `drill`."""
    status: ClassVar[Status]
    """The only CAP status that may go out in this mode."""
    banners: ClassVar[Mapping[str, str]]
    """What stands before every text, by language."""

    @classmethod
    def banner(cls, language: str) -> str:
        """The mark in that language; a language without one of its own gets English."""
        return in_language(cls.banners, language)


class Live(Mode):
    word = "本番"
    name = "live"
    status = Status.ACTUAL
    banners = MappingProxyType({"en": "", "ja": ""})


class Drill(Mode):
    word = "訓練"
    name = "drill"
    status = Status.EXERCISE
    banners = MappingProxyType(
        {"en": "[DRILL] ", "ja": "【訓練】", "ja-x-easy": "【訓練】", "ko": "【훈련】", "zh": "【演习】"}
    )


M = TypeVar("M", Live, Drill)
"""Constrained, not bound: a `Channel[M]` is one of the two and never their union."""

MODES: Mapping[str, type[Live] | type[Drill]] = MappingProxyType({mode.name: mode for mode in (Live, Drill)})


def require(mode: type[Mode], alert: "Alert[object]") -> None:
    """Raise ModeLeak unless the alert is of that mode."""
    if alert.status is not mode.status:
        raise ModeLeak(f"{alert.identifier} is {alert.status}; this door is {mode.word} and takes {mode.status} only")
