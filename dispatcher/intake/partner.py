"""A CAP 1.2 alert of another service → Telegram, with the city's quarters that its areas meet.

    CAP                                  here
    status Actual | Exercise | the rest  通常 | 訓練 | 試験
    msgType Alert, Update                発表; an Update with a note or a correction: 訂正; with AllClear: its kind is 解除
    msgType Cancel | Ack, Error          取消 | nothing is announced
    references                           the first message of the chain is the event

Source: OASIS CAP 1.2 §3.2.
"""

import hashlib
from datetime import datetime

from config.city import City
from dispatcher import cap
from dispatcher.clock import JST
from dispatcher.errors import Finding, InvalidInput
from dispatcher.intake.jma import LONGEST, plain
from dispatcher.intake.places import quarters_of
from dispatcher.intake.telegram import InfoType, Kind, Phase, Place, Rank, Statement, Status, Telegram
from dispatcher.model.alert import QUARTER, Alert, Info, MsgType
from dispatcher.model.alert import Status as CapStatus
from dispatcher.model.draft import Verb, verb_of

TITLE = "CAP"
_STATUSES = {CapStatus.ACTUAL: Status.NORMAL, CapStatus.EXERCISE: Status.DRILL}
_INFO_TYPES = {Verb.RETRACT: InfoType.CANCELLED, Verb.CORRECT: InfoType.CORRECTED}


def read(data: bytes, city: City) -> Telegram:
    """The alert in these bytes.

    Raises:
        InvalidInput: it is not CAP 1.2; every reason is a finding.
    """
    return telegram(cap.read(data), city, hashlib.sha256(data).hexdigest())


def telegram(alert: Alert[object], city: City, digest: str) -> Telegram:
    """What this alert says, as any telegram."""
    verb = verb_of(alert)
    areas = [area for info in alert.info for area in info.area]
    quarters = quarters_of(areas, city)
    first = alert.references[0].identifier if alert.references else alert.identifier
    speaker = next((plain(i.sender_name) for i in alert.info if i.sender_name), plain(alert.sender))[:LONGEST]
    ends = alert.expires
    return Telegram(
        format="CAP",
        title=TITLE,
        status=_STATUSES.get(alert.status, Status.TEST),
        info_type=_INFO_TYPES.get(verb, InfoType.ISSUED),
        event_id=first,
        serial=None,
        reported=_here(alert.sent, "sent"),
        valid_until=_here(ends, "expires") if ends is not None else None,
        series=alert.sender,
        headline=plain(next((i.headline or i.event for i in alert.info), ""))[:LONGEST],
        statements=tuple(_statement(info, verb) for info in _infos(alert)) if quarters else (),
        digest=digest,
        speaker=speaker,
        texts={language: plain(text) for language in ("ja", "en") if (text := _headline(alert, language))},
        reads=alert.msg_type not in {MsgType.ACK, MsgType.ERROR},
        quarters=quarters,
    )


def _infos(alert: Alert[object]) -> tuple[Info, ...]:
    """One language of each event: Japanese where there is one, because the table's names are."""
    japanese = tuple(
        info for info in alert.info if info.language.lower().startswith("ja") and "easy" not in info.language
    )
    return japanese or alert.info


def _statement(info: Info, verb: Verb) -> Statement:
    described = "、".join(dict.fromkeys(plain(a.area_desc) for a in info.area))[:LONGEST]
    exact = any(g.value_name == QUARTER for a in info.area for g in a.geocodes)
    place = Place(described, "", Rank.MUNICIPALITY if exact else Rank.OTHER)
    phase = Phase.LIFTED if verb in {Verb.LIFT, Verb.RETRACT} else Phase.ACTIVE
    return Statement(Kind(plain(info.event)[:LONGEST]), place, phase)


def _here(moment: datetime, where: str) -> datetime:
    try:
        return moment.astimezone(JST)
    except OverflowError:
        raise InvalidInput([Finding(where, f"{moment.isoformat()}: 暦の外の時刻です (beyond the calendar)")]) from None


def _headline(alert: Alert[object], language: str) -> str:
    for info in alert.info:
        spoken = info.language.lower()
        if spoken.split("-")[0] == language and "easy" not in spoken:
            return info.headline or info.event
    return ""
