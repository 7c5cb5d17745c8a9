"""`todoke intake replay`: what telegrams would have come to, without a node, in the order in which they are given.

    todoke intake replay inbox/jma -o json
    todoke intake replay warning.xml lifted.xml --mode live --site site.yaml

Nothing is written and nothing is sent: the same reader, tables, policy and decision as a node's, with a memory of its own, so that
a second telegram of an event meets what the first has left. `-o json`: {"telegrams": [{"file", "type", "status", "decision",
"reason", "template", "area"}]}. Exit 0: every file was read; 2: one of them is no telegram, or cannot be read.

Source: design.md §7, §9; issue "Shows" 4.
"""

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from config.cities import cities
from config.intake import PEOPLE_ONLY
from config.site import Site
from dispatcher.errors import InvalidInput
from dispatcher.intake.decide import Decision, Lane, after, decide
from dispatcher.intake.jma import MAX_BYTES
from dispatcher.intake.order import Known, event_key
from dispatcher.intake.places import concern
from dispatcher.intake.taking import Rules, read, rules_of
from dispatcher.staff.cli.command import output, shown

INVALID = 2
_CODE = re.compile(r"(?:^|_)([A-Z]{4}\d\d)(?:_|$)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Replayed:
    """One file, and what it came to."""

    file: str
    type: str
    status: str
    decision: str
    reason: str
    template: str | None
    area: str
    """The city's quarters as people say them; "" where none is meant."""


@dataclass(slots=True)
class Memory:
    """What a node's ledger would know."""

    rules: Rules
    lane: Lane
    events: dict[str, Known]

    def take(self, data: bytes) -> tuple[str, Decision]:
        """Status and decision.

        Raises:
            InvalidInput: no telegram.
        """
        telegram = read(data, self.rules.city)
        key = event_key(telegram)
        known = self.events.get(key)
        decision = decide(
            telegram,
            concern(telegram, self.rules.city, self.rules.places),
            self.rules.table,
            lane=self.lane,
            policy=self.rules.policy,
            known=known,
        )
        if decision.is_news:
            self.events[key] = after(known, telegram, decision)
        return telegram.status, decision


def replay(paths: Sequence[Path], rules: Rules, lane: Lane) -> Iterator[Replayed]:
    """Each file's decision, in the order given; a folder's `*.xml` in the order of their names."""
    memory = Memory(rules, lane, {})
    for path, name in _files(paths):
        try:
            status, decision = memory.take(_bytes(path))
        except (InvalidInput, OSError) as error:
            reasons = _printable("; ".join(str(error).splitlines()[:5]))
            yield Replayed(name, "", "", "ignored", f"電文として受け取れません: {reasons} (refused)", None, "")
            continue
        area = rules.city.say(decision.quarters, "ja") if decision.template is not None else ""
        yield Replayed(
            name, _type(decision.type, path), status, decision.outcome, decision.reason, decision.template, area
        )


def _type(said: str, path: Path) -> str:
    """The type's code: as the table has it, finer where the file's own name is (VXKO72), and that name's for an unknown title."""
    named = _CODE.search(path.stem)
    is_code = _CODE.fullmatch(said) is not None
    return named[1] if named is not None and (not is_code or named[1][:4] == said[:4]) else said


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Each file and how it is called: as it was given, or from its folder on."""
    for path in paths:
        if path.is_dir():
            yield from ((file, _printable(str(file.relative_to(path)))) for file in sorted(path.rglob("*.xml")))
        else:
            yield path, _printable(str(path))


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _printable(text: str) -> str:
    """A file's words must not move the cursor of whoever reads them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# -- the command -----------------------------------------------------------------------------------------------------


def add(commands: Any, site_of: Callable[[Path], Site]) -> None:
    """Register `todoke intake replay`; `site_of` reads a site file."""
    intake = commands.add_parser("intake", help="他機関の電文 (telegrams of other services: JMA, CAP)")
    verbs = intake.add_subparsers(dest="what", required=True, metavar="replay")
    about = "what telegrams would come to, without a node: nothing is written, nothing is sent"
    replaying = verbs.add_parser(
        "replay",
        help=about,
        description=about,
        epilog="example:\n  todoke intake replay inbox/jma --site site.yaml -o json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    replaying.add_argument("paths", nargs="+", type=Path, metavar="DIR|FILE", help="files, or folders with *.xml")
    replaying.add_argument(
        "--site", type=Path, metavar="FILE", help="whose city, policy and mode (default: the demo city)"
    )
    replaying.add_argument(
        "--mode",
        choices=tuple(Lane),
        metavar="live|drill|both",
        help="whose eyes look (default: the site's; else both)",
    )
    output(replaying)
    replaying.set_defaults(run=lambda args: _run(args, site_of))


def _run(args: argparse.Namespace, site_of: Callable[[Path], Site]) -> int:
    site = site_of(args.site) if args.site is not None else None
    policy = site.intake.policy if site is not None else PEOPLE_ONLY.name
    rules = rules_of(site.city if site is not None else cities()[0], policy)
    lane = Lane(args.mode) if args.mode else Lane(site.mode) if site is not None else Lane.BOTH
    replayed = list(replay(args.paths, rules, lane))
    lines = [
        line
        for one in replayed
        for line in (
            f"{one.decision:<8} {one.type or '?':<7} {one.status or '?'}  {one.file}",
            f"         {one.template or '-'}  {one.area or '-'}  {one.reason}",
        )
    ]
    shown(args, {"telegrams": [asdict(one) for one in replayed]}, lines)
    return INVALID if any(not one.type for one in replayed) else 0
