"""The usage of paused runs within a flow: a run that goes on from its journal counts everything again."""

from __future__ import annotations

import attrs

from agno_rt._decide.budget import Budget
from agno_rt._decide.turns import Turns
from agno_rt.messages import Usage

__all__ = ["PausedUsage"]


@attrs.frozen
class _PausedRun:
    """The usage of a paused run within, and what was counted in the budgets around it."""

    usage: Usage
    meter: Budget | None


class PausedUsage:
    """The paused runs of one flow by path; `turns` has the usage of the flow's own run."""

    __slots__ = ("_runs", "_turns")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._runs: dict[str, _PausedRun] = {}

    def note(self, path: str, usage: Usage, meter: Budget | None) -> None:
        """Note a run that has paused, with its usage and the budget that only this run has spent from."""
        self._runs[path] = _PausedRun(usage, meter)

    def take_back(self, path: str) -> None:
        """Count a paused run within as never begun."""
        paused = self._runs.pop(path)
        self._turns.usage = self._turns.usage - paused.usage
        if paused.meter is not None and paused.meter.outer is not None:
            paused.meter.outer.refund(paused.meter.usage, paused.meter.tool_calls)

    def take_back_all(self) -> None:
        """Count every paused run within as never begun."""
        for path in list(self._runs):
            self.take_back(path)
