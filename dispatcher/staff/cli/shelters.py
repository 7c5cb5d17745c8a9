"""Commands for shelters: what each is, saying so, a link for the people there.

Source: design.md §9; issue "The residents' site".
"""

import argparse
from typing import Any
from urllib.parse import quote

from dispatcher.model.shelter import STATE_WORDS
from dispatcher.staff.cli.command import DONE, client, command, shown


def add(commands: Any) -> None:
    """Register the commands for shelters."""
    shelter = commands.add_parser("shelter", help="避難所の状態 (shelters)").add_subparsers(
        dest="what", required=True, metavar="list|set|link"
    )
    listed = command(
        shelter, "list", _list, "避難所とその状態 (shelters and what each is now)", "todoke shelter list --spoken"
    )
    listed.add_argument("--spoken", action="store_true", help="状態の知らせがあるものだけ (only those spoken of)")
    said = command(
        shelter,
        "set",
        _set,
        "状態を知らせる。1秒以内に住民のサイトに出る (say what it is now; residents see it at once)",
        "todoke shelter set --live E1320400002111 open",
        mode=True,
        dry_run=True,
    )
    said.add_argument("code", help="避難所の番号 (as `shelter list` shows it)")
    said.add_argument("state", choices=[str(state) for state in STATE_WORDS], help="／".join(STATE_WORDS.values()))
    door = command(
        shelter,
        "link",
        _link,
        "避難所のページのリンクを作る。前のものは使えなくなる (a new link for the people there; the old one ends)",
        "todoke shelter link --live E1320400002111",
        mode=True,
        dry_run=True,
    )
    door.add_argument("code", help="避難所の番号 (as `shelter list` shows it)")


def _list(args: argparse.Namespace) -> int:
    answer = client(args).get("/shelters")
    lines = [
        f"{s['code']}  {s['word'] or '知らせなし'}  {(s['at'] or '')[:16].replace('T', ' ')}  {s['name']}".rstrip()
        for s in answer["shelters"]
        if s["state"] or not args.spoken
    ]
    shown(args, answer, lines)
    return DONE


def _set(args: argparse.Namespace) -> int:
    answer = client(args).post(f"/shelters/{quote(args.code, safe='')}", {"mode": args.mode, "state": args.state})
    shelter = answer.get("shelter")
    shown(args, answer, [f"{shelter['name']}: {shelter['word']}"] if shelter and not args.dry_run else [])
    return DONE


def _link(args: argparse.Namespace) -> int:
    answer = client(args).take(f"/shelters/{quote(args.code, safe='')}/door", {"mode": args.mode})
    shown(args, answer, [] if args.dry_run else [answer["link"]])
    return DONE
