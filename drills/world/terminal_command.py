"""`todoke terminal`: one notification terminal in this window, as it would stand in a hall; and enrolling a new one.

Source: design.md §9; channels/ip_terminal/FORMAT.md.
"""

import argparse
import asyncio
import itertools
import json
import os
import secrets
import ssl
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.live import Live

from channels.ip_terminal.notice import KEY_BYTES
from channels.ip_terminal.receipt import State
from channels.ip_terminal.register import BadRegister, Registered, password_hash, read, write
from dispatcher.staff.cli import say
from drills.world.terminal import Terminal
from drills.world.terminal_screen import languages, screen

DONE, INVALID = 0, 2
ANSWER_KEYS = {"s": State.SAFE, "i": State.INJURED, "r": State.RESCUE}
LARGEST_FILE_BYTES = 65_536
EXAMPLES = """\
examples:
  todoke terminal --enrol terminals.csv --tid T0001 --name 第七中学校 --quarter 132040301 --credentials T0001.json
  todoke terminal --broker 127.0.0.1:8983 --credentials T0001.json --trust drill.key.pub
  todoke terminal --broker 127.0.0.1:8983 --credentials T0001.json --trust drill.key.pub --auto-acknowledge 3 -o json

keys: Enter or k 確認 · s 無事 · i けが · r 助けて · 1–6 replay · l language · q quit
"""


class BadInput(ValueError):  # noqa: N818 - says what was seen
    """Each thing that is wrong with what was given, a line each."""


class _Command:
    """Registers `todoke terminal`."""

    @staticmethod
    def add(commands: Any) -> None:
        parser = commands.add_parser(
            "terminal",
            help="IP 告知端末をこの画面で (an IP notification terminal in this window)",
            description=__doc__,
            epilog=EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument(
            "--credentials", type=Path, required=True, metavar="FILE", help="the terminal's id, password and key"
        )
        parser.add_argument("--broker", metavar="HOST:PORT", help="the node's listener for terminals")
        parser.add_argument(
            "--trust", metavar="PUBKEY", help="the node's public key: a .pub file, or 64 hexadecimal digits"
        )
        parser.add_argument("--mqtt", choices=("3.1.1", "5"), default="5", help="version (default %(default)s)")
        parser.add_argument("--tls-ca", type=Path, metavar="FILE", help="speak TLS, and believe this authority")
        parser.add_argument("--tls-certificate", type=Path, metavar="FILE", help="the terminal's own certificate")
        parser.add_argument("--tls-key", type=Path, metavar="FILE", help="and its key")
        parser.add_argument("--auto-acknowledge", type=float, metavar="S", help="press 確認 after so many seconds")
        parser.add_argument(
            "--lang", default="ja", help="language first shown: ja, ja-x-easy, en-US, zh, ko (default %(default)s)"
        )
        parser.add_argument(
            "-o", choices=("screen", "json"), default="screen", dest="output", help="json: a line each event"
        )
        enrol = parser.add_argument_group("enrolling a new terminal: writes its line and its credentials, then ends")
        enrol.add_argument("--enrol", type=Path, metavar="CSV", help="the node's register")
        enrol.add_argument("--tid", help="the new terminal's id")
        enrol.add_argument("--name", default="", help="what staff call its place")
        enrol.add_argument("--address", default="")
        enrol.add_argument("--quarter", help="nine digits of the quarter that its address names")
        parser.set_defaults(run=_run)


command = _Command()


def _run(args: argparse.Namespace) -> int:
    try:
        if args.enrol:
            return _enrol(args)
        terminal, name = _terminal(args)
    except (BadInput, BadRegister) as wrong:
        say.complain(f"todoke terminal: {wrong}")
        return INVALID
    except OSError as error:
        say.complain(f"todoke terminal: {error.filename}: {error.strerror}")
        return INVALID
    with suppress(KeyboardInterrupt):
        asyncio.run(_events(terminal) if args.output == "json" else _window(terminal, args.lang, name))
    return DONE


def _enrol(args: argparse.Namespace) -> int:
    if missing := [f"--{option}" for option in ("tid", "quarter") if not getattr(args, option)]:
        raise BadInput(f"{', '.join(missing)} is needed with --enrol")
    known = read(args.enrol) if args.enrol.exists() else {}
    if args.tid in known:
        raise BadInput(f"{args.enrol}: tid: {args.tid} stands there already")
    password, mac_key = secrets.token_hex(16), secrets.token_bytes(KEY_BYTES)
    new = Registered(
        args.tid, args.name, args.address, args.quarter, (), password_hash(args.tid, password.encode()), mac_key
    )
    draft = args.enrol.with_name(f"{args.enrol.name}.draft")
    try:
        write(draft, [*known.values(), new])
        read(draft)  # a line that the node would refuse never gets into the register
        told = {"tid": args.tid, "name": args.name, "password": password, "mac_key": mac_key.hex()}
        args.credentials.touch(mode=0o600, exist_ok=False)
        args.credentials.write_text(json.dumps(told, ensure_ascii=False) + "\n", encoding="utf-8")
        draft.replace(args.enrol)
    finally:
        draft.unlink(missing_ok=True)
    say.line(f"{args.enrol}: {args.tid}\n{args.credentials}")
    return DONE


def _terminal(args: argparse.Namespace) -> tuple[Terminal, str]:
    problems = [f"--{option} is needed" for option in ("broker", "trust") if not getattr(args, option)]
    host, _, port = (args.broker or "").rpartition(":")
    if args.broker and not (host and port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
        problems.append(f"--broker: {args.broker}: HOST:PORT is accepted")
    if args.auto_acknowledge is not None and not 0 <= args.auto_acknowledge < 86_400:
        problems.append("--auto-acknowledge: 0 to 86400 s are accepted")
    if bool(args.tls_certificate) != bool(args.tls_key) or (args.tls_key and not args.tls_ca):
        problems.append("--tls-certificate and --tls-key go together, with --tls-ca")
    if problems:
        raise BadInput("\n".join(problems))
    told = _object(args.credentials)
    mac_key, password = _key(told.get("mac_key")), told.get("password")
    if not (mac_key and isinstance(password, str) and isinstance(told.get("tid"), str)):
        raise BadInput(f"{args.credentials}: tid, password and mac_key (64 hexadecimal digits) are needed")
    trust, status = _trust(args.trust)
    terminal = Terminal(
        host.strip("[]"),
        int(port),
        tid=told["tid"],
        password=password,
        mac_key=mac_key,
        trust=trust,
        version=5 if args.mqtt == "5" else 4,
        tls=_tls(args),
        status=status,
        auto_acknowledge_s=args.auto_acknowledge,
    )
    return terminal, str(told.get("name") or "")


def _trust(given: str) -> tuple[bytes, str | None]:
    """The public key, and the status that it is for where it says one."""
    if key := _key(given):
        return key, None
    values = _object(Path(given))
    key = _key(values.get("public"))
    if values.get("kind") != "todoke-sender" or key is None:
        raise BadInput(f"--trust: {given}: a sender's .pub or 64 hexadecimal digits are accepted")
    return key, values.get("status")


def _key(text: Any) -> bytes | None:
    try:
        key = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        return None
    return key if len(key) == KEY_BYTES else None


def _object(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        data = file.read(LARGEST_FILE_BYTES)
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise BadInput(f"{path}: one JSON object is accepted")
    return values


def _tls(args: argparse.Namespace) -> ssl.SSLContext | None:
    if args.tls_ca is None:
        return None
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(args.tls_ca))
        if args.tls_certificate:
            context.load_cert_chain(args.tls_certificate, args.tls_key)
    except ssl.SSLError as error:
        raise BadInput(f"--tls-ca, --tls-certificate, --tls-key: {error}") from None
    return context


async def _events(terminal: Terminal) -> None:
    """A JSON line for whatever is shown, answered or refused, until Ctrl-C."""
    last: dict[str, Any] = dict.fromkeys(("shown", "answered", "refused"))
    is_connected = False

    def tell(_terminal: Terminal) -> None:
        nonlocal is_connected
        if terminal.connected.is_set() != is_connected:
            is_connected = not is_connected
            say.line(json.dumps({"what": "connected" if is_connected else "disconnected", "tid": terminal.tid}))
        for what, newest in last.items():
            for entry in _after(newest, getattr(terminal, what)):
                say.line(json.dumps({"what": what, "tid": terminal.tid, **entry}, ensure_ascii=False))
                last[what] = entry
        sys.stdout.flush()

    terminal.watch(tell)
    await terminal.run()


def _after(last: dict[str, Any] | None, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The newest of `entries`, which loses its oldest as it grows: all that came after `last`."""
    newer = list(itertools.takewhile(lambda entry: entry is not last, reversed(entries)))
    return newer[::-1]


async def _window(terminal: Terminal, language: str, name: str) -> None:
    """The screen, drawn over itself, and the keys."""
    shown = {"language": language}
    quit_pressed = asyncio.Event()

    with Live(console=say.console(), auto_refresh=False, screen=sys.stdout.isatty()) as display:

        def draw(_terminal: Terminal) -> None:
            display.update(screen(terminal, shown["language"], name), refresh=True)

        def press(key: str) -> None:
            if key in {"\r", "\n", "k", "K"}:
                terminal.acknowledge()
            elif key.lower() in ANSWER_KEYS:
                terminal.say(ANSWER_KEYS[key.lower()])
            elif key in {"l", "L"}:
                known = languages(terminal)
                at = known.index(shown["language"]) if shown["language"] in known else -1
                shown["language"] = known[(at + 1) % len(known)]
            elif key.isdecimal():
                terminal.player.replay(int(key))
            elif key in {"q", "Q", "\x03", "\x04"}:
                quit_pressed.set()
            draw(terminal)

        terminal.watch(draw)
        draw(terminal)
        with _keyboard(press):
            async with terminal:
                await quit_pressed.wait()


@contextmanager
def _keyboard(press: Callable[[str], None]) -> Iterator[None]:
    """Each key as it is pressed; where standard input is no keyboard there are none."""
    if not sys.stdin.isatty():
        yield
        return
    file, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(file)
    tty.setcbreak(file)
    loop.add_reader(file, lambda: press(os.read(file, 1).decode("ascii", "replace")))
    try:
        yield
    finally:
        loop.remove_reader(file)
        termios.tcsetattr(file, termios.TCSADRAIN, before)
