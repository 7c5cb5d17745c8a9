"""What an event that concerns residents says in words: that something was done, never of whom, and never how many there are.

Source: design.md §8 "Privacy"; dispatcher/staff/boards.py keeps the rest of the facts from whoever is not of the role welfare.
"""

from collections.abc import Callable, Mapping
from typing import Any

from dispatcher.model.shelter import STATE_WORDS, ShelterState
from dispatcher.staff.console.words import Words
from dispatcher.staff.lookups import WHY, Why

Facts = Mapping[str, Any]
Telling = Callable[[Facts, Words, Callable[[str], str]], str]


def _always(ja: str, en: str) -> Telling:
    return lambda _facts, t, _title: t(ja, en)


def _reason(facts: Facts, t: Words) -> str:
    said = str(facts.get("reason", ""))
    return t(*WHY[Why(said)]) if said in set(Why) else said


_LISTS: Mapping[str, tuple[str, str]] = {
    "urgent": ("すぐ動く人", "who needs somebody"),
    "silent": ("返事がない人", "who is silent"),
    "visits": ("訪問の名簿", "the visit list"),
    "supporters": ("支援者に渡す名簿", "the list for supporters"),
    "sealed": ("封の名簿", "the sealed list"),
    "reports": ("名簿と合っていない知らせ", "reports without a match"),
    "sealed reports": ("封の名簿の人かもしれない知らせ", "reports of the sealed list"),
}


def _list(facts: Facts, t: Words) -> str:
    name = str(facts.get("list", ""))
    return t(*_LISTS.get(name, (name, name)))


def _shelter(facts: Facts, t: Words, title: Callable[[str], str]) -> str:
    name, state = title(str(facts.get("shelter", ""))), str(facts.get("state", ""))
    word = STATE_WORDS[ShelterState(state)] if state in set(ShelterState) else state
    return t(f"{name}は{word}", f"{name} is {state}")


RESIDENTS: Mapping[str, Telling] = {
    "safety.opened": _always("住民に安否を尋ね始めた", "began to ask residents whether they are safe"),
    "safety.asked-again": lambda f, t, _: t(
        f"もう一度尋ねた（{f.get('round', '')}回目）", f"asked again, round {f.get('round', '')}"
    ),
    "safety.watch-on": _always("毎日の見守りを始めた", "switched the daily touch on"),
    "safety.watch-off": _always("毎日の見守りを止めた", "switched the daily touch off"),
    "safety.watch-missed": _always(
        "止まっていて見守りをしなかった日がある", "a day had no daily touch: nothing was running"
    ),
    "safety.watch-paused": _always(
        "安否を尋ねているため見守りを休んだ", "the daily touch paused: people are asked about safety"
    ),
    "safety.closed": lambda f, t, _: (
        t(
            "もとの情報が取り消されたので安否の確認を終えた",
            "the alert was retracted: its round of safety confirmation ended",
        )
        if f.get("because")
        else t("安否の確認を終えた", "ended a round of safety confirmation")
    ),
    "safety.destroyed": _always("安否の名前と答えを読めなくした", "names and answers of a round were made unreadable"),
    "safety.emptied": _always("安否の行を消した", "the rows of a round were removed"),
    "safety.added": _always("尋ねる人を書きとめた", "people to be asked were written down"),
    "safety.climbed": _always("返事がない人が次の段に上がった", "silent people went up a rung"),
    "safety.reasked": _always("もう一度尋ねる人を書きとめた", "people to be asked again were written down"),
    "safety.heard": _always("住民の答えを聞いた", "residents answered"),
    "safety.asked": _always("住民に尋ねた", "residents were asked"),
    "safety.taken-on": _always("一人を引き受けた", "took a case on"),
    "safety.matched": _always("知らせを名簿と合わせた", "matched a report"),
    "safety.resolved": _always("一人が解決した", "a case is settled"),
    "safety.exempted": _always("一人を対象から外した", "somebody need not be asked"),
    "safety.exported": lambda f, t, _: t(
        f"安否情報を渡した：{_reason(f, t)}", f"handed people's states over: {_reason(f, t)}"
    ),
    "safety.imported": lambda f, t, _: t(
        f"安否情報を受け取った：{_reason(f, t)}", f"took people's states over: {_reason(f, t)}"
    ),
    "resident.opened": _always("一人の住民のページを見た", "opened one resident's page"),
    "resident.searched": lambda f, t, _: t(
        f"住民をさがした：{_reason(f, t)}", f"looked a resident up: {_reason(f, t)}"
    ),
    "residents.listed": lambda f, t, _: t(
        f"住民の一覧を見た：{_list(f, t)}", f"looked at a list of residents: {_list(f, t)}"
    ),
    "look-up.capped": _always("1時間にさがせる回数を使いきった", "used up the hour's look-ups"),
    "shelter.said": _shelter,
    "shelter.door_opened": lambda f, t, title: t(
        f"{title(str(f.get('shelter', '')))}の人にリンクを渡した",
        f"gave the people at {title(str(f.get('shelter', '')))} a link",
    ),
    "mail.exported": lambda f, t, _: t(
        f"登録メールの名簿を書き出した：{f.get('reason', '')}",
        f"exported the list of registered mail: {f.get('reason', '')}",
    ),
    "mail.restored": lambda f, t, _: t(
        f"登録メールの宛先を戻した：{f.get('reason', '')}",
        f"restored an address of registered mail: {f.get('reason', '')}",
    ),
    "roster.imported": _always("名簿を取り込んだ", "imported the roster"),
    "roster.written": _always("名簿を書きとめた", "the roster was written down"),
    "roster.released": lambda f, t, _: t(
        f"同意なしの名簿提供を始めた：{f.get('reason', '')}",
        f"released the roster without consent: {f.get('reason', '')}",
    ),
    "roster.release-ended": _always("同意なしの名簿提供を終えた", "ended the release without consent"),
    "safety.proposed": _always("二人目の承認を申請した", "asked for a second person"),
    "safety.declined": _always("申請を出さなかった", "declined what was proposed"),
    "safety.agreed": lambda f, t, _: t(
        f"{f.get('by', '')} の申請を {f.get('agreed_by', '')} が承認した",
        f"{f.get('agreed_by', '')} agreed to what {f.get('by', '')} proposed",
    ),
}
