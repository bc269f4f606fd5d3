"""Reads the result of a completed run from its record and its journal."""

from __future__ import annotations

from collections.abc import Sequence

from agno_rt._decide.journal import Ended, Replay, StepEnded
from agno_rt._decide.turns import Turns
from agno_rt._drive.job import Resolved
from agno_rt._flow.conduct import ResolvedFlow
from agno_rt.models import NO_USAGE
from agno_rt.result import RunResult
from agno_rt.run_store import Entry, RunRecord

__all__ = ["read_completed"]


def read_completed(record: RunRecord, entries: Sequence[Entry], resolved: Resolved) -> RunResult:
    """Return the result of the run. Raises `BackendError` for a damaged journal."""
    replay = Replay.of(record.id, entries)
    turns = Turns(resolved.limits.turns, resolved.form)
    turns.begin([], replay.begun.input)
    replay.into(turns)
    if isinstance(resolved, ResolvedFlow):
        output = next((bytes(step.output) for step in replay.steps[::-1] if isinstance(step, Ended)), b"")
        turns.conclude(record.content, resolved.read_answer(output) if output else None)
        for step in replay.steps:
            if isinstance(step, StepEnded):
                turns.usage = turns.usage + (step.usage or NO_USAGE)
    return RunResult(
        record.id,
        "completed",
        turns.content,
        turns.output,
        turns.own_messages(),
        turns.usage,
        finish_reason=turns.finish_reason,
        reasoning=turns.reasoning,
    )
