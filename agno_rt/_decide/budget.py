"""Budgets of a run for tool calls, tokens and money, within the budgets of the runs around the run. Pure.

A run has no `Budget`, and pays nothing for one, if neither the run nor a run around it is bounded.
"""

from __future__ import annotations

import msgspec

from agno_rt.errors import LimitExceeded
from agno_rt.limits import Limits, LimitStatistics
from agno_rt.messages import Usage
from agno_rt.models import NO_USAGE

__all__ = ["Budget", "Refusals", "budget_of", "too_deep"]


class Refusals(msgspec.Struct, eq=False):
    """Counts the runs refused for their depth within one outermost run.

    `turns` is the number of turns with a refusal, `last` the latest of these turns. After too many, `ended` is set to
    the runtime's depth, and the runs around end too.
    """

    turns: int = 0
    last: tuple[str, int] = ("", 0)
    ended: int = 0


class Budget(msgspec.Struct, eq=False):
    """The spent amounts of one run, and its limits. Every amount spent here is spent in `outer` too."""

    limits: Limits
    outer: Budget | None = None
    tool_calls: int = 0
    usage: Usage = NO_USAGE
    refusals: Refusals | None = None

    def check(self) -> None:
        """Raise `LimitExceeded` if a limit of this run or of a run around is spent. Call before asking a model."""
        if self.refusals is not None and self.refusals.ended:
            raise too_deep(self.refusals.ended)
        for name, spent, limit in self._amounts():
            if limit is not None and spent >= limit:
                raise self._exceeded(name, spent, limit)
        if self.outer is not None:
            self.outer.check()

    def call(self, calls: int) -> None:
        """Count tool calls before they are made. Raises `LimitExceeded` if too few are left, and counts none then."""
        # Two passes: every run around must have room before any of them counts a call.
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
        """Count the usage of a model's response, here and in every run around."""
        self.usage = self.usage + usage
        if self.outer is not None:
            self.outer.spend(usage)

    def refund(self, usage: Usage, calls: int) -> None:
        """Count less, in this run and the runs around: a run within goes on from the journal, and counts again."""
        self.usage = self.usage - usage
        self.tool_calls -= calls
        if self.outer is not None:
            self.outer.refund(usage, calls)

    def statistics(self) -> tuple[LimitStatistics, ...]:
        """Return the spent amount of each of the run's own budgets."""
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
            hint=f"Raise Limits({name}=...) of this run or the run around it; .result has the messages so far.",
        )


def too_deep(most: int) -> LimitExceeded:
    """Return the error of a run nested too deeply, and of the outer runs to end with the run."""
    hint = "Stop the tool that runs an agent from nesting without end, or set Runtime(limits=Limits(depth=...)) higher."
    return LimitExceeded(f"runs within runs are deeper than the runtime's depth ({most})", limit="depth", hint=hint)


def budget_of(limits: Limits, around: Budget | None) -> Budget | None:
    """Return the budget of a run; `None` if neither the run nor a run around it is bounded."""
    unbounded = limits.tool_calls is limits.input_tokens is limits.output_tokens is limits.tokens is limits.cost is None
    return None if around is None and unbounded else Budget(limits, around)
