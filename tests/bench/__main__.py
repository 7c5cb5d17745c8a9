"""`make bench`: the promises of the design, each a ratio to a baseline measured in the same run.

A group is a module beside this one with `NAMES` (the rows it makes) and `rows(wanted)` (a generator of them, each as soon as it
is known). ROWS chooses by group or by row: `ROWS=crash,mail.sink`. A row that is short stays in the table as short.
"""

import argparse
import importlib
import json
import pkgutil
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict

import tests.bench as here
from tests.bench.row import Row

_NOT_GROUPS = {"__main__", "row"}


def groups() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name and row names of every group."""
    for module in sorted(m.name for m in pkgutil.iter_modules(here.__path__) if m.name not in _NOT_GROUPS):
        if module.startswith("_"):
            continue
        yield module, importlib.import_module(f"tests.bench.{module}").NAMES


def run(wanted: set[str]) -> Iterator[Row]:
    for group, names in groups():
        chosen = {n for n in names if not wanted or group in wanted or n in wanted or n.split(".")[0] in wanted}
        if not chosen:
            continue
        started = time.monotonic()
        print(f"{group}: {', '.join(sorted(chosen))} …", file=sys.stderr, flush=True)
        yield from (row for row in importlib.import_module(f"tests.bench.{group}").rows(chosen) if row.name in chosen)
        print(f"{group}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def table(rows: Iterable[Row]) -> None:
    heads = ("row", "ours", "baseline", "unit", "ratio", "promise", "holds")
    print("{:<32}{:>14}{:>14}  {:<22}{:>9}  {:<14}{}".format(*heads))
    for row in rows:
        holds = "holds" if row.holds else "SHORT"
        print(
            f"{row.name:<32}{row.ours:>14,.3f}{row.baseline:>14,.3f}  {row.unit:<22}{row.ratio:>9.3f}  {row.promise:<14}{holds}",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rows", default="", help="groups or rows, separated by commas; default: all")
    parser.add_argument("-o", choices=("table", "json"), default="table", dest="output")
    args = parser.parse_args()
    wanted = {w for w in args.rows.split(",") if w}
    known = {n for g, names in groups() for n in (g, *names, *(m.split(".")[0] for m in names))}
    if unknown := wanted - known:
        print(
            f"no such row or group: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}", file=sys.stderr
        )
        return 2
    if args.output == "json":
        print(json.dumps({"rows": [asdict(row) for row in run(wanted)]}, ensure_ascii=False, indent=1))
    else:
        table(run(wanted))
    return 0


if __name__ == "__main__":
    sys.exit(main())
