"""What an event says in words: the ledger's names and facts as sentences that staff read in 経過.

An event that this table does not know is shown by its own name with its facts: nothing that stands in the chain is left out.
Receipts come by the thousand, so consecutive events of the same kind about the same message are one line with a count.

Source: dispatcher/ledger.py `Event`; issue "経過".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from config.by_hand import systems
from dispatcher.clock import JST
from dispatcher.ledger import Recorded
from dispatcher.model.draft import WORDS, Verb
from dispatcher.staff.accounts.acts import FORMS, AdminAct
from dispatcher.staff.console.told import RESIDENTS, Facts, Telling
from dispatcher.staff.console.words import Words


@dataclass(frozen=True, slots=True)
class Happened:
    """One line of the log; `count` events stand behind it, the last of them at `at`."""

    at: datetime
    said: str
    by: str
    subject: str
    name: str
    sequence: int
    node: str
    count: int = 1
    is_grave: bool = False


def happened(story: Sequence[Recorded], t: Words, title: Callable[[str], str]) -> list[Happened]:
    """The lines of a story, in its order. `title` names a channel, a facility, a shelter."""
    lines: list[Happened] = []
    for one in story:
        line = _line(one, t, title)
        last = lines[-1] if lines else None
        if last is not None and one.event.name in MANY and (last.name, last.subject) == (line.name, line.subject):
            # The story comes newest first: the line keeps the newest time.
            lines[-1] = Happened(
                last.at, line.said, line.by, last.subject, last.name, last.sequence, last.node, last.count + 1
            )
        else:
            lines.append(line)
    return lines


def _line(one: Recorded, t: Words, title: Callable[[str], str]) -> Happened:
    event = one.event
    if (told := _SAID.get(event.name)) is not None:
        said = told(event.facts, t, title)
    elif (done := _ADMINISTERED.get(event.name)) is not None:
        whom = str(event.facts.get("name") or event.facts.get("title") or "")
        said = f"{whom}：{t(*done)}" if whom else t(*done)
    else:
        said = _as_it_stands(event.name, event.facts)
    return Happened(
        one.at.astimezone(JST),
        said,
        str(event.facts.get("by", "")),
        event.subject,
        event.name,
        one.sequence,
        one.node,
        is_grave=event.name in GRAVE,
    )


MANY = frozenset(
    {
        "outcomes.told",
        "receipts.recorded",
        "deliveries.moved",
        "safety.added",
        "safety.heard",
        "safety.asked",
        "safety.climbed",
        "safety.reasked",
        "deliveries.added",
        "deliveries.reclaimed",
        "channels.probed",
    }
)
"""Events that come by the hundred."""
GRAVE = frozenset(
    {
        "act.refused",
        "console.refused",
        "signin.refused",
        "glass.broken",
        "gate.closed",
        "rendering.differs",
        "draft.stale",
        "intake.refused",
    }
)
MACHINE = MANY | {
    "session.opened",
    "session.closed",
    "factor.used",
    "page.owed",
    "page.told",
    "alarm.silenced",
    "intake.forgotten",
    "residents.listed",
}
"""What only somebody who looks for it wants to read: every page of 安否 that is opened lists somebody."""


def _verb(facts: Facts, t: Words) -> str:
    verb = facts.get("verb", "issue")
    return t(WORDS[Verb(verb)], verb) if verb in set(Verb) else str(verb)


def _as_it_stands(name: str, facts: Facts) -> str:
    shown = "、".join(
        f"{key} {str(value)[:80]}" for key, value in facts.items() if key not in {"by", "record", "proof"}
    )
    return f"{name}（{shown}）" if shown else name


def _gate(facts: Facts, t: Words, title: Callable[[str], str]) -> str:
    gate = str(facts.get("gate", ""))
    return t("送出全体", "everything") if gate == "*" else title(gate)


def _act(facts: Facts, t: Words) -> str:
    """The admin act in words; whom it is about stands in the event of the deed itself."""
    act = str(facts.get("act", ""))
    if act not in set(AdminAct):
        return act
    ja, _, en = FORMS[AdminAct(act)].words.partition(" (")
    return t(ja, en.removesuffix(")"))


def _system(facts: Facts, t: Words) -> str:
    name = str(facts.get("system", ""))
    return t(*systems().get(name, (name, name)))


def _because(facts: Facts, t: Words) -> str:
    because = str(facts.get("because", ""))
    return {"expired": t("（時間が来た）", " (its time is over)")}.get(because, f"（{because}）" if because else "")


def _clock(facts: Facts) -> str:
    try:
        at = datetime.fromisoformat(str(facts.get("at", ""))).astimezone(JST)
    except ValueError:
        return ""
    return f"{at.hour}:{at:%M}"


def _probed(facts: Facts, t: Words, title: Callable[[str], str]) -> str:
    down = [title(kind) for kind, is_up in facts.items() if is_up is False]
    if down:
        return t(f"疎通試験：{'、'.join(down)} が不通", f"link test: {', '.join(down)} down")
    return t("疎通試験：すべてつながる", "link test: all up")


_SAID: Mapping[str, Telling] = MappingProxyType(
    {
        "draft.written": lambda f, t, _: t(f"{_verb(f, t)}の下書きを書いた", f"wrote a draft ({_verb(f, t)})"),
        "draft.edited": lambda _f, t, _: t("下書きを書きかえた", "edited the draft"),
        "draft.submitted": lambda _f, t, _: t("承認へ提出した", "submitted it for approval"),
        "draft.returned": lambda f, t, _: t(f"差し戻した：{f.get('reason', '')}", f"sent back: {f.get('reason', '')}"),
        "draft.rejected": lambda f, t, _: t(f"却下した：{f.get('reason', '')}", f"rejected: {f.get('reason', '')}"),
        "draft.stale": lambda _f, t, _: t(
            "10分承認されず、時間切れになった（送っていない）", "nobody approved for ten minutes: stale, not sent"
        ),
        "alert.issued": lambda f, t, _: t(f"承認して{_verb(f, t)}した", f"approved: {_verb(f, t)}"),
        "alert.live": lambda _f, t, _: t("すべての宛先が書き出された", "every delivery is written down"),
        "alert.taken-over": lambda f, t, _: t(
            f"節点 {f.get('from', '')} が止まり、ほかの節点が続きを書き出す",
            f"node {f.get('from', '')} is gone, another writes the rest down",
        ),
        "alert.ended": lambda f, t, _: t("終わった", "ended") + _because(f, t),
        "outcomes.told": lambda f, t, title: t(
            f"{title(str(f.get('channel', '')))}：媒体の返事を記録",
            f"{title(str(f.get('channel', '')))}: the medium answered",
        ),
        "receipts.recorded": lambda f, t, title: t(
            f"{title(str(f.get('channel', '')))}：受領・確認を記録",
            f"{title(str(f.get('channel', '')))}: receipts recorded",
        ),
        **RESIDENTS,
        "facilities.escalated": lambda f, t, _: t(
            f"確認のない施設 {f.get('unacknowledged', 0)} か所："
            f"次の連絡先へ {f.get('told', 0)}、電話をかける {f.get('to_call', 0)}",
            f"{f.get('unacknowledged', 0)} facilities silent: "
            f"{f.get('told', 0)} to the next contact, {f.get('to_call', 0)} to be called",
        ),
        "facility.telephoned": lambda f, t, title: t(
            f"{title(str(f.get('facility', '')))}に電話した（{'応答あり' if f.get('answered') else '応答なし'}）",
            f"telephoned {title(str(f.get('facility', '')))} ({'answered' if f.get('answered') else 'no answer'})",
        ),
        "deliveries.moved": lambda _f, t, _: t("送出が進んだ", "deliveries moved on"),
        "deliveries.added": lambda _f, t, _: t("宛先を書き足した", "further deliveries written down"),
        "deliveries.reclaimed": lambda _f, t, _: t("途中だった送出を引き取った", "deliveries taken over"),
        "delivery.retried": lambda f, t, title: t(
            f"{title(str(f.get('channel', '')))}を今すぐ再送させた",
            f"{title(str(f.get('channel', '')))}: tried again at once",
        ),
        "channels.probed": _probed,
        "gate.closed": lambda f, t, title: t(
            f"{_gate(f, t, title)}を止めた：{f.get('reason', '')}",
            f"{_gate(f, t, title)} stopped: {f.get('reason', '')}",
        ),
        "gate.opened": lambda f, t, title: t(f"{_gate(f, t, title)}を再開した", f"{_gate(f, t, title)} opened again"),
        "glass.broken": lambda _f, t, _: t("一人で緊急発表した（事後承認待ち）", "sent alone, to be confirmed"),
        "glass.confirmed": lambda _f, t, _: t("事後承認した", "confirmed afterwards"),
        "by_hand.done": lambda f, t, _: t(
            f"{_system(f, t)}：済み（{f.get('who', '')} {_clock(f)}）",
            f"{_system(f, t)}: done ({f.get('who', '')} {_clock(f)})",
        ),
        "by_hand.undone": lambda f, t, _: t(
            f"{_system(f, t)}の済みを取り消した", f"{_system(f, t)}: not done after all"
        ),
        "report.written": lambda f, t, _: (
            t("現場の報告を記録した", "a field report")
            + (t("（写真あり）", " with a picture") if f.get("photo") else "")
        ),
        "area.saved": lambda f, t, _: t(
            f"区域「{f.get('name', '')}」を保存した", f"saved the area “{f.get('name', '')}”"
        ),
        "area.removed": lambda f, t, _: t(
            f"区域「{f.get('name', '')}」を消した", f"removed the area “{f.get('name', '')}”"
        ),
        "act.refused": lambda f, t, _: t(f"拒否：{f.get('words', '')}", f"refused: {f.get('words', '')}"),
        "console.refused": lambda f, t, _: t(
            f"画面の操作を拒否：{f.get('what', '')} {f.get('path', '')}", f"refused at the console: {f.get('what', '')}"
        ),
        "signin.refused": lambda _f, t, _: t("サインインを拒否", "a sign-in was refused"),
        "session.opened": lambda _f, t, _: t("サインインした", "signed in"),
        "session.closed": lambda _f, t, _: t("サインアウトした", "signed out"),
        "proposal.made": lambda f, t, _: t("提案した：", "proposed: ") + _act(f, t),
        "proposal.approved": lambda f, t, _: t("提案に2人目として同意した：", "gave the second yes: ") + _act(f, t),
        "proposal.done": lambda f, t, _: t("提案どおりにした：", "carried out: ") + _act(f, t),
        "proposal.rejected": lambda f, t, _: t("提案を退けた：", "turned down: ") + _act(f, t),
        "intake.taken": lambda f, t, _: t(
            f"電文「{f.get('title', '')}」を受けた：{f.get('reason', '')}",
            f"took the telegram “{f.get('title', '')}”: {f.get('decision', '')}",
        ),
        "intake.refused": lambda f, t, _: t(
            f"電文を断った（{f.get('source', '')}）：{'、'.join(map(str, f.get('reasons', ())))}",
            f"refused a telegram ({f.get('source', '')}): {', '.join(map(str, f.get('reasons', ())))}",
        ),
        "node.started": lambda _f, t, _: t("節点が動き出した", "the node started"),
        "rendering.differs": lambda f, t, title: t(
            f"{title(str(f.get('channel', '')))}：承認した見え方と違う",
            f"{title(str(f.get('channel', '')))}: not as approved",
        ),
    }
)
_ADMINISTERED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "account.founded": ("最初の管理者にした", "founded as an admin"),
        "account.added": ("加えた", "added"),
        "account.enrolled": ("パスワードとアプリを設定した", "set up password and app"),
        "account.removed": ("外した", "removed"),
        "account.disabled": ("止めた", "disabled"),
        "account.enabled": ("止めたのを戻した", "enabled again"),
        "account.roles_changed": ("役割を変えた", "roles changed"),
        "account.reset": ("認証をやり直しにした", "factors reset"),
        "account.renewing": ("アプリを入れ替えている", "is changing the app"),
        "account.app_replaced": ("アプリを入れ替えた", "app replaced"),
        "account.password_changed": ("パスワードを変えた", "password changed"),
        "account.password_replaced": ("パスワードを入れ替えた", "password replaced"),
        "account.passkey_added": ("パスキーを加えた", "passkey added"),
        "account.passkey_removed": ("パスキーを外した", "passkey removed"),
        "account.recovery_renewed": ("回復コードを作り直した", "recovery codes renewed"),
        "token.issued": ("鍵を出した", "token issued"),
        "token.rotated": ("鍵を新しくした", "token rotated"),
        "token.revoked": ("鍵を止めた", "token revoked"),
        "template.approved": ("緊急発表に使えるひな形にした", "template approved for one person’s use"),
        "duty.changed": ("当番の宛先を変えた", "duty list changed"),
        "maintenance.opened": ("保守時間を始めた", "maintenance opened"),
        "maintenance.closed": ("保守時間を終えた", "maintenance closed"),
        "token.retiring": ("鍵を新しいものに替え始めた", "a token is being replaced"),
        "token.replaced": ("鍵を新しいものに替えた", "a token was replaced"),
        "template.kept": ("認めたひな形の文を控えた", "kept the text of a template"),
        "draft.declared": ("ファイルのとおりに下書きを書いた", "a draft was declared in a file"),
        "ledger.restored": ("控えから戻した", "restored from a backup"),
        "factor.used": ("二つ目の確認をした", "gave a second factor"),
        "page.owed": ("当番に知らせることがある", "the duty list is to be told"),
        "page.told": ("当番に知らせた", "the duty list was told"),
        "alarm.silenced": ("警報の音を止めた", "silenced the alarm"),
        "intake.forgotten": ("古い電文の控えを消した", "forgot an old telegram"),
    }
)
"""What was done about people, keys and the node: named by whom it is about."""
