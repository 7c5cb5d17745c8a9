"""`todoke demo`: the demo city on this machine alone. One evacuation order for 大沢 goes the whole path to every medium there is.

A drill node, behind each of its channels a real receiver on loopback (drills/world/<kind>.py), and the staff's own door: the demo
drafts, submits and approves as two people do, and watches the board.

Source: design.md §10; issue "The two commands".
"""

import argparse
import asyncio
import importlib
import json
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop
import yaml

from config.cities import load
from config.site import Site, bind_site
from dispatcher import node
from dispatcher.clock import SystemClock
from dispatcher.staff.cli import say
from dispatcher.staff.cli.client import Client
from dispatcher.staff.sessions import new_token
from drills.world import World

CITY = "mitaka"
PLACE = "大沢"
CAUSE = "野川の水位が上がり、氾濫のおそれがあります"
SUBMITTER, APPROVER = "職員0001", "職員0002"
LOOK_EVERY_S = 0.25
SETTLED_WITHIN_S = 90.0
TIMED_OUT, PARTLY = 8, 4


class _Command:
    """Registers `todoke demo`."""

    @staticmethod
    def add(commands: Any) -> None:
        parser = commands.add_parser(
            "demo",
            help="one evacuation order through every medium, on this machine alone",
            description=__doc__,
            epilog="examples:\n  todoke demo\n  todoke demo --once -o json --keep out\n  todoke demo --once --retract",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument(
            "--once", action="store_true", help="end when all is settled, instead of staying up until Ctrl-C"
        )
        parser.add_argument("--retract", action="store_true", help="go on to retract the order")
        parser.add_argument(
            "--keep", type=Path, metavar="DIR", help="write what each receiver got to DIR/received/<kind>/"
        )
        parser.add_argument("--seed", type=int, default=1, help="of the simulated people")
        parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
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
    async with AsyncExitStack() as stack:
        worlds: dict[str, World] = {}
        for kind in node.kinds():
            (state / "world" / kind).mkdir(parents=True)
            made: World = importlib.import_module(f"drills.world.{kind}").World(
                state / "world" / kind, load(CITY), args.seed
            )
            worlds[kind] = await stack.enter_async_context(made)
        site, tokens = await asyncio.to_thread(_site, worlds, state)
        await stack.enter_async_context(node.running(site))
        exercise = _Exercise(f"http://{site.control.listen}", tokens, is_quiet=args.output == "json")
        summary, exit_code = await exercise.play(worlds, retract=args.retract)
        if args.keep:
            for kind, world in worlds.items():
                folder = args.keep / "received" / kind
                await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
                await world.keep(folder)
        if args.output == "json":
            say.line(json.dumps(summary, ensure_ascii=False))
        if args.once:
            return exit_code
        say.complain(f"\n住民のページ  {site.residents.url}/\n職員の入口    http://{site.control.listen}")
        say.complain("Ctrl-C で終わります (Ctrl-C to end)")
        await stopped.wait()
    return exit_code


def _site(worlds: Mapping[str, World], state: Path) -> tuple[Site, Mapping[str, str]]:
    """The site file of the demo, written and read as any other, and the two people's tokens."""
    tokens = {name: new_token() for name in (SUBMITTER, APPROVER)}
    channels = {kind: dict(world.settings()) for kind, world in worlds.items()}
    url = channels["website"]["url"]
    described = {
        "mode": "drill",
        "node": "demo",
        "state_dir": str(state / "node"),
        "city": CITY,
        "residents": {"listen": urlsplit(url).netloc, "url": url},
        "control": {"listen": f"127.0.0.1:{_free_port()}"},
        "staff": [
            {"name": SUBMITTER, "roles": ["originator"], "token_hash": tokens[SUBMITTER][1]},
            {"name": APPROVER, "roles": ["approver"], "token_hash": tokens[APPROVER][1]},
        ],
        "channels": channels,
    }
    text = yaml.safe_dump(described, allow_unicode=True, sort_keys=False).encode()
    settings = {kind: channel.Settings for kind, channel in node.kinds().items()}
    return bind_site(text, "demo.yaml", state, settings), {name: token for name, (token, _) in tokens.items()}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class _Exercise:
    """Two people at the staff's door."""

    def __init__(self, url: str, tokens: Mapping[str, str], *, is_quiet: bool) -> None:
        self._submitter = Client(url, tokens[SUBMITTER])
        self._approver = Client(url, tokens[APPROVER])
        self._is_quiet = is_quiet
        self._clock = SystemClock()

    async def play(self, worlds: Mapping[str, World], *, retract: bool) -> tuple[dict[str, Any], int]:
        """Issue, watch, and retract if asked; the summary and the exit code."""
        typed = {"template": "evacuation-order", "areas": [PLACE], "cause": CAUSE, "hazard": "flood"}
        draft = await self._post(self._submitter, "/drafts", {"mode": "drill", "typed": typed})
        identifier = draft["draft"]["identifier"]
        shown = await self._post(self._submitter, f"/drafts/{identifier}/submit", {"mode": "drill"})
        started = time.monotonic()
        approved_at = self._clock.now()
        await self._post(self._approver, f"/drafts/{identifier}/approve", {"mode": "drill", "hash": shown["hash"]})
        board, is_settled = await self._watch(identifier)
        channels = {line["channel"]: self._line(line, approved_at) for line in board["channels"]}
        for kind, world in worlds.items():
            channels.get(kind, {}).update(world.report())
        if retract:
            key_pressed = self._clock.now()
            body = {"mode": "drill", "typed": {"note": "対象区域を誤って指定した。"}}
            taken_back = await self._post(self._approver, f"/alerts/{identifier}/retract", body)
            board_back, is_back = await self._watch(taken_back["draft"]["identifier"])
            is_settled = is_settled and is_back
            for line in board_back["channels"]:
                channels[line["channel"]]["retracted_ms"] = _since(key_pressed, line["last_taken_at"])
        failed = any(channel["failed"] for channel in channels.values())
        summary = {
            "alert": {"identifier": identifier, "status": "Exercise", "msgType": "Alert"},
            "channels": channels,
            "elapsed_s": round(time.monotonic() - started, 3),
        }
        return summary, TIMED_OUT if not is_settled else PARTLY if failed else 0

    @staticmethod
    def _line(line: Mapping[str, Any], approved_at: datetime) -> dict[str, Any]:
        counts = {name: line[name] for name in ("destinations", "taken", "delivered", "acknowledged", "failed")}
        return {**counts, "first_byte_ms": None, "last_taken_ms": _since(approved_at, line["last_taken_at"])}

    async def _watch(self, identifier: str) -> tuple[Mapping[str, Any], bool]:
        """The board until everything is settled, or until it has taken too long."""
        until = self._clock.monotonic() + SETTLED_WITHIN_S
        with say.live_board(to_stderr=self._is_quiet) as display:
            while True:
                board = await asyncio.to_thread(self._approver.get, f"/alerts/{identifier}")
                display.update(say.board("drill", [board]))
                is_settled = bool(board["channels"]) and all(map(_is_settled, board["channels"]))
                if is_settled or self._clock.monotonic() > until:
                    return board, is_settled
                await self._clock.sleep(LOOK_EVERY_S)

    @staticmethod
    async def _post(client: Client, path: str, body: Mapping[str, Any]) -> Any:
        ask: Callable[..., Any] = client.post
        return await asyncio.to_thread(ask, path, body)


def _is_settled(line: Mapping[str, Any]) -> bool:
    if line["taken"] + line["failed"] < line["destinations"]:
        return False
    return bool(line["channel"] != "ip_terminal" or line["acknowledged"] >= line["destinations"])


def _since(moment: datetime, text: str | None) -> int | None:
    return None if text is None else round((datetime.fromisoformat(text) - moment).total_seconds() * 1000)
