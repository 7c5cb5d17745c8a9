"""`todoke cap check FILE…`: is it CAP 1.2, what is wrong with it, and does it survive being read and written?

For each file `FILE: valid` or `FILE: invalid`, then a line for each reason or finding; `-o json` gives one object with the same.
Exit 0: all are valid; 2: any is invalid or cannot be read; 1: a valid one would lose something (`--roundtrip`).

Source: design.md §7, §9.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dispatcher import cap
from dispatcher.errors import InvalidInput
from dispatcher.staff.cli.command import whole

INVALID, LOSSY = 2, 1


@dataclass(frozen=True, slots=True)
class _Checked:
    file: str
    verdict: cap.Verdict
    lost: tuple[str, ...] | None
    """None: not asked for, or nothing to read."""


def run(files: Sequence[Path], *, roundtrip: bool = False, output: str = "table") -> int:
    """Check each file and say so on stdout; `output` is one of cli/command.py FORMS. Returns the exit code."""
    checked = [_check(path, roundtrip=roundtrip) for path in files]
    if output != "table":
        whole(output, {"files": [_as_json(c) for c in checked]})
    else:
        sys.stdout.writelines(line + "\n" for c in checked for line in _lines(c))
    if any(not c.verdict.is_valid for c in checked):
        return INVALID
    return LOSSY if any(c.lost for c in checked) else 0


def _check(path: Path, *, roundtrip: bool) -> _Checked:
    name = str(path).encode(errors="backslashreplace").decode()
    try:
        with path.open("rb") as file:
            data = file.read(cap.MAX_BYTES + 1)
            data_bytes = max(len(data), path.stat().st_size)
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or error
        return _Checked(name, cap.Verdict(is_valid=False, reasons=(f"cannot be read: {words}",)), None)
    if data_bytes > cap.MAX_BYTES:
        reason = f"size: {data_bytes} bytes, at most {cap.MAX_BYTES} are accepted"
        return _Checked(name, cap.Verdict(is_valid=False, reasons=(reason,)), None)
    verdict = cap.check(data)
    if not roundtrip or not verdict.is_valid:
        return _Checked(name, verdict, None)
    try:
        return _Checked(name, verdict, cap.roundtrip(data))
    except InvalidInput as error:
        return _Checked(name, verdict, tuple(map(str, error.findings)))


def _as_json(checked: _Checked) -> dict[str, object]:
    said: dict[str, object] = {
        "file": checked.file,
        "valid": checked.verdict.is_valid,
        "reasons": list(checked.verdict.reasons),
        "findings": list(checked.verdict.findings),
    }
    if checked.lost is not None:
        said["roundtrip"] = {"lossless": not checked.lost, "lost": list(checked.lost)}
    return said


def _lines(checked: _Checked) -> list[str]:
    lines = [f"{checked.file}: {'valid' if checked.verdict.is_valid else 'invalid'}"]
    lines += [f"  reason: {reason}" for reason in checked.verdict.reasons]
    lines += [f"  finding: {finding}" for finding in checked.verdict.findings]
    if checked.lost is not None:
        lines += [f"  roundtrip: lost {loss}" for loss in checked.lost] or [
            "  roundtrip: read and written without loss"
        ]
    return [_printable(line) for line in lines]


def _printable(line: str) -> str:
    """A file's words must not move the cursor of whoever reads them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
