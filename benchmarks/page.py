"""`make performance`: measures the goals' benchmarks on this commit, and writes the tables of the performance pages.

Goals go to `docs/performance.md`, growth to `docs/growth.md`. No row is left out: a row without a result is an error
that names the benchmark and the command. With `--rows`, the other rows stay as they are: a shared machine may be quiet
enough for a few.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from agno_rt.errors import UsageError

from . import gate, growth_table, reach_table
from .counted import counts
from .goals import goals
from .markers import read_between, replace_between
from .peers.results import RESULTS as PEERS
from .peers.results import Results as PeerResults
from .reading import ROOT, Results, commit, measure
from .site.running import describe_machine

__all__ = ["main", "measured_on", "write_growth", "write_reach"]

DOCS = ROOT / "docs"
SHOWN = ("trio", "msgspec", "attrs", "pluggy")
"""The distributions below the kernel, whose versions are shown."""


_OTHER_DAY = "These rows are of another day: "


def measured_on(results: Results, root: Path = ROOT) -> str:
    """Render the day, the commit, the machine and the versions, without anything to identify the machine."""
    machine = describe_machine("this")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in SHOWN)
    changed = ", with changes that were not committed" if _has_changes(root) else ""
    memory = f"{machine['num_cpu']} cores ({machine['cpu'] or machine['arch']}), {machine['ram']} of memory"
    return (
        f"Measured on {results.day}, commit `{results.commit[:8]}`{changed}, on {memory}, {machine['os']}; "
        f"CPython {machine['python']}, {versions}."
    )


def _has_changes(root: Path) -> bool:
    command = ["git", "status", "--porcelain", "--", "agno_rt", "plugins", "benchmarks/*.py"]
    return bool(subprocess.run(command, cwd=root, capture_output=True, check=True).stdout.strip())


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description="Write the performance pages.")
    parser.add_argument(
        "--no-run",
        action="store_true",
        help="have asv measure nothing: write what it has of this commit; the exact counts are taken anew",
    )
    parser.add_argument("--partial", action="store_true", help="write rows without a result too, as not measured")
    parser.add_argument(
        "--rows", default="", help="of the goals, write these alone, with commas between: team,workflow"
    )
    parser.add_argument("--only", choices=("reach", "growth"), help="write this page alone")
    parser.add_argument("--commit", help="commit of the results, by its whole hash; the checked-out one if not given")
    parser.add_argument("--machine", help="machine of the results, if asv has several")
    return parser


def main(arguments: Sequence[str] | None = None, docs: Path = DOCS) -> int:
    """Run the command. Return exit code 1 if a row has no result, or falls short without a written reason."""
    given = _make_parser().parse_args(arguments)
    rows = _choose_rows(given.rows)
    reach, growth = given.only != "growth", given.only != "reach" and not rows
    unexplained: list[str] = []
    try:
        # Ask for the commit once, since somebody may commit while the benchmarks run.
        measured = given.commit or commit()
        if not given.no_run:
            chosen = [goal for goal in goals() if not rows or goal.row in rows]
            of_goals = reach_table.benchmarks(chosen) if reach else []
            measure([*of_goals, *(growth_table.benchmarks() if growth else [])], measured)
        results = Results.of(measured, machine=given.machine)
        if reach:
            unexplained += write_reach(docs / "performance.md", _load_sources(results, given.partial), rows)
        if growth:
            unexplained += write_growth(docs / "growth.md", results, partial=given.partial)
    except UsageError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return 1
    for each in unexplained:
        print(f"error: no reason is written down why {each}", file=sys.stderr)
    return 1 if unexplained else 0


def _load_sources(results: Results, partial: bool) -> reach_table.Sources:
    peers = None if partial and not PEERS.exists() else PeerResults.load()
    recorded = {name: entry.value for name, entry in gate.read(gate.BASELINE).get(gate.VERSION, {}).items()}
    counted = {name: count.value for name, count in counts().items()}
    return reach_table.Sources(results, peers, counted, recorded, partial)


def _choose_rows(names: str) -> list[str]:
    """Return the rows of the goals that begin with one of the names; none without names."""
    wanted = tuple(name for name in names.split(",") if name)
    return list(dict.fromkeys(goal.row for goal in goals() if wanted and goal.row.startswith(wanted)))


def write_reach(path: Path, sources: reach_table.Sources, rows: Sequence[str] = ()) -> list[str]:
    """Write the goals' table, or these rows of it, into the page, and return the shortfalls without a reason.

    Raises `UsageError` if a result is missing and all are needed, or the page lacks its markers.
    """
    lines = [reach_table.line(goal, sources) for goal in goals() if not rows or goal.row in rows]
    head = [f"{measured_on(sources.results)} The peers' values are from one run of `make peers`: see below."]
    short = reach_table.shortfalls(lines)
    missed = [line for line in lines if line.short is not None]
    if rows:
        old = read_between(path, "reach")
        head = [
            old.splitlines()[0],
            *_keep_other_days(old, rows),
            f"{_OTHER_DAY}{'; '.join(rows)}. {measured_on(sources.results)}",
        ]
        places = {row: at for at, row in enumerate(dict.fromkeys(goal.row for goal in goals()))}
        kept = [each for each in reach_table.read_table(old) if each.row in places and each.row not in rows]
        shown = sorted([*kept, *lines], key=lambda each: places[each.row])
        reasons = read_between(path, "shortfalls").splitlines()
        others = [each for each in reasons if not any(each.startswith(f"- **{row}**") for row in rows)]
        short = "\n".join([each for each in others if each.startswith("- ")] + ([short] if missed else [])) or short
    else:
        shown = lines
    replace_between(path, "reach", "\n\n".join([*head, reach_table.table(shown)]))
    replace_between(path, "shortfalls", short)
    print(f"written: {path.name}, {len(lines)} rows, {len(missed)} of them short")
    hint = "falls short: write it into WHY of benchmarks/goals.py"
    return [f"{line.row}, {line.goal} {hint}" for line in missed if not line.why]


def _keep_other_days(old: str, rows: Sequence[str]) -> list[str]:
    """Return the lines of the table's head about rows of other days, without the rows that are written now."""
    kept = []
    for each in old.splitlines():
        if each.startswith(_OTHER_DAY):
            names, _, measured = each.removeprefix(_OTHER_DAY).partition(". ")
            left = [name for name in names.split("; ") if name not in rows]
            kept += [f"{_OTHER_DAY}{'; '.join(left)}. {measured}"] if left else []
    return kept


def write_growth(path: Path, results: Results, *, partial: bool = False) -> list[str]:
    """Write the growth table into the page, and return growths without a reason. Raises as `write_reach` does."""
    rows = [(each, growth_table.growth(each, results, partial=partial)) for each in growth_table.GROWING]
    replace_between(path, "growth", f"{measured_on(results)}\n\n{growth_table.table(rows)}")
    replace_between(path, "reasons", growth_table.reasons(rows))
    more = [each for each, found in rows if found is not None and found.more]
    print(f"written: {path.name}, {len(rows)} rows, {len(more)} of them more than a straight line")
    hint = "is more than a straight line: write it into GROWING of benchmarks/growth_table.py"
    return [f"{each.thing}, {each.what} {hint}" for each in more if not each.why]


if __name__ == "__main__":
    sys.exit(main())
