"""`todoke apply -f FILE`: what a file declares, brought about once, however often it is applied.

    messages:                         # each becomes a draft under its name; nothing goes out
      野川:
        template: evacuation-order
        areas: [大沢]
        cause: 野川の水位が上がり、氾濫のおそれがあります
    areas:                            # quarters kept under a name
      野川沿い: [大沢一丁目, 大沢二丁目]
    duty: [duty@example.jp]           # who is mailed; a second admin approves

Everything is rehearsed first, so that every problem is named with its line before anything is written, and the difference is shown.

Source: issue "Command line: apply -f declarative and idempotent"; config/document.py.
"""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import quote

from config.binding import bind
from config.document import ConfigError, Node, Problem, load, parse
from dispatcher.staff.cli.client import Client, Said
from dispatcher.staff.cli.command import DONE, INVALID, PARTLY, WAITING, client, command, shown

_MARKS: Mapping[str, str] = MappingProxyType({"created": "+", "changed": "~", "unchanged": "=", "proposed": "?"})
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "created": "新しい (created)",
        "changed": "変わる (changed)",
        "unchanged": "同じ (unchanged)",
        "proposed": "二人目の管理者を待つ (waits for a second admin)",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message as a file declares it: the fields of `todoke draft`."""

    template: str | None = None
    areas: tuple[str, ...] = ()
    cause: str | None = None
    hazard: str | None = None
    note: str | None = None
    expires: str | None = None
    next_update: str | None = None
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    verb: Literal["issue", "update", "correct", "lift", "retract"] = "issue"
    of: str | None = None
    """The alert that it follows."""

    def problems(self) -> Iterator[tuple[str, str]]:
        if self.verb == "issue" and self.of is not None:
            yield "of", "発表は何にも続きません。verb を書いてください (an issue follows nothing: say which verb)"
        if self.verb != "issue" and self.of is None:
            yield "verb", "どの発表に続くかを of に書いてください (say in `of` which alert it follows)"

    def typed(self) -> dict[str, Any]:
        """As the API takes it."""
        said = {name: getattr(self, name) for name in Message.__slots__}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in said.items() if v}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A file."""

    messages: Mapping[str, Message] = field(default_factory=dict)
    areas: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    duty: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to bring about; `place` is where the file says it."""

    what: str
    name: str
    place: tuple[str, ...]
    body: Mapping[str, Any]


def add(commands: Any) -> None:
    """Register `todoke apply`."""
    apply = command(
        commands,
        "apply",
        _apply,
        "ファイルのとおりにする。二度当てても同じ。何も出ない (bring about what a file declares; nothing goes out)",
        "todoke apply --drill -f osawa.yaml --dry-run",
        mode=True,
        dry_run=True,
    )
    apply.add_argument("-f", "--file", type=Path, required=True, metavar="FILE", help="YAML")


def _apply(args: argparse.Namespace) -> int:
    try:
        document, declared = _read(args.file)
        rehearsed = _rehearsed(_client(args, is_rehearsing=True), args, document, declared)
    except ConfigError as error:
        findings = [{"where": p.path, "reason": p.reason, "blocks": True, "line": p.line} for p in error.problems]
        raise Said(str(error), INVALID, {"detail": str(error), "exit_code": INVALID, "findings": findings}) from None
    if not args.dry_run:
        rehearsed = _brought_about(_client(args, is_rehearsing=False), args, declared)
    answer = {"file": str(args.file), "dry_run": bool(args.dry_run), "applied": rehearsed}
    lines = [line for each in rehearsed for line in _difference(each)]
    if args.dry_run:
        lines.append("試しです。何も書いていません (dry run: nothing was written)")
    shown(args, answer, lines or ["何も書かれていません (the file declares nothing)"])
    return WAITING if any(each["change"] == "proposed" for each in rehearsed) else DONE


def _client(args: argparse.Namespace, *, is_rehearsing: bool) -> Client:
    return client(argparse.Namespace(**{**vars(args), "dry_run": is_rehearsing}))


def _read(file: Path) -> tuple[Node, Declaration]:
    """Raises ConfigError: everything that is wrong with the file by itself."""
    document, problems = parse(load(file), str(file))
    return document, bind(Declaration, document, file=str(file), base=file.parent, found=problems)


def _steps(declared: Declaration, mode: str) -> Iterator[Step]:
    for name, quarters in declared.areas.items():
        yield Step("area", name, ("areas", name), {"quarters": list(quarters)})
    for name, message in declared.messages.items():
        yield Step("message", name, ("messages", name), {"mode": mode, "typed": message.typed()})
    if declared.duty is not None:
        yield Step("duty", "duty", ("duty",), {"mail": list(declared.duty)})


def _brought_about(at: Client, args: argparse.Namespace, declared: Declaration) -> Sequence[dict[str, Any]]:
    """Each thing that the file declares, with what it came to.

    What one step changes can stand in the way of the next (the last saved area that there is room for), which no rehearsal of
    each alone can see; then it stops there and says what has been done.

    Raises:
        Said: the node refuses a step, or is away.
    """
    done: list[dict[str, Any]] = []
    for step in _steps(declared, args.mode):
        try:
            done.append({"what": step.what, "name": step.name, **_ACTS[step.what](at, step)})
        except Said as said:
            if not done:
                raise
            halfway = (
                f"途中で止まりました。{len(done)} 件は済み、{step.what} {step.name} で断られました。"
                "直してもう一度当てれば、残りだけが進みます (stopped halfway: apply it again, and only the rest is done)"
            )
            body = {**said.body, "detail": f"{halfway}\n{said}", "exit_code": PARTLY, "applied": done}
            raise Said(body["detail"], PARTLY, body) from None
    return done


def _rehearsed(at: Client, args: argparse.Namespace, document: Node, declared: Declaration) -> Sequence[dict[str, Any]]:
    """As `_brought_about`, each by itself and none of it written.

    Raises:
        ConfigError: what the node finds wrong, each at its line.
        Said: the node refuses for another reason.
    """
    done: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for step in _steps(declared, args.mode):
        try:
            done.append({"what": step.what, "name": step.name, **_ACTS[step.what](at, step)})
        except Said as said:
            if said.exit_code != INVALID or not said.body.get("findings"):
                raise
            problems += [_problem(str(args.file), document, step, finding) for finding in said.body["findings"]]
    if problems:
        raise ConfigError(problems)
    return done


def _message(at: Client, step: Step) -> dict[str, Any]:
    answer = at.put(f"/messages/{quote(step.name, safe='')}", step.body)
    return {
        "change": answer["change"],
        "identifier": answer["draft"]["identifier"]
        if answer["change"] != "created" or "dry_run" not in answer
        else None,
        "before": answer["before"],
        "after": answer["after"],
        "findings": answer["findings"],
    }


def _area(at: Client, step: Step) -> dict[str, Any]:
    answer = at.put(f"/areas/{quote(step.name, safe='')}", step.body)
    return {
        "change": answer["change"],
        "before": {"quarters": answer["before"]} if answer["before"] else {},
        "after": {"quarters": answer["area"]["quarters"]},
    }


def _duty(at: Client, step: Step) -> dict[str, Any]:
    before, after = at.get("/duty")["mail"], step.body["mail"]
    change = {"change": "unchanged", "before": {"mail": before}, "after": {"mail": after}}
    if before == after:
        return change
    for proposal in at.get("/proposals")["proposals"]:
        if proposal["act"] == "duty" and proposal["state"] == "pending" and proposal["what"] == {"mail": after}:
            return {**change, "change": "proposed", "proposal": proposal["id"]}
    proposal = at.post("/proposals", {"act": "duty", "what": step.body})["proposal"]
    return {**change, "change": "proposed", "proposal": proposal["id"]}


_ACTS = {"message": _message, "area": _area, "duty": _duty}


def _problem(file: str, document: Node, step: Step, finding: Mapping[str, Any]) -> Problem:
    """What the node found, at the line of the file that says it."""
    pointer = finding.get("pointer") or ""
    steps = [re.sub(r"~[01]", lambda m: {"~0": "~", "~1": "/"}[m[0]], s) for s in pointer.split("/")[1:]]
    node, path = document, ""
    for name in (*step.place, *(s for s in steps if s not in {"typed", "quarters", "what", "mail"})):
        inner = _inner(node, name)
        if inner is None:
            break
        node, path = inner, f"{path}[{name}]" if name.isdigit() else f"{path}.{name}" if path else name
    return Problem(file, node.line, path, finding["reason"])


def _inner(node: Node, name: str) -> Node | None:
    if isinstance(node.value, dict):
        return node.value.get(name)
    if isinstance(node.value, tuple) and name.isdigit() and int(name) < len(node.value):
        return node.value[int(name)]
    return None


def _difference(each: Mapping[str, Any]) -> Iterator[str]:
    change, identifier = each["change"], each.get("identifier") or ""
    yield f"{_MARKS[change]} {each['what']} {each['name']}  {_WORDS[change]}  {identifier}".rstrip()
    before, after = each["before"], each["after"]
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            yield f"    {name}: {_plain(before.get(name))} → {_plain(after.get(name))}"
    for finding in each.get("findings", ()):
        yield f"    {'直す' if finding['blocks'] else '確かめる'}  {finding['where']}: {finding['reason']}"


def _plain(value: Any) -> str:
    if value is None:
        return "（なし）"
    return "、".join(map(str, value)) if isinstance(value, list) else str(value)
