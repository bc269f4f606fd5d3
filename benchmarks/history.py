"""`make bench-history`: measures commits of the main branch and all tags, if they have no results yet.

asv builds each commit in an environment of its own; the benchmarks come from the working tree, so that all commits are
measured alike. Rounds take all commits in turn, so that a slow hour of the machine is spread over them.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from agno_rt.errors import UsageError

from .site.results import Result, Row, merge, read_folder
from .site.running import Project, describe_machine, failed, know_machine

__all__ = ["Wanted", "main", "measure", "spread"]


@attrs.frozen
class Wanted:
    """The measurements to make: the number of commits, a pattern in benchmarks' names, the machine's name.

    `retry` measures failed benchmarks again.
    """

    commits: int = 10
    bench: str = ""
    machine: str = "local"
    retry: bool = False


def spread(history: Sequence[str], count: int) -> list[str]:
    """Return `count` of the commits, evenly spread, with the first and the last."""
    if count >= len(history):
        return list(history)
    if count < 2:
        return list(history[:count])
    step = (len(history) - 1) / (count - 1)
    return [history[round(at * step)] for at in range(count)]


def measure(project: Project, wanted: Wanted) -> str:
    """Measure missing results, and return a summary. Raises `UsageError` if nothing can be measured."""
    tags = project.tags()
    commits = list(dict.fromkeys([*spread(project.history(), wanted.commits), *tags]))
    benchmarks = {name: one for name, one in project.discover().items() if re.search(wanted.bench, name)}
    if not benchmarks:
        raise UsageError(f"no benchmark's name has {wanted.bench!r}", hint="BENCH is a regular expression.")
    before = _load_rows(project, wanted.machine)
    open_ones = {commit: _find_missing(benchmarks, before.get(commit, {}), wanted.retry) for commit in commits}
    open_ones = {commit: names for commit, names in open_ones.items() if names}
    done = _describe_done(before, [commit for commit in commits if commit not in open_ones])
    if not open_ones:
        return f"Nothing to measure: {done}."
    names = sorted(set().union(*open_ones.values()))
    print(f"{len(open_ones)} commits, {len(names)} benchmarks; {done}.", flush=True)
    know_machine(wanted.machine, describe_machine(wanted.machine), Path.home())
    began = time.monotonic()
    _run_asv(project, wanted, list(open_ones), names)
    return (
        _summarize_results(project, wanted, open_ones, tags)
        + f" It took {(time.monotonic() - began) / 60:.1f} minutes."
    )


def _run_asv(project: Project, wanted: Wanted, commits: Sequence[str], names: Sequence[str]) -> None:
    chosen = project.root / ".asv/commits.txt"
    chosen.write_text("\n".join(commits) + "\n", encoding="utf-8")
    command = [*project.asv_command(project.root / "asv.conf.json"), "run", f"HASHFILE:{chosen}"]
    command += ["--machine", wanted.machine, "--bench", f"^({'|'.join(map(re.escape, names))})(\\(|$)"]
    command += ["--skip-existing-successful" if wanted.retry else "--skip-existing"]
    command += ["--interleave-rounds", "--show-stderr"]
    code = subprocess.run(command, cwd=project.root, check=False).returncode
    if code not in (0, 2):  # asv returns 2 if some benchmarks failed
        raise UsageError(f"asv ended with {code}", hint="What it said is above.")


def _find_missing(benchmarks: Mapping[str, Mapping[str, Any]], rows: Mapping[str, Row], retry: bool) -> set[str]:
    """Return the benchmarks without a result of the present version; `retry` adds failed benchmarks."""

    def is_done(name: str) -> bool:
        row = rows.get(name)
        if row is None or row.version not in (None, benchmarks[name]["version"]):
            return False
        return row.has_values or not retry

    return {name for name in benchmarks if not is_done(name)}


def _describe_done(before: Mapping[str, Mapping[str, Row]], commits: Collection[str]) -> str:
    failed = sum(not any(row.has_values for row in before[commit].values()) for commit in commits)
    measured = f"{len(commits) - failed} commits are measured already"
    return measured + (f", {failed} failed before (RETRY=1 tries them again)" if failed else "")


def _load_rows(project: Project, machine: str) -> dict[str, dict[str, Row]]:
    """Return the machine's rows of each commit, kept or local."""
    rows: dict[str, dict[str, Row]] = {}
    for result in (*read_folder(project.kept / machine), *_load_built(project, machine)):
        rows.setdefault(result.commit, {}).update(result.rows)
    return rows


def _load_built(project: Project, machine: str) -> list[Result]:
    found = read_folder(project.local / machine)
    return [result for result in found if result.environment.startswith("virtualenv")]


def _summarize_results(
    project: Project, wanted: Wanted, tried: Mapping[str, Collection[str]], tags: Mapping[str, str]
) -> str:
    told = {result.commit: result.rows for result in merge(_load_built(project, wanted.machine))}
    lines, measured = [], 0
    for commit, names in tried.items():
        failed = sorted(name for name in names if name not in told.get(commit, {}))
        measured += len(failed) < len(names)
        if not failed:
            continue
        subject = project.git("log", "-1", "--format=%s", commit)[0]
        shown = f"{commit[:8]} {tags.get(commit, '')}".strip() + f" ({subject})"
        if len(failed) == len(names):
            lines.append(f"passed over: {shown}: it cannot be built, or none of the benchmarks runs on it")
        else:
            more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
            lines.append(f"{shown}: without {', '.join(failed[:5])}{more}")
    return "\n".join([*lines, f"Measured {measured} commits. `make dashboard` shows them."])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Return exit code 1 if nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description="Measure commits.")
    parser.add_argument("--commits", type=int, default=10, help="how many of the main branch's, evenly spread [10]")
    parser.add_argument("--bench", default="", help="only benchmarks whose name this regular expression finds")
    parser.add_argument("--machine", default="local", help="the name that the results go by [local]")
    parser.add_argument("--retry", action="store_true", help="measure again what failed before")
    parser.add_argument("--project", type=Path, default=Path(), help="the project's folder [this one]")
    options = vars(parser.parse_args(arguments))
    project = Project(options.pop("project").resolve())
    try:
        print(measure(project, Wanted(**options)))
    except UsageError as exc:
        return failed(exc)
    return 0


if __name__ == "__main__":
    sys.exit(main())
