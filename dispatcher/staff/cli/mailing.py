"""Commands for registered mail: the list as a signed file, checking one, the way back for a suspended address.

Source: design.md §9; dispatcher/signing.py.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from dispatcher.signing import LARGEST_SIGNATURE_BYTES, Unsigned, verified
from dispatcher.staff.cli import say
from dispatcher.staff.cli.command import DONE, FAILED, client, command, shown

BESIDE = ".sig"


def add(commands: Any) -> None:
    """Register the commands for registered mail."""
    mail = commands.add_parser("mail", help="登録メールの名簿 (the list of registered mail)").add_subparsers(
        dest="what", required=True, metavar="export|verify|suspended|restore"
    )
    export = command(
        mail,
        "export",
        _export,
        "名簿を署名つきで書き出す (write the list to a file, with its signature beside it)",
        "todoke mail export --live --reason '委託先の変更' --out list.csv",
        mode=True,
        dry_run=True,
    )
    export.add_argument("--reason", required=True, help="なぜ (why; it stands in the ledger)")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="書き出す先 (where to)")
    check = command(
        mail,
        "verify",
        _verify,
        "書き出したままかを確かめる (whether a list is what the holder of this key exported)",
        "todoke mail verify list.csv --key 5f…",
    )
    check.add_argument("file", type=Path)
    check.add_argument("--key", required=True, metavar="HEX", help="export が示した鍵 (the key that export showed)")
    command(
        mail,
        "suspended",
        _suspended,
        "戻ってきたために止めている数 (how many get nothing because mail to them came back)",
        "todoke mail suspended",
    )
    restore = command(
        mail,
        "restore",
        _restore,
        "止めたアドレスへの配信を再開する (try a suspended address again)",
        "todoke mail restore --live user@example.jp --reason '本人から電話'",
        mode=True,
        dry_run=True,
    )
    restore.add_argument("address")
    restore.add_argument("--reason", required=True, help="なぜ (why; it stands in the ledger)")


def _export(args: argparse.Namespace) -> int:
    answer = client(args).take("/mail/export", {"mode": args.mode, "reason": args.reason})
    if not args.dry_run:
        _write(args.out, answer.pop("csv"))
        _write(_beside(args.out), json.dumps(answer["signature"], ensure_ascii=False, indent=1) + "\n")
        lines = [f"{args.out}: {answer['people']} 人", f"鍵 (key): {answer['signature']['key']}"]
    else:
        answer.pop("csv", None)
        lines = []
    shown(args, answer, lines)
    return DONE


def _verify(args: argparse.Namespace) -> int:
    with _beside(args.file).open("rb") as file:
        signature = file.read(LARGEST_SIGNATURE_BYTES + 1)
    try:
        about = verified(args.file.read_bytes(), signature, args.key)
    except Unsigned as wrong:
        if args.output == "table":
            say.complain(f"{args.file}: {wrong}")
        else:
            shown(args, {"is_whole": False, "reason": str(wrong)}, [])
        return FAILED
    said = f"{args.file}: 書き出したまま (as it was exported): {about['list']} {about['at']} {about['people']} 人"
    shown(args, {"is_whole": True, "about": about}, [said])
    return DONE


def _suspended(args: argparse.Namespace) -> int:
    answer = client(args).get("/mail/suspended")
    shown(args, answer, [f"{reason}  {count}" for reason, count in answer["suspended"].items()])
    return DONE


def _restore(args: argparse.Namespace) -> int:
    answer = client(args).post("/mail/restore", {"mode": args.mode, "address": args.address, "reason": args.reason})
    shown(args, answer, [] if args.dry_run else ["再開しました (restored)"])
    return DONE


def _beside(file: Path) -> Path:
    return file.with_name(file.name + BESIDE)


def _write(file: Path, text: str) -> None:
    """For its owner alone: it is full of addresses."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as out:
        out.write(text)
