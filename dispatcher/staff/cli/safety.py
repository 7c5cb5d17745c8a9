"""Commands for 安否: ask, look how far it has come, see and search people, answer for them, take cases on, end it.

Source: design.md §8, §9; dispatcher/staff/welfare.py has the rules.
"""

import argparse
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from dispatcher.staff.cli.command import DONE, WAITING, client, command, shown
from dispatcher.staff.lookups import WHY

COLUMNS = (
    ("help", "助けて"),
    ("hurt", "けが"),
    ("silent", "返事なし"),
    ("conflict", "食い違い"),
    ("visiting", "訪ねる人"),
    ("ok", "無事"),
    ("asked", "尋ねた"),
)
ANSWERS = {"help": "助けて", "hurt": "けが", "ok": "無事", "": "返事なし"}


def add(commands: Any) -> None:
    """Register the commands for safety confirmation."""
    verbs = "start|plan|agree|decline|status|people|search|answer|take|resolve|exempt|re-ask|close|visits|reports|match"
    safety = commands.add_parser("safety", help="安否の確認 (safety confirmation)").add_subparsers(
        dest="what", required=True, metavar=verbs
    )
    _asking(safety)
    _people(safety)


def _asking(safety: Any) -> None:
    for name, run, about in (
        ("plan", _plan, "だれに尋ねることになるか (whom it would ask; nothing is written)"),
        (
            "start",
            _start,
            "安否を尋ねる。発表のない区域は二人目を待つ (ask; outside a live alert two people are needed)",
        ),
    ):
        asked = command(
            safety,
            name,
            run,
            about,
            f"todoke safety {name} {'--drill ' if name == 'start' else ''}--about 13204-…",
            mode=name == "start",
            dry_run=name == "start",
        )
        asked.add_argument("--about", default="", metavar="ID", help="もとの発表 (the live alert)")
        asked.add_argument(
            "--area", action="append", default=[], help="町丁目・大字 (a quarter or group; may be repeated)"
        )
        asked.add_argument(
            "--kind", choices=["safety", "watch"], default="safety", help="安否か見守り (or the daily touch)"
        )
    for name, run, about in (
        ("agree", _agree, "二人目として承認する (be the second person)"),
        ("decline", _decline, "申請を出さない (it does not go out)"),
    ):
        second = command(safety, name, run, about, f"todoke safety {name} KEY", mode=name == "agree", dry_run=True)
        second.add_argument("key", help="`safety status` に出る鍵 (as `safety status` shows it)")
    status = command(safety, "status", _status, "返事の数 (how many answered what)", "todoke safety status")
    status.add_argument("id", nargs="?", help="一回だけ (one round alone)")
    again = command(
        safety,
        "re-ask",
        _again,
        "もう一度尋ねる (ask again)",
        "todoke safety re-ask --drill ID",
        mode=True,
        dry_run=True,
    )
    again.add_argument("id")
    again.add_argument("--area", action="append", default=[], help="この町丁目だけ (these quarters alone)")
    ended = command(
        safety,
        "close",
        _close,
        "終える (ask nobody any more)",
        "todoke safety close --drill ID",
        mode=True,
        dry_run=True,
    )
    ended.add_argument("id")


def _people(safety: Any) -> None:
    people = command(
        safety, "people", _list, "すぐ動く人、返事がない人 (who needs somebody)", "todoke safety people ID"
    )
    people.add_argument("id")
    people.add_argument("--silent", action="store_true", help="返事がない人 (those who are silent)")
    search = command(
        safety,
        "search",
        _search,
        "人をさがす。理由は記録される (look somebody up; why is written down)",
        "todoke safety search ID 住民0001 --reason inquiry",
    )
    search.add_argument("id")
    search.add_argument("words", help="名前・住所・電話の一部 (part of a name, address or phone)")
    search.add_argument(
        "--reason", required=True, choices=list(map(str, WHY)), help="／".join(ja for ja, _ in WHY.values())
    )
    answer = command(
        safety,
        "answer",
        _answer,
        "代わりに答えを記す (write down what somebody said of a person)",
        "todoke safety answer ID PERSON ok --source relative --by visit --saw",
        dry_run=True,
    )
    answer.add_argument("id")
    answer.add_argument("person")
    answer.add_argument("answer", choices=["ok", "hurt", "help"])
    answer.add_argument(
        "--source",
        required=True,
        choices=["self", "household", "relative", "supporter", "staff", "facility", "anonymous"],
        help="だれから (who says so)",
    )
    answer.add_argument(
        "--by", default="phone", choices=["phone", "visit"], help="電話か訪問か (on the phone or at the door)"
    )
    answer.add_argument("--saw", action="store_true", help="見て確かめた (they have seen the person)")
    answer.add_argument("--text", default="", help="聞いたことば (their words)")
    for name, run, about in (
        ("take", _take, "引き受ける (take on)"),
        ("resolve", _resolve, "解決した (settled)"),
        ("exempt", _exempt, "尋ねなくてよい: 入院・不在・望まない (they need not be asked, in no later round either)"),
    ):
        act = command(safety, name, run, about, f"todoke safety {name} ID PERSON", dry_run=True)
        act.add_argument("id")
        act.add_argument("person")
    visits = command(safety, "visits", _visits, "訪問の名簿 (the visit list)", "todoke safety visits ID")
    visits.add_argument("id")
    visits.add_argument("--sealed", action="store_true", help="封の名簿だけ (the sealed list alone)")
    reports = command(
        safety, "reports", _reports, "名簿と合わない知らせ (reports without a match)", "todoke safety reports ID"
    )
    reports.add_argument("id")
    match = command(
        safety,
        "match",
        _match,
        "だれのことか記す (say whom it is about)",
        "todoke safety match ID REPORT PERSON",
        dry_run=True,
    )
    match.add_argument("id")
    match.add_argument("report")
    match.add_argument("person", help="名簿の人でなければ dismissed (or `dismissed`)")


def figure(seen: Mapping[str, int]) -> str:
    """A count as the node lets this person know it."""
    least, most = seen["least"], seen["most"]
    return f"{least:,}" if least == most else "5未満" if most < 5 else f"{least:,}〜{most:,}"


def _told(seen: Mapping[str, int] | None) -> str:
    return figure(seen) if seen else "数は福祉の担当だけ (for welfare alone)"


def _counts(figures: Mapping[str, Mapping[str, int]]) -> str:
    return "  ".join(f"{word} {figure(figures[name])}" for name, word in COLUMNS)


def _plan(args: argparse.Namespace) -> int:
    answer = client(args).ask("/plan", {"about": args.about, "areas": args.area, "kind": args.kind})
    lines = [f"尋ねる人 (people)  {figure(answer['people'])}"]
    lines += [f"  {name}  {_told(count)}" for name, count in answer["lines"]]
    if answer["leaves_some"]:
        lines.append(f"手段のない人 (nothing reaches)  {_told(answer['nobody'])}")
    if answer["needs_second"]:
        lines.append("二人目の承認がいります (a second person is needed)")
    shown(args, answer, lines)
    return DONE


def _start(args: argparse.Namespace) -> int:
    body = {"mode": args.mode, "about": args.about, "areas": args.area, "kind": args.kind}
    return began(args, client(args).post("/safety", body))


def began(args: argparse.Namespace, answer: Mapping[str, Any]) -> int:
    if answer["waits_as"]:
        shown(args, answer, [f"二人目の承認待ち (waits for a second person): {answer['waits_as']}"])
        return WAITING
    shown(args, answer, [answer["campaign"] or "承認しました (agreed)"])
    return DONE


def _agree(args: argparse.Namespace) -> int:
    return began(args, client(args).post(f"/waiting/{quote(args.key)}", {"mode": args.mode}))


def _decline(args: argparse.Namespace) -> int:
    shown(args, client(args).delete(f"/waiting/{quote(args.key)}"), ["出しません (declined)"])
    return DONE


def _status(args: argparse.Namespace) -> int:
    if args.id:
        answer = client(args).get(f"/safety/{quote(args.id)}")
        lines = [f"{answer['place']}  {_counts(answer['figures'])}"]
        lines += [f"  {row['name']}  {_counts(row['figures'])}" for row in answer["quarters"]]
        if answer["sealed"]:
            lines.append(f"封の名簿 {answer['sealed']}人、すぐ動く人 {answer['sealed_urgent']} (sealed list)")
        shown(args, answer, lines)
        return DONE
    answer = client(args).get("/safety")
    lines = [
        f"{c['id']}  {c['place']}  {'' if c['closed_at'] is None else '終了 ended  '}{_counts(c['figures'])}"
        for c in answer["campaigns"]
    ]
    lines += [f"承認待ち (waiting)  {w['key']}  {w['act']}  {w['by']}" for w in answer["waiting"]]
    shown(args, answer, lines or ["まだ尋ねていません (nobody was asked yet)"])
    return DONE


def _person(case: Mapping[str, Any]) -> str:
    state = ("食い違い " if case["is_conflict"] else "") + ANSWERS[case["answer"]]
    said = (
        case["id"],
        state,
        case["name"],
        case["place"],
        case["address"],
        case["phone"],
        case["needs"],
        case["holder"],
    )
    return "  ".join(filter(None, said))


def _list(args: argparse.Namespace) -> int:
    answer = client(args).get(f"/safety/{quote(args.id)}/people", list="silent" if args.silent else "urgent")
    shown(args, answer, list(map(_person, answer["people"])) or ["いません (nobody)"])
    return DONE


def _search(args: argparse.Namespace) -> int:
    body = {"words": args.words, "reason": args.reason}
    answer = client(args).ask(f"/safety/{quote(args.id)}/search", body)
    shown(args, answer, list(map(_person, answer["people"])) or ["見つかりません (nobody)"])
    return DONE


def _at(args: argparse.Namespace) -> str:
    return f"/safety/{quote(args.id)}/people/{quote(args.person)}"


def _answer(args: argparse.Namespace) -> int:
    body = {"answer": args.answer, "source": args.source, "by": args.by, "saw": args.saw, "text": args.text}
    shown(args, client(args).post(f"{_at(args)}/answer", body), ["記しました (written down)"])
    return DONE


def _take(args: argparse.Namespace) -> int:
    shown(args, client(args).post(f"{_at(args)}/take"), ["引き受けました (taken on)"])
    return DONE


def _resolve(args: argparse.Namespace) -> int:
    shown(args, client(args).post(f"{_at(args)}/resolve"), ["解決しました (settled)"])
    return DONE


def _exempt(args: argparse.Namespace) -> int:
    shown(args, client(args).post(f"{_at(args)}/exempt"), ["対象から外しました (need not be asked)"])
    return DONE


def _again(args: argparse.Namespace) -> int:
    answer = client(args).post(f"/safety/{quote(args.id)}/again", {"mode": args.mode, "areas": args.area})
    shown(args, answer, [f"{answer['round']} 回目を尋ねています (round {answer['round']})"])
    return DONE


def _close(args: argparse.Namespace) -> int:
    shown(args, client(args).post(f"/safety/{quote(args.id)}/end", {"mode": args.mode}), ["終えました (ended)"])
    return DONE


def _visits(args: argparse.Namespace) -> int:
    answer = client(args).get(f"/safety/{quote(args.id)}/{'sealed' if args.sealed else 'visits'}")
    lines = ["【封】居所をだれにも言わない (sealed)"] if args.sealed else []
    for sheet in answer["sheets"]:
        lines += [f"■ {sheet['place']}  {len(sheet['cases'])}人", *(f"  □ {_person(case)}" for case in sheet["cases"])]
    shown(args, answer, lines or ["訪ねる人はいません (nobody to visit)"])
    return DONE


def _reports(args: argparse.Namespace) -> int:
    answer = client(args).get(f"/safety/{quote(args.id)}/reports")
    lines = []
    for report in answer["reports"]:
        lines.append(
            f"{report['id']}  {ANSWERS[report['answer']]}  {report['name']}  {report['place']}  {report['words']}"
        )
        lines += [f"  ? {_person(case)}" for case in report["may_be"]]
    shown(args, answer, lines or ["ありません (none)"])
    return DONE


def _match(args: argparse.Namespace) -> int:
    path = f"/safety/{quote(args.id)}/reports/{quote(args.report)}"
    shown(args, client(args).post(path, {"person": args.person}), ["合わせました (matched)"])
    return DONE
