"""`todoke`: one program; each command is a thin door.

Commands that stand above the dispatcher (demo, terminal) or beside it (multicast) announce themselves as entry points of the group
`todoke.commands`, so that the dispatcher need not know of them.

Source: design.md §9 for the exit codes, which `todoke --help` prints.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points, version
from pathlib import Path

import uvloop

from config.site import Site, effective, load_site
from dispatcher import node
from dispatcher.clock import SystemClock
from dispatcher.errors import ConfigError, TodokeError
from dispatcher.intake import replay
from dispatcher.log import to_stderr
from dispatcher.operators import commands as operators
from dispatcher.operators.notify import supervised
from dispatcher.staff import cap_command
from dispatcher.staff.accounts import command as user
from dispatcher.staff.cli import completing, people, say, verbs
from dispatcher.staff.cli.command import output, shown, whole
from dispatcher.staff.sessions import new_token

ABOUT = "Todoke 届け: one message, every channel, and proof of who it reached."
AFTER = """\
the way of a message:
  todoke draft --drill --template evacuation-order --area 大沢 --cause '野川の水位が上がり、氾濫のおそれがあります'
  todoke preview ID          what each medium carries, who gets it
  todoke submit --drill ID   ask a second person
  todoke approve --drill ID --hash HASH
  todoke watch ID            the board

exit codes: 0 done · 1 internal error · 2 usage or invalid input · 3 waiting for approval · 4 partly failed ·
5 refused by a rule · 6 standby · 7 no or unknown token · 8 timed out · 9 stale hash
"""


def parser() -> argparse.ArgumentParser:
    """Every command there is."""
    top = argparse.ArgumentParser(
        prog="todoke", description=ABOUT, epilog=AFTER, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"todoke {version('todoke')}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for point in sorted(entry_points(group="todoke.commands"), key=lambda p: p.name):
        point.load().add(commands)

    serve = commands.add_parser("serve", help="run the node that a site file describes, until Ctrl-C")
    serve.add_argument("site", type=Path)
    serve.set_defaults(run=_serve)

    check = commands.add_parser(
        "check", help="say everything that is wrong with a site file, or print it as it is understood"
    )
    check.add_argument("site", type=Path)
    output(check)
    check.set_defaults(run=_check)

    verbs.add(commands)
    user.add(commands, _site)
    replay.add(commands, _site)
    operators.add(commands)

    cap = commands.add_parser("cap", help="CAP 1.2 files").add_subparsers(dest="what", required=True, metavar="check")
    cap_check = cap.add_parser(
        "check", help="valid or not, every reason, and what CAP's text forbids though the schema allows it"
    )
    cap_check.add_argument("files", nargs="+", metavar="FILE")
    cap_check.add_argument(
        "--roundtrip", action="store_true", help="prove that a valid one is read and written without loss"
    )
    output(cap_check)
    cap_check.set_defaults(run=_cap_check)

    token = commands.add_parser("token", help="staff's tokens").add_subparsers(
        dest="what", required=True, metavar="new|list|rotate|revoke"
    )
    new = token.add_parser("new", help="make a token; it is printed once, its hash goes into the site file")
    new.add_argument("name")
    output(new)
    new.set_defaults(run=_token_new)
    people.add_tokens(token)
    completing.add(commands, top)
    completing.teach(top)
    return top


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


def main(argv: list[str] | None = None) -> int:
    """Run one command; what it says no to becomes an exit code."""
    args = parser().parse_args(argv)
    to_stderr()
    try:
        return int(args.run(args))
    except (TodokeError, ConfigError) as error:
        say.complain(str(error))
        return error.exit_code
    except BrokenPipeError:
        return 0
    except OSError as error:
        say.complain(str(error))
        return 1
    except ExceptionGroup as group:
        # What a node's listeners and channels say no to on opening comes through the tasks that were open already.
        known, strange = group.split((TodokeError, ConfigError, OSError))
        if known is None or strange is not None:
            raise
        causes = list(_leaves(known))
        for cause in causes:
            say.complain(str(cause))
        return next((cause.exit_code for cause in causes if isinstance(cause, TodokeError | ConfigError)), 1)


def _leaves(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


if __name__ == "__main__":
    sys.exit(main())
