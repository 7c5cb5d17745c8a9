"""What the operators' commands have in common: the site file they are about, and how they answer.

Every command is about one site file, says its progress on standard error and its result on standard output.

Source: design.md §9 for the exit codes.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from config.site import Site, load_site
from dispatcher import node
from dispatcher.staff.cli.command import output
from dispatcher.staff.cli.command import shown as in_form

DONE, FAILED, PARTLY = 0, 1, 4


def site_of(args: argparse.Namespace) -> Site:
    """The site that `--site` names.

    Raises:
        ConfigError: everything that is wrong with it.
    """
    return load_site(args.site, {kind: channel.Settings for kind, channel in node.kinds().items()})


def command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    about: str,
    example: str,
) -> argparse.ArgumentParser:
    """A command about a site file."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=about,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--site", type=Path, required=True, metavar="FILE", help="the node's site file")
    return parser


def answering(parser: argparse.ArgumentParser) -> None:
    """`-o`, where there is something to read by a program."""
    output(parser)


def shown(args: argparse.Namespace, answer: Mapping[str, Any], lines: Sequence[str]) -> None:
    """The result: as lines, or as one JSON object."""
    in_form(args, answer, lines)
