"""Commands for tokens, sessions and what two admins decide; `todoke user` (dispatcher/staff/accounts/command.py) has the people.

Source: design.md §9 "an admin act is a proposal that a second admin approves".
"""

import argparse
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from dispatcher.staff.cli import say
from dispatcher.staff.cli.client import Said
from dispatcher.staff.cli.command import DONE, INVALID, WAITING, client, command, shown


def add(commands: Any) -> None:
    """Register the commands for sessions and proposals."""
    sessions = commands.add_parser("sessions", help="サインイン中の人 (who is signed in)").add_subparsers(
        dest="what", required=True, metavar="list|revoke"
    )
    command(sessions, "list", _sessions, "サインイン中の人 (who is signed in, where)", "todoke sessions list")
    revoke = command(
        sessions,
        "revoke",
        _revoke_session,
        "サインインを終わらせる (end a session)",
        "todoke sessions revoke 3f9a…",
        dry_run=True,
    )
    revoke.add_argument("id")
    propose = commands.add_parser("propose", help="管理の提案。二人目が決める (an admin act)").add_subparsers(
        dest="what", required=True, metavar="template|duty|maintenance|token"
    )
    template = command(
        propose,
        "template",
        _propose_template,
        "ひな形を、いまの文のまま一人で出せるようにする (let one person send this template, exactly as it stands)",
        "todoke propose template evacuation-order",
        dry_run=True,
    )
    template.add_argument("name")
    duty = command(
        propose,
        "duty",
        _propose_duty,
        "当番の宛先を変える (who is mailed when something fails or waits)",
        "todoke propose duty --mail duty@example.jp",
        dry_run=True,
    )
    duty.add_argument("--mail", action="append", required=True, metavar="ADDRESS", help="宛先 (repeatable)")
    maintenance = command(
        propose,
        "maintenance",
        _propose_maintenance,
        "保守時間を始める・終える (open or close a change window)",
        "todoke propose maintenance --open --reason '中継の入れ替え'",
        dry_run=True,
    )
    either = maintenance.add_mutually_exclusive_group(required=True)
    either.add_argument("--open", dest="is_open", action="store_true", help="始める (begin)")
    either.add_argument("--close", dest="is_open", action="store_false", help="終える (end)")
    maintenance.add_argument("--reason", required=True, metavar="TEXT", help="理由 (why)")
    token = command(
        propose,
        "token",
        _propose_token,
        "機械の鍵を出す (a token for another system)",
        "todoke propose token --title 気象情報 --scope intake --days 365",
        dry_run=True,
    )
    token.add_argument("--title", required=True, help="何のための鍵か (what it is for)")
    token.add_argument("--scope", action="append", required=True, help="intake, metrics (repeatable)")
    token.add_argument("--days", type=int, default=365, help="何日使えるか (how long it lives; 365)")


def add_tokens(tokens: Any) -> None:
    """Register what `todoke token` asks of the running node."""
    command(tokens, "list", _tokens, "鍵の一覧。中身は出ない (tokens, without their secrets)", "todoke token list")
    command(
        tokens,
        "rotate",
        _rotate,
        "自分のこの鍵を新しくする。古い鍵は一時間使える (a new token in place of the one you use)",
        "todoke token rotate > my.token.new",
        dry_run=True,
    )
    revoke = command(
        tokens, "revoke", _revoke_token, "鍵を取り消す (end a token now)", "todoke token revoke 3f9a…", dry_run=True
    )
    revoke.add_argument("id")


def _sessions(args: argparse.Namespace) -> int:
    answer = client(args).get("/sessions")
    lines = [
        f"{s['id'][:12]}  {s['name']}  {s['signed_in_at'][:16]}  {s['remote']}  {s['agent']}"
        for s in answer["sessions"]
    ]
    shown(args, answer, lines or ["いません (nobody)"])
    return DONE


def _revoke_session(args: argparse.Namespace) -> int:
    at = client(args)
    found = [s["id"] for s in at.get("/sessions")["sessions"] if s["id"].startswith(args.id)]
    answer = at.delete(f"/sessions/{quote(found[0] if len(found) == 1 else args.id)}")
    shown(args, answer, [] if args.dry_run else ["終わらせました (ended)"])
    return DONE


def propose(args: argparse.Namespace, act: str, what: Mapping[str, Any]) -> int:
    """Ask a second admin."""
    answer = client(args).post("/proposals", {"act": act, "what": what})
    proposal = answer["proposal"]
    lines = [proposal["words"]]
    if not args.dry_run:
        lines.append(f"二人目の管理者の承認を待っています。次 (next): todoke user approve {proposal['id']}")
    shown(args, answer, lines)
    return WAITING


def _propose_template(args: argparse.Namespace) -> int:
    known = {t["name"]: t["hash"] for t in client(args).get("/templates")["templates"]}
    if args.name not in known:
        raise Said(f"{args.name}: ありません。あるのは {', '.join(known)} (no such template)", INVALID)
    return propose(args, "template", {"template": args.name, "hash": known[args.name]})


def _propose_duty(args: argparse.Namespace) -> int:
    return propose(args, "duty", {"mail": args.mail})


def _propose_maintenance(args: argparse.Namespace) -> int:
    return propose(args, "maintenance", {"is_open": args.is_open, "reason": args.reason})


def _propose_token(args: argparse.Namespace) -> int:
    return propose(args, "token", {"title": args.title, "scopes": args.scope, "days": args.days})


def _tokens(args: argparse.Namespace) -> int:
    answer = client(args).get("/tokens")
    lines = [
        f"{t['id']}  {t['title']}  {t['owner'] or '機械'}  {', '.join(t['scopes'])}  {t['expires_at'][:10]} まで"
        for t in answer["tokens"]
    ]
    shown(args, answer, lines or ["ありません (none)"])
    return DONE


def _rotate(args: argparse.Namespace) -> int:
    answer = client(args).take("/token/rotate")
    shown(args, answer, [] if args.dry_run else [answer["token"]])
    if args.output == "table" and not args.dry_run:
        say.complain("一度しか表示しません。古い鍵はあと一時間使えます (shown once; the old one goes on for an hour)")
    return DONE


def _revoke_token(args: argparse.Namespace) -> int:
    answer = client(args).delete(f"/tokens/{quote(args.id)}")
    shown(args, answer, [] if args.dry_run else ["取り消しました (revoked)"])
    return DONE
