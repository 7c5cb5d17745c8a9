"""Commands for what staff keep beside the messages: areas, reach, what is done by hand, field reports.

Source: design.md §9; issue "区域", "経過", "For systems without a link".
"""

import argparse
import base64
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dispatcher.staff.cli import say
from dispatcher.staff.cli.client import Said
from dispatcher.staff.cli.command import DONE, INVALID, client, command, shown


def add(commands: Any) -> None:
    """Register the commands for what staff keep."""
    areas = commands.add_parser("areas", help="保存した区域 (saved areas)").add_subparsers(
        dest="what", required=True, metavar="list|save|remove"
    )
    command(areas, "list", _areas, "保存した区域の一覧 (the saved areas)", "todoke areas list")
    save = command(
        areas,
        "save",
        _save_area,
        "町丁目を名前で保存する (keep quarters under a name)",
        "todoke areas save 野川沿い --area 大沢一丁目 --area 大沢二丁目",
        dry_run=True,
    )
    remove = command(
        areas, "remove", _remove_area, "保存した区域を消す (forget one)", "todoke areas remove 野川沿い", dry_run=True
    )
    for parser in (save, remove):
        parser.add_argument("name")
    reach = command(
        commands,
        "reach",
        _reach,
        "対象見込み: 媒体ごとに誰に届くか (whom each medium would reach there)",
        "todoke reach --area 大沢",
    )
    for parser in (save, reach):
        parser.add_argument(
            "--area", action="append", required=True, metavar="NAME", help="町丁目・まとまり・市 (repeatable)"
        )
    by_hand = command(
        commands,
        "by-hand",
        _by_hand,
        "防災行政無線の原稿と、Lアラート・緊急速報メールの転記欄 (what is read and pasted by hand)",
        "todoke by-hand 13204-…",
    )
    by_hand.add_argument("id")
    tick = command(
        commands,
        "tick",
        _tick,
        "手で行ったことを記す (say that it was done by hand)",
        "todoke tick 13204-… loudspeaker --who 職員0002 --at 2:44",
        dry_run=True,
    )
    tick.add_argument("id")
    tick.add_argument("system", help="by-hand が示す名前 (as by-hand names it)")
    tick.add_argument("--who", default="", metavar="NAME", help="行った人。なければ自分 (who did it)")
    tick.add_argument("--at", default="", metavar="HH:MM", help="行った時刻。なければ今 (when)")
    tick.add_argument("--undo", action="store_true", help="行っていなかった (it was not done after all)")
    report = command(
        commands,
        "report",
        _report,
        "見聞きしたことを記す (write a field report)",
        "todoke report --place 大沢一丁目 --text '橋の下まで水' --source 消防団 --photo bridge.jpg",
        dry_run=True,
    )
    report.add_argument("--text", required=True, help="見聞きしたこと (what)")
    report.add_argument("--place", required=True, help="場所 (where)")
    report.add_argument("--source", default="", help="だれから (from whom)")
    report.add_argument("--at", default="", metavar="HH:MM", help="いつ。なければ今 (when it was seen)")
    report.add_argument("--photo", type=Path, metavar="FILE", help="写真 10 MB まで (a picture)")
    command(commands, "reports", _reports, "現場の報告 (field reports, newest first)", "todoke reports")


def _areas(args: argparse.Namespace) -> int:
    answer = client(args).get("/areas")
    lines = [f"{a['name']}  {len(a['quarters'])} 町丁目  {a['by']}  {a['at'][:16]}" for a in answer["areas"]]
    shown(args, answer, lines or ["ありません (none)"])
    return DONE


def _save_area(args: argparse.Namespace) -> int:
    answer = client(args).put(f"/areas/{quote(args.name)}", {"quarters": args.area})
    shown(args, answer, [f"{answer['area']['name']}  {len(answer['area']['quarters'])} 町丁目  {answer['change']}"])
    return DONE


def _remove_area(args: argparse.Namespace) -> int:
    at = client(args)
    version = next((a["version"] for a in at.get("/areas")["areas"] if a["name"] == args.name), 0)
    answer = at.delete(f"/areas/{quote(args.name)}?version={version}")
    shown(args, answer, [] if args.dry_run else [f"{args.name} を消しました (removed)"])
    return DONE


def _reach(args: argparse.Namespace) -> int:
    answer = client(args).ask("/reach", {"areas": args.area})
    lines = []
    for kind, reached in answer["channels"].items():
        count = "数えない" if reached["head_count"] is None else str(reached["head_count"])
        nobody = [code for code, heads in reached["by_quarter"].items() if heads == 0]
        unreached = f"  届かない町丁目 {len(nobody)} (quarters with nobody)" if nobody else ""
        lines.append(f"{say.NAMES.get(kind, kind)}  {count}  {reached['words']}{unreached}")
    shown(args, answer, lines)
    return DONE


def _by_hand(args: argparse.Namespace) -> int:
    answer = client(args).get(f"/alerts/{quote(args.id)}/by-hand")
    script = answer["script"]
    lines = [f"■ {script['title']}  {script['times']} 回"]
    lines += ["  " + "".join(piece["words"] for piece in line["words"]) for line in script["lines"]]
    for sheet in answer["sheets"]:
        lines += ["", f"■ {sheet['title']}  {sheet['how']}"]
        lines += [f"  {f['label']}（{f['length']:g}/{f['longest']}）: {f['text']}" for f in sheet["fields"]]
    lines += ["", "■ 済みの印 (done)"]
    lines += [
        f"  {t['system']}  {t['title']}  {t['who'] + ' ' + t['at'][11:16] if t['at'] else 'まだ (not yet)'}"
        for t in answer["ticks"]
    ]
    shown(args, answer, lines)
    return DONE


def _tick(args: argparse.Namespace) -> int:
    at, path = client(args), f"/alerts/{quote(args.id)}/by-hand/{quote(args.system)}"
    ticks = at.get(f"/alerts/{quote(args.id)}/by-hand")["ticks"]
    version = next((t["version"] for t in ticks if t["system"] == args.system), 0)
    if args.undo:
        answer = at.delete(f"{path}?version={version}")
    else:
        answer = at.post(path, {"who": args.who, "at": args.at, "version": version})
    done = answer["tick"]
    shown(
        args, answer, [f"{done['title']}  {done['who'] + ' ' + done['at'][11:16] if done['at'] else 'まだ (not yet)'}"]
    )
    return DONE


def _report(args: argparse.Namespace) -> int:
    body = {"text": args.text, "place": args.place, "source": args.source, "at": args.at}
    if args.photo:
        try:
            body["photo"] = base64.b64encode(args.photo.read_bytes()).decode()
        except OSError as error:
            raise Said(f"{args.photo}: {error.strerror}", INVALID) from None
    answer = client(args).post("/reports", body)
    shown(args, answer, [f"{answer['report']['identifier']}  {answer['report']['place']}"])
    return DONE


def _reports(args: argparse.Namespace) -> int:
    answer = client(args).get("/reports")
    lines = [
        f"{r['at'][:16].replace('T', ' ')}  {r['place']}  {r['text']}  {r['source']}  {r['by']}"
        for r in answer["reports"]
    ]
    shown(args, answer, lines or ["ありません (none)"])
    return DONE
