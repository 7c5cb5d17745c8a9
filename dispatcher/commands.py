"""The commands that need more than a token: the node, its site file, its people at the machine, what operators do, CAP, intake.

Source: design.md §9.
"""

import argparse
import asyncio
import signal
from pathlib import Path
from typing import Any

import uvloop

from config.site import Site, effective, load_site
from dispatcher import node
from dispatcher.clock import SystemClock
from dispatcher.intake import replay
from dispatcher.operators import commands as operators
from dispatcher.operators.notify import supervised
from dispatcher.staff import cap_command
from dispatcher.staff.accounts import command as user
from dispatcher.staff.cli import people, say
from dispatcher.staff.cli.command import Run, output, shown, whole
from dispatcher.staff.sessions import new_token


def add(commands: Any) -> None:
    """Register them."""
    serve = _command(
        commands,
        "serve",
        _serve,
        "サイトの設定どおりに節点を動かす。Ctrl-C まで (run the node that a site file describes)",
        "todoke serve site.yaml",
    )
    serve.add_argument("site", type=Path)
    check = _command(
        commands,
        "check",
        _check,
        "サイトの設定の誤りをすべて言う (everything that is wrong with a site file, or how it is understood)",
        "todoke check site.yaml",
    )
    check.add_argument("site", type=Path)
    output(check)

    user.add(commands, _site)
    replay.add(commands, _site)
    operators.add(commands)

    cap = commands.add_parser("cap", help="CAP 1.2 のファイル (CAP 1.2 files)").add_subparsers(
        dest="what", required=True, metavar="check"
    )
    cap_check = _command(
        cap,
        "check",
        _cap_check,
        "正しいか、なぜ正しくないか、仕様の文が禁じていること (valid or not, every reason, and what CAP's text forbids)",
        "todoke cap check alert.xml --roundtrip",
    )
    cap_check.add_argument("files", nargs="+", metavar="FILE")
    cap_check.add_argument(
        "--roundtrip",
        action="store_true",
        help="読んで書いて何も失わないことを示す (prove that a valid one is read and written without loss)",
    )
    output(cap_check)
    token = commands.add_parser("token", help="鍵 (tokens)").add_subparsers(
        dest="what", required=True, metavar="new|list|rotate|revoke"
    )
    new = _command(
        token,
        "new",
        _token_new,
        "サイトの設定に書く鍵を作る。一度だけ表示する (a token for the site file, printed once; its hash goes into the file)",
        "todoke token new 職員0001",
    )
    new.add_argument("name")
    output(new)
    people.add_tokens(token)


def _command(commands: Any, name: str, run: Run, about: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=about,
        epilog=f"例 (example):\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _site(path: Path) -> Site:
    return load_site(path, {kind: channel.Settings for kind, channel in node.kinds().items()})


def _serve(args: argparse.Namespace) -> int:
    site = _site(args.site)

    async def serve() -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        where = f"{site.node}: http://{site.residents.listen}/ (residents) · http://{site.control.listen} (staff)"
        async with node.running(site) as running, supervised(running.ledger, SystemClock(), where):
            say.complain(where)
            await stopped.wait()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
    return 0


def _check(args: argparse.Namespace) -> int:
    text = effective(_site(args.site))
    shown(args, {"site": text}, [text.rstrip()])
    return 0


def _cap_check(args: argparse.Namespace) -> int:
    return cap_command.run(
        [Path(file) for file in args.files],
        roundtrip=args.roundtrip,
        output=args.output,
    )


def _token_new(args: argparse.Namespace) -> int:
    token, kept = new_token()
    if args.output != "table":
        whole(args.output, {"name": args.name, "token": token, "token_hash": kept})
        return 0
    say.line(token)
    say.complain(
        f"この鍵は一度しか表示しません。{args.name} に渡し、次をサイトの設定に書いてください (shown once; for the site file):"
    )
    say.complain(f"  - {{name: {args.name}, roles: [originator], token_hash: {kept}}}")
    return 0
