"""Reads asv's results of one commit, and lets asv measure missing ones. Knows asv's files, but no goal or page."""

from __future__ import annotations

import itertools
import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from agno_rt.errors import UsageError

__all__ = ["ROOT", "Results", "Value", "command", "commit", "measure", "regex"]

ROOT = Path(__file__).parents[1]
SOME_FAILED = 2
"""The status of `asv run` if some benchmarks failed and the others have results."""


@attrs.frozen
class Value:
    """A number of asv: the benchmark by name, with parameters, times `scale`."""

    benchmark: str
    params: tuple[object, ...] = ()
    scale: float = 1.0

    def __str__(self) -> str:
        return f"{self.benchmark}({', '.join(map(repr, self.params))})" if self.params else self.benchmark


def regex(benchmarks: Iterable[str]) -> str:
    """Return a regular expression that lets asv choose exactly the benchmarks."""
    return "^(" + "|".join(re.escape(name) for name in sorted(set(benchmarks))) + r")(\(|$)"


def command(benchmark: str) -> str:
    """Return the command for measuring the benchmark again."""
    return f"make bench BENCH={benchmark}"


def commit(root: Path = ROOT) -> str:
    """Return the commit that is checked out. Raises `UsageError` outside a repository."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as exc:
        raise UsageError(f"no commit is checked out in {root}", hint="Run it in a clone of the repository.") from exc
    return done.stdout.strip()


def measure(benchmarks: Iterable[str], commit: str, root: Path = ROOT) -> None:
    """Let asv measure the benchmarks with this Python, and keep the results as the commit's. Raises `UsageError`.

    A failed benchmark has no result: reading the number raises an error.
    """
    asv = [sys.executable, "-m", "asv"]
    where = ["--environment", f"existing:{sys.executable}", "--set-commit-hash", commit]
    for arguments in (["machine", "--yes"], ["run", "--show-stderr", *where, "--bench", regex(benchmarks)]):
        status = subprocess.run([*asv, *arguments], cwd=root, check=False).returncode
        if status not in (0, SOME_FAILED):
            raise UsageError(f"asv {arguments[0]} failed, with status {status}", hint="See what it said above.")


Numbers: TypeAlias = Mapping[tuple[str, ...], float | None]
"""A benchmark's numbers by its parameters, each as asv writes them: by `repr`."""


class Results:
    """Asv's results of one commit on one machine, last measured on `day`: numbers by benchmark and parameters."""

    def __init__(
        self, values: Mapping[str, Mapping[tuple[str, ...], float | None]], commit: str, day: str = ""
    ) -> None:
        self._values = values
        self.commit = commit
        self.day = day

    def __getitem__(self, value: Value) -> float:
        """Return the number. Raises `UsageError` if it was not measured, or the benchmark failed or was skipped."""
        number = self.get(value)
        if number is None:
            params = tuple(repr(each) for each in value.params)
            known = self._values.get(value.benchmark)
            reason = "was not measured" if known is None or params not in known else "failed or was skipped"
            raise UsageError(
                f"there is no result for {value} on commit {self.commit[:8]}: it {reason}",
                hint=f"Run `{command(value.benchmark)}`, or leave --no-run out.",
            )
        return number

    def get(self, value: Value) -> float | None:
        """Return the number, or None."""
        number = self._values.get(value.benchmark, {}).get(tuple(repr(each) for each in value.params))
        return None if number is None else number * value.scale

    @classmethod
    def of(cls, commit: str, *, machine: str | None = None, root: Path = ROOT) -> Results:
        """Read the results of a commit. Raises `UsageError` if there are none, or those of several machines."""
        folder = root / json.loads((root / "asv.conf.json").read_text())["results_dir"]
        files = sorted(folder.glob(f"{machine or '*'}/{commit[:8]}-*.json"), key=lambda file: file.stat().st_mtime)
        machines = sorted({file.parent.name for file in files})
        if len(machines) > 1:
            raise UsageError(f"there are results of {', '.join(machines)}", hint="Choose one with --machine.")
        values: dict[str, dict[tuple[str, ...], float | None]] = {}
        for file in files:
            for name, numbers in _read_numbers(json.loads(file.read_text())).items():
                values.setdefault(name, {}).update(numbers)
        if not values:
            raise UsageError(f"asv has no results of commit {commit[:8]}", hint="Measure them: leave --no-run out.")
        day = time.strftime("%Y-%m-%d", time.localtime(files[-1].stat().st_mtime))
        return cls(values, commit, day)


def _read_numbers(stored: Any) -> dict[str, Numbers]:
    """Return the numbers of a result file, by benchmark."""
    at = stored["result_columns"].index
    numbers: dict[str, Numbers] = {}
    for name, row in stored["results"].items():
        params = [*itertools.product(*row[at("params")])]
        results = row[at("result")] or [None] * len(params)
        numbers[name] = {
            which: None if result is None or math.isnan(result) else float(result)
            for which, result in zip(params, results, strict=True)
        }
    return numbers
