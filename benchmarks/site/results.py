"""Results of benchmarks as values: read from asv's files, trimmed, merged, thinned out, written so that asv reads them.

Trimming leaves what a graph shows: numbers, parameters, the benchmark's version. Samples, profiles, times of day, the
names of environments and whatever else tells of the machine's folders are left behind. Knows asv's format of results
(version 2) and no benchmark. Times are in seconds, as asv has them.
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
"""Which commits are kept: the last 30; of those before, the tagged ones and every tenth; 60 in all."""

_FORMAT = 2
_COLUMNS = ("result", "params", "version", "stats_ci_99_a", "stats_ci_99_b")
_MACHINE = ("machine", "os", "arch", "cpu", "num_cpu", "ram", "python")

Values = list[float | None] | None


@attrs.frozen
class Row:
    """What one benchmark gave: a value for each combination of its parameters, and between which bounds it lies.

    A value is `None` where the benchmark failed or does not apply.
    """

    values: Values
    params: list[list[str]]
    version: str | None
    low: Values = None
    high: Values = None

    @property
    def tells(self) -> bool:
        """Whether there is any value."""
        return any(value is not None for value in self.values or ())


@attrs.frozen
class Result:
    """What the benchmarks gave on one commit, machine and Python. `date` is the commit's, in milliseconds since 1970.

    `environment` is asv's name for where it was measured.
    """

    commit: str
    date: int
    machine: str
    python: str
    rows: Mapping[str, Row]
    environment: str = ""

    @property
    def file_name(self) -> str:
        """The name of its file."""
        return f"{self.commit[:8]}-py{self.python}.json"


def read_result(path: Path) -> Result:
    """A file that asv wrote, or `write_result`; `ValueError` where it is none of that format."""
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict) or data.get("version") != _FORMAT:
        raise ValueError(f"{path.name} is no file of asv's results, format {_FORMAT}")
    columns = data["result_columns"]
    rows = {name: _row(dict(zip(columns, values, strict=False))) for name, values in data["results"].items()}
    # Of an environment that was there, asv tells the path of its Python: this one, which `make bench` measures with.
    version = re.match(r"\d+\.\d+", data["python"])
    python = version[0] if version else f"{sys.version_info.major}.{sys.version_info.minor}"
    machine, environment = data["params"]["machine"], data.get("env_name", "")
    return Result(data["commit_hash"], data["date"], machine, python, rows, environment)


def read_folder(folder: Path) -> list[Result]:
    """The results in a machine's folder, oldest commit first; empty where there is no such folder."""
    paths = [path for path in sorted(folder.glob("*.json")) if path.name != "machine.json"]
    return sorted((read_result(path) for path in paths), key=lambda result: result.date)


def write_result(result: Result, folder: Path) -> Path:
    """Write it trimmed and rounded, a line for each benchmark, so that a change of one is one line of a diff."""
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
    lines = [f"{json.dumps(name)}: {json.dumps(_columns(row))}" for name, row in sorted(result.rows.items())]
    text = json.dumps(head)[:-1] + ', "results": {\n' + ",\n".join(lines) + "\n}}\n"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / result.file_name
    path.write_text(text, encoding="utf-8")
    return path


def machine_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of a machine, in asv's format: its name, processor, cores, memory, system and Python."""
    return {name: str(facts[name]) for name in _MACHINE if facts.get(name)} | {"version": 1}


def merge(results: Iterable[Result]) -> list[Result]:
    """One result for each commit, machine and Python: of rows that are there twice the later one; rows that tell."""
    merged: dict[tuple[str, str, str], Result] = {}
    for result in results:
        key = (result.commit, result.machine, result.python)
        before = merged[key].rows if key in merged else {}
        rows = {**before, **{name: row for name, row in result.rows.items() if row.tells}}
        merged[key] = attrs.evolve(result, rows=rows)
    return [result for result in merged.values() if result.rows]


def thin(measured: Collection[str], history: Sequence[str], tagged: Collection[str]) -> list[str]:
    """Which of the measured commits to keep, newest first. `history` is the main branch's, newest first.

    What is neither in the history nor tagged goes. Every tenth is counted from the beginning, so that it stays one.
    """
    place = {commit: len(history) - at for at, commit in enumerate(history)}
    known = sorted((c for c in measured if c in place or c in tagged), key=lambda c: -place.get(c, 0))
    older = [c for c in known[LAST:] if c in tagged or place.get(c, 0) % EVERY == 0]
    return [*known[:LAST], *older][:MOST]


def rounded(value: float | None) -> float | None:
    """To four significant digits; whole numbers are counts and stay exact; what is no finite number is nothing."""
    if value is None or not math.isfinite(value):
        return None
    if value == int(value):
        return value
    return float(f"{value:.4g}")


def _row(columns: Mapping[str, Any]) -> Row:
    return Row(
        _values(columns.get("result")),
        columns.get("params") or [],
        columns.get("version"),
        _values(columns.get("stats_ci_99_a")),
        _values(columns.get("stats_ci_99_b")),
    )


def _values(column: Any) -> Values:
    if column is None:
        return None
    return [rounded(value) if isinstance(value, int | float) else None for value in column]


def _columns(row: Row) -> list[Any]:
    columns: list[Any] = [row.values, row.params, row.version, _bounds(row.low), _bounds(row.high)]
    while columns[-1] is None:
        columns.pop()
    return columns


def _bounds(values: Values) -> Values:
    return values if values and any(value is not None for value in values) else None
