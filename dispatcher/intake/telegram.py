"""One message of another service, whatever its format: what it is called, its event and order, what it says of which place.

A JMA telegram's own words are kept (通常 訓練 試験, 発表 訂正 取消 遅延): they are what staff know, and CAP's fit into them.

Source: 気象庁防災情報XMLフォーマット 運用指針 別紙2（管理部・ヘッダ部）; OASIS CAP 1.2 §3.2.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Status(StrEnum):
    """Is it meant?"""

    NORMAL = "通常"
    DRILL = "訓練"
    TEST = "試験"


class InfoType(StrEnum):
    ISSUED = "発表"
    CORRECTED = "訂正"
    CANCELLED = "取消"
    DELAYED = "遅延"
    """An issue that comes late."""


class Phase(StrEnum):
    """What a statement says of its kind."""

    ACTIVE = "発表"
    CONTINUED = "継続"
    LIFTED = "解除"
    NONE = "なし"


class Rank(StrEnum):
    """How exactly a place is named; the telegram's most exact table decides. In the order of exactness."""

    MUNICIPALITY = "市町村等"
    CLUSTER = "市町村等をまとめた地域・一次細分区域・地震細分区域"
    PREFECTURE = "府県"
    REGION = "地方"
    SEA = "津波予報区"
    RIVER = "河川"
    OTHER = "その他"


@dataclass(frozen=True, slots=True)
class Kind:
    """What is announced: 大雨警報, 03. `code` is "" where the telegram has none (震度５弱)."""

    name: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where, in the sender's words. `rank` says what the code is a code of; the same figures mean others elsewhere."""

    name: str
    code: str
    rank: Rank


@dataclass(frozen=True, slots=True)
class Statement:
    """One kind at one place."""

    kind: Kind
    place: Place
    phase: Phase = Phase.ACTIVE
    before: Kind | None = None
    """What held there before, where the telegram says so (警報から注意報)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telegram:
    """What came in. `digest` is SHA-256 of its bytes in hex."""

    format: str
    """JMA or CAP."""
    title: str
    """JMA: Control/Title, which names the kind of telegram. CAP: the event."""
    status: Status
    info_type: InfoType
    event_id: str
    """"" where the sender gives none: then the series is one long event, ordered by time."""
    serial: int | None
    reported: datetime
    valid_until: datetime | None
    series: str
    """What tells two telegrams of one title apart that have no event: the head's title (東京都気象警報・注意報)."""
    headline: str
    statements: tuple[Statement, ...]
    digest: str
    speaker: str = "気象庁"
    """Who says it."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """CAP alone: its headline by language; where there is one it is passed on instead of the name of the kind."""
    reads: bool = True
    """False for what carries no announcement at all (CAP Ack and Error)."""
    quarters: tuple[str, ...] | None = None
    """CAP alone, whose places are shapes: the city's quarters that it meets. None: `statements` say where."""

    @property
    def name(self) -> str:
        """How people call it: JMA's by its kind, another service's by what it says."""
        return (self.headline if self.format == "CAP" else self.title) or self.title
