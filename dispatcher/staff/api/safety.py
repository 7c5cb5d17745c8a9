"""安否: asking residents, how many answered what, and for the role welfare who they are and what was heard of them.

What names anybody is the answer to a question, kept nowhere; the answers of acts, which are kept for a repeat, name nobody.

Source: design.md §8, §9; dispatcher/staff/welfare.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from dispatcher.staff.accounts.roles import Scope
from dispatcher.staff.api import shown
from dispatcher.staff.api.alerts import Done
from dispatcher.staff.api.drafts import InMode
from dispatcher.staff.api.route import Call, Nothing, asks, changes, looks
from dispatcher.staff.api.shapes import Facets
from dispatcher.staff.asking import Planned, Proposal, Went
from dispatcher.staff.cases import HEARD_BY, Case, Said, UnmatchedReport, VisitSheet
from dispatcher.staff.lookups import Why
from dispatcher.staff.rounds import Overview
from dispatcher.tracking.release import Release

PAGE = 200
"""People in one answer at most."""
FOUND_AT_MOST = 20

Names = Annotated[tuple[Annotated[str, Facets(maxLength=60)], ...], Facets(maxItems=500)]
Identifier = Annotated[str, Facets(maxLength=200)]
KindName = Annotated[str, Facets(enum=["safety", "watch"], description="安否か見守り (a question, or the daily touch)")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToPlan:
    about: Identifier = ""
    """The live alert; "" for none."""
    areas: Names = ()
    """Quarters, groups or the city by name; the alert's own, if left out."""
    kind: KindName = "safety"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToAsk:
    mode: shown.ModeName
    about: Identifier = ""
    areas: Names = ()
    kind: KindName = "safety"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToAskAgain:
    mode: shown.ModeName
    areas: Names = ()
    """Everybody of the round, if left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    list: Annotated[str, Facets(enum=["urgent", "silent"], description="すぐ動く人か、返事がない人")] = "urgent"
    after: Annotated[str, Facets(maxLength=80)] = ""
    """Of the silent: the last one of the page before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSearch:
    words: Annotated[str, Facets(maxLength=60)]
    reason: Annotated[str, Facets(enum=list(Why), description="見る理由。記録されます (why; it is written down)")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToAnswerFor:
    answer: Annotated[str, Facets(enum=["ok", "hurt", "help"])]
    source: Annotated[
        str, Facets(enum=["self", "household", "relative", "supporter", "staff", "facility", "anonymous"])
    ]
    by: Annotated[
        str, Facets(enum=HEARD_BY, description="電話で聞いたか、訪ねて聞いたか (on the phone or at the door)")
    ] = "phone"
    saw: bool = False
    """Whoever says it has seen the person."""
    text: Annotated[str, Facets(maxLength=300)] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToMatch:
    person: Annotated[
        str, Facets(maxLength=80, description="だれのことか。dismissed は名簿の人ではない (or `dismissed`)")
    ]


@dataclass(frozen=True, slots=True)
class Campaigns:
    mode: shown.ModeName
    campaigns: tuple[Overview, ...]
    waiting: tuple[Proposal, ...]
    """For a second person."""
    release: Release | None


@dataclass(frozen=True, slots=True)
class Cases:
    people: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class CaseShown:
    person: Case


@dataclass(frozen=True, slots=True)
class Sheets:
    sheets: tuple[VisitSheet, ...]


@dataclass(frozen=True, slots=True)
class Sealed:
    sheets: tuple[VisitSheet, ...]
    reports: tuple[UnmatchedReport, ...]
    """That may be about somebody of them."""


@dataclass(frozen=True, slots=True)
class UnmatchedReports:
    reports: tuple[UnmatchedReport, ...]


@dataclass(frozen=True, slots=True)
class Began:
    """`campaign` is "" while it waits, under `waits_as`, for a second person."""

    campaign: str
    waits_as: str


@dataclass(frozen=True, slots=True)
class AskedAgain:
    round: int


def _began(went: Went) -> Began:
    return Began(went.campaign, went.waits_as)


def _cases(found: Iterable[Case]) -> Cases:
    return Cases(tuple(found))


async def list_campaigns(call: Call[Nothing, Nothing]) -> Campaigns:
    """安否の確認の一覧と、二人目を待つもの (rounds of asking, and what waits for a second person)"""
    desk, who = call.rooms.desk, call.who
    return Campaigns(
        shown.mode_name(desk.mode),
        tuple(await desk.campaigns(who)),
        tuple(await desk.proposed(who)),
        await desk.release(who),
    )


async def plan_campaign(call: Call[ToPlan, Nothing]) -> Planned:
    """だれに尋ねることになるか。何も書かない (whom it would ask)"""
    body = call.body
    quarters = call.rooms.quarters(body.areas, "areas")
    return await call.rooms.desk.plan(call.who, about=body.about, quarters=quarters, kind=body.kind)


async def start_campaign(call: Call[ToAsk, Nothing]) -> Began:
    """安否を尋ねる。発表のない区域は二人目を待つ (ask; outside a live alert it waits for a second person)"""
    body = call.body
    quarters = call.rooms.quarters(body.areas, "areas")
    desk = call.rooms.desk
    return _began(await desk.ask(call.who, about=body.about, quarters=quarters, kind=body.kind, mode=body.mode))


async def agree_proposal(call: Call[InMode, Nothing]) -> Began:
    """二人目として承認する (be the second person)"""
    return _began(await call.rooms.desk.agree(call.who, call.path["key"], mode=call.body.mode))


async def decline_proposal(call: Call[Nothing, Nothing]) -> Done:
    """申請を出さない (it does not go out)"""
    await call.rooms.desk.decline(call.who, call.path["key"])
    return Done("declined")


async def read_campaign(call: Call[Nothing, Nothing]) -> Overview:
    """一回の安否の確認。5人未満は福祉だけに見える (one round; counts under 5 are for welfare alone)"""
    return await call.rooms.desk.campaign(call.who, call.id)


async def ask_again(call: Call[ToAskAgain, Nothing]) -> AskedAgain:
    """もう一度尋ねる (ask again, as after an aftershock)"""
    quarters = call.rooms.quarters(call.body.areas, "areas")
    return AskedAgain(await call.rooms.desk.ask_again(call.who, call.id, quarters, mode=call.body.mode))


async def end_campaign(call: Call[InMode, Nothing]) -> Done:
    """この安否の確認を終える (ask nobody any more)"""
    await call.rooms.desk.end_asking(call.who, call.id, mode=call.body.mode)
    return Done("ended")


async def list_residents(call: Call[Nothing, Which]) -> Cases:
    """すぐ動く人、または返事がない人（福祉だけ） (who needs somebody, or who is silent; welfare alone)"""
    desk, query = call.rooms.desk, call.query
    if query.list == "silent":
        return _cases(await desk.silent(call.who, call.id, PAGE, after=query.after))
    return _cases(await desk.urgent(call.who, call.id, PAGE))


async def search_residents(call: Call[ToSearch, Nothing]) -> Cases:
    """人をさがす。理由がいり、記録される（福祉だけ） (look somebody up; a reason is needed and written down)"""
    body = call.body
    found = await call.rooms.desk.look_up(call.who, call.id, body.words, reason=body.reason, at_most=FOUND_AT_MOST)
    return _cases(found)


async def read_resident(call: Call[Nothing, Nothing]) -> CaseShown:
    """一人の人と、聞いたことのすべて（福祉だけ） (one person with all that was heard)"""
    return CaseShown(await call.rooms.desk.case(call.who, call.id, call.path["person"]))


async def answer_for(call: Call[ToAnswerFor, Nothing]) -> Done:
    """代わりに答えを記す（福祉だけ） (write down what somebody said of a person)"""
    body = call.body
    said = Said(body.answer, body.source, saw=body.saw, text=body.text, by=body.by)
    await call.rooms.desk.answer_for(call.who, call.id, call.path["person"], said)
    return Done("written")


async def take_on(call: Call[Nothing, Nothing]) -> Done:
    """引き受ける（福祉だけ） (take a case on)"""
    await call.rooms.desk.take_on(call.who, call.id, call.path["person"])
    return Done("taken on")


async def resolve(call: Call[Nothing, Nothing]) -> Done:
    """解決した（福祉だけ） (it is settled)"""
    await call.rooms.desk.resolve(call.who, call.id, call.path["person"])
    return Done("settled")


async def exempt(call: Call[Nothing, Nothing]) -> Done:
    """尋ねなくてよい: 入院・不在・望まない（福祉だけ） (they need not be asked)"""
    await call.rooms.desk.exempt(call.who, call.id, call.path["person"])
    return Done("exempt")


async def list_visits(call: Call[Nothing, Nothing]) -> Sheets:
    """訪問の名簿（福祉だけ） (the visit list)"""
    return Sheets(tuple(await call.rooms.desk.visits(call.who, call.id)))


async def list_for_supporters(call: Call[Nothing, Nothing]) -> Sheets:
    """支援者に渡す訪問の名簿（福祉だけ） (the visit list for supporters: those who agreed, or all while a release is in force)"""
    return Sheets(tuple(await call.rooms.desk.visits(call.who, call.id, for_supporters=True)))


async def list_sealed(call: Call[Nothing, Nothing]) -> Sealed:
    """封の名簿: 閲覧制限の人（福祉だけ） (the sealed list)"""
    desk, who = call.rooms.desk, call.who
    sheets = await desk.visits(who, call.id, is_sealed=True)
    return Sealed(tuple(sheets), tuple(await desk.unmatched(who, call.id, is_sealed=True)))


async def list_unmatched(call: Call[Nothing, Nothing]) -> UnmatchedReports:
    """名簿と合っていない知らせ（福祉だけ） (reports without a match)"""
    return UnmatchedReports(tuple(await call.rooms.desk.unmatched(call.who, call.id)))


async def match_report(call: Call[ToMatch, Nothing]) -> Done:
    """知らせを人と合わせる（福祉だけ） (say whom a report is about)"""
    await call.rooms.desk.match(call.who, call.id, call.path["report"], call.body.person)
    return Done("matched")


_PERSON = "/safety/{id}/people/{person}"
ROUTES = (
    looks("/safety", Scope.READ, list_campaigns),
    asks("/plan", Scope.WRITE, plan_campaign),
    changes("/safety", Scope.WRITE, start_campaign, status=201),
    changes("/waiting/{key}", Scope.APPROVE, agree_proposal),
    changes("/waiting/{key}", Scope.WRITE, decline_proposal, method="DELETE"),
    looks("/safety/{id}", Scope.READ, read_campaign),
    changes("/safety/{id}/again", Scope.WRITE, ask_again),
    changes("/safety/{id}/end", Scope.WRITE, end_campaign),
    looks("/safety/{id}/people", Scope.READ, list_residents),
    asks("/safety/{id}/search", Scope.READ, search_residents),
    looks(_PERSON, Scope.READ, read_resident),
    changes(f"{_PERSON}/answer", Scope.WRITE, answer_for),
    changes(f"{_PERSON}/take", Scope.WRITE, take_on),
    changes(f"{_PERSON}/resolve", Scope.WRITE, resolve),
    changes(f"{_PERSON}/exempt", Scope.WRITE, exempt),
    looks("/safety/{id}/visits", Scope.READ, list_visits),
    looks("/safety/{id}/supporters", Scope.READ, list_for_supporters),
    looks("/safety/{id}/sealed", Scope.READ, list_sealed),
    looks("/safety/{id}/reports", Scope.READ, list_unmatched),
    changes("/safety/{id}/reports/{report}", Scope.WRITE, match_report),
)
