"""`todoke completion bash|zsh`: what the shell offers when Tab is pressed. The only door to shtab.

Source: shtab 1.7 "Usage"; bash(1) "Programmable Completion"; zshcompsys(1).
"""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import shtab

from dispatcher.staff.cli import say
from dispatcher.staff.cli.command import DONE, EXIT_CODES

SHELLS = ("bash", "zsh")


def add(commands: Any, top: argparse.ArgumentParser) -> None:
    """Register `todoke completion`; `top` is asked when everything else has been registered."""
    parser = commands.add_parser(
        "completion",
        help="シェルの補完を書き出す (shell completion)",
        description="シェルの補完を書き出す (print what bash or zsh needs to complete todoke's words)",
        epilog='例 (example):\n  eval "$(todoke completion bash)"',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=partial(_completion, top))


def _completion(top: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    for parser in parsers(top):
        for action in parser._actions:  # noqa: SLF001 - argparse has no other way to ask what was added
            if action.type is Path:
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab's own way
    say.line(shtab.complete(top, args.shell))
    return DONE


def teach(top: argparse.ArgumentParser) -> None:
    """Every command's help ends with what its exit code says."""
    for parser in parsers(top):
        if parser.get_default("run") is not None and "exit codes" not in (parser.epilog or ""):
            parser.epilog = f"{parser.epilog}\n\n{EXIT_CODES}" if parser.epilog else EXIT_CODES
            parser.formatter_class = argparse.RawDescriptionHelpFormatter


def parsers(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """This parser and every one below it."""
    yield top
    for action in top._actions:  # noqa: SLF001 - as above
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            for below in dict.fromkeys(action.choices.values()):
                yield from parsers(below)
