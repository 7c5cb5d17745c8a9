"""Commands for a message: written, looked at, submitted, judged, sent, and the four verbs that follow it.

Whatever goes out says `--live` or `--drill`. `--dry-run` asks the node to do it over a ledger that forgets: same rules, same words.

Source: design.md §3, §9.
"""

import argparse
import base64
import getpass
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dispatcher.staff.cli import say
from dispatcher.staff.cli.client import Client, Said
from dispatcher.staff.cli.command import DONE, INVALID, WAITING, client, command, findings, shown

TYPED = ("cause", "hazard", "note", "expires", "next_update", "template")
_FOLLOWING = {
    "update": "更新: 状況が変わった。承認を待つ (the situation changed; waits for an approval)",
    "correct": "訂正: 文が誤っていた。一人で、すぐ出る (the text was wrong, the order stands; one person, at once)",
    "lift": "解除: 終わった。承認を待つ (the event is over; waits for an approval)",
    "retract": "取消: 誤りだった。一人で、先に並ぶものを追い越す (it was wrong; one person, ahead of all that is queued)",
}
_WAITS = "二人目の承認を待っています (waiting for approval)"


def add(commands: Any) -> None:
    """Register the commands for messages."""
    draft = command(
        commands,
        "draft",
        _draft,
        "ひな形から起案する。何も出ない (write a message from a reviewed template; nothing goes out)",
        "todoke draft --drill --template evacuation-order --area 大沢 --cause '野川の水位が上がり、氾濫のおそれがあります'",
        mode=True,
        dry_run=True,
    )
    _typed(draft)
    edit = command(
        commands,
        "edit",
        _edit,
        "下書きを直す。提出は取り消される (other words for a draft; a submission is void)",
        "todoke edit --drill 13204-… --area 大沢 --area 井の頭",
        mode=True,
        dry_run=True,
    )
    edit.add_argument("id")
    edit.add_argument("--version", type=int, metavar="N", help="この版のときだけ (only if it is still this version)")
    _typed(edit)
    preview = command(
        commands,
        "preview",
        _preview,
        "各媒体の見え方、届く相手、承認する hash (what each medium carries, who gets it, the hash to approve)",
        "todoke preview 13204-… --save previews/",
    )
    preview.add_argument("id")
    preview.add_argument(
        "--save", type=Path, metavar="DIR", help="画面・ページ・メールをここにも書く (also write every part there)"
    )
    submit = command(
        commands,
        "submit",
        _submit,
        "二人目に承認を求める (ask a second person to approve)",
        "todoke submit --drill 13204-…",
        mode=True,
        dry_run=True,
    )
    submit.add_argument("id")
    approve = command(
        commands,
        "approve",
        _approve,
        "提出されたとおりに送る (send it: exactly what was submitted)",
        "todoke approve --drill 13204-… --hash 3f9a…",
        mode=True,
        dry_run=True,
    )
    approve.add_argument("id")
    approve.add_argument("--hash", required=True, help="preview が示した hash (the hash that preview showed)")
    _judging(commands)
    _alone(commands)
    for name, about in _FOLLOWING.items():
        follow = command(
            commands, name, _follow, about, f"todoke {name} --drill 13204-… --note 区域の誤り", mode=True, dry_run=True
        )
        follow.add_argument("id", help="どの発表に続くか (the alert that it follows)")
        _typed(follow)


def _judging(commands: Any) -> None:
    for name, about in (
        ("return", "差し戻す (return it to who wrote it)"),
        ("reject", "却下する。もう出せない (reject it for good)"),
    ):
        judge = command(
            commands, name, _judge, about, f"todoke {name} --drill 13204-… --reason 原因を書く", mode=True, dry_run=True
        )
        judge.add_argument("id")
        judge.add_argument("--reason", required=True, metavar="TEXT", help="理由 (why)")


def _alone(commands: Any) -> None:
    send = command(
        commands,
        "send",
        _send,
        "訂正・取消の下書きを一人で送る (send the draft of a correction or a retraction; one person)",
        "todoke send --drill 13204-… --hash 3f9a…",
        mode=True,
        dry_run=True,
    )
    send.add_argument("id")
    send.add_argument("--version", type=int, metavar="N", help="この版のときだけ (only if it is still this version)")
    glass = command(
        commands,
        "break-glass",
        _break_glass,
        "一人で緊急に送る。あとで別の人が事後承認する (one person alone, in an emergency; confirmed afterwards)",
        "todoke break-glass --live 13204-…",
        mode=True,
        dry_run=True,
    )
    glass.add_argument("id")
    glass.add_argument(
        "--code", metavar="CODE", help="いまの確認番号。なければたずねる (a fresh code; asked for if left out)"
    )
    confirm = command(
        commands,
        "confirm",
        _confirm,
        "一人で送られたものを事後承認する (confirm what one person sent alone)",
        "todoke confirm --live 13204-…",
        mode=True,
        dry_run=True,
    )
    confirm.add_argument("id")


def _typed(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--template", metavar="NAME", help="審査済みのひな形 (a reviewed template; `todoke templates` lists them)")
    add(
        "--area",
        action="append",
        default=[],
        metavar="NAME",
        help="町丁目・まとまり・市の全域 (a quarter 大沢一丁目, a group 大沢, or the city); 繰り返せる (repeatable)",
    )
    add("--cause", metavar="TEXT", help="何が起きているか (what is happening, in Japanese)")
    add("--hazard", metavar="KIND", help="flood, landslide, storm-surge, tsunami, earthquake")
    add("--note", metavar="TEXT", help="訂正・取消: 何が誤りだったか (what was wrong)")
    add("--expires", metavar="TIME", help="いつまで (RFC 3339, or hours from now as `12 h`)")
    add("--next-update", metavar="TIME", help="次の発表 (when people will hear again: RFC 3339, or `30 min`)")
    add(
        "--words",
        metavar="FILE",
        type=Path,
        help="自分の言葉 JSON {言語: {項目: 文}} (placeholders or whole fields in your own words)",
    )


def _said(args: argparse.Namespace) -> dict[str, Any]:
    """What was typed, without what was left out."""
    typed: dict[str, Any] = {name: getattr(args, name) for name in TYPED if getattr(args, name) is not None}
    if args.area:
        typed["areas"] = args.area
    if args.words:
        try:
            typed["words"] = json.loads(args.words.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise Said(f"{args.words}: {error}", INVALID) from None
    return typed


def previewed(answer: Mapping[str, Any]) -> list[str]:
    """A preview in lines: what each medium carries, and who gets it."""
    lines = [f"hash {answer['hash']}"]
    if "draft" in answer:
        lines.append(f"{answer['draft']['version']} 版 (version)")
    for kind, audience in answer["audiences"].items():
        lines += ["", f"■ {say.NAMES.get(kind, kind)}  {audience['words']}"]
        lines += [
            f"  [{text['language']}] " + text["words"].replace("\n", "\n      ")
            for text in answer["renderings"][kind]["texts"]
        ]
    return lines


def _seen(args: argparse.Namespace, at: Client, identifier: str) -> list[str]:
    """A rehearsal of what goes out shows what would go out."""
    return previewed(at.get(f"/drafts/{identifier}")) if args.dry_run and args.output == "table" else []


def _draft(args: argparse.Namespace) -> int:
    at, typed = client(args), _said(args)
    answer = at.post("/drafts", {"typed": typed, "mode": args.mode})
    identifier = answer["draft"]["identifier"]
    if args.dry_run:
        answer["preview"] = at.ask("/previews", {"typed": typed})
        shown(args, answer, [*previewed(answer["preview"]), *findings(answer)])
        return DONE
    shown(args, answer, [identifier, *findings(answer), f"次 (next): todoke submit --{args.mode} {identifier}"])
    return DONE


def _edit(args: argparse.Namespace) -> int:
    at = client(args)
    draft = at.get(f"/drafts/{args.id}")["draft"]
    typed = {**draft["typed"], **_said(args)}
    version = draft["version"] if args.version is None else args.version
    answer = at.put(f"/drafts/{args.id}", {"mode": args.mode, "version": version, "typed": typed})
    changed = [name for name in typed if typed[name] != draft["typed"].get(name)]
    lines = [f"  {name}: {_plain(draft['typed'].get(name))} → {_plain(typed[name])}" for name in changed]
    shown(args, answer, [f"{args.id}  {answer['draft']['version']} 版", *lines, *findings(answer)])
    return DONE


def _plain(value: Any) -> str:
    if value is None:
        return "（なし）"
    return "、".join(map(str, value)) if isinstance(value, list) else str(value)


def _preview(args: argparse.Namespace) -> int:
    answer = client(args).get(f"/drafts/{args.id}")
    if args.save:
        for kind, rendering in answer["renderings"].items():
            for part in rendering["parts"]:
                file = args.save / kind / Path(part["name"]).name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(base64.b64decode(part["data"]))
    shown(args, answer, [*previewed(answer), *findings(answer)])
    return DONE


def _submit(args: argparse.Namespace) -> int:
    at = client(args)
    answer = at.post(f"/drafts/{args.id}/submit", {"mode": args.mode})
    waits = [] if args.dry_run else [_WAITS]
    shown(args, answer, [*_seen(args, at, args.id), f"hash {answer['hash']}", *findings(answer), *waits])
    return WAITING


def _approve(args: argparse.Namespace) -> int:
    at = client(args)
    answer = at.post(f"/drafts/{args.id}/approve", {"mode": args.mode, "hash": args.hash})
    return _sending(args, at, answer)


def _send(args: argparse.Namespace) -> int:
    at = client(args)
    return _sending(args, at, at.post(f"/drafts/{args.id}/send", {"mode": args.mode, "version": args.version}))


def _break_glass(args: argparse.Namespace) -> int:
    at = client(args)
    code = args.code or getpass.getpass("確認番号 (code): ")
    return _sending(args, at, at.post(f"/drafts/{args.id}/break-glass", {"mode": args.mode, "factor": code}))


def _sending(args: argparse.Namespace, at: Client, answer: Mapping[str, Any]) -> int:
    identifier = answer["alert"]["identifier"]
    said = [] if args.dry_run else [f"{identifier} を送信しています (sending)"]
    shown(args, answer, [*_seen(args, at, args.id), *said])
    return DONE


def _judge(args: argparse.Namespace) -> int:
    answer = client(args).post(f"/drafts/{args.id}/{args.verb}", {"mode": args.mode, "reason": args.reason})
    shown(args, answer, [f"{args.id} は {answer['draft']['state']} になります (becomes)"])
    return DONE


def _confirm(args: argparse.Namespace) -> int:
    answer = client(args).post(f"/alerts/{args.id}/confirm", {"mode": args.mode})
    shown(args, answer, [] if args.dry_run else [f"{args.id} を事後承認しました (confirmed)"])
    return DONE


def _follow(args: argparse.Namespace) -> int:
    at, typed = client(args), _said(args)
    answer = at.post(f"/alerts/{args.id}/{args.verb}", {"mode": args.mode, "typed": typed})
    identifier = answer["draft"]["identifier"]
    seen: list[str] = []
    if args.dry_run:
        answer["preview"] = at.ask("/previews", {"typed": {**typed, "verb": args.verb, "of": args.id}})
        seen = previewed(answer["preview"])
    if answer["alert"]:
        shown(args, answer, seen or [f"{identifier} を送信しています (sending)"])
        return DONE
    shown(args, answer, seen or [identifier, f"hash {answer['hash']}", _WAITS])
    return WAITING
