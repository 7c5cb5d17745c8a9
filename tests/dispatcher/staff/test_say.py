"""The board in a terminal of 80 columns: nothing is cut off, and what a medium said stands in full."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from dispatcher.staff.cli import say

WORDS = "421 4.7.28 too many from this sender"


def line(kind, **changes):
    counts = dict.fromkeys(("delivered", "acknowledged", "failed", "superseded", "retrying"), 0)
    return {"channel": kind, "destinations": 100_000, "taken": 100_000, **counts, "last_words": "", **changes}


def drawn(*lines, closed=(), held=None):
    alert = {"verb": "issue", "state": "live", "identifier": "13204-20261121T193327-d7f5753c"}
    spread = {each["channel"]: {"p50_s": 0.2, "p95_s": 12.3} for each in lines}
    shown = io.StringIO()
    board = {"alert": alert, "closed": dict.fromkeys(closed), "held": held or {}, "spread": spread, "channels": lines}
    Console(file=shown, width=80).print(say.board("drill", [board]))
    return shown.getvalue()


def test_every_column_of_every_medium_is_whole_in_80_columns():
    text = drawn(*map(line, say.NAMES))
    assert "…" not in text
    assert max(map(cell_len, text.splitlines())) <= 80
    for word in (*say.NAMES.values(), "channel", "arrived", "p50/p95", "100000", "0.2/12.3", "● 受領"):
        assert word in text


@pytest.mark.parametrize(
    ("changes", "closed", "state"),
    [
        ({"taken": 3, "failed": 2, "last_words": WORDS}, (), "✕ 不達"),
        ({"taken": 3, "retrying": 40, "last_words": WORDS}, (), "再送 40"),
        ({"taken": 3}, ("email_list",), "‖ 停止"),
        ({"taken": 3}, (), "◐ 送信中"),
    ],
)
def test_what_is_not_there_yet_says_why_in_the_mediums_words(changes, closed, state):
    text = drawn(line("email_list", **changes), closed=closed)
    assert state in text
    assert (WORDS in text) is ("last_words" in changes)
    assert "…" not in text


def test_a_medium_whose_quota_is_used_up_says_until_when_it_waits():
    held = {"social": {"why": "quota", "until": "2026-11-21T19:48:00+09:00"}}
    assert "○ 19:48まで待ち" in drawn(line("social", destinations=1, taken=0), held=held)
