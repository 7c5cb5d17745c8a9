"""A message as the console names it: level, order, place, which report of its chain, and how far each medium has come.

A state says what was seen: 受領 is the medium's own machine, 人の確認 a person. Where a medium gives no figures by name it is
数えない, never 0 and never 100 %.

Source: mockups README "Say what was seen"; design.md §3.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from config.city import City
from dispatcher.ledger import ChannelTally
from dispatcher.model.draft import ENDING, Draft, State, Verb
from dispatcher.staff.boards import Board
from dispatcher.staff.console.words import LEVELS, MODES, Words
from dispatcher.staff.gates import NODE, Closed
from dispatcher.steps.dispatch import CLOCK

VERBS: Mapping[Verb, tuple[str, str]] = {
    Verb.ISSUE: ("発表", "issue"),
    Verb.UPDATE: ("更新", "update"),
    Verb.CORRECT: ("訂正", "correction"),
    Verb.LIFT: ("解除", "lifting"),
    Verb.RETRACT: ("取消", "retraction"),
}
HELD: Mapping[str, tuple[str, str]] = {
    "quota": ("送れる件数を使い切りました", "quota used up"),
    "breaker": ("失敗が続いたため休んでいます", "resting after failures"),
}
DONE = frozenset({"done", "off"})
"""Line states that ask nobody for anything."""
TROUBLED = frozenset({"retry", "fail"})


@dataclass(frozen=True, slots=True)
class Line:
    """One medium's line of an alert. `state` is one of the six shapes: done run wait retry fail off."""

    tally: ChannelTally
    state: str
    word: str
    half_s: float | None = None
    most_s: float | None = None
    """Seconds until half, and 95 %, of those taken were taken."""
    closed: Closed | None = None
    why: str = ""
    """Why it waits, where more than its turn is waited for."""


@dataclass(frozen=True, slots=True)
class Outline:
    """One alert, ready to be shown."""

    board: Board
    draft: Draft
    number: int
    """第N報 of its chain."""
    place: str
    event: str
    lines: tuple[Line, ...]

    @property
    def identifier(self) -> str:
        return self.board.alert.identifier

    @property
    def issued_at(self) -> datetime:
        return self.board.alert.issued_at

    @property
    def is_alive(self) -> bool:
        return self.board.alert.state in {State.DISPATCHING, State.LIVE}

    @property
    def ends_chain(self) -> bool:
        return self.draft.verb in ENDING

    @property
    def taken_media(self) -> int:
        return sum(line.state == "done" for line in self.lines)

    @property
    def troubled(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.state in TROUBLED)

    def is_overdue(self, now: datetime) -> bool:
        """Residents were told that they would hear again by then, and have not."""
        return self.is_alive and self.draft.next_update is not None and self.draft.next_update < now


def outline(board: Board, draft: Draft, number: int, city: City, t: Words) -> Outline:
    """What is shown of this alert, in the language of `t`."""
    language = t("ja", "en-US")
    wording = draft.wording.get(language) or next(iter(draft.wording.values()))
    lines = tuple(_line(tally, board, t) for tally in board.lines if tally.destinations and tally.channel != CLOCK)
    return Outline(board, draft, number, city.say(draft.quarters, language), wording.event, lines)


def _line(tally: ChannelTally, board: Board, t: Words) -> Line:
    closed = board.closed.get(tally.channel) or board.closed.get(NODE)
    held = board.held.get(tally.channel)
    settled, why = tally.taken + tally.failed + tally.superseded, ""
    half_s, most_s = board.spread.get(tally.channel, (None, None))
    if settled < tally.destinations and closed is not None:
        state, word = "off", t("閉じています", "closed")
    elif tally.retrying:
        state, word = "retry", t("再送待ち", "retrying")
    elif tally.sending and tally.last_words and not tally.taken:
        state, word = "retry", t("再送中", "trying again")
    elif tally.sending:
        state, word = "run", t("送信中", "sending")
    elif settled < tally.destinations and held is not None:
        state, word = "wait", t(f"{t.clock(held.until)}まで待ち", f"waits until {t.clock(held.until)}")
        why = t(*HELD[held.why])
    elif settled < tally.destinations:
        state, word = "wait", t("順番待ち", "queued")
    elif tally.failed and not tally.taken:
        state, word = "fail", t("失敗", "failed")
    elif tally.failed:
        state, word = "fail", t("一部が不達", "partly failed")
    elif tally.superseded and not tally.taken:
        state, word = "off", t("後の報に交代", "superseded")
    else:
        state, word = "done", t("受領", "taken")
    return Line(tally, state, word, half_s, most_s, closed, why)


def numbers(chains: Iterable[tuple[str, str]]) -> Mapping[str, int]:
    """Identifier → its number in its chain, from (identifier, chain) in the order of issue."""
    counts: dict[str, int] = {}
    found = {}
    for identifier, chain in chains:
        found[identifier] = counts[chain] = counts.get(chain, 0) + 1
    return found


def short_place(quarters: Sequence[str], city: City, language: str = "ja") -> str:
    """A place short enough for a button: 三鷹市の全域, 大沢一丁目, 大沢6町丁目, 大沢ほか12町丁目."""
    if set(quarters) >= city.quarters.keys():
        return (
            f"{city.names['ja']}の全域" if language == "ja" else f"all of {city.names.get('en-US', city.names['ja'])}"
        )
    groups = list(dict.fromkeys(city.quarters[code].group for code in quarters))
    count = len(set(quarters))
    first = city.group_name(groups[0], language)
    if count == 1:
        return city.say(quarters, language)
    if language != "ja":
        return f"{first} ({count} quarters)" if len(groups) == 1 else f"{first} and others ({count} quarters)"
    return f"{first}{count}町丁目" if len(groups) == 1 else f"{first}ほか{count}町丁目"


def act_words(draft: Draft, mode: str, city: City, t: Words, original: Draft | None = None) -> tuple[str, str, str]:
    """What the one button that sends says, in three pieces that do not break: 本番：· 大沢6町丁目へ · 避難指示を発表.

    For 取消 and 訂正 `original` names what is taken back or mended.
    """
    language = t("ja", "en-US")
    mark = t(f"{MODES[mode][0]}：", f"{MODES[mode][1]}: ")
    named = original or draft
    wording = named.wording.get(language) or next(iter(named.wording.values()))
    place = short_place(draft.quarters, city, language)
    if t.language == "en":
        ja_free = {
            Verb.ISSUE: "issue",
            Verb.UPDATE: "update",
            Verb.CORRECT: "correct",
            Verb.LIFT: "lift",
            Verb.RETRACT: "retract",
        }
        return mark, f"{ja_free[draft.verb]} {wording.event} ", f"for {place}"
    if draft.verb is Verb.ISSUE:
        return mark, f"{place}へ", f"{wording.event}を発表"
    if draft.verb is Verb.UPDATE:
        return mark, f"{place}へ", f"{wording.event}の更新を発表"
    return mark, f"{place}の", f"{wording.event}を{VERBS[draft.verb][0]}"


def level_words(level: int | None, t: Words) -> str:
    """4　避難指示, or that there is none."""
    return f"{level}　{t(*LEVELS[level])}" if level else t("なし", "none")
