"""A command for each thing that staff may ask; the table COMMANDS is what `todoke --help` prints.

Whatever changes what goes out must say `--live` or `--drill`; looking and checking need not.

Source: design.md §9 "The command line".
"""

import argparse
import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dispatcher.staff.cli import say
from dispatcher.staff.cli.client import Client, Said

DONE, WAITING, PARTLY, TIMED_OUT = 0, 3, 4, 8
WATCH_EVERY_S = 0.5

Run = Callable[[argparse.Namespace], int]


def add(commands: Any) -> None:
    """Register every staff command."""
    draft = _verb(
        commands,
        "draft",
        _draft,
        "write a message from a reviewed template; nothing goes out",
        mode=True,
        example=_DRAFT,
    )
    draft.add_argument(
        "--template", required=True, metavar="NAME", help="a reviewed template: evacuation-order, elderly-evacuation, …"
    )
    _typed(draft)
    preview = _verb(
        commands, "preview", _preview, "show what each medium would carry, who would get it, and the hash to approve"
    )
    preview.add_argument("id")
    preview.add_argument("--save", type=Path, metavar="DIR", help="also write every part (frames, pages, mails) there")
    submit = _verb(commands, "submit", _submit, "ask a second person to approve a draft", mode=True)
    submit.add_argument("id")
    approve = _verb(commands, "approve", _approve, "send it: exactly what was submitted", mode=True, example=_APPROVE)
    approve.add_argument("id")
    approve.add_argument("--hash", required=True, help="the hash that preview showed")
    for name, about in _FOLLOWING.items():
        follow = _verb(commands, name, _follow, about, mode=True)
        follow.add_argument("id", help="the alert that it follows")
        follow.add_argument("--template", metavar="NAME", help="default: the reviewed one for this verb")
        _typed(follow)
    watch = _verb(commands, "watch", _watch, "the board of an alert, live, until every destination is settled")
    watch.add_argument("id")
    watch.add_argument(
        "--timeout", type=float, default=0, metavar="S", help="give up after S seconds with exit code 8 (0: never)"
    )
    _verb(commands, "status", _status, "what waits, and what is out there")
    channels = commands.add_parser("channels", help="the media").add_subparsers(
        dest="what", required=True, metavar="test"
    )
    test = _verb(channels, "test", _test, "a link test of each channel; nothing is sent to residents")
    test.add_argument("kind", nargs="*")
    audit = commands.add_parser("audit", help="the ledger").add_subparsers(dest="what", required=True, metavar="verify")
    _verb(audit, "verify", _verify, "recompute the hash chain; names every altered record")


_DRAFT = (
    "todoke draft --drill --template evacuation-order --area 大沢 --cause '野川の水位が上がり、氾濫のおそれがあります'"
)
_APPROVE = "todoke approve --drill 13204-… --hash 3f9a…"
_FOLLOWING = {
    "update": "更新: the situation changed (waits for an approval)",
    "correct": "訂正: the text was wrong, the order stands (one person, at once)",
    "lift": "解除: the event is over (waits for an approval)",
    "retract": "取消: it was wrong (one person, at once, ahead of everything queued)",
}


def _verb(
    commands: Any, name: str, run: Run, about: str, *, mode: bool = False, example: str = ""
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=about,
        epilog=f"example:\n  {example}" if example else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_answering(run), verb=name)
    parser.add_argument(
        "--node", metavar="URL", help="the node's staff door (TODOKE_NODE; default http://127.0.0.1:8181)"
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="your own token (TODOKE_TOKEN_FILE or TODOKE_TOKEN)"
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    if mode:
        either = parser.add_mutually_exclusive_group(required=True)
        either.add_argument("--live", dest="mode", action="store_const", const="live", help="本番")
        either.add_argument("--drill", dest="mode", action="store_const", const="drill", help="訓練")
    return parser


def _typed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--area", action="append", default=[], metavar="NAME", help="a quarter (大沢一丁目), a group (大沢) or the city"
    )
    parser.add_argument("--cause", metavar="TEXT", help="what is happening, in Japanese")
    parser.add_argument("--hazard", metavar="KIND", help="flood, landslide, storm-surge, tsunami, earthquake")
    parser.add_argument("--note", metavar="TEXT", help="訂正, 取消: what was wrong")
    parser.add_argument("--expires", metavar="TIME", help="RFC 3339, or hours from now as `12 h`")
    parser.add_argument("--next-update", metavar="TIME", help="when people will hear again: RFC 3339, or `30 min`")
    parser.add_argument(
        "--words",
        metavar="FILE",
        type=Path,
        help="JSON {language: {field: text}}: placeholders or whole fields in your own words",
    )


def _answering(run: Run) -> Run:
    """What the node refuses becomes its exit code, on standard error or as JSON."""

    def answer(args: argparse.Namespace) -> int:
        try:
            return run(args)
        except Said as said:
            if args.output == "json":
                say.line(json.dumps(said.body, ensure_ascii=False))
            else:
                say.complain(str(said))
            return said.exit_code

    return answer


def _client(args: argparse.Namespace) -> Client:
    return Client.of(args.node, args.token_file)


def _asked(args: argparse.Namespace) -> dict[str, Any]:
    typed: dict[str, Any] = {"areas": args.area, "cause": args.cause, "hazard": args.hazard, "note": args.note}
    typed |= {"expires": args.expires, "next_update": args.next_update, "template": args.template}
    if args.words:
        try:
            typed["words"] = json.loads(args.words.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise Said(f"{args.words}: {error}", 2) from None
    return {"typed": {name: value for name, value in typed.items() if value is not None}, "mode": args.mode}


def _shown(args: argparse.Namespace, answer: Mapping[str, Any], lines: Sequence[str]) -> None:
    if args.output == "json":
        say.line(json.dumps(answer, ensure_ascii=False))
    else:
        for text in lines:
            say.line(text)


def _findings(answer: Mapping[str, Any]) -> list[str]:
    return [f"  {'直す' if f['blocks'] else '確かめる'}  {f['where']}: {f['reason']}" for f in answer["findings"]]


def _draft(args: argparse.Namespace) -> int:
    answer = _client(args).post("/drafts", _asked(args))
    identifier = answer["draft"]["identifier"]
    _shown(args, answer, [identifier, *_findings(answer), f"次: todoke submit --{args.mode} {identifier}"])
    return DONE


def _preview(args: argparse.Namespace) -> int:
    answer = _client(args).get(f"/drafts/{args.id}")
    if args.save:
        for kind, rendering in answer["renderings"].items():
            for part in rendering["parts"]:
                file = args.save / kind / Path(part["name"]).name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(base64.b64decode(part["data"]))
    lines = [f"hash {answer['hash']}"]
    for kind, audience in answer["audiences"].items():
        lines += ["", f"■ {say.NAMES.get(kind, kind)}  {audience['words']}"]
        lines += [
            f"  [{text['language']}] " + text["words"].replace("\n", "\n      ")
            for text in answer["renderings"][kind]["texts"]
        ]
    _shown(args, answer, lines + _findings(answer))
    return DONE


def _submit(args: argparse.Namespace) -> int:
    answer = _client(args).post(f"/drafts/{args.id}/submit", {"mode": args.mode})
    _shown(
        args,
        answer,
        [f"hash {answer['hash']}", *_findings(answer), "二人目の承認を待っています (waiting for approval)"],
    )
    return WAITING


def _approve(args: argparse.Namespace) -> int:
    answer = _client(args).post(f"/drafts/{args.id}/approve", {"mode": args.mode, "hash": args.hash})
    _shown(args, answer, [f"{answer['alert']['identifier']} を送信しています (sending)"])
    return DONE


def _follow(args: argparse.Namespace) -> int:
    answer = _client(args).post(f"/alerts/{args.id}/{args.verb}", _asked(args))
    identifier = answer["draft"]["identifier"]
    if answer["alert"]:
        _shown(args, answer, [f"{identifier} を送信しています (sending)"])
        return DONE
    _shown(args, answer, [identifier, f"hash {answer['hash']}", "二人目の承認を待っています (waiting for approval)"])
    return WAITING


def _watch(args: argparse.Namespace) -> int:
    client, started = _client(args), time.monotonic()
    with say.live_board(to_stderr=args.output == "json") as display:
        while True:
            board = client.get(f"/alerts/{args.id}")
            display.update(say.board("drill" if _is_drill(board) else "live", [board]))
            lines = board["channels"]
            if all(c["taken"] + c["failed"] + c["superseded"] >= c["destinations"] for c in lines) and lines:
                break
            if args.timeout and time.monotonic() - started > args.timeout:
                return TIMED_OUT
            time.sleep(WATCH_EVERY_S)  # noqa: TID251 - a program of its own, that only looks
    if args.output == "json":
        say.line(json.dumps(board, ensure_ascii=False))
    return PARTLY if any(c["failed"] for c in board["channels"]) else DONE


def _is_drill(board: Mapping[str, Any]) -> bool:
    return bool(board["mode"] == "drill")


def _status(args: argparse.Namespace) -> int:
    answer = _client(args).get("/status")
    if args.output == "json":
        say.line(json.dumps(answer, ensure_ascii=False))
        return DONE
    for draft in answer["drafts"]:
        say.line(f"{draft['identifier']}  {draft['verb']}  {draft['state']}  {draft['author']}")
    say.console().print(say.board(answer["mode"], answer["alerts"]))
    return DONE


def _test(args: argparse.Namespace) -> int:
    answer = _client(args).post("/channels/test", {"kinds": args.kind})
    lines = [
        f"{'●' if p['is_up'] else '✕'} {say.NAMES.get(kind, kind)}  {p['words']}"
        for kind, p in answer["channels"].items()
    ]
    _shown(args, answer, lines)
    return DONE if all(p["is_up"] for p in answer["channels"].values()) else PARTLY


def _verify(args: argparse.Namespace) -> int:
    answer = _client(args).get("/audit")
    _shown(args, answer, answer["wrong"] or ["台帳に改変はありません (not a byte was altered)"])
    return 1 if answer["wrong"] else DONE
