"""Refuses limits that a block of a flow cannot have, and explains a step whose outcome nobody knows. Pure."""

from __future__ import annotations

import attrs

from agno_rt._decide.flow_paths import Place
from agno_rt.errors import StepUncertain, UsageError
from agno_rt.limits import Limits

__all__ = ["check_block_limits", "uncertain_error"]

_BLOCK_LIMITS = frozenset(("tool_calls", "input_tokens", "output_tokens", "tokens", "cost", "run_timeout"))
"""The fields of `Limits` that `Flow.limits` accepts: the others hold for a whole run or a whole runtime."""


def uncertain_error(place: Place, run: str) -> StepUncertain:
    """Return the error for a step that had begun when the program ended."""
    hint = (
        "Look whether it took effect. To do it again, fork the run before the step and resume the fork; or declare "
        "@step(idempotent=True) if it may be done twice; or catch StepUncertain in the workflow."
    )
    problem = f"{place.path} of run {run!r} had begun when the program ended; nobody knows whether it was done"
    return StepUncertain(problem, path=place.path, hint=hint)


def check_block_limits(limits: Limits) -> None:
    """Raise `UsageError` for a limit of a whole run."""
    for field in attrs.fields(Limits):
        if field.name not in _BLOCK_LIMITS and getattr(limits, field.name) != field.default:
            hint = f"Give it to the runnable or to the runtime; a block takes {', '.join(sorted(_BLOCK_LIMITS))}."
            raise UsageError(f"limit {field.name} does not hold for a block of a workflow", hint=hint)
