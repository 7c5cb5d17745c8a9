"""Commands for PFIF: hand people's states over, take somebody else's as reports.

Source: design.md §8; dispatcher/staff/interchange.py.
"""

import argparse
import base64
import gzip
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dispatcher.staff.cli.client import Said
from dispatcher.staff.cli.command import DONE, INVALID, client, command, shown
from dispatcher.staff.lookups import Why


def add(commands: Any) -> None:
    """Register the commands for PFIF."""
    pfif = commands.add_parser("pfif", help="安否情報の受渡し PFIF 1.4 (people's states, out and in)").add_subparsers(
        dest="what", required=True, metavar="export|import"
    )
    out = command(
        pfif,
        "export",
        _export,
        "安否を書き出す。閲覧制限の人は入らない (everybody of a round but those under restriction)",
        "todoke pfif export safety-… --reason inquiry --out anpi.xml",
    )
    out.add_argument("id", help="安否の確認の番号 (the round's id)")
    out.add_argument("--out", type=Path, required=True, metavar="FILE.xml", help="書き出す先 (where to)")
    take = command(
        pfif,
        "import",
        _import,
        "ほかの団体の記録を知らせとして受け取る (take another's records as reports)",
        "todoke pfif import theirs.xml --live --reason inquiry",
        mode=True,
        dry_run=True,
    )
    take.add_argument("file", type=Path, metavar="FILE.xml")
    for parser in (out, take):
        parser.add_argument("--reason", required=True, choices=list(Why), help="理由。記録されます (why)")


def _export(args: argparse.Namespace) -> int:
    answer = client(args).ask(f"/safety/{quote(args.id, safe='')}/pfif", {"reason": args.reason})
    text = gzip.decompress(base64.b64decode(answer.pop("pfif")))
    # For its owner alone: it is full of names.
    with os.fdopen(os.open(args.out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(text)
    shown(args, {**answer, "file": str(args.out), "bytes": len(text)}, [f"{args.out}: {len(text):,} バイト (bytes)"])
    return DONE


def _import(args: argparse.Namespace) -> int:
    try:
        data = args.file.read_bytes()
    except OSError as error:
        raise Said(f"{args.file}: {error.strerror}", INVALID) from None
    body = {"mode": args.mode, "reason": args.reason, "pfif": base64.b64encode(data).decode()}
    answer = client(args).post("/pfif", body)
    words = (("reports", "知らせ"), ("sought", "探されている人"), ("ours", "自市の記録"))
    shown(args, answer, [f"{word} ({name}): {answer[name]}" for name, word in words if name in answer])
    return DONE
