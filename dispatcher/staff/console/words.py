"""What the console says of time, number and mode, in Japanese and in English; every page is handed one `Words` as `t`.

A page writes both languages at the place where they are read, `t("状況板", "Board")`, so that a reviewer sees them side by
side and nothing can be lost in a catalogue.

Source: mockups README "Say what was seen".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from config.words import language_name

LANGUAGES: Mapping[str, str] = MappingProxyType({"ja": "日本語", "en": "English"})
_WEEKDAYS = ("月", "火", "水", "木", "金", "土", "日")
_MYRIAD = 10_000


@dataclass(frozen=True, slots=True)
class Words:
    """One of `LANGUAGES`; called with both wordings it gives the one to show."""

    language: str

    def __call__(self, ja: str, en: str) -> str:
        return en if self.language == "en" else ja

    def clock(self, moment: datetime | None) -> str:
        """3:04, or — for never."""
        return "—" if moment is None else f"{moment.hour}:{moment:%M}"

    def second(self, moment: datetime) -> str:
        return f"{moment.hour}:{moment:%M:%S}"

    def day(self, moment: datetime) -> str:
        return self(
            f"{moment.month}月{moment.day}日({_WEEKDAYS[moment.weekday()]})", f"{moment:%a} {moment.day} {moment:%b}"
        )

    def moment(self, moment: datetime, now: datetime) -> str:
        """The time alone today, with the day before it otherwise."""
        return self.clock(moment) if moment.date() == now.date() else f"{self.day(moment)} {self.clock(moment)}"

    def span(self, seconds: float) -> str:
        """1時間12分 · 23分10秒 · 9秒 · 0.4秒; whole minutes from an hour on, tenths below ten seconds."""
        if 0 < seconds < 10:
            return f"{seconds:.1f}" + self("秒", " s")
        minutes, second = divmod(int(max(seconds, 0)), 60)
        hours, minute = divmod(minutes, 60)
        days, hour = divmod(hours, 24)
        if days:
            return self(f"{days}日{hour}時間", f"{days} d {hour} h")
        if hours:
            return self(f"{hour}時間{minute}分", f"{hour} h {minute} min")
        if minutes:
            return self(f"{minute}分{second}秒", f"{minute} min {second} s")
        return f"{second}" + self("秒", " s")

    def minutes(self, seconds: float) -> str:
        """As `span`, in whole minutes from one on: what stands large and must not flicker."""
        whole = int(max(seconds, 0))
        if not 60 <= whole < 3600:
            return self.span(whole)
        return f"{whole // 60}" + self("分", " min")

    def language_name(self, language: str) -> str:
        """A message's language as its own readers call it."""
        return language_name(language)

    def about(self, count: int) -> str:
        """A number as an order of magnitude that can be said aloud: およそ1万4千件; a small one as it is."""
        rounded = _rounded(count)
        if self.language == "en":
            return f"{count}" if rounded == count else f"about {rounded:,}"
        myriads, rest = divmod(rounded, _MYRIAD)
        thousands, rest = divmod(rest, 1000)
        said = "".join((f"{myriads}万" * bool(myriads), f"{thousands}千" * bool(thousands), f"{rest}" * bool(rest)))
        return ("" if rounded == count else "およそ") + f"{said or '0'}件"


def _rounded(count: int) -> int:
    """To two leading figures; a small count stays as it is."""
    if count < 100:
        return count
    unit: int = 10 ** (len(str(count)) - 2)
    return round(count / unit) * unit


MODES: Mapping[str, tuple[str, str, str, str]] = MappingProxyType(
    {
        "live": ("本番", "LIVE", "押したことは住民に届きます", "What you press reaches residents"),
        "drill": ("訓練", "DRILL", "訓練の宛先にだけ届きます", "It reaches the drill's recipients only"),
        "halt": ("停止中", "HALTED", "何も送れません。見ることはできます", "Nothing can be sent; you can look"),
    }
)
"""Word and sentence of each strip."""

LEVELS: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        5: ("緊急安全確保", "Emergency safety measures"),
        4: ("避難指示", "Evacuation order"),
        3: ("高齢者等避難", "Evacuation of the elderly and others"),
        2: ("大雨・洪水注意報", "Advisory"),
        1: ("早期注意情報", "Early notice"),
    }
)
ROLES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "viewer": ("閲覧", "viewer"),
        "originator": ("起案", "originator"),
        "approver": ("承認", "approver"),
        "welfare": ("福祉", "welfare"),
        "coordinator": ("訓練統括", "coordinator"),
        "admin": ("管理", "admin"),
        "trainee": ("訓練生", "trainee"),
    }
)
