"""A medium's line on the board says why it waits and until when, not only that it does."""

from datetime import timedelta

import pytest

from dispatcher.ledger import ChannelTally, HeldBack, IssuedAlert
from dispatcher.model.delivery import Priority
from dispatcher.model.draft import State
from dispatcher.staff.boards import Board
from dispatcher.staff.console.outline import _line
from dispatcher.staff.console.words import Words
from tests.samples import SENT

X = ChannelTally("social", 1, 0, 0, 0, 0, 0, 0, 0, None, None, "", queued=1)


def board(**held: HeldBack) -> Board:
    alert = IssuedAlert("a", State.LIVE, "issue", Priority.LEVEL_4, SENT, None, b"", {}, "a")
    return Board("live", alert, [X], held=held)


@pytest.mark.parametrize(
    ("why", "language", "said"),
    [
        ("quota", "ja", ("2:56まで待ち", "送れる件数を使い切りました")),
        ("breaker", "en", ("waits until 2:56", "resting after failures")),
    ],
)
def test_a_medium_that_may_not_send_yet_says_why_and_until_when(why, language, said):
    held = HeldBack(why, SENT + timedelta(minutes=15))
    line = _line(X, board(social=held), Words(language))
    assert (line.state, line.word, line.why) == ("wait", *said)


def test_a_medium_that_waits_for_its_turn_says_that_alone():
    line = _line(X, board(), Words("ja"))
    assert (line.word, line.why) == ("順番待ち", "")
