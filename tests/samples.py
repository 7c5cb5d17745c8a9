"""One evacuation order for 大沢 and what follows it, as alerts of either mode: what most tests send.

What ends the order has an instruction of its own: 取消 that still says "go to a shelter" would be read, and obeyed.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from dispatcher.clock import JST
from dispatcher.model.alert import (
    QUARTER,
    Added,
    Alert,
    Area,
    Category,
    Certainty,
    Info,
    MsgType,
    Named,
    Reference,
    ResponseType,
    Scope,
    Severity,
    Urgency,
)
from dispatcher.model.mode import M, Mode

SENT = datetime(2026, 9, 14, 2, 41, 0, tzinfo=JST)
OSAWA = tuple(f"1320403{n:02d}" for n in range(1, 7))
PLACES = {"ja": "大沢", "ja-x-easy": "大沢（おおさわ）", "en-US": "Osawa"}

_WORDS = {
    "ja": (
        "避難指示",
        "大沢の人は いますぐ避難",
        "野川の水位が上がり、氾濫のおそれがあります。",
        "川や低い所から離れて、避難所か、安全な親せき・知人の家へ。\n外が危ないときは、2階以上へ。",
        "大沢 野川 氾濫のおそれ 全員 いますぐ避難",
        "大沢台小学校、第七中学校、国際基督教大学",
        "三鷹市災害対策本部",
    ),
    "ja-x-easy": (
        "逃げて ください（避難指示）",
        "大沢（おおさわ）の 人は 今すぐ 逃げて ください",
        "野川の 水が あふれそうです。",
        "川から 離れて ください。\n避難所へ 行って ください。",
        "大沢（おおさわ） 今すぐ 逃げて ください",
        "大沢台小学校、第七中学校、国際基督教大学",
        "三鷹市（みたかし）",
    ),
    "en-US": (
        "Evacuation order",
        "Osawa: evacuate now",
        "The Nogawa river is rising and may flood.",
        "Move away from the river and low ground, to a shelter or to a safe home.\nIf going out is dangerous, go to the second floor or higher.",
        "Osawa: Nogawa may flood. Evacuate now",
        "Osawadai Elementary School, Daishichi Junior High School, ICU",
        "Mitaka City Disaster Headquarters",
    ),
}


def evacuation_order(
    mode: type[M], *, identifier: str = "mitaka-20260914-0001", quarters: tuple[str, ...] = OSAWA, sent: datetime = SENT
) -> Alert[M]:
    """避難指示, level 4, in three languages, valid for twelve hours."""

    def info(language: str) -> Info:
        event, headline, description, instruction, short, shelters, sender = _WORDS[language]
        return Info(
            language=language,
            category=(Category.MET,),
            event=event,
            response_type=(ResponseType.EVACUATE,),
            urgency=Urgency.IMMEDIATE,
            severity=Severity.SEVERE,
            certainty=Certainty.LIKELY,
            effective=sent,
            expires=sent + timedelta(hours=12),
            sender_name=sender,
            headline=headline,
            description=description,
            instruction=instruction,
            contact="0422-00-0000",
            parameter=(
                Named(Added.LEVEL, "4"),
                Named(Added.SHORT, short),
                Named(Added.NEXT_UPDATE, (sent + timedelta(minutes=49)).isoformat()),
                Named(Added.SHELTERS, shelters),
            ),
            area=(Area(PLACES[language], geocodes=tuple(Named(QUARTER, q) for q in quarters)),),
        )

    return Alert(
        identifier=identifier,
        sender="bousai@mitaka.example.jp",
        sent=sent,
        status=mode.status,
        msg_type=MsgType.ALERT,
        scope=Scope.PUBLIC,
        info=tuple(info(language) for language in _WORDS),
    )


def _follow(
    alert: Alert[M], number: int, msg_type: MsgType, note: str | None, words: dict[str, tuple[str, ...]]
) -> Alert[M]:
    sent = alert.sent + timedelta(minutes=10 * number)
    return replace(
        alert,
        identifier=f"{alert.identifier}-{number}",
        sent=sent,
        msg_type=msg_type,
        note=note,
        references=(Reference(alert.sender, alert.identifier, alert.sent),),
        info=tuple(
            replace(
                i,
                effective=sent,
                headline=words[i.language][0],
                description=words[i.language][1],
                instruction=words[i.language][2] if len(words[i.language]) > 2 else i.instruction,
                parameter=tuple(
                    replace(p, value=words[i.language][0]) if p.value_name == Added.SHORT else p for p in i.parameter
                ),
            )
            for i in alert.info
        ),
    )


def retraction(alert: Alert[M]) -> Alert[M]:
    """取消: the alert was an error."""
    words = {
        "ja": (
            "【取消】大沢の避難指示は誤りです",
            "大沢への避難指示は、誤って発表しました。",
            "避難の必要はありません。",
        ),
        "ja-x-easy": ("【取消】大沢（おおさわ）の お知らせは まちがいです", "すみません。", "逃げなくて いいです。"),
        "en-US": (
            "CANCELLED: the evacuation order for Osawa was an error",
            "The order was sent by mistake. We apologise.",
            "You do not need to evacuate.",
        ),
    }
    return _follow(alert, 1, MsgType.CANCEL, "誤って発表した。", words)


def correction(alert: Alert[M]) -> Alert[M]:
    """訂正: the order stands, its text was wrong."""
    words = {
        "ja": ("【訂正】大沢の人は いますぐ避難", "避難所の名前を訂正しました。野川の氾濫のおそれがあります。"),
        "ja-x-easy": ("【訂正】大沢（おおさわ）の 人は 今すぐ 逃げて ください", "避難所の 名前を 直しました。"),
        "en-US": ("CORRECTION: Osawa: evacuate now", "The name of a shelter was wrong. The Nogawa river may flood."),
    }
    return _follow(alert, 2, MsgType.UPDATE, "避難所の名前の誤り。", words)


def plain_correction(alert: Alert[M]) -> Alert[M]:
    """訂正 as the desk makes it: the order's own words, mended, and what was wrong beside them."""
    mended = replace(alert, identifier=correction(alert).identifier, msg_type=MsgType.UPDATE, note="避難所の名前")
    wrong = (Named(Added.CORRECTION, "避難所の名前"),)
    return replace(
        mended,
        references=correction(alert).references,
        info=tuple(replace(i, parameter=i.parameter + wrong) for i in mended.info),
    )


def lifting(alert: Alert[M]) -> Alert[M]:
    """解除: the danger is over."""
    words = {
        "ja": ("大沢の避難指示を解除しました", "野川の水位が下がりました。", "川には近づかないでください。"),
        "ja-x-easy": (
            "大沢（おおさわ）は もう 大丈夫です",
            "家に 帰る ことが できます。",
            "川に 行かないで ください。",
        ),
        "en-US": (
            "Osawa: the evacuation order is lifted",
            "The Nogawa river has gone down.",
            "Keep away from the river.",
        ),
    }
    lifted = _follow(alert, 3, MsgType.UPDATE, None, words)
    return replace(lifted, info=tuple(replace(i, response_type=(ResponseType.ALL_CLEAR,)) for i in lifted.info))


def both_modes() -> tuple[type[Mode], ...]:
    return tuple(Mode.__subclasses__())
