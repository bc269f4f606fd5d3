"""The command of `make peers`: finds the installed peers, measures them, and writes the results and the page.

With `--rows`, `--peers` or `--rounds` the command is a quick try, which prints the results and writes only the file of
`--save`; with `--merge`, these rows take their places among the other results, and on the page.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import trio

from agno_rt.errors import NotFound, UsageError
from benchmarks.markers import replace_between

from .measure import Plan, measure
from .process import ROOT
from .results import RESULTS, Results
from .rows import HTTP_ROWS, OURS, PEERS, ROWS, Row
from .table import page, reached

__all__ = ["main", "plan_of"]

ENVIRONMENTS = ROOT / ".asv" / "peers"
PAGE = ROOT / "docs" / "performance.md"


def plan_of(arguments: argparse.Namespace) -> Plan:
    """Return the plan for the command line. Raises `UsageError` for an unknown row, peer or program."""
    names = _choose_names("peer", arguments.peers, [kind.name for kind in PEERS])
    rows = _choose_names("row", arguments.rows, [row.name for row in ROWS])
    commands: dict[str, Sequence[str]] = {}
    python: dict[str, Path] = {}
    absent: dict[str, str] = {}
    for name in names:
        interpreter = Path(sys.executable) if name == OURS else ENVIRONMENTS / name / "bin" / "python"
        if name == "agno_go":
            if arguments.agno_go:
                commands[name] = [str(_find_program(Path(arguments.agno_go)))]
            else:
                absent[name] = "give AGNO_GO=path of a program that measures it"
        elif interpreter.exists():
            commands[name] = [str(interpreter), "-m", f"benchmarks.peers.{name}"]
            python[name] = interpreter
        else:
            absent[name] = "not installed: make peers"
    return Plan(commands, _sort_rows(rows), arguments.rounds or 15, python=python, absent=absent)


def _find_program(path: Path) -> Path:
    if not path.is_file() or not os.access(path, os.X_OK):
        raise UsageError(
            f"{path} is not a program that can be run",
            hint="Build one against Agno-Go's sources that speaks the protocol of benchmarks/peers/protocol.py.",
        )
    return path.absolute()


def _sort_rows(names: Sequence[str]) -> list[Row]:
    """Return the rows, HTTP last, so that servers do not disturb other rows."""
    return sorted((row for row in ROWS if row.name in names), key=lambda row: row.name in HTTP_ROWS)


def _choose_names(kind: str, given: str, known: Sequence[str]) -> list[str]:
    names = [name for name in given.split(",") if name] or list(known)
    for name in names:
        if name not in known:
            raise NotFound(kind, name, known)
    return names


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.drive", description="Measure peers side by side.")
    parser.add_argument("--peers", default="", help="only these, with commas between")
    parser.add_argument("--rows", default="", help="only these, with commas between")
    parser.add_argument("--rounds", type=int, default=0, help="how often each row is done [15]")
    parser.add_argument(
        "--agno-go", default="", metavar="PATH", help="a program that measures Agno-Go (see protocol.py)"
    )
    parser.add_argument("--save", type=Path, help="write the results there; the page is left as it is")
    parser.add_argument("--merge", action="store_true", help="replace these rows in the results and on the page")
    parser.add_argument("--page-only", action="store_true", help="write the page from the results that are there")
    return parser


def main(arguments: Sequence[str] | None = None, page_at: Path = PAGE, results_at: Path = RESULTS) -> int:
    """Run the command. Return exit code 1 if it cannot be carried out."""
    given = _make_parser().parse_args(arguments)
    try:
        if given.page_only:
            replace_between(page_at, "peers", page(Results.load(results_at)))
            return 0
        quick = bool(given.peers or given.rows or given.rounds or given.save)
        if not quick:
            # Check the page's markers now, because eight minutes later would be too late.
            replace_between(page_at, "peers", page(Results.load(results_at)) if results_at.exists() else "")
        plan = plan_of(given)
        results = trio.run(measure, plan, _print_line, given.save or (None if quick else ENVIRONMENTS / "results.json"))
        print(f"\n{reached(results)}\n")
        if given.merge:
            merged = Results.load(results_at)
            merged.replace_rows(results)
            results = merged
        elif quick:
            print(page(results))
            return 0
        results.save(results_at)
        replace_between(page_at, "peers", page(results))
        print(f"written: {results_at.name} and {page_at.name}")
    except UsageError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return 1
    return 0


def _print_line(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
