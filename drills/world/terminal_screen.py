"""A terminal's screen, in a terminal: level plate, place, what to do, where to go, and the keys. Japanese first.

Drawn with rich, as the staff's board is. A level is a number, a word, a shape and a colour; a drill says so above everything.

Source: mockups `terminal.html`; design.md §7 level colours.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from rich.align import Align
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from channels.ip_terminal.notice import Words
from channels.ip_terminal.receipt import State
from config.words import in_language
from drills.world.terminal import Terminal
from drills.world.terminal_player import Playing, Volume

STYLES: Mapping[int, str] = MappingProxyType(
    {5: "white on #0C000C", 4: "white on #AA00AA", 3: "black on #FF2800", 2: "black on #F2E700", 1: "black on white"}
)
SHAPES: Mapping[int, str] = MappingProxyType({5: "■", 4: "◆", 3: "▲", 2: "●", 1: "○"})
PLAIN = "bold white on #1A4B8F"
OVER = "bold black on #C8C8CB"
"""For what ends something, 解除 and 取消, and for what is over itself."""
ENDING = frozenset({"lift", "retract"})
VERBS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "ja": {"update": "更新", "correct": "訂正", "lift": "解除", "retract": "取消"},
        "en": {"update": "Update", "correct": "Correction", "lift": "Lifted", "retract": "Cancelled"},
    }
)
BACK = "戻る (back)"
REPLAYED = "もう一度 見ています (replay)"
LABELS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "ja": {
            "shelters": "避難先",
            "phone": "電話",
            "read": "読みました（確認）",
            "done": "確認を送りました",
            "level": "警戒レベル",
            "over": "もう終わった お知らせです",
            "heard": "届きました。まちがえたら、もう一度押してください",
            "sending": "送っています…",
        },
        "ja-x-easy": {
            "shelters": "逃（に）げる ところ",
            "phone": "電話（でんわ）",
            "read": "読（よ）みました",
            "done": "「読みました」を 送（おく）りました",
            "level": "警戒（けいかい）レベル",
            "over": "もう 終（お）わった お知（し）らせです",
            "heard": "届（とど）きました。まちがえたら、もう一度（いちど） おして ください",
            "sending": "送（おく）って います…",
        },
        "en": {
            "shelters": "Shelters",
            "phone": "Phone",
            "read": "I have read this",
            "done": "Sent: read",
            "level": "Alert level ",
            "over": "This notice is over",
            "heard": "Received. If it was the wrong key, press another",
            "sending": "Sending…",
        },
        "zh": {
            "shelters": "避难所",
            "phone": "电话",
            "read": "已阅读",
            "done": "已发送确认",
            "level": "警戒等级",
            "over": "此通知已结束",
            "heard": "已收到。如按错，请重新按键",
            "sending": "正在发送…",
        },
        "ko": {
            "shelters": "대피소",
            "phone": "전화",
            "read": "읽었습니다",
            "done": "확인을 보냈습니다",
            "level": "경계 레벨 ",
            "over": "이미 끝난 알림입니다",
            "heard": "접수되었습니다. 잘못 눌렀으면 다시 눌러 주세요",
            "sending": "보내는 중…",
        },
    }
)
STRIPS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"Exercise": ("訓練 DRILL", "bold white on #0B3F96"), "Actual": ("本番 LIVE", "bold white on #7D0A12")}
)


def languages(terminal: Terminal) -> tuple[str, ...]:
    """Of what is on the screen, in its order."""
    playing = terminal.player.on_screen
    return tuple(words.language for words in playing.notice.words) if playing else ("ja",)


def screen(terminal: Terminal, language: str, name: str = "") -> Group:
    """All of the screen. `name`: how the place of this terminal is called."""
    playing = terminal.player.on_screen
    body = _notice(terminal, playing, language) if playing else _quiet(terminal)
    return Group(*body, _foot(terminal, name))


def _quiet(terminal: Terminal) -> list[RenderableType]:
    lines = [Text("お知らせはありません", style="bold"), Text("No notice")]
    if terminal.refused:
        newest = terminal.refused[-1]
        lines.append(Text(f"受け付けなかったもの {len(terminal.refused)} 件（{newest['why']}）", style="yellow"))
    return [Panel(Align.center(Group(*lines)), padding=(2, 2))]


def _notice(terminal: Terminal, playing: Playing, language: str) -> list[RenderableType]:
    notice = playing.notice
    words = next((w for w in notice.words if w.language == language), notice.words[0])
    strip, style = STRIPS.get(notice.status, (notice.status, "bold"))
    is_over = not terminal.player.holds(playing)
    return [
        Align.center(Text(f" {strip} ", style=style), style=style),
        _plate(playing, words, is_over=is_over),
        Padding(Group(*_said(words)), (1, 2)),
        _keys(terminal, playing, words, is_over=is_over),
    ]


def _plate(playing: Playing, words: Words, *, is_over: bool) -> RenderableType:
    notice = playing.notice
    verb = VERBS["ja" if words.language.startswith("ja") else "en"].get(notice.verb, "")
    # A level or its colour beside 取消 would still be obeyed.
    level = None if notice.verb in ENDING else notice.level
    numbered = f"{SHAPES[level]} {_label(words, 'level')}{level}" if level else ""
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column()
    table.add_column(justify="right")
    head = "  ".join(filter(None, (verb and f"【{verb}】", numbered, words.event)))
    said = Text(f"✕ {_label(words, 'over')}\n{head}" if is_over else head, style="bold")
    table.add_row(said, Text(f"{words.sender}\n{_clock(notice.sent)}"))
    style = OVER if is_over or notice.verb in ENDING else STYLES[level] if level else PLAIN
    return Padding(table, (1, 1), style=style)


def _said(words: Words) -> list[RenderableType]:
    lines: list[RenderableType] = [Text(words.headline, style="bold underline")]
    if words.place not in words.headline:
        lines.append(Text(words.place, style="bold"))
    lines += [Text(text) for text in (words.text, words.instruction) if text]
    if words.shelters:
        lines.append(Text.assemble(_label(words, "shelters"), "  ", (words.shelters, "bold")))
    if words.contact:
        lines.append(Text(f"{_label(words, 'phone')}  {words.contact}"))
    return lines


def _keys(terminal: Terminal, playing: Playing, words: Words, *, is_over: bool) -> RenderableType:
    """What can be pressed, and, unless this is a replay, how it sounds."""
    player = terminal.player
    if words.buttons and not is_over:
        first = _buttons(terminal, playing, words)
    elif playing.is_acknowledged:
        first = Text(f" ✓ {_label(words, 'done')} ", style="bold black on green")
    elif is_over:
        first = Text(f" Enter  {BACK} ", style="reverse bold")
    else:
        first = Text(f" Enter  {_label(words, 'read')} ", style="reverse bold")
    if playing is not player.current:
        return Padding(Group(first, Text(REPLAYED)), (0, 2))
    loud = "音量 最大" if playing.volume is Volume.MAXIMUM else "音量 設定どおり"
    said = f"{loud}・{playing.sounded} 回目" if playing.sounded else loud
    waiting = f"　ほかに {player.waiting} 件" if player.waiting else ""
    return Padding(Group(first, Text(f"{said}{waiting}")), (0, 2))


def _buttons(terminal: Terminal, playing: Playing, words: Words) -> Text:
    """無事, けが, and 助けて apart from them; what was pressed is marked, and 届きました only once the city has it."""
    safe, injured, rescue = words.buttons or ("", "", "")
    pressed = terminal.said(playing.notice.mid)
    line = Text()
    for key, state, label, style in (
        ("s", State.SAFE, safe, "reverse bold"),
        ("i", State.INJURED, injured, "reverse bold"),
        ("r", State.RESCUE, rescue, "bold white on #7D0A12"),
    ):
        line.append("      " if state is State.RESCUE else "")
        line.append(
            f" {'✓ ' if state is pressed else ''}{key}  {label} ",
            style="bold black on green" if state is pressed else style,
        )
        line.append("  ")
    if pressed is not None:
        line.append(f"\n{_label(words, 'heard' if terminal.is_heard else 'sending')}", style="bold")
    return line


def _foot(terminal: Terminal, name: str) -> RenderableType:
    line = "● つながっています" if terminal.connected.is_set() else f"✕ つながっていません {terminal.trouble}"
    count = len(terminal.player.kept)
    kept = f"{'1' if count == 1 else f'1–{count}'} もう一度 (replay)   " if count else ""
    return Padding(
        Group(
            Text(f"{kept}l 言語 (language)   q 終わる (quit)", style="dim"),
            Text(f"{terminal.tid} {name}  {line}", style="dim"),
        ),
        (1, 2, 0, 2),
    )


def _label(words: Words, what: str) -> str:
    return in_language(LABELS, words.language)[what]


def _clock(moment: datetime) -> str:
    return f"{moment.month}/{moment.day} {moment:%H:%M}"
