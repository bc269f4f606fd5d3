"""Measures one benchmark alone in its process and prints the result: `python -m benchmarks.one NAME PLACES`.

An example is `python -m benchmarks.one run.Run.track_python_calls 0`. Other imports of a process can change the
behaviour of trio and Python, so an exact count is taken in a process that imports the count's table only. The numbers
after the name are the places of the parameters.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any


def parameters_of(table: Any) -> tuple[tuple[Any, ...], ...]:
    """Return the values of each parameter of a benchmark class; asv allows a single parameter without a tuple."""
    params: tuple[Any, ...] = getattr(table, "params", ())
    return params if params and isinstance(params[0], tuple) else (params,) if params else ()


def measure(name: str, places: list[int]) -> Any:
    """Return the benchmark's result. Raises `NotImplementedError` if the benchmark is skipped."""
    module, table, method = name.rsplit(".", 2)
    benchmarks = importlib.import_module(f"benchmarks.{module}")
    instance = getattr(benchmarks, table)()
    values = [given[place] for given, place in zip(parameters_of(instance), places, strict=True)]
    function = getattr(instance, method)
    for source in (benchmarks, instance, function):
        getattr(source, "setup", lambda *values: None)(*values)
    measured = function(*values)
    getattr(instance, "teardown", lambda *values: None)(*values)
    return measured


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], [int(place) for place in sys.argv[2:]])))
