"""The order of an event's telegrams: which event one belongs to, and whether it says anything that is not known already.

JMA numbers the telegrams of an event (EventID, Serial), but not of every kind: warnings have neither, a tornado's number starts
again each day, and 東京都土砂災害警戒情報 is one name for ever. So the number decides where it can, else the time of the report.

Source: 気象庁防災情報XMLフォーマット 運用指針 §3, 別紙2 (EventID, Serial, InfoType).
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from dispatcher.intake.telegram import InfoType, Telegram

ANOTHER_EVENT = timedelta(days=3)
"""Telegrams so far apart have nothing to do with each other, though many events bear no name of their own."""
_SILENCE = timedelta(hours=3)
"""An event that was silent for so long, and counts from a lower number, is another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the last telegram of this event came to."""

    serial: int | None
    reported: datetime
    info_type: InfoType
    digest: str
    template: str | None = None
    """What holds for the city now; None when it is over."""
    kinds: tuple[str, ...] = ()
    quarters: tuple[str, ...] = ()


def event_key(telegram: Telegram) -> str:
    """The event that a telegram belongs to, within its title and lane. SHA-256 in hex: a stranger chose the words."""
    event = telegram.event_id or telegram.series
    framed = f"{telegram.format}\0{telegram.title}\0{event}\0{telegram.status}"
    return hashlib.sha256(framed.encode()).hexdigest()


def of_the_same_event(known: Known | None, telegram: Telegram) -> Known | None:
    """What is known, unless it is of another time altogether."""
    return known if known is not None and abs(telegram.reported - known.reported) <= ANOTHER_EVENT else None


def out_of_order(telegram: Telegram, known: Known | None) -> str:
    """Why nothing new is said: seen before, or older than what is known. Without an event, only the time tells the order."""
    if known is None:
        return ""
    if telegram.digest == known.digest:
        return "同じ電文を受け取り済みです (a duplicate)"
    if telegram.event_id and telegram.serial is not None and known.serial is not None:
        if telegram.serial < known.serial and not _begins_again(telegram, known):
            return f"第{known.serial}報のあとに第{telegram.serial}報が届きました (older than what is known)"
        if telegram.serial > known.serial:
            return ""
    if telegram.reported < known.reported:
        return f"{known.reported:%d日%H:%M} の電文のあとに {telegram.reported:%d日%H:%M} の電文が届きました (older)"
    is_repeated = telegram.reported == known.reported and telegram.info_type is known.info_type
    return "同じ報を受け取り済みです (a duplicate)" if is_repeated else ""


def _begins_again(telegram: Telegram, known: Known) -> bool:
    """Some events are one name for ever (東京都土砂災害警戒情報): after the last one is over, they count from 1 again."""
    later = telegram.reported - known.reported
    return later > _SILENCE or (known.template is None and later > timedelta(0))


def too_old(telegram: Telegram, now: datetime | None, oldest: timedelta) -> str:
    if now is None:
        return ""
    if telegram.valid_until is not None and telegram.valid_until <= now:
        return f"有効期限 {telegram.valid_until:%d日%H:%M} を過ぎています (no longer valid)"
    if now - telegram.reported > oldest:
        return f"{telegram.reported:%Y-%m-%d %H:%M} の古い電文です (too old)"
    return ""
