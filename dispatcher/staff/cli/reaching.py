"""Commands for who has been reached: each medium by name, the facilities that must act first, and 電話済.

Source: design.md §8 "Acknowledgement", §9.
"""

import argparse
from typing import Any
from urllib.parse import quote

from dispatcher.staff.cli import say
from dispatcher.staff.cli.command import DONE, client, command, shown

CLAIMS = {
    "nothing": "届いていない",
    "sent": "送信",
    "taken": "受領",
    "delivered": "機器が受信",
    "displayed": "表示",
    "acknowledged": "人の確認",
}


def add(commands: Any) -> None:
    """Register `reached`, `facilities`, `telephoned`."""
    reached = command(
        commands,
        "reached",
        _reached,
        "名前で届いた宛先と、何も届かない宛先 (whom each medium has reached by name)",
        "todoke reached 13204-…",
    )
    reached.add_argument("id")
    listed = command(
        commands,
        "facilities",
        _facilities,
        "先に知らせる施設。確認がない施設を近い順に (facilities; those without a word nearest first)",
        "todoke facilities 13204-… --waiting",
    )
    listed.add_argument("id")
    listed.add_argument("--waiting", action="store_true", help="確認がない施設だけ (those without a word alone)")
    called = command(
        commands,
        "telephoned",
        _telephoned,
        "電話済 (a facility was told by telephone)",
        "todoke telephoned --live 13204-… F001 --spoke-with 園長",
        mode=True,
        dry_run=True,
    )
    called.add_argument("id")
    called.add_argument("facility")
    called.add_argument(
        "--spoke-with", default="", help="出た人。なければ、出なかった (who answered; nobody, if left out)"
    )
    called.add_argument("--note", default="", help="ひとこと (a word)")


def _reached(args: argparse.Namespace) -> int:
    answer = client(args).get(f"/alerts/{quote(args.id)}/reach")
    lines = [
        f"施設 (facilities)  確認 {answer['acknowledged']} / {answer['facilities']}  何も届かない {answer['by_nothing']}"
    ]
    for m in answer["media"]:
        counted = f"受領 {m['taken']} / {m['people']}  人の確認 {m['acknowledged']}  何も届かない {m['by_nothing']}"
        lines.append(f"{m['title']}  {counted if m['is_counted'] else '数えない (reaches nobody by name)'}")
    lines += [
        f"  {say.NAMES.get(n['channel'], n['channel'])}  {n['address']}  {n['words']}" for n in answer["not_reached"]
    ]
    shown(args, answer, lines)
    return DONE


def _facilities(args: argparse.Namespace) -> int:
    found = client(args).get(f"/alerts/{quote(args.id)}/facilities")["facilities"]
    found = [f for f in found if not (args.waiting and f["acknowledged_at"])]
    lines = [
        f"{f['id']}  {f['name']}  {CLAIMS[f['claimed']]}  {f['people']}人  {f['distance_m']:,} m  {'・'.join(f['phones'])}"
        for f in found
    ]
    shown(args, {"facilities": found}, lines or ["ありません (none)"])
    return DONE


def _telephoned(args: argparse.Namespace) -> int:
    body = {"mode": args.mode, "spoke_with": args.spoke_with, "note": args.note}
    answer = client(args).post(f"/alerts/{quote(args.id)}/facilities/{quote(args.facility)}", body)
    said = "電話済 (told by telephone)" if args.spoke_with else "出なかったと記しました (nobody answered)"
    shown(args, answer, [said])
    return DONE
