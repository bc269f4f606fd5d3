"""What is to be reached, for the opening page: the goals of the performance page, told by one commit's results."""

from __future__ import annotations

from itertools import product

from benchmarks.goals import Against, Goal, Measured, Recorded, goals
from benchmarks.reach_table import Sources, line
from benchmarks.reading import Results

from .page import Aim
from .results import Result

__all__ = ["aims_of"]


def aims_of(result: Result) -> list[Aim]:
    """Every goal, in the order of the performance page, with what the commit reaches of it."""
    values = {
        name: dict(zip(product(*row.params), row.values or (), strict=False)) for name, row in result.rows.items()
    }
    sources = Sources(Results(values, result.commit), partial=True)
    return [_aim(goal, sources) for goal in goals()]


def _aim(goal: Goal, sources: Sources) -> Aim:
    told = line(goal, sources)
    if isinstance(goal, Measured):
        # Parameters as asv has them: what Python would write for each.
        params = tuple(repr(param) for param in goal.value.params)
        return Aim(told.row, told.goal, told.measured, told.verdict.strip("*"), goal.value.benchmark, params)
    if isinstance(goal, Recorded):
        benchmark, _, _ = next(iter(goal.names.values())).partition("(")
        return Aim(told.row, told.goal, "graph", "held by the gate", benchmark)
    return Aim(told.row, told.goal, verdict="side by side: make peers" if isinstance(goal, Against) else told.verdict)
