"""`todoke demo`: the demo city on this machine alone. One evacuation order for 大沢 goes the whole path to every medium there is.

A drill node, behind each of its channels a real receiver on loopback (drills/world/<kind>.py), and the staff's own door: the demo
drafts, submits and approves as two people do, and watches the board.

Source: design.md §10; issue "The two commands".
"""

import argparse
import asyncio
import secrets
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop

from dispatcher.clock import HurriedClock, SystemClock
from dispatcher.staff.accounts import Accounts
from dispatcher.staff.cli import say
from dispatcher.staff.cli.command import output, whole
from drills import safety
from drills.staff import Board, Issued, is_settled, since_ms
from drills.stage import Stage, stage
from drills.world import World

ORDER = {
    "template": "evacuation-order",
    "areas": ["大沢"],
    "cause": "野川の水位が上がり、氾濫のおそれがあります",
    "hazard": "flood",
}
GUESTS = (
    ("職員0101", ("admin", "originator"), "管理・起案"),
    ("職員0102", ("admin", "approver", "welfare"), "管理・承認・福祉"),
)
"""Who may sign in to the demo's console; the first writes, the second approves."""
CODES = 3
WRONG = "対象区域を誤って指定した。"
TIMED_OUT, PARTLY = 8, 4


class _Command:
    """Registers `todoke demo`."""

    @staticmethod
    def add(commands: Any) -> None:
        parser = commands.add_parser(
            "demo",
            help="避難指示を六つの媒体へ、この機械の中だけで (one evacuation order through every medium, on this machine alone)",
            description=__doc__,
            epilog="examples:\n  todoke demo\n  todoke demo --once -o json --keep out\n  todoke demo --once --retract\n"
            "  todoke demo --once --safety -o json --keep out",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument(
            "--once", action="store_true", help="end when all is settled, instead of staying up until Ctrl-C"
        )
        parser.add_argument("--retract", action="store_true", help="go on to retract the order")
        parser.add_argument(
            "--safety",
            action="store_true",
            help="also ask the residents whether they are safe, an hour in half a minute",
        )
        parser.add_argument(
            "--keep", type=Path, metavar="DIR", help="write what each receiver got to DIR/received/<kind>/"
        )
        parser.add_argument("--seed", type=int, default=1, help="of the simulated people")
        output(parser)
        parser.set_defaults(run=_run)


command = _Command()


def _run(args: argparse.Namespace) -> int:
    with (
        tempfile.TemporaryDirectory(prefix="todoke-demo-") as state,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_demo(args, Path(state)))


async def _demo(args: argparse.Namespace, state: Path) -> int:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    clock = HurriedClock()
    async with stage(state, args.seed, clock=clock, has_residents=args.safety) as city:
        summary, exit_code = await _play(city, retract=args.retract, is_quiet=args.output != "table")
        if city.residents is not None:
            summary["safety"] = await safety.ask(city, city.residents, clock, summary["alert"]["identifier"])
            exit_code = exit_code or (TIMED_OUT if summary["safety"]["lost"] else 0)
            if args.keep:
                await city.residents.keep(args.keep / "received" / "residents")
        if args.keep:
            for kind, world in city.worlds.items():
                folder = args.keep / "received" / kind
                await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
                await world.keep(folder)
        if args.output != "table":
            whole(args.output, summary)
        if args.once:
            return exit_code
        say.complain(f"\n住民のページ (residents)  {city.site.residents.url}/")
        say.complain(f"職員の画面   (staff)      http://{city.site.control.listen}/")
        for words in await _guests(city):
            say.complain(words)
        say.complain("Ctrl-C で終わります (Ctrl-C to end)")
        await stopped.wait()
    return exit_code


async def _guests(city: Stage) -> list[str]:
    """Two people for whoever plays headquarters: name, password, and codes that stand in for the authenticator app."""
    accounts = Accounts(city.node.ledger, SystemClock(), "drill")
    lines = []
    for name, roles, words in GUESTS:
        password = secrets.token_urlsafe(12)
        _, enrolled = await accounts.at_machine.found(name, roles, password)
        codes = "  ".join(enrolled.recovery_codes[:CODES])
        lines.append(f"  {name}（{words}）  合言葉 {password}  確認番号 {codes}  (password; a code works once)")
    return lines


async def _play(city: Stage, *, retract: bool, is_quiet: bool) -> tuple[dict[str, Any], int]:
    """Issue, watch, and retract if asked; the summary and the exit code."""
    started_s = SystemClock().monotonic()
    order = await city.staff.order(ORDER)
    board, is_done = await _watch(city, order.identifier, is_quiet=is_quiet)
    channels = {line["channel"]: _line(line, city.worlds[line["channel"]], order) for line in board["channels"]}
    if retract:
        taken_back = await city.staff.retract(order.identifier, WRONG)
        board, is_back = await _watch(city, taken_back.identifier, is_quiet=is_quiet)
        is_done = is_done and is_back
        for line in board["channels"]:
            channels[line["channel"]]["retracted_ms"] = since_ms(taken_back.pressed_at, line["last_taken_at"])
    summary = {
        "alert": {"identifier": order.identifier, "status": "Exercise", "msgType": "Alert"},
        "channels": channels,
        "elapsed_s": round(SystemClock().monotonic() - started_s, 3),
    }
    has_failed = any(channel["failed"] for channel in channels.values())
    return summary, TIMED_OUT if not is_done else PARTLY if has_failed else 0


def _line(line: Mapping[str, Any], world: World, order: Issued) -> dict[str, Any]:
    counts = {name: line[name] for name in ("destinations", "taken", "delivered", "acknowledged", "failed")}
    seen = dict(world.report())
    return {
        **counts,
        "first_byte_ms": since_ms(order.pressed_at, seen.pop("first_byte_at")),
        "last_taken_ms": since_ms(order.pressed_at, line["last_taken_at"]),
        **seen,
    }


async def _watch(city: Stage, identifier: str, *, is_quiet: bool) -> tuple[Board, bool]:
    with say.live_board(to_stderr=is_quiet) as display:
        return await city.staff.watch(identifier, is_settled, lambda board: display.update(say.board("drill", [board])))
