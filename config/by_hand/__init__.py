"""Systems without a link: what staff read out or paste by hand, with the lengths that each takes. One YAML file a system.

A length is in full-width characters. Where a file says whose limit it is, change the number only with that source at hand.

Source: issue "For systems without a link"; each file names its own.
"""

import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from config.binding import bind, bind_folder
from config.document import read
from config.units import Seconds

_HERE = Path(__file__).parent
LOUDSPEAKER = "loudspeaker"
SPOKEN = frozenset({"order", "city", "shelters", "next_update"})
"""Placeholders of a loudspeaker's sentences."""
PASTED = frozenset(
    {
        "verb",
        "verb_mark",
        "order",
        "order_short",
        "issued",
        "issued_on",
        "place",
        "places",
        "headline",
        "description",
        "instruction",
        "shelters",
        "next_update",
        "sender",
        "contact",
    }
)
"""Placeholders of a field to paste."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    comma: Seconds
    sentence: Seconds
    repetition: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Verbs:
    """What is said first when a message follows another."""

    update: str
    correct: str
    lift: str
    retract: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loudspeaker:
    """How an announcer reads a message out; rates in characters as they are written, without spaces."""

    title: str
    title_en: str
    characters_per_min: int
    times: int
    longest_sentence: int
    """Characters that are taken in at one hearing."""
    pauses: Pauses
    drill: str
    alarm: str
    calm: str
    """Instead of the alarm, for what ends or takes back an order."""
    opening: str
    shelters: str
    next_update: str
    closing: str
    verbs: Verbs

    def problems(self) -> Iterable[tuple[str, str]]:
        if not 60 <= self.characters_per_min <= 600:
            yield "characters_per_min", "60 to 600 is accepted"
        if not 1 <= self.times <= 5:
            yield "times", "1 to 5 is accepted"
        if self.longest_sentence < 10:
            yield "longest_sentence", "10 or more is accepted"
        for name in ("alarm", "calm", "opening", "shelters", "next_update", "closing", "drill"):
            yield from ((name, reason) for reason in _unknown(getattr(self, name), SPOKEN))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pasted:
    """One field of somebody else's form."""

    name: str
    label: str
    longest: int
    """Full-width characters."""
    text: str
    is_read: bool = False
    """Residents read it on its own, so it bears the drill's banner itself."""

    def problems(self) -> Iterable[tuple[str, str]]:
        if self.longest < 1:
            yield "longest", "1 or more is accepted"
        yield from (("text", reason) for reason in _unknown(self.text, PASTED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Somebody else's form, field by field."""

    title: str
    title_en: str
    how: str
    """Where staff paste it, in their words."""
    drill: str
    """What to mind when it is a drill."""
    fields: tuple[Pasted, ...]
    is_whole_city: bool = False
    """It reaches everybody in the city, whatever the area is."""

    def problems(self) -> Iterable[tuple[str, str]]:
        names = [field.name for field in self.fields]
        if not names or len(set(names)) < len(names):
            yield "fields", "at least one is needed, each with a name of its own"


@cache
def loudspeaker(folder: Path = _HERE) -> Loudspeaker:
    """Raises ConfigError: everything that is wrong with its file."""
    path = folder / f"{LOUDSPEAKER}.yaml"
    return bind(Loudspeaker, read(path.read_bytes(), path.name), file=path.name, base=folder)


@cache
def forms(folder: Path = _HERE) -> Mapping[str, Form]:
    """Every form, by name.

    Raises:
        ConfigError: everything that is wrong with any of them.
    """
    return bind_folder(Form, folder, but=LOUDSPEAKER)


def systems() -> Mapping[str, tuple[str, str]]:
    """What staff call every system without a link, in Japanese and in English, by name; the loudspeaker first."""
    loud = loudspeaker()
    return {
        LOUDSPEAKER: (loud.title, loud.title_en),
        **{name: (form.title, form.title_en) for name, form in forms().items()},
    }


def _unknown(text: str, known: frozenset[str]) -> Iterator[str]:
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        yield f"braces do not match: {error}"
        return
    if strange := sorted(names - known):
        yield f"{', '.join(strange)}: no such placeholder; there are {', '.join(sorted(known))}"
