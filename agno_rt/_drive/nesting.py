"""Bounds runs within runs: no run waits for a place that a run around it holds, and none is nested too deeply."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from agno_rt._decide.budget import Budget, Refusals, too_deep
from agno_rt._drive.emitter import Emitter, EventBuffer
from agno_rt._drive.job import Job
from agno_rt.limiter import Limiter

__all__ = ["OUTER", "check_depth", "find_buffer", "holds", "is_stopping", "note_call", "session_patience"]

OUTER: ContextVar[Job | None] = ContextVar("agno_rt_outer", default=None)
"""The run around a tool. A run made by the tool is inside it, and must not wait for a place the outer run holds."""

NESTED_SECONDS = 60.0
"""Seconds that a run within a run waits for another process, without a `queue_timeout`."""

MOST_REFUSED = 8
"""Turns in which models may be refused a run that is too deep, before the outermost run fails."""


def holds(job: Job | None, place: Limiter) -> bool:
    """Return whether the run, or a run around it, holds a place of the limiter."""
    while job is not None:
        if job.admission is place or (job.session is not None and job.session.lock is place):
            return True
        job = job.outer
    return False


def note_call(outer: Job[Any], job: Job[Any]) -> None:
    """Note the run within a tool or a hook of an agent's run: a stop of the agent's run reaches the run, too."""
    from agno_rt._drive.inbox import open_inbox  # few runs have runs within

    open_inbox(outer).call(job)


def is_stopping() -> bool:
    """Return whether the run around the present tool is asked to stop."""
    outer = OUTER.get()
    return outer is not None and outer.inbox is not None and outer.inbox.stop is not None


def find_buffer(outer: Emitter) -> EventBuffer | None:
    """Return the buffer of the stream around, for the events of a run within; `None` if no reader takes them."""
    buffer = outer.buffer
    return None if buffer is None or buffer.takes_within is False else buffer


def session_patience(job: Job) -> float | None:
    """Return the seconds to wait for another process to give a session back; `None` for no bound.

    Inside a run with a session the wait is bounded: the other process may be waiting for the outer run's session.
    """
    seconds, outer = job.resolved.limits.queue_timeout, job.outer
    while seconds is None and outer is not None:
        if outer.session is not None:
            return NESTED_SECONDS
        outer = outer.outer
    return seconds


def check_depth(outer: Job, most: int) -> None:
    """Raise `LimitExceeded` for a run inside `outer` if more than `most` runs would be nested.

    The depth alone does not bound the work: each nested run has all its turns to ask for a deeper run. So refusals are
    counted for the outermost run, and too many of them end all the runs.
    """
    around: list[Job] = []
    job: Job | None = outer
    while job is not None:
        around.append(job)
        job = job.outer
    if len(around) < most:
        return
    # The budgets hold the state shared by nested runs. A run without a budget gets one here.
    refusals = Refusals()
    for job in reversed(around):
        if job.budget is None:
            job.budget = Budget(job.resolved.limits, None if job.outer is None else job.outer.budget)
        refusals = job.budget.refusals = refusals if job.budget.refusals is None else job.budget.refusals
    turn = outer.run_id, 0 if outer.turns is None else outer.turns.turn
    if turn != refusals.last:  # several refusals in one turn count once
        refusals.turns += 1
        refusals.last = turn
    if refusals.turns > MOST_REFUSED:
        refusals.ended = most
    raise too_deep(most)
