"""What a run may still spend: tool calls, tokens and money, its own and what the runs around it have left. Pure.

A run without budgets, within none, has no `Budget` and pays nothing for it.
"""

from __future__ import annotations

import msgspec

from agno_rt.errors import LimitExceeded
from agno_rt.limits import Limits, LimitStatistics
from agno_rt.messages import Usage
from agno_rt.models import NO_USAGE

__all__ = ["Budget", "Refusals", "budget_of", "too_deep"]


class Refusals(msgspec.Struct, eq=False):
    """The runs that were too deep within an outermost one: in how many turns, and the last of these.

    `ended` is the depth that ends the runs around them, after too many.
    """

    turns: int = 0
    last: tuple[str, int] = ("", 0)
    ended: int = 0


class Budget(msgspec.Struct, eq=False):
    """What one run has spent, against its limits. `outer` is that of the run around it, where it is spent too."""

    limits: Limits
    outer: Budget | None = None
    tool_calls: int = 0
    usage: Usage = NO_USAGE
    refusals: Refusals | None = None

    def check(self) -> None:
        """Before a model is asked. Raises `LimitExceeded` for a limit, of this run or one around it, that is spent."""
        if self.refusals is not None and self.refusals.ended:
            raise too_deep(self.refusals.ended)
        for name, spent, limit in self._amounts():
            if limit is not None and spent >= limit:
                raise self._exceeded(name, spent, limit)
        if self.outer is not None:
            self.outer.check()

    def call(self, calls: int) -> None:
        """Before so many tools are called. Raises `LimitExceeded` if they are more than are left; then none counts."""
        budget: Budget | None = self
        while budget is not None:
            limit = budget.limits.tool_calls
            if limit is not None and budget.tool_calls + calls > limit:
                raise budget._exceeded("tool_calls", budget.tool_calls, limit, f", and {calls} more are asked for")
            budget = budget.outer
        budget = self
        while budget is not None:
            budget.tool_calls += calls
            budget = budget.outer

    def spend(self, usage: Usage) -> None:
        """After a model answered: count what it used, here and in every run around this one."""
        self.usage = self.usage + usage
        if self.outer is not None:
            self.outer.spend(usage)

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """The run's own budgets: how much of each is spent."""
        amounts = (("tool_calls", self.tool_calls, self.limits.tool_calls), *self._amounts())
        return tuple(LimitStatistics(name, limit, spent, 0) for name, spent, limit in amounts if limit is not None)

    def _amounts(self) -> tuple[tuple[str, float, float | None], ...]:
        limits, usage = self.limits, self.usage
        return (
            ("input_tokens", usage.input_tokens, limits.input_tokens),
            ("output_tokens", usage.output_tokens, limits.output_tokens),
            ("tokens", usage.total_tokens, limits.tokens),
            ("cost", usage.cost, limits.cost),
        )

    def _exceeded(self, name: str, spent: float, limit: float, more: str = "") -> LimitExceeded:
        return LimitExceeded(
            f"the run has spent its {name}: {spent:g} of {limit:g}{more}",
            limit=name,
            hint=f"Raise Limits({name}=...) of the run or of the one around it; .result has what came so far.",
        )


def too_deep(most: int) -> LimitExceeded:
    """Return the error of a run that is too deep, and of those around it that may not go on."""
    hint = "Let the tool that runs an agent end somewhere, or raise it: Runtime(limits=Limits(depth=...))."
    return LimitExceeded(f"runs within runs are deeper than the runtime's depth ({most})", limit="depth", hint=hint)


def budget_of(limits: Limits, around: Budget | None) -> Budget | None:
    """What a run may spend, where it or a run around it is bounded."""
    unbounded = limits.tool_calls is limits.input_tokens is limits.output_tokens is limits.tokens is limits.cost is None
    return None if around is None and unbounded else Budget(limits, around)
