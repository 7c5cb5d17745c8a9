"""How answers look in a terminal: the live board, a preview, what waits. The only door to rich.

Every state is a word; a figure that a medium cannot know is 数えない, never 0.

Source: mockups' principles (design.md §3 "say what was seen").
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live as LiveDisplay
from rich.table import Table
from rich.text import Text

from dispatcher.model.draft import WORDS

HALTED = ("停止中 HALTED", "bold black on #F2E700")
STRIPS = {"live": ("本番 LIVE", "bold white on #7D0A12"), "drill": ("訓練 DRILL", "bold white on #0B3F96")}
LEVELS = {5: "white on #0C000C", 4: "white on #AA00AA", 3: "black on #FF2800"}
NAMES = {
    "website": "ウェブサイト",
    "social": "X",
    "cable_tv": "ケーブルテレビ",
    "email_list": "登録メール",
    "ip_terminal": "IP 告知端末",
    "wifi_multicast": "駅前 Wi-Fi",
}
UNCOUNTED = frozenset({"website", "social", "cable_tv", "email_list", "wifi_multicast"})
"""Channels whose readers send nothing back: a mail that the relay took may lie unread."""
STATES = {"dispatching": "送信を始めました", "live": "発表中", "ended": "終わりました", "closed": "閉じました"}


def console(*, to_stderr: bool = False) -> Console:
    return Console(stderr=to_stderr, highlight=False)


def strip(mode: str, *, is_halted: bool = False) -> Text:
    """The mode, so that nobody can mistake it."""
    word, style = HALTED if is_halted else STRIPS[mode]
    return Text(f"  {word}  ", style=style)


def board(mode: str, boards: Sequence[Mapping[str, Any]], foot: str = "") -> Group:
    """The board of some alerts as one picture."""
    pieces: list[Any] = [strip(mode)]
    if any("*" in each["closed"] for each in boards):
        pieces.append(strip(mode, is_halted=True))
    for each in boards:
        pieces += [
            Text(_head(each["alert"]), style="bold"),
            _lines(each),
            *_words(each),
        ]
    if foot:
        pieces.append(Text(foot))
    return Group(*pieces)


def _head(alert: Mapping[str, Any]) -> str:
    verb, state = alert["verb"], alert["state"]
    return f"{WORDS.get(verb, verb)} {verb}  {STATES.get(state, state)} {state}  {alert['identifier']}"


def _lines(each: Mapping[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, expand=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("媒体\nchannel", no_wrap=True)
    # What 80 characters hold: how many are tried again, and why, stands below the table.
    for head in ("宛先\nto", "受領\ntaken", "着信\narrived", "確認\nread", "不達\nfailed", "秒\np50/p95"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("状態\nstate", no_wrap=True)
    for line in each["channels"]:
        kind = line["channel"]
        people = ("数えない", "数えない") if kind in UNCOUNTED else (str(line["delivered"]), str(line["acknowledged"]))
        table.add_row(
            NAMES.get(kind, kind),
            str(line["destinations"]),
            str(line["taken"]),
            *people,
            str(line["failed"]),
            _seconds(each["spread"].get(kind)),
            _state(line, each["held"].get(kind), is_closed=kind in each["closed"]),
        )
    return table


def _state(line: Mapping[str, Any], held: Mapping[str, str] | None, *, is_closed: bool) -> Text:
    if line["failed"]:
        return Text("✕ 不達", style="red")
    if line["taken"] + line["superseded"] >= line["destinations"]:
        return Text("● 受領", style="green")
    if is_closed:
        return Text("‖ 停止", style="yellow")
    if line["retrying"]:
        return Text("▲ 再送", style="yellow")
    return (
        Text(f"○ {datetime.fromisoformat(held['until']):%H:%M}まで待ち", style="yellow") if held else Text("◐ 送信中")
    )


def _words(each: Mapping[str, Any]) -> list[Text]:
    """Of media that failed or are tried again: how many, and what they said themselves."""
    said = []
    for line in each["channels"]:
        if line["failed"] or line["retrying"]:
            counts = [f"{word} {line[name]}" for name, word in (("failed", "不達"), ("retrying", "再送")) if line[name]]
            said.append(Text(f"  {NAMES.get(line['channel'], line['channel'])} {' '.join(counts)}: "))
            said[-1].append(legible(line["last_words"]))
    return said


def _seconds(spread: Mapping[str, float] | None) -> str:
    """Until half, and until 95 %, of those taken were taken."""
    return f"{spread['p50_s']:.1f}/{spread['p95_s']:.1f}" if spread else ""


def live_board(*, to_stderr: bool) -> LiveDisplay:
    """A board that is drawn over itself; on a pipe only its last state is printed."""
    return LiveDisplay(console=console(to_stderr=to_stderr), refresh_per_second=8, transient=False)


def legible(text: str) -> str:
    """What others wrote must not move the cursor, colour the screen or turn the reading direction of whoever reads it."""
    return "".join(c if c in "\n\u3000 " or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def line(text: str) -> None:
    """One line on standard output."""
    sys.stdout.write(text + "\n")


def complain(text: str) -> None:
    """One line on standard error."""
    sys.stderr.write(text + "\n")
