"""What a telegram asks of the desk: one pure function of the telegram, the city, the tables, the policy and what is known already.

    title not in the table · other lane · seen before · older than what is known · not about the city   → ignored
    取消                                        → retract        訂正                       → correct
    解除, or the city is no longer named        → lift           anything in force here     → draft, or sent by a policy
    訓練, 試験                                   → drill: the same, on a drill node alone

It never looks at a clock or a ledger, so a replay decides as the node did.

Source: design.md §7 "JMA telegrams"; 気象庁防災情報XMLフォーマット 運用指針 §3 (InfoType, EventID, Serial).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from config.intake import NO_TEMPLATE, PEOPLE_ONLY, Group, Policy, Row, Table
from dispatcher.intake.order import Known, of_the_same_event, out_of_order, too_old
from dispatcher.intake.places import Concern
from dispatcher.intake.telegram import InfoType, Phase, Rank, Statement, Status, Telegram
from dispatcher.model.draft import ENDING, Verb

_EXACT = frozenset({Rank.MUNICIPALITY, Rank.CLUSTER})
"""How exactly the city must be named before a policy may send without a person."""
_LIFTED = "解除"
"""A kind that names nothing else: whatever the telegram announces, it is over."""
_FORCE = frozenset({Phase.ACTIVE, Phase.CONTINUED})


class Outcome(StrEnum):
    IGNORED = "ignored"
    DRAFT = "draft"
    DRILL = "drill"
    """For a drill node alone. With a template it becomes a draft there."""
    CORRECT = "correct"
    LIFT = "lift"
    RETRACT = "retract"
    SENT = "sent"
    """By a policy, without a person."""


class Lane(StrEnum):
    """Whose eyes look: a node has one mode, a replay may have both."""

    LIVE = "live"
    DRILL = "drill"
    BOTH = "both"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    outcome: Outcome
    reason: str
    """For staff, in Japanese with the English beside it."""
    type: str
    """VPWW54; CAP; the title where the table does not have it."""
    verb: Verb | None = None
    """What it asks of the desk; None: nothing."""
    template: str | None = None
    quarters: tuple[str, ...] = ()
    row: Row | None = None
    statements: tuple[Statement, ...] = ()
    """Those of the city that are in force, the most dangerous first."""
    is_news: bool = True
    """False: nothing is known after it that was not known before."""

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(s.kind.name for s in self.statements))


def decide(
    telegram: Telegram,
    concern: Concern,
    table: Table,
    *,
    lane: Lane,
    policy: Policy = PEOPLE_ONLY,
    known: Known | None = None,
    now: datetime | None = None,
    oldest: timedelta = timedelta(hours=6),
) -> Decision:
    """What this telegram asks of the desk. Without `now`, nothing is too old."""
    known = of_the_same_event(known, telegram)
    found = table.group(telegram.title)
    about = _About(telegram, concern, found[0] if found else None, found[1] if found else telegram.title)
    if why := _other_lane(telegram, lane) or out_of_order(telegram, known) or too_old(telegram, now, oldest):
        return about.ignored(why)
    decision = _meant(about, policy, known)
    if telegram.status is Status.NORMAL:
        return decision
    reason = f"{telegram.status}の電文です。訓練の節点だけが扱います。{decision.reason}"
    return replace(decision, outcome=Outcome.DRILL, reason=reason)


def after(known: Known | None, telegram: Telegram, decision: Decision) -> Known:
    """What is known of the event once this is decided."""
    is_over = decision.verb in ENDING
    goes_on = decision.verb is None and known is not None
    holds = known if goes_on else None
    return Known(
        serial=telegram.serial,
        reported=telegram.reported,
        info_type=telegram.info_type,
        digest=telegram.digest,
        template=holds.template if holds is not None else None if is_over else decision.template,
        kinds=holds.kinds if holds is not None else () if is_over else decision.kinds,
        quarters=holds.quarters if holds is not None else decision.quarters,
    )


@dataclass(frozen=True, slots=True)
class _About:
    """A telegram and what was found out about it."""

    telegram: Telegram
    concern: Concern
    group: Group | None
    type: str

    def ignored(self, reason: str, *, is_news: bool = False) -> Decision:
        return Decision(outcome=Outcome.IGNORED, reason=reason, type=self.type, is_news=is_news)

    def rows(self, statements: Sequence[Statement]) -> list[tuple[Row, Statement]]:
        """Each statement with what it becomes, the most dangerous first."""
        assert self.group is not None
        order = {row.kinds: number for number, row in enumerate(self.group.kinds)}
        pairs = [(row, s) for s in statements if (row := self._row(s)) is not None]
        return sorted(pairs, key=lambda pair: order.get(pair[0].kinds, len(order)))

    def _row(self, statement: Statement) -> Row | None:
        assert self.group is not None
        if statement.kind.name == _LIFTED and self.group.kinds:
            return self.group.kinds[0]
        return self.group.row(statement.kind.name, statement.kind.code)


def _other_lane(telegram: Telegram, lane: Lane) -> str:
    if lane is Lane.LIVE and telegram.status is not Status.NORMAL:
        return f"{telegram.status}の電文です。本番の節点では扱いません (not for a live node)"
    if lane is Lane.DRILL and telegram.status is Status.NORMAL:
        return "本番の電文です。訓練の節点では扱いません (not for a drill node)"
    return ""


def _meant(about: _About, policy: Policy, known: Known | None) -> Decision:
    """As if it were of this node's lane."""
    telegram, concern = about.telegram, about.concern
    if about.group is None:
        return about.ignored(f"「{telegram.title}」は扱う電文の表にありません (not in the table)")
    if not telegram.reads:
        return about.ignored("お知らせではありません (announces nothing)")
    if telegram.info_type is InfoType.CANCELLED:
        return _retracted(about, known)
    if not concern.statements and (known is None or known.template is None):
        where = "市の区域に関わりません" if concern.has_places else "区域の指定がありません"
        return about.ignored(f"{where} (not about the city)")
    force = about.rows([s for s in concern.statements if s.phase in _FORCE])
    told = [(row, s) for row, s in force if row.template != NO_TEMPLATE]
    return _in_force(about, told, policy, known) if told else _over(about, known, [row for row, _ in force])


def _in_force(about: _About, told: Sequence[tuple[Row, Statement]], policy: Policy, known: Known | None) -> Decision:
    """Something that residents are told of holds here: a draft by the template of the most dangerous of it."""
    telegram, concern, row = about.telegram, about.concern, told[0][0]
    decision = Decision(
        outcome=Outcome.DRAFT,
        reason="",
        type=about.type,
        verb=Verb.ISSUE,
        template=row.template,
        quarters=concern.quarters,
        row=row,
        statements=tuple(s for _, s in told),
    )
    level = f"（警戒レベル{row.level}相当）" if row.level else ""
    worst = [s for met, s in told if met is row]
    where = "、".join(list(dict.fromkeys(s.place.name for s in worst))[:3])
    what = f"{where}に{'、'.join(list(dict.fromkeys(s.kind.name for s in worst))[:4])}{level}"
    if telegram.info_type is InfoType.CORRECTED:
        reason = f"訂正の電文です。{what} (a correction)"
        return replace(decision, outcome=Outcome.CORRECT, verb=Verb.CORRECT, reason=reason)
    if known is not None and known.template is not None:
        is_same = (known.template, set(known.kinds)) == (row.template, set(decision.kinds))
        if is_same and all(s.phase is Phase.CONTINUED for _, s in told):
            return about.ignored(f"{what}は継続で、前の電文から変わりません (unchanged)", is_news=True)
        return replace(decision, verb=Verb.UPDATE, reason=f"{what}。前の電文に続く報です (an update)")
    # By what it names as the worst: a policy for advisories sends no warning that came with one.
    if _may_go_out(telegram, concern) and all(policy.sends(telegram.title, s.kind.name) for s in worst):
        reason = f"{what}。方針「{policy.name}」により人を待たずに送ります (sent by policy)"
        return replace(decision, outcome=Outcome.SENT, reason=reason)
    return replace(decision, reason=f"{what} (in force here)")


def _may_go_out(telegram: Telegram, concern: Concern) -> bool:
    """What no policy can waive: it is meant, it is a first issue in time, and it names the city exactly."""
    return telegram.status is Status.NORMAL and telegram.info_type is InfoType.ISSUED and concern.rank in _EXACT


def _retracted(about: _About, known: Known | None) -> Decision:
    """取消: of what this event brought before, or of what the telegram itself names for the city."""
    holds = known is not None and known.template is not None
    ours = about.rows([s for s in about.concern.statements if s.phase is not Phase.NONE])
    told = [(row, s) for row, s in ours if row.template != NO_TEMPLATE]
    if not holds and not told:
        return about.ignored("取消の電文ですが、取り消すものがありません (nothing here to retract)")
    template = known.template if known is not None and known.template is not None else told[0][0].template
    return Decision(
        outcome=Outcome.RETRACT,
        reason="取消の電文です。元のお知らせは誤りでした (a retraction)",
        type=about.type,
        verb=Verb.RETRACT,
        template=template,
        quarters=about.concern.quarters or (known.quarters if known is not None else ()),
        statements=tuple(s for _, s in told),
    )


def _over(about: _About, known: Known | None, quiet: Sequence[Row]) -> Decision:
    """Nothing that residents are told of is in force here: lifted, if something was."""
    concern, telegram = about.concern, about.telegram
    lifted = [s for s in concern.statements if s.phase is Phase.LIFTED]
    # 警報から注意報, where residents are not told of advisories: what they were told of is over.
    stepped_down = [s for s in concern.statements if s.phase in _FORCE and s.before is not None]
    was = about.rows([replace(s, kind=s.before) if s.before is not None else s for s in (*lifted, *stepped_down)])
    told = [(row, s) for row, s in was if row.template != NO_TEMPLATE]
    holds = known is not None and known.template is not None
    if not holds and not told:
        because = next((row.because for row in quiet if row.because), None)
        where = "、".join(dict.fromkeys(s.place.name for s in concern.statements))
        return about.ignored(because or f"{where}には何も出ていません (nothing in force here)")
    is_wrong = telegram.info_type is InfoType.CORRECTED and not lifted
    template = known.template if known is not None and known.template is not None else told[0][0].template
    verb, outcome = (Verb.RETRACT, Outcome.RETRACT) if is_wrong else (Verb.LIFT, Outcome.LIFT)
    names = "、".join(dict.fromkeys(s.kind.name for _, s in told)) or "お知らせ"
    said = "訂正で市が対象から外れました (the correction leaves the city out)"
    return Decision(
        outcome=outcome,
        reason=said if is_wrong else f"{concern.where or '市'}の{names}が解除されました (lifted)",
        type=about.type,
        verb=verb,
        template=template,
        quarters=concern.quarters or (known.quarters if known is not None else ()),
        statements=tuple(s for _, s in told),
    )
