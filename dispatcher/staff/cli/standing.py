"""Commands for what two people agree to and what then stands: the daily touch (見守り), a release without consent.

Source: design.md §8; dispatcher/staff/asking.py has the rules.
"""

import argparse
from typing import Any

from dispatcher.staff.cli.command import DONE, client, command, shown
from dispatcher.staff.cli.safety import began


def add(commands: Any) -> None:
    """Register `daily` and `release`."""
    daily = commands.add_parser(
        "daily", help="毎日の見守り「お元気ですか」 (the daily touch of those who agreed to it)"
    ).add_subparsers(dest="what", required=True, metavar="show|propose|end")
    command(daily, "show", _show, "動いているか、何時に、どこで (is it on, when, where)", "todoke daily show")
    propose = command(
        daily,
        "propose",
        _propose_watch,
        "始める・変える申請。別の承認者が `safety agree KEY` で動かす (ask to begin or change it; a second person agrees)",
        "todoke daily propose --drill --area 大沢 --time 09:00",
        mode=True,
        dry_run=True,
    )
    propose.add_argument(
        "--area",
        action="append",
        required=True,
        metavar="AREA",
        help="町丁目・大字・市 (a quarter, group or the city; may be repeated)",
    )
    propose.add_argument("--time", required=True, metavar="HH:MM", help="毎日の時刻 06:00〜11:00 (in Japan)")
    command(
        daily,
        "end",
        _end_watch,
        "いま止める。一人でできる (switch it off now; one person may)",
        "todoke daily end --drill",
        mode=True,
        dry_run=True,
    )
    release = commands.add_parser(
        "release", help="同意なしの名簿提供・災対法49条の11第3項 (release without consent)"
    ).add_subparsers(dest="what", required=True, metavar="propose|end")
    propose = command(
        release,
        "propose",
        _propose_release,
        "別の承認者に申請する (ask a second person)",
        "todoke release propose --hours 6 --reason 支援者の確保",
        dry_run=True,
    )
    propose.add_argument("--reason", required=True)
    propose.add_argument("--hours", required=True, type=int)
    command(release, "end", _end_release, "いま終える (end it now)", "todoke release end", dry_run=True)


def _show(args: argparse.Namespace) -> int:
    answer = client(args).get("/daily")
    watch = answer["watch"]
    if watch is None:
        lines = ["見守りはしていません (off)"]
    else:
        lines = [f"毎日 {watch['at']}　{answer['place']}　{watch['by']}  (every day, on)"]
        if watch["missed"]:
            lines.append(f"止まっていて尋ねなかった日 (days missed): {'、'.join(watch['missed'])}")
    shown(args, answer, lines)
    return DONE


def _propose_watch(args: argparse.Namespace) -> int:
    body = {"mode": args.mode, "areas": args.area, "time": args.time}
    return began(args, client(args).post("/daily", body))


def _end_watch(args: argparse.Namespace) -> int:
    shown(args, client(args).post("/daily/end", {"mode": args.mode}), ["見守りを止めました (off)"])
    return DONE


def _propose_release(args: argparse.Namespace) -> int:
    return began(args, client(args).post("/release", {"reason": args.reason, "hours": args.hours}))


def _end_release(args: argparse.Namespace) -> int:
    shown(args, client(args).delete("/release"), ["提供を終えました (ended)"])
    return DONE
