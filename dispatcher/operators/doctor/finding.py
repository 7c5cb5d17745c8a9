"""What an examination found: one thing, how it is, and what to do about it.

A sign, a word and a shape for each state, because a colour alone is not read by everybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class State(StrEnum):
    GOOD = "good"
    MEND = "mend"
    """It works today and will not always."""
    BROKEN = "broken"
    """It keeps a message from going out, or evidence from being kept."""


_SIGNS: Mapping[State, str] = MappingProxyType({State.GOOD: "● 良好", State.MEND: "▲ 注意", State.BROKEN: "✕ 異常"})


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` names the thing, `words` say what was seen, `to_do` what helps; "" where nothing needs to be done."""

    what: str
    state: State
    words: str
    to_do: str = ""

    def line(self) -> str:
        return f"{_SIGNS[self.state]}  {self.what}: {self.words}" + (f"\n        → {self.to_do}" if self.to_do else "")

    def as_json(self) -> dict[str, Any]:
        return {"what": self.what, "state": self.state.value, "words": self.words, "to_do": self.to_do}


def good(what: str, words: str) -> Finding:
    return Finding(what, State.GOOD, words)


def mend(what: str, words: str, to_do: str) -> Finding:
    return Finding(what, State.MEND, words, to_do)


def broken(what: str, words: str, to_do: str) -> Finding:
    return Finding(what, State.BROKEN, words, to_do)
