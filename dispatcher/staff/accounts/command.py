"""`todoke user`: who may sit at the desk.

With `--site FILE`, at the machine and with the node stopped: the first two people, and a way back for who lost everything. Without
it, through the running node and with one's own token: everything is a proposal that a second admin approves.

A password is read from the terminal or from a file, never from an argument, where every process of the machine could see it.

Source: design.md §9 "The command line".
"""

import argparse
import asyncio
import getpass
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from config.site import Site
from dispatcher.clock import SystemClock
from dispatcher.errors import Finding, InvalidInput, Standby
from dispatcher.ledger import Ledger
from dispatcher.ledgers import open_ledger
from dispatcher.ledgers.rehearsal import Rehearsal
from dispatcher.model.mode import MODES
from dispatcher.staff.accounts import qr
from dispatcher.staff.accounts.accounts import Accounts
from dispatcher.staff.accounts.own import Enrolled, Enrolling
from dispatcher.staff.accounts.roles import PEOPLES
from dispatcher.staff.cli import say
from dispatcher.staff.cli.command import DONE, WAITING, Run, client, command, shown

MAX_PASSWORD_BYTES = 4096
TRIES = 3
PROPOSED = {
    "remove": "人を外すことを提案する (propose to remove a person)",
    "disable": "サインインの停止を提案する (propose to stop a person from signing in)",
    "enable": "停止の解除を提案する (propose to let a person sign in again)",
    "reset": "認証のやり直しを提案する。承認で登録コードが出る (propose to take away a person's factors)",
}
"""Acts on one name (dispatcher/staff/accounts/acts.py)."""

Load = Callable[[Path], Site]
T = TypeVar("T")


def add(commands: Any, load: Load) -> None:
    """Register `todoke user`; `load` reads a site file with every channel's settings."""
    user = commands.add_parser("user", help="職員の登録 (the people who may sit at the desk)").add_subparsers(
        dest="what", required=True, metavar="list|add|…"
    )
    _command(
        user,
        "list",
        partial(_list, load),
        "登録された人と役割・認証の状態 (everybody, with roles and second factors)",
        "todoke user list",
        site=True,
    )

    new = _command(
        user,
        "add",
        partial(_add, load),
        "--site あり: 新しい節点の最初の二人。なし: 動いている節点に提案 (with --site: one of the first two; without: a proposal)",
        "todoke user add 職員0001 --role admin --role approver --site live.yaml",
        site=True,
        changes=True,
    )
    new.add_argument("name")
    new.add_argument("--role", action="append", required=True, metavar="ROLE", help=", ".join(PEOPLES))
    _password_file(new)

    about = "認証アプリを登録し直す。節点を止めて (another authenticator app; the node must be stopped)"
    totp = _command(
        user, "totp", partial(_totp, load), about, "todoke user totp 職員0001 --site live.yaml", site=True, changes=True
    )
    about = "パスワードを決め直す。節点を止めて (another password; the node must be stopped)"
    word = _command(
        user,
        "password",
        partial(_password, load),
        about,
        "todoke user password 職員0001 --site live.yaml",
        site=True,
        changes=True,
    )
    for parser in (totp, word):
        parser.add_argument("name")
    _password_file(word)

    for act, about in PROPOSED.items():
        parser = _command(user, act, partial(_propose, act), about, f"todoke user {act} 職員0003", changes=True)
        parser.add_argument("name")
    roles = _command(
        user,
        "roles",
        partial(_propose, "roles"),
        "役割の変更を提案する (propose other roles)",
        "todoke user roles 職員0003 --role viewer",
        changes=True,
    )
    roles.add_argument("name")
    roles.add_argument("--role", action="append", required=True, metavar="ROLE", help=", ".join(PEOPLES))

    _command(
        user,
        "proposals",
        _proposals,
        "二人目の管理者を待つ提案 (what waits for a second admin)",
        "todoke user proposals",
    )
    approve = _command(
        user,
        "approve",
        _approve,
        "ほかの管理者の提案を承認する。渡すものは一度だけ表示 (say yes to another admin's proposal)",
        "todoke user approve p-20260914T024100-1f3a2b",
        changes=True,
    )
    reject = _command(
        user,
        "reject",
        _reject,
        "提案を却下する (say no to a proposal)",
        "todoke user reject p-… --reason 重複のため",
        changes=True,
    )
    for parser in (approve, reject):
        parser.add_argument("id")
    reject.add_argument("--reason", required=True, metavar="TEXT")


def _command(
    commands: Any, name: str, run: Run, about: str, example: str, *, site: bool = False, changes: bool = False
) -> argparse.ArgumentParser:
    parser = command(commands, name, run, about, example, dry_run=changes)
    parser.set_defaults(site=None)
    if site:
        parser.add_argument(
            "--site",
            type=Path,
            metavar="FILE",
            help="この機械で、止めた節点に対して (at the machine, with the node of this file stopped)",
        )
    return parser


def _password_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="一行目。なければ端末でたずねる (its first line; default: ask at the terminal)",
    )


# -- at the machine ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _stopped(site: Site) -> AsyncIterator[Ledger]:
    """The ledger of a node that does not run."""
    site.state_dir.mkdir(parents=True, exist_ok=True)
    try:
        async with open_ledger(site.dsn, mode=MODES[site.mode], node=site.node, clock=SystemClock()) as ledger:
            yield ledger
    except Standby as error:
        raise Standby(
            f"{error}\n動いている節点には --site を付けずに頼んでください (the node is running: leave --site out)"
        ) from None


def _at(load: Load, args: argparse.Namespace, ask: Callable[[Accounts], Awaitable[T]]) -> T:
    """What the accounts of that node answer; `--dry-run` asks those over a ledger that forgets."""
    site = load(args.site)

    async def asking() -> T:
        async with _stopped(site) as ledger:
            kept = Rehearsal(ledger) if getattr(args, "dry_run", False) else ledger
            return await ask(Accounts(kept, SystemClock(), site.mode, key=site.accounts_key))

    return asyncio.run(asking())


def _add(load: Load, args: argparse.Namespace) -> int:
    if args.site is None:
        return _propose("add", args)
    password = _read_password(args)
    _set_up(args, *_at(load, args, lambda accounts: accounts.at_machine.found(args.name, args.role, password)))
    return DONE


def _totp(load: Load, args: argparse.Namespace) -> int:
    _require_site(args)
    _set_up(args, *_at(load, args, lambda accounts: accounts.at_machine.new_app(args.name)))
    return DONE


def _password(load: Load, args: argparse.Namespace) -> int:
    _require_site(args)
    password = _read_password(args)
    _at(load, args, lambda accounts: accounts.at_machine.new_password(args.name, password))
    said = "替えられます" if args.dry_run else "替えました"
    shown(args, {"name": args.name}, [f"{args.name} のパスワードを{said} (password replaced)"])
    return DONE


def _require_site(args: argparse.Namespace) -> None:
    if args.site is None:
        reason = (
            "節点を止めて --site FILE を付けてください。動いている間は本人がコンソールで替えるか、管理者が "
            "todoke user reset を提案します (stop the node and name its site file; while it runs, the console or reset)"
        )
        raise InvalidInput([Finding("--site", reason)])


def _read_password(args: argparse.Namespace) -> str:
    """From the file, or typed twice.

    Raises:
        InvalidInput: there is neither, or the two differ.
    """
    path: Path | None = args.password_file
    if path is not None:
        try:
            with path.open("rb") as file:
                return file.read(MAX_PASSWORD_BYTES).decode("utf-8").partition("\n")[0].removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput([Finding("--password-file", str(getattr(error, "strerror", None) or error))]) from None
    if not sys.stdin.isatty():
        reason = "端末がありません。--password-file で渡してください (no terminal: use --password-file)"
        raise InvalidInput([Finding("password", reason)])
    for _ in range(TRIES):
        password = getpass.getpass(f"{args.name} のパスワード (password): ")
        if getpass.getpass("もう一度 (again): ") == password:
            return password
        say.complain("二度の入力が違います (the two differ)")
    raise InvalidInput([Finding("password", "二度の入力が違います (the two differ)")])


def _set_up(args: argparse.Namespace, enrolling: Enrolling, enrolled: Enrolled) -> None:
    """The app's secret and the recovery codes: on the screen this once."""
    if args.dry_run:
        shown(
            args,
            {"name": enrolling.name},
            [f"{enrolling.name} を登録できます。何も書いていません (dry run: nothing was written)"],
        )
        return
    answer = {"name": enrolling.name, "otpauth": enrolling.uri, "recovery_codes": list(enrolled.recovery_codes)}
    lines = [
        f"{enrolling.name} を登録しました。次を認証アプリで読み取ってください (scan this with an authenticator app)",
        "",
        qr.in_terminal(enrolling.uri),
        enrolling.uri,
        "",
        "回復コード。一度しか表示しません。紙に写し、鍵のかかる所へ (recovery codes, shown once: keep them on paper)",
        *(f"  {code}" for code in enrolled.recovery_codes),
    ]
    shown(args, answer, lines)


def _list(load: Load, args: argparse.Namespace) -> int:
    if args.site is not None:
        people = [asdict(person) for person in _at(load, args, lambda accounts: accounts.people())]
    else:
        people = client(args).get("/people")["people"]
    lines = [
        f"{each['name']}  {', '.join(each['roles'])}  {each['state']}  "
        f"{'アプリ ' if each['has_app'] else ''}{'パスキー' + str(each['passkeys']) if each['passkeys'] else ''}".rstrip()
        for each in people
    ]
    shown(args, {"people": people}, lines or ["まだ誰もいません。todoke user add … --site FILE (nobody yet)"])
    return DONE


# -- through the running node ---------------------------------------------------------------------------------------------


def _propose(act: str, args: argparse.Namespace) -> int:
    what = {"name": args.name} | ({"roles": args.role} if "role" in args else {})
    answer = client(args).post("/proposals", {"act": act, "what": what})
    identifier = answer["proposal"]["id"]
    line = "二人目の管理者の承認を待っています (waits for a second admin)"
    shown(args, answer, [] if args.dry_run else [line, f"次 (next): todoke user approve {identifier}"])
    return WAITING


def _proposals(args: argparse.Namespace) -> int:
    answer = client(args).get("/proposals")
    lines = [f"{p['id']}  {p['state']}  {p['by']}  {p['words']}" for p in answer["proposals"]]
    shown(args, answer, lines or ["提案はありません (none)"])
    return DONE


def _approve(args: argparse.Namespace) -> int:
    answer = client(args).take(f"/proposals/{args.id}/approve")
    lines = [] if args.dry_run else [f"{args.id} を行いました (done)"]
    if answer["handed_over"] and not args.dry_run:
        lines += ["本人に渡してください。一度しか表示しません (hand this over; shown once):", answer["handed_over"]]
    shown(args, answer, lines)
    return DONE


def _reject(args: argparse.Namespace) -> int:
    answer = client(args).post(f"/proposals/{args.id}/reject", {"reason": args.reason})
    shown(args, answer, [] if args.dry_run else [f"{args.id} を却下しました (rejected)"])
    return DONE
