"""Holds limits over a block of a flow: a budget for the runs within, and a deadline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import attrs
import msgspec

from agno_rt._decide.budget import budget_of
from agno_rt._decide.flow_paths import Place
from agno_rt._drive.nesting import OUTER
from agno_rt._drive.scopes import deadline
from agno_rt._flow.record import FlowRecord
from agno_rt._flow.scope import Scope
from agno_rt.errors import LimitExceeded, UsageError
from agno_rt.limits import Limits

__all__ = ["check_block_limits", "hold_limits"]

_BLOCK_LIMITS = frozenset(("tool_calls", "input_tokens", "output_tokens", "tokens", "cost", "run_timeout"))
"""The fields of `Limits` that `Flow.limits` accepts: the others hold for a whole run or a whole runtime."""


def check_block_limits(limits: Limits) -> None:
    """Raise `UsageError` for a limit of a whole run."""
    for field in attrs.fields(Limits):
        if field.name not in _BLOCK_LIMITS and getattr(limits, field.name) != field.default:
            hint = f"Give it to the runnable or to the runtime; a block takes {', '.join(sorted(_BLOCK_LIMITS))}."
            raise UsageError(f"limit {field.name} does not hold for a block of a workflow", hint=hint)


@contextmanager
def hold_limits(limits: Limits, scope: Scope, place: Place, record: FlowRecord) -> Iterator[None]:
    """Hold the limits over the block. Raises `LimitExceeded`, in a block that an earlier process ended so, too."""
    outer = OUTER.get()
    assert outer is not None, "a flow's run is the outer run of the runs within"
    around, ended = scope.overdue, record.find_failure(place)
    scope.overdue = ended or around
    # A copy of the run with the block's budget: runs within the block are inside of both.
    token = OUTER.set(msgspec.structs.replace(outer, budget=budget_of(limits, outer.budget)))
    try:
        with ExitStack() as timed:
            if limits.run_timeout is not None:
                timed.enter_context(deadline(limits.run_timeout, "run_timeout", f"the block {place.path}"))
            yield
    except LimitExceeded as exc:
        if ended is None:
            record.fail_later(place, exc)
        raise
    finally:
        OUTER.reset(token)
        scope.overdue = around
