"""`make bench-keep`: copies the reference machine's results into the repository, trimmed, rounded and thinned out.

Only results of `make bench-history` under the machine's name are kept, from environments built of commits. Results of a
working tree, by `make bench`, are not: nobody could say which code they measured.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from agno_rt.errors import UsageError

from .site.results import machine_facts, merge, read_folder, thin, write_result
from .site.running import Project, failed

__all__ = ["keep", "main"]


def keep(project: Project, machine: str) -> str:
    """Keep the machine's results, and return a summary.

    Raises:
        UsageError: there are no results under the name, or the name is this machine's own, which the repository must
            not tell.
    """
    if machine == platform.node():
        raise UsageError(
            f"{machine!r} is this machine's own name", hint="Give it another: make bench-history MACHINE=…"
        )
    measured, folder = project.local / machine, project.kept / machine
    results = [result for result in read_folder(measured) if result.environment.startswith("virtualenv")]
    if not results:
        raise UsageError(
            f"there are no results of the machine {machine!r} on built commits",
            hint=f"Measure them: make bench-history MACHINE={machine}",
        )
    everything = merge([*read_folder(folder), *results])
    history, tags = project.history(), project.tags()
    chosen = set(thin({result.commit for result in everything}, history, tags))
    for path in folder.glob("*.json"):
        path.unlink()
    written = [write_result(result, folder) for result in everything if result.commit in chosen]
    facts = machine_facts(json.loads((measured / "machine.json").read_text(encoding="utf-8")))
    machine_file = folder / "machine.json"
    machine_file.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in (*written, machine_file))
    gone = len({result.commit for result in everything}) - len(chosen)
    dropped = f", {gone} thinned out" if gone else ""
    shown = folder.relative_to(project.root).as_posix()
    return f"{shown}: {len(chosen)} commits, {size / 1000:.0f} kB{dropped}. Commit it: git add {shown}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Return exit code 1 if nothing was kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.keep", description="Keep a machine's results.")
    parser.add_argument("--machine", default="reference", help="the name that it was measured under [reference]")
    parser.add_argument("--project", type=Path, default=Path(), help="the project's folder [this one]")
    options = parser.parse_args(arguments)
    try:
        print(keep(Project(options.project.resolve()), options.machine))
    except UsageError as exc:
        return failed(exc)
    return 0


if __name__ == "__main__":
    sys.exit(main())
