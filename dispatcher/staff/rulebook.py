"""The rules for people: RULES.md, printed from the table, with what concerns residents in sentences.

    python -m dispatcher.staff.rulebook > dispatcher/staff/RULES.md

Source: design.md §8, §9; dispatcher/staff/rules.py.
"""

import sys
from collections.abc import Iterator

from dispatcher.model.draft import State
from dispatcher.model.mode import MODES
from dispatcher.staff.rules import ANYTIME, STATE_WORDS, TABLE, WORDS, Act, Role, Rule, refusal

_RESIDENTS = """\
## 住民のこと (what concerns residents)

- 安否の質問は住民に届きます。発表中の情報の区域の中なら、その情報を二人で承認したときに認めたものとして一人で始められます。
  それ以外（見守り、発表のない区域）は、尋ねた人とは別の承認者がうなずくまで出ません。
  (A question about a live alert, within its quarters, was authorised with it; any other waits for a second person.)
- 住民を名前で見られるのは「福祉」だけです。さがすには理由がいり、理由と件数が経過に残り、1時間の回数に限りがあります。
  (Only the role welfare sees residents by name; a search needs a reason, is written down, and is capped.)
- 「福祉」のほかには、5人未満の数を「5未満」と出します。合計は見える数だけから作るので、引き算で元の数は出ません。
  (Others see counts under 5 as "under 5"; sums are made of what is shown, so that nothing can be subtracted out of them.)
- 閲覧制限の人は、ほかのどの決まりより先に隠します。「福祉」にも、封の名簿でだけ見えます。尋ねること、訪ねることは同じです。
  (閲覧制限 beats every other rule: such a person stands on the sealed list alone, and is asked and visited like anybody.)
- 名簿の取込みは「福祉」の一人で、試しに出た指紋を添えて行います。同意なしの提供（災対法49条の11第3項）は二人で、期限つきです。
  (The roster is imported by one, bound to the digest of the dry run; release without consent takes two people and expires.)
"""


def markdown() -> Iterator[str]:
    """The table for people, line by line."""
    yield "# だれが何をできるか (who may do what)"
    yield ""
    yield "この表は `python -m dispatcher.staff.rulebook` が書きます。○ できる · 訓 訓練の節点でだけ · 空白 できない"
    yield "(printed from dispatcher/staff/rules.py; ○ allowed, 訓 on a drill node only, empty refused)"
    yield ""
    yield "| 状態 (state) | 行為 (act) | " + " | ".join(Role) + " | 条件 (needs) |"
    yield "|" + "---|" * (len(Role) + 3)
    cells: list[tuple[State | None, Act, Rule]] = [(None, act, rule) for act, rule in ANYTIME.items()]
    cells += [(state, act, rule) for (state, act), rule in TABLE.items()]
    for state, act, rule in cells:
        name = f"{STATE_WORDS[state]} {state}" if state is not None else "いつでも"
        marks = []
        for role in Role:
            live, drill = (refusal(state, act, role, mode) for mode in MODES.values())
            marks.append("" if drill else "訓" if live else "○")
        yield f"| {name} | {WORDS[act][0]} {act} | " + " | ".join(marks) + f" | {', '.join(rule.needs)} |"
    yield ""
    yield from _RESIDENTS.splitlines()


if __name__ == "__main__":
    sys.stdout.write("\n".join(markdown()) + "\n")
