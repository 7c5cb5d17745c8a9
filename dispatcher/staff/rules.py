"""Who may do what, as one table: (state, act, role, mode) → allowed, or refused with the reason.

The desk asks this table and nothing else; RULES.md is printed from it (rulebook.py) and the tests walk through every cell of it,
so a rule that stands here is told, tested and kept. What depends on the person (who submitted, who returned) and on the moment (a
fresh second factor) stands beside the table as `Need`.

Source: design.md §3 "Draft states", §9.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from dispatcher.model.draft import Draft, State
from dispatcher.model.mode import Mode
from dispatcher.staff.sessions import is_same


class Role(StrEnum):
    """What a person is at headquarters; one may have several."""

    VIEWER = "viewer"
    ORIGINATOR = "originator"
    APPROVER = "approver"
    WELFARE = "welfare"
    COORDINATOR = "coordinator"
    """Of drills: writes on a drill node, looks on a live one."""
    ADMIN = "admin"
    TRAINEE = "trainee"
    """Writes on a drill node; on a live one there is nobody of this role."""
    INTAKE = "intake"
    """Another system (CAP, JMA): it writes drafts and sends nothing."""


ROLE_WORDS: Mapping[Role, str] = MappingProxyType(
    {
        Role.VIEWER: "閲覧者",
        Role.ORIGINATOR: "起案者",
        Role.APPROVER: "承認者",
        Role.WELFARE: "福祉担当",
        Role.COORDINATOR: "訓練統括",
        Role.ADMIN: "管理者",
        Role.TRAINEE: "訓練生",
        Role.INTAKE: "外部の機関",
    }
)


class Act(StrEnum):
    """What may be asked of the desk."""

    LOOK = "look"
    WRITE = "write"
    EDIT = "edit"
    SUBMIT = "submit"
    APPROVE = "approve"
    SEND_BACK = "send-back"
    REJECT = "reject"
    BREAK_GLASS = "break-glass"
    CONFIRM = "confirm"
    UPDATE = "update"
    CORRECT = "correct"
    LIFT = "lift"
    RETRACT = "retract"
    RETRY = "retry"
    REPORT = "report"
    """A field report, a tick by hand, a link test, a saved area."""
    SWITCH = "switch"
    """Pause and resume a channel."""
    HALT = "halt"
    REOPEN = "reopen"
    SHELTER = "shelter"
    """Say of a shelter that it is open, crowded, full or closed: residents see it within a second."""
    ASK = "ask"
    """Begin a round of safety confirmation: at once about a live alert within its own quarters, else with a second person."""
    ASK_AGAIN = "ask-again"
    END_ASKING = "end-asking"
    AGREE = "agree"
    """Be the second person: of a round about no live alert, of a release without consent."""
    PEOPLE = "people"
    """See residents by name: who needs help, who is silent, the visit list."""
    LOOK_UP = "look-up"
    ANSWER = "answer"
    """Write down what somebody said on the phone or at the door, match a report with a person."""
    CARE = "care"
    """Take on a case, and say that it is settled."""
    ROSTER = "roster"
    EXPORT = "export"
    """Hand over people's states as PFIF, or take over another's."""
    MAIL_LIST = "mail-list"
    """Take the list of registered mail out, or lift what stopped an address."""
    RELEASE = "release"
    """災対法49条の11第3項: ask for the roster to be shown to supporters without consent, or end it."""


class Need(StrEnum):
    """What must hold beside the cell."""

    ANOTHER = "not the one who submitted it"
    NOT_RETURNER = "not the one who returned it"
    FACTOR = "a second factor given within two minutes, and a template approved by its hash"
    BROKEN_GLASS = "sent by one person alone, and not yet confirmed"
    LATEST = "the latest message of its chain"
    OTHER = "not the one who asked for it"
    REASON = "a reason, which is written to the audit"


WORDS: Mapping[Act, tuple[str, str]] = MappingProxyType(
    {
        Act.LOOK: ("見る", "look"),
        Act.WRITE: ("起案", "write"),
        Act.EDIT: ("編集", "edit"),
        Act.SUBMIT: ("提出", "submit"),
        Act.APPROVE: ("承認", "approve"),
        Act.SEND_BACK: ("差戻し", "send back"),
        Act.REJECT: ("却下", "reject"),
        Act.BREAK_GLASS: ("緊急発表（一人）", "send alone"),
        Act.CONFIRM: ("事後承認", "confirm"),
        Act.UPDATE: ("更新", "update"),
        Act.CORRECT: ("訂正", "correct"),
        Act.LIFT: ("解除", "lift"),
        Act.RETRACT: ("取消", "retract"),
        Act.RETRY: ("再送", "retry"),
        Act.REPORT: ("記録", "write reports"),
        Act.SWITCH: ("媒体の停止・再開", "pause or resume a medium"),
        Act.HALT: ("送出の停止", "halt sending"),
        Act.REOPEN: ("送出の再開", "reopen sending"),
        Act.SHELTER: ("避難所の状態", "say how a shelter is"),
        Act.ASK: ("安否を尋ねる", "ask residents"),
        Act.ASK_AGAIN: ("安否をもう一度尋ねる", "ask residents again"),
        Act.END_ASKING: ("安否の確認を終える", "end a round of asking"),
        Act.AGREE: ("二人目の承認", "agree as the second person"),
        Act.PEOPLE: ("住民を名前で見る", "see residents by name"),
        Act.LOOK_UP: ("人をさがす", "look residents up"),
        Act.ANSWER: ("代わりに答えを記す", "answer for residents"),
        Act.CARE: ("引き受け・解決", "take cases on"),
        Act.ROSTER: ("名簿の取込み", "import the roster"),
        Act.EXPORT: ("安否情報の受渡し", "hand over or take over people’s states"),
        Act.RELEASE: ("同意なしの名簿提供", "release the roster without consent"),
        Act.MAIL_LIST: ("登録メールの名簿", "keep the list of registered mail"),
    }
)
STATE_WORDS: Mapping[State, str] = MappingProxyType(
    {
        State.DRAFT: "下書き",
        State.PENDING: "承認待ち",
        State.RETURNED: "差戻し",
        State.REJECTED: "却下",
        State.STALE: "時間切れ",
        State.DISPATCHING: "送出中",
        State.LIVE: "発表中",
        State.ENDED: "終了",
        State.CLOSED: "閉鎖",
    }
)

_R, _S, _A, _N = Role, State, Act, Need
_WRITERS = frozenset({_R.ORIGINATOR, _R.APPROVER, _R.COORDINATOR, _R.TRAINEE})
_SENDERS = frozenset({_R.ORIGINATOR, _R.APPROVER})
_APPROVERS = frozenset({_R.APPROVER})
_OPERATORS = frozenset({_R.ORIGINATOR, _R.APPROVER, _R.ADMIN})
_EVERYBODY = frozenset(Role) - {_R.INTAKE}
_ASKERS = _WRITERS | {_R.WELFARE}
_WELFARE = frozenset({_R.WELFARE})

DRILL_ONLY: Mapping[Role, frozenset[Act]] = MappingProxyType(
    {_R.COORDINATOR: frozenset(Act) - {_A.LOOK, _A.REPORT}, _R.TRAINEE: frozenset(Act)}
)
"""What these roles may do on a drill node alone."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may, and what else must hold."""

    roles: frozenset[Role]
    needs: tuple[Need, ...] = ()


_WRITE = Rule(_WRITERS | {_R.INTAKE})
ANYTIME: Mapping[Act, Rule] = {
    _A.LOOK: Rule(_EVERYBODY),
    _A.WRITE: _WRITE,
    _A.REPORT: Rule(_EVERYBODY - {_R.VIEWER}),
    _A.SWITCH: Rule(_OPERATORS),
    _A.HALT: Rule(_OPERATORS),
    _A.REOPEN: Rule(frozenset({_R.APPROVER, _R.ADMIN})),
    _A.SHELTER: Rule(_ASKERS),
    _A.ASK: Rule(_ASKERS),
    _A.ASK_AGAIN: Rule(_ASKERS),
    _A.END_ASKING: Rule(_SENDERS | {_R.WELFARE, _R.COORDINATOR}),
    _A.AGREE: Rule(_APPROVERS, (_N.OTHER,)),
    _A.PEOPLE: Rule(_WELFARE),
    _A.LOOK_UP: Rule(_WELFARE, (_N.REASON,)),
    _A.ANSWER: Rule(_WELFARE),
    _A.CARE: Rule(_WELFARE),
    _A.ROSTER: Rule(_WELFARE),
    _A.EXPORT: Rule(_WELFARE, (_N.REASON,)),
    _A.RELEASE: Rule(_WELFARE | _APPROVERS, (_N.REASON,)),
    _A.MAIL_LIST: Rule(frozenset({_R.ADMIN}), (_N.REASON,)),
}
"""Asked of the node, whatever state a message is in."""

TABLE: Mapping[tuple[State, Act], Rule] = MappingProxyType(
    {
        (_S.DRAFT, _A.EDIT): _WRITE,
        (_S.DRAFT, _A.SUBMIT): Rule(_WRITERS, (_N.NOT_RETURNER,)),
        (_S.DRAFT, _A.BREAK_GLASS): Rule(_SENDERS, (_N.FACTOR,)),
        (_S.PENDING, _A.EDIT): _WRITE,
        (_S.PENDING, _A.APPROVE): Rule(_APPROVERS, (_N.ANOTHER,)),
        (_S.PENDING, _A.SEND_BACK): Rule(_APPROVERS, (_N.ANOTHER,)),
        (_S.PENDING, _A.REJECT): Rule(_APPROVERS, (_N.ANOTHER,)),
        (_S.PENDING, _A.BREAK_GLASS): Rule(_SENDERS, (_N.FACTOR,)),
        (_S.RETURNED, _A.EDIT): _WRITE,
        (_S.RETURNED, _A.SUBMIT): Rule(_WRITERS, (_N.NOT_RETURNER,)),
        (_S.STALE, _A.EDIT): _WRITE,
        (_S.STALE, _A.SUBMIT): Rule(_WRITERS, (_N.NOT_RETURNER,)),
        (_S.STALE, _A.REJECT): Rule(_APPROVERS, (_N.ANOTHER,)),
        (_S.STALE, _A.BREAK_GLASS): Rule(_SENDERS, (_N.FACTOR,)),
        **{
            (state, act): Rule(_WRITERS if act in {_A.UPDATE, _A.LIFT} else _SENDERS, (_N.LATEST,))
            for state in (_S.DISPATCHING, _S.LIVE)
            for act in (_A.UPDATE, _A.CORRECT, _A.LIFT, _A.RETRACT)
        },
        **{(state, _A.RETRY): Rule(_OPERATORS) for state in (_S.DISPATCHING, _S.LIVE)},
        **{
            (state, _A.CONFIRM): Rule(_APPROVERS, (_N.BROKEN_GLASS, _N.ANOTHER))
            for state in (_S.DISPATCHING, _S.LIVE, _S.ENDED)
        },
        (_S.ENDED, _A.RETRACT): Rule(_SENDERS, (_N.LATEST,)),
    }
)


def refusal(state: State | None, act: Act, role: Role, mode: type[Mode]) -> str:
    """Why this cell is refused, Japanese with the English beside it; "" if it is allowed, as far as its needs hold."""
    rule = ANYTIME.get(act) or (TABLE.get((state, act)) if state is not None else None)
    if rule is None:
        where = STATE_WORDS[state] if state is not None else "この対象"
        return f"{where}では{WORDS[act][0]}できません (not possible: {state} · {act})"
    if mode.name == "live" and act in DRILL_ONLY.get(role, frozenset()):
        return f"{ROLE_WORDS[role]}は訓練の節点でだけ{WORDS[act][0]}できます ({role}: on a drill node only)"
    if role not in rule.roles:
        may = [
            r
            for r in Role
            if r in rule.roles - {Role.INTAKE} and not (mode.name == "live" and act in DRILL_ONLY.get(r, ()))
        ]
        ja, en = WORDS[act]
        return (
            f"{ROLE_WORDS[role]}には{ja}の権限がありません。できるのは{'・'.join(ROLE_WORDS[r] for r in may)}です "
            f"({role} may not {en}; {', '.join(may)} may)"
        )
    return ""


def allowed(
    name: str,
    roles: tuple[str, ...],
    act: Act,
    mode: type[Mode],
    draft: Draft | None = None,
    state: State | None = None,
) -> str:
    """Why this person may not; "" if they may. `state` is the alert's own where the draft has been issued.

    Needs that the desk alone can see (the second factor, the latest of its chain) are left to it.
    """
    state = state or (draft.state if draft is not None else None)
    known = [Role(role) for role in roles if role in set(Role)]
    reasons = [refusal(state, act, role, mode) for role in known]
    if not known:
        return f"{name} には役割がありません (no role)"
    if all(reasons):
        return reasons[0]
    rule = ANYTIME.get(act) or (TABLE.get((state, act)) if state is not None else None)
    assert rule is not None
    if draft is not None:
        if Need.ANOTHER in rule.needs and (is_same(name, draft.submitted_by) or is_same(name, draft.broken_glass_by)):
            return f"申請した本人は{WORDS[act][0]}できません。別の人が行ってください (the submitter cannot {act})"
        if Need.NOT_RETURNER in rule.needs and is_same(name, draft.returned_by):
            return "差し戻した本人は提出できません。別の人が提出してください (who returned it cannot submit it)"
        if Need.BROKEN_GLASS in rule.needs and (draft.broken_glass_by is None or draft.confirmed_by is not None):
            return "事後承認を待っていません (does not wait for a confirmation)"
    return ""
