"""Ladders as files, what they mean for one person, and the tables of a case: all without I/O."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.document import ConfigError
from config.ladders import Kind, Whom, ladders
from config.questions import questions
from config.words import MESSAGES
from dispatcher.errors import IllegalTransition
from dispatcher.model.campaign import (
    GRAVITY,
    SILENT,
    TRANSITIONS,
    Answer,
    CaseEvent,
    Progress,
    Reply,
    Source,
    advance,
    standing,
)
from dispatcher.model.policy import Contact, asked_on, instead, ladder_of, on_rung
from tests.contracts.ledger_contract import START

DEFAULT = ladders()["default"]


def mail(whom=Whom.SELF, n=0):
    return Contact(whom, "email_list", f"{whom}{n}@example.jp")


def terminal(whom=Whom.SELF):
    return Contact(whom, "ip_terminal", "T0001")


def said(answer, source=Source.SELF, *, saw=False, at=START):
    return Reply(answer, source, saw, "website", at)


# -- files -----------------------------------------------------------------------------------------------------------


def test_the_default_ladder_is_the_one_that_was_decided():
    assert [(rung.after / 60, *rung.whom) for rung in DEFAULT.rungs] == [
        (0, Whom.SELF),
        (10, Whom.SELF),
        (20, Whom.NEXT),
        (30, Whom.HOUSEHOLD, Whom.RELATIVE),
        (45, Whom.SUPPORTER),
        (60, Whom.STAFF),
    ]
    assert DEFAULT.rungs[0].at_once == 2
    assert DEFAULT.most_cases == 5


def test_who_needs_help_waits_half_as_long():
    assert [rung.after * 2 for rung in ladders()["needs_help"].rungs] == [rung.after for rung in DEFAULT.rungs]


def test_everything_that_is_wrong_with_a_ladder_is_said_at_once(tmp_path):
    (tmp_path / "bad.yaml").write_text(
        "title: {ja: 一般}\nkind: safety\nmost_cases: 0\nrungs:\n"
        "  - {rung: 0, after: 5 min, whom: [staff], channels: [pigeon]}\n"
        "  - {rung: 2, after: 1 min, whom: [self], at_once: 9}\n"
        "  - {rung: 3, after: soon, whom: [nobody]}\n",
        encoding="utf-8",
    )
    (tmp_path / "worse.yaml").write_text("kind: safety\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        ladders(tmp_path)
    told = str(caught.value)
    for words in ("pigeon", "at_once", "soon", "nobody", "title", "most_cases", "worse.yaml", "bad.yaml:5"):
        assert words in told, words


def test_a_ladder_is_in_order_and_ends_with_somebody_who_goes_there(tmp_path):
    (tmp_path / "bad.yaml").write_text(
        "title: {ja: 一般, en: all}\nkind: safety\nrungs:\n"
        "  - {rung: 0, after: 5 min, whom: [staff]}\n"
        "  - {rung: 2, after: 1 min, whom: [self]}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        ladders(tmp_path)
    for words in ("0, 1, 2", "not later", "the last thing", "hands over to staff"):
        assert words in str(caught.value), words


def test_every_question_is_there_in_five_languages_with_the_same_places():
    for wording in questions().values():
        assert set(wording.texts) >= set(MESSAGES)


def test_who_is_in_several_cohorts_goes_up_the_ladder_that_reaches_staff_first():
    assert ladder_of(ladders(), Kind.SAFETY, ["pupil", "needs_help"]) == "needs_help"
    assert ladder_of(ladders(), Kind.SAFETY, []) == "default"
    assert ladder_of(ladders(), Kind.WATCH, ["watch"]) == "watch"
    with pytest.raises(LookupError):
        ladder_of(ladders(), Kind.WATCH, [])


# -- one person ------------------------------------------------------------------------------------------------------


def test_two_media_are_tried_at_once_before_two_addresses_of_one():
    contacts = [mail(n=0), mail(n=1), terminal()]
    assert set(asked_on(DEFAULT, 0, contacts)) == {0, 2}
    assert asked_on(DEFAULT, 2, contacts) == (1,)


def test_a_medium_that_asks_nobody_one_by_one_is_never_used():
    assert asked_on(DEFAULT, 0, [Contact(Whom.SELF, "phone", "0422-00-0001")]) == ()


def test_household_and_relative_are_both_asked_on_their_rung():
    contacts = [mail(), mail(Whom.HOUSEHOLD), mail(Whom.RELATIVE), mail(Whom.SUPPORTER)]
    assert asked_on(DEFAULT, 3, contacts) == (1, 2)
    assert asked_on(DEFAULT, 4, contacts) == (3,)
    assert asked_on(DEFAULT, 5, contacts) == ()


@given(
    st.lists(st.sampled_from([w for w in Whom if w not in {Whom.NEXT, Whom.STAFF}]), max_size=8),
    st.integers(0, len(DEFAULT.rungs) - 1),
)
def test_refusals_ask_each_contact_of_a_rung_once_and_then_end(whose, rung):
    contacts = [mail(whom, n) for n, whom in enumerate(whose)]
    asked = list(asked_on(DEFAULT, rung, contacts))
    for refused in asked:
        following = instead(DEFAULT, rung, contacts, refused)
        if following is not None:
            asked.append(following)
    assert len(asked) == len(set(asked))
    assert set(asked) == set(on_rung(DEFAULT, rung, contacts)) or not asked_on(DEFAULT, rung, contacts)


# -- the case --------------------------------------------------------------------------------------------------------


@given(st.sampled_from(Progress), st.sampled_from(CaseEvent))
def test_a_case_moves_by_its_table_alone(progress, event):
    if (progress, event) in TRANSITIONS:
        assert advance(progress, event) is TRANSITIONS[progress, event]
    else:
        with pytest.raises(IllegalTransition):
            advance(progress, event)


def test_every_silent_case_can_be_answered_and_handed_on():
    for progress in SILENT:
        assert advance(progress, CaseEvent.ANSWERED) is Progress.ANSWERED
        assert advance(progress, CaseEvent.ESCALATED) is Progress.ESCALATED
    assert not any(progress is Progress.CLOSED for progress, _ in TRANSITIONS)


@given(st.lists(st.builds(said, st.sampled_from(Answer), st.sampled_from(Source), saw=st.booleans()), max_size=6))
def test_nobody_is_safe_while_a_help_that_nobody_cleared_stands(replies):
    came_to = standing(replies)
    last_help = max((n for n, reply in enumerate(replies) if reply.answer is Answer.HELP), default=None)
    if last_help is None:
        return
    own = replies[last_help].source is Source.SELF
    is_cleared = any(
        (reply.answer is Answer.OK and reply.speaks_for_them) or (own and reply.source is Source.SELF)
        for reply in replies[last_help + 1 :]
    )
    others = [r for r in replies[:last_help] if r.answer is Answer.HELP]
    if not is_cleared:
        assert came_to.answer is Answer.HELP
    elif not others:
        assert came_to.answer is not Answer.HELP or any(r.answer is Answer.HELP for r in replies[last_help + 1 :])


def test_ok_clears_help_only_from_somebody_who_saw_them_or_from_themselves():
    help_ = said(Answer.HELP, Source.RELATIVE)
    heard_only = standing([help_, said(Answer.OK, Source.HOUSEHOLD)])
    assert (heard_only.answer, heard_only.is_conflict) == (Answer.HELP, True)
    for settled in (said(Answer.OK, Source.HOUSEHOLD, saw=True), said(Answer.OK)):
        assert (standing([help_, settled]).answer, standing([help_, settled]).is_conflict) == (Answer.OK, False)


def test_an_anonymous_ok_leaves_somebody_unknown_and_an_anonymous_help_is_believed():
    assert standing([said(Answer.OK, Source.ANONYMOUS, saw=True)]).answer is None
    assert standing([said(Answer.HELP, Source.ANONYMOUS)]).answer is Answer.HELP


def test_an_answer_may_be_changed_by_whoever_gave_it():
    assert standing([said(Answer.HELP), said(Answer.OK)]).answer is Answer.OK
    assert standing([said(Answer.OK), said(Answer.HURT)]).answer is Answer.HURT


def test_the_order_of_gravity_is_the_one_that_was_decided():
    assert sorted(GRAVITY, key=GRAVITY.__getitem__) == [Answer.OK, None, Answer.HURT, Answer.HELP]
