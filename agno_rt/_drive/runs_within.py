"""Runs agents within a tool call of a stored run. A call made again after a pause or a crash finds the same runs.

Loaded by stored runs alone, for tools with a `RunContext`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agno_rt._decide.flow_journal import child_id, digest_of
from agno_rt._decide.input import as_messages
from agno_rt._decide.tool_results import ToolPaused
from agno_rt._drive.job import AskedWithin, Job
from agno_rt.errors import AgnoError
from agno_rt.messages import ToolCall
from agno_rt.result import RunResult
from agno_rt.run_store import Resume

__all__ = ["RunsWithin", "check_pause"]


class RunsWithin:
    """The runs of one tool call, or of the calls to one batch tool.

    A run is named by its runnable and its input, not by the order of the calls: a tool may start its runs in tasks of
    its own, which begin in any order.
    """

    __slots__ = ("_counts", "_job", "_place")

    def __init__(self, job: Job, calls: Sequence[ToolCall], *, batch: bool) -> None:
        assert job.turns is not None, "the run has begun"
        self._job = job
        # The calls of a batch that is made again are the same ones, since a batch waits as a whole.
        self._place = f"{job.turns.turn}/{calls[0].name if batch else calls[0].id}"
        self._counts: dict[str, int] = {}

    async def run(self, runnable: Any, input: Any, session: str | None) -> RunResult:
        """Run the runnable, or go on with its run of an earlier process, and count the usage. See `RunContext.run`."""
        job = self._job
        journal, turns = job.journal, job.turns
        assert journal is not None, "only a stored run has runs at a place"
        assert turns is not None
        if isinstance(input, Resume):
            return await job.run_within(runnable, input, session)
        name = getattr(runnable, "name", "")
        key = f"{name} {digest_of(session, as_messages(input))}"
        number = self._counts[key] = self._counts.get(key, 0) + 1
        asked = AskedWithin(session, job.asked.user, job.asked.deps)
        asked.child = child_id(job.run_id, f"{self._place}/{key}#{number}")
        asked.is_resumed, asked.is_forced = journal.replay is not None, journal.forced
        assert job.resolved.run_at is not None, "an agent with tools"
        try:
            result: RunResult = await job.resolved.run_at(runnable, input, asked)
        except AgnoError as exc:
            if exc.result is not None:
                turns.usage = turns.usage + exc.result.usage
            raise
        if result.status == "paused":
            # Its usage counts once, whether the run goes on or not: see `take_turns`.
            journal.paused_within = {
                **(journal.paused_within or {}),
                result.run_id: (result, asked.wakes_at, asked.signals),
            }
        else:
            turns.usage = turns.usage + result.usage
        return result


def check_pause(value: Any, paused: Mapping[str, tuple[RunResult, float | None, Mapping[str, int]]]) -> None:
    """Raise `ToolPaused` if a tool returned the result of a `paused` run, alone or among those of a batch."""
    values = value if isinstance(value, list | tuple) else (value,)
    found = [paused[each.run_id] for each in values if isinstance(each, RunResult) and each.run_id in paused]
    if found:
        approvals = [approval for result, _, _ in found for approval in result.approvals]
        wakes_at = min((at for _, at, _ in found if at is not None), default=None)
        raise ToolPaused(approvals, wakes_at, {run: seen for _, _, signals in found for run, seen in signals.items()})
