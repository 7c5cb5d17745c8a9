"""What every command of staff has in common: whose token, which node, which form of answer, live or drill, rehearsed or not.

Source: design.md §9 "The command line".
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from config.document import written
from dispatcher.staff.cli import say
from dispatcher.staff.cli.client import Client, Said

DONE, FAILED, INVALID, WAITING, PARTLY, TIMED_OUT = 0, 1, 2, 3, 4, 8
FORMS = ("table", "json", "yaml")
EXIT_CODES = """\
終了コード (exit codes):
  0 済み done · 1 内部の誤り internal error · 2 入力の誤り usage or invalid input · 3 承認待ち waiting for approval ·
  4 一部に失敗 partly failed · 5 規則により拒否 refused by a rule · 6 待機系 standby · 7 鍵がない no or unknown token ·
  8 時間切れ timed out · 9 内容が変わった stale hash"""

Run = Callable[[argparse.Namespace], int]


def command(
    commands: Any, name: str, run: Run, about: str, example: str, *, mode: bool = False, dry_run: bool = False
) -> argparse.ArgumentParser:
    """Register a command. `mode`: it must say --live or --drill; `dry_run`: it changes something, so it can be rehearsed."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=about,
        epilog=f"例 (example):\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_answering(run), verb=name)
    parser.add_argument(
        "--node", metavar="URL", help="節点の職員用の口 (the node's staff door; TODOKE_NODE; http://127.0.0.1:8181)"
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="自分の鍵 (your own token; TODOKE_TOKEN_FILE or TODOKE_TOKEN)"
    )
    output(parser)
    if mode:
        either = parser.add_mutually_exclusive_group(required=True)
        either.add_argument("--live", dest="mode", action="store_const", const="live", help="本番 (the real thing)")
        either.add_argument("--drill", dest="mode", action="store_const", const="drill", help="訓練 (a drill)")
    if dry_run:
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="起こることを示すだけで、何も書かない (say what would happen, write nothing)",
        )
    return parser


def output(parser: argparse.ArgumentParser) -> None:
    """`-o`."""
    parser.add_argument("-o", "--output", choices=FORMS, default="table", help="答えの形 (the form of the answer)")


def client(args: argparse.Namespace) -> Client:
    return Client.of(args.node, args.token_file, is_rehearsing=getattr(args, "dry_run", False))


def shown(args: argparse.Namespace, answer: Mapping[str, Any], lines: Sequence[str]) -> None:
    """The answer: in lines for people, or whole for a program."""
    if args.output == "table":
        for text in lines:
            say.line(say.legible(text))
        rehearsal = answer.get("dry_run")
        if isinstance(rehearsal, Mapping):
            say.line("試しです。何も書いていません。起こること (dry run: nothing was written; what would happen):")
            for event in rehearsal["events"]:
                say.line(f"  {event['name']}  {event['subject']}".rstrip())
    else:
        whole(args.output, answer)


def whole(form: str, answer: Mapping[str, Any]) -> None:
    """An answer for a program, as JSON on one line or as YAML."""
    say.line(written(answer).rstrip() if form == "yaml" else json.dumps(answer, ensure_ascii=False))


def findings(answer: Mapping[str, Any]) -> list[str]:
    return [f"  {'直す' if f['blocks'] else '確かめる'}  {f['where']}: {f['reason']}" for f in answer["findings"]]


def _answering(run: Run) -> Run:
    """What the node refuses becomes its exit code, on standard error or in the form that was asked for."""

    def answer(args: argparse.Namespace) -> int:
        try:
            return run(args)
        except Said as said:
            if args.output == "table":
                say.complain(say.legible(str(said)))
            else:
                whole(args.output, said.body)
            return said.exit_code

    return answer
