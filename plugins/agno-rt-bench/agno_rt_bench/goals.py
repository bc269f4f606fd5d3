"""The goals of agno_rt for `agno-rt bench`, valid on any machine. Values, nothing else."""

from __future__ import annotations

import attrs

__all__ = ["GOALS", "Goal"]


@attrs.frozen
class Goal:
    """A goal: at most `bound`, in `unit`; `text` is the same in words."""

    bound: float
    unit: str
    text: str


GOALS: dict[str, Goal] = {
    "create-simple": Goal(1.1, "x", "at most 1.1 x"),
    "create-tools": Goal(1.1, "x", "at most 1.1 x"),
    "create-memory": Goal(1.1, "x", "at most 1.1 x"),
    "agent-bytes": Goal(112, "bytes", "at most 112 bytes"),
    "run-simple": Goal(1.5, "checkpoints", "at most 1.5"),
    "run-tool": Goal(3.0, "checkpoints", "at most 3"),
    "append-10": Goal(0.45, "µs", "at most 0.45 µs"),
    "append-100000": Goal(0.45, "µs", "at most 0.45 µs"),
    "token": Goal(0.9, "µs", "at most 0.9 µs"),
    "waiting-1000": Goal(1.5, "x", "at most 1.5 x"),
    "waiting-10000": Goal(1.4, "x", "at most 1.4 x"),
    "waiting-bytes": Goal(4096, "bytes", "at most 4 kB"),
    "import": Goal(50, "ms", "at most 50 ms"),
    "command-version": Goal(100, "ms", "at most 100 ms"),
    "command-plugins": Goal(400, "ms", "at most 400 ms"),
    "plugin": Goal(5, "ms", "at most 5 ms"),
}
"""Goals by row. `plugin` holds for every row `plugin:NAME`; the goal of `command-plugins` is for 25 plugins."""
