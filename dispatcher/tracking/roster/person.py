"""One person of the roster, and the columns of the file that they come from.

The common ID stands for one person in every list: households, guardians and supporters are named by it, so that whoever moves
is changed in one row. Nobody's name stands in a repr.

Source: design.md §8; 災害対策基本法 第49条の10 第2項 (避難行動要支援者名簿の記載事項).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "person_id": "宛名番号",
        "name": "氏名",
        "kana": "フリガナ",
        "birth_date": "生年月日",
        "quarter": "町丁目",
        "address": "住所",
        "phones": "電話",
        "language": "言語",
        "cohorts": "区分",
        "household": "世帯主",
        "facility": "施設",
        "guardians": "保護者",
        "supporters": "支援者",
        "consent": "同意",
        "restricted": "閲覧制限",
        "mails": "メール",
        "terminal": "端末",
        "relative_mails": "親族メール",
        "relative_phones": "親族電話",
        "note": "備考",
    }
)
"""A column's name in the file, in either language."""
NEEDED = ("person_id", "name", "address")
"""Columns that a file cannot be without; of the others, those that are not there are empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    person_id: str = field(repr=False)
    """The common ID (宛名番号)."""
    name: str = field(repr=False)
    quarter: str = field(repr=False)
    """Code of the gazetteer."""
    address: str = field(repr=False)
    kana: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)
    """YYYY-MM-DD."""
    phones: tuple[str, ...] = field(default=(), repr=False)
    language: str = field(default="ja", repr=False)
    cohorts: tuple[str, ...] = field(default=(), repr=False)
    """As the ladders name them: `needs_help`, `pupil`, `nursery`, `watch`."""
    household: str = field(default="", repr=False)
    """Common ID of the head of the household; "" for somebody who lives alone."""
    facility: str = field(default="", repr=False)
    """Id of the school or nursery that they attend, as in the register of facilities."""
    guardians: tuple[str, ...] = field(default=(), repr=False)
    supporters: tuple[str, ...] = field(default=(), repr=False)
    """Common IDs: neighbours who have agreed to, 民生委員; the one to be asked first comes first."""
    consent: bool = field(default=False, repr=False)
    """Agreed that supporters are given name and address in advance (災対法49条の11第2項)."""
    restricted: bool = field(default=False, repr=False)
    """閲覧制限 (DV・ストーカー等支援措置): asked and visited like anybody, shown to nobody but the welfare role."""
    mails: tuple[str, ...] = field(default=(), repr=False)
    """The preferred one first."""
    terminal: str = field(default="", repr=False)
    relative_mails: tuple[str, ...] = field(default=(), repr=False)
    """Of somebody outside the city."""
    relative_phones: tuple[str, ...] = field(default=(), repr=False)
    note: str = field(default="", repr=False)
    """What helpers must know: 車いす, 人工呼吸器."""

    def written(self) -> bytes:
        """What is sealed. The same person, the same bytes; what is empty is left out."""
        said = {f.name: value for f in fields(self) if (value := getattr(self, f.name))}
        return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def read(cls, data: bytes) -> "Person":
        said: dict[str, Any] = json.loads(data)
        values: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in said.items()}
        return cls(**values)
