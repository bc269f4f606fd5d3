"""Results of benchmarks as values: read from asv's files, trimmed, merged, thinned out, written so that asv reads them.

Trimming keeps the data of graphs: numbers, parameters, the benchmark's version. Samples, profiles, times of day, names
of environments and anything else about the machine's folders are left out. Knows asv's format of results (version 2),
and nothing of single benchmarks. Times are in seconds, as in asv.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

__all__ = [
    "EVERY",
    "LAST",
    "MOST",
    "Result",
    "Row",
    "machine_facts",
    "merge",
    "read_folder",
    "read_result",
    "rounded",
    "thin",
    "write_result",
]

LAST, EVERY, MOST = 30, 10, 60
"""Bounds of the kept commits: the last 30; of older commits, the tagged and every tenth; 60 in all."""

_FORMAT = 2
_COLUMNS = ("result", "params", "version", "stats_ci_99_a", "stats_ci_99_b")
_MACHINE = ("machine", "os", "arch", "cpu", "num_cpu", "ram", "python")

Values = list[float | None] | None


@attrs.frozen
class Row:
    """The results of a benchmark: a value for each combination of its parameters, with bounds.

    A value is `None` if the benchmark failed or does not apply.
    """

    values: Values
    params: list[list[str]]
    version: str | None
    low: Values = None
    high: Values = None

    @property
    def has_values(self) -> bool:
        """Return whether any value is known."""
        return any(value is not None for value in self.values or ())


@attrs.frozen
class Result:
    """The results of a commit on one machine and Python. `date` is the commit's, in milliseconds since 1970.

    `environment` is asv's name of the environment.
    """

    commit: str
    date: int
    machine: str
    python: str
    rows: Mapping[str, Row]
    environment: str = ""

    @property
    def file_name(self) -> str:
        """The name of the result's file."""
        return f"{self.commit[:8]}-py{self.python}.json"


def read_result(path: Path) -> Result:
    """Read a file of asv or of `write_result`. Raises `ValueError` for another format."""
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict) or data.get("version") != _FORMAT:
        raise ValueError(f"{path.name} is not a file of asv's results, format {_FORMAT}")
    columns = data["result_columns"]
    rows = {name: _make_row(dict(zip(columns, values, strict=False))) for name, values in data["results"].items()}
    # asv names an existing environment by the path of its Python. `make bench` measures with this Python.
    version = re.match(r"\d+\.\d+", data["python"])
    python = version[0] if version else f"{sys.version_info.major}.{sys.version_info.minor}"
    machine, environment = data["params"]["machine"], data.get("env_name", "")
    return Result(data["commit_hash"], data["date"], machine, python, rows, environment)


def read_folder(folder: Path) -> list[Result]:
    """Read the results in a machine's folder, oldest commit first. A missing folder has no results."""
    paths = [path for path in sorted(folder.glob("*.json")) if path.name != "machine.json"]
    return sorted((read_result(path) for path in paths), key=lambda result: result.date)


def write_result(result: Result, folder: Path) -> Path:
    """Write the result, trimmed and rounded. Each benchmark has a line of its own, for short diffs."""
    head = {
        "version": _FORMAT,
        "commit_hash": result.commit,
        "date": result.date,
        "env_name": f"py{result.python}",
        "python": result.python,
        "params": {"machine": result.machine, "python": result.python},
        "requirements": {},
        "env_vars": {},
        "durations": {},
        "result_columns": list(_COLUMNS),
    }
    lines = [f"{json.dumps(name)}: {json.dumps(_list_columns(row))}" for name, row in sorted(result.rows.items())]
    text = json.dumps(head)[:-1] + ', "results": {\n' + ",\n".join(lines) + "\n}}\n"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / result.file_name
    path.write_text(text, encoding="utf-8")
    return path


def machine_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the published facts of a machine in asv's format: name, processor, cores, memory, system, Python."""
    return {name: str(facts[name]) for name in _MACHINE if facts.get(name)} | {"version": 1}


def merge(results: Iterable[Result]) -> list[Result]:
    """Merge the results of each commit, machine and Python. Later rows replace earlier rows; empty ones are dropped."""
    merged: dict[tuple[str, str, str], Result] = {}
    for result in results:
        key = (result.commit, result.machine, result.python)
        before = merged[key].rows if key in merged else {}
        rows = {**before, **{name: row for name, row in result.rows.items() if row.has_values}}
        merged[key] = attrs.evolve(result, rows=rows)
    return [result for result in merged.values() if result.rows]


def thin(measured: Collection[str], history: Sequence[str], tagged: Collection[str]) -> list[str]:
    """Return the measured commits to keep, newest first. `history` has the main branch's commits, newest first.

    Commits that are neither in the history nor tagged are dropped. Every tenth commit is counted from the beginning,
    so that new commits do not change the choice.
    """
    place = {commit: len(history) - at for at, commit in enumerate(history)}
    known = sorted((c for c in measured if c in place or c in tagged), key=lambda c: -place.get(c, 0))
    older = [c for c in known[LAST:] if c in tagged or place.get(c, 0) % EVERY == 0]
    return [*known[:LAST], *older][:MOST]


def rounded(value: float | None) -> float | None:
    """Round to four significant digits. Whole numbers are counts, and stay exact; infinity and NaN become `None`."""
    if value is None or not math.isfinite(value):
        return None
    if value == int(value):
        return value
    return float(f"{value:.4g}")


def _make_row(columns: Mapping[str, Any]) -> Row:
    return Row(
        _round_values(columns.get("result")),
        columns.get("params") or [],
        columns.get("version"),
        _round_values(columns.get("stats_ci_99_a")),
        _round_values(columns.get("stats_ci_99_b")),
    )


def _round_values(column: Any) -> Values:
    if column is None:
        return None
    return [rounded(value) if isinstance(value, int | float) else None for value in column]


def _list_columns(row: Row) -> list[Any]:
    columns: list[Any] = [row.values, row.params, row.version, _drop_empty(row.low), _drop_empty(row.high)]
    while columns[-1] is None:
        columns.pop()
    return columns


def _drop_empty(values: Values) -> Values:
    return values if values and any(value is not None for value in values) else None
