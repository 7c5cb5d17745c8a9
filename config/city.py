"""The city as the controller knows it: its quarters with readings and translations, its facilities, its outline.

A place name in a message always comes from here, so that a reading or a translation is written once and reviewed once.
A facility belongs to the quarter that its *address* names, never to the cell that its coordinates fall in: the cells are
approximate (data: config/cities/<name>/CREDITS.md).

Source: design.md §7 gazetteer; facts.md §Python "Municipal data".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quarter:
    """One 町丁目. `code` is nine digits (municipality + 大字 + 丁目); `group` is the 大字 it belongs to (大沢)."""

    code: str
    group: str
    names: Mapping[str, str]
    """By language: ja 大沢一丁目, ja-x-easy 大沢一丁目（おおさわ いっちょうめ）, en Osawa 1-chome."""
    latitude: float
    longitude: float
    outline: tuple[tuple[float, float], ...] = ()
    """Approximate cell, (latitude, longitude) pairs, closed; empty where unknown."""


@dataclass(frozen=True, slots=True)
class Facility:
    """A school, a nursery, a hall: a place that may hold a terminal or be a shelter."""

    code: str
    name: str
    address: str
    quarter: str
    """Code of the quarter that the address names; "" for a place outside the city (a park across the border)."""
    latitude: float
    longitude: float
    kind: str
    """`designated_shelter` (指定避難所, carries no hazard flags) or `emergency_site` (指定緊急避難場所)."""
    hazards: frozenset[str] = frozenset()
    """Hazards it is designated for (flood, landslide, earthquake, …); empty for a designated shelter: never "safe"."""
    is_welfare: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class City:
    """A city's gazetteer: itself and no other, so that what is made of it alone is made once.

    `names` by language (ja 三鷹市, en Mitaka City); `code` five digits, `check_code` six.
    """

    code: str
    names: Mapping[str, str]
    senders: Mapping[str, str]
    """Who speaks, by language: ja 三鷹市災害対策本部, en Mitaka City Disaster Headquarters."""
    contact: str
    """Telephone number to show, as it is written."""
    groups: Mapping[str, Mapping[str, str]]
    """Each 大字 by language: 大沢 → {ja 大沢, ja-x-easy 大沢（おおさわ）, en Osawa}."""
    quarters: Mapping[str, Quarter]
    """By code, in the gazetteer's order."""
    facilities: tuple[Facility, ...]
    outline: tuple[tuple[tuple[float, float], ...], ...]
    """Rings of (latitude, longitude)."""
    credits: tuple[str, ...]
    """What every page or picture that shows this data must say."""

    def find(self, name: str) -> tuple[Quarter, ...]:
        """Quarters named by a code, a quarter's name (大沢一丁目), a group (大沢: all of it) or the city itself.

        Raises:
            LookupError: no such place; the message names near misses.
        """
        if name in self.quarters:
            return (self.quarters[name],)
        if name in self.names.values():
            return tuple(self.quarters.values())
        found = tuple(q for q in self.quarters.values() if name == q.group or name in q.names.values())
        if not found:
            groups = sorted({q.group for q in self.quarters.values()})
            near = [g for g in groups if set(g) & set(name)] or groups
            raise LookupError(f"{name}: no such quarter of {self.names['ja']}; there are {'、'.join(near)}")
        return found

    def say(self, codes: Sequence[str], language: str) -> str:
        """These quarters as people say them: the whole city (三鷹市), a whole group (大沢), else each quarter by its own name."""
        chosen = set(codes)
        if chosen >= self.quarters.keys():
            return self.names.get(language) or self.names["ja"]
        words: list[str] = []
        for group in dict.fromkeys(self.quarters[c].group for c in codes):
            members = [q for q in self.quarters.values() if q.group == group]
            if all(q.code in chosen for q in members):
                words.append(self.group_name(group, language))
            else:
                words += [self._name(q, language) for q in members if q.code in chosen]
        return ("、" if language.startswith(("ja", "zh")) else ", ").join(words)

    def group_name(self, group: str, language: str) -> str:
        """A 大字 in a language: 大沢, 大沢（おおさわ）, Osawa."""
        return self.groups.get(group, {}).get(language, group)

    @staticmethod
    def _name(quarter: Quarter, language: str) -> str:
        return quarter.names.get(language) or quarter.names["ja"]
