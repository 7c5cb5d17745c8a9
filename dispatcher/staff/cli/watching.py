"""Commands that look: the board, live or at a past moment, who has it, what happened, what waits, whether the ledger is whole.

Source: design.md §4 時点遡及, §9.
"""

import argparse
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from dispatcher.staff.cli import say
from dispatcher.staff.cli.command import DONE, FAILED, PARTLY, TIMED_OUT, client, command, shown, whole

WATCH_EVERY_S = 0.5


def add(commands: Any) -> None:
    """Register the commands that look."""
    watch = command(
        commands,
        "watch",
        _watch,
        "配信板。すべて決まるまで (the board of an alert, live, until every destination is settled)",
        "todoke watch 13204-… --timeout 120",
    )
    watch.add_argument("id")
    watch.add_argument(
        "--timeout",
        type=float,
        default=0,
        metavar="S",
        help="S 秒であきらめ、終了コード 8 (give up after S seconds; 0: never)",
    )
    board = command(
        commands,
        "board",
        _board,
        "配信板。過去の時点も (the board of an alert, also as it stood at a past moment)",
        "todoke board 13204-… --at 2026-09-14T02:45:00+09:00",
    )
    board.add_argument("id")
    board.add_argument("--at", metavar="TIME", help="その時点の板 (as it stood then; RFC 3339)")
    command(
        commands, "status", _status, "待っているものと、出ているもの (what waits, and what is out)", "todoke status"
    )
    destinations = command(
        commands,
        "destinations",
        _destinations,
        "宛先ごとの状況 (who has it and who has not)",
        "todoke destinations 13204-… --missing",
    )
    destinations.add_argument("id")
    destinations.add_argument("--missing", action="store_true", help="まだの宛先だけ (only those who have it not)")
    timeline = command(
        commands,
        "timeline",
        _timeline,
        "経過: 何がいつ起きたか (what happened, newest first)",
        "todoke timeline 13204-… --until 2026-09-14T03:00:00+09:00",
    )
    timeline.add_argument("id", nargs="?", help="この発表だけ (of this message alone)")
    timeline.add_argument("--until", metavar="TIME", help="この時刻まで (up to then; RFC 3339)")
    audit = commands.add_parser("audit", help="台帳 (the ledger)").add_subparsers(
        dest="what", required=True, metavar="verify"
    )
    command(
        audit,
        "verify",
        _verify,
        "台帳の改変を調べる (recompute the hash chain; names every altered record)",
        "todoke audit verify",
    )
    command(commands, "whoami", _whoami, "この鍵の持ち主 (whose token this is, and what for)", "todoke whoami")
    command(
        commands,
        "templates",
        _templates,
        "ひな形の一覧 (the reviewed templates, and which one person may send alone)",
        "todoke templates -o yaml",
    )


def _watch(args: argparse.Namespace) -> int:
    at, started = client(args), time.monotonic()
    with say.live_board(to_stderr=args.output != "table") as display:
        while True:
            board = at.get(f"/alerts/{quote(args.id)}")
            display.update(say.board(board["mode"], [board]))
            lines = board["channels"]
            if all(c["taken"] + c["failed"] + c["superseded"] >= c["destinations"] for c in lines) and lines:
                break
            if args.timeout and time.monotonic() - started > args.timeout:
                return TIMED_OUT
            time.sleep(WATCH_EVERY_S)  # noqa: TID251 - a program of its own, that only looks
    if args.output != "table":
        whole(args.output, board)
    return _settled(board)


def _settled(board: Mapping[str, Any]) -> int:
    return PARTLY if any(c["failed"] for c in board["channels"]) else DONE


def _board(args: argparse.Namespace) -> int:
    board = client(args).get(f"/alerts/{quote(args.id)}", at=args.at)
    if args.output == "table":
        say.console().print(say.board(board["mode"], [board], f"{args.at} の時点 (as it stood)" if args.at else ""))
    else:
        whole(args.output, board)
    return _settled(board)


def _status(args: argparse.Namespace) -> int:
    answer = client(args).get("/status")
    if args.output != "table":
        whole(args.output, answer)
        return DONE
    for draft in answer["drafts"]:
        say.line(f"{draft['identifier']}  {draft['verb']}  {draft['state']}  {draft['author']}")
    say.console().print(say.board(answer["mode"], answer["alerts"]))
    return DONE


def _destinations(args: argparse.Namespace) -> int:
    answer = client(args).get(f"/alerts/{quote(args.id)}/destinations")
    listed = [d for d in answer["destinations"] if not args.missing or d["outcome"] not in {"taken", "duplicate"}]
    lines = []
    for d in listed:
        channel, outcome = say.NAMES.get(d["channel"], d["channel"]), d["outcome"] or "待ち waiting"
        lines.append(f"{channel}  {d['name'] or d['address']}  {outcome}  {d['words']}".rstrip())
    shown(args, {"destinations": listed}, lines or ["ありません (none)"])
    return DONE


def _timeline(args: argparse.Namespace) -> int:
    path = f"/alerts/{quote(args.id)}/timeline" if args.id else "/timeline"
    answer = client(args).get(path, until=args.until)
    lines = []
    for event in answer["events"]:
        facts = "  ".join(f"{name}={value}" for name, value in event["facts"].items())
        lines.append(f"{event['at'][:19].replace('T', ' ')}  {event['name']}  {event['subject']}  {facts}".rstrip())
    shown(args, answer, lines)
    return DONE


def _verify(args: argparse.Namespace) -> int:
    answer = client(args).get("/audit")
    shown(args, answer, answer["wrong"] or ["台帳に改変はありません (not a byte was altered)"])
    return FAILED if answer["wrong"] else DONE


def _whoami(args: argparse.Namespace) -> int:
    answer = client(args).get("/me")
    shown(
        args,
        answer,
        [f"{answer['name']}  {', '.join(answer['roles'])}  {answer['mode']}  {', '.join(answer['scopes'])}"],
    )
    return DONE


def _templates(args: argparse.Namespace) -> int:
    answer = client(args).get("/templates")
    lines = [
        f"{t['name']}  {'警戒レベル' + str(t['level']) if t['level'] else ''}  {', '.join(t['languages'])}  "
        f"{'一人で出せる (approved)' if t['is_approved'] else ''}".rstrip()
        for t in answer["templates"]
    ]
    shown(args, answer, lines)
    return DONE
