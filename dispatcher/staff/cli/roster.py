"""Commands for the roster: try a file, import what was tried.

Source: design.md §8; dispatcher/staff/rostering.py.
"""

import argparse
import base64
import gzip
from pathlib import Path
from typing import Any

from dispatcher.staff.cli.client import Said
from dispatcher.staff.cli.command import DONE, INVALID, client, command, shown

WORDS = (
    ("people", "人"),
    ("new", "新しい人"),
    ("changed", "変わった人"),
    ("moved", "転居した人"),
    ("gone", "いなくなる人"),
    ("same", "同じ人"),
    ("unreachable", "連絡先のない人"),
)


def add(commands: Any) -> None:
    """Register the commands for the roster."""
    roster = commands.add_parser("roster", help="住民の名簿 (the roster of residents)").add_subparsers(
        dest="what", required=True, metavar="check|import"
    )
    command(
        roster,
        "check",
        _check,
        "名簿を試す: 変わることと、誤りのある行のすべて (what it would change, and every bad row; nothing is written)",
        "todoke roster check meibo.csv",
    ).add_argument("file", type=Path, metavar="FILE.csv")
    take = command(
        roster,
        "import",
        _import,
        "試した名簿を取り込む。全部か、何もしないか (import what was tried: all of it or nothing)",
        "todoke roster import meibo.csv --live --checked 1f3a…",
        mode=True,
    )
    take.add_argument("file", type=Path, metavar="FILE.csv")
    either = take.add_mutually_exclusive_group(required=True)
    either.add_argument("--checked", metavar="FINGERPRINT", help="check が示した指紋 (as `check` said)")
    either.add_argument("--dry-run", action="store_true", help="check と同じ (the same as `check`)")


def _check(args: argparse.Namespace) -> int:
    answer = client(args).ask("/roster/check", {"csv": _packed(args.file)})
    shown(args, answer, [*_lines(answer), f"指紋 (fingerprint): {answer['fingerprint']}"])
    return DONE


def _import(args: argparse.Namespace) -> int:
    if args.dry_run:
        args.dry_run = False  # asked for as a question, not as a rehearsal
        return _check(args)
    body = {"mode": args.mode, "csv": _packed(args.file), "fingerprint": args.checked}
    answer = client(args).put("/roster", body)
    shown(args, answer, ["● 取り込みました (imported)", *_lines(answer)])
    return DONE


def _lines(answer: Any) -> list[str]:
    return [f"  {answer['encoding']}", *(f"  {word} ({name}): {answer[name]}" for name, word in WORDS)]


def _packed(file: Path) -> str:
    try:
        return base64.b64encode(gzip.compress(file.read_bytes(), 6)).decode()
    except OSError as error:
        raise Said(f"{file}: {error.strerror}", INVALID) from None
