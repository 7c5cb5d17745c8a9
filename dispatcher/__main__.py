"""`todoke`: one program; each command is a thin door.

What a duty officer asks of a running node (dispatcher/staff/cli) needs an HTTP client and no more, so it loads no node.
Commands that stand above the dispatcher (demo, terminal) or beside it (multicast) announce themselves as entry points
of the group `todoke.commands`, so that the dispatcher need not know of them; each loads what it needs.

Source: design.md §9 for the exit codes, which every `--help` prints.
"""

import argparse
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points, version

from dispatcher.errors import ConfigError, TodokeError
from dispatcher.log import to_stderr
from dispatcher.staff.cli import completing, say, verbs
from dispatcher.staff.cli.command import EXIT_CODES

ABOUT = "Todoke 届け: one message, every channel, and proof of who it reached."
AFTER = f"""\
発表まで (the way of a message):
  todoke draft --drill --template evacuation-order --area 大沢 --cause '野川の水位が上がり、氾濫のおそれがあります'
  todoke preview ID          各媒体の見え方、届く相手 (what each medium carries, who gets it)
  todoke submit --drill ID   二人目に承認を求める (ask a second person)
  todoke approve --drill ID --hash HASH
  todoke watch ID            配信板 (the board)

{EXIT_CODES}"""


def parser(asked: str = "") -> argparse.ArgumentParser:
    """Every command there is; if `asked` can be had without the node, no more than it needs."""
    top = argparse.ArgumentParser(
        prog="todoke", description=ABOUT, epilog=AFTER, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--version", action="version", version=f"todoke {version('todoke')}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    verbs.add(commands)
    announced = {point.name: point for point in entry_points(group="todoke.commands")}
    if asked in announced:
        announced[asked].load().add(commands)
    elif asked not in commands.choices:
        for name in sorted(announced):
            announced[name].load().add(commands)
        from dispatcher import commands as others  # noqa: PLC0415 - it loads the whole node, which asking one does not need

        others.add(commands)
        completing.add(commands, top)
    completing.teach(top)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command; what it says no to becomes an exit code."""
    words = sys.argv[1:] if argv is None else argv
    args = parser(words[0] if words else "").parse_args(words)
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
