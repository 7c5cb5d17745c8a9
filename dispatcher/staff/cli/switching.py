"""Commands that open and close: a link test, a medium paused and resumed, what failed tried again, the whole node halted.

Source: design.md §9; issue "停止中", "retry, pause, switch".
"""

import argparse
from typing import Any

from dispatcher.staff.cli import say
from dispatcher.staff.cli.command import DONE, PARTLY, client, command, shown

_SAID = {
    "retry": "いま送り直します (tried again now)",
    "pause": "止めました。並んでいるものは待ちます (paused; what is queued waits)",
    "resume": "再開しました (resumed)",
    "halt": "送出を止めました。停止中です (halted: nothing goes out)",
    "reopen": "送出を再開しました (open again)",
}


def add(commands: Any) -> None:
    """Register the commands that open and close."""
    channels = commands.add_parser("channels", help="媒体 (the media)").add_subparsers(
        dest="what", required=True, metavar="test|pause|resume"
    )
    test = command(
        channels,
        "test",
        _test,
        "疎通確認。住民には何も出ない (a link test of each channel; nothing is sent to residents)",
        "todoke channels test email_list",
    )
    test.add_argument("kind", nargs="*")
    pause = command(
        channels,
        "pause",
        _switch,
        "媒体を止める。並んでいるものは待つ (close a channel; what is queued waits)",
        "todoke channels pause --live email_list --reason '中継の作業'",
        mode=True,
        dry_run=True,
    )
    resume = command(
        channels,
        "resume",
        _switch,
        "媒体を再開する (open a channel; what waited goes out)",
        "todoke channels resume --live email_list",
        mode=True,
        dry_run=True,
    )
    retry = command(
        commands,
        "retry",
        _retry,
        "失敗したものをいま送り直す (what failed for now on a channel is tried at once)",
        "todoke retry --live 13204-… email_list",
        mode=True,
        dry_run=True,
    )
    retry.add_argument("id")
    for parser in (pause, resume, retry):
        parser.add_argument("kind", help="媒体 (a channel)")
    halt = command(
        commands,
        "halt",
        _node,
        "停止中にする。何も出ない。再起動しても続く (nothing goes out any more, also after a restart)",
        "todoke halt --live --reason '切替作業'",
        mode=True,
        dry_run=True,
    )
    for parser in (pause, halt):
        parser.add_argument("--reason", required=True, metavar="TEXT", help="理由 (why)")
    command(
        commands,
        "reopen",
        _node,
        "停止中を終える (end the halt)",
        "todoke reopen --live",
        mode=True,
        dry_run=True,
    )


def _test(args: argparse.Namespace) -> int:
    answer = client(args).ask("/channels/test", {"kinds": args.kind})
    lines = [
        f"{'●' if p['is_up'] else '✕'} {say.NAMES.get(kind, kind)}  {p['words']}"
        for kind, p in answer["channels"].items()
    ]
    shown(args, answer, lines)
    return DONE if all(p["is_up"] for p in answer["channels"].values()) else PARTLY


def _body(args: argparse.Namespace) -> dict[str, Any]:
    return {"mode": args.mode} | ({"reason": args.reason} if "reason" in args else {})


def _act(args: argparse.Namespace, path: str) -> int:
    answer = client(args).post(path, _body(args))
    shown(args, answer, [] if args.dry_run else [_SAID[args.verb]])
    return DONE


def _switch(args: argparse.Namespace) -> int:
    return _act(args, f"/channels/{args.kind}/{args.verb}")


def _retry(args: argparse.Namespace) -> int:
    return _act(args, f"/alerts/{args.id}/channels/{args.kind}/retry")


def _node(args: argparse.Namespace) -> int:
    return _act(args, f"/{args.verb}")
