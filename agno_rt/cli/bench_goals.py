"""The figures that agno_rt is to reach, those that `agno-rt bench` can measure on any machine. Values, nothing else."""

from __future__ import annotations

import attrs

__all__ = ["GOALS", "Goal"]


@attrs.frozen
class Goal:
    """What is to be reached: at most `bound`, in `unit`; `text` says it in words."""

    bound: float
    unit: str
    text: str


GOALS: dict[str, Goal] = {
    "create-simple": Goal(1.25, "x", "at most 1.25 x"),
    "create-tools": Goal(1.25, "x", "at most 1.25 x"),
    "create-memory": Goal(1.25, "x", "at most 1.25 x"),
    "agent-bytes": Goal(112, "bytes", "at most 112 bytes"),
    "run-simple": Goal(2.2, "checkpoints", "at most 2.2"),
    "run-tool": Goal(5.0, "checkpoints", "at most 5"),
    "append-10": Goal(0.5, "µs", "at most 0.5 µs"),
    "append-100000": Goal(0.5, "µs", "at most 0.5 µs"),
    "token": Goal(4.0, "µs", "at most 4 µs"),
    "waiting-1000": Goal(1.5, "x", "at most 1.5 x"),
    "waiting-10000": Goal(1.5, "x", "at most 1.5 x"),
    "waiting-bytes": Goal(8192, "bytes", "at most 8 kB"),
    "import": Goal(60, "ms", "at most 60 ms"),
    "command-version": Goal(150, "ms", "at most 150 ms"),
    "command-plugins": Goal(400, "ms", "at most 400 ms"),
    "plugin": Goal(5, "ms", "at most 5 ms"),
}
"""By the name of the row. `plugin` is that of every row `plugin:NAME`; that of `command-plugins` is for 15 plugins."""
