"""Finds the exact counts of all tables, and takes each in a process of its own. Knows no baseline: see `gate.py`."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs

from agno_rt.errors import UsageError

from .one import parameters_of

__all__ = ["TABLES", "Count", "counts"]

TABLES = ("caching", "context", "create", "http", "observers", "run", "sqlite", "stream", "team", "workflow")
"""The modules with exact counts. A test finds missing ones."""


@attrs.frozen
class Count:
    """An exact count with a unit."""

    value: int
    unit: str


@attrs.frozen
class _Asked:
    name: str
    unit: str
    arguments: tuple[str, ...]


def counts() -> dict[str, Count]:
    """Take every exact count. Return the counts by name, such as `run.Run.track_python_calls(tool)`.

    Raises `UsageError` if a count cannot be taken.
    """
    asked = [one for module in TABLES for one in _find_exact(importlib.import_module(f"benchmarks.{module}"))]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return {one.name: count for one, count in zip(asked, threads.map(_take_count, asked), strict=True)}


def _find_exact(module: Any) -> Iterator[_Asked]:
    for table in vars(module).values():
        if not isinstance(table, type) or table.__module__ != module.__name__:
            continue
        given = parameters_of(table)
        for method, function in vars(table).items():
            if not getattr(function, "exact", False):
                continue
            name = f"{module.__name__.partition('.')[2]}.{table.__name__}.{method}"
            for places in itertools.product(*(range(len(values)) for values in given)):
                values = ", ".join(str(values[place]) for values, place in zip(given, places, strict=True))
                arguments = (name, *(str(place) for place in places))
                yield _Asked(f"{name}({values})" if values else name, function.unit, arguments)


def _take_count(asked: _Asked) -> Count:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.one", *asked.arguments],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2]
        again = " ".join(["python -m benchmarks.one", *asked.arguments])
        raise UsageError(f"the exact count {asked.name} cannot be taken: {last}", hint=f"Look closer: {again}")
    return Count(json.loads(done.stdout), asked.unit)
